//! One name for a request, in its answer and in our log: the client's own if it is sane, else one of ours.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 64;

/// Makes IDs that do not repeat within a process and hardly across processes.
pub(crate) struct RequestIds {
    seed: RandomState,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self { seed: RandomState::new(), next: AtomicU64::new(0) }
    }

    /// A new ID: 16 hexadecimal digits.
    pub(crate) fn make(&self) -> HeaderValue {
        let number = self.seed.hash_one(self.next.fetch_add(1, Ordering::Relaxed));
        // Hexadecimal digits are always a header value.
        HeaderValue::try_from(format!("{number:016x}")).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// The client's ID, if it is short and visible ASCII.
pub(crate) fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(X_REQUEST_ID)?;
    let bytes = value.as_bytes();
    let sane = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    sane.then(|| value.clone())
}
