//! `bulla trust`: prints the files that clients need to use and to verify this log, replaces keys, makes the roots of the
//! repository that hands the files out, and keeps the list of the repositories of others that are believed. Reads only public files of the data directory, so the log may be running, and its keys may be elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use bulla_rekor::trust::Apis;

use super::{Failure, ceremony, instances, rotate, say};
use crate::home::Identity;
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
    SigningConfig(SigningConfig),
    /// Replace the key of an authority, so that clients know the new one before it signs
    Rotate(rotate::Args),
    #[command(flatten)]
    Ceremony(ceremony::Step),
    #[command(flatten)]
    Instances(instances::Step),
}

#[derive(clap::Args)]
struct SigningConfig {
    #[command(flatten)]
    inputs: Inputs,
    /// Versions of the log's API that clients may use
    #[arg(long, value_enum, default_value_t = Api::Both)]
    api: Api,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Api {
    /// the newest that each client knows
    Both,
    /// promises and integrated times
    V1,
    /// tiles, and times from a timestamp authority
    V2,
}

impl From<Api> for Apis {
    fn from(api: Api) -> Self {
        match api {
            Api::Both => Self::Both,
            Api::V1 => Self::V1,
            Api::V2 => Self::V2,
        }
    }
}

#[derive(clap::Args)]
struct Inputs {
    /// Directory that holds the log
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
    #[command(flatten)]
    trust: trust::Args,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (inputs, api) = match &args.document {
        Document::Root(inputs) => (inputs, None),
        Document::SigningConfig(SigningConfig { inputs, api }) => (inputs, Some((*api).into())),
        Document::Rotate(args) => {
            rotate::run(args).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Document::Ceremony(step) => {
            ceremony::run(step).await?;
            return Ok(ExitCode::SUCCESS);
        }
        Document::Instances(step) => {
            instances::run(step).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let shards = Identity::read_all(&inputs.data)?;
    let remembered = Identity::url(&inputs.data);
    let url = inputs.trust.url.as_deref().or(remembered.as_deref());
    let documents = Documents::new(&shards, url, DEFAULT_PORT, &inputs.trust, &inputs.data)?;
    let text = match api {
        None => documents.trusted_root()?,
        Some(api) => documents.signing_config(api)?,
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// Where a log listens that was never told otherwise.
const DEFAULT_PORT: u16 = 3000;
