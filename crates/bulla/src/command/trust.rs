//! `bulla trust`: prints the files that clients need to use and to verify this log. Reads only public files of the data
//! directory, so the log may be running, and the private key may be elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, say};
use crate::home::{Identity, public_url};
use crate::service::trust::{self, Documents};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    document: Document,
}

#[derive(clap::Subcommand)]
enum Document {
    /// Print `trusted_root.json`: whom clients are to believe
    Root(Inputs),
    /// Print `signing_config.v0.2.json`: where clients are to send things
    SigningConfig(Inputs),
}

#[derive(clap::Args)]
struct Inputs {
    /// Directory that holds the log
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
    #[command(flatten)]
    trust: trust::Args,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (Document::Root(inputs) | Document::SigningConfig(inputs)) = &args.document;
    let identity = Identity::read(&inputs.data)?;
    let remembered = Identity::url(&inputs.data);
    let url = inputs.trust.url.as_deref().or(remembered.as_deref());
    let url = public_url(identity.verifier.name(), url, DEFAULT_PORT)?;
    let documents = Documents::new(&identity, url, &inputs.trust)?;
    let text = match &args.document {
        Document::Root(_) => documents.trusted_root()?,
        Document::SigningConfig(_) => documents.signing_config()?,
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// Where a log listens that was never told otherwise.
const DEFAULT_PORT: u16 = 3000;
