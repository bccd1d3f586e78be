//! A log's read side over HTTP, as the ledger's `Source`: what fsck, inspection and mirrors read of a log elsewhere.
//!
//! A server far away is trusted with nothing: bodies are bounded by what the path can be, redirects stay on the host,
//! attempts and waits are counted. <https://c2sp.org/tlog-tiles>, "APIs".

use std::time::Duration;

use bulla_ledger::source::largest;
use bulla_ledger::{BoxFuture, ReadError, Source};
use bulla_web::chain;
use bytes::Bytes;
use http::StatusCode;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, Response, Url};

use super::exchange::{self, BodyError, WAITS};

/// A log at a URL.
#[derive(Clone, Debug)]
pub struct Remote {
    /// What `checkpoint` and `tile/…` are appended to; its path ends in a slash.
    base: Url,
    client: Client,
    waits: &'static [Duration],
}

impl Remote {
    /// Finds the log at a URL, which may be that of the log or of its tiles: both `URL/checkpoint` and
    /// `URL/api/v2/checkpoint` are tried.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_patiently(url, WAITS).await
    }

    async fn open_patiently(url: &str, waits: &'static [Duration]) -> Result<Self, OpenError> {
        let refused = |problem: String| OpenError::Url { url: url.to_owned(), problem };
        let base = exchange::base_url(url).map_err(refused)?;
        let path = base.path().to_owned();
        let client = bulla_web::client()
            .read_timeout(SILENCE)
            .timeout(WHOLE)
            .redirect(Policy::custom(
                |attempt| {
                    if stays(&attempt) { attempt.follow() } else { attempt.stop() }
                },
            ))
            .build()
            .map_err(|error| OpenError::Read(ReadError::unavailable(chain(&error))))?;
        let mut remote = Self { base, client, waits };
        if !path.ends_with(API) && !remote.has_checkpoint().await? {
            let given = remote.base.clone();
            remote.base.set_path(&format!("{}{}", given.path(), &API[1..]));
            if !remote.has_checkpoint().await? {
                // Nowhere: what the caller asks for next says so, of the address that was given.
                remote.base = given;
            }
        }
        Ok(remote)
    }

    /// What `checkpoint` and `tile/…` are appended to.
    pub fn base(&self) -> &str {
        self.base.as_str()
    }

    async fn has_checkpoint(&self) -> Result<bool, ReadError> {
        Ok(self.get("checkpoint").await?.is_some_and(|bytes| looks_like_a_note(&bytes)))
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>, ReadError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        let limit = largest(path);
        let mut waits = self.waits.iter();
        loop {
            let failed = match self.attempt(&url, limit).await {
                Ok(found) => return Ok(found),
                Err(failed) => failed,
            };
            match (failed, waits.next()) {
                (Failed::ForNow { asked, .. }, Some(wait)) => {
                    tokio::time::sleep(exchange::wait(*wait, asked)).await;
                }
                (Failed::ForNow { cause, .. }, None) => {
                    return Err(ReadError::unavailable(format!("{url}: {cause}")));
                }
                (Failed::ForGood(error), _) => return Err(error),
            }
        }
    }

    async fn attempt(&self, url: &Url, limit: usize) -> Result<Option<Bytes>, Failed> {
        let for_now = |error: reqwest::Error| Failed::ForNow { cause: chain(&error), asked: None };
        let response = self.client.get(url.clone()).send().await.map_err(for_now)?;
        let status = response.status();
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NOT_IMPLEMENTED) {
            // 501 is what a Rekor v2 server answers for reads that another server is meant to answer.
            return Ok(None);
        }
        if status != StatusCode::OK {
            return Err(refused(url, &response));
        }
        let from = response.url().clone();
        match exchange::read_body(response, limit).await {
            Ok(body) => Ok(Some(body)),
            Err(BodyError::Broken(cause)) => Err(Failed::ForNow { cause, asked: None }),
            Err(BodyError::TooLong) => {
                let problem = format!("{from} has more than the {limit} bytes that it can have");
                Err(Failed::ForGood(ReadError::corrupt(problem)))
            }
        }
    }
}

impl Source for Remote {
    fn fetch<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        Box::pin(self.get(path))
    }

    fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }
}

/// Why there is no log to read at a URL.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not the URL of a log.
    #[error("URL {url:?}: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// What was expected.
        problem: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

enum Failed {
    /// Another attempt may succeed, the server may have said when.
    ForNow {
        cause: String,
        asked: Option<Duration>,
    },
    ForGood(ReadError),
}

fn refused(url: &Url, response: &Response) -> Failed {
    let status = response.status();
    if exchange::is_for_now(status) {
        return Failed::ForNow {
            cause: format!("answered {status}"),
            asked: exchange::retry_after(response),
        };
    }
    let cause = match exchange::redirect(response) {
        Some(to) => format!("redirects to {to}, and only redirects on the same host are followed"),
        None => format!("answered {status}"),
    };
    Failed::ForGood(ReadError::unavailable(format!("{url}: {cause}")))
}

/// Whether a redirect leads to the same host, and not from https to http.
fn stays(attempt: &Attempt<'_>) -> bool {
    let origin = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    let Some(from) = attempt.previous().first() else { return false };
    let (to, upgraded) = (attempt.url(), from.scheme() == "http" && attempt.url().scheme() == "https");
    attempt.previous().len() <= REDIRECTS
        && from.host_str() == to.host_str()
        && (upgraded || (from.scheme() == to.scheme() && origin(from) == origin(to)))
}

/// A page that a web server answers to any path is not a log.
fn looks_like_a_note(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.contains("\n\n\u{2014} "))
}

const API: &str = "/api/v2/";
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// For one attempt; the largest bundle at 150 KB/s.
const WHOLE: Duration = Duration::from_mins(2);
const REDIRECTS: usize = 3;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::Uri;
    use axum::response::{IntoResponse, Response};

    use super::*;

    type Answers = HashMap<&'static str, Vec<Response>>;

    /// A server that answers each path with what was prepared, once each, and then 404; and the paths it was asked for.
    async fn serve(answers: Answers) -> (String, Arc<Mutex<Vec<String>>>) {
        let (answers, asked) = (Arc::new(Mutex::new(answers)), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&asked);
        let answer = move |uri: Uri| {
            heard.lock().expect("lock").push(uri.path().to_owned());
            let mut answers = answers.lock().expect("lock");
            let left = answers.get_mut(uri.path()).filter(|left| !left.is_empty());
            let response = left.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |left| left.remove(0));
            std::future::ready(response)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
        (url, asked)
    }

    fn ok(body: impl Into<Vec<u8>>) -> Response {
        body.into().into_response()
    }

    fn status(code: u16) -> Response {
        StatusCode::from_u16(code).expect("status").into_response()
    }

    fn redirect(to: &str) -> Response {
        (StatusCode::FOUND, [("location", to.to_owned())]).into_response()
    }

    const NOTE: &str = "log.example.org\n0\nAAAA\n\n\u{2014} log.example.org AAAA\n";
    const NO_WAITS: &[Duration] = &[Duration::ZERO; 3];

    async fn open(url: &str) -> Remote {
        Remote::open_patiently(url, NO_WAITS).await.expect("a log")
    }

    #[tokio::test]
    async fn the_tiles_are_found_under_the_bare_url_and_under_the_api() {
        let (url, _) = serve(HashMap::from([("/checkpoint", vec![ok(NOTE)])])).await;
        assert_eq!(open(&url).await.base(), format!("{url}/"));
        let page = ok("<html>\n\n");
        let answers = HashMap::from([
            ("/checkpoint", vec![page]),
            ("/api/v2/checkpoint", vec![ok(NOTE)]),
            ("/api/v2/tile/0/000.p/1", vec![ok([7; 32])]),
        ]);
        let (url, asked) = serve(answers).await;
        let remote = open(&url).await;
        assert_eq!(remote.name(), format!("{url}/api/v2"));
        assert_eq!(remote.fetch("tile/0/000.p/1").await, Ok(Some(Bytes::from(vec![7; 32]))));
        assert_eq!(remote.fetch("tile/0/000").await, Ok(None));
        assert_eq!(asked.lock().expect("lock").len(), 4);
        let (url, asked) = serve(HashMap::new()).await;
        open(&format!("{url}/api/v2")).await;
        assert!(asked.lock().expect("lock").is_empty(), "the address says where the tiles are");
        let (url, _) = serve(HashMap::new()).await;
        assert_eq!(open(&format!("{url}/some/log/")).await.name(), format!("{url}/some/log"));
    }

    #[tokio::test]
    async fn what_is_no_url_of_a_log_is_refused() {
        for url in ["", "log.example.org", "ftp://log.example.org", "http://", "http://h/?x=1", "file:///etc"]
        {
            assert!(matches!(Remote::open(url).await, Err(OpenError::Url { .. })), "{url}");
        }
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again_but_not_for_ever() {
        let answers = HashMap::from([
            ("/api/v2/checkpoint", vec![status(503), status(429), status(500), ok(NOTE)]),
            ("/api/v2/tile/0/000", (0..9).map(|_| status(502)).collect()),
            ("/api/v2/tile/0/001", vec![status(403)]),
        ]);
        let (url, asked) = serve(answers).await;
        let remote = open(&format!("{url}/api/v2/")).await;
        assert_eq!(remote.fetch("checkpoint").await, Ok(Some(Bytes::from(NOTE))));
        let error = remote.fetch("tile/0/000").await.expect_err("busy");
        assert_eq!(
            error,
            ReadError::unavailable(format!("{url}/api/v2/tile/0/000: answered 502 Bad Gateway"))
        );
        let error = remote.fetch("tile/0/001").await.expect_err("forbidden");
        assert_eq!(error, ReadError::unavailable(format!("{url}/api/v2/tile/0/001: answered 403 Forbidden")));
        assert_eq!(asked.lock().expect("lock").len(), 4 + 4 + 1);
    }

    #[tokio::test]
    async fn no_connection_is_unavailable() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let url = format!("http://{}/api/v2", listener.local_addr().expect("address"));
        drop(listener);
        let error = open(&url).await.fetch("checkpoint").await.expect_err("nobody there");
        assert!(matches!(&error, ReadError::Unavailable(cause) if cause.contains("refused")), "{error}");
    }

    #[tokio::test]
    async fn bodies_are_bounded_by_their_path() {
        let chunked = |len: usize| {
            let pieces = (0..len).map(|_| Ok::<_, std::convert::Infallible>(Bytes::from_static(&[0])));
            axum::body::Body::from_stream(futures_util::stream::iter(pieces)).into_response()
        };
        let answers =
            HashMap::from([("/api/v2/tile/0/000.p/1", vec![ok([0; 33]), chunked(33), chunked(32), ok([])])]);
        let (url, _) = serve(answers).await;
        let remote = open(&format!("{url}/api/v2")).await;
        for _ in 0..2 {
            assert!(remote.fetch("tile/0/000.p/1").await.expect_err("too long").is_corrupt());
        }
        assert_eq!(remote.fetch("tile/0/000.p/1").await, Ok(Some(vec![0; 32].into())));
        assert_eq!(remote.fetch("tile/0/000.p/1").await, Ok(Some(Bytes::new())));
    }

    #[tokio::test]
    async fn redirects_stay_on_the_host_and_end() {
        let (elsewhere, asked_elsewhere) = serve(HashMap::from([("/checkpoint", vec![ok(NOTE)])])).await;
        let answers = HashMap::from([
            ("/api/v2/checkpoint", vec![redirect("/here"), redirect(&format!("{elsewhere}/checkpoint"))]),
            ("/here", vec![ok(NOTE)]),
            ("/api/v2/tile/0/000", vec![redirect("/loop")]),
            ("/loop", (0..9).map(|_| redirect("/loop")).collect()),
        ]);
        let (url, asked) = serve(answers).await;
        let remote = open(&format!("{url}/api/v2")).await;
        assert_eq!(remote.fetch("checkpoint").await, Ok(Some(Bytes::from(NOTE))));
        let error = remote.fetch("checkpoint").await.expect_err("elsewhere");
        assert!(matches!(&error, ReadError::Unavailable(cause) if cause.contains("redirects to")), "{error}");
        assert!(asked_elsewhere.lock().expect("lock").is_empty());
        assert!(remote.fetch("tile/0/000").await.is_err());
        assert!(asked.lock().expect("lock").len() < 9);
    }
}
