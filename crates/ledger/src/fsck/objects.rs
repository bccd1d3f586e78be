//! Objects as a tree of a given size implies them: fetched, of the right form, cut from the full tile where the
//! partial one is gone (<https://c2sp.org/tlog-tiles>, "Partial Tiles"). Contents are judged by the caller.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bulla_tlog::{Hash, Plan, TileId, TileKind, TileNodes, WIDTH, entries, widest};
use bytes::Bytes;

use super::fault::{Fault, FaultKind, ObjectError};
use crate::source::Source;

/// Reads the objects of one log.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    source: &'a dyn Source,
}

/// An object that has the right form.
#[derive(Clone, Debug)]
pub struct Object {
    /// The path that answered: that of the full tile when the partial one is gone.
    pub file: String,
    /// As many hashes or entries as were asked for, no more.
    pub bytes: Bytes,
}

/// An entry bundle and where its entries are.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The bytes and their path.
    pub object: Object,
    /// Where each entry's record, which is its length and then the entry, ends.
    ends: Vec<usize>,
}

impl<'a> Objects<'a> {
    /// Of this source.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source }
    }

    /// The checkpoint as it is served; nothing about it is verified.
    pub async fn checkpoint(&self) -> Result<String, ObjectError> {
        const FILE: &str = "checkpoint";
        let found = self.source.fetch(FILE).await.map_err(|error| ObjectError::read(FILE, error))?;
        let bytes = found.ok_or_else(|| ObjectError::Unavailable {
            file: FILE.to_owned(),
            cause: format!("{} has none", self.source.name()),
        })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            Fault::new(FaultKind::Malformed, FILE, "not UTF-8 text").at_byte(error.valid_up_to())
        })?;
        Ok(text.to_owned())
    }

    /// A tile of hashes: exactly `width` of them.
    pub async fn hashes(&self, id: TileId) -> Result<Object, ObjectError> {
        let (file, bytes, width) = self.fetch(id).await?;
        let expected = 32 * usize::from(width);
        if bytes.len() != expected {
            let problem = format!("is {} bytes, {width} hashes are {expected}", bytes.len());
            let fault = Fault::new(FaultKind::Malformed, file, problem).at_byte(bytes.len().min(expected));
            return Err(fault.at_entry(first_entry(id, bytes.len() / 32)).into());
        }
        Ok(Object { file, bytes: bytes.slice(..32 * usize::from(id.width)) })
    }

    /// An entry bundle: exactly `width` entries.
    pub async fn bundle(&self, id: TileId) -> Result<Bundle, ObjectError> {
        let (file, bytes, width) = self.fetch(id).await?;
        let first = id.index * WIDTH;
        let malformed = |offset: usize, entry: usize, problem: String| {
            Fault::new(FaultKind::Malformed, &file, problem).at_byte(offset).at_entry(first + entry as u64)
        };
        let mut ends: Vec<usize> = records(&bytes).map(|(_, end)| end).collect();
        if let Err(error) = entries(&bytes) {
            return Err(malformed(error.offset(), ends.len(), error.to_string()).into());
        }
        if ends.len() != usize::from(width) {
            let offset = ends.get(usize::from(width) - 1).copied().unwrap_or(bytes.len());
            let problem = format!("has {} entries, {width} were expected", ends.len());
            return Err(malformed(offset, ends.len().min(width.into()), problem).into());
        }
        ends.truncate(id.width.into());
        let end = ends.last().copied().unwrap_or(0);
        Ok(Bundle { object: Object { file, bytes: bytes.slice(..end) }, ends })
    }

    /// The proof of a plan in a tree of `size`, from its tiles. Each tile is read once.
    pub async fn proof(&self, plan: &Plan, size: u64) -> Result<Vec<Hash>, ObjectError> {
        let mut tiles: HashMap<TileId, TileNodes> = HashMap::new();
        let mut found = Vec::with_capacity(plan.nodes().len());
        for node in plan.nodes() {
            let (level, index, height, within) = node.in_tile();
            let beyond = || {
                let path = TileId::hashes(level, index, WIDTH as u16).path();
                Fault::new(FaultKind::Missing, path, format!("is not part of a tree of size {size}"))
            };
            let id = widest(TileKind::Hashes(level), index, size).ok_or_else(beyond)?;
            let nodes = match tiles.entry(id) {
                Entry::Occupied(read) => read.into_mut(),
                Entry::Vacant(place) => {
                    let object = self.hashes(id).await?;
                    let nodes = TileNodes::from_bytes(&object.bytes);
                    let malformed =
                        |error| Fault::new(FaultKind::Malformed, &object.file, format!("{error}"));
                    place.insert(nodes.map_err(malformed)?)
                }
            };
            found.push(nodes.node(height, within).ok_or_else(beyond)?);
        }
        Ok(plan.finish(&found))
    }

    /// An object exactly as it is, if it is there.
    pub(super) async fn raw(&self, id: TileId) -> Result<Option<Object>, ObjectError> {
        let file = id.path();
        let found = self.source.fetch(&file).await.map_err(|error| ObjectError::read(&file, error))?;
        Ok(found.map(|bytes| Object { file, bytes }))
    }

    /// What answers for a tile, and how wide it is: itself, or the full one that may have replaced it.
    async fn fetch(&self, id: TileId) -> Result<(String, Bytes, u16), ObjectError> {
        if let Some(object) = self.raw(id).await? {
            return Ok((object.file, object.bytes, id.width));
        }
        let full = id.full();
        if let Some(object) = if id.is_full() { None } else { self.raw(full).await? } {
            return Ok((object.file, object.bytes, full.width));
        }
        let problem = if id.is_full() { "is not there" } else { "is not there, nor is the full tile" };
        Err(Fault::new(FaultKind::Missing, id.path(), problem).at_entry(first_entry(id, 0)).into())
    }
}

impl Bundle {
    /// How many entries it has.
    pub fn width(&self) -> usize {
        self.ends.len()
    }

    /// Where the record of an entry begins and ends, by its number in the bundle.
    pub fn record(&self, entry: usize) -> Option<(usize, usize)> {
        let end = *self.ends.get(entry)?;
        Some((if entry == 0 { 0 } else { self.ends[entry - 1] }, end))
    }

    /// An entry, by its number in the bundle.
    pub fn entry(&self, entry: usize) -> Option<Bytes> {
        let (start, end) = self.record(entry)?;
        Some(self.object.bytes.slice(start + 2..end))
    }
}

/// The first entry of the log that number `within` of a tile is about.
pub(super) fn first_entry(id: TileId, within: usize) -> u64 {
    let level = match id.kind {
        TileKind::Hashes(level) => u32::from(level),
        TileKind::Entries => 0,
    };
    let number = id.index.saturating_mul(WIDTH).saturating_add(within as u64);
    number.saturating_mul(WIDTH.saturating_pow(level))
}

/// Where the records of a bundle begin and end, as far as they are whole.
pub(super) fn records(bundle: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut start = 0;
    let next = move || {
        let len = bundle.get(start..)?.first_chunk::<2>()?;
        let end = start + 2 + usize::from(u16::from_be_bytes(*len));
        let record = (end <= bundle.len()).then_some((start, end));
        start = end;
        record
    };
    std::iter::from_fn(next).take(WIDTH as usize)
}
