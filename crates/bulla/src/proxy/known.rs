//! The records that were verified: in a file that outlives the process, and those that are asked for often in memory. The truth
//! is in the log. What is read from the file is verified again before it counts, and what was lost is found in the log.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
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
    /// When this process last asked the log about it, if it did.
    pub(crate) looked: Option<Instant>,
}

impl Known {
    /// One whose entry was judged.
    pub(crate) fn new(record: Record, entry: &Entry, first_seen: Timestamp, looked: Option<Instant>) -> Self {
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
            looked,
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
    first: Timestamp,
    #[serde(borrow)]
    entry: &'a RawValue,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// Closed only while it is opened again.
    file: RwLock<Option<Database>>,
    recent: Cache<TagName, Arc<Known>, Weight>,
}

/// Why the file does not say what it has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The disk's fault: what it has is in the log too.
    #[error("the file of records: {0}")]
    Unavailable(String),
    /// What is there is not what was written.
    #[error("what is kept of it is not readable: {0}")]
    Garbled(String),
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
        let fix = "move it away: records are found again in the log";
        let file = match std::panic::catch_unwind(|| opened(path)) {
            Ok(Ok(file)) => file,
            // A file of another kind is no error of the disk, although it is called one.
            Ok(Err(redb::Error::Io(error))) if error.kind() != ErrorKind::InvalidData => {
                return Err(failed(&error));
            }
            Ok(Err(error @ redb::Error::DatabaseAlreadyOpen)) => return Err(failed(&error)),
            Ok(Err(error)) => return Err(failed(&format_args!("{error}: {fix}"))),
            Err(_) => return Err(failed(&format_args!("is damaged: {fix}"))),
        };
        let recent = Cache::with_weighter(RECENT, RECENT_BYTES, Weight);
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), file: RwLock::new(Some(file)), recent }) })
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
    pub(crate) async fn read(&self, tag: &TagName) -> Result<Option<Kept>, StoreError> {
        let tag = tag.clone();
        let row = self.blocking(move |file| {
            let table = file.begin_read()?.open_table(RECORDS)?;
            let Some(row) = table.get(tag.as_str())? else { return Ok(None) };
            Ok(Some(row.value().to_vec()))
        });
        row.await?.map(|row| kept(&row)).transpose()
    }

    /// Writes what is known of a tag, durably.
    pub(crate) async fn put(&self, known: Arc<Known>, entry: &Entry) -> Result<(), StoreError> {
        self.remember(&known);
        let garbled = |error: serde_json::Error| StoreError::Garbled(error.to_string());
        let entry = RawValue::from_string(entry.to_json()).map_err(garbled)?;
        let row = Row { first: known.first_seen, entry: &entry };
        let row = serde_json::to_vec(&row).map_err(garbled)?;
        self.blocking(move |file| {
            let mut writing = file.begin_write()?;
            writing.set_quick_repair(true);
            writing.open_table(RECORDS)?.insert(known.tag.as_str(), row.as_slice())?;
            writing.commit()?;
            Ok(())
        })
        .await
    }

    /// Writes what is kept of one tag under other names too, in their order. It is true of none of them, so whoever pulls one is
    /// refused: they are there to measure what many cost.
    pub(crate) async fn copy(&self, of: String, names: Vec<String>) -> Result<(), StoreError> {
        self.blocking(move |file| {
            let row =
                file.begin_read()?.open_table(RECORDS)?.get(of.as_str())?.map(|row| row.value().to_vec());
            let mut writing = file.begin_write()?;
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
    pub(crate) async fn count(&self) -> Result<u64, StoreError> {
        self.blocking(|file| Ok(file.begin_read()?.open_table(RECORDS)?.len()?)).await
    }

    /// The names of at most so many tags, from that one on.
    pub(crate) async fn names(&self, from: String, most: usize) -> Result<Vec<String>, StoreError> {
        self.blocking(move |file| {
            let table = file.begin_read()?.open_table(RECORDS)?;
            let rows = table.range(from.as_str()..)?.take(most);
            rows.map(|row| Ok(row?.0.value().to_owned())).collect()
        })
        .await
    }

    /// Works on the file, off the threads that serve connections. After an error of the disk it is opened again.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl Fn(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || inner.at(work)).await;
        let done = done
            .map_err(|_| StoreError::Unavailable("is damaged: stop the proxy and move it away".to_owned()))?;
        done.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

impl Inner {
    fn at<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        if let Some(file) = self.file.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            match work(file) {
                Err(redb::Error::PreviousIo) => {}
                done => return done,
            }
        }
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        // Two cannot have it open.
        *file = None;
        work(file.insert(opened(&self.path)?))
    }
}

/// Every commit, that of an opening too, is one after which a crash costs nothing: else the next start reads the file from one
/// end to the other, 16 s of a million tags.
fn opened(path: &Path) -> Result<Database, redb::Error> {
    let file = Database::builder().set_cache_size(FILE_CACHE).create(path)?;
    let mut begun = file.begin_write()?;
    begun.set_quick_repair(true);
    begun.open_table(RECORDS)?;
    begun.commit()?;
    Ok(file)
}

fn kept(row: &[u8]) -> Result<Kept, StoreError> {
    let garbled = |problem: &dyn std::fmt::Display| StoreError::Garbled(problem.to_string());
    let Row { first: first_seen, entry } = serde_json::from_slice(row).map_err(|error| garbled(&error))?;
    let entry = serde_json::from_str(entry.get()).map_err(|error| garbled(&error))?;
    Ok(Kept { first_seen, entry })
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

    #[test]
    fn a_file_that_is_none_is_refused_with_the_fix() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("records.redb");
        std::fs::write(&path, [b'x'; 8192]).expect("writes");
        let problem = Store::open(&path).err().expect("it is none");
        let wrong = "I/O error: Not a redb database: magic number mismatch";
        let fix = "move it away: records are found again in the log";
        assert_eq!(problem, format!("{}: {wrong}: {fix}", path.display()));
    }

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
