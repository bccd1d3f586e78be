//! The judgement of many images, so many at a time. Rows come in the order in which the images were named, one by one: how
//! many images there are costs no memory.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla_claims::judge::Judged;
use futures_util::stream::{StreamExt as _, iter};
use indicatif::{ProgressBar, ProgressStyle};

use super::evidence::{Blob, Evidence};
use super::members::{self, Member};
use super::named::Named;
use super::row::{Entry, Row};
use super::witnesses::Witnesses;
use crate::command::Failure;
use crate::registry::{Image, Manifest, Name};
use crate::verification::{Asked, Candidate, Found};

/// Whether what was judged is kept in the rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// So that it can be judged again.
    Evidence,
    /// Only what was found out.
    Findings,
}

/// On what all of them are judged.
pub(crate) struct Grounds {
    /// Who must have signed, and who is believed.
    pub(crate) asked: Asked,
    /// Whose cosignatures of checkpoints are verified.
    pub(crate) witnesses: Option<Witnesses>,
    /// As if it were then, Unix seconds.
    pub(crate) now: u64,
    /// What the rows have of what was judged.
    pub(crate) keep: Keep,
}

/// Judges all of them, `jobs` at a time, and gives each row to `sink` in order.
pub(crate) async fn survey(
    named: Vec<Named>,
    grounds: &Arc<Grounds>,
    jobs: usize,
    mut sink: impl FnMut(Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut progress = Progress::of(named.len());
    let work = named.into_iter().map(|named| {
        let grounds = grounds.clone();
        tokio::spawn(async move { row(named, &grounds).await })
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

async fn row(named: Named, grounds: &Grounds) -> Row {
    let Named { text, image, uses, used_by } = named;
    let generated_at = time(grounds.now);
    let mut row = match image {
        Err(problem) => Row::unknown(text, problem, &generated_at),
        Ok(image) => match image.manifest().await {
            Err(error) => Row::unknown(text, error.to_string(), &generated_at),
            Ok(manifest) => {
                let mut row = Row::unknown(text, String::new(), &generated_at);
                let mut room = Room { entries: MOST_OF_MEMBERS, bytes: MOST_EVIDENCE };
                judge(&mut row, &image, &manifest, grounds, &mut room).await;
                follow(&mut row, &image, &manifest, grounds, &mut room).await;
                row
            }
        },
    };
    (row.uses, row.used_by) = (uses, used_by);
    row
}

/// What there is room for in a row.
struct Room {
    /// Signatures of members.
    entries: usize,
    /// Bytes of signatures that are carried along.
    bytes: usize,
}

async fn judge(row: &mut Row, image: &Image, manifest: &Manifest, grounds: &Grounds, room: &mut Room) {
    let asked = &grounds.asked;
    let mut found = Found::of_image(image, manifest, asked, grounds.now).await;
    asked.revocations.weigh(&mut found, None, &asked.policy, &asked.root).await;
    row.digest = Some(manifest.digest.to_string());
    fill(row, found, grounds, room);
}

/// Judges the members of an index, each by itself. They are not followed any further.
async fn follow(row: &mut Row, index: &Image, manifest: &Manifest, grounds: &Grounds, room: &mut Room) {
    let (listed, left_out) = members::listed(&row.image_ref, manifest);
    row.members_left_out = left_out;
    row.index = (!manifest.manifests().is_empty() && grounds.keep == Keep::Evidence)
        .then(|| Blob::of(&manifest.bytes));
    for Member { image_ref, digest, platform } in listed {
        let mut member = Row::unknown(image_ref.clone(), String::new(), &row.generated_at);
        member.platform = platform;
        let image = Image { source: index.source.clone(), name: Name::Digest(digest), text: image_ref };
        match image.manifest().await {
            _ if room.entries == 0 => {
                member.reason = Some(format!(
                    "members of its index have more than {MOST_OF_MEMBERS} signatures, the rest was not read"
                ));
            }
            Err(error) => member.reason = Some(error.to_string()),
            Ok(manifest) => judge(&mut member, &image, &manifest, grounds, room).await,
        }
        room.entries = room.entries.saturating_sub(member.entries.len());
        row.members.push(member);
    }
}

fn fill(row: &mut Row, found: Found, grounds: &Grounds, room: &mut Room) {
    row.unread = found.unread.iter().map(Into::into).collect();
    row.listed_by = found.listed.map(|listed| listed.name().to_owned());
    let mut judged: Vec<Option<Judged>> = Vec::with_capacity(found.candidates.len());
    let mut seen = HashSet::new();
    for Candidate { place, judged: found, form } in found.candidates {
        // A list may name a signature twice, which makes no two of it.
        if !seen.insert(Evidence::of(&form).id(&place)) {
            continue;
        }
        let mut entry = Entry::of(place, &found, grounds.witnesses.as_ref());
        room.bytes = room.bytes.saturating_sub(form.len());
        if grounds.keep == Keep::Evidence && room.bytes > 0 {
            entry.evidence = Some(Evidence::of(&form));
        }
        row.entries.push(entry);
        judged.push(Some(found));
    }
    row.weigh(&judged, &grounds.asked);
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

/// Signatures and statements of all members of one index that are told.
const MOST_OF_MEMBERS: usize = 1000;
/// Bytes of the signatures of one image, and of its members, that are carried along. What is more is judged, and said to have been.
const MOST_EVIDENCE: usize = 16 << 20;
const BETWEEN_LINES: Duration = Duration::from_secs(10);
