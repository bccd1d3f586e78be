//! Whether a token is an issuer's, for us and of now; and whom it is about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bulla_web::Authorities;
use jiff::Timestamp;
use reqwest::Client;
use tokio::sync::Semaphore;

use super::discovery::{HttpSettings, client};
use super::error::{TokenError, quoted};
use super::identity::Identity;
use super::issuers::{Issuers, KeySource, read_roots};
use super::keyring::{KeyError, Keyring, Source};
use super::token::parse;

/// Judges tokens. Shared by all who ask; it keeps the keys of issuers.
pub struct Verifier {
    issuers: Issuers,
    /// One for each entry of the issuers file.
    sources: Vec<EntrySource>,
    max_body_bytes: usize,
    requests: Arc<Semaphore>,
    /// Those of issuers that a wildcard covers.
    on_demand: Mutex<OnDemand>,
}

enum EntrySource {
    One(Arc<Keyring>),
    Many(Client),
}

#[derive(Default)]
struct OnDemand {
    keyrings: HashMap<String, (Arc<Keyring>, u64)>,
    uses: u64,
}

impl Verifier {
    /// Prepares to ask these issuers; none is asked before a token of its own comes. Fails if a file that the issuers file
    /// names cannot be read, or no TLS client can be made.
    pub fn new(issuers: Issuers, http: &HttpSettings) -> Result<Self, String> {
        let requests = Arc::new(Semaphore::new(http.max_requests));
        let plain = client(http, &Authorities::default())?;
        let mut sources = Vec::new();
        for issuer in issuers.iter() {
            let place = issuer.address.text().to_owned();
            let named = |problem: String| format!("issuer {place}: {problem}");
            let client = match &issuer.keys {
                KeySource::Discovery { ca_file: Some(file) } => {
                    client(http, &read_roots(file).map_err(named)?).map_err(named)?
                }
                _ => plain.clone(),
            };
            let source = match &issuer.keys {
                KeySource::Discovery { .. } => Source::Discovery {
                    client: client.clone(),
                    max_body_bytes: http.max_body_bytes,
                    permits: None,
                },
                KeySource::File(path) => Source::File(path.clone()),
                KeySource::Fixed(keys) => Source::Fixed(Arc::new(keys.clone())),
            };
            // All issuers of a wildcard with a file of keys have the keys in it.
            let discovered = matches!(source, Source::Discovery { .. });
            sources.push(if discovered && issuer.address.is_wildcard() {
                EntrySource::Many(client)
            } else {
                EntrySource::One(Arc::new(Keyring::new(place, source)))
            });
        }
        let max_body_bytes = http.max_body_bytes;
        Ok(Self { issuers, sources, max_body_bytes, requests, on_demand: Mutex::default() })
    }

    /// The issuers that are believed.
    pub fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    /// Finds whom a token is about, at this time. Tokens of more than 16 KiB are refused unread. May ask the token's issuer
    /// for its keys, within the time and size of the settings.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenError> {
        self.verify_until(token, now).await.map(|(identity, _expires)| identity)
    }

    /// The same, with the time at which the token expires, for [`Replay`](super::Replay).
    pub async fn verify_until(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<(Identity, Timestamp), TokenError> {
        let judged = self.judge(token, now).await;
        let result = match &judged {
            Ok(_) => "believed",
            Err(TokenError::Unreachable { .. }) => "unavailable",
            Err(_) => "refused",
        };
        metrics::counter!("bulla_ca_tokens_total", "result" => result).increment(1);
        judged
    }

    async fn judge(&self, token: &str, now: Timestamp) -> Result<(Identity, Timestamp), TokenError> {
        let parsed = parse(token)?;
        let claims = &parsed.claims;
        let name = claims.string("iss")?;
        let Some(place) = self.issuers.find(name) else {
            let problem = format!("is {}, which is no issuer that is believed here", quoted(name));
            return Err(TokenError::claim("iss", problem));
        };
        let issuer = self.issuers.at(place);
        // Before the issuer is asked for keys, which costs more than these.
        let expires = issuer.check(claims, now)?;
        let id = parsed.key_id.as_deref();
        let keyring = self.keyring(place, name);
        let verified = keyring.verify(id, parsed.algorithm, parsed.signed, &parsed.signature, now).await;
        match verified {
            Ok(true) => Ok((issuer.identify(name, claims)?, expires)),
            Ok(false) => Err(TokenError::Signature { issuer: name.to_owned() }),
            Err(KeyError::Unknown(problem)) => {
                Err(TokenError::UnknownKey { problem: format!("{problem} (issuer {name})") })
            }
            Err(KeyError::Unreachable(cause)) => {
                Err(TokenError::Unreachable { issuer: name.to_owned(), cause })
            }
        }
    }

    fn keyring(&self, place: usize, issuer: &str) -> Arc<Keyring> {
        let client = match &self.sources[place] {
            EntrySource::One(keyring) => return keyring.clone(),
            EntrySource::Many(client) => client,
        };
        let mut on_demand = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        on_demand.take(issuer, || Source::Discovery {
            client: client.clone(),
            max_body_bytes: self.max_body_bytes,
            permits: Some(self.requests.clone()),
        })
    }

    #[cfg(test)]
    fn on_demand(&self) -> usize {
        self.on_demand.lock().expect("whole").keyrings.len()
    }
}

impl OnDemand {
    fn take(&mut self, issuer: &str, source: impl FnOnce() -> Source) -> Arc<Keyring> {
        self.uses += 1;
        if let Some((keyring, used)) = self.keyrings.get_mut(issuer) {
            *used = self.uses;
            return keyring.clone();
        }
        if self.keyrings.len() >= MOST_ON_DEMAND {
            // Those that never had keys go first, so that made-up names do not drive out real ones.
            let last = self.keyrings.iter().min_by_key(|(_, (keyring, used))| (keyring.has_keys(), *used));
            if let Some(name) = last.map(|(name, _)| name.clone()) {
                self.keyrings.remove(&name);
            }
        }
        let keyring = Arc::new(Keyring::new(issuer.to_owned(), source()));
        self.keyrings.insert(issuer.to_owned(), (keyring.clone(), self.uses));
        keyring
    }
}

/// Issuers that wildcards cover whose keys are kept.
const MOST_ON_DEMAND: usize = 256;

#[cfg(test)]
mod tests;
