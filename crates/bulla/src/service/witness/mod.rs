//! A witness: follows logs from checkpoint to checkpoint and cosigns each that continues the one before.
//! <https://c2sp.org/tlog-witness> <https://c2sp.org/tlog-cosignature>
//!
//! What it stands for is that it never cosigns two trees of one log. Everything else gives way to that: a cosignature
//! leaves only after the checkpoint it is for is on the disk, requests for one log go one after another, and one process
//! has the directory. A crash leaves the checkpoint before or the one after; if it is the one after, the log has no
//! cosignature of it yet, is told the size of it (409), and asks again.

mod home;
mod record;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;

use bulla_tlog::add_checkpoint::{self, BodyError, Refusal, Request};
use bulla_tlog::cosignature::CosignatureSigner;
use bulla_tlog::note::{Note, Signature, Verifier};
use bulla_tlog::{Checkpoint, Hash, sha256};

pub(crate) use self::home::{Home, OpenError};
use self::record::{Last, Record};
pub(crate) use self::routes::routes;

/// The longest request that is read, as other witnesses have it: the proof takes 3 KiB at most.
const MAX_BODY: usize = 16 * 1024;

/// The logs that a witness follows, and its key.
pub(crate) struct Witness {
    signer: CosignatureSigner,
    logs: HashMap<String, Followed>,
    /// The same logs as monitors ask for them: SHA-256 of the origin, and the origin.
    by_hash: HashMap<Hash, String>,
    /// Unix seconds.
    now: fn() -> u64,
    /// Holds the directory.
    _home: Home,
}

/// One log.
struct Followed {
    /// Each of them may sign for the log.
    keys: Vec<Verifier>,
    record: Record,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug)]
enum Refused {
    Malformed(String),
    TooLong(BodyError),
    UnknownLog {
        origin: String,
    },
    Unsigned {
        origin: String,
    },
    Judged(Refusal),
    /// Our own fault: the record was not written, or the clock or the key is of no use.
    Unavailable(String),
}

impl Refused {
    fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooLong(_) => 413,
            Self::UnknownLog { .. } => 404,
            Self::Unsigned { .. } => 403,
            Self::Judged(refusal) => refusal.status(),
            Self::Unavailable(_) => 500,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(problem) => f.write_str(problem),
            Self::TooLong(error) => error.fmt(f),
            Self::UnknownLog { origin } => write!(f, "log {origin:?} is not known here"),
            Self::Unsigned { origin } => {
                write!(f, "no signature by a key that is known here for log {origin:?}, or a bad one")
            }
            Self::Judged(refusal) => refusal.fmt(f),
            // The cause is for the witness's own log.
            Self::Unavailable(_) => f.write_str("the witness cannot cosign now"),
        }
    }
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLong { .. } => Self::TooLong(error),
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl Witness {
    /// A witness in an opened directory, for the logs with these keys: a key's name is its log's origin.
    pub(crate) fn open(home: Home, keys: Vec<Verifier>, now: fn() -> u64) -> Result<Self, OpenError> {
        let signer = home.signer()?;
        let own = home.verifier()?;
        let mut logs: HashMap<String, Followed> = HashMap::new();
        for key in keys {
            let origin = key.name().to_owned();
            if let Some(followed) = logs.get_mut(&origin) {
                followed.keys.push(key);
            } else {
                let record = Record::open(home.records(), &origin, &own)?;
                logs.insert(origin, Followed { keys: vec![key], record });
            }
        }
        let by_hash = logs.keys().map(|origin| (sha256(origin.as_bytes()), origin.clone())).collect();
        Ok(Self { signer, logs, by_hash, now, _home: home })
    }

    /// The size that the witness has of each log, in no order.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let size = |followed: &Followed| followed.record.last().map_or(0, |last| last.size);
        self.logs.iter().map(move |(origin, followed)| (origin.as_str(), size(followed)))
    }

    /// The checkpoint of the log whose origin has this hash that was cosigned last, as a note.
    fn last(&self, origin: &Hash) -> Option<std::sync::Arc<Last>> {
        self.logs.get(self.by_hash.get(origin)?)?.record.last()
    }

    /// Answers an `add-checkpoint` body with signature lines. Waits for the disk.
    fn add_checkpoint(&self, body: &[u8]) -> Result<String, Refused> {
        if body.len() > MAX_BODY {
            return Err(Refused::TooLong(BodyError::TooLong { len: body.len(), limit: MAX_BODY }));
        }
        let request = Request::parse(body)?;
        let malformed = |problem: &dyn fmt::Display| Refused::Malformed(problem.to_string());
        let note = Note::parse(&request.checkpoint).map_err(|error| malformed(&error))?;
        let checkpoint = Checkpoint::parse(&note.text).map_err(|error| malformed(&error))?;
        let origin = checkpoint.origin.clone();
        let Some(followed) = self.logs.get(&origin) else { return Err(Refused::UnknownLog { origin }) };
        let Some(note) = signed_by(note, &followed.keys) else { return Err(Refused::Unsigned { origin }) };

        // From here on one request at a time: what is judged is what is replaced.
        let mut turn = followed.record.turn();
        let last = followed.record.last();
        let known = last.as_ref().map(|last| (last.size, last.root));
        if let Err(refusal) = request.judge(&checkpoint, known) {
            if let Some(last) =
                last.filter(|last| last.size == checkpoint.size && last.root != checkpoint.root)
            {
                // Two signed notes that contradict each other: whoever has both can prove it to anyone.
                let (cosigned, shown) = (last.text(), note.to_string());
                tracing::error!(origin, %cosigned, shown, "ALARM: the log has signed two trees of one size");
            }
            return Err(Refused::Judged(refusal));
        }
        let cosignature = self.cosign(&checkpoint)?;
        let answer = add_checkpoint::response(std::slice::from_ref(&cosignature));
        turn.replace(&checkpoint, note, cosignature).map_err(|error: io::Error| {
            Refused::Unavailable(format!("record of {origin:?} not written: {error}"))
        })?;
        tracing::info!(origin, size = checkpoint.size, root = %checkpoint.root, "cosigned");
        Ok(answer)
    }

    fn cosign(&self, checkpoint: &Checkpoint) -> Result<Signature, Refused> {
        let now = (self.now)();
        if now == 0 {
            return Err(Refused::Unavailable("the clock is before 1970".to_owned()));
        }
        self.signer.cosign(checkpoint, now).map_err(|error| Refused::Unavailable(error.to_string()))
    }
}

/// The note with the signatures of known keys alone, if there is a good one. One key's bad signature does not spoil
/// another's good one.
fn signed_by(mut note: Note, keys: &[Verifier]) -> Option<Note> {
    let good: Vec<_> = keys.iter().filter(|key| note.verified_by(key)).collect();
    note.signatures
        .retain(|line| good.iter().any(|key| line.name == key.name() && line.key_id == key.key_id()));
    (!good.is_empty()).then_some(note)
}
