//! `bulla freeze`: ends a stopped log for good. Everything accepted is in its last checkpoint, which says that it is the
//! last (reference server's extension line); from then on entries are answered with 405.

use std::process::ExitCode;

use super::{Failure, say};
use crate::home::{self, Absent, Home, unix_now};
use crate::service::running::{How, Running};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: home::Args,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let home = Home::find(&args.home, Absent::Refuse)?;
    let in_use = "stop `bulla serve` first (it answers what it accepted), freeze, and start it again to serve the frozen log";
    let running = Running::start(home, in_use, How::default()).await?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::unavailable(format!("the log cannot be frozen: {error}"));
    let log = running.active();
    let frozen_before = log.status().frozen;
    let last = log.freeze(unix_now()).await.map_err(|error| failed(&error))?;
    running.stop().await.map_err(|error| failed(&error))?;
    if frozen_before {
        eprintln!("the log was frozen before; its final checkpoint stands");
    }
    say(&String::from_utf8_lossy(&last.note));
    Ok(ExitCode::SUCCESS)
}
