//! Asks a certificate authority, ours or another that speaks version 2 of Fulcio, to certify a key.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::pem;
use bulla_tlog::note::SignError;
use bulla_web::chain;
use der::{Decode as _, Encode as _};
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use serde_json::json;
use x509_cert::certificate::Certificate;

use crate::exchange::{self, Unread};

/// Why there is no certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaError {
    /// Not the URL of a certificate authority.
    #[error("certificate authority {url:?}: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The key did not sign the challenge.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// It does not answer, or not now.
    #[error("certificate authority at {url} does not answer: {problem}")]
    Unavailable {
        /// Where it is.
        url: Url,
        /// What happened.
        problem: String,
    },
    /// It refused.
    #[error("certificate authority at {url} refused with status {status}: {message}")]
    Refused {
        /// Where it is.
        url: Url,
        /// The status of its answer.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It answered what it should not.
    #[error("certificate authority at {url} answered wrongly: {problem}")]
    Wrong {
        /// Where it is.
        url: Url,
        /// What is wrong.
        problem: String,
    },
}

/// A certificate authority somewhere.
#[derive(Clone, Debug)]
pub struct CaClient {
    client: Client,
    url: Url,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    signed_certificate_embedded_sct: Option<Signed>,
    signed_certificate_detached_sct: Option<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    chain: Option<Certificates>,
}

#[derive(Deserialize)]
struct Certificates {
    certificates: Vec<String>,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

impl CaClient {
    /// The authority below `base_url`: `https://HOST[/PATH]`, or `http`.
    pub fn new(base_url: &str) -> Result<Self, CaError> {
        let refused = |problem: String| CaError::Url { url: base_url.to_owned(), problem };
        let mut url = Url::parse(base_url).map_err(|error| refused(error.to_string()))?;
        let is_server = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
        if !is_server || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("https://HOST or http://HOST was expected".to_owned()));
        }
        url.set_path(&format!("{}/api/v2/signingCert", url.path().trim_end_matches('/')));
        // The request holds a token, which is for this server alone.
        let client = bulla_web::client().connect_timeout(CONNECT).timeout(ANSWER);
        let client = client.build().map_err(|error| refused(chain(&error)))?;
        Ok(Self { client, url })
    }

    /// Has the key certified for whom the token is about. `challenge` is what the issuer prescribes: the e-mail address, or
    /// the subject. Returns certificates in DER, the new one first, the root last.
    pub async fn certify(
        &self,
        token: &str,
        key: &SigningKey,
        challenge: &str,
    ) -> Result<Vec<Vec<u8>>, CaError> {
        let proof = key.sign(challenge.as_bytes())?;
        let body = json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"content": public_key_pem(key.spki())},
                "proofOfPossession": STANDARD.encode(proof),
            },
        });
        let request = self
            .client
            .post(self.url.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let response = request.send().await.map_err(|error| self.unavailable(chain(&error)))?;
        let status = response.status();
        let body = self.body(response).await?;
        if status.is_success() {
            return read(&body, key.spki())
                .map_err(|problem| CaError::Wrong { url: self.url.clone(), problem });
        }
        let message = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => problem.message,
            Err(_) => String::from_utf8_lossy(&body).into_owned(),
        };
        let message = message.chars().take(1000).filter(|c| !c.is_control()).collect();
        if status.is_server_error() {
            return Err(self.unavailable(format!("status {status}, {message}")));
        }
        Err(CaError::Refused { url: self.url.clone(), status: status.as_u16(), message })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, CaError> {
        exchange::read(response, MAX_ANSWER_BYTES).await.map_err(|unread| match unread {
            Unread::TooLong { limit } => {
                CaError::Wrong { url: self.url.clone(), problem: format!("its answer is over {limit} bytes") }
            }
            Unread::Broken(problem) => self.unavailable(problem),
        })
    }

    fn unavailable(&self, problem: String) -> CaError {
        CaError::Unavailable { url: self.url.clone(), problem }
    }
}

/// The certificates in an answer, of which the first has to be for our key.
fn read(body: &[u8], spki: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| format!("no certificate in JSON: {error}"))?;
    if answer.signed_certificate_detached_sct.is_some() {
        return Err("its timestamp is beside the certificate, one in the certificate was expected".to_owned());
    }
    let chain = answer.signed_certificate_embedded_sct.and_then(|signed| signed.chain);
    let texts = chain.map(|chain| chain.certificates).unwrap_or_default();
    if texts.is_empty() || texts.len() > MAX_CERTIFICATES {
        return Err(format!("{} certificates, 1 to {MAX_CERTIFICATES} were expected", texts.len()));
    }
    let mut certificates = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let block =
            pem::read(text.as_bytes(), 1).map_err(|problem| format!("certificate {} {problem}", at + 1))?;
        certificates.extend(block.into_iter().map(|block| block.der));
    }
    let leaf = Certificate::from_der(&certificates[0])
        .map_err(|error| format!("certificate 1 is not DER X.509: {error}"))?;
    let certified = leaf.tbs_certificate.subject_public_key_info.to_der();
    if certified.is_ok_and(|certified| certified == spki) {
        return Ok(certificates);
    }
    Err("certificate 1 is for another key than the one that was sent".to_owned())
}

/// To get a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// For the whole exchange.
const ANSWER: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 256 << 10;
const MAX_CERTIFICATES: usize = 10;
