//! Logs on standard error: lines for a person on a terminal, JSON for a collector anywhere else.

use std::io::{IsTerminal as _, stderr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

// How to log.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// What log lines look like
    #[arg(long, global = true, value_enum, default_value_t = Format::Auto, help_heading = "Logs")]
    log_format: Format,
    /// The least important line that is logged
    #[arg(long, global = true, value_enum, default_value_t = Level::Info, help_heading = "Logs")]
    log_level: Level,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// human on a terminal, json elsewhere
    Auto,
    /// one line for a person
    Human,
    /// one JSON object a line
    Json,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Starts logging, once.
pub(crate) fn start(args: &Args) {
    let level = match args.log_level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // Targets match by prefix, so this is every room of ours; of others only what needs an operator.
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("bulla", level);
    let terminal = stderr().is_terminal();
    // A log line that cannot be written, say to a full disk, is lost; reporting that would panic.
    let layer = tracing_subscriber::fmt::layer().with_writer(stderr).log_internal_errors(false);
    let layer = match args.log_format {
        Format::Auto if terminal => layer.with_ansi(true).boxed(),
        Format::Human => layer.with_ansi(terminal).boxed(),
        Format::Auto | Format::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
}
