//! The first file of a data directory: what it is, whose log it holds, since when. It is what keeps a
//! directory from being opened by an older program, for another log, or twice at the same time.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bulla_tlog::Hash;

use crate::storage::StorageError;

/// The layout this program writes. Any other number is refused.
const VERSION: u32 = 2;

/// Whose log a directory holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// The origin of its checkpoints.
    pub origin: String,
    /// The log ID: the full hash whose first four bytes are the checkpoint's key ID.
    pub log_id: Hash,
    /// When the log began, in Unix seconds.
    pub created: u64,
}

/// Why a directory cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to it.
    #[error("{0} is in use by another process: stop that one first, or choose another --data directory")]
    InUse(PathBuf),
    /// It was made by a later version of this program.
    #[error("{dir} has format {found}, this program knows formats up to {VERSION}: use the newer program")]
    Newer {
        /// The directory.
        dir: PathBuf,
        /// Its format number.
        found: u32,
    },
    /// It was made before logs kept when their entries were integrated.
    #[error(
        "{dir} has format {found}, which was never released; this program reads format {VERSION}: start a new log"
    )]
    Older {
        /// The directory.
        dir: PathBuf,
        /// Its format number.
        found: u32,
    },
    /// It holds a log with another origin.
    #[error(
        "{dir} holds the log \"{found}\", not \"{wanted}\": pass --origin {found}, or another --data directory"
    )]
    OtherOrigin {
        /// The directory.
        dir: PathBuf,
        /// Its origin.
        found: String,
        /// The origin asked for.
        wanted: String,
    },
    /// It holds a log that is signed with another key.
    #[error("the key does not match the log in {dir}: it has log ID {wanted}, the log has {found}")]
    OtherKey {
        /// The directory.
        dir: PathBuf,
        /// Its log ID.
        found: String,
        /// The log ID of the given key.
        wanted: String,
    },
    /// Files are there, but not the one that says what they are.
    #[error("{0} is not empty and not a log: choose an empty --data directory")]
    NotALog(PathBuf),
    /// The world's fault or the disk's.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No permission, read-only, or no space.
    #[error("cannot write to {dir}: {error}")]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl OpenError {
    pub(super) fn not_writable(dir: &Path, error: &io::Error) -> Self {
        OpenError::NotWritable { dir: dir.to_owned(), error: io::Error::new(error.kind(), error.to_string()) }
    }
}

impl Format {
    /// A format of this program's version.
    pub fn new(origin: &str, log_id: Hash, created: u64) -> Self {
        Format { origin: origin.to_owned(), log_id, created }
    }

    /// Reads the format of a directory.
    pub fn read(dir: &Path) -> Result<Format, OpenError> {
        let path = dir.join("format");
        let text = std::fs::read_to_string(&path).map_err(|e| StorageError::io(path.display(), &e))?;
        parse(dir, &text)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bulla {VERSION}")?;
        writeln!(f, "origin {}", self.origin)?;
        writeln!(f, "log {}", self.log_id.to_base64())?;
        writeln!(f, "created {}", self.created)
    }
}

fn parse(dir: &Path, text: &str) -> Result<Format, OpenError> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).unwrap_or_default()
    };
    let broken =
        || OpenError::Storage(StorageError::Corrupt(format!("{} is damaged", dir.join("format").display())));
    let version: u32 = value("bulla").parse().map_err(|_| broken())?;
    if version > VERSION {
        return Err(OpenError::Newer { dir: dir.to_owned(), found: version });
    }
    if version < VERSION {
        return Err(OpenError::Older { dir: dir.to_owned(), found: version });
    }
    Ok(Format {
        origin: value("origin").to_owned(),
        log_id: Hash::from_base64(value("log")).ok_or_else(broken)?,
        created: value("created").parse().map_err(|_| broken())?,
    })
}

/// Takes the directory's lock for as long as the returned file lives.
pub(super) fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| OpenError::not_writable(dir, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(e)) => Err(OpenError::not_writable(dir, &e)),
    }
}

/// Writes the format on first use, else compares.
pub(super) fn create_or_check(dir: &Path, wanted: &Format) -> Result<(), OpenError> {
    if !dir.join("format").exists() {
        let journal = dir.join("journal");
        let made_later = ["head", "tile", "index"].iter().any(|name| dir.join(name).exists());
        if made_later || super::journal::is_used(&journal) {
            return Err(OpenError::NotALog(dir.to_owned()));
        }
        // Before the format, which says that they must be there.
        super::journal::make(&journal)?;
        return Ok(super::replace_file(&dir.join("format"), wanted.to_string().as_bytes())?);
    }
    let found = Format::read(dir)?;
    if found.origin != wanted.origin {
        let (found, wanted) = (found.origin, wanted.origin.clone());
        return Err(OpenError::OtherOrigin { dir: dir.to_owned(), found, wanted });
    }
    if found.log_id != wanted.log_id {
        let (found, wanted) = (found.log_id.to_base64(), wanted.log_id.to_base64());
        return Err(OpenError::OtherKey { dir: dir.to_owned(), found, wanted });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, format: &Format) -> Result<super::super::FileStorage, OpenError> {
        super::super::FileStorage::open(dir, format)
    }

    #[test]
    fn refusals_say_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, shown) = (dir.path(), dir.path().display());
        let format = Format::new("a.example", Hash([1; 32]), 7);
        let first = open(path, &format).expect("opens");
        let said = |result: Result<_, OpenError>| result.err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(
            said(open(path, &format)),
            format!(
                "{shown} is in use by another process: stop that one first, or choose another --data directory"
            )
        );
        drop(first);
        assert_eq!(
            said(open(path, &Format::new("b.example", Hash([1; 32]), 7))),
            format!(
                "{shown} holds the log \"a.example\", not \"b.example\": pass --origin a.example, or another --data directory"
            )
        );
        assert!(
            said(open(path, &Format::new("a.example", Hash([2; 32]), 7)))
                .starts_with("the key does not match")
        );
        std::fs::write(path.join("format"), "bulla 3\n").expect("writes");
        assert_eq!(
            said(open(path, &format)),
            format!("{shown} has format 3, this program knows formats up to 2: use the newer program")
        );
        std::fs::write(path.join("format"), "bulla 1\n").expect("writes");
        assert_eq!(
            said(open(path, &format)),
            format!(
                "{shown} has format 1, which was never released; this program reads format 2: start a new log"
            )
        );
    }
}
