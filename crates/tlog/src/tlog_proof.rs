//! Proof files (`.tlog-proof`): an inclusion proof with the checkpoint it leads to, to be kept beside what was logged
//! and verified without asking anyone (C2SP tlog-proof).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, OpenError, decimal};
use crate::hash::Hash;
use crate::note::{MAX_NOTE, Note, Verifier};
use crate::proof::{ProofError, verify_inclusion};

/// The longest file that is read.
pub const MAX_PROOF_FILE: usize = MAX_NOTE + 128 * 1024;

/// What a proof file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlogProof {
    /// Bytes that the verifier needs besides the entry, if its log defines any.
    pub extra: Option<Vec<u8>>,
    /// The leaf's index.
    pub index: u64,
    /// The inclusion proof.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint: a note, not parsed yet.
    pub checkpoint: String,
}

/// Text that is not a proof file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a tlog-proof: {problem}")]
pub struct TlogProofError {
    /// What was expected where.
    pub problem: &'static str,
}

/// Why a proof file proves nothing about a leaf.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unproven {
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] OpenError),
    /// The leaf is not at that index of that tree.
    #[error(transparent)]
    Inclusion(#[from] ProofError),
}

impl TlogProof {
    /// Reads a proof file; nothing is verified yet.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let refused = |problem| TlogProofError { problem };
        if text.len() > MAX_PROOF_FILE {
            return Err(refused("it is too long"));
        }
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| refused("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(MAGIC) {
            return Err(refused("line 1 is not \"c2sp.org/tlog-proof@v1\""));
        }
        let extra =
            lines.next_if(|line| line.starts_with(EXTRA)).map(|line| STANDARD.decode(&line[EXTRA.len()..]));
        let extra = extra.transpose().map_err(|_| refused("the extra data is not standard base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or_else(|| refused("no line \"index <number>\" before the hashes"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_HASHES {
                return Err(refused("it has more than 63 hashes"));
            }
            hashes.push(
                Hash::from_base64(line).ok_or_else(|| refused("a proof line is not a hash in base64"))?,
            );
        }
        if checkpoint.is_empty() {
            return Err(refused("no checkpoint after the blank line"));
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Whether the log with that key has that leaf: then the checkpoint that says so, for its cosignatures to be judged
    /// by a witness policy.
    pub fn verify(&self, leaf_hash: &Hash, log: &Verifier) -> Result<(Checkpoint, Note), Unproven> {
        let (checkpoint, note) = Checkpoint::open(&self.checkpoint, log)?;
        verify_inclusion(leaf_hash, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok((checkpoint, note))
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "{EXTRA}{}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

const MAGIC: &str = "c2sp.org/tlog-proof@v1";
const EXTRA: &str = "extra ";
/// No proof has more, for trees of less than 2^63 leaves.
const MAX_HASHES: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_that_are_refused() {
        let hash = Hash([7; 32]).to_base64();
        let file = |head: &str| TlogProof::parse(&format!("{head}\n\nnote"));
        let proof = file(&format!("{MAGIC}\nextra AQI=\nindex 9\n{hash}")).unwrap();
        let expected = TlogProof {
            extra: Some(vec![1, 2]),
            index: 9,
            hashes: vec![Hash([7; 32])],
            checkpoint: "note".to_owned(),
        };
        assert_eq!(proof, expected);
        assert_eq!(file(&format!("{MAGIC}\nindex 0")).unwrap().hashes, []);
        for (head, problem) in [
            ("c2sp.org/tlog-proof@v2\nindex 0".to_owned(), "line 1 is not \"c2sp.org/tlog-proof@v1\""),
            (format!("{MAGIC}\nextra AQI\nindex 9"), "the extra data is not standard base64"),
            (
                format!("{MAGIC}\nextra AQI=\nextra AQI=\nindex 9"),
                "no line \"index <number>\" before the hashes",
            ),
            (MAGIC.to_owned(), "no line \"index <number>\" before the hashes"),
            (format!("{MAGIC}\nindex 09"), "no line \"index <number>\" before the hashes"),
            (format!("{MAGIC}\n{hash}\nindex 9"), "no line \"index <number>\" before the hashes"),
            (format!("{MAGIC}\nindex 9\n{hash} "), "a proof line is not a hash in base64"),
            (format!("{MAGIC}\nindex 9{}", format!("\n{hash}").repeat(64)), "it has more than 63 hashes"),
        ] {
            assert_eq!(file(&head), Err(TlogProofError { problem }), "{head}");
        }
        let whole = |text: &str| TlogProof::parse(text).unwrap_err().to_string();
        assert_eq!(whole(""), "not a tlog-proof: no blank line before the checkpoint");
        assert_eq!(
            whole(&format!("{MAGIC}\nindex 9\n\n")),
            "not a tlog-proof: no checkpoint after the blank line"
        );
        assert_eq!(whole(&"x".repeat(MAX_PROOF_FILE + 1)), "not a tlog-proof: it is too long");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(extra: Option<Vec<u8>>, index: u64, hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=63), checkpoint in "[a-z\n]{1,20}") {
            let hashes = hashes.into_iter().map(Hash).collect();
            let proof = TlogProof { extra, index, hashes, checkpoint };
            prop_assert_eq!(TlogProof::parse(&proof.to_string()), Ok(proof));
        }
    }
}
