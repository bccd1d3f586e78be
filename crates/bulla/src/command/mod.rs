//! What people type: the list of commands, and how a command ends.
//!
//! Each command is one file with `Args` (what can be said) and `run` (what happens); adding one is a new file and a
//! line in each of the two lists below. A command receives its own arguments and nothing else.

mod attest;
mod bench;
mod ceremony;
mod doctor;
mod entry;
mod freeze;
mod fsck;
pub(crate) mod image;
mod inspect;
mod key;
mod log;
mod reindex;
mod report;
mod revoke;
mod rotate;
mod serve;
mod shard;
mod sign;
mod trust;
mod up;
mod verify;
mod witness;

use std::fmt;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

/// The commands, in the order `bulla --help` shows them.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run a whole private Sigstore: the log with authorities for certificates and timestamps, and the trust in them
    Up(Box<up::Args>),
    /// Run a log: take entries, publish checkpoints, serve everything a verifier reads
    Serve(Box<serve::Args>),
    /// Print the trust files that clients of this log need, or make a root of the repository that hands them out
    Trust(trust::Args),
    /// End a stopped log for good with a final checkpoint
    Freeze(freeze::Args),
    /// Make key pairs under a password, take over those that are there, and print public keys
    #[command(subcommand)]
    Key(Box<key::Command>),
    /// Log signatures, find them again, and check that they are in the log
    #[command(subcommand)]
    Entry(Box<entry::Command>),
    /// Ask a log for its heads and proofs, and check them
    #[command(subcommand)]
    Log(log::Command),
    /// End the active shard and begin the next, or list them
    Shard(shard::Args),
    /// Grow the search indexes of a stopped log anew
    Reindex(reindex::Args),
    /// Check a whole log from public data alone: a directory or a URL
    Fsck(fsck::Args),
    /// Show tiles, bundles, entries, checkpoints and proofs to a person
    Inspect(inspect::Args),
    /// Show what the name of an image stands for, in a registry or a directory
    #[command(subcommand)]
    Image(image::Command),
    /// Sign files and images, with a key or as whom an identity token is about
    Sign(Box<sign::Args>),
    /// Sign a statement about files and images: provenance, a bill of materials, anything
    Attest(Box<attest::Args>),
    /// Sign that a key, an identity or an entry of a log is not to be believed any more
    Revoke(Box<revoke::Args>),
    /// Judge the signatures of a file or an image: who made them, when, and where that is written down
    Verify(Box<verify::Args>),
    /// Judge the attestations of one type of a file or an image, and print what they state
    VerifyAttestation(Box<verify::AttestationArgs>),
    /// Report what many images have: who signed them, and what is stated of them; or judge such a report again
    Report(Box<report::Args>),
    /// Look for what private deployments get wrong, and say what mends it
    Doctor(Box<doctor::Args>),
    /// Run a witness that cosigns the checkpoints of logs it has followed
    Witness(witness::Args),
    /// Measure a log under load
    Bench(bench::Args),
}

/// Runs the command that was typed.
pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Up(args) => up::run(*args).await,
        Command::Serve(args) => serve::run(*args).await,
        Command::Trust(args) => trust::run(&args).await,
        Command::Freeze(args) => freeze::run(args).await,
        Command::Key(command) => key::run(*command).await,
        Command::Entry(command) => entry::run(*command).await,
        Command::Log(command) => log::run(command).await,
        Command::Shard(args) => shard::run(args).await,
        Command::Reindex(args) => reindex::run(args).await,
        Command::Fsck(args) => fsck::run(args).await,
        Command::Inspect(args) => inspect::run(args).await,
        Command::Image(command) => image::run(command).await,
        Command::Sign(args) => sign::run(*args).await,
        Command::Attest(args) => attest::run(*args).await,
        Command::Revoke(args) => revoke::run(*args).await,
        Command::Verify(args) => verify::signature(*args).await,
        Command::VerifyAttestation(args) => verify::attestation(*args).await,
        Command::Report(args) => report::run(*args).await,
        Command::Doctor(args) => doctor::run(*args).await,
        Command::Witness(args) => witness::run(args).await,
        Command::Bench(args) => bench::run(args).await,
    }
}

/// Prints what was asked for. A reader that went away, as `head` does, wants no more and is no failure.
pub(crate) fn say(text: &str) {
    let mut out = stdout().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// For whom a command writes.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// for a person
    Human,
    /// one JSON object
    Json,
}

/// Why a command did not succeed: one message for a person, and whose fault it is as the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// What was examined is not as it must be (exit code 1).
    pub(crate) fn check(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// What was asked for cannot be done as asked: an option, a key file, a directory (exit code 2).
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// The world did not cooperate, trying again later may help (exit code 3).
    pub(crate) fn unavailable(message: impl fmt::Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// Whether it is about what was examined.
    pub(crate) fn is_check(&self) -> bool {
        self.code == 1
    }

    /// Whether trying again later may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.code == 3
    }

    /// What another process ended with.
    pub(crate) fn with_code(code: u8, message: String) -> Self {
        Self { code, message }
    }

    /// The exit code as a number.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// The documented exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
