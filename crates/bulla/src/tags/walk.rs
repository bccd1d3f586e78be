//! Every leaf of a log, for whoever does not believe its search. All of the log's trees are read, entry by entry; each entry is
//! proved to be in the tree whose head the log signed, at its index, and the heads are those that say how many there are. So what
//! is not found is not there.

use bulla_claims::keys::public_key_pem;
use bulla_claims::tag::{Logged, TagName, carried};
use bulla_rekor::client::v1::{Entry, Head, LogKey, Retrieve, Shard, Unsound};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::evidence::Unbelieved;
use super::log::{TagLog, TagLogError};

/// What the whole log has of a tag, and how many leaves were read. `progress` hears how many are read, of how many.
pub(crate) async fn walk(
    log: &TagLog,
    tag: &TagName,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(Vec<Logged>, u64), TagLogError> {
    let info = log.client.info().await?;
    let keys: Vec<LogKey> = keys(log);
    let mut trees = Vec::new();
    let mut total: u64 = 0;
    for shard in info.inactive_shards.iter().chain([&info.active]) {
        let head = signed(shard, &keys)?;
        trees.push((total, head));
        total = trees.last().map_or(0, |(base, head)| base.saturating_add(head.size));
    }
    if total > MOST_LEAVES {
        return Err(TagLogError::Refused(format!(
            "the log has {total} leaves, at most {MOST_LEAVES} are walked"
        )));
    }
    let mut logged = Vec::new();
    let batches = (0..total).step_by(A_BATCH as usize).map(|first| first..(first + A_BATCH).min(total));
    let mut batches = iter(batches).map(|batch| read(log, batch)).buffered(AT_ONCE);
    let mut proved = Proved::default();
    let mut next = 0;
    while let Some(entries) = batches.try_next().await? {
        for entry in entries {
            let (base, head) = tree_of(&trees, next);
            if let Some(later) = proved.check(&entry, next, *base, &head.origin, &keys)? {
                one_tree(log, head, &later).await?;
            }
            next += 1;
            if carried(&entry.body).is_some()
                && let Some(evidence) = log.judge(&entry, tag).await?
            {
                logged.push(evidence.logged);
            }
        }
        progress(next, total);
    }
    Ok((logged, total))
}

fn keys(log: &TagLog) -> Vec<LogKey> {
    // Keys of other logs in the same trusted root may be of a type that v1 logs do not have.
    log.root().log_keys().filter_map(|spki| LogKey::from_pem(&public_key_pem(spki)).ok()).collect()
}

/// The head of a tree as the log signed it.
fn signed(shard: &Shard, keys: &[LogKey]) -> Result<Head, TagLogError> {
    let head = keys.iter().find_map(|key| key.open(&shard.signed_tree_head).ok());
    let wrong =
        |problem: &str| TagLogError::Unbelieved(format!("the head of tree {}: {problem}", shard.tree));
    let head = head.ok_or_else(|| wrong("is signed by no log of the trusted root"))?;
    if (head.tree, head.size, head.root) != (shard.tree, shard.tree_size, shard.root_hash) {
        return Err(wrong("is not the one that is signed"));
    }
    Ok(head)
}

async fn read(log: &TagLog, batch: std::ops::Range<u64>) -> Result<Vec<Entry>, TagLogError> {
    let query = Retrieve { log_indexes: batch.clone().collect(), ..Retrieve::default() };
    let mut entries = log.client.retrieve(&query).await?;
    entries.sort_by_key(|entry| entry.log_index);
    if !entries.iter().map(|entry| entry.log_index).eq(batch.clone()) {
        let problem = format!("entries {} to {} were asked for, and others came", batch.start, batch.end - 1);
        return Err(TagLogError::Unbelieved(problem));
    }
    Ok(entries)
}

/// Whether two heads are of one tree: a log that shows some leaves of one and some of another has shown no tree at all.
async fn one_tree(log: &TagLog, first: &Head, other: &Head) -> Result<(), TagLogError> {
    let (old, new) = if other.size < first.size { (other, first) } else { (first, other) };
    let two = |error: Unsound| {
        TagLogError::Unbelieved(format!(
            "the heads of {} and of {} entries are of two trees: {error}",
            old.size, new.size
        ))
    };
    if new.needs_proof_since(old).map_err(two)? {
        let proof = log.client.proof(old.size, new.size, Some(new.tree)).await?;
        new.check_consistency(old, &proof.hashes).map_err(two)?;
    }
    Ok(())
}

/// Where the tree begins that has the entry, and its head.
fn tree_of(trees: &[(u64, Head)], index: u64) -> &(u64, Head) {
    let after = trees.partition_point(|(base, _)| *base <= index);
    &trees[after.saturating_sub(1)]
}

/// Whether entries are where the log says, with the last head that was verified.
#[derive(Default)]
struct Proved {
    head: Option<Head>,
}

impl Proved {
    /// The head that proves it, if that is another than before.
    fn check(
        &mut self,
        entry: &Entry,
        index: u64,
        base: u64,
        origin: &str,
        keys: &[LogKey],
    ) -> Result<Option<Head>, TagLogError> {
        let wrong = |problem: String| TagLogError::from(Unbelieved { index, problem, log_is_unknown: false });
        entry.check_id(None).map_err(|error| wrong(error.to_string()))?;
        let proof = &entry.verification.inclusion_proof;
        if entry.log_index != index || proof.log_index != index - base {
            return Err(wrong(format!("the log proves index {} of its tree", proof.log_index)));
        }
        entry.check_inclusion().map_err(|error| wrong(error.to_string()))?;
        let is_same = |head: &Head| {
            (head.origin.as_str(), head.size, head.root) == (origin, proof.tree_size, proof.root_hash)
        };
        let other = || wrong("its head is not that of its tree".to_owned());
        if let Some(head) = self.head.as_ref().filter(|head| head.note == proof.checkpoint) {
            return if is_same(head) { Ok(None) } else { Err(other()) };
        }
        let opened = keys.iter().find_map(|key| key.open(&proof.checkpoint).ok());
        let opened = opened.ok_or_else(|| wrong("its head is signed by no trusted log".to_owned()))?;
        if !is_same(&opened) {
            return Err(other());
        }
        self.head = Some(opened.clone());
        Ok(Some(opened))
    }
}

const A_BATCH: u64 = 10;
const AT_ONCE: usize = 8;
/// Some hours of reading.
const MOST_LEAVES: u64 = 100_000_000;
