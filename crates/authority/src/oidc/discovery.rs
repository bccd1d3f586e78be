//! Asking an issuer for its keys (`OpenID` Connect Discovery 1.0 §4): its configuration, then the key set that this names.
//! Also what a client of ours asks an issuer before it signs in.

use std::time::Duration;

use bulla_web::{Authorities, chain};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::exchange::read;

use super::address::is_secure;
use super::error::quoted;
use super::keys::KeySet;

/// How issuers are asked.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The time for one answer, connecting included.
    pub timeout: Duration,
    /// The longest answer, in bytes.
    pub max_body_bytes: usize,
    /// Questions under way at a time to issuers that wildcards cover, which strangers can name.
    pub max_requests: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_body_bytes: 512 << 10, max_requests: 16 }
    }
}

/// Makes a client that does not leave the host that it asks, and that trusts these roots too.
pub(super) fn client(settings: &HttpSettings, roots: &Authorities) -> Result<Client, String> {
    bulla_web::client_believing(roots)
        .timeout(settings.timeout)
        .redirect(Policy::custom(redirected))
        .build()
        .map_err(|error| chain(&error))
}

fn redirected(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let Some(from) = attempt.previous().last() else { return attempt.stop() };
    let to = attempt.url();
    let same_host =
        from.host_str() == to.host_str() && from.scheme() == to.scheme() && from.port() == to.port();
    if !same_host {
        let to = quoted(to.as_str());
        return attempt.error(format!("it redirects to {to}, which is another host"));
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("it redirects too often");
    }
    attempt.follow()
}

/// What an issuer says about itself.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// Asks an issuer for its keys.
pub(super) async fn keys(client: &Client, issuer: &str, max_body_bytes: usize) -> Result<KeySet, String> {
    let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let base = Url::parse(&place).map_err(|error| error.to_string())?;
    let configuration: Configuration = json(client, base.clone(), max_body_bytes).await?;
    if configuration.issuer != issuer {
        return Err(format!("{base} is of the issuer {}", quoted(&configuration.issuer)));
    }
    let named = || format!("jwks_uri {}", quoted(&configuration.jwks_uri));
    let url = Url::parse(&configuration.jwks_uri).map_err(|error| format!("{}: {error}", named()))?;
    // Nobody but an issuer on this machine may send us to this machine.
    if !is_secure(&url) || (url.scheme() == "http" && base.scheme() != "http") {
        return Err(format!("{}: https was expected", named()));
    }
    let shown = quoted(url.as_str());
    KeySet::read(&body(client, url, max_body_bytes).await?).map_err(|problem| format!("{shown} {problem}"))
}

async fn json<T: DeserializeOwned>(client: &Client, url: Url, limit: usize) -> Result<T, String> {
    let shown = quoted(url.as_str());
    let bytes = body(client, url, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{shown}: {error}"))
}

async fn body(client: &Client, url: Url, limit: usize) -> Result<Vec<u8>, String> {
    let shown = quoted(url.as_str());
    let failed = |error: reqwest::Error| chain(&error);
    let response = client.get(url).send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("{shown} answers {}", response.status()));
    }
    read(response, limit).await.map_err(|problem| format!("{shown}: {problem}"))
}

const MOST_REDIRECTS: usize = 3;
