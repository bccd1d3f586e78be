//! The logs that this user has met: the key and the last signed head of each of their trees, so that a log that changes its
//! key or its past is found out.
//!
//! `$XDG_STATE_HOME/bulla/logs.json`, or `~/.local/state/bulla/logs.json`; readable by its owner alone, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bulla_rekor::client::v1::{Head, LogKey};
use serde::{Deserialize, Serialize};

use crate::command::Failure;
use crate::target::read_small;
use crate::whole_file::{Old, Readers, put};

/// What is remembered of a tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Tree {
    /// The key, PEM.
    pub(crate) key: String,
    /// The size of the last head.
    size: u64,
    /// The last head, a signed note.
    pub(crate) checkpoint: String,
}

/// Trees by their number.
type Trees = BTreeMap<u64, Tree>;

/// What is remembered of all logs, by their URL.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    server: String,
    logs: BTreeMap<String, Trees>,
    /// What was learnt since it was read.
    learnt: Trees,
}

impl Known {
    /// Reads what is remembered, for questions about one server.
    pub(crate) fn read(server: &str) -> Result<Self, Failure> {
        let path = state()?.join("logs.json");
        let logs = load(&path)?;
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { path, server, logs, learnt: Trees::new() })
    }

    /// Where it is kept.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is known of a tree.
    pub(crate) fn tree(&self, tree: u64) -> Option<&Tree> {
        self.learnt.get(&tree).or_else(|| self.logs.get(&self.server)?.get(&tree))
    }

    /// The trees of this server that were seen before.
    pub(crate) fn trees(&self) -> impl Iterator<Item = u64> {
        self.logs.get(&self.server).into_iter().flat_map(|trees| trees.keys().copied())
    }

    /// Keeps a head that was found to continue the one before, and the key that signed it.
    pub(crate) fn learn(&mut self, head: &Head, key: &LogKey) {
        let tree = Tree { key: key.pem().to_owned(), size: head.size, checkpoint: head.note.clone() };
        self.learnt.insert(head.tree, tree);
    }

    /// Writes what was learnt. Another command may have learnt more meanwhile: the larger head stays.
    pub(crate) fn write(self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::file(&self.path, &error);
        if self.learnt.is_empty() {
            return Ok(());
        }
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let _lock = lock(&dir.join("logs.lock")).map_err(failed)?;
        let mut logs = load(&self.path)?;
        let trees = logs.entry(self.server.clone()).or_default();
        for (number, tree) in self.learnt {
            let larger = |kept: &Tree| kept.key == tree.key && kept.size > tree.size;
            if !trees.get(&number).is_some_and(larger) {
                trees.insert(number, tree);
            }
        }
        let text = serde_json::to_string_pretty(&logs).map_err(|error| failed(error.into()))?;
        replace(&self.path, text.as_bytes()).map_err(failed)
    }
}

/// Replaces a file by one that only its owner can read, as a whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, bytes, Readers::Owner, Old::Replaced)
}

/// Waits until no other process has this file, and keeps it from others for as long as the answer lives.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

fn load(path: &Path) -> Result<BTreeMap<String, Trees>, Failure> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let bytes = read_small(path, LARGEST)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let path = path.display();
        Failure::usage(format!("{path}: is not what was written there ({error}): move it away to start anew"))
    })
}

/// Where this program keeps what it knows from one run to the next: `$XDG_STATE_HOME/bulla`, or `~/.local/state/bulla`.
pub(crate) fn state() -> Result<PathBuf, Failure> {
    own_directory("XDG_STATE_HOME", ".local/state").ok_or_else(|| {
        Failure::usage("there is no place to remember the log: set HOME, or XDG_STATE_HOME to a directory")
    })
}

/// A directory of this program for this user: below what the variable names, or below that place in the home directory.
pub(crate) fn own_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let value = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // A relative directory is to be ignored (XDG base directory specification).
    let dir = value(variable).filter(|path| path.is_absolute());
    dir.or_else(|| Some(value("HOME")?.join(below_home))).map(|dir| dir.join("bulla"))
}

const LARGEST: u64 = 64 << 20;
