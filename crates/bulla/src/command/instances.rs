//! `bulla trust add|list|refresh|forget`: the trust repositories that this user believes, each by a root that was given once.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Failure, Output, say};
use crate::text::line;
use crate::trust::{Found, Network, Pinned, TRUSTED_ROOT};

/// What is done with them.
#[derive(clap::Subcommand)]
pub(super) enum Step {
    /// Believe a trust repository from now on, by the root that its owner gave you
    Add(Add),
    /// List the trust repositories that are believed
    List(List),
    /// Ask trust repositories what they say now, so that it is known where there is no network
    Refresh(Refresh),
    /// Believe a trust repository no longer
    Forget(Forget),
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// Address of the repository, where timestamp.json is
    #[arg(value_name = "URL")]
    url: String,
    /// A root.json of it that came another way than from there
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// For whom to write
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(clap::Args)]
pub(super) struct Refresh {
    /// Which one [default: all]
    #[arg(value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Args)]
pub(super) struct Forget {
    /// Which one
    #[arg(value_name = "URL")]
    url: String,
}

pub(super) async fn run(step: &Step) -> Result<(), Failure> {
    match step {
        Step::Add(add) => {
            let pinned = Pinned::new(&add.url, &add.root)?;
            let found = asked(&pinned).await?;
            pinned.keep()?;
            told(&[(pinned, Ok(found))], add.list.output);
            Ok(())
        }
        Step::List(list) => {
            let mut all = Vec::new();
            for pinned in Pinned::all()? {
                let found = pinned.target(TRUSTED_ROOT, Network::Never, Timestamp::now()).await;
                all.push((pinned, found));
            }
            told(&all, list.output);
            Ok(())
        }
        Step::Refresh(refresh) => {
            let which = match &refresh.url {
                Some(url) => vec![Pinned::of(url)?],
                None => Pinned::all()?,
            };
            if which.is_empty() {
                return Err(Failure::usage(
                    "no trust repository was added: `bulla trust add URL --root FILE`",
                ));
            }
            let mut all = Vec::new();
            for pinned in which {
                let found = asked(&pinned).await;
                all.push((pinned, found));
            }
            told(&all, refresh.list.output);
            all.into_iter().try_for_each(|(_, found)| found.map(drop))
        }
        Step::Forget(forget) => Pinned::of(&forget.url)?.forget(),
    }
}

async fn asked(pinned: &Pinned) -> Result<Found, Failure> {
    pinned.target(TRUSTED_ROOT, Network::Always, Timestamp::now()).await
}

fn told(all: &[(Pinned, Result<Found, Failure>)], output: Output) {
    match output {
        Output::Human => all.iter().for_each(|(pinned, found)| say(&human(pinned, found))),
        Output::Json => {
            let all: Vec<_> = all.iter().map(|(pinned, found)| machine(pinned, found)).collect();
            say(&format!("{:#}\n", json!({ "instances": all })));
        }
    }
}

fn human(pinned: &Pinned, found: &Result<Found, Failure>) -> String {
    let mut text = String::new();
    line(&mut text, "instance", &pinned.url);
    match found {
        Ok(Found { versions: (root, targets), expires, .. }) => {
            line(&mut text, "root", format_args!("version {root}"));
            line(&mut text, "targets", format_args!("version {targets}"));
            line(&mut text, "counts until", expires);
        }
        Err(failure) => line(&mut text, "problem", failure),
    }
    text
}

fn machine(pinned: &Pinned, found: &Result<Found, Failure>) -> Value {
    let url = pinned.url.as_str();
    match found {
        Ok(Found { versions: (root, targets), expires, .. }) => {
            json!({ "url": url, "root": root, "targets": targets, "expires": expires.to_string() })
        }
        Err(failure) => json!({ "url": url, "problem": failure.to_string() }),
    }
}
