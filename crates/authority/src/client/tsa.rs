//! Asks a timestamp authority, ours or another (RFC 3161 §3.4).

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bulla_web::chain;
use cms::signed_data::SignedData;
use der::Decode as _;
use der::asn1::OctetString;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use jiff::Timestamp;
use x509_tsp::{TimeStampResp, TstInfo};

use crate::exchange::{self, Unread};
use crate::tsa::{Request, RequestError, TST_INFO, unsigned};

/// A timestamp authority by its URL.
#[derive(Clone)]
pub struct TsaClient {
    url: reqwest::Url,
    web: reqwest::Client,
}

/// Why there is no timestamp.
#[derive(Debug, thiserror::Error)]
pub enum TsaClientError {
    /// Not a URL to ask.
    #[error("URL of the timestamp authority is {0:?}, one of http or https was expected")]
    Url(String),
    /// Nothing to be stamped.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The authority does not answer.
    #[error("timestamp authority {0}: {1}")]
    Unavailable(reqwest::Url, String),
    /// It answered with another status than 200 and 201.
    #[error("timestamp authority {url} answered {status}{}: {body}", elsewhere(location.as_deref()))]
    Status {
        /// Which.
        url: reqwest::Url,
        /// Its status.
        status: u16,
        /// Where it sends on to, if it does.
        location: Option<Box<reqwest::Url>>,
        /// The beginning of what it said.
        body: String,
    },
    /// Its answer is not one to this question.
    #[error("timestamp authority {0} answered wrongly: {1}")]
    Wrong(reqwest::Url, String),
}

impl TsaClient {
    /// The URL that requests are posted to, as signing configurations have it. Ten seconds for an answer, no redirects.
    pub fn new(url: &str) -> Result<Self, TsaClientError> {
        let wrong = || TsaClientError::Url(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong());
        }
        let web = bulla_web::client()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| TsaClientError::Unavailable(parsed.clone(), error.to_string()))?;
        Ok(Self { url: parsed, web })
    }

    /// A timestamp of a SHA-256 digest, with certificates: DER of a `TimeStampResp` that was granted and is about this
    /// digest and this question. Whether its signature holds is for those who know whom to trust.
    pub async fn timestamp(&self, imprint: &[u8]) -> Result<Vec<u8>, TsaClientError> {
        let mut nonce = [0; 16];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| self.unavailable(&"the system gave no random bytes"))?;
        let nonce = unsigned(&nonce).map_err(|error| self.unavailable(&error))?;
        let request = Request::sha256(imprint, Some(nonce), true)?;
        let question = request.to_der().map_err(|error| self.unavailable(&error))?;
        let answer = self.ask(question).await?;
        check(&request, &answer).map_err(|problem| TsaClientError::Wrong(self.url.clone(), problem))?;
        Ok(answer)
    }

    async fn ask(&self, question: Vec<u8>) -> Result<Vec<u8>, TsaClientError> {
        let asking = self.web.post(self.url.clone()).body(question);
        let asking = asking
            .header(CONTENT_TYPE, "application/timestamp-query")
            .header(ACCEPT, "application/timestamp-reply");
        let answer = asking.send().await.map_err(|error| self.unavailable(&chain(&error)))?;
        let status = answer.status();
        let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        let location = location.and_then(|to| self.url.join(to.to_str().ok()?).ok()).map(Box::new);
        let body = exchange::read(answer, MAX_ANSWER_BYTES).await.map_err(|unread| match unread {
            Unread::TooLong { limit } => {
                TsaClientError::Wrong(self.url.clone(), format!("with more than {limit} bytes"))
            }
            Unread::Broken(problem) => self.unavailable(&problem),
        })?;
        if !matches!(status.as_u16(), 200 | 201) {
            let body = String::from_utf8_lossy(&body[..body.len().min(MAX_QUOTED_BYTES)]).into_owned();
            return Err(TsaClientError::Status {
                url: self.url.clone(),
                status: status.as_u16(),
                location,
                body,
            });
        }
        Ok(body)
    }

    fn unavailable(&self, problem: &dyn std::fmt::Display) -> TsaClientError {
        TsaClientError::Unavailable(self.url.clone(), problem.to_string())
    }
}

/// When an answer says that it was made, by the clock of whoever made it; whether that is to be believed is not judged here.
/// None if it holds no timestamp.
pub fn said_time(answer: &[u8]) -> Option<Timestamp> {
    let seconds = statement(answer).ok()?.gen_time.to_unix_duration().as_secs();
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// Redirects are not followed, but whoever named the URL can name the other.
fn elsewhere(location: Option<&reqwest::Url>) -> String {
    location.map(|to| format!(", and sends on to {to}")).unwrap_or_default()
}

/// Whether an answer was granted and is one to this request.
fn check(request: &Request, answer: &[u8]) -> Result<(), String> {
    let info = statement(answer)?;
    let (stamped, asked) = (&info.message_imprint, &request.imprint);
    // Some write NULL as parameters of the hash function, some nothing.
    let same = stamped.hash_algorithm.oid == asked.hash_algorithm.oid
        && stamped.hashed_message == asked.hashed_message;
    if !same {
        return Err("it is about another digest".to_owned());
    }
    if info.nonce != request.nonce {
        return Err("its nonce is not the one that was sent".to_owned());
    }
    Ok(())
}

/// What an answer states, if it was granted.
fn statement(answer: &[u8]) -> Result<TstInfo, String> {
    let der = |error: der::Error| format!("not DER of a TimeStampResp: {error}");
    let response = TimeStampResp::from_der(answer).map_err(der)?;
    let status = response.status.status as u8;
    // Granted, and granted with modifications.
    if status > 1 {
        return Err(format!("status is {status}, 0 was expected"));
    }
    let token = response.time_stamp_token.ok_or("no token in it")?;
    let signed: SignedData = token.content.decode_as().map_err(der)?;
    let content = signed.encap_content_info;
    if content.econtent_type != TST_INFO {
        return Err(format!("content is of type {}, {TST_INFO} was expected", content.econtent_type));
    }
    let info = content.econtent.ok_or("no content in the token")?;
    let info: OctetString = info.decode_as().map_err(der)?;
    TstInfo::from_der(info.as_bytes()).map_err(der)
}

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 << 10;
const MAX_QUOTED_BYTES: usize = 300;
