//! The program under the name `bulla-conformance`: what the conformance suite of Sigstore clients types
//! (<https://github.com/sigstore/sigstore-conformance/blob/main/docs/cli_protocol.md>). The exit code is 0 or 1. It signs as
//! `bulla sign` does, and verifies bundles of both kinds, by what is in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bulla_claims::attestation::WantedType;
use bulla_claims::identity::{IdentityPattern, Pattern};
use bulla_claims::judge::{
    Artifact, Content, MAX_BUNDLE, MAX_TRUSTED_ROOT, Need, Outcome, Policy, TrustedRoot, judge_bundle,
};
use bulla_tlog::Hash;
use clap::Parser;

use crate::Cli;
use crate::command::{self, Command, Failure, Tool};
use crate::config;
use crate::home::unix_now;
use crate::keys::{Passwords, verification_key};
use crate::target::read_small;

/// Signs and verifies bundles as the conformance suite of Sigstore clients asks for it.
#[derive(Parser)]
#[command(name = NAME, version)]
enum Asked {
    /// Sign a file as whom a token is about
    SignBundle(Sign),
    /// Verify the signature or the attestation in a bundle
    VerifyBundle(Verify),
}

#[derive(clap::Args)]
struct Sign {
    /// The public staging instance; it is not known here
    #[arg(long)]
    staging: bool,
    /// The token
    #[arg(long, value_name = "TOKEN")]
    identity_token: String,
    /// Where the bundle is written
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Whom to believe
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// Where to sign
    #[arg(long, value_name = "FILE")]
    signing_config: Option<PathBuf>,
    /// What to sign
    artifact: PathBuf,
}

#[derive(clap::Args)]
struct Verify {
    /// The public staging instance; it is not known here
    #[arg(long)]
    staging: bool,
    /// The bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Name in the certificate
    #[arg(
        long,
        value_name = "SUBJECT",
        requires = "certificate_oidc_issuer",
        required_unless_present = "key"
    )]
    certificate_identity: Option<String>,
    /// Who vouched for it
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    certificate_oidc_issuer: Option<String>,
    /// Public key, if there is no certificate
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_identity")]
    key: Option<String>,
    /// Whom to believe
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,
    /// What is signed: a file, or sha256: and its digest
    #[arg(value_name = "FILE|DIGEST")]
    artifact: String,
}

const NAME: &str = "bulla-conformance";

/// Whether the program was called by that name.
pub(crate) fn is_invoked() -> bool {
    let name = std::env::args_os().next();
    name.as_deref().and_then(|path| Path::new(path).file_name()?.to_str()) == Some(NAME)
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let asked = match Asked::try_parse() {
        Ok(asked) => asked,
        Err(error) => {
            // If nobody can be told, the exit code still says it.
            let _unheard = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let done = match asked {
        Asked::SignBundle(asked) => sign(&asked),
        Asked::VerifyBundle(asked) => crate::complete_alone(verify(asked)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{NAME}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn known(staging: bool) -> Result<(), Failure> {
    if staging {
        return Err(Failure::usage(
            "--staging: the public instances are not known here, pass their --trusted-root and --signing-config",
        ));
    }
    Ok(())
}

fn sign(asked: &Sign) -> Result<(), Failure> {
    known(asked.staging)?;
    if asked.signing_config.is_none() {
        return Err(Failure::usage("the public instance is not known here, pass its --signing-config"));
    }
    let mut words: Vec<OsString> = vec!["bulla".into(), "sign".into()];
    let files = [
        ("--bundle", Some(&asked.bundle)),
        ("--trusted-root", asked.trusted_root.as_ref()),
        ("--signing-config", asked.signing_config.as_ref()),
    ];
    for (option, file) in files {
        words.extend(file.into_iter().flat_map(|file| [option.into(), file.into()]));
    }
    // A name alone is a file's, whatever it looks like.
    let artifact = std::path::absolute(&asked.artifact).map_err(Failure::usage)?;
    words.extend(["--identity-token".into(), asked.identity_token.clone().into(), artifact.into()]);
    match config::flags::<Cli<Tool>>(&words) {
        Ok(cli) => crate::complete(command::run(Command::Tool(cli.command))).map(drop),
        Err(refused) => Err(match refused.into_exit() {
            Err(failure) => failure,
            Ok(_) => Failure::usage("the options cannot be read"),
        }),
    }
}

async fn verify(asked: Verify) -> Result<(), Failure> {
    known(asked.staging)?;
    let root = asked.trusted_root.as_deref().ok_or_else(|| {
        Failure::usage("nobody is believed: the public instance is not known here, pass its --trusted-root")
    })?;
    let text = read_small(root, MAX_TRUSTED_ROOT as u64)?;
    let root =
        TrustedRoot::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", root.display())))?;
    let bundle = read_small(&asked.bundle, MAX_BUNDLE as u64)?;
    let mut policy = Policy {
        keys: Vec::new(),
        identities: Vec::new(),
        content: Content::Signature,
        log: Need::Required,
        sct: Need::Required,
    };
    if let Some(key) = &asked.key {
        policy.keys.push(verification_key(key, &Passwords::new(None)).await?.spki().to_vec());
    }
    if let (Some(subject), Some(issuer)) = (&asked.certificate_identity, &asked.certificate_oidc_issuer) {
        let exact = |text: &str| Pattern::exact(text).map_err(Failure::usage);
        policy.identities.push(IdentityPattern { issuer: exact(issuer)?, subject: exact(subject)? });
    }
    let bytes;
    let artifact = if let Some(hash) = digest(&asked.artifact) {
        Artifact::Sha256(hash)
    } else {
        bytes = read_small(Path::new(&asked.artifact), LARGEST_FILE)?;
        Artifact::Bytes(&bytes)
    };
    let mut judged = judge_bundle(&bundle, &artifact, &root, &policy, unix_now());
    // Nobody says here whether a signature or a statement is meant, so it is whichever it is.
    if let Some(statement) = judged.statement.as_ref().filter(|_| !judged.verified()) {
        let wanted = WantedType::parse(&statement.predicate_type).map_err(Failure::check)?;
        policy.content = Content::Attestation(wanted);
        judged = judge_bundle(&bundle, &artifact, &root, &policy, unix_now());
    }
    match judged.failed().map(|check| (check.name, &check.outcome)) {
        None => Ok(()),
        Some((name, Outcome::Failed(problem))) => Err(Failure::check(format!("{name}: {problem}"))),
        Some((name, _)) => Err(Failure::check(name)),
    }
}

/// What is a digest and no file.
fn digest(text: &str) -> Option<Hash> {
    let hash = Hash::from_hex(text.strip_prefix("sha256:")?)?;
    (!Path::new(text).exists()).then_some(hash)
}

/// Files are verified in memory.
const LARGEST_FILE: u64 = 1 << 30;
