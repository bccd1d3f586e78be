//! `bulla report`: what many images have of signatures and statements, for who must show it to others. `bulla report verify`:
//! the same, judged again by those others.

mod make;
mod verify;

use std::process::ExitCode;

use super::Failure;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: make::Args,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Judge a report again, without a network: its signature, every signature in it, and all that it says
    Verify(Box<verify::Args>),
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Some(Command::Verify(args)) => verify::run(&args).await,
        None => make::run(&args.make).await,
    }
}
