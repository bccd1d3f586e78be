//! File storage: one directory, one writer.
//!
//! ```text
//! DIR/format          what this is, whose log, since when
//! DIR/lock            held by the process that writes
//! DIR/journal/{0,1}   batches committed and not yet settled
//! DIR/head            the settled head
//! DIR/tile/…          hash tiles under their C2SP paths; entry bundles beside them as .zst
//! DIR/time/…          when the leaves of each bundle were integrated
//! DIR/aside/…         what came with them, as .zst
//! DIR/cell/…          checkpoint, checkpoint history
//! DIR/index/…         the deduplication index; may be deleted while the log is stopped
//! ```

mod format;
mod journal;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bulla_tlog::Hash;
use bytes::Bytes;

pub use format::{Format, OpenError};
use journal::{Access, Journal};

use super::{Head, Recovered, Staged, Storage, StorageError};
use crate::BoxFuture;
use crate::beside::MAX_ASIDE;
use crate::source::{ReadError, Source};

/// The largest object that is compressed: the asides of 256 leaves with their lengths.
const MAX_OBJECT: u64 = 256 * (4 + MAX_ASIDE as u64);
/// Entry bundles and asides are compressed at rest: a fifth of the size for 3 µs an entry.
const ZSTD_LEVEL: i32 = 3;

/// A data directory opened for writing. The lock is held as long as this lives.
pub struct FileStorage {
    dir: PathBuf,
    state: Mutex<State>,
    compressor: Mutex<zstd::bulk::Compressor<'static>>,
    /// Told without waiting for a commit that is under way.
    unsettled_bytes: AtomicU64,
    _lock: File,
}

struct State {
    settled: Head,
    journal: Journal,
    recovered: Option<Vec<Staged>>,
}

impl FileStorage {
    /// Opens the directory of a log, making it on first use. Refuses one that is in use, was made by a
    /// newer version, or belongs to another log than `format` says.
    pub fn open(dir: &Path, format: &Format) -> Result<FileStorage, OpenError> {
        std::fs::create_dir_all(dir).map_err(|e| OpenError::not_writable(dir, &e))?;
        let lock = format::lock(dir)?;
        format::create_or_check(dir, format)?;
        let settled = read_head(dir)?;
        let (journal, staged) = Journal::open(&dir.join("journal"), settled, Access::Write)?;
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|e| StorageError::io("zstd", &e))?;
        let unsettled_bytes = AtomicU64::new(journal.unsettled_bytes());
        let state = State { settled, journal, recovered: Some(staged) };
        Ok(FileStorage {
            dir: dir.to_owned(),
            state: Mutex::new(state),
            compressor: Mutex::new(compressor),
            unsettled_bytes,
            _lock: lock,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_now(&self, object: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = path_of(&self.dir, object)?;
        let compressed;
        let stored = if is_compressed(object) {
            let mut compressor = self.compressor.lock().unwrap_or_else(PoisonError::into_inner);
            compressed = compressor.compress(bytes).map_err(|e| StorageError::io(path.display(), &e))?;
            &compressed
        } else {
            bytes
        };
        let written = write_file(&path, stored).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            std::fs::create_dir_all(path.parent().unwrap_or(&self.dir))?;
            write_file(&path, stored)
        });
        written.map_err(|e| {
            // Half an object must not stay under its name; where nothing was made there is nothing to remove.
            let _absent = std::fs::remove_file(&path);
            StorageError::io(path.display(), &e)
        })
    }

    fn settle_now(&self, head: Head) -> Result<(), StorageError> {
        let root = File::open(&self.dir).map_err(|e| StorageError::io(self.dir.display(), &e))?;
        rustix::fs::syncfs(&root).map_err(|e| StorageError::io(self.dir.display(), &e.into()))?;
        let text = format!("{}\n{}\n", head.size, head.root.to_base64());
        replace_file(&self.dir.join("head"), text.as_bytes())?;
        let mut state = self.state();
        state.settled = head;
        state.journal.settle(head.size);
        self.unsettled_bytes.store(state.journal.unsettled_bytes(), Ordering::Release);
        Ok(())
    }
}

/// The path of an object or cell; names are made by the ledger, so a bad one is a bug made visible.
fn path_of(dir: &Path, name: &str) -> Result<PathBuf, StorageError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if name.is_empty() || name.starts_with('/') || name.contains("..") || !name.chars().all(plain) {
        return Err(StorageError::Corrupt(format!("\"{name}\" is not the name of an object")));
    }
    Ok(if is_compressed(name) { dir.join(format!("{name}.zst")) } else { dir.join(name) })
}

fn is_compressed(object: &str) -> bool {
    object.starts_with("tile/entries/") || object.starts_with("aside/")
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::create(path)?.write_all(bytes)
}

/// Replaces a file so that a crash leaves the old bytes or the new, durable on return.
fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let replace = || {
        let parent = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)?;
        let unfinished = path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        File::open(parent)?.sync_all()
    };
    replace().map_err(|e| StorageError::io(path.display(), &e))
}

/// The bytes of a file, or `None` when there is none.
fn read_file(path: &Path) -> Result<Option<Bytes>, StorageError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(Bytes::from(bytes))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(StorageError::io(path.display(), &e)),
    }
}

thread_local! {
    /// Making one costs as much as decompressing a bundle.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn read_object(dir: &Path, object: &str) -> Result<Option<Bytes>, StorageError> {
    let path = path_of(dir, object)?;
    let Some(stored) = read_file(&path)? else { return Ok(None) };
    if !is_compressed(object) {
        return Ok(Some(stored));
    }
    let corrupt = |e: &dyn std::fmt::Display| StorageError::Corrupt(format!("{}: {e}", path.display()));
    let len = zstd::zstd_safe::get_frame_content_size(&stored).ok().flatten();
    let len = len.filter(|len| *len <= MAX_OBJECT).ok_or_else(|| corrupt(&"is not a compressed object"))?;
    let bytes = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(made) => made,
            none => none.insert(zstd::bulk::Decompressor::new()?),
        };
        decompressor.decompress(&stored, len as usize)
    });
    Ok(Some(Bytes::from(bytes.map_err(|e| corrupt(&e))?)))
}

fn read_head(dir: &Path) -> Result<Head, StorageError> {
    let path = dir.join("head");
    let Some(bytes) = read_file(&path)? else { return Ok(Head::empty()) };
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let size = lines.next().and_then(|line| line.parse().ok());
    let root = lines.next().and_then(Hash::from_base64);
    match (size, root) {
        (Some(size), Some(root)) => Ok(Head { size, root }),
        _ => Err(StorageError::Corrupt(format!("{} does not hold a size and a root", path.display()))),
    }
}

/// The file storage works at once on its caller's thread; the ledger calls the slow verbs from threads
/// of its own.
fn done<'a, T: Send + 'a>(value: Result<T, StorageError>) -> BoxFuture<'a, Result<T, StorageError>> {
    Box::pin(std::future::ready(value))
}

impl Storage for FileStorage {
    fn recover(&self) -> BoxFuture<'_, Result<Recovered, StorageError>> {
        let mut state = self.state();
        let settled = state.settled;
        let staged = state.recovered.take().ok_or_else(|| {
            StorageError::Corrupt("a storage is recovered once, when it is opened".to_owned())
        });
        done(staged.map(|staged| Recovered { settled, staged }))
    }

    fn read<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        done(read_object(&self.dir, object))
    }

    fn put<'a>(&'a self, object: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), StorageError>> {
        done(self.put_now(object, &bytes))
    }

    fn commit<'a>(&'a self, batch: &'a Staged) -> BoxFuture<'a, Result<(), StorageError>> {
        let mut state = self.state();
        let committed = state.journal.commit(batch);
        self.unsettled_bytes.store(state.journal.unsettled_bytes(), Ordering::Release);
        done(committed)
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, StorageError>> {
        done(Ok(self.state().journal.head()))
    }

    fn settle(&self, head: Head) -> BoxFuture<'_, Result<(), StorageError>> {
        done(self.settle_now(head))
    }

    fn cell<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StorageError>> {
        done(path_of(&self.dir.join("cell"), name).and_then(|path| read_file(&path)))
    }

    fn swap<'a>(
        &'a self,
        name: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        // The lock on the directory keeps other processes out, this one other threads.
        let _exclusive = self.state();
        done(path_of(&self.dir.join("cell"), name).and_then(|path| {
            let same = read_file(&path)?.as_deref() == expected;
            if same {
                replace_file(&path, &value)?;
            }
            Ok(same)
        }))
    }

    fn delete<'a>(&'a self, object: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        done(path_of(&self.dir, object).and_then(|path| match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StorageError::io(path.display(), &e)),
            _ => Ok(()),
        }))
    }

    fn unsettled_bytes(&self) -> u64 {
        self.unsettled_bytes.load(Ordering::Acquire)
    }

    fn capacity_bytes(&self) -> u64 {
        2 * journal::SLOT_BYTES
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        Some(stat.f_bavail * stat.f_frsize)
    }
}

/// A data directory opened to be looked at, also while a log runs on it: what was settled last, with
/// its checkpoint, as a stranger would read it.
pub struct DataDir {
    dir: PathBuf,
    format: Format,
}

impl DataDir {
    /// Whether `dir` is a data directory of this program and not, say, a static copy of a log.
    pub fn is_one(dir: &Path) -> bool {
        dir.join("format").is_file()
    }

    /// Opens a directory for reading; takes no lock and changes nothing.
    pub fn open(dir: &Path) -> Result<DataDir, OpenError> {
        let format = Format::read(dir)?;
        Ok(DataDir { dir: dir.to_owned(), format })
    }

    /// Whose log this is.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The settled head and the committed batches behind it, or `None` while a log runs here.
    pub fn journal(&self) -> Result<Option<Recovered>, OpenError> {
        let Ok(_lock) = format::lock(&self.dir) else { return Ok(None) };
        let settled = read_head(&self.dir)?;
        let (_, staged) = Journal::open(&self.dir.join("journal"), settled, Access::Read)?;
        Ok(Some(Recovered { settled, staged }))
    }
}

impl Source for DataDir {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        let read = if path == "checkpoint" {
            read_file(&self.dir.join("cell").join(path))
        } else {
            read_object(&self.dir, path)
        };
        Box::pin(std::future::ready(read.map_err(ReadError::from)))
    }

    fn name(&self) -> String {
        self.dir.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn files_conform() {
        let dir = tempfile::tempdir().expect("a directory");
        let format = Format::new("log.example.org", Hash([7; 32]), 1_700_000_000);
        let path = dir.path().to_owned();
        let storage = Arc::new(FileStorage::open(&path, &format).expect("opens"));
        crate::storage::conformance::check(storage, move |old| {
            drop(old);
            Arc::new(FileStorage::open(&path, &format).expect("opens again"))
        })
        .await;
    }

    #[test]
    fn names_stay_inside_the_directory() {
        for name in ["", "/etc/passwd", "../x", "tile/../../x", "a b", "a\0"] {
            assert!(path_of(Path::new("/data"), name).is_err(), "{name:?}");
        }
    }
}
