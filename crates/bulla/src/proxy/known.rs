//! The records that were verified: in a file that outlives the process, and those that are asked for often in memory. The truth
//! is in the log. What is read from the file is verified again before it counts, and what was lost is found in the log.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bulla_claims::tag::{Record, TagName};
use bulla_rekor::client::v1::Entry;
use http::HeaderMap;
use jiff::Timestamp;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::registry::Digest;
use crate::tags;

/// A tag whose record was verified.
#[derive(Debug)]
pub(crate) struct Known {
    /// Which.
    pub(crate) tag: TagName,
    /// Where it points.
    pub(crate) digest: Digest,
    /// The record.
    pub(crate) record: Record,
    /// Its index in the log.
    pub(crate) index: u64,
    /// Its name in the log.
    pub(crate) uuid: String,
    /// When the tag was first seen.
    pub(crate) first_seen: Timestamp,
    /// The proof, as clients get it.
    pub(crate) headers: HeaderMap,
    /// When the log was last asked about it, by this process.
    pub(crate) looked: Instant,
}

impl Known {
    /// One whose entry was judged.
    pub(crate) fn new(record: Record, entry: &Entry, first_seen: Timestamp) -> Self {
        let text = format!("sha256:{}", record.digest);
        Self {
            tag: record.tag.clone(),
            // What a record has is a digest.
            digest: text.parse().unwrap_or_else(|_| Digest::of(b"")),
            index: entry.log_index,
            uuid: entry.id.to_string(),
            headers: tags::headers(entry),
            record,
            first_seen,
            looked: Instant::now(),
        }
    }
}

/// What is on the disk, not verified.
pub(crate) struct Kept {
    /// When the tag was first seen.
    pub(crate) first_seen: Timestamp,
    /// The entry of its record.
    pub(crate) entry: Entry,
}

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    first: i64,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    file: Database,
    recent: Cache<TagName, Arc<Known>, Weight>,
}

#[derive(Clone)]
struct Weight;

impl Weighter<TagName, Arc<Known>> for Weight {
    fn weight(&self, _: &TagName, known: &Arc<Known>) -> u64 {
        let headers: usize = known.headers.values().map(http::HeaderValue::len).sum();
        (headers + 1024) as u64
    }
}

impl Store {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let failed = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        // Every commit, this one too, is one after which a crash costs nothing: else the next start reads the file from one end to
        // the other, 16 s of a million tags.
        let opened = std::panic::catch_unwind(|| {
            let file = Database::builder().set_cache_size(FILE_CACHE).create(path)?;
            let mut begun = file.begin_write()?;
            begun.set_quick_repair(true);
            begun.open_table(RECORDS)?;
            begun.commit()?;
            Ok::<_, redb::Error>(file)
        });
        let fix = "move it away: records are found again in the log";
        let file = match opened {
            Ok(Ok(file)) => file,
            Ok(Err(error @ (redb::Error::Io(_) | redb::Error::DatabaseAlreadyOpen))) => {
                return Err(failed(&error));
            }
            Ok(Err(error)) => return Err(failed(&format_args!("{error}: {fix}"))),
            Err(_) => return Err(failed(&format_args!("is damaged: {fix}"))),
        };
        let recent = Cache::with_weighter(RECENT, RECENT_BYTES, Weight);
        Ok(Self { inner: Arc::new(Inner { file, recent }) })
    }

    /// A record that was verified by this process and is still at hand.
    pub(crate) fn recent(&self, tag: &TagName) -> Option<Arc<Known>> {
        self.inner.recent.get(tag)
    }

    /// Keeps one at hand.
    pub(crate) fn remember(&self, known: &Arc<Known>) {
        self.inner.recent.insert(known.tag.clone(), Arc::clone(known));
    }

    /// What the file has of a tag.
    pub(crate) async fn read(&self, tag: &TagName) -> Result<Option<Kept>, String> {
        let (inner, tag) = (Arc::clone(&self.inner), tag.clone());
        blocking(move || {
            let table = inner.file.begin_read()?.open_table(RECORDS)?;
            let Some(row) = table.get(tag.as_str())? else { return Ok(None) };
            Ok(Some(row.value().to_vec()))
        })
        .await?
        .map(|row| kept(&row))
        .transpose()
    }

    /// Writes what is known of a tag, durably.
    pub(crate) async fn put(&self, known: Arc<Known>, entry: &Entry) -> Result<(), String> {
        self.remember(&known);
        let entry = RawValue::from_string(entry.to_json()).map_err(|error| error.to_string())?;
        let row = Row { first: known.first_seen.as_second(), entry: &entry };
        let row = serde_json::to_vec(&row).map_err(|error| error.to_string())?;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut writing = inner.file.begin_write()?;
            writing.set_quick_repair(true);
            writing.open_table(RECORDS)?.insert(known.tag.as_str(), row.as_slice())?;
            writing.commit()?;
            Ok(())
        })
        .await
    }

    /// Writes what is kept of one tag under other names too, in their order. It is true of none of them, so whoever pulls one is
    /// refused: they are there to measure what many cost.
    pub(crate) async fn copy(&self, of: String, names: Vec<String>) -> Result<(), String> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let row = inner
                .file
                .begin_read()?
                .open_table(RECORDS)?
                .get(of.as_str())?
                .map(|row| row.value().to_vec());
            let mut writing = inner.file.begin_write()?;
            writing.set_quick_repair(true);
            if let Some(row) = row {
                let mut table = writing.open_table(RECORDS)?;
                for name in &names {
                    table.insert(name.as_str(), row.as_slice())?;
                }
            }
            writing.commit()?;
            Ok(())
        })
        .await
    }

    /// How many tags are in the file.
    pub(crate) async fn count(&self) -> Result<u64, String> {
        let inner = Arc::clone(&self.inner);
        blocking(move || Ok(inner.file.begin_read()?.open_table(RECORDS)?.len()?)).await
    }

    /// The names of at most so many tags, from that one on.
    pub(crate) async fn names(&self, from: String, most: usize) -> Result<Vec<String>, String> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let table = inner.file.begin_read()?.open_table(RECORDS)?;
            let rows = table.range(from.as_str()..)?.take(most);
            rows.map(|row| Ok(row?.0.value().to_owned())).collect()
        })
        .await
    }
}

fn kept(row: &[u8]) -> Result<Kept, String> {
    let unreadable = |error: serde_json::Error| format!("what is kept is not readable: {error}");
    let Row { first, entry } = serde_json::from_slice(row).map_err(unreadable)?;
    let entry = serde_json::from_str(entry.get()).map_err(unreadable)?;
    let first_seen = Timestamp::from_second(first).map_err(|error| error.to_string())?;
    Ok(Kept { first_seen, entry })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, redb::Error> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| format!("the file of records: {error}")),
        Err(_) => Err("the file of records is damaged: stop the proxy and move it away".to_owned()),
    }
}

const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
/// Of the file, in memory.
const FILE_CACHE: usize = 16 << 20;
/// Of what was verified.
const RECENT: usize = 8192;
const RECENT_BYTES: u64 = 24 << 20;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// What a process that is killed leaves is what the file is while it is open.
    #[tokio::test]
    async fn after_a_crash_the_file_is_not_read_from_one_end_to_the_other() {
        let folder = tempfile::tempdir().expect("a directory");
        let (path, left) = (folder.path().join("records"), folder.path().join("left"));
        let repaired = || {
            std::fs::copy(&path, &left).expect("copies");
            let repairs = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&repairs);
            let opened = Database::builder()
                .set_repair_callback(move |_| seen.store(true, Ordering::Relaxed))
                .open(&left);
            opened.expect("opens");
            repairs.load(Ordering::Relaxed)
        };
        let store = Store::open(&path).expect("opens");
        assert!(!repaired(), "after it was opened");
        store.copy("none".to_owned(), Vec::new()).await.expect("writes");
        assert!(!repaired(), "after it was written");
        drop(store);
        let _again = Store::open(&path).expect("opens");
        assert!(!repaired(), "after it was opened again");
    }
}
