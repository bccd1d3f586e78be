//! What the handlers of a door are handed: the log behind it, whose name it answers in, and the rules it refuses by.

use std::sync::Arc;
use std::time::Duration;

use bulla_claims::Rules;
use bulla_ledger::Log;
use bulla_tlog::{Hash, sha256};
use bytes::Bytes;

use crate::api::meter::Meter;
use crate::api::request_id::RequestIds;

/// An open door: HTTP and gRPC handlers share one.
pub struct Door {
    pub(crate) log: Log,
    pub(crate) log_id: Hash,
    pub(crate) settings: Settings,
    pub(crate) trusted_root: Document,
    pub(crate) signing_config: Document,
    pub(crate) meter: Meter,
    pub(crate) request_ids: RequestIds,
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
    /// The defaults, with these rules: duplicates refused, 4 MiB (a DSSE envelope may come whole), 20 s, retry after 1 s.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            duplicates: Duplicates::default(),
            max_body_bytes: 4 << 20,
            body_timeout: Duration::from_secs(20),
            retry_after_seconds: 1,
        }
    }
}

impl Door {
    /// Opens a door to a log that signs under `log_id`.
    pub fn new(
        log: Log,
        log_id: Hash,
        settings: Settings,
        trusted_root: Document,
        signing_config: Document,
    ) -> Self {
        Self {
            log,
            log_id,
            settings,
            trusted_root,
            signing_config,
            meter: Meter::new("v2"),
            request_ids: RequestIds::new(),
        }
    }
}
