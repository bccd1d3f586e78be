//! `bulla log`: the heads of a log's trees and the proofs between them, through its v1 API.

mod info;
mod proof;

use std::process::ExitCode;

use super::Failure;

/// What can be asked.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Show the signed head of every tree, checked against what is remembered
    Info(info::Args),
    /// Show that a tree of one size is the beginning of one of another size
    Proof(proof::Args),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Info(args) => info::run(args).await,
        Command::Proof(args) => proof::run(args).await,
    }
}
