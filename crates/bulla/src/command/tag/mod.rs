//! `bulla tag`: what a log has of a tag, whether that is one history, and how a tag is allowed to move.

mod approve;
mod check;
mod history;

use std::process::ExitCode;
use std::sync::Arc;

use bulla_claims::tag::{History, Moving, TagName};
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use crate::registry::Reference;
use crate::tags::{self, Place, RoleArgs, TagLog};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Sign and log that a tag may move, once and for a while
    Approve(Box<approve::Args>),
    /// Show everything that was recorded and approved of a tag
    History(Box<history::Args>),
    /// Check that a tag points where its history says, or that an answer of the proxy is proved
    Check(Box<check::Args>),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Approve(args) => approve::run(*args).await,
        Command::History(args) => history::run(*args).await,
        Command::Check(args) => check::run(*args).await,
    }
}

// Options of who reads a history.
#[derive(clap::Args)]
#[group(skip)]
struct Reading {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    roles: RoleArgs,
    /// Tag that moves by design, * standing for any text; those of signatures do anyway [default: latest, edge, nightly,
    /// *-nightly]
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    moving: Vec<String>,
    /// Read every leaf of the log, and do not believe its search
    #[arg(long)]
    all: bool,
}

/// A history, and how much of the log was read for it.
struct Read {
    history: History,
    moving: Moving,
    walked: Option<u64>,
}

impl Reading {
    fn moving(&self) -> Result<Moving, Failure> {
        let patterns: Vec<&str> = if self.moving.is_empty() {
            Moving::DEFAULT.to_vec()
        } else {
            self.moving.iter().map(String::as_str).collect()
        };
        Moving::new(patterns).map_err(|error| Failure::usage(format!("--moving: {error}")))
    }

    async fn read(&self, tag: &TagName) -> Result<Read, Failure> {
        let moving = self.moving()?;
        let roles = self.roles.read().await?.some_recorder()?;
        let root = self.place.root(false).await?;
        let log = TagLog::new(&self.place.rekor_url, roles, Arc::new(root), None)?;
        if !self.all {
            let history = log.look(tag).await.map_err(Failure::from)?.history;
            return Ok(Read { history, moving, walked: None });
        }
        let style = "{bar:30} {human_pos} of {human_len} leaves  {per_sec}  {eta} left";
        let bar = ProgressBar::new(0)
            .with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
        let progress = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let walked = tags::walk(&log, tag, &progress).await;
        bar.finish_and_clear();
        let (logged, leaves) = walked.map_err(Failure::from)?;
        Ok(Read { history: History::of(logged), moving, walked: Some(leaves) })
    }
}

/// The canonical name of a tag that was typed, and the digest if there is one.
fn named(text: &str) -> Result<(TagName, Reference), Failure> {
    let reference: Reference = text.parse().map_err(Failure::usage)?;
    let none = || Failure::usage(format!("{text}: names no tag, NAME:TAG was expected"));
    let tag = reference.tag().ok_or_else(none)?;
    let name = tags::name_of(reference.repository(), tag).map_err(Failure::usage)?;
    Ok((name, reference))
}
