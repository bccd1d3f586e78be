//! A certificate transparency log elsewhere, asked over RFC 6962 §4.2. What it answers is believed only once its key signed
//! it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::note::Verifier;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use reqwest::{Client, Response, Url};
use serde_json::json;

use super::leaf::{Entry, TimestampedEntry};
use super::sct::{AddChainResponse, Sct};
use super::submit::{CtError, CtLog, Precertificate};
use crate::BoxFuture;
use crate::exchange::{self, Unread};

/// A log by its submission prefix and key.
pub struct RemoteCtLog {
    client: Client,
    add_pre_chain: Url,
    spki: Vec<u8>,
}

impl RemoteCtLog {
    /// The log below that URL, http or https, whose key has this DER `SubjectPublicKeyInfo`: ECDSA P-256.
    pub fn new(url: &str, key: &[u8]) -> Result<Self, String> {
        Verifier::of_tree_heads("log", key)
            .map_err(|_| format!("key of log {url} is not DER of an ECDSA P-256 public key"))?;
        let problem = |problem: &dyn std::fmt::Display| format!("log URL {url:?}: {problem}");
        let mut parsed = Url::parse(url).map_err(|error| problem(&error))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(problem(&"http://HOST or https://HOST was expected"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(problem(&"a query or fragment is no part of it"));
        }
        let path = format!("{}/ct/v1/add-pre-chain", parsed.path().trim_end_matches('/'));
        parsed.set_path(&path);
        let client = bulla_web::client()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .build()
            .map_err(|error| problem(&error))?;
        Ok(Self { client, add_pre_chain: parsed, spki: key.to_vec() })
    }

    async fn ask(&self, precertificate: Precertificate) -> Result<Vec<u8>, CtError> {
        let Precertificate { issuer_key_hash, tbs, signed, chain } = precertificate;
        let chain: Vec<_> = std::iter::once(&signed).chain(&chain).map(|der| STANDARD.encode(der)).collect();
        let request = self.client.post(self.add_pre_chain.clone());
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = request.body(json!({ "chain": chain }).to_string());
        let response =
            request.send().await.map_err(|error| CtError::Unavailable(bulla_web::chain(&error)))?;
        let status = response.status();
        let body = bounded(response).await?;
        if status != StatusCode::OK {
            return Err(refusal(status, &body));
        }
        let believed =
            |problem: String| CtError::Unavailable(format!("its answer is not to be believed: {problem}"));
        let answer: AddChainResponse =
            serde_json::from_slice(&body).map_err(|error| believed(error.to_string()))?;
        let sct = Sct::try_from(&answer).map_err(|error| believed(error.problem))?;
        let entry = Entry::Precert { issuer_key_hash, tbs };
        let entry = TimestampedEntry { timestamp: sct.timestamp, entry, extensions: sct.extensions.clone() };
        if !sct.verifies(&entry, &self.spki) {
            return Err(believed("the timestamp is not signed by the log's key".to_owned()));
        }
        sct.encode().map_err(|error| believed(error.problem))
    }
}

impl CtLog for RemoteCtLog {
    fn add(&self, precertificate: Precertificate) -> BoxFuture<'_, Result<Vec<u8>, CtError>> {
        Box::pin(self.ask(precertificate))
    }
}

async fn bounded(response: Response) -> Result<Vec<u8>, CtError> {
    exchange::read(response, MAX_BODY).await.map_err(|unread| match unread {
        Unread::TooLong { limit } => CtError::Unavailable(format!("its answer is over {limit} bytes")),
        Unread::Broken(problem) => CtError::Unavailable(problem),
    })
}

fn refusal(status: StatusCode, body: &[u8]) -> CtError {
    // A line of it is enough, and it may be anything.
    let said: String = String::from_utf8_lossy(body).chars().take(300).collect();
    let problem = format!("{status}: {}", said.trim().escape_debug());
    if status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
    {
        CtError::Refused(problem)
    } else {
        CtError::Unavailable(problem)
    }
}

/// To get a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// To have the whole answer.
const TOTAL: Duration = Duration::from_secs(20);
/// A timestamp is under 1 KiB.
const MAX_BODY: usize = 64 << 10;
