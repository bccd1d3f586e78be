//! Entries: one is added, read by index or by ID, and proven. What is answered is proven against the checkpoint in it, at
//! the size that it has at that moment.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{self as kinds, Admitted};
use bulla_ledger::{Addition, Published, Sequenced};
use bulla_tlog::tlog_proof::TlogProof;
use bulla_tlog::{Hash, leaf_hash};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};

use super::once::Asked;
use super::refusal::Refusal;
use super::{json, received};
use crate::api::query::parameter;
use crate::door::Door;
use crate::shard::Placed;
use crate::shelf::Durable;
use crate::wire::v1::entry::{Entry, InclusionProof, promise_payload};
use crate::wire::v1::id::{EntryId, Named};
use crate::wire::v1::request::{self, Document};

/// Where an entry is read: a path without a host, which clients join to their base.
pub(super) fn location(id: &EntryId) -> String {
    format!("/api/v1/log/entries/{id}")
}

/// `POST /api/v1/log/entries`.
pub(super) async fn create(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let once = Asked::read(request.headers());
    let body = received(&door, request).await?;
    let once = once?;
    let Admitted { body, named, attestation } = judged(&door, body.clone()).await?;
    let addition = addition(body, &named);
    let leaf = addition.leaf.clone();
    let (sequenced, placed) = {
        let _turn = match &once {
            Some(once) => Some(once.turn(&door, &addition).await?),
            None => None,
        };
        let (_active, placed) = door.shards.writing().await;
        (placed.log().add(addition).await?, placed)
    };
    let id = EntryId { tree: placed.tree(), leaf: leaf_hash(&leaf) };
    if sequenced.duplicate {
        return Err(Refusal::Duplicate(id));
    }
    tracing::debug!(index = sequenced.index, "entry accepted");
    keep(&door, &id, attestation);
    let Sequenced { index, published, .. } = sequenced;
    let mut text = String::new();
    proven(&placed, index, leaf, published).await?.write(&mut text)?;
    text.push('\n');
    let mut response = json(StatusCode::CREATED, text);
    let headers = response.headers_mut();
    // Bare, since clients look their entry up by the header's text.
    headers.insert(ETAG, ascii(id.to_string()));
    headers.insert(LOCATION, ascii(location(&id)));
    if let Some(once) = once {
        once.note_on(headers);
    }
    Ok(response)
}

/// Kinds whose signatures are few and verified in no time, if the request is not long.
const QUICK: [&str; 3] = ["hashedrekord", "dsse", "intoto"];
const QUICK_BYTES: usize = 64 << 10;

/// Judges a proposed entry; one that may take long, off the threads that serve connections.
async fn judged(door: &Arc<Door>, body: Bytes) -> Result<Admitted, Refusal> {
    let document = Document::read(&body)?;
    if body.len() <= QUICK_BYTES && QUICK.contains(&document.kind()) {
        return admit(door, &document);
    }
    let judge = door.clone();
    door.judging.run(move || admit(&judge, &Document::read(&body)?)).await?
}

/// Judges a proposed entry.
pub(super) fn admit(door: &Door, document: &Document<'_>) -> Result<Admitted, Refusal> {
    // Of all that may be wrong this is told first, as the reference server does.
    if !kinds::kinds().any(|(name, _)| name == document.kind()) {
        return Err(Refusal::Kind { kind: document.kind().chars().take(80).collect() });
    }
    let admitted = kinds::admit(&document.proposed()?, &door.settings.v1.rules)?;
    door.settings.guard.judge(&admitted.body)?;
    Ok(admitted)
}

/// A leaf with the digests that are named beside it.
pub(crate) fn addition(body: Vec<u8>, named: &[String]) -> Addition {
    Addition { leaf: body.into(), aside: named.join("\n").into() }
}

/// Keeps the content that an entry has only the hash of. The entry is in the log whether or not that works.
pub(super) fn keep(door: &Door, id: &EntryId, attestation: Option<kinds::Attestation>) {
    let Some(kinds::Attestation { bytes, .. }) = attestation else { return };
    let Some(shelf) = &door.attestations else { return };
    if bytes.len() > door.settings.v1.max_attestation_bytes {
        tracing::debug!(%id, bytes = bytes.len(), "attestation is too long to be kept");
        return;
    }
    if let Err(error) = shelf.put(&id.leaf, &bytes, Durable::Sometime) {
        tracing::warn!(%id, %error, "attestation cannot be kept");
        metrics::counter!("bulla_attestations_lost_total").increment(1);
    }
}

fn ascii(text: String) -> HeaderValue {
    // Made of digits and slashes only.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// An entry and the proof that a checkpoint covers it.
pub(super) struct Proven {
    placed: Arc<Placed>,
    index: u64,
    body: Bytes,
    at: u64,
    proof: Proof,
    attestation: Option<Vec<u8>>,
}

/// That an entry is in a tree.
pub(super) struct Proof {
    index: u64,
    checkpoint: Arc<str>,
    hashes: Vec<Hash>,
    root: Hash,
    size: u64,
}

impl Proof {
    fn object(&self) -> InclusionProof<'_> {
        let Self { index, checkpoint, hashes, root, size } = self;
        InclusionProof { checkpoint, hashes, index: *index, root: *root, size: *size }
    }
}

impl Proven {
    /// The entry's ID.
    pub(super) fn id(&self) -> EntryId {
        EntryId { tree: self.placed.tree(), leaf: leaf_hash(&self.body) }
    }

    /// Signs the promise and writes the entry.
    pub(super) fn write(&self, out: &mut String) -> Result<(), Refusal> {
        let log_id = self.placed.v1_log_id();
        let virtual_index = self.placed.base() + self.index;
        let body = STANDARD.encode(&self.body);
        let payload = promise_payload(&body, self.at, log_id, virtual_index);
        let promise = self.placed.promise(payload.as_bytes())?;
        out.reserve(payload.len() + 2048);
        let entry = Entry {
            id: self.id(),
            body: &body,
            integrated_at: self.at,
            log_id,
            virtual_index,
            promise: &promise,
            proof: self.proof.object(),
            attestation: self.attestation.as_deref(),
        };
        entry.write(out);
        Ok(())
    }
}

/// Proves an entry whose leaf is at hand.
pub(super) async fn proven(
    placed: &Arc<Placed>,
    index: u64,
    body: Bytes,
    published: Arc<Published>,
) -> Result<Proven, Refusal> {
    let at = placed.log().reader().integrated_at(index).await?;
    let at = at.ok_or_else(|| missing(placed, index))?;
    let proof = prove(placed, index, &published).await?;
    Ok(Proven { placed: placed.clone(), index, body, at, proof, attestation: None })
}

/// The proof of an entry against a published checkpoint.
async fn prove(placed: &Placed, index: u64, published: &Published) -> Result<Proof, Refusal> {
    let hashes = placed.log().reader().inclusion_proof(index, published.size).await?;
    let checkpoint = placed.v1_checkpoint(published)?;
    Ok(Proof { index, checkpoint, hashes, root: published.root, size: published.size })
}

fn missing(placed: &Placed, index: u64) -> Refusal {
    Refusal::Corrupt { cause: format!("published entry {index} of tree {} is missing", placed.tree()) }
}

/// An entry with what is kept of its content, proven against the checkpoint in force; `None` beyond the tree's end.
pub(super) async fn read(door: &Door, placed: &Arc<Placed>, index: u64) -> Result<Option<Proven>, Refusal> {
    let reader = placed.log().reader();
    let published = reader.published();
    if index >= published.size {
        return Ok(None);
    }
    let body = reader.entry(index).await?.ok_or_else(|| missing(placed, index))?;
    let mut proven = proven(placed, index, body, published).await?;
    proven.attestation = kept(door, &proven);
    Ok(Some(proven))
}

/// What is kept of an entry's content.
fn kept(door: &Door, proven: &Proven) -> Option<Vec<u8>> {
    let shelf = door.attestations.as_ref()?;
    if !ATTESTED.iter().any(|kind| proven.body.get(..60).is_some_and(|start| contains(start, kind))) {
        return None;
    }
    shelf.take_down(&proven.id().leaf).unwrap_or_else(|error| {
        tracing::warn!(id = %proven.id(), %error, "attestation cannot be read");
        None
    })
}

/// Kinds whose bodies have only the hash of what was signed, as the start of a canonical body says it.
const ATTESTED: [&[u8]; 2] = [br#""kind":"intoto","#, br#""kind":"cose","#];

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Every entry of that name: an ID has at most one, a leaf hash one in each tree that has it, the newest tree first.
pub(super) async fn named(door: &Door, name: Named) -> Result<Vec<(Arc<Placed>, u64)>, Refusal> {
    let (trees, leaf) = match name {
        Named::Entry(id) => (door.shards.of_tree(id.tree).into_iter().collect(), id.leaf),
        Named::Leaf(leaf) => (door.shards.all().iter().rev().cloned().collect::<Vec<_>>(), leaf),
    };
    let mut found = Vec::new();
    for placed in trees {
        if let Some(index) = placed.log().reader().find(&leaf).await? {
            found.push((placed, index));
        }
    }
    Ok(found)
}

/// Answers one entry.
async fn answer(door: &Door, placed: &Arc<Placed>, index: u64) -> Result<Response, Refusal> {
    let proven = read(door, placed, index).await?.ok_or(Refusal::Absent)?;
    let mut text = String::new();
    proven.write(&mut text)?;
    text.push('\n');
    Ok(json(StatusCode::OK, text))
}

/// `GET /api/v1/log/entries?logIndex=`.
pub(super) async fn by_index(door: Arc<Door>, virtual_index: u64) -> Result<Response, Refusal> {
    let (placed, index) = door.shards.at(virtual_index);
    answer(&door, &placed, index).await
}

/// `GET /api/v1/log/entries/{entryUUID}`, and with `.tlog-proof` behind it the proof as a file.
pub(super) async fn by_id(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let text = request.uri().path().rsplit('/').next().unwrap_or_default();
    let (text, as_file) = match text.strip_suffix(PROOF_FILE) {
        Some(text) => (text, true),
        None => (text, false),
    };
    let name = request::name("entryUUID in path", text)?;
    let found = named(&door, name).await?;
    let (placed, index) = found.first().ok_or(Refusal::Absent)?;
    if as_file {
        return proof_file(placed, *index).await;
    }
    answer(&door, placed, *index).await
}

/// How the path of a proof as a file ends.
pub(super) const PROOF_FILE: &str = ".tlog-proof";

/// The proof of an entry with the cosigned v2 checkpoint, to be kept beside the artifact (C2SP tlog-proof).
async fn proof_file(placed: &Placed, index: u64) -> Result<Response, Refusal> {
    let reader = placed.log().reader();
    let published = reader.published();
    let hashes = reader.inclusion_proof(index, published.size).await?;
    let checkpoint = String::from_utf8_lossy(&published.note).into_owned();
    let file = TlogProof { extra: None, index, hashes, checkpoint }.to_string();
    let mut response = Response::new(Body::from(file));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// `GET /api/v1/log/entries/{entryUUID}/proof?treeSize=`: the inclusion proof object against the tree in force, or against
/// an earlier one, whose head is signed anew.
pub(super) async fn proof(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let path = request.uri().path();
    let text = path.trim_end_matches("/proof").rsplit('/').next().unwrap_or_default();
    let name = request::name("entryUUID in path", text)?;
    let size = request::number("treeSize", parameter(request.uri().query(), "treeSize").as_deref(), 1)?;
    let found = named(&door, name).await?;
    let (placed, index) = found.first().ok_or(Refusal::Absent)?;
    let reader = placed.log().reader();
    let published = reader.published();
    let proof = match size.filter(|size| *size != published.size) {
        None => prove(placed, *index, &published).await?,
        Some(size) if size > published.size => {
            let problem = format!(
                "the tree size requested({size}) was greater than what is currently observable({})",
                published.size
            );
            return Err(Refusal::Argument(problem));
        }
        Some(size) if size <= *index => {
            let problem =
                format!("treeSize is {size}, the entry has index {index}: ask for at least {}", index + 1);
            return Err(Refusal::Argument(problem));
        }
        Some(size) => {
            let root = reader.root(size).await?;
            let hashes = reader.inclusion_proof(*index, size).await?;
            let checkpoint = placed.v1_head(size, &root)?.into();
            Proof { index: *index, checkpoint, hashes, root, size }
        }
    };
    let mut text = String::new();
    proof.object().write(&mut text);
    text.push('\n');
    Ok(json(StatusCode::OK, text))
}
