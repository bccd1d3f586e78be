//! One exchange with a registry, whoever is at the other end: where it may lead, what is shown to whom, how often it is
//! tried, and how much is read.
//!
//! Redirects are followed here rather than by the HTTP library, so that it stands in one place who sees credentials.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bulla_web::{Authorities, chain};
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Client, Response, Url};

use super::answer::{is_for_now, retry_after};
use super::challenge;
use super::credentials::{CredentialError, Credentials};
use super::error::Problem;
use super::reach::Reach;
use super::reference::{Host, Repository};
use super::tokens::{self, Action, Asked, Tokens};

/// How registries are spoken with.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Plain HTTP to other machines than this, where a registry does not speak TLS.
    pub(crate) allow_http: bool,
    /// Who may vouch for registries beside whom the system believes.
    pub(crate) authorities: Authorities,
    /// Who we are.
    pub(crate) credentials: Credentials,
    /// For one exchange, beside what its content takes at [`SLOWEST`].
    pub(crate) timeout: Duration,
    /// How long one request may wait altogether before it is tried again.
    pub(crate) patience: Duration,
    /// Which hosts may be spoken with at all.
    pub(crate) reach: Reach,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allow_http: false,
            authorities: Authorities::default(),
            credentials: Credentials::anonymous(),
            timeout: Duration::from_secs(30),
            patience: Duration::from_secs(10),
            reach: Reach::Anywhere,
        }
    }
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) repository: &'a Repository,
    pub(super) action: Action,
    pub(super) method: Method,
    pub(super) at: At,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How many bytes may travel, which is what it is given time for.
    pub(super) largest: u64,
    /// As whom, and how far.
    pub(super) manner: Manner,
}

/// As whom a registry is asked, and what happens when it sends us elsewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// As whom.
    pub(crate) whose: Whose,
    /// What happens then.
    pub(crate) redirects: Redirects,
}

/// As whom a registry is asked.
#[derive(Clone, Debug, Default)]
pub(crate) enum Whose {
    /// As ourselves, if the registry wants to know.
    #[default]
    Ours,
    /// As somebody else, by what they gave us to show. A challenge is theirs to answer.
    Theirs(Option<HeaderValue>),
}

/// What happens when a registry sends us elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Redirects {
    /// We go there.
    #[default]
    Followed,
    /// What it says is handed on, unless it sends us to itself.
    Passed,
}

/// Where it is asked.
#[derive(Clone)]
pub(super) enum At {
    /// A path of the registry.
    Path(String),
    /// Where the registry said.
    Url(Url),
}

pub(super) struct Transport {
    client: Client,
    options: Options,
    tokens: Mutex<Tokens>,
    schemes: Mutex<HashMap<Host, &'static str>>,
    /// Held while a challenge of that registry is answered: what one request learns serves those that wait.
    answering: Mutex<HashMap<Host, Arc<tokio::sync::Mutex<()>>>>,
}

/// Why there is no answer.
struct Failed {
    problem: Problem,
    /// What another attempt may change, and which.
    cure: Cure,
}

#[derive(PartialEq, Eq)]
enum Cure {
    Nothing,
    Again,
    /// Nobody speaks TLS there.
    PlainHttp,
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let client = bulla_web::client_believing(&options.authorities)
            .connect_timeout(CONNECT)
            .read_timeout(options.timeout);
        let client = options.reach.limit(client).build().map_err(|error| chain(&error))?;
        Ok(Self {
            client,
            options,
            tokens: Mutex::default(),
            schemes: Mutex::default(),
            answering: Mutex::default(),
        })
    }

    /// Asks, answers a challenge once, and asks again what a busy registry put off; any other answer is the caller's.
    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Response, Problem> {
        let (mut shown, mut answered) = match &ask.manner.whose {
            Whose::Ours => (locked(&self.tokens).known(ask.repository, ask.action, Instant::now()), false),
            Whose::Theirs(shown) => (shown.clone(), true),
        };
        let mut waits = Waits { planned: WAITS.iter(), left: self.options.patience };
        loop {
            let (response, at_home) = match self.exchange(ask, shown.as_ref()).await {
                Ok(response) => response,
                Err(failed) => {
                    let wait = if failed.cure == Cure::Again { waits.next(None) } else { None };
                    let Some(wait) = wait else { return Err(failed.problem) };
                    tokio::time::sleep(wait).await;
                    continue;
                }
            };
            if response.status() == StatusCode::UNAUTHORIZED && at_home && !answered {
                answered = true;
                match self.answer(ask, &response, shown.as_ref()).await? {
                    None => return Ok(response),
                    answer => shown = answer,
                }
                continue;
            }
            if !is_for_now(response.status()) {
                return Ok(response);
            }
            match waits.next(retry_after(response.headers())) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Ok(response),
            }
        }
    }

    /// What to show next; none if the registry does not say what it wants.
    async fn answer(
        &self,
        ask: &Ask<'_>,
        response: &Response,
        shown: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Problem> {
        let lines = response.headers().get_all(WWW_AUTHENTICATE);
        let challenge =
            challenge::choose(lines.iter().map(HeaderValue::as_bytes)).map_err(Problem::Invalid)?;
        let Some(challenge) = challenge else { return Ok(None) };
        let turn = self.turn(ask.repository.host());
        let _turn = turn.lock().await;
        let known = locked(&self.tokens).known(ask.repository, ask.action, Instant::now());
        if known.as_ref() != shown && known.is_some() {
            return Ok(known);
        }
        locked(&self.tokens).forget(ask.repository);
        let (credentials, repository) = (self.options.credentials.clone(), ask.repository.clone());
        let found = tokio::task::spawn_blocking(move || credentials.find(&repository)).await;
        let found = found.map_err(|error| Problem::Helper(error.to_string()))?;
        let credential = found.map_err(|error| match error {
            CredentialError::File(problem) => Problem::Credentials(problem),
            CredentialError::Helper(problem) => Problem::Helper(problem),
        })?;
        let asked = Asked {
            repository: ask.repository,
            action: ask.action,
            credential,
            allow_http: self.options.allow_http,
            reach: &self.options.reach,
            timeout: self.options.timeout,
        };
        let answer = tokens::answer(&self.client, challenge, asked).await?;
        locked(&self.tokens).keep(ask.repository, ask.action, &answer, Instant::now());
        Ok(Some(answer.header))
    }

    /// What is held while a challenge of a registry is answered: one registry does not hold up others.
    fn turn(&self, host: &Host) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = locked(&self.answering);
        if turns.len() >= MOST_TURNS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(host.clone()).or_default())
    }

    /// One exchange, with the scheme that the registry speaks; and whether it is the registry itself that answered.
    async fn exchange(&self, ask: &Ask<'_>, shown: Option<&HeaderValue>) -> Result<(Response, bool), Failed> {
        let host = ask.repository.host();
        let path = match &ask.at {
            At::Path(path) => path,
            At::Url(url) => {
                let home = self
                    .schemes(host)
                    .iter()
                    .any(|scheme| base(scheme, host, "/").is_ok_and(|base| base.origin() == url.origin()));
                return self.follow(ask, url.clone(), home, shown).await;
            }
        };
        let schemes = self.schemes(host);
        let mut refused = None;
        for scheme in schemes {
            let url = base(scheme, host, path)?;
            match self.follow(ask, url, true, shown).await {
                Err(failed) if failed.cure == Cure::PlainHttp && *scheme == "https" && schemes.len() > 1 => {
                    refused = Some(failed);
                }
                ended => {
                    if ended.is_ok() {
                        locked(&self.schemes).insert(host.clone(), scheme);
                    }
                    return ended;
                }
            }
        }
        Err(refused.unwrap_or_else(|| failed(Problem::Broken("no scheme was left to try".to_owned()))))
    }

    /// What to try: TLS, and plain HTTP after it where that is allowed and nothing is known yet.
    fn schemes(&self, host: &Host) -> &'static [&'static str] {
        match locked(&self.schemes).get(host) {
            Some(&"http") => &["http"],
            None if self.options.allow_http || host.is_loopback() => &["https", "http"],
            Some(_) | None => &["https"],
        }
    }

    /// Follows redirects of what is only read. Credentials are for the registry's own origin, and for nobody after it
    /// has sent us away.
    async fn follow(
        &self,
        ask: &Ask<'_>,
        first: Url,
        home: bool,
        shown: Option<&HeaderValue>,
    ) -> Result<(Response, bool), Failed> {
        let (mut url, mut at_home) = (first.clone(), home);
        for _ in 0..=MOST_REDIRECTS {
            self.options
                .reach
                .check(&url, ask.repository.host())
                .map_err(|problem| failed(Problem::Rejected(problem)))?;
            let time = Duration::from_secs(ask.largest / SLOWEST);
            let mut request = self
                .client
                .request(ask.method.clone(), url.clone())
                .headers(ask.headers.clone())
                .timeout(self.options.timeout + time);
            if let Some(shown) = shown.filter(|_| at_home) {
                request = request.header(AUTHORIZATION, shown);
            }
            if !matches!(ask.method, Method::GET | Method::HEAD) {
                request = request.body(ask.body.clone());
            }
            let response = request.send().await.map_err(|error| broken(&url, &error.without_url()))?;
            let Some(target) = redirect(ask, &response) else { return Ok((response, at_home)) };
            url = step(&url, target?).map_err(|problem| failed(Problem::Invalid(problem)))?;
            at_home &= url.origin() == first.origin();
            if ask.manner.redirects == Redirects::Passed && !at_home {
                self.options
                    .reach
                    .check(&url, ask.repository.host())
                    .map_err(|problem| failed(Problem::Rejected(problem)))?;
                return Ok((response, at_home));
            }
        }
        let problem = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(failed(Problem::Unavailable(problem)))
    }
}

fn base(scheme: &str, host: &Host, path: &str) -> Result<Url, Failed> {
    let url = Url::parse(&format!("{scheme}://{}{path}", host.api()));
    url.map_err(|error| failed(Problem::Invalid(format!("{host} is no host of a URL: {error}"))))
}

/// Where a redirect leads, of a request that may be repeated elsewhere.
fn redirect<'a>(ask: &Ask<'_>, response: &'a Response) -> Option<Result<&'a str, Failed>> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
        || !matches!(ask.method, Method::GET | Method::HEAD)
    {
        return None;
    }
    let target = response.headers().get(LOCATION)?.to_str();
    Some(target.map_err(|_| failed(Problem::Invalid("it redirects to what is no URL".to_owned()))))
}

/// The URL that another one leads to: never from TLS to plain HTTP, nor to this machine from another.
pub(super) fn step(from: &Url, target: &str) -> Result<Url, String> {
    let to = from.join(target).map_err(|error| format!("it leads to what is no URL: {error}"))?;
    let place = to.origin().ascii_serialization();
    let Some(host) = to.host() else { return Err("it leads to no host".to_owned()) };
    if !(to.scheme() == "https" || (to.scheme() == "http" && from.scheme() == "http")) {
        return Err(format!("it leads from {} to {}, which is not followed", from.scheme(), to.scheme()));
    }
    if is_loopback(&host) && !from.host().is_some_and(|from| is_loopback(&from)) {
        return Err(format!("it leads to {place}, which is this machine"));
    }
    if !to.username().is_empty() || to.password().is_some() {
        return Err(format!("it leads to {place} with a user in the URL"));
    }
    Ok(to)
}

/// Whether a URL's host is this machine, or the link that clouds describe machines on.
pub(super) fn is_loopback<T: AsRef<str>>(host: &url::Host<T>) -> bool {
    match host {
        url::Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        url::Host::Ipv4(address) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        url::Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_loopback::<&str>(&url::Host::Ipv4(mapped)),
            None => address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified(),
        },
    }
}

fn failed(problem: Problem) -> Failed {
    Failed { problem, cure: Cure::Nothing }
}

/// Paths and queries of where a registry sends us are left out: they can hold secrets.
fn broken(url: &Url, error: &reqwest::Error) -> Failed {
    let cure = match (error.is_connect(), is_about_a_certificate(error)) {
        (true, false) => Cure::PlainHttp,
        (false, _) if error.is_request() && !error.is_timeout() => Cure::Again,
        _ => Cure::Nothing,
    };
    let origin = url.origin().ascii_serialization();
    Failed { problem: Problem::Broken(format!("{origin}: {}", chain(error))), cure }
}

/// Somebody speaks TLS there, but is not believed: no reason to do without it.
fn is_about_a_certificate(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) =
            cause.downcast_ref()
        {
            return true;
        }
        // An I/O error does not count what it wraps among its sources.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = wrapped.map_or_else(|| cause.source(), |inner| Some(inner));
    }
    false
}

/// Between attempts: at least as planned, as long as asked, and never more altogether than there is patience for.
struct Waits {
    planned: std::slice::Iter<'static, Duration>,
    left: Duration,
}

impl Waits {
    fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let wait = asked.unwrap_or_default().max(*self.planned.next()?);
        self.left = self.left.checked_sub(wait)?;
        Some(wait)
    }
}

/// A panic elsewhere leaves nothing half done in these.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To get a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
const WAITS: &[Duration] = &[Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];
/// Bytes a second: who is slower is not waited for.
const SLOWEST: u64 = 64 << 10;
const MOST_REDIRECTS: usize = 5;
const MOST_TURNS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_as_asked_and_end() {
        let mut waits = Waits { planned: WAITS.iter(), left: Duration::from_secs(3) };
        assert_eq!(waits.next(Some(Duration::ZERO)), Some(WAITS[0]), "nobody is asked again at once");
        assert_eq!(waits.next(Some(Duration::from_secs(2))), Some(Duration::from_secs(2)));
        assert_eq!(waits.next(None), None, "patience is over");
        let mut waits = Waits { planned: WAITS.iter(), left: Duration::from_secs(3) };
        assert_eq!(waits.next(Some(Duration::MAX)), None);
        let mut waits = Waits { planned: WAITS.iter(), left: Duration::MAX };
        assert_eq!((0..9).filter_map(|_| waits.next(None)).count(), WAITS.len());
    }

    #[test]
    fn a_step_is_never_down() {
        let leads =
            |from: &str, to: &str| step(&Url::parse(from).expect("a URL"), to).map(|url| url.to_string());
        let secure = "https://r.example/v2/a";
        assert_eq!(leads(secure, "/x?y=z"), Ok("https://r.example/x?y=z".to_owned()));
        assert_eq!(leads(secure, "https://cdn.example/x"), Ok("https://cdn.example/x".to_owned()));
        assert_eq!(leads("http://r.example/", "https://r.example/"), Ok("https://r.example/".to_owned()));
        assert_eq!(leads("http://localhost:1/", "http://127.0.0.1:2/"), Ok("http://127.0.0.1:2/".to_owned()));
        for to in [
            "http://r.example/",
            "ftp://r.example/",
            "file:///etc/passwd",
            "https://localhost/",
            "https://a.localhost./",
            "https://127.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://0/",
            "https://user:word@r.example/",
            "https://",
        ] {
            assert!(leads(secure, to).is_err(), "{to}");
        }
    }
}
