//! Single tiles: computed from what lies below them, compared with what the log serves, and when they differ, which
//! of the two is wrong.

use bulla_tlog::{Checkpoint, Hash, TileId, TileKind, TileNodes, WIDTH, leaf_hash, widest};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::fault::{Fault, FaultKind, ObjectError};
use super::objects::{Bundle, Object, Objects, first_entry, records};
use super::rim::Rim;
use crate::source::Source;

/// The hashes of a bundle, which are those of its level-0 tile.
pub(super) struct LeafTile {
    /// The hashes.
    pub(super) nodes: TileNodes,
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// The bundle, if it is the partial one at the right edge.
    pub(super) bundle: Option<Bytes>,
}

/// Why a tile gave no hashes to go on with.
pub(super) enum Stop {
    Object(ObjectError),
    Differs(Box<Differs>),
}

impl<E: Into<ObjectError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Object(error.into())
    }
}

/// A tile that is not what lies below it gives.
pub(super) struct Differs {
    id: TileId,
    /// What was computed.
    computed: TileNodes,
    /// What is served.
    served: Object,
    /// The first byte of the tile that differs.
    offset: usize,
    /// What the hashes were computed from, at level 0.
    bundle: Option<Bundle>,
}

/// Hashes a bundle and compares its level-0 tile.
pub(super) async fn leaf_tile(source: &dyn Source, index: u64, width: u16) -> Result<LeafTile, Stop> {
    let objects = Objects::new(source);
    let id = TileId::hashes(0, index, width);
    let bundle = match objects.bundle(TileId::entries(index, width)).await {
        Err(ObjectError::Fault(fault)) => return Err(where_it_began(&objects, id, *fault).await.into()),
        other => other?,
    };
    let mut nodes = TileNodes::new();
    for number in 0..bundle.width() {
        // Both hold by the making of a bundle: as many entries as it is wide, at most a tile's width.
        let Some(entry) = bundle.entry(number) else { break };
        if nodes.push(leaf_hash(&entry)).is_err() {
            break;
        }
    }
    let served = objects.hashes(id).await?;
    let bytes = (bundle.object.bytes.len() + served.bytes.len()) as u64;
    if let Some(offset) = first_difference(&nodes, &served.bytes) {
        let bundle = Some(bundle);
        return Err(Stop::Differs(Box::new(Differs { id, computed: nodes, served, offset, bundle })));
    }
    Ok(LeafTile { nodes, bytes, bundle: (!id.is_full()).then_some(bundle.object.bytes) })
}

/// A bundle that cannot be read to its end may have gone wrong before: at the first entry that its tile does not have,
/// where a wrong length put all that follows out of step.
async fn where_it_began(objects: &Objects<'_>, id: TileId, fault: Fault) -> Fault {
    let bundle = match TileId::parse(&fault.file) {
        Ok(bundle) if fault.kind == FaultKind::Malformed => objects.raw(bundle).await,
        _ => return fault,
    };
    let (Ok(Some(bundle)), Ok(tile)) = (bundle, objects.hashes(id).await) else { return fault };
    let hashes = tile.bytes.as_chunks::<32>().0;
    for ((number, hash), (start, end)) in hashes.iter().enumerate().zip(records(&bundle.bytes)) {
        let computed = leaf_hash(&bundle.bytes[start + 2..end]);
        if computed.0 != *hash {
            let problem = format!(
                "this entry hashes to {computed}, {} has {}; then {}",
                tile.file,
                Hash(*hash),
                fault.problem
            );
            let fault = Fault { problem, ..fault };
            return fault.at_entry(first_entry(id, number)).at_byte(start);
        }
    }
    fault
}

/// Compares a tile above the leaves with what was computed; gives the bytes that were read. `leaves` is the last
/// level-0 tile once the walk is at its end.
pub(super) async fn compare(
    objects: &Objects<'_>,
    id: TileId,
    computed: &TileNodes,
    rim: &Rim,
    checkpoint: &Checkpoint,
    leaves: Option<&TileNodes>,
) -> Result<u64, ObjectError> {
    let served = objects.hashes(id).await?;
    let Some(offset) = first_difference(computed, &served.bytes) else {
        return Ok(served.bytes.len() as u64);
    };
    let differs = Differs { id, computed: computed.clone(), served, offset, bundle: None };
    let root_with = |tile: TileNodes| match (id.kind, leaves) {
        (TileKind::Hashes(level), Some(leaves)) => Some(rim.with(level, tile).root(leaves, leaves.width())),
        _ => None,
    };
    let wrong = differs.wrong(objects, checkpoint, root_with).await;
    Err(differs.fault(wrong).into())
}

impl Differs {
    /// The fault of a level-0 tile or its bundle.
    pub(super) async fn blame(
        self,
        objects: &Objects<'_>,
        rim: &Rim,
        checkpoint: &Checkpoint,
    ) -> ObjectError {
        let root_with = |tile: TileNodes| Some(rim.root(&tile, tile.width()));
        let wrong = self.wrong(objects, checkpoint, root_with).await;
        self.fault(wrong).into()
    }

    /// Asks what lies above: the parent tile for a full tile, the signed root for one at the right edge.
    async fn wrong(
        &self,
        objects: &Objects<'_>,
        checkpoint: &Checkpoint,
        root_with: impl Fn(TileNodes) -> Option<Hash>,
    ) -> Wrong {
        let Ok(served) = TileNodes::from_bytes(&self.served.bytes) else { return Wrong::Unknown };
        let (computed, served, above) = match (self.computed.root(), served.root()) {
            (Some(computed), Some(served)) => {
                (Some(computed), Some(served), self.in_parent(objects, checkpoint.size).await)
            }
            _ => (root_with(self.computed.clone()), root_with(served), Some(checkpoint.root)),
        };
        match above {
            Some(above) if computed == Some(above) => Wrong::Tile,
            Some(above) if served == Some(above) => Wrong::Below,
            _ => Wrong::Unknown,
        }
    }

    /// The hash that the parent tile has for this one.
    async fn in_parent(&self, objects: &Objects<'_>, size: u64) -> Option<Hash> {
        let TileKind::Hashes(level) = self.id.kind else { return None };
        let parent = widest(TileKind::Hashes(level + 1), self.id.index / WIDTH, size)?;
        let object = objects.hashes(parent).await.ok()?;
        let at = 32 * (self.id.index % WIDTH) as usize;
        Hash::from_slice(object.bytes.get(at..at + 32)?)
    }

    fn fault(&self, wrong: Wrong) -> Fault {
        let number = self.offset / 32;
        let entry = first_entry(self.id, number);
        let hash = |bytes: &[u8]| Hash::from_slice(bytes).map(|hash| hash.to_string()).unwrap_or_default();
        let served = hash(self.served.bytes.get(32 * number..32 * number + 32).unwrap_or_default());
        let computed = self.computed.node(0, number as u16).map(|hash| hash.to_string()).unwrap_or_default();
        match (&self.bundle, wrong) {
            (Some(bundle), Wrong::Below) => {
                let (start, end) = bundle.record(number).unwrap_or_default();
                let problem = format!(
                    "bytes {start} to {} are not the entry that was logged: it hashes to {computed}, {} and the \
                     hashes above it have {served}",
                    end.saturating_sub(1),
                    self.served.file
                );
                Fault::new(FaultKind::Mismatch, &bundle.object.file, problem).at_entry(entry).at_byte(start)
            }
            (bundle, wrong) => {
                let below = bundle.as_ref().map_or("the tile below", |bundle| bundle.object.file.as_str());
                let verdict = match wrong {
                    Wrong::Tile => "which the hashes above confirm",
                    Wrong::Below => "but the hashes above confirm this tile, so what lies below was altered",
                    Wrong::Unknown => "and the hashes above confirm neither",
                };
                let problem = format!("hash {number} is {served}, {below} gives {computed}, {verdict}");
                Fault::new(FaultKind::Mismatch, &self.served.file, problem)
                    .at_entry(entry)
                    .at_byte(self.offset)
            }
        }
    }
}

/// Which of two contradicting objects is wrong.
#[derive(Clone, Copy)]
enum Wrong {
    Tile,
    Below,
    Unknown,
}

/// Checks every partial tile narrower than that of the right edge that the log still serves: each was part of some
/// earlier tree and must be the beginning of this one. Gives the bytes that were read.
pub(super) async fn smaller(
    objects: &Objects<'_>,
    id: TileId,
    whole: &Bytes,
    window: usize,
) -> Result<u64, ObjectError> {
    let ends: Vec<usize> = match id.kind {
        TileKind::Hashes(_) => (1..id.width).map(|width| 32 * usize::from(width)).collect(),
        TileKind::Entries => records(whole).map(|(_, end)| end).take(usize::from(id.width) - 1).collect(),
    };
    let fetched = |width: u16| async move { objects.raw(TileId { width, ..id }).await };
    let mut answers = stream::iter((1_u16..).zip(ends))
        .map(|(width, end)| async move { (width, end, fetched(width).await) })
        .buffered(window);
    let mut bytes = 0;
    while let Some((width, end, object)) = answers.next().await {
        let Some(object) = object? else { continue };
        bytes += object.bytes.len() as u64;
        if object.bytes != whole[..end] {
            let same = object.bytes.iter().zip(whole).take_while(|(a, b)| a == b).count();
            let offset = same.min(end);
            let number = match id.kind {
                TileKind::Hashes(_) => offset / 32,
                TileKind::Entries => records(whole).take_while(|(_, end)| *end <= offset).count(),
            };
            let problem = format!("is not the beginning of {} as all others are", id.path());
            let number = number.min(usize::from(width) - 1);
            let fault = Fault::new(FaultKind::Mismatch, object.file, problem);
            return Err(fault.at_entry(first_entry(id, number)).at_byte(offset).into());
        }
    }
    Ok(bytes)
}

/// The first byte at which a served tile is not the computed one; both have the same width.
fn first_difference(computed: &TileNodes, served: &[u8]) -> Option<usize> {
    let (hashes, _) = served.as_chunks::<32>();
    hashes.iter().enumerate().find_map(|(number, hash)| {
        let expected = computed.node(0, number as u16)?;
        let within = hash.iter().zip(&expected.0).position(|(a, b)| a != b)?;
        Some(32 * number + within)
    })
}
