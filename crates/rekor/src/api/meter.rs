//! Counts and times requests. Handles are kept, so that a request pays for two atomic additions and not for a lookup.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

/// What is counted apart: a label of every request metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// What the guard lets in or not.
    Create,
    Entry,
    Checkpoint,
    Tile,
    History,
    Consistency,
    Trust,
    Search,
    About,
    Unknown,
}

impl Route {
    const COUNT: usize = Self::Unknown as usize + 1;

    fn label(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Entry => "entry",
            Self::Checkpoint => "checkpoint",
            Self::Tile => "tile",
            Self::History => "history",
            Self::Consistency => "consistency",
            Self::Trust => "trust",
            Self::Search => "search",
            Self::About => "about",
            Self::Unknown => "unknown",
        }
    }
}

/// The request metrics of one door.
pub(crate) struct Meter {
    door: &'static str,
    routes: [RouteMeter; Route::COUNT],
}

#[derive(Default)]
struct RouteMeter {
    seconds: OnceLock<Histogram>,
    codes: [OnceLock<Counter>; CODES.len()],
}

/// Every status that a door answers.
const CODES: [u16; 25] = [
    200, 201, 204, 206, 207, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 415, 416, 422, 429, 500,
    501, 503, 504, 499,
];

impl Meter {
    pub(crate) fn new(door: &'static str) -> Self {
        Self { door, routes: Default::default() }
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let (door, label) = (self.door, route.label());
        let meter = &self.routes[route as usize];
        let count = || {
            let code = status.as_u16().to_string();
            metrics::counter!("bulla_http_requests_total", "door" => door, "route" => label, "code" => code)
        };
        match CODES.iter().position(|code| *code == status.as_u16()) {
            Some(code) => meter.codes[code].get_or_init(count).increment(1),
            None => count().increment(1),
        }
        let seconds = meter.seconds.get_or_init(
            || metrics::histogram!("bulla_http_request_seconds", "door" => door, "route" => label),
        );
        seconds.record(took);
    }
}
