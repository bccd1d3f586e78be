//! Tokens for registries: answers to their challenges, kept until they expire.
//! <https://distribution.github.io/distribution/spec/auth/token/>, <https://distribution.github.io/distribution/spec/auth/oauth/>.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_web::chain;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::answer;
use super::challenge::Challenge;
use super::credentials::Credential;
use super::error::Problem;
use super::reach::Reach;
use super::reference::Repository;
use super::transport;

/// What is to be done in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Read.
    Pull,
    /// Read and write.
    Push,
}

impl Action {
    /// As token servers name it.
    fn scope(self, repository: &Repository) -> String {
        let actions = match self {
            Self::Pull => "pull",
            Self::Push => "pull,push",
        };
        format!("repository:{}:{actions}", repository.name())
    }
}

/// What registries have been answered, by repository and action.
#[derive(Default)]
pub(super) struct Tokens {
    held: HashMap<(Repository, Action), Held>,
}

struct Held {
    header: HeaderValue,
    until: Option<Instant>,
}

impl Tokens {
    /// What to show without being asked again.
    pub(super) fn known(&self, repository: &Repository, action: Action, now: Instant) -> Option<HeaderValue> {
        // Who may push may pull.
        let actions: &[Action] =
            if action == Action::Pull { &[Action::Pull, Action::Push] } else { &[Action::Push] };
        actions.iter().find_map(|action| {
            let held = self.held.get(&(repository.clone(), *action))?;
            held.until.is_none_or(|until| now < until).then(|| held.header.clone())
        })
    }

    /// Remembers what was answered.
    pub(super) fn keep(&mut self, repository: &Repository, action: Action, answer: &Answer, now: Instant) {
        if self.held.len() >= MOST_HELD {
            self.held.clear();
        }
        let held = Held {
            header: answer.header.clone(),
            until: answer.lifetime.and_then(|life| now.checked_add(life)),
        };
        self.held.insert((repository.clone(), action), held);
    }

    /// Forgets what the registry does not take any more.
    pub(super) fn forget(&mut self, repository: &Repository) {
        for action in [Action::Pull, Action::Push] {
            self.held.remove(&(repository.clone(), action));
        }
    }
}

/// What is shown to a registry, and for how long it does.
pub(super) struct Answer {
    pub(super) header: HeaderValue,
    lifetime: Option<Duration>,
}

/// Whom a challenge is answered for.
pub(super) struct Asked<'a> {
    pub(super) repository: &'a Repository,
    pub(super) action: Action,
    pub(super) credential: Option<Credential>,
    /// Whether tokens may travel over plain HTTP to other machines.
    pub(super) allow_http: bool,
    /// Where token servers may be.
    pub(super) reach: &'a Reach,
    pub(super) timeout: Duration,
}

/// Answers a challenge. A token server is asked at most once.
pub(super) async fn answer(
    client: &Client,
    challenge: Challenge,
    asked: Asked<'_>,
) -> Result<Answer, Problem> {
    let (realm, service, scope) = match (challenge, &asked.credential) {
        (_, Some(Credential::Token(token))) => return bearer(token, None),
        (Challenge::Basic, Some(Credential::Password { username, password })) => {
            return Ok(Answer { header: basic(username, password)?, lifetime: None });
        }
        (Challenge::Basic, _) => {
            return Err(Problem::Unauthorized(format!(
                "the registry wants a name and a password: log in to {}, as with `docker login`",
                asked.repository.host()
            )));
        }
        (Challenge::Bearer { realm, service, scope }, _) => (realm, service, scope),
    };
    let url = token_url(&realm, &asked)?;
    let ours = asked.action.scope(asked.repository);
    // What the registry asks for first; what we are about to do as well, if it has not said that.
    let scopes: Vec<String> = scope.filter(|scope| *scope != ours).into_iter().chain([ours]).collect();
    let place = place(&url);
    let request = match &asked.credential {
        Some(Credential::Identity(token)) => {
            let form = [
                ("grant_type", "refresh_token"),
                ("service", service.as_deref().unwrap_or_default()),
                ("client_id", "bulla"),
                ("scope", &scopes.join(" ")),
                ("refresh_token", token),
            ];
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
        }
        credential => {
            let mut url = url;
            {
                let mut query = url.query_pairs_mut();
                let service = service.iter().map(|service| ("service", service));
                query.extend_pairs(service.chain(scopes.iter().map(|scope| ("scope", scope))));
            }
            let request = client.get(url);
            match credential {
                Some(Credential::Password { username, password }) => {
                    request.header(AUTHORIZATION, basic(username, password)?)
                }
                _ => request,
            }
        }
    };
    let broken = |error: &reqwest::Error| Problem::Broken(format!("token server {place}: {}", chain(error)));
    let response = request
        .header(ACCEPT, "application/json")
        .timeout(asked.timeout)
        .send()
        .await
        .map_err(|error| broken(&error.without_url()))?;
    let status = response.status();
    if status != StatusCode::OK {
        return Err(refused(status, &place, &asked));
    }
    let body = answer::read(response, LARGEST_ANSWER).await.map_err(|problem| match problem {
        Problem::Broken(cause) => Problem::Broken(format!("token server {place}: {cause}")),
        _ => Problem::Invalid(format!("token server {place} answered more than {LARGEST_ANSWER} bytes")),
    })?;
    // The library's message could quote a token.
    let granted: Granted = serde_json::from_slice(&body)
        .map_err(|_| Problem::Invalid(format!("token server {place} did not answer with a token in JSON")))?;
    let token = [granted.token, granted.access_token].into_iter().flatten().find(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| Problem::Invalid(format!("token server {place} answered without a token")))?;
    let life = granted.expires_in.filter(|seconds| *seconds >= 1.0).unwrap_or(DEFAULT_LIFE);
    // A request that is on its way must not arrive with what has just expired.
    bearer(&token, Some(Duration::from_secs_f64(life.min(LONGEST_LIFE) * 0.9)))
}

#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

fn refused(status: StatusCode, place: &str, asked: &Asked<'_>) -> Problem {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            let fix = match asked.credential {
                Some(_) => "the credentials for it are not taken",
                None => "there are no credentials for it: log in, as with `docker login`",
            };
            let repository = asked.repository;
            Problem::Unauthorized(format!(
                "token server {place} gives no token for {repository} ({status}), {fix}"
            ))
        }
        _ => Problem::Unavailable(format!("token server {place} answered {status}")),
    }
}

/// Where tokens are had. It is the registry that names it, so it is not let anywhere near this machine, nor asked in clear.
fn token_url(realm: &str, asked: &Asked<'_>) -> Result<Url, Problem> {
    let shown: String = realm.chars().take(200).collect();
    let invalid = |problem: &str| Problem::Invalid(format!("token server {shown:?} {problem}"));
    let url = Url::parse(realm).map_err(|error| invalid(&format!("is no URL: {error}")))?;
    let Some(host) = url.host() else { return Err(invalid("has no host")) };
    let is_loopback = transport::is_loopback(&host);
    if is_loopback && !asked.repository.host().is_loopback() {
        return Err(invalid("is on this machine, and the registry is not"));
    }
    match url.scheme() {
        "https" => {}
        "http" if asked.allow_http || is_loopback => {}
        "http" => return Err(invalid("is not https: --allow-http-registry lets tokens travel in clear")),
        _ => return Err(invalid("is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("has a user in it"));
    }
    asked
        .reach
        .check(&url, asked.repository.host())
        .map_err(|problem| invalid(&format!("is not asked: {problem}")))?;
    Ok(url)
}

fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn basic(username: &str, password: &str) -> Result<HeaderValue, Problem> {
    let text = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    header(&text).ok_or_else(|| Problem::Credentials("name and password fit into no header".to_owned()))
}

fn bearer(token: &str, lifetime: Option<Duration>) -> Result<Answer, Problem> {
    let header = header(&format!("Bearer {token}"));
    let header = header.ok_or_else(|| Problem::Invalid("the token fits into no header".to_owned()))?;
    Ok(Answer { header, lifetime })
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Seconds, when the token server does not say.
const DEFAULT_LIFE: f64 = 60.0;
const LONGEST_LIFE: f64 = 3600.0;
const LARGEST_ANSWER: u64 = 64 << 10;
const MOST_HELD: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_elsewhere_names_no_token_server_here() {
        let repository = Repository::parse("registry.example/a").expect("a name");
        let url = |realm: &str, allow_http| {
            let (action, timeout, reach) = (Action::Pull, Duration::ZERO, &Reach::Anywhere);
            token_url(
                realm,
                &Asked { repository: &repository, action, credential: None, allow_http, reach, timeout },
            )
        };
        assert!(url("https://auth.example/token", false).is_ok());
        assert!(url("http://auth.example/token", true).is_ok());
        for realm in
            ["http://auth.example/token", "https://localhost/", "https://127.0.0.1/", "https://[::1]/"]
        {
            assert!(url(realm, false).is_err(), "{realm}");
        }
        assert!(url("http://169.254.169.254/latest", true).is_err(), "what clouds say about machines");
    }

    #[test]
    fn tokens_are_shown_until_they_end() {
        let (repository, now) = (Repository::parse("a").expect("a name"), Instant::now());
        let mut tokens = Tokens::default();
        let answer = bearer("t", Some(Duration::from_secs(54))).expect("a token");
        assert!(answer.header.is_sensitive());
        tokens.keep(&repository, Action::Push, &answer, now);
        let known = |tokens: &Tokens, action, seconds| {
            tokens.known(&repository, action, now + Duration::from_secs(seconds)).is_some()
        };
        assert!(
            known(&tokens, Action::Push, 53) && known(&tokens, Action::Pull, 53),
            "who may push may pull"
        );
        assert!(!known(&tokens, Action::Push, 54));
        tokens.keep(&repository, Action::Pull, &answer, now);
        assert!(!known(&tokens, Action::Push, 54));
        tokens.forget(&repository);
        assert!(!known(&tokens, Action::Pull, 0));
        for number in 0..2 * MOST_HELD {
            let repository = Repository::parse(&format!("a/{number}")).expect("a name");
            tokens.keep(&repository, Action::Pull, &answer, now);
        }
        assert!(tokens.held.len() <= MOST_HELD);
    }
}
