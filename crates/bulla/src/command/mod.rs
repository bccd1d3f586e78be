//! What people type: the list of commands, and how a command ends.
//!
//! Each command is one file with `Args` (what can be said) and `run` (what happens); adding one is a new file, a line in one of
//! the two lists below, and one where that is run. A command receives its own arguments and nothing else.

mod attest;
mod bench;
mod ceremony;
mod doctor;
mod entry;
mod freeze;
mod fsck;
mod health;
pub(crate) mod image;
mod inspect;
mod instances;
mod key;
mod log;
mod proxy;
mod reindex;
mod report;
mod revoke;
mod rotate;
mod serve;
mod shard;
mod sign;
mod tag;
mod trust;
mod up;
mod verify;
mod witness;

use std::fmt;
use std::io::{self, Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;

/// The commands, in the order `bulla --help` shows them.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Service(Service),
    #[command(flatten)]
    Tool(Tool),
}

/// What runs a log, or acts on its directory: the environment and a file say what the command line does not.
#[derive(clap::Subcommand)]
pub(crate) enum Service {
    /// Run a whole private Sigstore: the log with authorities for certificates and timestamps, and the trust in them
    Up(Box<up::Args>),
    /// Run a log: take entries, publish checkpoints, serve everything a verifier reads
    Serve(Box<serve::Args>),
    /// Print the trust files that clients of this log need, make a root of the repository that hands them out, or believe others
    Trust(trust::Args),
    /// End a stopped log for good with a final checkpoint
    Freeze(freeze::Args),
    /// End the active shard and begin the next, or list them
    Shard(shard::Args),
    /// Grow the search indexes of a stopped log anew
    Reindex(reindex::Args),
    /// Run a witness that cosigns the checkpoints of logs it has followed
    Witness(witness::Args),
    /// Run a registry front that records which digest each tag pointed to, and refuses a tag that moved
    Proxy(Box<proxy::Args>),
}

/// What asks, signs and checks, and takes no options from a service's file. What can be said to one of them is not read before it
/// is called, for most of them are done in milliseconds. Then a `///` on a structure of options would be taken for what the
/// command does: those have `//`.
#[derive(clap::Subcommand)]
#[command(defer = true)]
pub(crate) enum Tool {
    /// Make key pairs under a password, take over those that are there, and print public keys
    #[command(subcommand)]
    Key(Box<key::Command>),
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
    /// Log signatures, find them again, and check that they are in the log
    #[command(subcommand)]
    Entry(Box<entry::Command>),
    /// Ask a log for its heads and proofs, and check them
    #[command(subcommand)]
    Log(log::Command),
    /// Check a whole log from public data alone: a directory or a URL
    Fsck(fsck::Args),
    /// Show tiles, bundles, entries, checkpoints and proofs to a person
    Inspect(inspect::Args),
    /// Show and check what was recorded of tags of images, and allow one to move
    #[command(subcommand)]
    Tag(tag::Command),
    /// Show what the name of an image stands for, in a registry or a directory
    #[command(subcommand)]
    Image(image::Command),
    /// Ask a server whether it serves, as health checks do
    Health(health::Args),
    /// Measure a log under load
    Bench(bench::Args),
}

impl Command {
    /// Whether it waits for one thing at a time.
    pub(crate) fn is_brief(&self) -> bool {
        matches!(self, Self::Tool(Tool::Verify(_) | Tool::VerifyAttestation(_) | Tool::Key(_)))
    }
}

/// Runs the command that was typed.
pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Service(service) => service.run().await,
        Command::Tool(tool) => tool.run().await,
    }
}

impl Service {
    async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Up(args) => up::run(*args).await,
            Self::Serve(args) => Box::pin(serve::run(*args)).await,
            Self::Trust(args) => trust::run(&args).await,
            Self::Freeze(args) => freeze::run(args).await,
            Self::Shard(args) => shard::run(args).await,
            Self::Reindex(args) => reindex::run(args).await,
            Self::Witness(args) => witness::run(args).await,
            Self::Proxy(args) => proxy::run(*args).await,
        }
    }
}

impl Tool {
    async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Key(command) => key::run(*command).await,
            Self::Sign(args) => sign::run(*args).await,
            Self::Attest(args) => attest::run(*args).await,
            Self::Revoke(args) => revoke::run(*args).await,
            Self::Verify(args) => verify::signature(*args).await,
            Self::VerifyAttestation(args) => verify::attestation(*args).await,
            Self::Report(args) => report::run(*args).await,
            Self::Doctor(args) => doctor::run(*args).await,
            Self::Entry(command) => entry::run(*command).await,
            Self::Log(command) => log::run(command).await,
            Self::Fsck(args) => fsck::run(args).await,
            Self::Inspect(args) => inspect::run(args).await,
            Self::Tag(command) => tag::run(command).await,
            Self::Image(command) => image::run(command).await,
            Self::Health(args) => health::run(args).await,
            Self::Bench(args) => bench::run(args).await,
        }
    }
}

/// Prints what was asked for. A reader that went away, as `head` does, wants no more and is no failure; a disk that is full is
/// one, see [`unsaid`].
pub(crate) fn say(text: &str) {
    let mut out = stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = said.or_else(unless_gone) {
        let _first = UNSAID.set(error.to_string());
    }
}

/// Takes it for no error that whoever read went away.
pub(crate) fn unless_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Why not all of what was to be said is on standard output.
pub(crate) fn unsaid() -> Option<Failure> {
    UNSAID.get().map(|problem| Failure::unavailable(format!("standard output: {problem}")))
}

static UNSAID: OnceLock<String> = OnceLock::new();

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

    /// What could not be done with a file: its name or who may use it is for the caller to mend, a disk that is full or broken
    /// is not.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{
            AlreadyExists, DirectoryNotEmpty, InvalidFilename, InvalidInput, IsADirectory, NotADirectory,
            NotFound, PermissionDenied, ReadOnlyFilesystem,
        };
        let message = format!("{}: {error}", path.display());
        match error.kind() {
            NotFound | PermissionDenied | AlreadyExists | NotADirectory | IsADirectory
            | DirectoryNotEmpty | InvalidFilename | InvalidInput | ReadOnlyFilesystem => Self::usage(message),
            _ => Self::unavailable(message),
        }
    }

    /// The same failure with something to add, such as the fix.
    pub(crate) fn and(self, more: impl fmt::Display) -> Self {
        Self { message: format!("{}{more}", self.message), ..self }
    }

    /// The same with what may help, if the world did not cooperate.
    pub(crate) fn or(self, fix: &str) -> Self {
        if self.is_unavailable() { self.and(format_args!("; {fix}")) } else { self }
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
