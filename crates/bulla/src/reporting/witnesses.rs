//! Who watched the logs: the cosignatures of checkpoints, verified by the keys of the witnesses that somebody named. A name on a
//! checkpoint whose key nobody named is a name, and no witness.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulla_claims::judge::LogHead;
use bulla_tlog::Checkpoint;
use bulla_tlog::note::Note;
use bulla_tlog::policy::Policy;

use crate::command::Failure;
use crate::target::read_small;

// Who watches.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct WitnessArgs {
    /// Witnesses whose cosignatures of the logs' checkpoints are verified: a policy file as logs have it
    #[arg(long, value_name = "FILE", help_heading = "The logs' witnesses")]
    witness_policy: Option<PathBuf>,
}

/// The witnesses that somebody named, and how many of them are enough.
#[derive(Clone, Debug)]
pub(crate) struct Witnesses {
    text: String,
    policy: Policy,
}

/// Who signed a checkpoint beside its log.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Cosigned {
    /// Witnesses whose cosignature holds, as the policy calls them.
    pub(super) witnessed_by: Vec<String>,
    /// Whether these are enough. None if nobody named witnesses.
    pub(super) is_enough: Option<bool>,
    /// Witnesses in whose name there is a cosignature that does not hold.
    pub(super) forged: Vec<String>,
    /// Other names on it, whose keys nobody named.
    pub(super) not_checked: Vec<String>,
}

impl WitnessArgs {
    /// Reads the policy, if there is one.
    pub(crate) fn read(&self) -> Result<Option<Witnesses>, Failure> {
        let read = |file: &Path| {
            let refused = |problem: String| Failure::usage(format!("{}: {problem}", file.display()));
            let text = String::from_utf8(read_small(file, LARGEST)?);
            let text = text.map_err(|_| refused("is not UTF-8, a witness policy was expected".to_owned()))?;
            Witnesses::parse(text).map_err(refused)
        };
        self.witness_policy.as_deref().map(read).transpose()
    }
}

impl Witnesses {
    /// Reads the text of a policy.
    pub(super) fn parse(text: String) -> Result<Self, String> {
        let policy = Policy::parse(&text).map_err(|error| error.to_string())?;
        Ok(Self { text, policy })
    }

    /// The policy as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What the policy calls them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.policy.witnesses.iter().map(|witness| witness.name.as_str())
    }
}

/// Verifies who signed the checkpoint of a log's head beside the log.
pub(super) fn cosigned(head: &LogHead, witnesses: Option<&Witnesses>) -> Cosigned {
    let Ok(note) = Note::parse(&head.note) else { return Cosigned::default() };
    let Ok(checkpoint) = Checkpoint::parse(&note.text) else { return Cosigned::default() };
    let policy = witnesses.map(|witnesses| &witnesses.policy);
    let good = policy.map(|policy| policy.cosigned(&checkpoint, &note.signatures)).unwrap_or_default();
    // Logs of the first version sign under their host, their trees have a number after it.
    let host = head.origin.split_once(" - ").map_or(head.origin.as_str(), |(host, _)| host);
    let (mut forged, mut not_checked) = (BTreeSet::new(), BTreeSet::new());
    for line in &note.signatures {
        let known = policy.into_iter().flat_map(|policy| &policy.witnesses).find(|witness| {
            (witness.verifier.name(), witness.verifier.key_id()) == (line.name.as_str(), line.key_id)
        });
        match known {
            Some(witness) if good.contains(&witness.name.as_str()) => {}
            Some(witness) => drop(forged.insert(witness.name.clone())),
            None if line.name == host || line.name == head.origin => {}
            None => drop(not_checked.insert(line.name.clone())),
        }
    }
    Cosigned {
        is_enough: policy.map(|policy| policy.satisfied(&good)),
        witnessed_by: good.into_iter().map(str::to_owned).collect(),
        forged: forged.into_iter().collect(),
        not_checked: not_checked.into_iter().collect(),
    }
}

const LARGEST: u64 = 1 << 20;
