//! `bulla bench`: measures a running log, and in the same run the limits that its figures are ratios
//! of: raw signature checks, and flushes of the disk. Everything is prepared before the clock starts.

mod authorities;
mod fill;
mod load;
mod machine;
mod prepare;
mod report;
mod tags;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use load::{Pace, Target};

use super::{Failure, Output};

// What can be said to `bulla bench`.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Log new entries, each with a signature of its own
    Write {
        #[command(flatten)]
        common: Common,
        /// How many entries to send at most
        #[arg(long, default_value_t = 50_000)]
        entries: usize,
        /// What the entries are verified with
        #[arg(long, value_enum, default_value_t = prepare::Kind::Key)]
        kind: prepare::Kind,
        /// Through which door
        #[arg(long, value_enum, default_value_t = prepare::Api::V2)]
        api: prepare::Api,
        /// Different keys among the entries
        #[arg(long, default_value_t = 16)]
        keys: usize,
        /// Entries in a request, at most 100; more than one go to the batch endpoint
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// Directory on the log's disk, to measure one fdatasync there
        #[arg(long, value_name = "DIR")]
        disk: Option<PathBuf>,
    },
    /// Make a large log of entries that nobody signed, to measure what size costs
    Fill(fill::Args),
    /// Give what a tag proxy knows many tags that nobody can pull, to measure what their number costs
    Tags(tags::Args),
    /// Have certificates made by the authority of a `bulla up --dev`
    Certificates {
        #[command(flatten)]
        common: Common,
    },
    /// Have timestamps made by the authority of a `bulla up`
    Timestamps {
        #[command(flatten)]
        common: Common,
    },
    /// Measure the machine alone: raw signature checks, and flushes of its disk
    Limits {
        /// Directory on the disk to measure one fdatasync on
        #[arg(long, value_name = "DIR")]
        disk: Option<PathBuf>,
        /// How results are printed
        #[arg(long, value_enum, default_value_t = Output::Human)]
        output: Output,
    },
    /// Read one object again and again, or entries at random
    Read {
        #[command(flatten)]
        common: Common,
        /// Its path below the URL
        #[arg(long, default_value = "tile/0/000")]
        path: String,
        /// Read the paths in this file instead, one a line, each once and in this order
        #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "entries_below", "digests_below"])]
        paths: Option<PathBuf>,
        /// What is accepted as an answer, as registries want to hear it
        #[arg(long, value_name = "MEDIA-TYPE")]
        accept: Option<String>,
        /// Read entries with their proofs instead, at random below this index
        #[arg(long, value_name = "SIZE", conflicts_with = "digests_below")]
        entries_below: Option<u64>,
        /// Search for the digests of filled entries instead, at random below this index
        #[arg(long, value_name = "SIZE")]
        digests_below: Option<u64>,
    },
}

#[derive(clap::Args)]
struct Common {
    /// The log, as http://HOST:PORT
    url: String,
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long to send at most, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Requests a second, sent on schedule whatever the answers do; without it, as fast as they come
    #[arg(long)]
    rate: Option<f64>,
    /// Doubles the rate from --rate up, this many times, --seconds each
    #[arg(long, default_value_t = 0, requires = "rate")]
    ramp: u32,
    /// Process ID of the log, to measure what it uses
    #[arg(long)]
    pid: Option<u32>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// Measures and prints.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.what {
        What::Write { common, entries, kind, api, keys, batch, disk } => {
            let target = Target::parse(&common.url)?;
            let before = machine::limits(disk.as_deref())?;
            let wanted = prepare::Wanted { api, kind, entries, keys, batch };
            let requests = prepare::requests(&target, wanted)?;
            let runs = measure(&common, &target, &requests, true).await?;
            let after = machine::limits(disk.as_deref())?;
            report::print(common.output, &runs, report::Limit::Entries(&before.with(after)), &requests);
        }
        What::Certificates { common } => {
            let target = Target::parse(&common.url)?;
            let requests = authorities::certificate(&target).await?;
            against(&common, &target, &requests, authorities::certificate_limit).await?;
        }
        What::Timestamps { common } => {
            let target = Target::parse(&common.url)?;
            let requests = authorities::timestamp(&target);
            against(&common, &target, &requests, authorities::timestamp_limit).await?;
        }
        What::Fill(args) => fill::run(args).await?,
        What::Tags(args) => tags::run(args).await?,
        What::Limits { disk, output } => report::print_limits(output, &machine::limits(disk.as_deref())?),
        What::Read { common, path, paths, accept, entries_below, digests_below } => {
            let target = Target::parse(&common.url)?;
            let entries = entries_below.map(|size| (size, prepare::By::Index));
            let entries = entries.or(digests_below.map(|size| (size, prepare::By::Digest)));
            let accept = accept.as_deref();
            let requests = match (&paths, entries) {
                (Some(paths), _) => prepare::listed(&target, paths, accept)?,
                (None, Some((size, by))) => prepare::entries(&target, size, by)?,
                (None, None) => prepare::read(&target, &path, accept),
            };
            let once_each = paths.is_some() || entries.is_some();
            let runs = measure(&common, &target, &requests, once_each).await?;
            report::print(common.output, &runs, report::Limit::None, &requests);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one request for ever, and prints the figures beside a limit measured before and after.
async fn against(
    common: &Common,
    target: &Target,
    requests: &prepare::Requests,
    limit: fn() -> Result<machine::Speed, Failure>,
) -> Result<(), Failure> {
    let before = limit()?;
    let runs = measure(common, target, requests, false).await?;
    let limit = before.with(limit()?);
    report::print(common.output, &runs, report::Limit::Signatures(&limit), requests);
    Ok(())
}

/// One run, or one for each step of the ramp.
async fn measure(
    common: &Common,
    target: &Target,
    requests: &prepare::Requests,
    once_each: bool,
) -> Result<Vec<report::Run>, Failure> {
    let mut runs = Vec::new();
    let mut next = 0;
    for step in 0..=common.ramp {
        let rate = common.rate.map(|rate| rate * f64::from(1 << step));
        let pace = Pace {
            rate,
            during: Duration::from_secs(common.seconds),
            connections: common.connections.max(1),
        };
        let before = machine::Usage::of(common.pid)?;
        let load = load::run(target, requests, next, once_each, pace).await?;
        if once_each {
            next += load.latencies.len();
        }
        let after = machine::Usage::of(common.pid)?;
        let used = after.zip(before).map(|(after, before)| after.since(before));
        runs.push(report::Run { rate, load, used });
    }
    Ok(runs)
}
