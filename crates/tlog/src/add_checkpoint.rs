//! The words between a log and a witness: the bodies of `add-checkpoint`, and when a witness refuses (C2SP tlog-witness).

use std::fmt;

use crate::checkpoint::{Checkpoint, decimal};
use crate::hash::{Hash, empty_root};
use crate::note::{NoteError, Signature};
use crate::proof::{ProofError, verify_consistency};

/// The longest request body that is read: a checkpoint with the cosignatures of twenty ML-DSA-44 witnesses fits.
pub const MAX_REQUEST: usize = 128 * 1024;
/// The longest response body that is read.
pub const MAX_RESPONSE: usize = 64 * 1024;
/// Content type of the 409 whose body is the size that the witness has.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// What a log sends to a witness.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Size of the checkpoint that the witness cosigned last, 0 for none.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new signed checkpoint: a note, not parsed yet.
    pub checkpoint: String,
}

/// A body that is not an `add-checkpoint` request or its answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// Longer than is read.
    #[error("body is {len} bytes, at most {limit} are read")]
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many are read.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("body is not UTF-8")]
    Encoding,
    /// The first line.
    #[error("first line is not \"old <size>\"")]
    Old,
    /// A line of the proof.
    #[error("proof line {line} is not a hash in base64")]
    Hash {
        /// Its number from 1.
        line: usize,
    },
    /// More hashes than any proof has.
    #[error("proof has more than {MAX_PROOF} hashes")]
    ProofTooLong,
    /// Nothing after the proof.
    #[error("no blank line and checkpoint after the proof")]
    NoCheckpoint,
    /// A witness's answer is not made of signature lines.
    #[error(transparent)]
    Signature(#[from] NoteError),
}

/// Why a witness does not cosign a checkpoint whose signature is good.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The request contradicts itself.
    #[error("old size {old} is above the checkpoint's size {new}")]
    OldAboveNew {
        /// What the request says.
        old: u64,
        /// The size of the checkpoint.
        new: u64,
    },
    /// The witness has another size than the request says: answered with [`size_body`].
    #[error("witness has size {known}, the request says {old}")]
    Conflict {
        /// What the request says.
        old: u64,
        /// What the witness has.
        known: u64,
    },
    /// The log has shown two trees, or the proof is wrong.
    #[error("checkpoint does not continue the one that the witness has: {0}")]
    Inconsistent(ProofError),
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::OldAboveNew { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
        }
    }
}

impl Request {
    /// Reads a request body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let mut rest = text(body, MAX_REQUEST)?;
        let first = line(&mut rest).and_then(|line| line.strip_prefix("old "));
        let old = first.and_then(decimal).ok_or(BodyError::Old)?;
        let mut proof = Vec::new();
        loop {
            match line(&mut rest).ok_or(BodyError::NoCheckpoint)? {
                "" => break,
                _ if proof.len() == MAX_PROOF => return Err(BodyError::ProofTooLong),
                hash => proof.push(Hash::from_base64(hash).ok_or(BodyError::Hash { line: proof.len() + 1 })?),
            }
        }
        if rest.is_empty() {
            return Err(BodyError::NoCheckpoint);
        }
        Ok(Self { old, proof, checkpoint: rest.to_owned() })
    }

    /// Whether a witness may cosign, given the size and root that it cosigned last for this log (`None` for a log that
    /// it knows but never cosigned). The checkpoint is the request's, opened with the log's key.
    pub fn judge(&self, checkpoint: &Checkpoint, known: Option<(u64, Hash)>) -> Result<(), Refusal> {
        let (known, root) = known.unwrap_or_else(|| (0, empty_root()));
        if self.old > checkpoint.size {
            return Err(Refusal::OldAboveNew { old: self.old, new: checkpoint.size });
        }
        if self.old != known {
            return Err(Refusal::Conflict { old: self.old, known });
        }
        // From size 0 there is nothing to prove, but the empty tree has one root only.
        if checkpoint.size == 0 && checkpoint.root != empty_root() {
            let wrong = ProofError::Root { computed: empty_root(), root: checkpoint.root };
            return Err(Refusal::Inconsistent(wrong));
        }
        verify_consistency(known, checkpoint.size, &root, &checkpoint.root, &self.proof)
            .map_err(Refusal::Inconsistent)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Body of the answer 200: the witness's signature lines.
pub fn response(lines: &[Signature]) -> String {
    lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect()
}

/// Reads the body of an answer 200: one signature line or more, not verified yet.
pub fn parse_response(body: &[u8]) -> Result<Vec<Signature>, BodyError> {
    let text = text(body, MAX_RESPONSE)?;
    let lines = text.strip_suffix('\n').ok_or(NoteError::NoSignature)?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == MAX_RESPONSE_LINES {
            return Err(NoteError::TooManySignatures.into());
        }
        signatures.push(Signature::parse(line)?);
    }
    Ok(signatures)
}

/// Body of the answer 409: the size that the witness has.
pub fn size_body(known: u64) -> String {
    format!("{known}\n")
}

/// Reads the body of an answer 409 of type [`SIZE_CONTENT_TYPE`].
pub fn parse_size(body: &[u8]) -> Option<u64> {
    decimal(std::str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

fn text(body: &[u8], limit: usize) -> Result<&str, BodyError> {
    if body.len() > limit {
        return Err(BodyError::TooLong { len: body.len(), limit });
    }
    std::str::from_utf8(body).map_err(|_| BodyError::Encoding)
}

/// Takes the next line, which must be ended, from the text.
fn line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (line, after) = rest.split_once('\n')?;
    *rest = after;
    Some(line)
}

/// No proof has more, for trees of less than 2^63 leaves.
const MAX_PROOF: usize = 63;
const MAX_RESPONSE_LINES: usize = crate::note::MAX_SIGNATURES;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{leaves, recursive_proof, recursive_root};

    #[test]
    fn bodies_that_are_refused() {
        let hash = empty_root().to_base64();
        let said = |body: &str| Request::parse(body.as_bytes()).unwrap_err().to_string();
        for body in
            ["", "old", "old 1", "old \n\nx", "old 01\n\nx", "old -1\n\nx", "Old 1\n\nx", "old 1 \n\nx", "\n"]
        {
            assert_eq!(said(body), "first line is not \"old <size>\"", "{body:?}");
        }
        assert_eq!(said(&format!("old 1\n{hash}\nx\n\nnote")), "proof line 2 is not a hash in base64");
        for body in ["old 1\n", "old 1\n\n", &format!("old 1\n{hash}\n"), &format!("old 1\n{hash}")] {
            assert_eq!(said(body), "no blank line and checkpoint after the proof", "{body:?}");
        }
        let proof = |len: usize| format!("old 1\n{}\nnote", format!("{hash}\n").repeat(len));
        assert_eq!(Request::parse(proof(63).as_bytes()).unwrap().proof.len(), 63);
        assert_eq!(said(&proof(64)), "proof has more than 63 hashes");
        assert_eq!(Request::parse(b"old 1\n\n\xff").unwrap_err(), BodyError::Encoding);
        assert_eq!(said(&"x".repeat(MAX_REQUEST + 1)), "body is 131073 bytes, at most 131072 are read");
    }

    #[test]
    fn answers() {
        let line = "\u{2014} w AAAAAAA=\n";
        let read = parse_response(line.repeat(2).as_bytes()).unwrap();
        assert_eq!(response(&read), line.repeat(2));
        for body in ["", "\n", "x\n", line.trim_end(), &format!("{line}\n")] {
            assert!(parse_response(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(parse_response(line.repeat(100).as_bytes()).is_ok());
        let many = parse_response(line.repeat(101).as_bytes()).unwrap_err();
        assert_eq!(many, BodyError::Signature(NoteError::TooManySignatures));
        assert!(matches!(parse_response(&vec![b'x'; MAX_RESPONSE + 1]), Err(BodyError::TooLong { .. })));

        assert_eq!(size_body(7), "7\n");
        assert_eq!(parse_size(b"7\n"), Some(7));
        assert_eq!(parse_size(b"0\n"), Some(0));
        for body in ["", "7", "\n", "07\n", "7\n\n", "-7\n", "7 \n", "18446744073709551616\n"] {
            assert_eq!(parse_size(body.as_bytes()), None, "{body:?}");
        }
    }

    #[test]
    fn a_witness_cosigns_only_what_continues_its_own() {
        let leaves = leaves(10);
        let root = |size: usize| recursive_root(&leaves[..size]);
        let checkpoint = |size: usize, root| Checkpoint {
            origin: "log".to_owned(),
            size: size as u64,
            root,
            extensions: vec![],
        };
        let request = |old: usize, proof| Request { old: old as u64, proof, checkpoint: String::new() };
        for new in 0..=9 {
            for old in 0..=new {
                let proof = if old == 0 { vec![] } else { recursive_proof(old, &leaves[..new], true) };
                let head = checkpoint(new, root(new));
                let known = |size: usize| Some((size as u64, root(size)));
                let judged = request(old, proof.clone()).judge(&head, known(old));
                assert_eq!(judged, Ok(()));
                if old == 0 {
                    assert_eq!(request(0, proof.clone()).judge(&head, None), Ok(()));
                }
                let conflict = request(old, proof.clone()).judge(&head, known(old + 1)).unwrap_err();
                assert_eq!(conflict, Refusal::Conflict { old: old as u64, known: old as u64 + 1 });
                assert_eq!(conflict.status(), 409);
                // A fork: same size, other tree.
                let fork = request(old, proof.clone()).judge(&checkpoint(new, Hash([1; 32])), known(old));
                if old > 0 || new == 0 {
                    assert_eq!(fork.unwrap_err().status(), 422, "{old} {new}");
                }
                let longer = request(old, [proof, vec![Hash([1; 32])]].concat()).judge(&head, known(old));
                assert_eq!(longer.unwrap_err().status(), 422);
            }
        }
        let above = request(5, vec![]).judge(&checkpoint(4, root(4)), Some((5, root(5)))).unwrap_err();
        assert_eq!(
            (above.status(), above.to_string()),
            (400, "old size 5 is above the checkpoint's size 4".to_owned())
        );
        // The witness is ahead of a log that lost its memory: it is told the size, never follows back.
        let back = request(0, vec![]).judge(&checkpoint(4, root(4)), Some((5, root(5)))).unwrap_err();
        assert_eq!(back, Refusal::Conflict { old: 0, known: 5 });
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(body in "old [0-9]{0,3}\n([A-Za-z0-9+/]{42}[AEQ]=\n){0,3}\n?[a-z\n]{0,9}") {
            if let Ok(request) = Request::parse(body.as_bytes()) {
                prop_assert_eq!(request.to_string(), body);
            }
        }
    }
}
