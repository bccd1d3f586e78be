//! Files that appear whole under their name or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What happens to a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Old {
    /// It stays, and that is an error ([`io::ErrorKind::AlreadyExists`]).
    Kept,
    /// It is replaced.
    Replaced,
}

/// Who may read a file, from its first byte on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// Nobody but its owner: keys, and what this program remembers.
    Owner,
    /// Whoever the umask lets: what is made to be given away.
    Anybody,
}

/// Puts a file in its place. If that fails nothing is left of it, and a file that was there is as it was.
pub(crate) fn put(path: &Path, bytes: &[u8], readers: Readers, old: Old) -> io::Result<()> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    // Left by a process of the same number that was killed: in a container that is the usual number.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Anybody => 0o666,
    };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
    let placed = (|| {
        file.write_all(bytes)?;
        file.sync_all()?;
        match old {
            // Unlike a rename, this never replaces what another process made at the same time.
            Old::Kept => fs::hard_link(&unfinished, path),
            Old::Replaced => fs::rename(&unfinished, path),
        }
    })();
    if old == Old::Kept || placed.is_err() {
        // Of two failures the first says more.
        let removed = fs::remove_file(&unfinished);
        placed?;
        removed?;
    }
    let dir = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
    match File::open(dir) {
        // Whoever may write there and not read has no way to flush the name.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        dir => dir?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let names = || fs::read_dir(dir.path()).expect("is there").count();
        put(&path, b"one", Readers::Owner, Old::Kept).expect("is new");
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
        let kept = put(&path, b"two", Readers::Owner, Old::Kept).expect_err("is there");
        assert_eq!(kept.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).expect("is there"), names()), (b"one".to_vec(), 1));
        put(&path, b"two", Readers::Owner, Old::Replaced).expect("is replaced");
        assert_eq!((fs::read(&path).expect("is there"), names()), (b"two".to_vec(), 1));
        // A name that cannot be had.
        let taken = dir.path().join("directory");
        fs::create_dir_all(taken.join("inside")).expect("is made");
        assert!(put(&taken, b"three", Readers::Anybody, Old::Replaced).is_err());
        assert_eq!(names(), 2, "nothing unfinished is left");
    }
}
