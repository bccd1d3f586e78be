//! The room in which a policy is compiled and asked: a thread of its own, with a stack that its recursion fits into, and a
//! meter of what is made in it. A thread lives for one question, so what it counts is counted for that question alone.

use std::cell::Cell;
use std::thread::Builder;
use std::time::Instant;

use super::{LONGEST, MOST_MADE};

/// Enough for the deepest text and the deepest statement that are read, without optimisation too. Only what is used is there.
const STACK: usize = 64 << 20;

thread_local! {
    static METER: Cell<Option<Meter>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Meter {
    now: u64,
    began: Instant,
    made: usize,
}

/// Something that would be too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum TooMuch {
    /// It takes too long.
    #[error("it takes longer than {} s", LONGEST.as_secs())]
    Time,
    /// It makes too much.
    #[error("it makes more than {} MiB", MOST_MADE >> 20)]
    Memory,
}

/// Does the work in a thread of its own. A panic in there is an error out here.
pub(super) fn metered<T: Send>(now: u64, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let inside = || {
            METER.set(Some(Meter { now, began: Instant::now(), made: 0 }));
            work()
        };
        let thread = Builder::new().name("policy".to_owned()).stack_size(STACK).spawn_scoped(scope, inside);
        let thread = thread.map_err(|error| format!("there is no thread for it: {error}"))?;
        thread.join().map_err(|_| "the evaluation broke off".to_owned())
    })
}

/// The time that the question is asked at, in Unix seconds.
pub(super) fn now() -> u64 {
    METER.get().map(|meter| meter.now).unwrap_or_default()
}

/// Counts one step.
pub(super) fn step() -> Result<(), TooMuch> {
    match METER.get() {
        Some(meter) if meter.began.elapsed() > LONGEST => Err(TooMuch::Time),
        _ => Ok(()),
    }
}

/// Counts bytes before they are made.
pub(super) fn make(bytes: usize) -> Result<(), TooMuch> {
    step()?;
    let Some(mut meter) = METER.get() else { return Ok(()) };
    meter.made = meter.made.saturating_add(bytes);
    METER.set(Some(meter));
    if meter.made > MOST_MADE { Err(TooMuch::Memory) } else { Ok(()) }
}

/// Whether one of the limits was passed, whatever became of the error.
pub(super) fn passed() -> Result<(), TooMuch> {
    make(0)
}
