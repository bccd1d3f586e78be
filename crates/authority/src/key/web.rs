//! Services that keep keys and speak JSON over HTTP: one question, one bounded answer, and whose fault it is if there is none.
#![cfg_attr(not(feature = "kms"), allow(dead_code, reason = "each keeper uses the part it needs"))]

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_web::{Authorities, chain};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::BoxFuture;
use super::kept::Trouble;
use crate::exchange::read;
use crate::oidc::quoted;

/// The environment's variables; what is empty is not set.
#[derive(Clone)]
pub(super) struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// That of this process.
    pub(super) fn of_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// These variables and no others.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: std::collections::HashMap<_, _> = variables.iter().map(own).collect();
        Self(Arc::new(move |name| variables.get(name).cloned()))
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The URL in a variable, else this one: `https`, or `http` to whom the operator says.
    pub(super) fn url(&self, name: &str, otherwise: &str) -> Result<Url, Trouble> {
        let text = self.get(name).unwrap_or_else(|| otherwise.to_owned());
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        url.filter(Url::has_host).ok_or_else(|| {
            Trouble::Refused(format!("{name} is {}, https://HOST was expected", quoted(&text)))
        })
    }
}

/// A client that follows nobody: what it sends is for the server that it asks.
pub(super) fn client(roots: &Authorities) -> Result<Client, Trouble> {
    let builder = bulla_web::client_believing(roots).connect_timeout(CONNECT);
    builder.build().map_err(|error| Trouble::Refused(chain(&error)))
}

/// A URL with a path of these segments in place of its own, each escaped.
pub(super) fn at<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Sends a request and reads the answer; what is said of a refusal never holds the secret that was sent.
pub(super) async fn ask<T: DeserializeOwned>(request: RequestBuilder, secret: &str) -> Result<T, Trouble> {
    let sent = request.send().await;
    let response = sent.map_err(|error| Trouble::Unavailable(chain(&error.without_url())))?;
    let status = response.status();
    let body = read(response, LONGEST_ANSWER).await;
    let body = body.map_err(|unread| Trouble::Unavailable(unread.to_string()))?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| Trouble::Refused(format!("its answer is not what was expected: {error}")));
    }
    let said = reason(&body).map(|text| match secret {
        "" => text,
        secret => text.replace(secret, "[secret]"),
    });
    let said = said.map_or_else(
        || format!("it answers {status}"),
        |text| format!("it answers {status}: {}", quoted(&text)),
    );
    let passing = status.is_server_error() || PASSING.contains(&status);
    Err(if passing { Trouble::Unavailable(said) } else { Trouble::Refused(said) })
}

/// The same with a body of JSON.
pub(super) fn with_json(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}

/// The same with the fields of a form.
pub(super) fn with_form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)
}

/// What a service says about a refusal, in the forms of the four that are asked.
fn reason(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let texts = [
        &body["error"]["message"],
        &body["error_description"],
        &body["errors"][0],
        &body["error"],
        &body["message"],
    ];
    Some(texts.into_iter().find_map(Value::as_str)?.to_owned())
}

/// Bytes in base64, as a service sent them.
pub(super) fn bytes(field: &str, text: &str) -> Result<Vec<u8>, Trouble> {
    STANDARD
        .decode(text)
        .map_err(|error| Trouble::Refused(format!("{field} in its answer is not base64: {error}")))
}

/// The text of a small file: a token, a key, certificates.
pub(super) fn small_file(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(LONGEST_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(format!("is longer than {LONGEST_FILE} bytes"));
    }
    Ok(text)
}

/// Where access tokens come from.
pub(super) trait TokenSource: Send + Sync {
    /// A new one.
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, Trouble>>;
}

/// What services of sign-in answer (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct AccessToken {
    access_token: String,
    /// Seconds; one service writes a number as text.
    #[serde(default)]
    expires_in: Value,
}

/// Access tokens, each used until shortly before its end.
pub(super) struct Tokens {
    source: Box<dyn TokenSource>,
    last: Mutex<Option<(String, Instant)>>,
}

impl Tokens {
    pub(super) fn new(source: Box<dyn TokenSource>) -> Self {
        Self { source, last: Mutex::new(None) }
    }

    /// Asks with a token. If that is refused and was used before, with a new one: it may have been revoked.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Trouble> {
        let again = request.try_clone();
        let (token, used_before) = self.current().await?;
        let asked = ask(request.bearer_auth(&token), &token).await;
        let Err(Trouble::Refused(_)) = &asked else { return asked };
        let mut last = self.last.lock().await;
        if last.as_ref().is_some_and(|(kept, _)| *kept == token) {
            *last = None;
        }
        drop(last);
        let (true, Some(request)) = (used_before, again) else { return asked };
        let (token, _) = self.current().await?;
        ask(request.bearer_auth(&token), &token).await
    }

    /// One that is good for a while yet, and whether it was used before.
    async fn current(&self) -> Result<(String, bool), Trouble> {
        let mut last = self.last.lock().await;
        if let Some((token, until)) = &*last
            && Instant::now() < *until
        {
            return Ok((token.clone(), true));
        }
        let AccessToken { access_token, expires_in } = self.source.fetch().await?;
        let seconds = expires_in.as_u64().or_else(|| expires_in.as_str()?.parse().ok()).unwrap_or_default();
        let good = Duration::from_secs(seconds.min(LONGEST_TOKEN_SECONDS)).saturating_sub(RESERVE);
        *last = Some((access_token.clone(), Instant::now() + good));
        Ok((access_token, false))
    }
}

/// Statuses that pass: asking again may help.
const PASSING: [StatusCode; 2] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
const CONNECT: Duration = Duration::from_secs(5);
/// A public key or a signature, with everything around it.
const LONGEST_ANSWER: usize = 256 << 10;
const LONGEST_FILE: u64 = 64 << 10;
const LONGEST_TOKEN_SECONDS: u64 = 24 * 60 * 60;
/// A token is renewed so long before its end.
const RESERVE: Duration = Duration::from_mins(1);
