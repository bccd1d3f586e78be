//! The roof: the one program, its commands, and the only place that knows configuration.

mod command;
mod config;
mod doctor;
mod home;
mod keys;
mod known;
mod logging;
mod materials;
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of this room stand outside and need more; tags, HEAD and ping wait for the tag proxy"
)]
mod registry;
mod rekor_cli;
mod rekor_environment;
mod reporting;
mod sarif;
mod server;
mod service;
mod signing;
mod target;
mod text;
mod verification;
mod whole_file;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::command::{Command, Failure};

/// A transparency log for signed software, and what a team needs around it.
#[derive(Parser)]
#[command(name = "bulla", version, about, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    logging: logging::Args,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 what was checked is not as it must be, 2 a wrong option, key, file or \
                          directory, 3 unavailable now.";

fn main() -> ExitCode {
    // Whoever asks for TLS later gets this provider; a second installation would be a second program.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if rekor_cli::is_invoked() {
        return rekor_cli::main();
    }
    match config::parse::<Cli>(std::env::args_os()) {
        Ok(config::Parsed::Run(cli, honoured)) => finish(run(cli, &honoured)),
        Ok(config::Parsed::Show(text)) => {
            command::say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => finish(error.into_exit()),
    }
}

fn run(cli: Cli, honoured: &[String]) -> Result<ExitCode, Failure> {
    logging::start(&cli.logging);
    for line in honoured {
        tracing::info!("{line}");
    }
    complete(command::run(cli.command))
}

/// Runs to the end what waits for the world.
fn complete<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(task);
    // What a stopped service left behind in a blocking call must not keep the process.
    runtime.shutdown_background();
    ended
}

fn finish(ended: Result<ExitCode, Failure>) -> ExitCode {
    ended.unwrap_or_else(|failure| {
        // If nobody can be told, the exit code still says it.
        let _unheard = writeln!(std::io::stderr(), "bulla: {failure}");
        failure.exit_code()
    })
}
