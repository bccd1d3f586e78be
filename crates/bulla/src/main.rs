//! The roof: the one program, its commands, and the only place that knows configuration.

mod cause;
mod command;
mod config;
mod conformance;
mod doctor;
mod home;
mod keys;
mod known;
mod logging;
mod materials;
mod named;
mod proxy;
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of this room stand outside and need more; HEAD and ping are asked by handing them on (the tag proxy)"
)]
mod registry;
mod rekor_cli;
mod rekor_environment;
mod remembered;
mod reporting;
mod sarif;
mod server;
mod service;
mod signing;
mod tags;
mod target;
mod text;
mod trust;
mod verification;
mod whole_file;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::command::{Command, Failure, Service, Tool};

/// A transparency log for signed software, and what a team needs around it.
#[derive(Parser)]
#[command(name = "bulla", version, about, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli<C: Subcommand> {
    #[command(flatten)]
    logging: logging::Args,
    #[command(subcommand)]
    command: C,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 what was checked is not as it must be, 2 a wrong option, key, file or \
                          directory, 3 unavailable now.";

fn main() -> ExitCode {
    // Whoever asks for TLS later gets this provider; a second installation would be a second program.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if rekor_cli::is_invoked() {
        return rekor_cli::main();
    }
    if conformance::is_invoked() {
        return conformance::main();
    }
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).and_then(|name| name.to_str()).is_some_and(Tool::has_subcommand) {
        return match config::flags::<Cli<Tool>>(&args) {
            Ok(Cli { logging, command }) => finish(run(&logging, &[], Command::Tool(command))),
            Err(refused) => finish(refused.into_exit()),
        };
    }
    match config::parse::<Cli<Command>>(&args, Service::has_subcommand) {
        Ok(config::Parsed::Run(Cli { logging, command }, honoured)) => {
            finish(run(&logging, &honoured, command))
        }
        Ok(config::Parsed::Show(text)) => {
            command::say(&text);
            ExitCode::SUCCESS
        }
        Err(refused) => finish(refused.into_exit()),
    }
}

fn run(logging: &logging::Args, honoured: &[String], command: Command) -> Result<ExitCode, Failure> {
    logging::start(logging);
    for line in honoured {
        tracing::info!("{line}");
    }
    if command.is_brief() { complete_alone(command::run(command)) } else { complete(command::run(command)) }
}

/// Runs to the end what waits for the world.
fn complete<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    ended(runtime::Builder::new_multi_thread(), task)
}

/// The same for what waits for one thing at a time, and is done before threads had been started.
fn complete_alone<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    ended(runtime::Builder::new_current_thread(), task)
}

fn ended<T>(
    mut threads: runtime::Builder,
    task: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = threads
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("cannot start threads: {error}")))?;
    let ended = runtime.block_on(task);
    // What a stopped service left behind in a blocking call must not keep the process.
    runtime.shutdown_background();
    ended
}

fn finish(ended: Result<ExitCode, Failure>) -> ExitCode {
    let ended = ended.and_then(|code| command::unsaid().map_or(Ok(code), Err));
    ended.unwrap_or_else(|failure| {
        // If nobody can be told, the exit code still says it.
        let said = failure.to_string();
        let said: Vec<_> = said.lines().map(text::printable).collect();
        let _unheard = writeln!(std::io::stderr(), "bulla: {}", said.join("\n"));
        failure.exit_code()
    })
}
