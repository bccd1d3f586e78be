//! What a stranger can read of a log: the checkpoint and the tiles, by their public path.
//!
//! The judge (`fsck`), inspection and mirrors see a log only through [`Source`], so a data directory, a plain
//! directory under a web server, a URL and a test's memory are judged by the same code.
//! <https://c2sp.org/tlog-tiles>

use std::fmt;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use bulla_tlog::note::MAX_NOTE;
use bulla_tlog::{MAX_ENTRY, TileId, TileKind};
use bytes::Bytes;

use crate::BoxFuture;
use crate::storage::StorageError;

/// Read access to the public objects of one log.
pub trait Source: Send + Sync {
    /// The object at a public path (`checkpoint`, `tile/…`); `None` when it is not there.
    ///
    /// An implementer must not answer with more bytes than [`largest`] allows for that path.
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>>;

    /// What to call this log in messages: a directory or a URL.
    fn name(&self) -> String;
}

/// How many bytes the object at this public path can have at most in a well-formed log.
pub fn largest(path: &str) -> usize {
    match TileId::parse(path) {
        Ok(TileId { kind: TileKind::Hashes(_), width, .. }) => 32 * usize::from(width),
        Ok(TileId { kind: TileKind::Entries, width, .. }) => (2 + MAX_ENTRY) * usize::from(width),
        Err(_) => MAX_NOTE,
    }
}

/// Why something could not be read: the world's fault (try again) or ours (stop and shout).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The storage, disk or network did not answer.
    Unavailable(String),
    /// What was read cannot be what was written.
    Corrupt(String),
}

impl ReadError {
    /// The world's fault: another try may succeed.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::Unavailable(cause.to_string())
    }

    /// The log's own fault: what is stored is wrong.
    pub fn corrupt(cause: impl fmt::Display) -> Self {
        Self::Corrupt(cause.to_string())
    }

    /// Whether what is stored is wrong, as against not to be had right now.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt(_))
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "unavailable: {cause}"),
            Self::Corrupt(cause) => write!(f, "corrupt: {cause}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Corrupt(cause) => Self::Corrupt(cause),
            other => Self::unavailable(other),
        }
    }
}

/// A plain directory in the C2SP layout, such as a mirror or a web server's root.
#[derive(Clone, Debug)]
pub struct StaticDir {
    root: PathBuf,
}

impl StaticDir {
    /// The log whose `checkpoint` and `tile/` stand in this directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for StaticDir {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        Box::pin(async move {
            // A public path only ever goes down; anything else would read outside of the log.
            if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(ReadError::unavailable(format!("path {path:?} is not one of a log's")));
            }
            let (file, limit) = (self.root.join(path), largest(path));
            tokio::task::spawn_blocking(move || read_file(&file, limit))
                .await
                .map_err(ReadError::unavailable)?
        })
    }

    fn name(&self) -> String {
        self.root.display().to_string()
    }
}

fn read_file(path: &Path, limit: usize) -> Result<Option<Bytes>, ReadError> {
    let unavailable = |error: io::Error| ReadError::unavailable(format!("{}: {error}", path.display()));
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unavailable(error)),
    };
    let meta = file.metadata().map_err(unavailable)?;
    if !meta.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(limit).min(limit) + 1);
    // One byte more than allowed, to tell a file at the limit from one beyond it.
    file.by_ref().take(limit as u64 + 1).read_to_end(&mut bytes).map_err(unavailable)?;
    if bytes.len() > limit {
        return Err(ReadError::corrupt(format!(
            "{} has more than the {limit} bytes that such a file can have",
            path.display()
        )));
    }
    Ok(Some(bytes.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_answers_what_is_in_it_and_nothing_outside() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("checkpoint"), b"note").expect("write");
        std::fs::create_dir_all(dir.path().join("tile/0/000.p")).expect("create");
        std::fs::write(dir.path().join("tile/0/000.p/1"), [7; 32]).expect("write");
        std::fs::write(dir.path().join("tile/0/000.p/2"), [7; 65]).expect("write");
        let source = StaticDir::new(dir.path());
        assert_eq!(source.fetch("checkpoint").await, Ok(Some(Bytes::from_static(b"note"))));
        assert_eq!(source.fetch("tile/0/000.p/1").await, Ok(Some(vec![7; 32].into())));
        assert_eq!(source.fetch("tile/0/000").await, Ok(None));
        assert_eq!(source.fetch("tile/0/000.p").await, Ok(None));
        assert_eq!(source.fetch("checkpoint/below").await, Ok(None));
        assert!(source.fetch("tile/0/000.p/2").await.expect_err("too long").is_corrupt());
        for outside in ["../checkpoint", "/etc/hostname", "tile/../../x"] {
            assert!(source.fetch(outside).await.is_err(), "{outside}");
        }
    }
}
