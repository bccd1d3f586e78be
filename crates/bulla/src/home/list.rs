//! The list of shards in a data directory (`shards.json`): which trees the log has had, oldest first, and whether one is about
//! to follow. It is replaced as a whole, so after a crash it says what was before or what came after.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bulla_rekor::wire::v1::id::TreeId;
use serde::{Deserialize, Serialize};

use crate::command::Failure;

/// See the module.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Oldest first; the last takes entries. Never empty.
    pub(crate) shards: Vec<Listed>,
    /// The shard that is about to follow: the active one is being ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Next>,
}

/// A shard in the list.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// Its ID.
    pub(crate) tree: TreeId,
    /// When it ended, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<u64>,
    /// Where it said it was when it ended, for the trust files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
}

/// A shard that is about to be.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Next {
    /// Its ID.
    pub(crate) tree: TreeId,
    /// The name that it signs under.
    pub(crate) origin: String,
}

const FILE: &str = "shards.json";

impl List {
    /// The list of a directory, if it has one.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Failure> {
        let path = dir.join(FILE);
        let damaged = |problem: &dyn std::fmt::Display| {
            Failure::check(format!("{}: {problem}: restore it from a copy", path.display()))
        };
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Failure::unavailable(format!("{}: {error}", path.display())))?,
        };
        let list: Self = serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        list.check().map_err(|problem| damaged(&problem))?;
        Ok(Some(list))
    }

    /// What no list of ours says.
    fn check(&self) -> Result<(), String> {
        let Some((_, older)) = self.shards.split_last() else { return Err("lists no shard".to_owned()) };
        if let Some(open) = older.iter().find(|one| one.ended.is_none()) {
            return Err(format!("shard {} has not ended, but another follows it", open.tree));
        }
        let mut trees: Vec<_> = self.shards.iter().map(|one| one.tree.to_string()).collect();
        trees.extend(self.next.iter().map(|next| next.tree.to_string()));
        trees.sort_unstable();
        match trees.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("lists shard {} twice", pair[0])),
            None => Ok(()),
        }
    }

    /// The list of a directory; a new log begins with one tree.
    pub(super) fn read_or_begin(dir: &Path, new: bool) -> Result<Self, Failure> {
        match Self::read(dir)? {
            Some(list) => Ok(list),
            None if new => {
                let list =
                    Self { shards: vec![Listed { tree: new_tree()?, ended: None, url: None }], next: None };
                list.write(dir)?;
                Ok(list)
            }
            None => {
                let path = dir.join(FILE);
                let problem = "is missing: restore it from a copy, it says which trees the log has";
                Err(Failure::check(format!("{} {problem}", path.display())))
            }
        }
    }

    /// Replaces the list, durably.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let path = dir.join(FILE);
        let unfinished = dir.join("shards.json.new");
        let write = || {
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            let mut file = File::create(&unfinished)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error: io::Error| Failure::unavailable(format!("{}: {error}", path.display())))
    }
}

/// A tree ID that nobody else has.
pub(crate) fn new_tree() -> Result<TreeId, Failure> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Failure::unavailable("the system gives no random bytes"))?;
    // The highest bit must not be set; zero would be as unlikely as meeting another log's.
    let number = (u64::from_be_bytes(bytes) >> 1).max(1);
    TreeId::new(number).ok_or_else(|| Failure::unavailable("the system gives no random bytes"))
}

/// Where a shard lies: the first in the directory itself.
pub(crate) fn place(dir: &Path, list: &List, tree: TreeId) -> PathBuf {
    if list.shards.first().is_some_and(|first| first.tree == tree) {
        dir.to_owned()
    } else {
        later_place(dir, tree)
    }
}

/// Where a later shard lies.
pub(super) fn later_place(dir: &Path, tree: TreeId) -> PathBuf {
    dir.join("shards").join(tree.to_string())
}
