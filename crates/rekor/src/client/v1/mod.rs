//! A client of the v1 API. It believes nothing: bodies are bounded, redirects are not followed, and what is asked for is
//! judged by [`Entry::check`] and its parts.

mod again;
mod answer;
mod propose;
mod verify;

use std::time::Duration;

use bulla_tlog::Hash;
use bulla_web::{CONNECT, USER_AGENT, chain, is_loopback};
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Client, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use again::{Signed, proposed_again};
pub use answer::{ConsistencyProof, Entry, EntryId, InclusionProof, LogInfo, Shard, Verification};
pub use propose::{
    DEFAULT_KIND, KINDS, Materials, Proposal, ProposeError, expected_body, hash_for, propose, read_proposal,
};
pub use verify::{Head, LogKey, Unsound};

use super::exchange::{self, BodyError};
use crate::wire::v1::once::{ENTRY_ONCE, Once};

/// How a client asks.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it calls itself.
    pub user_agent: String,
    /// For one attempt.
    pub timeout: Duration,
    /// Attempts after the first one, where another may help.
    pub retries: u32,
    /// What the server is shown, `Authorization: Bearer …`, if it wants to know who writes.
    pub token: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { user_agent: USER_AGENT.to_owned(), timeout: Duration::from_secs(30), retries: 3, token: None }
    }
}

/// A v1 server.
#[derive(Clone, Debug)]
pub struct RekorV1 {
    base: Url,
    client: Client,
    retries: u32,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// It is not the URL of a server.
    #[error("URL {url:?}: {problem}")]
    Url {
        /// What was given.
        url: String,
        /// What was expected.
        problem: String,
    },
    /// Nobody answers, or the server cannot answer now.
    #[error("{url}: {cause}")]
    Unavailable {
        /// What was asked for.
        url: String,
        /// Why.
        cause: String,
    },
    /// The answer is none.
    #[error("{url}: {problem}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server does not do what it was asked.
    #[error("the server refused with {status}: {message}")]
    Refused {
        /// The method.
        method: Method,
        /// The path in the API's own words.
        route: &'static str,
        /// Its status.
        status: StatusCode,
        /// What it said.
        message: String,
    },
}

/// What became of a proposed entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Created {
    /// It was added.
    New {
        /// The entry.
        entry: Box<Entry>,
        /// The path where it can be read.
        location: String,
    },
    /// An equal one is in the log.
    Exists {
        /// The path where it can be read.
        location: String,
        /// Its name.
        id: EntryId,
    },
}

/// What became of an entry that was proposed under a condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CreatedOnce {
    /// It was added.
    New {
        /// The entry.
        entry: Box<Entry>,
        /// The path where it can be read.
        location: String,
        /// Whether the server says that it minded the condition; one that does not know it adds the entry all the same.
        honoured: bool,
    },
    /// An equal one is in the log. That may be this very one: a request whose answer was lost is sent again.
    Exists {
        /// The path where it can be read.
        location: String,
        /// Its name.
        id: EntryId,
    },
    /// One is found by the digest, so nothing was added. If an equal one was added to a tree that has ended since, it is that.
    Other {
        /// The path where it can be read.
        location: String,
        /// Its name.
        id: EntryId,
    },
}

/// Which entries to retrieve.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retrieve<'a> {
    /// By their names.
    #[serde(rename = "entryUUIDs", skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// By their indexes across all trees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_indexes: Vec<u64>,
    /// By what was proposed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<&'a RawValue>,
}

/// What to look for in the index.
#[derive(Clone, Default, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// A digest, `sha256:<hex>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// An e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Any subject of a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<SearchKey>,
    /// `and` or `or`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
}

/// A key to look for.
#[derive(Clone, Debug, Serialize)]
pub struct SearchKey {
    /// `x509`, `pgp`, `minisign`, `ssh` or `tuf`.
    pub format: String,
    /// The key in base64.
    pub content: String,
}

impl RekorV1 {
    /// A server at a URL, which may have a path before `/api/v1`.
    pub fn new(url: &str, options: &Options) -> Result<Self, ClientError> {
        let refused = |problem: String| ClientError::Url { url: url.to_owned(), problem };
        let base = exchange::base_url(url).map_err(refused)?;
        let mut client = bulla_web::client()
            .user_agent(&options.user_agent)
            .connect_timeout(CONNECT.min(options.timeout))
            .timeout(options.timeout);
        if base.host_str().is_some_and(is_loopback) {
            client = client.no_proxy();
        }
        if let Some(token) = &options.token {
            let shown = HeaderValue::try_from(format!("Bearer {token}"));
            let mut shown = shown.map_err(|_| refused("the token fits into no header".to_owned()))?;
            shown.set_sensitive(true);
            client = client.default_headers(HeaderMap::from_iter([(AUTHORIZATION, shown)]));
        }
        let client = client.build().map_err(|error| refused(chain(&error)))?;
        Ok(Self { base, client, retries: options.retries })
    }

    /// The heads of all trees.
    pub async fn info(&self) -> Result<LogInfo, ClientError> {
        self.json(&Request::get("/api/v1/log", MIB)).await
    }

    /// The public key of a tree, or of the one that takes entries.
    pub async fn public_key(&self, tree: Option<u64>) -> Result<LogKey, ClientError> {
        let mut request = Request::get("/api/v1/log/publicKey", 64 << 10);
        request.accept = "application/x-pem-file";
        request.query = tree.map(|tree| ("treeID", tree.to_string())).into_iter().collect();
        let (_, body) = self.send(&request).await?;
        let wrong = |problem: String| self.wrong(&request, format!("the log's key {problem}"));
        let pem = std::str::from_utf8(&body).map_err(|_| wrong("is not text".to_owned()))?;
        LogKey::from_pem(pem).map_err(wrong)
    }

    /// A consistency proof.
    pub async fn proof(
        &self,
        first: u64,
        last: u64,
        tree: Option<u64>,
    ) -> Result<ConsistencyProof, ClientError> {
        let mut request = Request::get("/api/v1/log/proof", 64 << 10);
        request.query = vec![("firstSize", first.to_string()), ("lastSize", last.to_string())];
        request.query.extend(tree.map(|tree| ("treeID", tree.to_string())));
        self.json(&request).await
    }

    /// Proposes an entry.
    pub async fn create(&self, proposed: &RawValue) -> Result<Created, ClientError> {
        let request = Request::entry(proposed, None);
        let (head, body) = self.send(&request).await?;
        self.created(&request, head, &body)
    }

    /// Proposes an entry that is to be added only if the search finds no entry by the digest whose index across all trees is
    /// `since` or more. Of all who ask so of a server that minds it, at most one is answered with [`CreatedOnce::New`].
    pub async fn create_once(
        &self,
        proposed: &RawValue,
        digest: &Hash,
        since: u64,
    ) -> Result<CreatedOnce, ClientError> {
        let request = Request::entry(proposed, Some(Once { digest: *digest, since }));
        let (head, body) = self.send(&request).await?;
        if head.status == StatusCode::PRECONDITION_FAILED {
            let id = self.located(&request, &head)?;
            return Ok(CreatedOnce::Other { location: head.location, id });
        }
        let honoured = head.once == request.once;
        Ok(match self.created(&request, head, &body)? {
            Created::New { entry, location } => CreatedOnce::New { entry, location, honoured },
            Created::Exists { location, id } => CreatedOnce::Exists { location, id },
        })
    }

    fn created(&self, request: &Request, head: Answered, body: &[u8]) -> Result<Created, ClientError> {
        let id = self.located(request, &head);
        if head.status == StatusCode::CONFLICT {
            return Ok(Created::Exists { id: id?, location: head.location });
        }
        let entry: Entry = self.parse(request, body)?;
        if id != Ok(entry.id) {
            let problem = format!("Location is {:?}, the entry is {}", head.location, entry.id);
            return Err(self.wrong(request, problem));
        }
        Ok(Created::New { entry: Box::new(entry), location: head.location })
    }

    /// The name of the entry that an answer leads to.
    fn located(&self, request: &Request, head: &Answered) -> Result<EntryId, ClientError> {
        let id = head.location.rsplit('/').next().unwrap_or_default();
        let id = id.split('?').next().unwrap_or_default();
        EntryId::parse(id)
            .map_err(|problem| self.wrong(request, format!("Location of the entry has {problem}")))
    }

    /// Proposes each version of an entry in turn, until one is not refused as wrong; `refused` hears of those that were.
    pub async fn create_any<'a>(
        &self,
        proposals: &'a [Proposal],
        mut refused: impl FnMut(&ClientError),
    ) -> Result<(Created, &'a Proposal), ClientError> {
        let mut left = proposals.iter().peekable();
        while let Some(proposal) = left.next() {
            match self.create(&proposal.json).await {
                Ok(created) => return Ok((created, proposal)),
                Err(error @ ClientError::Refused { status: StatusCode::BAD_REQUEST, .. })
                    if left.peek().is_some() =>
                {
                    refused(&error);
                }
                Err(error) => return Err(error),
            }
        }
        let url = self.base.to_string();
        Err(ClientError::Url { url, problem: "there is no entry to propose to it".to_owned() })
    }

    /// The entry of that name, if there is one.
    pub async fn entry(&self, id: &EntryId) -> Result<Option<Entry>, ClientError> {
        let mut request = Request::get("/api/v1/log/entries/{entryUUID}", 16 * MIB);
        request.id = Some(*id);
        self.found(&request).await
    }

    /// The entry at that index across all trees, if there is one.
    pub async fn entry_at(&self, index: u64) -> Result<Option<Entry>, ClientError> {
        let mut request = Request::get("/api/v1/log/entries", 16 * MIB);
        request.query = vec![("logIndex", index.to_string())];
        self.found(&request).await
    }

    /// Those entries of the ones asked for that there are.
    pub async fn retrieve(&self, query: &Retrieve<'_>) -> Result<Vec<Entry>, ClientError> {
        self.json(&Request::post("/api/v1/log/entries/retrieve", query, 64 * MIB)).await
    }

    /// The names of the entries that the index has for that.
    pub async fn search(&self, query: &Search) -> Result<Vec<EntryId>, ClientError> {
        Ok(self.search_below(query).await?.0)
    }

    /// The same, and the index below which every entry was looked at, if the server says that.
    pub async fn search_below(&self, query: &Search) -> Result<(Vec<EntryId>, Option<u64>), ClientError> {
        let request = Request::post("/api/v1/index/retrieve", query, 64 * MIB);
        let (head, body) = self.send(&request).await?;
        let ids: Vec<String> = self.parse(&request, &body)?;
        let read = |id: &String| {
            EntryId::parse(id)
                .map_err(|problem| self.wrong(&request, format!("entry ID {id:?} has {problem}")))
        };
        Ok((ids.iter().map(read).collect::<Result<_, _>>()?, head.complete))
    }

    async fn found(&self, request: &Request) -> Result<Option<Entry>, ClientError> {
        match self.json(request).await {
            Ok(entry) => Ok(Some(entry)),
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ClientError> {
        let (_, body) = self.send(request).await?;
        self.parse(request, &body)
    }

    fn parse<T: DeserializeOwned>(&self, request: &Request, body: &[u8]) -> Result<T, ClientError> {
        let refused = |error: serde_json::Error| {
            self.wrong(request, format!("the answer is not as it must be: {error}"))
        };
        serde_json::from_slice(body).map_err(refused)
    }

    fn wrong(&self, request: &Request, problem: String) -> ClientError {
        ClientError::Answer { url: self.url(request).to_string(), problem }
    }

    fn url(&self, request: &Request) -> Url {
        let mut url = self.base.clone();
        let id = request.id.map(|id| id.to_string()).unwrap_or_default();
        let path = request.route.replace("{entryUUID}", &id);
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        url
    }

    /// Asks until there is an answer that is final, or until the attempts are used up.
    async fn send(&self, request: &Request) -> Result<(Answered, bytes::Bytes), ClientError> {
        let url = self.url(request);
        let mut attempt = 0;
        loop {
            let (cause, asked) = match self.attempt(&url, request).await? {
                Attempt::Final(head, body) => return Ok((head, body)),
                Attempt::Again { cause, asked } => (cause, asked),
            };
            if attempt == self.retries {
                return Err(ClientError::Unavailable { url: url.to_string(), cause });
            }
            exchange::pause(attempt, asked).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, url: &Url, request: &Request) -> Result<Attempt, ClientError> {
        let mut sent = self.client.request(request.method(), url.clone());
        sent = sent.header(http::header::ACCEPT, request.accept);
        if let Some(body) = &request.body {
            sent = sent.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if let Some(once) = &request.once {
            sent = sent.header(ENTRY_ONCE, once.to_string());
        }
        let response = match sent.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Again { cause: chain(&error), asked: None }),
        };
        let status = response.status();
        // 501 is what a server says that does not offer this at all.
        if exchange::is_for_now(status) && status != StatusCode::NOT_IMPLEMENTED {
            let asked = exchange::retry_after(&response);
            let said = message(response).await;
            return Ok(Attempt::Again { cause: format!("answered {status}: {said}"), asked });
        }
        let expected = match (&request.body, request.route) {
            (Some(_), ENTRIES) if request.once.is_some() && status == StatusCode::PRECONDITION_FAILED => true,
            (Some(_), ENTRIES) => status == StatusCode::CREATED || status == StatusCode::CONFLICT,
            _ => status == StatusCode::OK,
        };
        if !expected {
            let message = match exchange::redirect(&response) {
                Some(to) => format!("redirects to {to}, give the URL of the log itself"),
                None => message(response).await,
            };
            let (method, route) = (request.method(), request.route);
            return Err(ClientError::Refused { method, route, status, message });
        }
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let location = text(LOCATION).unwrap_or_default().to_owned();
        let once = text(ENTRY_ONCE).and_then(|text| text.parse().ok());
        let complete = response.headers().get("x-complete-tree-size");
        let complete = complete.and_then(|value| value.to_str().ok()?.parse().ok());
        let head = Answered { status, location, once, complete };
        match exchange::read_body(response, request.largest).await {
            Ok(body) => Ok(Attempt::Final(head, body)),
            Err(BodyError::Broken(cause)) => Ok(Attempt::Again { cause, asked: None }),
            Err(BodyError::TooLong) => {
                let problem =
                    format!("the answer has more than the {} bytes that it can have", request.largest);
                Err(ClientError::Answer { url: url.to_string(), problem })
            }
        }
    }
}

enum Attempt {
    Final(Answered, bytes::Bytes),
    Again { cause: String, asked: Option<Duration> },
}

/// What of the answer's head matters.
struct Answered {
    status: StatusCode,
    location: String,
    once: Option<Once>,
    /// How much of the log was searched.
    complete: Option<u64>,
}

/// One request of the API.
struct Request {
    route: &'static str,
    id: Option<EntryId>,
    query: Vec<(&'static str, String)>,
    body: Option<String>,
    once: Option<Once>,
    accept: &'static str,
    largest: usize,
}

impl Request {
    fn get(route: &'static str, largest: usize) -> Self {
        let (query, accept) = (Vec::new(), "application/json");
        Self { route, id: None, query, body: None, once: None, accept, largest }
    }

    /// A proposed entry, perhaps under a condition.
    fn entry(proposed: &RawValue, once: Option<Once>) -> Self {
        Self { body: Some(proposed.get().to_owned()), once, ..Self::get(ENTRIES, 16 * MIB) }
    }

    fn post(route: &'static str, body: &impl Serialize, largest: usize) -> Self {
        // Texts and numbers: their serialisation cannot fail.
        let body = serde_json::to_string(body).unwrap_or_default();
        Self { body: Some(body), ..Self::get(route, largest) }
    }

    fn method(&self) -> Method {
        if self.body.is_some() { Method::POST } else { Method::GET }
    }
}

/// What a server says to what it does not do: the `message` of its JSON, else the beginning of its text.
pub(super) async fn message(response: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        message: String,
    }
    let body = exchange::read_body(response, 64 << 10).await.unwrap_or_default();
    if let Ok(Said { message }) = serde_json::from_slice(&body) {
        return printable(&message);
    }
    printable(&String::from_utf8_lossy(&body))
}

/// The beginning of a text from elsewhere, fit for a terminal.
fn printable(text: &str) -> String {
    let line = text.trim().chars().take(1000).map(|c| if c.is_control() { ' ' } else { c });
    let line: String = line.collect();
    if line.is_empty() { "it said nothing more".to_owned() } else { line }
}

const ENTRIES: &str = "/api/v1/log/entries";
const MIB: usize = 1 << 20;
