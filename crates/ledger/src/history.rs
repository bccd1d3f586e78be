//! The checkpoint history: what was published, and when, kept at a bounded cadence. Whoever saved a
//! checkpoint can ask for it here, and two parties can compare what they were shown.
//!
//! Pages of 64 checkpoints, a cell each; one more cell holds the growing page.

use bytes::Bytes;

use crate::storage::{Storage, StorageError};

/// A checkpoint that was published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// When it was published, in Unix seconds.
    pub at: u64,
    /// Its tree size.
    pub size: u64,
    /// The signed note as it was served.
    pub note: Bytes,
}

/// Checkpoints on a page.
pub const PAGE: usize = 64;
const CELL: &str = "history";

/// The page of that number (from 0), oldest first; `None` behind the last.
pub(crate) async fn page(storage: &dyn Storage, number: u64) -> Result<Option<Vec<Kept>>, StorageError> {
    if let Some(bytes) = storage.cell(&full_page(number)).await? {
        return decode(&bytes).map(|(_, kept)| Some(kept));
    }
    let Some(bytes) = storage.cell(CELL).await? else { return Ok(None) };
    let (current, kept) = decode(&bytes)?;
    Ok((current == number && !kept.is_empty()).then_some(kept))
}

/// Adds a checkpoint, unless its size was kept already.
pub(crate) async fn keep(storage: &dyn Storage, new: Kept) -> Result<(), StorageError> {
    let old = storage.cell(CELL).await?;
    let (mut number, mut kept) = old.as_deref().map_or(Ok((0, Vec::new())), decode)?;
    if kept.last().is_some_and(|last| last.note == new.note) {
        return Ok(());
    }
    if kept.len() == PAGE {
        // Not swapped means that an earlier turn of this page was interrupted after this step.
        storage.swap(&full_page(number), None, encode(number, &kept)).await?;
        number += 1;
        kept.clear();
    }
    kept.push(new);
    if storage.swap(CELL, old.as_deref(), encode(number, &kept)).await? {
        return Ok(());
    }
    Err(StorageError::Unavailable("the checkpoint history was changed by another writer".to_owned()))
}

fn full_page(number: u64) -> String {
    format!("{CELL}-{number}")
}

/// Layout: page number 8; then for each checkpoint time 8, size 8, length 4, note. Big-endian.
fn encode(number: u64, kept: &[Kept]) -> Bytes {
    let mut out = number.to_be_bytes().to_vec();
    for one in kept {
        out.extend_from_slice(&one.at.to_be_bytes());
        out.extend_from_slice(&one.size.to_be_bytes());
        out.extend_from_slice(&(one.note.len() as u32).to_be_bytes());
        out.extend_from_slice(&one.note);
    }
    Bytes::from(out)
}

fn decode(bytes: &[u8]) -> Result<(u64, Vec<Kept>), StorageError> {
    parse(bytes)
        .ok_or_else(|| StorageError::Corrupt("a page of the checkpoint history is damaged".to_owned()))
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<Kept>)> {
    let (number, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let (at, after) = rest.split_first_chunk::<8>()?;
        let (size, after) = after.split_first_chunk::<8>()?;
        let (len, after) = after.split_first_chunk::<4>()?;
        let (note, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        kept.push(Kept {
            at: u64::from_be_bytes(*at),
            size: u64::from_be_bytes(*size),
            note: Bytes::copy_from_slice(note),
        });
        rest = after;
    }
    Some((u64::from_be_bytes(*number), kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::Memory;

    #[tokio::test]
    async fn pages_turn() {
        let storage = Memory::default();
        let made = |i: u64| Kept { at: 100 + i, size: i, note: Bytes::from(format!("note {i}")) };
        for i in 0..150 {
            keep(&storage, made(i)).await.expect("keeps");
            keep(&storage, made(i)).await.expect("keeps it once");
        }
        let sizes = async |number| {
            let kept = page(&storage, number).await.expect("reads");
            kept.map(|kept| (kept.len(), kept[0].size))
        };
        assert_eq!(sizes(0).await, Some((64, 0)));
        assert_eq!(sizes(2).await, Some((22, 128)));
        assert_eq!(sizes(3).await, None);
    }
}
