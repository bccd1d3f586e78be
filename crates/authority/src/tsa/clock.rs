//! The clock of the authority: the system's, believed only while nothing speaks against it.
//!
//! Two things can. Between two timestamps the wall clock must not fall behind what went by on the monotonic one. And where
//! other sources of time are asked, their latest answer must be recent and agree.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::sources::{Offset, TimeSources, Unchecked};

/// A clock that refuses rather than lie.
pub struct Clock {
    bound: Duration,
    /// How long a check by other sources holds; `None` where no sources are asked.
    checked_for: Option<Duration>,
    state: Mutex<State>,
}

/// Why a clock does not say what time it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClockError {
    /// The wall clock was set back.
    #[error("the clock went back by {seconds:.3} s since the last timestamp: set it right, or restart if it is right now", seconds = behind.as_secs_f64())]
    WentBack {
        /// By how much.
        behind: SignedDuration,
    },
    /// The other sources were not asked yet, or nobody asks them any more.
    #[error("the clock was not checked against its time sources within {0} s")]
    NotChecked(u64),
    /// The latest check did not confirm the clock.
    #[error("{0}")]
    Unconfirmed(#[from] Unchecked),
}

#[derive(Default)]
struct State {
    /// The last time that was handed out.
    last: Option<Reading>,
    check: Option<(Instant, Result<Offset, Unchecked>)>,
}

#[derive(Clone, Copy)]
struct Reading {
    wall: Timestamp,
    monotonic: Instant,
}

impl Clock {
    /// The system's clock, which may not go back by more than `bound`.
    pub fn local(bound: Duration) -> Self {
        Self { bound, checked_for: None, state: Mutex::default() }
    }

    /// The same, believed for three times `every` after a check that confirmed it, and not before the first: see [`watch`].
    pub fn checked(bound: Duration, every: Duration) -> Self {
        Self { bound, checked_for: Some(every.saturating_mul(3)), state: Mutex::default() }
    }

    /// What time it is.
    pub fn now(&self) -> Result<Timestamp, ClockError> {
        self.at(Reading { wall: Timestamp::now(), monotonic: Instant::now() })
    }

    /// Notes how a check went that ended now.
    pub fn record(&self, check: Result<Offset, Unchecked>) {
        self.record_at(Instant::now(), check);
    }

    fn at(&self, reading: Reading) -> Result<Timestamp, ClockError> {
        let mut state = self.state();
        if let Some(checked_for) = self.checked_for {
            let fresh =
                |checked: &Instant| reading.monotonic.saturating_duration_since(*checked) <= checked_for;
            match &state.check {
                Some((checked, result)) if fresh(checked) => drop(result.clone()?),
                _ => return Err(ClockError::NotChecked(checked_for.as_secs())),
            }
        }
        if let Some(last) = state.last {
            let elapsed = reading.monotonic.saturating_duration_since(last.monotonic);
            let expected = last.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
            let behind = expected.duration_since(reading.wall);
            if behind > bound(self.bound) {
                return Err(ClockError::WentBack { behind });
            }
        }
        state.last = Some(reading);
        Ok(reading.wall)
    }

    fn record_at(&self, now: Instant, check: Result<Offset, Unchecked>) {
        let mut state = self.state();
        // Others confirm the time as it is now, so what it was before does not speak against it.
        if check.is_ok() {
            state.last = None;
        }
        state.check = Some((now, check));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the sources now and then `every` so often, and tells the clock. Never returns: for a task of its own.
pub async fn watch(clock: &Clock, sources: &TimeSources, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let check = sources.check().await;
        if let Ok(offset) | Err(Unchecked::Off { offset, .. }) = &check {
            metrics::gauge!("bulla_tsa_clock_offset_seconds").set(offset.seconds());
        }
        if let Err(problem) = &check {
            tracing::warn!(%problem, "no timestamps: the clock is not confirmed");
        }
        clock.record(check);
    }
}

fn bound(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(2);
    const MINUTE: Duration = Duration::from_mins(1);

    fn ok(clock: &Clock, start: Instant, wall: i64, monotonic: u64) -> Result<Timestamp, ClockError> {
        let wall = Timestamp::from_second(1_000_000 + wall).unwrap();
        clock.at(Reading { wall, monotonic: start + Duration::from_secs(monotonic) })
    }

    #[test]
    fn a_clock_that_goes_back_is_refused_until_it_is_right_again() {
        let (clock, start) = (Clock::local(BOUND), Instant::now());
        assert!(ok(&clock, start, 0, 0).is_ok());
        assert!(ok(&clock, start, 100, 100).is_ok());
        assert!(ok(&clock, start, 108, 110).is_ok(), "within the bound");
        let error = ok(&clock, start, 115, 120).unwrap_err();
        assert_eq!(error, ClockError::WentBack { behind: SignedDuration::from_secs(3) });
        assert!(ok(&clock, start, 200, 220).is_err(), "it is not forgotten");
        assert!(ok(&clock, start, 228, 230).is_ok(), "right again");
        assert!(ok(&clock, start, 9000, 240).is_ok(), "a suspended system goes forward");
    }

    #[test]
    fn a_checked_clock_is_believed_after_a_check_and_for_a_while() {
        let (clock, start) = (Clock::checked(BOUND, MINUTE), Instant::now());
        assert_eq!(ok(&clock, start, 0, 0), Err(ClockError::NotChecked(180)));
        clock.record_at(start, Ok(Offset::from_nanos(5)));
        assert!(ok(&clock, start, 180, 180).is_ok());
        assert_eq!(ok(&clock, start, 181, 181), Err(ClockError::NotChecked(180)));
        let silent = Unchecked::Silent { answered: 0, asked: 3, last: "no answer".to_owned() };
        clock.record_at(start + Duration::from_secs(182), Err(silent.clone()));
        assert_eq!(ok(&clock, start, 182, 182), Err(ClockError::Unconfirmed(silent)));
        clock.record_at(start + Duration::from_secs(183), Ok(Offset::from_nanos(0)));
        assert!(ok(&clock, start, 100, 183).is_ok(), "set back, and confirmed by others");
        assert!(ok(&clock, start, 90, 184).is_err());
    }
}
