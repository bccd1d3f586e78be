//! The keys of one issuer as they are known now: fetched once for all who wait, refreshed before they are stale, kept
//! through an outage, and dropped when the issuer drops them. Time is what the caller says it is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::Client;
use tokio::sync::Semaphore;

use super::discovery;
use super::issuers::read_keys;
use super::keys::{Algorithm, Found, KeySet};

/// The keys of one issuer, and how to get newer ones.
pub(super) struct Keyring {
    issuer: String,
    source: Source,
    state: Mutex<State>,
    /// Held by who fetches.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

/// Where keys come from.
pub(super) enum Source {
    /// With a permit, if strangers can name issuers like it.
    Discovery {
        client: Client,
        max_body_bytes: usize,
        permits: Option<Arc<Semaphore>>,
    },
    File(PathBuf),
    Fixed(Arc<KeySet>),
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When these keys came.
    fetched: Option<Timestamp>,
    /// When keys were last asked for.
    asked: Option<Timestamp>,
    /// Answers so far, good or bad.
    answers: u64,
    /// Why the last one was bad.
    failure: Option<String>,
    /// The file as it was when it was read.
    file: Option<(SystemTime, u64, u64)>,
}

/// Why there is no answer to whether a signature is good.
pub(super) enum KeyError {
    /// The header names no key of the issuer, or one that cannot have signed so.
    Unknown(String),
    /// The issuer did not answer.
    Unreachable(String),
}

impl Keyring {
    pub(super) fn new(issuer: String, source: Source) -> Self {
        let state = State {
            keys: match &source {
                Source::Fixed(keys) => Some(keys.clone()),
                Source::Discovery { .. } | Source::File(_) => None,
            },
            ..State::default()
        };
        Self { issuer, source, state: Mutex::new(state), fetching: Arc::default() }
    }

    /// Whether the signature is by the key of that name.
    pub(super) async fn verify(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        now: Timestamp,
    ) -> Result<bool, KeyError> {
        let mut keys = self.current(now).await?;
        if matches!(keys.find(id, algorithm), Found::Unknown(_)) {
            keys = self.newer(now).await?;
        }
        match keys.find(id, algorithm) {
            Found::Keys(keys) => Ok(keys.iter().any(|key| key.verifies(message, signature))),
            Found::Unknown(problem) | Found::Unfit(problem) => Err(KeyError::Unknown(problem)),
        }
    }

    /// Whether there are keys, which makes it worth keeping.
    pub(super) fn has_keys(&self) -> bool {
        self.state().keys.is_some()
    }

    /// The keys to look in first.
    async fn current(self: &Arc<Self>, now: Timestamp) -> Result<Arc<KeySet>, KeyError> {
        match &self.source {
            Source::Fixed(keys) => return Ok(keys.clone()),
            Source::File(path) => return self.in_file(path),
            Source::Discovery { .. } => {}
        }
        let (keys, age, answers, may_ask) = {
            let state = self.state();
            let age = state.fetched.map(|fetched| apart(now, fetched));
            let keys = state.keys.clone().filter(|_| age.is_some_and(|age| age < KEPT));
            (keys, age.unwrap_or(KEPT), state.answers, state.may_ask(now))
        };
        let Some(keys) = keys else { return self.fetched_since(answers, now).await };
        if age >= WAITED_FOR && may_ask {
            // Nobody used them for long: what the issuer withdrew meanwhile must not work once more.
            return Ok(self.fetched_since(answers, now).await.unwrap_or(keys));
        }
        if age >= REFRESHED && may_ask {
            let this = self.clone();
            tokio::spawn(async move {
                // What went wrong is in the state, and old keys go on.
                let _refreshed = this.fetched_since(answers, now).await;
            });
        }
        Ok(keys)
    }

    /// Keys after these did not have the one that was looked for. An issuer is not asked more often than every ten
    /// seconds, whatever names strangers make up.
    async fn newer(self: &Arc<Self>, now: Timestamp) -> Result<Arc<KeySet>, KeyError> {
        if !matches!(self.source, Source::Discovery { .. }) {
            return self.current(now).await;
        }
        let answers = self.state().answers;
        self.fetched_since(answers, now).await
    }

    /// The keys of an answer later than so many; asks for one if nobody has and if it is time.
    async fn fetched_since(self: &Arc<Self>, answers: u64, now: Timestamp) -> Result<Arc<KeySet>, KeyError> {
        let turn = self.fetching.clone().lock_owned().await;
        {
            let mut state = self.state();
            if state.answers > answers || !state.may_ask(now) {
                return state.answer(now);
            }
            state.asked = Some(now);
        }
        // A task of its own, since those who wait for it may leave.
        let this = self.clone();
        let asking = tokio::spawn(async move {
            let answer = this.ask().await;
            let mut state = this.state();
            state.answers += 1;
            match answer {
                Ok(keys) => {
                    state.keys = Some(Arc::new(keys));
                    state.fetched = Some(now);
                    state.failure = None;
                    metrics::counter!("bulla_ca_issuer_keys_total", "result" => "fetched").increment(1);
                }
                Err(failure) => {
                    metrics::counter!("bulla_ca_issuer_keys_total", "result" => "failed").increment(1);
                    tracing::warn!(
                        issuer = this.issuer,
                        cause = failure,
                        "keys of an issuer are not to be had"
                    );
                    state.failure = Some(failure);
                }
            }
            let answer = state.answer(now);
            drop(turn);
            answer
        });
        asking.await.unwrap_or_else(|error| Err(KeyError::Unreachable(error.to_string())))
    }

    async fn ask(&self) -> Result<KeySet, String> {
        let Source::Discovery { client, max_body_bytes, permits } = &self.source else {
            return Err("it is not asked".to_owned());
        };
        let permit = permits.as_ref().map(|permits| permits.try_acquire());
        if matches!(permit, Some(Err(_))) {
            return Err("too many other issuers are being asked".to_owned());
        }
        discovery::keys(client, &self.issuer, *max_body_bytes).await
    }

    /// The keys in a file, read again when it has changed; if it cannot be read then, the old ones go on.
    fn in_file(&self, path: &Path) -> Result<Arc<KeySet>, KeyError> {
        let mut state = self.state();
        let found =
            std::fs::metadata(path).and_then(|found| Ok((found.modified()?, found.len(), found.ino())));
        let found = found.map_err(|error| format!("{}: {error}", path.display()));
        if let (Ok(found), Some(keys)) = (&found, &state.keys)
            && state.file.as_ref() == Some(found)
        {
            return Ok(keys.clone());
        }
        match found.and_then(|found| Ok((found, read_keys(path)?))) {
            Ok((found, keys)) => {
                let keys = Arc::new(keys);
                (state.keys, state.file) = (Some(keys.clone()), Some(found));
                Ok(keys)
            }
            Err(failure) => {
                tracing::warn!(issuer = self.issuer, cause = failure, "keys of an issuer cannot be read");
                state.keys.clone().ok_or(KeyError::Unreachable(failure))
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_ask(&self, now: Timestamp) -> bool {
        self.asked.is_none_or(|asked| apart(now, asked) >= BETWEEN)
    }

    /// What the last answer left: an old set serves those whose key is in it, until it is too old.
    fn answer(&self, now: Timestamp) -> Result<Arc<KeySet>, KeyError> {
        let kept = self.fetched.is_some_and(|fetched| apart(now, fetched) < KEPT);
        match (&self.keys, &self.failure) {
            (Some(keys), None) if kept => Ok(keys.clone()),
            (_, Some(failure)) => Err(KeyError::Unreachable(failure.clone())),
            _ => Err(KeyError::Unreachable("it was asked a moment ago and has not answered".to_owned())),
        }
    }
}

/// The time between, whichever way the clock was set meanwhile.
fn apart(now: Timestamp, then: Timestamp) -> Duration {
    now.duration_since(then).unsigned_abs()
}

/// Keys of this age are fetched again behind the back of who uses them.
const REFRESHED: Duration = Duration::from_mins(15);
/// Keys of this age are not used before the issuer was asked.
const WAITED_FOR: Duration = Duration::from_hours(1);
/// Keys of this age are not used.
const KEPT: Duration = Duration::from_hours(24);
/// An issuer is asked once in this time.
const BETWEEN: Duration = Duration::from_secs(10);
