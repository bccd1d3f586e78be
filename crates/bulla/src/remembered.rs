//! The heads of logs that verification has met: of each tree the largest that was seen to continue the others, so that a log
//! that changes its past is found out, and some that it was proved to continue, so that they need no proof again.
//!
//! `$XDG_STATE_HOME/bulla/heads.json`, or `~/.local/state/bulla/heads.json`; readable by its owner alone, replaced as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use bulla_claims::judge::{LogHead, TrustedRoot};
use serde::{Deserialize, Serialize};

use crate::command::Failure;
use crate::known::{lock, own_directory, replace};
use crate::target::read_small;
use crate::text::hex;

/// What is remembered of one tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Tree {
    /// How many entries the head has.
    size: u64,
    /// The head, a signed note.
    checkpoint: String,
    /// Roots of smaller sizes that it was proved to continue, in base64.
    #[serde(default)]
    proved: BTreeMap<u64, String>,
}

/// Trees by the ID of the log, then by what it calls them.
type Trees = BTreeMap<String, BTreeMap<String, Tree>>;

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// None if this user has no place for it.
    path: Option<PathBuf>,
    trees: Trees,
    learnt: bool,
}

impl Remembered {
    /// Reads it.
    pub(crate) fn read() -> Result<Self, Failure> {
        Self::at(own_directory("XDG_STATE_HOME", ".local/state").map(|dir| dir.join("heads.json")))
    }

    fn at(path: Option<PathBuf>) -> Result<Self, Failure> {
        let trees = load(path.as_ref())?;
        Ok(Self { path, trees, learnt: false })
    }

    /// The head that is remembered of the tree of another. It must still be one that a trusted log signed.
    pub(crate) fn head(&self, of: &LogHead, root: &TrustedRoot) -> Result<Option<LogHead>, Failure> {
        let Some(tree) = self.tree(of) else { return Ok(None) };
        let head = root
            .head(&tree.checkpoint)
            .ok()
            .filter(|head| head.origin == of.origin && head.size == tree.size);
        let path = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let head = head.ok_or_else(|| {
            Failure::usage(format!(
                "{path}: the head of {:?} is not what was written there: move it away to start anew",
                of.origin
            ))
        });
        head.map(Some)
    }

    /// Whether a head is one of those that need no proof.
    pub(crate) fn is_proved(&self, head: &LogHead) -> bool {
        self.tree(head).is_some_and(|tree| tree.proved.get(&head.size) == Some(&head.root.to_base64()))
    }

    /// Keeps a head: the first of its tree, or one that goes with the one before.
    pub(crate) fn learn(&mut self, head: &LogHead, before: Option<&LogHead>) {
        let trees = self.trees.entry(hex(&head.log_id)).or_default();
        let tree = trees.entry(head.origin.clone()).or_insert_with(|| Tree::new(head));
        let (smaller, larger) = match before {
            Some(before) if before.size < head.size => (before, head),
            Some(before) => (head, before),
            None => (head, head),
        };
        self.learnt |= before.is_none_or(|before| before.size != head.size);
        if larger.size > tree.size {
            (tree.size, tree.checkpoint) = (larger.size, larger.note.clone());
        }
        if smaller.size < tree.size {
            tree.proved.insert(smaller.size, smaller.root.to_base64());
        }
        tree.forget_smallest();
    }

    /// Writes what was learnt. Another command may have learnt more meanwhile: the larger head stays.
    pub(crate) fn write(self) -> Result<(), Failure> {
        let Some(path) = self.path.filter(|_| self.learnt) else { return Ok(()) };
        let failed = |error: std::io::Error| Failure::file(&path, &error);
        let dir = path.parent().unwrap_or(&path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let _lock = lock(&dir.join("heads.lock")).map_err(failed)?;
        let mut kept = load(Some(&path))?;
        for (log, trees) in self.trees {
            for (origin, tree) in trees {
                let place = kept.entry(log.clone()).or_default();
                match place.get_mut(&origin) {
                    Some(there) if there.size > tree.size => {}
                    Some(there) if there.size == tree.size => there.proved_too(tree),
                    _ => drop(place.insert(origin, tree)),
                }
            }
        }
        let text = serde_json::to_string_pretty(&kept).map_err(|error| failed(error.into()))?;
        replace(&path, text.as_bytes()).map_err(failed)
    }

    fn tree(&self, of: &LogHead) -> Option<&Tree> {
        self.trees.get(&hex(&of.log_id))?.get(&of.origin)
    }
}

impl Tree {
    fn new(head: &LogHead) -> Self {
        Self { size: head.size, checkpoint: head.note.clone(), proved: BTreeMap::new() }
    }

    /// Takes over what another command proved of the same head. Of two heads of one size the first stays: the next that is
    /// verified is measured by it.
    fn proved_too(&mut self, other: Self) {
        if self.checkpoint == other.checkpoint {
            self.proved.extend(other.proved);
            self.forget_smallest();
        }
    }

    fn forget_smallest(&mut self) {
        while self.proved.len() > MOST_PROVED {
            self.proved.pop_first();
        }
    }
}

fn load(path: Option<&PathBuf>) -> Result<Trees, Failure> {
    let Some(path) = path.filter(|path| path.exists()) else { return Ok(Trees::new()) };
    serde_json::from_slice(&read_small(path, LARGEST)?).map_err(|error| {
        let path = path.display();
        Failure::usage(format!("{path}: is not what was written there ({error}): move it away to start anew"))
    })
}

const LARGEST: u64 = 64 << 20;
/// Of one tree.
const MOST_PROVED: usize = 256;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bulla_tlog::Hash;

    use super::*;

    fn head(size: u64, root: u8) -> LogHead {
        let (log_id, note) = (vec![7; 32], format!("log.example.org\n{size}\n{root}\n"));
        LogHead { log_id, origin: "log.example.org".to_owned(), size, root: Hash([root; 32]), note }
    }

    fn read(dir: &Path) -> Remembered {
        Remembered::at(Some(dir.join("heads.json"))).expect("is readable")
    }

    /// Two commands that begin with the same knowledge, and end in this order.
    fn both(first: &LogHead, second: &LogHead) -> (tempfile::TempDir, Remembered) {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut one, mut other) = (read(dir.path()), read(dir.path()));
        one.learn(first, None);
        other.learn(second, None);
        one.write().expect("is written");
        other.write().expect("is written");
        let remembered = read(dir.path());
        (dir, remembered)
    }

    #[test]
    fn a_larger_head_that_another_command_wrote_meanwhile_stays() {
        for (first, second) in [(9, 5), (5, 9)] {
            let (_dir, remembered) = both(&head(first, 1), &head(second, 2));
            assert_eq!(remembered.tree(&head(9, 1)).expect("is remembered").size, 9, "{first} {second}");
        }
        let (_dir, remembered) = both(&head(5, 1), &head(5, 2));
        assert_eq!(remembered.tree(&head(5, 1)).expect("is remembered").checkpoint, head(5, 1).note);
    }

    #[test]
    fn what_two_commands_proved_of_one_head_is_kept_of_both() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut first = read(dir.path());
        first.learn(&head(9, 9), None);
        first.write().expect("is written");
        let (mut one, mut other) = (read(dir.path()), read(dir.path()));
        one.learn(&head(3, 3), Some(&head(9, 9)));
        other.learn(&head(4, 4), Some(&head(9, 9)));
        one.write().expect("is written");
        other.write().expect("is written");
        let remembered = read(dir.path());
        assert!(remembered.is_proved(&head(3, 3)) && remembered.is_proved(&head(4, 4)));
        let left = fs::read_dir(dir.path()).expect("is there").count();
        assert_eq!(left, 2, "heads.json and its lock, and nothing unfinished");
    }
}
