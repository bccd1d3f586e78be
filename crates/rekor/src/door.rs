//! What the handlers of a door are handed: the log behind it, whose name it answers in, and the rules it refuses by.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bulla_claims::Rules;
use bulla_claims::entry::v1;
use bulla_tlog::sha256;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::api::body::Room;
use crate::api::meter::Meter;
use crate::api::request_id::RequestIds;
use crate::api::v1::about::Build;
use crate::api::v1::once::Lanes;
use crate::guard::Guard;
use crate::idempotency::Idempotency;
use crate::shard::Shards;
use crate::shelf::Shelf;

/// An open door: HTTP and gRPC handlers of both APIs share one.
pub struct Door {
    pub(crate) shards: Arc<Shards>,
    pub(crate) settings: Settings,
    pub(crate) trust: ArcSwap<Trust>,
    pub(crate) attestations: Option<Shelf>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) meter: Meter,
    pub(crate) v1_meter: Meter,
    pub(crate) request_ids: RequestIds,
    pub(crate) searching: Turns,
    pub(crate) judging: Turns,
    pub(crate) room: Room,
    pub(crate) lanes: Lanes,
}

/// Work that takes more than a moment, off the threads that serve connections: as much at a time as there are cores.
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get))))
    }

    /// Does it when it is its turn. Whoever asked may go away; the turn lasts until the work is done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.0.clone().acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }
}

/// The documents that tell clients whom to believe and where to send things.
#[derive(Clone)]
pub struct Trust {
    /// `trusted_root.json`.
    pub trusted_root: Document,
    /// `signing_config.v0.2.json`.
    pub signing_config: Document,
}

/// What is kept beside the log and may be thrown away.
#[derive(Default)]
pub struct Shelves {
    /// Signed contents that bodies have only the hash of.
    pub attestations: Option<Shelf>,
    /// Answers to requests that may be sent twice.
    pub idempotency: Option<Idempotency>,
}

/// What an operator may choose about a door.
#[derive(Clone)]
pub struct Settings {
    /// What is admitted.
    pub rules: Rules,
    /// What is answered to an entry that the log has already.
    pub duplicates: Duplicates,
    /// Requests longer than this are refused before any work.
    pub max_body_bytes: usize,
    /// A client that has not sent its request by then is refused.
    pub body_timeout: Duration,
    /// When a client that was pushed back should come again.
    pub retry_after_seconds: u32,
    /// Who may write.
    pub guard: Arc<Guard>,
    /// What concerns the v1 door only.
    pub v1: V1Settings,
}

/// What an operator may choose about the v1 door.
#[derive(Clone, Debug)]
pub struct V1Settings {
    /// What is admitted.
    pub rules: v1::Rules,
    /// Longer attestations are not kept.
    pub max_attestation_bytes: usize,
    /// How long a search waits for the newest entries to be indexed.
    pub search_patience: Duration,
    /// What `/api/v1/version` says.
    pub build: Build,
}

/// The answer to an entry that the log has already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Duplicates {
    /// 409 with the index, as the reference does.
    #[default]
    Refuse,
    /// 201 with the first index and a fresh proof.
    Existing,
}

/// A document served as it is.
#[derive(Clone)]
pub struct Document {
    pub(crate) bytes: Bytes,
    pub(crate) etag: Arc<str>,
}

impl From<String> for Document {
    fn from(text: String) -> Self {
        let etag = entity_tag(text.as_bytes());
        Self { bytes: Bytes::from(text), etag }
    }
}

/// A strong entity tag made of the bytes.
pub(crate) fn entity_tag(bytes: &[u8]) -> Arc<str> {
    let sum = sha256(bytes).to_string();
    format!("\"{}\"", &sum[..32]).into()
}

impl Settings {
    /// The defaults, with these rules: duplicates refused, 4 MiB (a DSSE envelope may come whole), 20 s, retry after
    /// 1 s, everybody may write.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            duplicates: Duplicates::default(),
            max_body_bytes: 4 << 20,
            body_timeout: Duration::from_secs(20),
            retry_after_seconds: 1,
            guard: Arc::default(),
            v1: V1Settings {
                rules: v1::Rules::default(),
                max_attestation_bytes: 100 << 10,
                search_patience: Duration::from_secs(2),
                build: Build {
                    version: "unknown",
                    commit: "unknown",
                    tree_state: "unknown",
                    date: "unknown",
                },
            },
        }
    }
}

impl Door {
    /// Opens a door to a log.
    pub fn new(shards: Arc<Shards>, settings: Settings, trust: Trust, shelves: Shelves) -> Self {
        Self {
            shards,
            settings,
            trust: ArcSwap::from_pointee(trust),
            attestations: shelves.attestations,
            idempotency: shelves.idempotency,
            meter: Meter::new("v2"),
            v1_meter: Meter::new("v1"),
            request_ids: RequestIds::new(),
            searching: Turns::new(),
            judging: Turns::new(),
            room: Room::new(),
            lanes: Lanes::new(),
        }
    }

    /// The log's shards.
    pub fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    /// Serves other trust documents from now on.
    pub fn trust(&self, trust: Trust) {
        self.trust.store(Arc::new(trust));
    }

    /// Throws away what is kept beside the log for longer than it should be: attestations after that time, and answers
    /// that are no longer needed. Says how many files that were.
    pub fn sweep(&self, attestations_after: Option<Duration>) -> std::io::Result<u64> {
        let mut swept = 0;
        if let Some((shelf, after)) = self.attestations.as_ref().zip(attestations_after) {
            swept += shelf.sweep(after)?;
        }
        if let Some(idempotency) = &self.idempotency {
            swept += idempotency.sweep()?;
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_turn_when_whoever_asked_goes_away() {
        let turns = Turns(Arc::new(Semaphore::new(1)));
        let (go_on, told) = channel::<()>();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let mut abandoned = Box::pin(turns.run(move || {
            started.send(()).expect("the test waits");
            told.recv().expect("the test says so");
        }));
        tokio::select! {
            _ = &mut abandoned => panic!("it waits to be told"),
            begun = has_started => begun.expect("it began"),
        }
        drop(abandoned);
        assert_eq!(turns.0.available_permits(), 0);
        go_on.send(()).expect("it waits");
        assert_eq!(turns.run(|| 5).await.expect("runs"), 5);
    }
}
