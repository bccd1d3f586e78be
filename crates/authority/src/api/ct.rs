//! The doors of the certificate transparency log: the static API (C2SP static-ct-api) and RFC 6962 §4, below the submission
//! prefix. Problems are answered as plain text. What is in the log already is logged again when it is submitted again, which
//! RFC 6962 §4.1 allows.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_ledger::ReadError;
use bulla_tlog::{Hash, sha256};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::api::body::{Unread, received};
use crate::ct::{AddChainResponse, CertificateLog, CtError, Kind, LoggedEntry, MAX_CHAIN};

/// The most bytes of a submission.
pub const MAX_BODY: usize = 512 << 10;
/// The most entries in one answer.
pub const MAX_ENTRIES: u64 = 256;

/// Whose certificates are taken over HTTP. What is logged stays for ever, so an open log is for those who watch its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Submissions {
    /// Nobody's: the authority in this process is the only one that submits.
    Closed,
    /// Everybody's that lead to an accepted root.
    Open,
}

/// The routes below the submission prefix.
pub fn routes(state: Arc<CertificateLog>, submissions: Submissions) -> Router {
    let door = Arc::new(Door { log: state, submissions, room: Semaphore::new(IN_WORK) });
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/issuer/{hash}", get(issuer))
        .route("/ct/v1/add-chain", post(add_chain))
        .route("/ct/v1/add-pre-chain", post(add_pre_chain))
        .route("/ct/v1/get-sth", get(tree_head))
        .route("/ct/v1/get-sth-consistency", get(consistency))
        .route("/ct/v1/get-proof-by-hash", get(proof_by_hash))
        .route("/ct/v1/get-entries", get(entries))
        .route("/ct/v1/get-roots", get(roots))
        .route("/ct/v1/get-entry-and-proof", get(entry_and_proof))
        .with_state(door)
}

/// The log, and room for submissions in work.
struct Door {
    log: Arc<CertificateLog>,
    submissions: Submissions,
    room: Semaphore,
}

/// Why there is no answer.
enum Trouble {
    Bad(String),
    Closed,
    Ended,
    Absent(String),
    Body(Unread),
    Unavailable(String),
    Corrupt(String),
}

type Answer = Result<Response, Trouble>;

async fn checkpoint(State(door): State<Arc<Door>>, asked: HeaderMap) -> Answer {
    let bytes = door.log.reader().published().note.clone();
    let etag = format!("\"{}\"", &sha256(&bytes).to_string()[..32]);
    Ok(object(bytes, &etag, "text/plain; charset=utf-8", "no-cache", &asked))
}

async fn tile(State(door): State<Arc<Door>>, Path(path): Path<String>, asked: HeaderMap) -> Answer {
    match door.log.tile(&format!("tile/{path}")).await? {
        Some((_, tile)) => Ok(object(tile.bytes, &tile.etag, OCTETS, YEAR, &asked)),
        None => Err(Trouble::Absent(format!(
            "the log has {} entries, no tile of them is there",
            door.log.reader().published().size
        ))),
    }
}

async fn issuer(State(door): State<Arc<Door>>, Path(hash): Path<String>, asked: HeaderMap) -> Answer {
    let absent = || Trouble::Absent("no issuer has that SHA-256 in lower case hexadecimal digits".to_owned());
    // One spelling, so that caches see one object.
    let known = Hash::from_hex(&hash).filter(|known| known.to_string() == hash).ok_or_else(absent)?;
    let der = door.log.issuer(known).await?.ok_or_else(absent)?;
    Ok(object(der, &format!("\"{}\"", &hash[..32]), "application/pkix-cert", YEAR, &asked))
}

async fn add_chain(State(door): State<Arc<Door>>, body: Body) -> Answer {
    add(&door, Kind::Certificate, body).await
}

async fn add_pre_chain(State(door): State<Arc<Door>>, body: Body) -> Answer {
    add(&door, Kind::Precertificate, body).await
}

async fn add(door: &Door, kind: Kind, body: Body) -> Answer {
    if door.log.has_ended() {
        return Err(Trouble::Ended);
    }
    if door.submissions == Submissions::Closed {
        return Err(Trouble::Closed);
    }
    let _room = door.room.try_acquire().map_err(|_| {
        Trouble::Unavailable(format!("{IN_WORK} submissions are in work, no more are taken at a time"))
    })?;
    let body = received(body, MAX_BODY).await?;
    let chain = parse_chain(&body).map_err(Trouble::Bad)?;
    let sct = door.log.submit(kind, &chain).await?;
    Ok(json(&AddChainResponse::from(&sct)))
}

/// Reads the body of `add-chain` and `add-pre-chain`: at most [`MAX_CHAIN`] certificates, DER.
pub fn parse_chain(body: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    #[derive(Deserialize)]
    struct Submission<'a> {
        #[serde(borrow)]
        chain: Vec<std::borrow::Cow<'a, str>>,
    }
    let submission: Submission<'_> = serde_json::from_slice(body)
        .map_err(|error| format!("body is not JSON like {{\"chain\": [base64 DER, …]}}: {error}"))?;
    if submission.chain.is_empty() || submission.chain.len() > MAX_CHAIN {
        let count = submission.chain.len();
        return Err(format!("chain has {count} certificates, 1 to {MAX_CHAIN} were expected"));
    }
    let decode = |(number, text): (usize, &std::borrow::Cow<'_, str>)| {
        STANDARD.decode(text.as_bytes()).map_err(|_| format!("certificate {number} is not standard base64"))
    };
    submission.chain.iter().enumerate().map(decode).collect()
}

async fn tree_head(State(door): State<Arc<Door>>) -> Answer {
    let head = door.log.tree_head()?;
    Ok(json(&json!({
        "tree_size": head.size,
        "timestamp": head.timestamp,
        "sha256_root_hash": head.root.to_base64(),
        "tree_head_signature": STANDARD.encode(&head.signature),
    })))
}

async fn consistency(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let asked = Asked::of(&uri)?;
    let (first, second) = (asked.number("first")?, asked.number("second")?);
    let size = door.log.reader().published().size;
    if first > second || second > size {
        let problem = format!("first is {first} and second is {second}, first <= second <= {size} is needed");
        return Err(Trouble::Bad(problem));
    }
    let proof = door.log.reader().consistency_proof(first, second).await?;
    Ok(json(&json!({ "consistency": base64(&proof) })))
}

async fn proof_by_hash(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let asked = Asked::of(&uri)?;
    let hash = asked.text("hash")?;
    // What decodes a form takes plus signs for spaces, which base64 does not have.
    let hash = Hash::from_base64(&hash.replace(' ', "+"))
        .ok_or_else(|| Trouble::Bad(format!("hash is {hash:?}, 32 bytes in base64 were expected")))?;
    let size = door.tree_size(asked.number("tree_size")?)?;
    let index = door.log.reader().find(&hash).await?.filter(|index| *index < size);
    let index = index.ok_or_else(|| Trouble::Absent(format!("no leaf of the first {size} has that hash")))?;
    let path = door.log.reader().inclusion_proof(index, size).await?;
    Ok(json(&json!({ "leaf_index": index, "audit_path": base64(&path) })))
}

async fn entries(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let asked = Asked::of(&uri)?;
    let (start, end) = (asked.number("start")?, asked.number("end")?);
    let size = door.log.reader().published().size;
    if start > end || start >= size {
        let problem =
            format!("start is {start} and end is {end}, start <= end and start < {size} are needed");
        return Err(Trouble::Bad(problem));
    }
    let most = (end - start).saturating_add(1).min(MAX_ENTRIES);
    let entries = door.log.entries(start, most as usize).await?;
    let entries: Vec<_> = entries.iter().map(written).collect();
    Ok(json(&json!({ "entries": entries })))
}

async fn roots(State(door): State<Arc<Door>>) -> Answer {
    let roots: Vec<_> = door.log.roots().certificates().map(|der| STANDARD.encode(der)).collect();
    Ok(json(&json!({ "certificates": roots })))
}

async fn entry_and_proof(State(door): State<Arc<Door>>, uri: Uri) -> Answer {
    let asked = Asked::of(&uri)?;
    let (index, size) = (asked.number("leaf_index")?, door.tree_size(asked.number("tree_size")?)?);
    if index >= size {
        let problem = format!("leaf_index is {index}, it must be below the tree_size {size}");
        return Err(Trouble::Bad(problem));
    }
    let entries = door.log.entries(index, 1).await?;
    let entry = entries.first().ok_or_else(|| Trouble::Corrupt(format!("entry {index} is missing")))?;
    let path = door.log.reader().inclusion_proof(index, size).await?;
    let mut answer = written(entry);
    answer["audit_path"] = json!(base64(&path));
    Ok(json(&answer))
}

fn written(entry: &LoggedEntry) -> Value {
    json!({
        "leaf_input": STANDARD.encode(&entry.leaf_input),
        "extra_data": STANDARD.encode(&entry.extra_data),
    })
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_base64).collect()
}

impl Door {
    /// A tree size that proofs can be of.
    fn tree_size(&self, asked: u64) -> Result<u64, Trouble> {
        let size = self.log.reader().published().size;
        if (1..=size).contains(&asked) {
            return Ok(asked);
        }
        Err(Trouble::Bad(format!("tree_size is {asked}, 1 to {size} was expected")))
    }
}

/// The parameters of a request.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(uri: &Uri) -> Result<Self, Trouble> {
        let Query(parameters) = Query::try_from_uri(uri).map_err(|error| Trouble::Bad(error.to_string()))?;
        Ok(Self(parameters))
    }

    fn text(&self, name: &str) -> Result<&str, Trouble> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(Trouble::Bad(format!("{name} is missing"))),
            (Some(_), Some(_)) => Err(Trouble::Bad(format!("{name} is given more than once"))),
        }
    }

    fn number(&self, name: &str) -> Result<u64, Trouble> {
        let text = self.text(name)?;
        let digits = text.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| Trouble::Bad(format!("{name} is {text:?}, a decimal number was expected")))
    }
}

/// Answers with something that does not change, or is revalidated by its tag (RFC 9110 §13).
fn object(bytes: Bytes, etag: &str, kind: &'static str, cache: &'static str, asked: &HeaderMap) -> Response {
    let headers = [(ETAG, etag), (CACHE_CONTROL, cache), (CONTENT_TYPE, kind)]
        .map(|(name, value): (HeaderName, &str)| (name, value.to_owned()));
    let tags = asked.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let known = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == etag;
    if tags.is_some_and(|tags| tags.split(',').any(|tag| known(tag.trim()))) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, bytes).into_response()
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Trouble::Corrupt(error.to_string()).into_response(),
    }
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        Self::Body(unread)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) => Self::Unavailable(cause),
            ReadError::Corrupt(cause) => Self::Corrupt(cause),
        }
    }
}

impl From<CtError> for Trouble {
    fn from(error: CtError) -> Self {
        match error {
            CtError::Unavailable(cause) => Self::Unavailable(cause),
            CtError::Refused(problem) => Self::Bad(problem),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, problem) = match self {
            Self::Bad(problem) => (StatusCode::BAD_REQUEST, problem),
            Self::Closed => (
                StatusCode::FORBIDDEN,
                "this log takes the certificates of its own authority, nobody else's".to_owned(),
            ),
            Self::Ended => (
                StatusCode::FORBIDDEN,
                "this log has ended and takes nothing more: another one follows it".to_owned(),
            ),
            Self::Absent(problem) => (StatusCode::NOT_FOUND, problem),
            Self::Body(unread) => (unread.status(), unread.to_string()),
            Self::Unavailable(cause) => {
                tracing::warn!(cause, "certificate transparency log unavailable");
                let headers = [(RETRY_AFTER, "1"), (CONTENT_TYPE, TEXT)];
                let problem = "the log is not available now, try again\n";
                return (StatusCode::SERVICE_UNAVAILABLE, headers, problem).into_response();
            }
            Self::Corrupt(cause) => {
                tracing::error!(cause, "certificate transparency log is damaged");
                (StatusCode::INTERNAL_SERVER_ERROR, "the log is damaged".to_owned())
            }
        };
        (status, [(CONTENT_TYPE, TEXT)], problem + "\n").into_response()
    }
}

/// Submissions in work at a time: with their bodies and chains at most about 64 MiB.
const IN_WORK: usize = 64;
const TEXT: &str = "text/plain; charset=utf-8";
const OCTETS: &str = "application/octet-stream";
const YEAR: &str = "public, max-age=31536000, immutable";
