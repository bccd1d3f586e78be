//! Files that appear whole under their name or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What happens to a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Old {
    /// It stays, and that is an error ([`io::ErrorKind::AlreadyExists`]).
    Kept,
    /// It is replaced.
    Replaced,
}

/// Puts a file in a directory, with these permissions from its first byte on.
pub(crate) fn put(dir: &Path, name: &str, text: &str, mode: u32, old: Old) -> io::Result<PathBuf> {
    let (unfinished, path) = (dir.join(format!("{name}.{}", std::process::id())), dir.join(name));
    // Left by a process of the same number that was killed: in a container that is the usual number.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&unfinished)?;
    let placed = (|| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match old {
            // Unlike a rename, this never replaces what another process made at the same time.
            Old::Kept => fs::hard_link(&unfinished, &path),
            Old::Replaced => fs::rename(&unfinished, &path),
        }
    })();
    if old == Old::Kept || placed.is_err() {
        fs::remove_file(&unfinished)?;
    }
    placed?;
    File::open(dir)?.sync_all()?;
    Ok(path)
}
