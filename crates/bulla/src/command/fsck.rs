//! `bulla fsck`: judges a whole log from public data alone, and says how fast it goes and what it found.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bulla_ledger::fsck::{self, CheckError, Earlier, Fault, Options, Progress, Report, SignedBy, WINDOW};
use bulla_tlog::Checkpoint;
use bulla_tlog::note::{MAX_NOTE, Verifier};
use bulla_tlog::policy::Policy;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;

use super::{Failure, Output};
use crate::target::{self, read_small};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: target::Args,
    /// Checkpoint saved earlier, which the log must still continue; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Keep how far the check came in this file, go on from there, and prove that the log was only added to since
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Witness policy whose quorum must have cosigned the checkpoint (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Entry bundles in work at the same time
    #[arg(long, value_name = "N", default_value_t = WINDOW as u16, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// What the report looks like
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let shards = args.target.shards()?;
    if shards.len() > 1 && (args.state.is_some() || !args.checkpoint.is_empty()) {
        let last = &shards[shards.len() - 1];
        let problem = "are about one shard, this log has several: pass the directory of one, such as";
        return Err(Failure::usage(format!("--state and --checkpoint {problem} {last}")));
    }
    let mut sound = true;
    for shard in shards {
        sound &= check(&shard, &args).await?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(UNSOUND) })
}

/// Judges one shard, reports, and says whether it is sound.
async fn check(target: &target::Args, args: &Args) -> Result<bool, Failure> {
    let (source, key) = target.open_with_key().await?;
    let options = Options {
        window: args.parallel.into(),
        earlier: args.checkpoint.iter().map(|path| saved(path, &key)).collect::<Result<_, _>>()?,
        policy: args.policy.as_deref().map(policy).transpose()?,
        state: args.state.clone(),
    };
    let name = source.name();
    let display = Display::new();
    let judged = fsck::check(source, &key, options, &|progress| display.show(progress)).await;
    display.end();
    let report = judged.map_err(|error| match error {
        CheckError::State(_) => Failure::usage(error),
        CheckError::Unavailable { .. } => Failure::unavailable(error),
    })?;
    match args.output {
        Output::Human => print!("{}", human(&name, &report)),
        Output::Json => println!("{:#}", machine(&name, &report)),
    }
    Ok(report.fault.is_none())
}

fn saved(path: &Path, key: &Verifier) -> Result<Earlier, Failure> {
    let note = String::from_utf8_lossy(&read_small(path, MAX_NOTE as u64)?).into_owned();
    let name = path.display().to_string();
    match Checkpoint::open(&note, key) {
        Ok((checkpoint, _)) => Ok(Earlier { name, checkpoint }),
        Err(error) => Err(Failure::usage(format!("{name}: {error}"))),
    }
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = read_small(path, LARGEST_POLICY)?;
    let policy = Policy::parse(&String::from_utf8_lossy(&bytes));
    policy.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// A bar for a person, a line now and then for a log file.
struct Display {
    bar: Option<ProgressBar>,
    /// The first progress, from which rates count, and when something was last said.
    since: Mutex<Option<(Progress, Instant, Instant)>>,
}

impl Display {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        Self { bar, since: Mutex::new(None) }
    }

    fn show(&self, progress: Progress) {
        let now = Instant::now();
        let mut since = self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (first, began, said) = since.get_or_insert((progress, now, now));
        if let Some(bar) = &self.bar {
            if progress == *first {
                bar.set_length(progress.size);
                bar.set_style(style());
                bar.set_position(progress.checked);
                bar.reset_eta();
            }
            bar.set_position(progress.checked);
            let rate = progress.bytes as f64 / (now - *began).as_secs_f64().max(1e-3);
            bar.set_message(format!("{}/s", megabytes(rate)));
        } else if now - *said >= SAY_EVERY {
            *said = now;
            let seconds = (now - *began).as_secs().max(1);
            let entries_per_second = (progress.checked - first.checked) / seconds;
            let bytes_per_second = progress.bytes / seconds;
            tracing::info!(
                checked = progress.checked,
                size = progress.size,
                entries_per_second,
                bytes_per_second,
                "checking the log"
            );
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let per_second = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // A rate that cannot be written leaves a gap in the bar, nothing else.
        let _gap = write!(text, "{:.0}", state.per_sec());
    };
    ProgressStyle::with_template(
        "{bar:30} {percent:>3}%  {human_pos} of {human_len} entries  {rate} entries/s  {msg}  {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
    .with_key("rate", per_second)
}

fn human(name: &str, report: &Report) -> String {
    let mut rows = vec![(if report.fault.is_none() { "sound" } else { "UNSOUND" }, name.to_owned())];
    rows.extend(report.fault.as_ref().map(|fault| ("fault", fault.to_string())));
    if let Some(Checkpoint { origin, size, root, .. }) = &report.checkpoint {
        let frozen = report.checkpoint.as_ref().is_some_and(Checkpoint::is_frozen);
        rows.push(("log", format!("{origin}, {size} entries{}", if frozen { ", frozen" } else { "" })));
        rows.push(("root", root.to_string()));
    }
    for SignedBy { name, key_id, verified } in &report.signers {
        let verified = if *verified { "verified" } else { "not verified, its key was not given" };
        rows.push(("signed", format!("{name} {key_id} ({verified})")));
    }
    if report.resumed_at > 0 {
        rows.push(("before", format!("{} entries verified by earlier runs", report.resumed_at)));
    }
    let seconds = report.elapsed.as_secs_f64().max(1e-3);
    let read = format!(
        "{} entries, {} in {seconds:.1} s ({:.0} entries/s, {}/s)",
        report.entries,
        megabytes(report.bytes as f64),
        report.entries as f64 / seconds,
        megabytes(report.bytes as f64 / seconds),
    );
    rows.push(("read", read));
    rows.iter().fold(String::new(), |text, (name, value)| text + &format!("{name:<8} {value}\n"))
}

fn machine(name: &str, report: &Report) -> serde_json::Value {
    let seconds = report.elapsed.as_secs_f64();
    let fault = |fault: &Fault| {
        json!({
            "kind": fault.kind.as_str(),
            "file": fault.file,
            "entry": fault.entry,
            "offset": fault.offset,
            "problem": fault.problem,
        })
    };
    let signer = |SignedBy { name, key_id, verified }: &SignedBy| json!({ "name": name, "keyId": key_id, "verified": verified });
    let checkpoint = report.checkpoint.as_ref();
    json!({
        "sound": report.fault.is_none(),
        "log": name,
        "origin": checkpoint.map(|checkpoint| &checkpoint.origin),
        "size": checkpoint.map(|checkpoint| checkpoint.size),
        "root": checkpoint.map(|checkpoint| checkpoint.root.to_string()),
        "frozen": checkpoint.map(Checkpoint::is_frozen),
        "signatures": report.signers.iter().map(signer).collect::<Vec<_>>(),
        "resumedAt": report.resumed_at,
        "entries": report.entries,
        "bytes": report.bytes,
        "seconds": seconds,
        "entriesPerSecond": report.entries as f64 / seconds.max(1e-3),
        "fault": report.fault.as_ref().map(fault),
    })
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// What was checked is not as it must be.
const UNSOUND: u8 = 1;
const SAY_EVERY: Duration = Duration::from_secs(10);
const LARGEST_POLICY: u64 = 1 << 20;
