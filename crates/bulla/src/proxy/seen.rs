//! What happened lately, for the page and the metrics.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

/// What became of a pull that is worth telling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The tag was recorded for the first time.
    FirstSeen,
    /// It moved, and that was approved.
    Approved,
    /// It moved and was served, by its rule.
    Moved,
    /// It moved and was refused.
    Refused,
    /// What is written down of it is not believed.
    Alarm,
}

impl What {
    const ALL: [Self; 5] = [Self::FirstSeen, Self::Approved, Self::Moved, Self::Refused, Self::Alarm];

    /// As it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstSeen => "first-seen",
            Self::Approved => "approved",
            Self::Moved => "moved",
            Self::Refused => "refused",
            Self::Alarm => "alarm",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    pub(crate) tag: String,
    /// Where it points now.
    pub(crate) digest: String,
    /// What else there is to say.
    pub(crate) note: String,
}

/// The last of each kind.
#[derive(Default)]
pub(crate) struct Seen {
    events: Mutex<Vec<VecDeque<Event>>>,
}

impl Seen {
    /// Notes what happened. The same again is told once, with its last time.
    pub(crate) fn note(&self, what: What, tag: &str, digest: &str, note: &str) {
        metrics::counter!("bulla_proxy_events_total", "what" => what.name()).increment(1);
        let event = Event {
            at: Timestamp::now(),
            what,
            tag: tag.to_owned(),
            digest: digest.to_owned(),
            note: note.to_owned(),
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.resize_with(What::ALL.len(), VecDeque::new);
        let place = What::ALL.iter().position(|known| *known == what).unwrap_or(0);
        let kind = &mut events[place];
        kind.retain(|old| (old.tag.as_str(), old.digest.as_str()) != (tag, digest));
        kind.push_front(event);
        kind.truncate(KEPT);
    }

    /// The last of all kinds, newest first.
    pub(crate) fn last(&self) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = events.iter().flatten().cloned().collect();
        all.sort_by_key(|event| std::cmp::Reverse(event.at));
        all
    }
}

const KEPT: usize = 100;
