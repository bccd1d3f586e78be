//! `bulla freeze`: ends a stopped log for good. Everything accepted is in its last checkpoint, which says that it is the
//! last (reference server's extension line); from then on entries are answered with 405.

use std::process::ExitCode;
use std::sync::Arc;

use bulla_ledger::storage::StorageError;
use bulla_ledger::{IndexAt, Log, Options};

use super::{Failure, say};
use crate::home::{self, Absent, Home, unix_now};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: home::Args,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let home = Home::find(&args.home, Absent::Refuse)?;
    let storage = home.open(
        "stop `bulla serve` first (it answers what it accepted), freeze, and start it again to serve the frozen log",
    )?;
    let index = IndexAt::Dir(home.dir().join("index"));
    let verifier = home.verifier().clone();
    let options = Options::new(Arc::new(home.into_signer()), verifier, index);
    let failed =
        |error: &dyn std::fmt::Display| Failure::unavailable(format!("the log cannot be frozen: {error}"));
    let log = Log::start(Arc::new(storage), options).await.map_err(|error| failed(&error))?;
    let frozen_before = log.status().frozen;
    let last = log.freeze(unix_now()).await.map_err(|error| failed(&error))?;
    log.stop().await.map_err(|error: StorageError| failed(&error))?;
    if frozen_before {
        eprintln!("the log was frozen before; its final checkpoint stands");
    }
    say(&String::from_utf8_lossy(&last.note));
    Ok(ExitCode::SUCCESS)
}
