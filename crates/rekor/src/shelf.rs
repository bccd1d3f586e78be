//! A shelf: a directory of small files by name, for what may be lost or thrown away without harm to the log. Whoever
//! deletes a file, or the whole directory, has deleted what was in it and nothing else.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bulla_tlog::Hash;

/// See the module.
pub struct Shelf {
    dir: PathBuf,
    unfinished: AtomicU64,
}

/// Longer files are not ours.
const LARGEST: u64 = 64 << 20;

/// Whether a file must survive a power failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It is on the disk on return.
    Now,
    /// It gets there when the system likes.
    Sometime,
}

impl Shelf {
    /// A shelf in that directory, which is made when something is put there.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), unfinished: AtomicU64::new(0) }
    }

    /// 256 folders keep each of them small.
    fn path(&self, name: &Hash) -> PathBuf {
        let name = name.to_string();
        self.dir.join(&name[..2]).join(name)
    }

    /// Puts a file, in place of an earlier one of that name. It appears whole or not at all.
    pub(crate) fn put(&self, name: &Hash, bytes: &[u8], durable: Durable) -> io::Result<()> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder)?;
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!(".{}.{number}", std::process::id()));
        let put = || {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            if durable == Durable::Now {
                file.sync_all()?;
            }
            fs::rename(&unfinished, &path)?;
            if durable == Durable::Now { File::open(folder)?.sync_all() } else { Ok(()) }
        };
        put().inspect_err(|_| {
            // Already gone is as good.
            let _absent = fs::remove_file(&unfinished);
        })
    }

    /// The file of that name, if there is one.
    pub(crate) fn take_down(&self, name: &Hash) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Removes the file of that name, if there is one.
    pub(crate) fn remove(&self, name: &Hash) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what was put longer ago than that, and says how many files that were.
    pub fn sweep(&self, older_than: Duration) -> io::Result<u64> {
        let Some(limit) = SystemTime::now().checked_sub(older_than) else { return Ok(0) };
        let folders = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut removed = 0;
        for folder in folders {
            let folder = folder?.path();
            if !folder.is_dir() {
                continue;
            }
            for file in fs::read_dir(&folder)? {
                let file = file?;
                let metadata = file.metadata()?;
                if metadata.is_file() && metadata.modified()? < limit {
                    fs::remove_file(file.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::sha256;

    use super::*;

    #[test]
    fn what_is_put_stays_until_it_is_swept() {
        let dir = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(&dir.path().join("shelf"));
        assert_eq!(shelf.sweep(Duration::ZERO).expect("an empty shelf is swept"), 0);
        let (a, b) = (sha256(b"a"), sha256(b"b"));
        for durable in [Durable::Sometime, Durable::Now] {
            shelf.put(&a, b"1", durable).expect("puts");
            shelf.put(&a, b"2", durable).expect("puts again");
        }
        assert_eq!(shelf.take_down(&a).expect("reads").as_deref(), Some(&b"2"[..]));
        assert_eq!(shelf.take_down(&b).expect("reads"), None);
        assert_eq!(shelf.sweep(Duration::from_hours(1)).expect("sweeps"), 0);
        assert_eq!(shelf.sweep(Duration::ZERO).expect("sweeps"), 1);
        assert_eq!(shelf.take_down(&a).expect("reads"), None);
        shelf.remove(&a).expect("removing what is gone is no error");
    }
}
