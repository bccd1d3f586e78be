//! The judge: recomputes a whole log from what a stranger can read and says whether every byte of it is sound.
//!
//! Entries are hashed and compared with level 0 tile by tile; every tile above is rebuilt and compared when it is
//! complete, the right edge at the end; the last root must be the signed one. Memory stays bounded whatever the size:
//! a window of bundles, and one tile per level. <https://c2sp.org/tlog-tiles>, RFC 9162 §2.1.

mod earlier;
mod fault;
mod objects;
mod rim;
mod state;
#[cfg(test)]
mod tests;
mod tile;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla_tlog::note::{Note, Verifier};
use bulla_tlog::policy::Policy;
use bulla_tlog::{Checkpoint, MAX_SIZE, TileId, TileNodes, WIDTH, empty_root, right_edge};
use futures_util::{StreamExt, stream};

pub use earlier::Earlier;
pub use fault::{Fault, FaultKind, ObjectError};
pub use objects::{Bundle, Object, Objects};

use crate::source::Source;
use rim::Rim;
use state::State;
use tile::{LeafTile, Stop, compare, leaf_tile};

/// What a check takes into account besides the log and its key.
#[derive(Default)]
pub struct Options {
    /// Bundles that are fetched and hashed at the same time; 0 means [`WINDOW`].
    pub window: usize,
    /// Checkpoints seen earlier: each must be a prefix of the log.
    pub earlier: Vec<Earlier>,
    /// The cosignatures that the checkpoint must have.
    pub policy: Option<Policy>,
    /// Where to keep how far the check came, and to go on from.
    pub state: Option<PathBuf>,
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Entries that need no further look, those of an earlier run included.
    pub checked: u64,
    /// Entries that the checkpoint promises.
    pub size: u64,
    /// Bytes of tiles and bundles read in this run.
    pub bytes: u64,
}

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The checkpoint, once it was known to be the log's.
    pub checkpoint: Option<Checkpoint>,
    /// Its signature lines.
    pub signers: Vec<SignedBy>,
    /// Entries that an earlier run had verified.
    pub resumed_at: u64,
    /// Entries that this run read.
    pub entries: u64,
    /// Bytes of tiles and bundles that this run read.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The first fault; `None` when the log is sound.
    pub fault: Option<Fault>,
}

/// A signature line of the checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedBy {
    /// Who it says signed.
    pub name: String,
    /// The key it says, as hexadecimal digits.
    pub key_id: String,
    /// Whether a key that was given here verifies it; `false` only means that no such key was given.
    pub verified: bool,
}

/// Why a check came to no verdict.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The log could not be read: try again.
    #[error("cannot read {file}: {cause}")]
    Unavailable {
        /// What was asked for.
        file: String,
        /// Why it did not come.
        cause: String,
    },
    /// The state file cannot be used.
    #[error("{0}")]
    State(String),
}

/// Checks a whole log. A fault is a result; an error is the lack of one.
pub async fn check(
    source: Arc<dyn Source>,
    key: &Verifier,
    options: Options,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Report, CheckError> {
    let started = Instant::now();
    let mut report = Report {
        checkpoint: None,
        signers: Vec::new(),
        resumed_at: 0,
        entries: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        fault: None,
    };
    let judged = judge(source, key, options, progress, &mut report).await;
    report.elapsed = started.elapsed();
    match judged {
        Ok(()) => Ok(report),
        Err(Halt::Object(ObjectError::Fault(fault))) => Ok(Report { fault: Some(*fault), ..report }),
        Err(Halt::Object(ObjectError::Unavailable { file, cause })) => {
            Err(CheckError::Unavailable { file, cause })
        }
        Err(Halt::State(problem)) => Err(CheckError::State(problem)),
    }
}

/// Why the walk ends early.
enum Halt {
    Object(ObjectError),
    State(String),
}

impl<E: Into<ObjectError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Object(error.into())
    }
}

async fn judge(
    source: Arc<dyn Source>,
    key: &Verifier,
    options: Options,
    progress: &(dyn Fn(Progress) + Send + Sync),
    report: &mut Report,
) -> Result<(), Halt> {
    let objects = Objects::new(source.as_ref());
    let note = objects.checkpoint().await?;
    let checkpoint = accept(&note, key, options.policy.as_ref(), report)?;
    let mut earlier = options.earlier;
    let mut rim = Rim::default();
    if let Some(state) = resume(options.state.as_deref())? {
        let (before, known) = earlier::from_state(&state, key, &checkpoint).map_err(Halt::State)?;
        rim = before;
        earlier.push(known);
    }
    report.resumed_at = rim.size();
    for known in &earlier {
        known.compare(&checkpoint)?;
        // A walk from the start passes every earlier size and can say where a tree went wrong; one that goes on
        // somewhere needs the proof.
        if rim.size() > 0 {
            known.prove(&objects, &checkpoint).await?;
        }
    }
    let walk = Walk { source: &source, objects, checkpoint: &checkpoint, earlier: &earlier, progress };
    let window = if options.window == 0 { WINDOW } else { options.window };
    let keep = options.state.as_deref().map(|path| Keep { path, origin: &checkpoint.origin, note: &note });
    let last = walk.entries(&mut rim, window, keep.as_ref(), report).await?;
    walk.right_edge(&rim, last.as_ref(), window, report).await?;
    if let Some(keep) = keep {
        keep.save(&rim).await?;
    }
    Ok(())
}

/// The checkpoint, if it is this log's and the policy's quorum cosigned it.
fn accept(
    note: &str,
    key: &Verifier,
    policy: Option<&Policy>,
    report: &mut Report,
) -> Result<Checkpoint, Fault> {
    let refused = |problem: String| Fault::new(FaultKind::Signature, CHECKPOINT, problem);
    let (checkpoint, note) = Checkpoint::open(note, key).map_err(|error| refused(error.to_string()))?;
    let cosigned = policy.map(|policy| policy.cosigned(&checkpoint, &note.signatures)).unwrap_or_default();
    report.signers = signers(&note, key, policy, &checkpoint);
    report.checkpoint = Some(checkpoint.clone());
    if let Some(policy) = policy.filter(|policy| !policy.satisfied(&cosigned)) {
        let problem = format!(
            "cosigned by {} of the policy's {} witnesses, which is no quorum",
            cosigned.len(),
            policy.witnesses.len()
        );
        return Err(refused(problem));
    }
    if checkpoint.size > MAX_SIZE {
        let problem = format!("size is {}, a log has at most {MAX_SIZE} entries", checkpoint.size);
        return Err(Fault::new(FaultKind::Malformed, CHECKPOINT, problem));
    }
    if checkpoint.size == 0 && checkpoint.root != empty_root() {
        return Err(root_fault(&checkpoint, empty_root(), 0));
    }
    Ok(checkpoint)
}

fn signers(note: &Note, key: &Verifier, policy: Option<&Policy>, checkpoint: &Checkpoint) -> Vec<SignedBy> {
    let witnesses = policy.map_or(&[][..], |policy| &policy.witnesses);
    let signer = |line: &bulla_tlog::note::Signature| {
        let by_log = line.name == key.name()
            && line.key_id == key.key_id()
            && key.verify(note.text.as_bytes(), &line.bytes);
        let by_witness = || witnesses.iter().any(|w| w.verifier.verify(checkpoint, line).is_some());
        SignedBy {
            name: line.name.clone(),
            key_id: format!("{:08x}", u32::from_be_bytes(line.key_id)),
            verified: by_log || by_witness(),
        }
    };
    note.signatures.iter().map(signer).collect()
}

fn resume(state: Option<&Path>) -> Result<Option<State>, Halt> {
    state.map_or(Ok(None), State::load).map_err(Halt::State)
}

fn root_fault(checkpoint: &Checkpoint, computed: bulla_tlog::Hash, resumed_at: u64) -> Fault {
    let since = match resumed_at {
        0 => String::new(),
        at => format!(", going on from the {at} entries of the state file"),
    };
    let problem = format!(
        "root of size {} is {}, the entries and tiles give {computed}{since}",
        checkpoint.size, checkpoint.root
    );
    Fault::new(FaultKind::Root, CHECKPOINT, problem)
}

/// Where progress is kept.
struct Keep<'a> {
    path: &'a Path,
    origin: &'a str,
    note: &'a str,
}

impl Keep<'_> {
    async fn save(&self, rim: &Rim) -> Result<(), Halt> {
        State::new(self.origin, rim, self.note).save(self.path).await.map_err(Halt::State)
    }
}

/// The walk from left to right.
struct Walk<'a> {
    source: &'a Arc<dyn Source>,
    objects: Objects<'a>,
    checkpoint: &'a Checkpoint,
    earlier: &'a [Earlier],
    progress: &'a (dyn Fn(Progress) + Send + Sync),
}

impl Walk<'_> {
    /// Checks every bundle with its level-0 tile and every upper tile that becomes full; gives the last, partial one.
    async fn entries(
        &self,
        rim: &mut Rim,
        window: usize,
        keep: Option<&Keep<'_>>,
        report: &mut Report,
    ) -> Result<Option<LeafTile>, Halt> {
        let size = self.checkpoint.size;
        // Each tile is a task of its own: fetching and hashing use every core, and only a window of them is in memory.
        let judged = |index: u64| {
            let source = Arc::clone(self.source);
            let width = (size - index * WIDTH).min(WIDTH) as u16;
            async move {
                let task = tokio::spawn(async move { leaf_tile(source.as_ref(), index, width).await });
                task.await.unwrap_or_else(|error| {
                    let (file, cause) = (TileId::entries(index, width).path(), error.to_string());
                    Err(Stop::Object(ObjectError::Unavailable { file, cause }))
                })
            }
        };
        let first = rim.size() / WIDTH;
        let mut tiles = stream::iter(first..size.div_ceil(WIDTH)).map(judged).buffered(window);
        (self.progress)(Progress { checked: rim.size(), size, bytes: 0 });
        while let Some(tile) = tiles.next().await {
            let tile = match tile {
                Ok(tile) => tile,
                Err(Stop::Object(error)) => return Err(error.into()),
                Err(Stop::Differs(differs)) => {
                    return Err(differs.blame(&self.objects, rim, self.checkpoint).await.into());
                }
            };
            self.pass_earlier(rim, &tile.nodes)?;
            report.entries += u64::from(tile.nodes.width());
            report.bytes += tile.bytes;
            let Some(root) = tile.nodes.root() else {
                (self.progress)(Progress { checked: size, size, bytes: report.bytes });
                return Ok(Some(tile));
            };
            for (id, nodes) in rim.add(root) {
                report.bytes += compare(&self.objects, id, &nodes, rim, self.checkpoint, None).await?;
            }
            (self.progress)(Progress { checked: rim.size(), size, bytes: report.bytes });
            if let Some(keep) = keep.filter(|_| rim.size().is_multiple_of(SAVED_EVERY)) {
                keep.save(rim).await?;
            }
        }
        Ok(None)
    }

    /// Earlier checkpoints whose size this tile reaches: their root must be the one that the entries up to there have.
    fn pass_earlier(&self, rim: &Rim, tile: &TileNodes) -> Result<(), Fault> {
        for known in self.earlier {
            let Some(within) = known.checkpoint.size.checked_sub(rim.size()) else { continue };
            if within < u64::from(tile.width()) {
                known.expect_root(rim.root(tile, within as u16))?;
            }
        }
        Ok(())
    }

    /// Checks the partial tiles of this size, then the root, then the smaller partial tiles that the log still has.
    async fn right_edge(
        &self,
        rim: &Rim,
        last: Option<&LeafTile>,
        window: usize,
        report: &mut Report,
    ) -> Result<(), Halt> {
        let none = TileNodes::new();
        let leaves = last.map_or(&none, |tile| &tile.nodes);
        for (id, nodes) in rim.partials() {
            report.bytes += compare(&self.objects, id, nodes, rim, self.checkpoint, Some(leaves)).await?;
        }
        let root = rim.root(leaves, leaves.width());
        if root != self.checkpoint.root {
            return Err(root_fault(self.checkpoint, root, report.resumed_at).into());
        }
        for id in right_edge(self.checkpoint.size) {
            let whole = match id.kind {
                bulla_tlog::TileKind::Hashes(0) => leaves.bytes(id.width).map(Into::into),
                bulla_tlog::TileKind::Hashes(_) => {
                    let tile = rim.partials().find(|(other, _)| *other == id);
                    tile.and_then(|(id, nodes)| nodes.bytes(id.width)).map(Into::into)
                }
                bulla_tlog::TileKind::Entries => last.and_then(|tile| tile.bundle.clone()),
            };
            if let Some(whole) = whole {
                report.bytes += tile::smaller(&self.objects, id, &whole, window).await?;
            }
        }
        Ok(())
    }
}

/// Bundles in work at the same time unless said otherwise: enough to hide a network's latency; their memory is the
/// window times a bundle (16 MiB at the very most, less than 1 MiB in any real log).
pub const WINDOW: usize = 16;
/// Entries between two writings of the state file: a full tile of level 1.
const SAVED_EVERY: u64 = WIDTH * WIDTH;
const CHECKPOINT: &str = "checkpoint";
