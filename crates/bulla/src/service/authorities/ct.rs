//! The certificate transparency logs: ledgers below `DIR/ct`, `DIR/ct-2`, …. A log is its key, so a new key is a new log: the old
//! one ends, takes nothing more, and is served for ever. One takes certificates at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path as Names, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bulla_authority::api;
use bulla_authority::ct::{self, Clock, CtLog, Parts, origin, tree_head_signer};
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bulla_ledger::storage::file::{FileStorage, Format};
use bulla_ledger::{IndexAt, Log, Options};
use bulla_tlog::note::Verifier;
use http::StatusCode;
use jiff::Timestamp;
use tower::ServiceExt as _;

use super::files::{ct_key, missing};
use super::staged::{self, Plan};
use super::{Args, files};
use crate::command::Failure;
use crate::home::{note, open_failure, read_format, unix_now};
use crate::service::running::start_failure;

/// Whoever watches a log alarms when its newest tree head is older than its maximum merge delay, mostly a day
/// (RFC 6962 §3.5).
const SIGNED_AGAIN_AFTER: Duration = Duration::from_hours(1);

/// Where a log lies, and how far it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The first is 1.
    number: u32,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// What was planned for it; the first was not.
    pub(super) plan: Option<Plan>,
    /// When it ended, if it has.
    pub(super) ended: Option<Timestamp>,
}

impl Place {
    fn read(data: &Path, number: u32) -> Result<Self, Failure> {
        let dir = data.join(if number == 1 { "ct".to_owned() } else { format!("ct-{number}") });
        let path = dir.join(ENDED);
        let ended = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let time = text.trim().parse();
                Some(time.map_err(|error| {
                    let expected = "when the log ended was expected, such as 2026-11-21T00:00:00Z";
                    Failure::usage(format!("{}: {expected}: {error}", path.display()))
                })?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::usage(format!("{}: {error}", path.display()))),
        };
        Ok(Self { plan: Plan::read(&dir)?, number, dir, ended })
    }

    /// Those in a directory, oldest first: those that ended, the one that takes certificates, and the one that is to follow it.
    /// None if there never was one.
    pub(super) fn all(data: &Path) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = Vec::new();
        for number in 1.. {
            let is_staged = all.last().is_some_and(|last: &Self| last.ended.is_none());
            let place = match Self::read(data, number) {
                // Nobody relies on it yet, so the one before it goes on.
                Err(failure) if is_staged => {
                    tracing::error!(%failure, "a staged certificate transparency log is damaged");
                    break;
                }
                place => place?,
            };
            if place.dir.exists() {
                all.push(place);
            } else if all.last().is_some_and(|last| last.ended.is_some()) {
                return Err(missing(&place.dir));
            } else {
                break;
            }
        }
        Ok(all)
    }

    /// The one that takes certificates, and the one that is to follow it.
    pub(super) fn active(all: &[Self]) -> (Option<&Self>, Option<&Self>) {
        let mut open = all.iter().filter(|place| place.ended.is_none());
        (open.next(), open.next())
    }

    /// Its submission prefix, from that of the first.
    pub(super) fn url(&self, first: &str) -> String {
        if self.number == 1 { first.to_owned() } else { format!("{first}/{}", self.number) }
    }

    /// From when its timestamps are believed, from when those of the first are.
    pub(super) fn start(&self, first: Timestamp) -> Timestamp {
        self.plan.as_ref().map_or(first, |plan| plan.staged)
    }
}

/// The directory, below the data directory, of the log that takes certificates.
pub(super) fn active_dir(data: &Path) -> String {
    let all = Place::all(data).unwrap_or_default();
    let active = Place::active(&all).0.and_then(|place| place.dir.file_name());
    active.map_or_else(|| "ct".to_owned(), |name| name.to_string_lossy().into_owned())
}

const ENDED: &str = "ended";

/// Lays the key of a log that is to follow the one in a directory. Returns where.
pub(super) fn stage(data: &Path, plan: &Plan) -> Result<PathBuf, Failure> {
    let all = Place::all(data)?;
    let (Some(active), next) = Place::active(&all) else {
        return Err(Failure::usage(format!(
            "{} has no certificate transparency log to rotate",
            data.display()
        )));
    };
    if let Some(next) = next {
        return Err(staged::staged_already(&next.dir));
    }
    let place = Place::read(data, active.number + 1)?.dir;
    let text = SigningKey::generate_ecdsa_p256_pem();
    let key = SigningKey::from_pem(&text, None).map_err(Failure::unavailable)?;
    staged::lay(&place, Some(plan), &[("ct.key", &text)], &[("ct.pub", &public_key_pem(key.spki()))])?;
    Ok(place)
}

/// A running log of certificates.
struct CertificateLog {
    place: Place,
    log: Log,
    door: Arc<ct::CertificateLog>,
    routes: Router,
}

/// Those that are served, in the order of their places.
pub(super) struct CertificateLogs {
    data: PathBuf,
    args: Args,
    url: String,
    all: RwLock<Vec<Arc<CertificateLog>>>,
}

impl CertificateLogs {
    /// Opens those in a data directory, which take certificates that lead to the roots there. The first is made when there
    /// never was one.
    pub(super) async fn open(data: &Path, args: &Args, url: &str) -> Result<Self, Failure> {
        let logs =
            Self { data: data.to_owned(), args: args.clone(), url: url.to_owned(), all: RwLock::default() };
        let mut places = Place::all(data)?;
        if places.is_empty() {
            places.push(Place::read(data, 1)?);
        }
        let active = Place::active(&places).0.map(|active| active.number);
        for place in places {
            let (number, dir) = (place.number, place.dir.clone());
            match logs.add(place).await {
                Err(failure) if active.is_some_and(|active| active < number) => {
                    let dir = dir.display();
                    tracing::error!(%failure, "{dir} is staged and damaged: take it away and rotate again");
                }
                added => added?,
            }
        }
        Ok(logs)
    }

    async fn add(&self, place: Place) -> Result<(), Failure> {
        let opened = CertificateLog::open(place, &self.data, &self.args, &self.url).await?;
        self.all.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(opened));
        Ok(())
    }

    fn all(&self) -> Vec<Arc<CertificateLog>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens what was staged since, and accepts the roots that there are now.
    pub(super) async fn welcome(&self) -> Result<(), Failure> {
        let roots = files::roots(&self.data)?;
        let known = self.all();
        for one in &known {
            one.door.accept(&roots).map_err(Failure::usage)?;
        }
        for place in Place::all(&self.data)?.into_iter().skip(known.len()) {
            self.add(place).await?;
        }
        Ok(())
    }

    /// Those that did not end: the one that takes certificates, and the one that is to follow it.
    fn open_ones(&self) -> impl Iterator<Item = Arc<CertificateLog>> {
        // What the disk says is what counts: an end that could not be noted is to be tried again.
        self.all().into_iter().filter(|one| !one.place.dir.join(ENDED).exists())
    }

    /// The one that takes certificates, for an authority in the same process.
    pub(super) fn log(&self) -> Option<Arc<dyn CtLog>> {
        self.open_ones().next().map(|one| one.door.clone() as Arc<dyn CtLog>)
    }

    /// The one that is to follow it.
    pub(super) fn next(&self) -> Option<Arc<dyn CtLog>> {
        self.open_ones().nth(1).map(|one| one.door.clone() as Arc<dyn CtLog>)
    }

    /// Ends the one that takes certificates, for good: the one after it does from now on.
    pub(super) async fn end(&self) -> Result<(), Failure> {
        let mut open = self.open_ones();
        let (Some(active), Some(_next)) = (open.next(), open.next()) else { return Ok(()) };
        active.door.end();
        active.stop().await?;
        // After its last timestamp, also when the clock went back meanwhile: no tree head is older than what is under it.
        let head = active.door.tree_head().map_err(Failure::unavailable)?.timestamp / 1000;
        let last = i64::try_from(head).unwrap_or(i64::MAX).max(Timestamp::now().as_second());
        let ended = Timestamp::from_second(last.saturating_add(1)).unwrap_or(Timestamp::MAX);
        note(&active.place.dir, ENDED, &format!("{ended}\n"))?;
        tracing::info!(log = %active.place.dir.display(), "the certificate transparency log ended, the one after it takes certificates");
        Ok(())
    }

    /// All of them: `/ct/…`, `/ct/2/…`.
    pub(super) fn routes(self: &Arc<Self>) -> Router {
        let first = self.all().first().map_or_else(Router::new, |first| first.routes.clone());
        let later = Router::new().route("/ct/{number}/{*rest}", any(later)).with_state(self.clone());
        first.merge(later)
    }

    pub(super) async fn stop(&self) -> Result<(), Failure> {
        for one in self.all() {
            one.stop().await?;
        }
        Ok(())
    }
}

/// A request to a log that may have come to be while the server ran.
async fn later(
    State(logs): State<Arc<CertificateLogs>>,
    Names((number, _)): Names<(String, String)>,
    request: Request,
) -> Response {
    let found = logs.all().into_iter().skip(1).find(|one| one.place.number.to_string() == number);
    match found {
        Some(one) => one.routes.clone().oneshot(request).await.into_response(),
        None => (StatusCode::NOT_FOUND, "no such log\n").into_response(),
    }
}

impl CertificateLog {
    /// Opens a log below the data directory. It keeps the name that it began under, wherever it is served later.
    async fn open(place: Place, data: &Path, args: &Args, url: &str) -> Result<Self, Failure> {
        let dir = &place.dir;
        let existing = read_format(dir)?;
        let key = Arc::new(ct_key(data, dir, existing.is_none())?);
        let served_at = place.url(&args.ct_url(url));
        let prefix = match &existing {
            Some(format) if format.origin != origin(&served_at) => {
                tracing::warn!(
                    name = format.origin,
                    at = served_at,
                    "the certificate transparency log keeps its name though it is served elsewhere now"
                );
                format!("https://{}", format.origin)
            }
            _ => served_at,
        };
        let prefix = prefix.as_str();
        let named = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("certificate transparency log {prefix}: {error}"))
        };
        let verifier = Verifier::of_tree_heads(origin(prefix), key.spki()).map_err(|error| named(&error))?;
        let created = existing.map_or_else(unix_now, |format| format.created);
        let format = Format::new(origin(prefix), verifier.log_id(), created);
        let storage = FileStorage::open(dir, &format).map_err(open_failure)?;
        let clock = Clock::system();
        let signer = tree_head_signer(prefix, key.clone(), clock.clone()).map_err(|error| named(&error))?;
        let mut options = Options::new(Arc::new(signer), verifier, IndexAt::Dir(dir.join("index")));
        options.metered_as = Some(metered_as(place.number));
        options.sign_again_after = Some(SIGNED_AGAIN_AFTER);
        options.read_only = place.ended.is_some();
        let log = Log::start(Arc::new(storage), options).await.map_err(start_failure)?;
        let parts = Parts {
            log: log.clone(),
            key,
            clock,
            issuers: dir.join("issuers"),
            roots: files::roots(data)?,
            submission_prefix: prefix.to_owned(),
        };
        let door = Arc::new(ct::CertificateLog::open(parts).map_err(|error| named(&error))?);
        if place.ended.is_some() {
            door.end();
        }
        let path = place.url("/ct");
        let routes = Router::new().nest(&path, api::ct::routes(door.clone(), args.ct_submissions.into()));
        Ok(Self { place, log, door, routes })
    }

    async fn stop(&self) -> Result<(), Failure> {
        let stopped = self.log.stop().await;
        stopped.map_err(|error| {
            Failure::unavailable(format!("the certificate transparency log did not settle: {error}"))
        })
    }
}

/// What the gauges of a log are labelled with.
fn metered_as(number: u32) -> &'static str {
    match number {
        1 => "ct",
        // Few in the life of a process, and names of gauges live as long.
        number => Box::leak(format!("ct-{number}").into_boxed_str()),
    }
}
