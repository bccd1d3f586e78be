//! Earlier checkpoints of the same log: each must be a prefix of the one in force, or the log has broken its promise.

use bulla_tlog::note::Verifier;
use bulla_tlog::{Checkpoint, Hash, Plan, empty_root, verify_consistency};

use super::fault::{Fault, FaultKind, ObjectError};
use super::objects::Objects;
use super::rim::Rim;
use super::state::State;

/// A checkpoint seen earlier.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Where it is from, for messages.
    pub name: String,
    /// What it said. Its signature was verified by whoever made this.
    pub checkpoint: Checkpoint,
}

/// The tree that a state file describes, and its checkpoint.
pub(super) fn from_state(state: &State, key: &Verifier, now: &Checkpoint) -> Result<(Rim, Earlier), String> {
    if state.origin != now.origin {
        return Err(format!("state file is of log {:?}, this is {:?}", state.origin, now.origin));
    }
    let opened = Checkpoint::open(&state.checkpoint, key);
    let (checkpoint, _) = opened.map_err(|error| format!("state file: {error}"))?;
    let rim = state.rim().filter(|rim| rim.size() <= checkpoint.size);
    let rim = rim.ok_or("state file says more entries were verified than its checkpoint has")?;
    Ok((rim, Earlier { name: "the state file".to_owned(), checkpoint }))
}

impl Earlier {
    /// What is wrong whatever the tiles say.
    pub(super) fn compare(&self, now: &Checkpoint) -> Result<(), Fault> {
        let (old, new) = (self.checkpoint.size, now.size);
        if self.checkpoint.origin != now.origin {
            let problem = format!(
                "is of log {:?}, the checkpoint of {} is of {:?}",
                now.origin, self.name, self.checkpoint.origin
            );
            return Err(Fault::new(FaultKind::Fork, FILE, problem));
        }
        if new < old {
            let problem = format!("log has {new} entries, it had {old} as {} shows", self.name);
            return Err(Fault::new(FaultKind::Rollback, FILE, problem));
        }
        match old {
            0 => self.expect_root(empty_root()),
            _ if old == new => self.expect_root(now.root),
            _ => Ok(()),
        }
    }

    /// The root that the log has at this checkpoint's size, by whatever way it was found.
    pub(super) fn expect_root(&self, found: Hash) -> Result<(), Fault> {
        if found == self.checkpoint.root {
            return Ok(());
        }
        Err(self.forked(&format!("its root there is {found}, it was {}", self.checkpoint.root)))
    }

    /// The consistency proof (RFC 9162 §2.1.4) from the tiles as they are now.
    pub(super) async fn prove(&self, objects: &Objects<'_>, now: &Checkpoint) -> Result<(), ObjectError> {
        let (old, new) = (&self.checkpoint, now);
        let plan = Plan::consistency(old.size, new.size).filter(|_| old.size > 0 && old.size < new.size);
        let Some(plan) = plan else { return Ok(()) };
        let proof = objects.proof(&plan, new.size).await?;
        verify_consistency(old.size, new.size, &old.root, &new.root, &proof)
            .map_err(|error| self.forked(&format!("the tiles prove no consistency: {error}")).into())
    }

    fn forked(&self, how: &str) -> Fault {
        let problem = format!(
            "log does not continue the {} entries of the checkpoint of {}: {how}",
            self.checkpoint.size, self.name
        );
        Fault::new(FaultKind::Fork, FILE, problem)
    }
}

const FILE: &str = "checkpoint";
