//! The judgement of many images, so many at a time. Rows come in the order in which the images were named, one by one: how
//! many images there are costs no memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla_claims::judge::Judged;
use futures_util::stream::{StreamExt as _, iter};
use indicatif::{ProgressBar, ProgressStyle};

use super::evidence::Evidence;
use super::named::Named;
use super::row::{Entry, Row};
use crate::command::Failure;
use crate::verification::{Asked, Candidate, Found};

/// Whether what was judged is kept in the rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So that it can be judged again.
    Evidence,
    /// Only what was found out.
    Findings,
}

/// Judges all of them, `jobs` at a time, as if it were `now` (Unix seconds), and gives each row to `sink` in order.
pub(crate) async fn survey(
    named: Vec<Named>,
    asked: &Arc<Asked>,
    jobs: usize,
    now: u64,
    keep: Keep,
    mut sink: impl FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut progress = Progress::of(named.len());
    let generated_at: Arc<str> = time(now).into();
    let work = named.into_iter().map(|named| {
        let (asked, generated_at) = (asked.clone(), generated_at.clone());
        tokio::spawn(async move { row(named, &asked, now, keep, &generated_at).await })
    });
    let mut rows = iter(work).buffered(jobs);
    while let Some(row) = rows.next().await {
        sink(row.map_err(|error| {
            Failure::unavailable(format!("an image was not judged to its end: {error}"))
        })?)?;
        progress.step();
    }
    progress.end();
    Ok(())
}

async fn row(named: Named, asked: &Asked, now: u64, keep: Keep, generated_at: &str) -> Row {
    let Named { text, image, uses, used_by } = named;
    let mut row = match image {
        Err(problem) => Row::unknown(text, problem, generated_at),
        Ok(image) => match image.manifest().await {
            Err(error) => Row::unknown(text, error.to_string(), generated_at),
            Ok(manifest) => {
                let mut found = Found::of_image(&image, &manifest, asked, now).await;
                asked.revocations.weigh(&mut found, None, &asked.policy, &asked.root).await;
                let mut row = Row::unknown(text, String::new(), generated_at);
                row.digest = Some(manifest.digest.to_string());
                fill(&mut row, found, asked, keep);
                row
            }
        },
    };
    (row.uses, row.used_by) = (uses, used_by);
    row
}

fn fill(row: &mut Row, found: Found, asked: &Asked, keep: Keep) {
    row.unread = found.unread.iter().map(Into::into).collect();
    row.listed_by = found.listed.map(|listed| listed.name().to_owned());
    let mut bytes = 0;
    let mut judged: Vec<Option<Judged>> = Vec::with_capacity(found.candidates.len());
    let mut seen = HashSet::new();
    for Candidate { place, judged: found, form } in found.candidates {
        // A list may name a signature twice, which makes no two of it.
        if !seen.insert(Evidence::of(&form).id(&place)) {
            continue;
        }
        let mut entry = Entry::of(place, &found, &form);
        bytes += form.len();
        if keep == Keep::Evidence && bytes <= MOST_EVIDENCE {
            entry.evidence = Some(Evidence::of(&form));
        }
        row.entries.push(entry);
        judged.push(Some(found));
    }
    row.weigh(&judged, asked);
}

/// RFC 3339.
pub(super) fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).ok();
    seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).unwrap_or_default().to_string()
}

/// How far it is: a bar for a person, lines for a collector.
struct Progress {
    bar: ProgressBar,
    of: usize,
    done: usize,
    said: Instant,
}

impl Progress {
    fn of(of: usize) -> Self {
        // Drawn on standard error, and only if that is a terminal.
        let bar = ProgressBar::new(of as u64);
        let style =
            ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} images, {per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, of, done: 0, said: Instant::now() }
    }

    fn step(&mut self) {
        self.bar.inc(1);
        self.done += 1;
        if self.bar.is_hidden() && self.said.elapsed() > BETWEEN_LINES {
            self.said = Instant::now();
            tracing::info!(done = self.done, of = self.of, "images are judged");
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes of the signatures of one image that are carried along. What is more is judged, and said to have been.
const MOST_EVIDENCE: usize = 16 << 20;
const BETWEEN_LINES: Duration = Duration::from_secs(10);
