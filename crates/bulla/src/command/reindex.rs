//! `bulla reindex`: deletes the search indexes of a stopped log and grows them again from its entries.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Instant;

use bulla_rekor::search::Search;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, say};
use crate::home::{self, Absent, Home};
use crate::service::running::{How, Running};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    home: home::Args,
    /// Threads that read entries [default: one for each core]
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let home = Home::find(&args.home, Absent::Refuse)?;
    let in_use = "stop `bulla serve` first; while it runs, its indexes grow by themselves";
    let running = Running::start(home, in_use, How { read_only: true, ..How::default() }).await?;
    let threads =
        args.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, std::num::NonZero::get);
    for placed in running.shards().all().iter() {
        let dir = running.place(placed.tree()).join("search");
        let (reader, began) = (placed.log().reader().clone(), Instant::now());
        let bar = bar(reader.published().size);
        let shown = bar.clone();
        let rebuilt = tokio::task::spawn_blocking(move || {
            Search::rebuild(&dir, &reader, threads, move |done, total| {
                shown.set_position(done);
                if shown.is_hidden() {
                    tracing::info!(done, total, "rebuilding the search index");
                }
            })
        });
        let search = rebuilt.await.map_err(Failure::unavailable)?.map_err(Failure::unavailable)?;
        bar.finish_and_clear();
        let (entries, seconds) = (search.complete(), began.elapsed().as_secs_f64());
        let rate = entries as f64 / seconds.max(0.001);
        say(&format!(
            "shard {}: {entries} entries indexed in {seconds:.1} s, {rate:.0} a second\n",
            placed.tree()
        ));
    }
    running.stop().await.map_err(Failure::unavailable)?;
    Ok(ExitCode::SUCCESS)
}

fn bar(entries: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:40} {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::new(entries).with_message("indexing");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}
