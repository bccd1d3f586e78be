//! How far a log was checked: a small JSON file from which a later check goes on, and against which it proves that the
//! log was only added to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bulla_tlog::Hash;
use serde::{Deserialize, Serialize};

use super::rim::Rim;

/// The file's content.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// Version of this format.
    format: u32,
    /// The log.
    pub(super) origin: String,
    /// Every entry below is verified; a multiple of 256.
    size: u64,
    /// Hashes in progress of each tile level from 1 up, base64: the tree of `size` entries.
    edge: Vec<Vec<String>>,
    /// The signed checkpoint against which that was done.
    pub(super) checkpoint: String,
}

impl State {
    pub(super) fn new(origin: &str, rim: &Rim, checkpoint: &str) -> Self {
        let text = |level: Vec<Hash>| level.iter().map(Hash::to_base64).collect();
        Self {
            format: FORMAT,
            origin: origin.to_owned(),
            size: rim.size(),
            edge: rim.levels().into_iter().map(text).collect(),
            checkpoint: checkpoint.to_owned(),
        }
    }

    /// The state in a file, or `None` when there is no file yet.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, String> {
        let refused = |problem: String| format!("state file {}: {problem}", path.display());
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(error.to_string())),
            Ok(meta) if meta.len() > LARGEST => return Err(refused("is too large to be one".to_owned())),
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(|error| refused(error.to_string()))?;
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
        if state.format != FORMAT {
            return Err(refused(format!("is of format {}, {FORMAT} was expected", state.format)));
        }
        state.rim().ok_or_else(|| refused(format!("its edge is not that of {} entries", state.size)))?;
        Ok(Some(state))
    }

    /// The tree it describes.
    pub(super) fn rim(&self) -> Option<Rim> {
        let hashes = |level: &Vec<String>| level.iter().map(|text| Hash::from_base64(text)).collect();
        let levels: Option<Vec<Vec<Hash>>> = self.edge.iter().map(hashes).collect();
        Rim::restore(self.size, &levels?)
    }

    /// Writes the file so that a crash leaves the old one or the new one, whole.
    pub(super) async fn save(self, path: &Path) -> Result<(), String> {
        let path = path.to_owned();
        let save = move || {
            let beside = beside(&path);
            let write = || {
                let mut file = File::create(&beside)?;
                file.write_all(&serde_json::to_vec_pretty(&self)?)?;
                file.sync_all()?;
                fs::rename(&beside, &path)
            };
            write().map_err(|error| format!("state file {}: {error}", path.display()))
        };
        tokio::task::spawn_blocking(save).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// A name of its own in the same directory, where a rename stays on one file system.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

const FORMAT: u32 = 1;
/// Seven levels of 255 hashes and a checkpoint of 1 MiB stay well below.
const LARGEST: u64 = 8 * 1024 * 1024;
