//! Whether the log can do its work, asked of the log itself: `/healthz` says that the process answers, `/readyz` and the
//! gRPC health service say whether an entry sent now would be logged.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::get;
use bulla_ledger::Status;
use bulla_rekor::Shards;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::json;

/// What is expected of the log; less is an illness.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    /// It takes entries, unless it is frozen.
    pub(crate) writes: bool,
    /// As much is free where the log lives.
    pub(crate) disk_reserve_bytes: u64,
    /// Entries that wait get a checkpoint in this time.
    pub(crate) checkpoint_within: Duration,
}

/// Looks after the active shard of a log.
pub(crate) struct Health {
    shards: Arc<Shards>,
    expected: Expected,
    /// The published size, and since when it has not grown although entries wait.
    waiting: Mutex<Option<(u64, Instant)>>,
}

impl Health {
    pub(crate) fn new(shards: Arc<Shards>, expected: Expected) -> Self {
        Self { shards, expected, waiting: Mutex::new(None) }
    }

    /// How the log is, and what is wrong with it: nothing, if it is ready.
    pub(crate) fn look(&self) -> (Status, Vec<String>) {
        let status = self.shards.active().log().status();
        let waiting = self.waiting_since(&status).map(|since| since.elapsed());
        // While one shard follows another entries wait for a moment: the log is well, although the old shard stops.
        let problems =
            if self.shards.is_turning() { Vec::new() } else { problems(&status, waiting, self.expected) };
        (status, problems)
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_ready(&self) -> bool {
        self.look().1.is_empty()
    }

    fn waiting_since(&self, status: &Status) -> Option<Instant> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = status.queued > 0 || status.committed > status.size;
        *waiting = match *waiting {
            Some((size, since)) if pending && size == status.size => Some((size, since)),
            _ => pending.then(|| (status.size, Instant::now())),
        };
        waiting.map(|(_, since)| since)
    }
}

/// The two addresses.
pub(crate) fn routes(health: Arc<Health>) -> Router {
    // Compose files and charts look for these very bytes (reference §2).
    let alive = || async { ([(CONTENT_TYPE, "application/json")], r#"{"status":"SERVING"}"#) };
    let ready = move || {
        let health = health.clone();
        async move {
            let (status, problems) = health.look();
            let code = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let body = report(&status, &problems, SystemTime::now());
            (code, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
        }
    };
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

fn problems(status: &Status, waiting: Option<Duration>, expected: Expected) -> Vec<String> {
    let mut problems = Vec::new();
    if status.stopping {
        problems.push("the log is stopping".to_owned());
    }
    // Where nothing is written, the log is as ready as its files can be read.
    if status.frozen || !expected.writes {
        return problems;
    }
    if let Some(error) = &status.last_error {
        problems.push(format!("the last write failed: {error}"));
    }
    let reserve = expected.disk_reserve_bytes;
    if let Some(free) = status.free_bytes.filter(|free| *free < reserve) {
        problems.push(format!("{free} bytes are free on the disk, less than the reserve of {reserve}"));
    }
    if let Some(waiting) = waiting.filter(|waiting| *waiting > expected.checkpoint_within) {
        let seconds = waiting.as_secs();
        problems.push(format!("entries have waited {seconds} s for a checkpoint that covers them"));
    }
    problems
}

fn report(status: &Status, problems: &[String], now: SystemTime) -> String {
    let age = |then: SystemTime| now.duration_since(then).unwrap_or_default().as_secs_f64();
    json!({
        "status": if problems.is_empty() { "SERVING" } else { "NOT_SERVING" },
        "problems": problems,
        "frozen": status.frozen,
        "stopping": status.stopping,
        "size": status.size,
        "committed": status.committed,
        "queued": status.queued,
        "checkpointAgeSeconds": age(status.checkpoint_at),
        "lastCommitAgeSeconds": status.last_commit.map(age),
        "unsettledBytes": status.unsettled_bytes,
        "freeBytes": status.free_bytes,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Status {
        Status {
            frozen: false,
            stopping: false,
            size: 5,
            committed: 5,
            last_commit: None,
            last_error: None,
            checkpoint_at: SystemTime::UNIX_EPOCH,
            queued: 0,
            unsettled_bytes: 0,
            capacity_bytes: 1,
            free_bytes: Some(1000),
        }
    }

    #[test]
    fn each_illness_is_named() {
        let expected =
            Expected { writes: true, disk_reserve_bytes: 1000, checkpoint_within: Duration::from_secs(10) };
        let ill = |status: &Status, waiting| problems(status, waiting, expected);
        assert!(ill(&well(), None).is_empty(), "an old checkpoint of an idle log is no illness");
        assert!(ill(&well(), Some(Duration::from_secs(10))).is_empty());
        assert_eq!(
            ill(&well(), Some(Duration::from_secs(11))),
            ["entries have waited 11 s for a checkpoint that covers them"]
        );
        assert_eq!(
            ill(&Status { free_bytes: Some(999), ..well() }, None),
            ["999 bytes are free on the disk, less than the reserve of 1000"]
        );
        let failed = Status { last_error: Some("no space".into()), ..well() };
        assert_eq!(ill(&failed, None), ["the last write failed: no space"]);
        let reading = Expected { writes: false, ..expected };
        assert!(problems(&failed, None, reading).is_empty(), "nothing is written to a read-only log");
        assert!(ill(&Status { frozen: true, ..failed }, None).is_empty(), "a frozen log is read only");
        assert_eq!(ill(&Status { stopping: true, ..well() }, None), ["the log is stopping"]);
    }
}
