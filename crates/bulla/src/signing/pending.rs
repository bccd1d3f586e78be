//! What was signed and is not stored yet: kept on this machine, so that a run that was interrupted is ended by the next, and
//! nothing is signed or logged twice.
//!
//! `$XDG_STATE_HOME/bulla/pending/HASH.json`, or below `~/.local/state`: readable by its owner alone, replaced as a whole,
//! removed once it is stored. `lock-XX` beside them is held by whoever works on something whose hash begins so.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::bundle::Signed;
use crate::command::Failure;
use crate::known::{lock, replace, state};
use crate::target::read_small;

/// The place of one thing that is asked for.
pub(crate) struct Slot {
    path: PathBuf,
    _lock: File,
}

impl Slot {
    /// The place of what has this name, hexadecimal digits; waits for another process that works on it.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let dir = state()?.join("pending");
        let failed = |error: std::io::Error| Failure::file(&dir, &error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let lock = lock(&dir.join(format!("lock-{}", &name[..2]))).map_err(failed)?;
        Ok(Self { path: dir.join(format!("{name}.json")), _lock: lock })
    }

    /// What an interrupted run left.
    pub(crate) fn read(&self) -> Result<Option<Signed>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        let path = self.path.display();
        serde_json::from_slice(&read_small(&self.path, LARGEST)?).map(Some).map_err(|error| {
            Failure::usage(format!(
                "{path}: is not what was written there ({error}): move it away to sign anew"
            ))
        })
    }

    /// Keeps it.
    pub(crate) fn write(&self, signed: &Signed) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::file(&self.path, &error);
        let text = serde_json::to_string(signed).map_err(|error| failed(error.into()))?;
        replace(&self.path, text.as_bytes()).map_err(failed)
    }

    /// It is stored where it belongs.
    pub(crate) fn done(self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file(&self.path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// A statement with a large predicate, in base64 twice.
const LARGEST: u64 = 64 << 20;
