//! The clock of a certificate transparency log: one for its timestamps and its tree heads, so that no head is older than what
//! is under it (RFC 6962 §3.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix milliseconds that never go back; clones are the same clock.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> u64 + Send + Sync>,
    last: Arc<AtomicU64>,
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self::of(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// One that tells Unix milliseconds.
    pub fn of(source: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { source: Arc::new(source), last: Arc::default() }
    }

    /// The time in Unix milliseconds, never before one that it told earlier.
    pub fn now_millis(&self) -> u64 {
        let now = (self.source)();
        self.last.fetch_max(now, Ordering::SeqCst).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_go_back() {
        let time = Arc::new(AtomicU64::new(9));
        let source = time.clone();
        let clock = Clock::of(move || source.load(Ordering::SeqCst));
        let same = clock.clone();
        assert_eq!(clock.now_millis(), 9);
        time.store(7, Ordering::SeqCst);
        assert_eq!((clock.now_millis(), same.now_millis()), (9, 9));
        time.store(10, Ordering::SeqCst);
        assert_eq!(same.now_millis(), 10);
        assert!(Clock::system().now_millis() > 1_700_000_000_000);
    }
}
