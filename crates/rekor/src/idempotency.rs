//! Requests that may be sent twice (`Idempotency-Key`): the first answer is kept for a day, across restarts, and given again
//! to whoever sends the same request under the same key (the IETF draft *The Idempotency-Key HTTP Header Field*).
//!
//! Before a request is carried out it is noted, with the size that the tree had. If the process dies in between, the note
//! tells the retry that entries at or after that size are its own, so it is answered as the first would have been.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bulla_tlog::{Hash, sha256};
use serde::{Deserialize, Serialize};

use crate::shelf::{Durable, Shelf};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// The longest key.
pub(crate) const MAX_KEY: usize = 255;

/// See the module.
pub struct Idempotency {
    shelf: Shelf,
    running: Mutex<HashSet<Hash>>,
}

/// What is kept of a request.
#[derive(Serialize, Deserialize)]
struct Record {
    body: String,
    /// Unix seconds.
    at: u64,
    /// Virtual size of the log when it began.
    began: u64,
    answer: Option<Answer>,
}

/// An answer as it was given.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What is to be done with a request.
pub(crate) enum Turn<'a> {
    /// It is to be carried out.
    Go(Running<'a>),
    /// It was answered before.
    Again(Answer),
    /// Another body came under its key.
    OtherBody,
    /// It is being carried out.
    Busy,
}

/// A request that is being carried out.
pub(crate) struct Running<'a> {
    all: &'a Idempotency,
    name: Hash,
    record: Record,
    interrupted: bool,
}

impl Idempotency {
    /// Keeps answers on that shelf.
    pub fn new(shelf: Shelf) -> Self {
        Self { shelf, running: Mutex::default() }
    }

    /// Throws away what is no longer needed.
    pub fn sweep(&self) -> io::Result<u64> {
        self.shelf.sweep(KEPT_FOR)
    }

    /// Begins a request, or says why not. `scope` keeps apart what different APIs or callers call by the same key.
    pub(crate) fn begin(&self, scope: &str, key: &str, body: &[u8], size: u64) -> io::Result<Turn<'_>> {
        let name = sha256(format!("{scope}\n{key}").as_bytes());
        let body = sha256(body).to_string();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let kept: Option<Record> = match self.shelf.take_down(&name)? {
            // A record that cannot be read is as good as none: the log itself finds what is there already.
            Some(bytes) => serde_json::from_slice(&bytes).ok(),
            None => None,
        };
        let kept = kept.filter(|record| now.saturating_sub(record.at) < KEPT_FOR.as_secs());
        if let Some(record) = &kept
            && record.body != body
        {
            return Ok(Turn::OtherBody);
        }
        if running.contains(&name) {
            return Ok(Turn::Busy);
        }
        let (began, interrupted) = match kept {
            Some(Record { answer: Some(answer), .. }) => return Ok(Turn::Again(answer)),
            Some(record) => (record.began, true),
            None => (size, false),
        };
        let record = Record { body, at: now, began, answer: None };
        self.put(&name, &record)?;
        running.insert(name);
        Ok(Turn::Go(Running { all: self, name, record, interrupted }))
    }

    fn put(&self, name: &Hash, record: &Record) -> io::Result<()> {
        self.shelf.put(name, &serde_json::to_vec(record)?, Durable::Now)
    }
}

impl Running<'_> {
    /// The virtual size of the log when the request began first, if that attempt was interrupted.
    pub(crate) fn began_before(&self) -> Option<u64> {
        self.interrupted.then_some(self.record.began)
    }

    /// Keeps the answer.
    pub(crate) fn answered(mut self, answer: Answer) -> io::Result<()> {
        self.record.answer = Some(answer);
        self.all.put(&self.name, &self.record)
    }

    /// Forgets the request: it failed in a way that a retry may mend.
    pub(crate) fn failed(self) -> io::Result<()> {
        self.all.shelf.remove(&self.name)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.all.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin<'a>(all: &'a Idempotency, body: &str, size: u64) -> Turn<'a> {
        all.begin("v1", "key", body.as_bytes(), size).expect("the shelf works")
    }

    #[test]
    fn the_first_answer_is_given_again_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || Idempotency::new(Shelf::new(dir.path()));
        let all = open();
        let Turn::Go(running) = begin(&all, "a", 5) else { panic!("it is the first") };
        assert_eq!(running.began_before(), None);
        assert!(matches!(begin(&all, "a", 6), Turn::Busy));
        assert!(matches!(begin(&all, "b", 6), Turn::OtherBody));
        assert!(matches!(all.begin("v2", "key", b"b", 6).expect("works"), Turn::Go(_)), "another scope");
        drop(running);
        // As after a crash in the middle: the retry learns where the first began.
        let all = open();
        let Turn::Go(running) = begin(&all, "a", 9) else { panic!("it was interrupted") };
        assert_eq!(running.began_before(), Some(5));
        running.answered(Answer { status: 201, body: "x".into() }).expect("keeps");
        let all = open();
        let Turn::Again(answer) = begin(&all, "a", 9) else { panic!("it was answered") };
        assert_eq!((answer.status, answer.body.as_str()), (201, "x"));
        assert!(matches!(begin(&all, "b", 9), Turn::OtherBody));
    }

    #[test]
    fn a_failed_request_may_be_made_anew_with_another_body() {
        let dir = tempfile::tempdir().expect("a directory");
        let all = Idempotency::new(Shelf::new(dir.path()));
        let Turn::Go(running) = begin(&all, "a", 5) else { panic!("it is the first") };
        running.failed().expect("forgets");
        assert!(matches!(begin(&all, "b", 6), Turn::Go(_)));
    }
}
