//! `GET /api/v2/log/entries/{index}` and `?leafHash=`: an entry with a fresh proof, in the shape that a write answers.
//! The reference has neither; both live where it answers 404 or 501.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bulla_ledger::Published;
use bulla_tlog::Hash;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use super::read::asked;
use super::refusal::Refusal;
use crate::api::query::parameter;
use crate::door::Door;
use crate::shard::Placed;
use crate::wire::v2::json::decoded;
use crate::wire::v2::response::LogEntry;

/// An entry and the proof that a published checkpoint covers it.
pub(crate) struct Proven {
    shard: Arc<Placed>,
    index: u64,
    kind: Cow<'static, str>,
    version: Cow<'static, str>,
    published: Arc<Published>,
    proof: Vec<Hash>,
    body: Bytes,
}

impl Proven {
    /// Proves an entry against a checkpoint that covers it.
    pub(super) async fn prove(
        shard: Arc<Placed>,
        index: u64,
        kind: Cow<'static, str>,
        version: Cow<'static, str>,
        published: Arc<Published>,
        body: Bytes,
    ) -> Result<Self, Refusal> {
        let proof = shard.log().reader().inclusion_proof(index, published.size).await?;
        Ok(Self { shard, index, kind, version, published, proof, body })
    }

    /// As it is answered.
    pub(crate) fn log_entry(&self) -> Result<LogEntry<'_>, Refusal> {
        Ok(LogEntry {
            index: self.index,
            log_id: self.shard.v2_log_id(),
            kind: &self.kind,
            version: &self.version,
            tree_size: self.published.size,
            root: &self.published.root,
            proof: &self.proof,
            checkpoint: note(&self.published)?,
            body: &self.body,
        })
    }
}

/// The text of a published note.
fn note(published: &Published) -> Result<&str, Refusal> {
    std::str::from_utf8(&published.note)
        .map_err(|error| Refusal::Corrupt { cause: format!("the published checkpoint is not text: {error}") })
}

/// `GET /api/v2/log/entries/{index}`.
pub(super) async fn by_index(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let text = request.uri().path().rsplit('/').next().unwrap_or_default();
    let index = number("index", text)?;
    json(StatusCode::OK, &read(asked(&door, &request), index).await?)
}

/// `GET /api/v2/log/entries?leafHash=`: in the newest shard that has it.
pub(super) async fn by_leaf_hash(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    // Without the parameter the reference's answer stands: this path takes POST.
    let Some(text) = parameter(request.uri().query(), "leafHash") else {
        return Err(Refusal::Method { allowed: super::WRITE_METHODS });
    };
    let hash =
        Hash::from_hex(&text).or_else(|| Hash::from_slice(&decoded(&text).ok()?)).ok_or_else(|| {
            Refusal::Argument(format!(
                "leafHash is {:?}, 32 bytes in hex or base64 are needed",
                shortened(&text)
            ))
        })?;
    for shard in door.shards.all().iter().rev() {
        if let Some(index) = shard.log().reader().find(&hash).await? {
            return json(StatusCode::OK, &read(shard.clone(), index).await?);
        }
    }
    Err(Refusal::Absent(format!("no entry has the leaf hash {hash}")))
}

/// An entry of the log, proven against the checkpoint in force.
async fn read(shard: Arc<Placed>, index: u64) -> Result<Proven, Refusal> {
    let reader = shard.log().reader();
    let published = reader.published();
    if index >= published.size {
        let problem = format!("entry {index} is not in the log, it has {} entries", published.size);
        return Err(Refusal::Absent(problem));
    }
    let body = reader.entry(index).await?;
    let body =
        body.ok_or_else(|| Refusal::Corrupt { cause: format!("published entry {index} is missing") })?;
    let facts = bulla_claims::describe(&body)
        .map_err(|error| Refusal::Corrupt { cause: format!("entry {index} cannot be described: {error}") })?;
    Proven::prove(shard, index, Cow::Owned(facts.kind), Cow::Owned(facts.version), published, body).await
}

/// Answers an entry.
pub(super) fn json(status: StatusCode, proven: &Proven) -> Result<Response, Refusal> {
    let mut response = Response::new(Body::from(proven.log_entry()?.to_json()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The next checkpoint makes a fresher proof.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// A number in decimal, as one writes it.
pub(super) fn number(what: &str, text: &str) -> Result<u64, Refusal> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    canonical.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        Refusal::Argument(format!("{what} is {:?}, a decimal number is needed", shortened(text)))
    })
}

/// As much of a client's text as belongs into a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
