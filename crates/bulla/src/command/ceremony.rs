//! `bulla trust init|add-key|remove-key|sign|show|publish`: the ceremony in which a root of the trust repository is made. The draft
//! is one file, which is carried to where each key is; only the first and the last step need the data directory.

use std::fs;
use std::path::{Path, PathBuf};

use bulla_authority::tuf::RepositoryError;
use bulla_authority::tuf::ceremony::{self, Draft};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Failure, Output, say};
use crate::keys::{Passwords, signing_key};
use crate::text;

/// A step.
#[derive(clap::Subcommand)]
pub(super) enum Step {
    /// Begin the next root of the trust repository: a draft with the keys of the one before
    Init(Init),
    /// Name a key in the draft
    AddKey(AddKey),
    /// No longer name a key in the draft
    RemoveKey(RemoveKey),
    /// Sign the draft
    Sign(Sign),
    /// Say what the draft names and who signed it
    Show(Paper),
    /// Put the draft in the repository, once enough keys have signed it
    Publish(Publish),
}

// The draft that is on the table.
#[derive(clap::Args)]
pub(super) struct Paper {
    /// The draft
    #[arg(long, value_name = "FILE", default_value = "root.draft.json")]
    draft: PathBuf,
    /// For whom to write
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(clap::Args)]
pub(super) struct Init {
    #[command(flatten)]
    paper: Paper,
    /// Directory that holds the log and the repository
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
    /// Root keys that must sign each root from then on
    #[arg(long, value_name = "N", default_value = "1")]
    threshold: u64,
    /// How long the root is believed
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = text::duration)]
    lifetime: std::time::Duration,
}

#[derive(clap::Args)]
pub(super) struct AddKey {
    #[command(flatten)]
    paper: Paper,
    /// Name it for the daily work of the server instead of for the root
    #[arg(long)]
    online: bool,
    /// Public key, PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(clap::Args)]
pub(super) struct RemoveKey {
    #[command(flatten)]
    paper: Paper,
    /// Of those for the daily work
    #[arg(long)]
    online: bool,
    /// The key, as `show` names it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(clap::Args)]
pub(super) struct Sign {
    #[command(flatten)]
    paper: Paper,
    /// Private key of a root key that the draft or the root before it names: the path of a file, `env://NAME`, or the URI of a
    /// key that somebody keeps
    #[arg(long, value_name = "KEY")]
    root_key: String,
    /// File with its password. Else `BULLA_KEY_PASSWORD`, `COSIGN_PASSWORD`, the terminal, or a line of standard input
    #[arg(long, value_name = "FILE")]
    root_key_password_file: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(super) struct Publish {
    #[command(flatten)]
    paper: Paper,
    /// Directory that holds the log and the repository
    #[arg(long, value_name = "DIR", default_value = "bulla-data")]
    data: PathBuf,
}

pub(super) async fn run(step: &Step) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut begun = None;
    let (paper, draft) = match step {
        Step::Init(Init { paper, data, threshold, lifetime }) => {
            let lifetime = SignedDuration::try_from(*lifetime).map_err(Failure::usage)?;
            begun = begins(data)?;
            (paper, ceremony::init(&repository(data), &paper.draft, *threshold, now, lifetime))
        }
        Step::AddKey(AddKey { paper, online, file }) => {
            let add = if *online { ceremony::add_online_key } else { ceremony::add_key };
            let failed = |error| Failure::usage(format!("{}: {error}", file.display()));
            (paper, add(&paper.draft, &fs::read_to_string(file).map_err(failed)?))
        }
        Step::RemoveKey(RemoveKey { paper, online, id }) => {
            let remove = if *online { ceremony::remove_online_key } else { ceremony::remove_key };
            (paper, remove(&paper.draft, id))
        }
        Step::Sign(Sign { paper, root_key, root_key_password_file }) => {
            let passwords =
                Passwords::with_option(root_key_password_file.clone(), "--root-key-password-file");
            let key = signing_key(root_key, &passwords).await?;
            (paper, ceremony::sign(&paper.draft, &*key).await)
        }
        Step::Show(paper) => (paper, ceremony::show(&paper.draft)),
        Step::Publish(Publish { paper, data }) => {
            begun = begins(data)?;
            (paper, ceremony::publish(&paper.draft, &repository(data), now))
        }
    };
    let draft = draft.map_err(refused)?;
    if let Some(repository) = begun {
        let said = if matches!(step, Step::Init(_)) { "there is none yet" } else { "there was none before" };
        eprintln!("version 1 begins a new trust repository at {}: {said}", repository.display());
    }
    say(&described(&draft, paper.output));
    Ok(())
}

fn refused(error: RepositoryError) -> Failure {
    match error {
        RepositoryError::DropsOnline { .. } => {
            Failure::usage(format!("{error}: name it again, and replace it with `bulla trust rotate tuf`"))
        }
        RepositoryError::Threshold { .. } => Failure::check(error),
        RepositoryError::Write(_) => Failure::unavailable(error),
        other => Failure::usage(other),
    }
}

/// Where a new repository would begin: the absolute path, for whoever mistyped it. None if there is one.
fn begins(data: &Path) -> Result<Option<PathBuf>, Failure> {
    let wrong = |problem: String| Failure::usage(format!("--data {}: {problem}", data.display()));
    let whole = std::path::absolute(data).map_err(|error| wrong(error.to_string()))?;
    let parent = whole.parent().unwrap_or(&whole);
    if whole.exists() && !whole.is_dir() {
        return Err(wrong("is no directory".to_owned()));
    }
    if !whole.exists() && !parent.is_dir() {
        let (whole, parent) = (whole.display(), parent.display());
        return Err(wrong(format!(
            "neither {whole} nor {parent} is there: say where the log is, or make {parent} if a new repository is to begin \
             below it"
        )));
    }
    let repository = repository(&whole);
    Ok(ceremony::current(&repository).map_err(refused)?.is_none().then_some(repository))
}

fn repository(data: &Path) -> PathBuf {
    data.join("tuf/repository")
}

fn described(draft: &Draft, output: Output) -> String {
    let Draft {
        version,
        expires,
        threshold,
        root_keys,
        online_keys,
        signed_by,
        missing_keys,
        missing_signatures,
    } = draft;
    if output == Output::Json {
        let json = json!({
            "version": version, "expires": expires.to_string(), "threshold": threshold,
            "rootKeys": root_keys, "onlineKeys": online_keys, "signedBy": signed_by,
            "missingKeys": missing_keys, "missingSignatures": missing_signatures,
        });
        return format!("{json}\n");
    }
    let mut lines = String::new();
    text::line(&mut lines, "root", format_args!("version {version}, until {expires}"));
    text::line(&mut lines, "must sign", format_args!("{threshold} of {}", root_keys.len()));
    for (name, keys) in [("root key", root_keys), ("online key", online_keys), ("signed by", signed_by)] {
        for key in keys {
            text::line(&mut lines, name, key);
        }
    }
    if *missing_keys > 0 {
        let next = format_args!("{missing_keys} more root keys: bulla trust add-key FILE");
        text::line(&mut lines, "needs", next);
    } else if *missing_signatures > 0 {
        let next = format_args!("{missing_signatures} more signatures: bulla trust sign --root-key FILE");
        text::line(&mut lines, "needs", next);
    }
    lines
}
