//! `Entry-Once`: an entry is added only if the search finds none by a digest from an index on. Requests about one digest take
//! turns, and each looks when all that was added before it can be found. Why that is exact: `docs/design/search.md`.

use std::time::Duration;

use bulla_claims::traces::Door as Through;
use bulla_ledger::Addition;
use bulla_tlog::{Hash, leaf_hash};
use http::{HeaderMap, HeaderValue};
use tokio::sync::{Mutex, MutexGuard};

use super::index;
use super::refusal::Refusal;
use crate::door::Door;
use crate::search::Term;
use crate::wire::v1::id::EntryId;
use crate::wire::v1::once::{ENTRY_ONCE, Malformed, Once};

/// The condition that a request has, and its text.
pub(super) struct Asked {
    once: Once,
    text: HeaderValue,
}

impl Asked {
    /// Reads the condition of a request; `None` if it has none.
    pub(super) fn read(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut values = headers.get_all(ENTRY_ONCE).iter();
        let Some(text) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            let problem = "Entry-Once in header comes more than once, one value was expected";
            return Err(Refusal::Argument(problem.to_owned()));
        }
        let once = text.to_str().map_err(|_| Malformed).and_then(str::parse).map_err(|malformed| {
            let shown = String::from_utf8_lossy(text.as_bytes()).chars().take(120).collect::<String>();
            Refusal::Argument(format!("Entry-Once in header is {shown:?}, {malformed}"))
        })?;
        Ok(Some(Self { once, text: text.clone() }))
    }

    /// Waits for the turn of its digest and looks whether the entry may be added, which must be done before the turn ends.
    pub(super) async fn turn<'a>(
        &self,
        door: &'a Door,
        addition: &Addition,
    ) -> Result<MutexGuard<'a, ()>, Refusal> {
        let Once { digest, since } = self.once;
        let name = self.once.term();
        let terms = [Term::new(Through::V1, &name), Term::new(Through::V2, &name)];
        if !index::finds(door, addition, terms).await? {
            return Err(Refusal::Argument(format!(
                "Entry-Once in header names {name}, by which this entry cannot be found: \
                 name a digest that it has, such as that of its artifact or of a subject"
            )));
        }
        let turn = tokio::time::timeout(PATIENCE, door.lanes.of(&digest).lock());
        let turn = turn.await.map_err(|_elapsed| Refusal::Full)?;
        {
            let (_active, placed) = door.shards.writing().await;
            placed.log().barrier().await?;
            let leaf = leaf_hash(&addition.leaf);
            if placed.log().reader().find(&leaf).await?.is_some() {
                return Err(Refusal::Duplicate(EntryId { tree: placed.tree(), leaf }));
            }
        }
        match index::first(door, terms, since).await? {
            Some((id, index)) => Err(Refusal::Once { once: self.once, index, id }),
            None => Ok(turn),
        }
    }

    /// Tells the client that its condition was minded.
    pub(super) fn note_on(self, headers: &mut HeaderMap) {
        headers.insert(ENTRY_ONCE, self.text);
    }
}

/// The header has no meaning for a batch.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Refusal> {
    if !headers.contains_key(ENTRY_ONCE) {
        return Ok(());
    }
    let problem = "Entry-Once in header is for single entries: send it with one to /api/v1/log/entries";
    Err(Refusal::Argument(problem.to_owned()))
}

/// How long a request waits for its turn before it is pushed back.
const PATIENCE: Duration = Duration::from_secs(20);
/// Digests share this many lanes.
const LANES: usize = 1024;

/// Whose turn it is: requests whose digests are of one lane go one after another.
pub(crate) struct Lanes(Box<[Mutex<()>]>);

impl Lanes {
    pub(crate) fn new() -> Self {
        Self((0..LANES).map(|_| Mutex::default()).collect())
    }

    fn of(&self, digest: &Hash) -> &Mutex<()> {
        &self.0[usize::from(u16::from_be_bytes([digest.0[0], digest.0[1]])) % LANES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_other_lanes_are_not_held_up() {
        let lanes = Lanes::new();
        let digest = |first: u8, second: u8| {
            let mut digest = Hash([7; 32]);
            digest.0[..2].copy_from_slice(&[first, second]);
            digest
        };
        let turn = lanes.of(&digest(0, 0)).try_lock().expect("it is free");
        assert!(lanes.of(&digest(0, 0)).try_lock().is_err());
        let lanes_of_all = (0..=u8::MAX).flat_map(|first| (0..=u8::MAX).map(move |second| (first, second)));
        let held =
            lanes_of_all.filter(|(first, second)| lanes.of(&digest(*first, *second)).try_lock().is_err());
        assert_eq!(held.count(), 65_536 / LANES);
        drop(turn);
        assert!(lanes.of(&digest(0, 0)).try_lock().is_ok());
    }
}
