//! `POST /api/v1/log/entries/batch`, and what its equivalent under `/api/v2/` shares with it: 1 to 100 proposed entries, each
//! judged by itself, the good ones appended in one commit. 201 says that all of them are new, 207 that some are not, each with
//! its own status; those can be sent again one by one. A request with an `Idempotency-Key` is carried out once.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bulla_claims::entry::v1::Attestation;
use bulla_ledger::Addition;
use bulla_tlog::{Hash, leaf_hash};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::entries::{self, addition, location};
use super::refusal::Refusal;
use super::{json, once, received};
use crate::door::Door;
use crate::idempotency::{Answer, MAX_KEY, Turn};
use crate::shard::Placed;
use crate::wire::v1::id::EntryId;
use crate::wire::v1::request::{self, Document};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which door's entries a batch holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// As `POST /api/v1/log/entries` takes them.
    V1,
    /// As `POST /api/v2/log/entries` takes them.
    V2,
}

/// `POST /api/v1/log/entries/batch`.
pub(super) async fn post(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let body = received(&door, request).await?;
    respond(batch(&door, Api::V1, &headers, &body).await?)
}

/// Handles a batch of either door's entries.
pub(crate) async fn batch(
    door: &Arc<Door>,
    api: Api,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    once::refuse(headers)?;
    let Some((key, kept)) = idempotency_key(headers)?.zip(door.idempotency.as_ref()) else {
        return carry_out(door, api, body, None).await;
    };
    let scope = match api {
        Api::V1 => "v1",
        Api::V2 => "v2",
    };
    let unavailable =
        |error: std::io::Error| Refusal::Unavailable { cause: format!("Idempotency-Key: {error}") };
    match kept.begin(scope, &key, body, virtual_size(door)).map_err(unavailable)? {
        Turn::Again(answer) => Ok(answer),
        Turn::OtherBody => Err(Refusal::OtherBody),
        Turn::Busy => Err(Refusal::Running),
        Turn::Go(running) => match carry_out(door, api, body, running.began_before()).await {
            Ok(answer) => {
                running.answered(answer.clone()).map_err(unavailable)?;
                Ok(answer)
            }
            // What was in doubt stays noted, so that the retry knows its own entries.
            Err(refusal @ Refusal::Unavailable { .. }) => Err(refusal),
            Err(refusal) => {
                running.failed().map_err(unavailable)?;
                Err(refusal)
            }
        },
    }
}

fn virtual_size(door: &Door) -> u64 {
    let active = door.shards.active();
    active.base() + active.log().reader().published().size
}

pub(crate) fn respond(answer: Answer) -> Result<Response, Refusal> {
    let status = StatusCode::from_u16(answer.status);
    let status = status.map_err(|error| Refusal::Corrupt { cause: format!("kept answer: {error}") })?;
    Ok(json(status, answer.body))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Refusal::Argument(format!("Idempotency-Key is not 1 to {MAX_KEY} visible ASCII characters"))
    })
}

/// An entry of a batch that was found good.
struct Judged {
    addition: Addition,
    leaf: Hash,
    attestation: Option<Attestation>,
}

/// What became of an entry.
struct Outcome {
    status: StatusCode,
    at: Option<(EntryId, u64)>,
    error: Option<String>,
}

/// Judges all, adds the good ones, and says what became of each. If an earlier attempt was interrupted, entries at or after
/// the virtual index where it began are its own: new, although they are there already.
async fn carry_out(door: &Arc<Door>, api: Api, body: &Bytes, began: Option<u64>) -> Result<Answer, Refusal> {
    let (judging, body) = (door.clone(), body.clone());
    let judged = door.judging.run(move || -> Result<Vec<Result<Judged, Outcome>>, Refusal> {
        let proposed = request::batch(&body)?;
        Ok(proposed.into_iter().map(|entry| judge(&judging, api, entry)).collect())
    });
    let judged = judged.await??;
    let additions: Vec<_> = judged.iter().flatten().map(|judged| judged.addition.clone()).collect();
    let (added, placed) = {
        let (_active, placed) = door.shards.writing().await;
        let added = if additions.is_empty() { Vec::new() } else { placed.log().add_all(additions).await? };
        (added, placed)
    };
    let mut added = added.into_iter();
    let mut met = HashSet::new();
    let mut outcomes = Vec::with_capacity(judged.len());
    for judged in judged {
        outcomes.push(match judged {
            Err(outcome) => outcome,
            Ok(Judged { leaf, attestation, .. }) => {
                let Some(sequenced) = added.next() else { return Err(Refusal::Stopping) };
                let id = EntryId { tree: placed.tree(), leaf };
                let own = || began.is_some_and(|began| placed.base() + sequenced.index >= began);
                let is_new = met.insert(leaf) && (!sequenced.duplicate || own());
                if is_new {
                    entries::keep(door, &id, attestation);
                }
                outcome(&placed, api, id, sequenced.index, is_new)
            }
        });
    }
    let all_new = outcomes.iter().all(|outcome| outcome.status == StatusCode::CREATED);
    let status = if all_new { StatusCode::CREATED } else { StatusCode::MULTI_STATUS };
    let rows: Vec<Row> = outcomes.into_iter().map(|outcome| outcome.row(api)).collect();
    let rows = serde_json::to_string(&rows).map_err(|error| Refusal::Corrupt { cause: error.to_string() })?;
    let size = placed.log().reader().published().size;
    let body = format!("{{\"entries\":{rows},\"treeID\":\"{}\",\"treeSize\":{size}}}\n", placed.tree());
    Ok(Answer { status: status.as_u16(), body })
}

fn outcome(placed: &Placed, api: Api, id: EntryId, index: u64, is_new: bool) -> Outcome {
    // Each door counts as it always does: v1 through all trees, v2 in the tree.
    let shown = match api {
        Api::V1 => placed.base() + index,
        Api::V2 => index,
    };
    if is_new {
        return Outcome { status: StatusCode::CREATED, at: Some((id, shown)), error: None };
    }
    let error = match api {
        Api::V1 => Refusal::Duplicate(id).to_string(),
        Api::V2 => crate::api::v2::refusal::Refusal::Duplicate { index }.to_string(),
    };
    Outcome { status: StatusCode::CONFLICT, at: Some((id, shown)), error: Some(error) }
}

fn judge(door: &Door, api: Api, entry: &RawValue) -> Result<Judged, Outcome> {
    let (addition, attestation) = match api {
        Api::V1 => {
            let refused = |refusal: Refusal| {
                refusal.note("");
                Outcome { status: refusal.status(), at: None, error: Some(refusal.to_string()) }
            };
            let document = Document::read(entry.get().as_bytes()).map_err(|error| refused(error.into()))?;
            let admitted = entries::admit(door, &document).map_err(refused)?;
            (addition(admitted.body, &admitted.named), admitted.attestation)
        }
        Api::V2 => {
            let refused = |refusal: crate::api::v2::refusal::Refusal| {
                refusal.note("v2", "");
                Outcome { status: refusal.row().0, at: None, error: Some(refusal.to_string()) }
            };
            (crate::api::v2::write::judge(door, entry.get().as_bytes()).map_err(refused)?, None)
        }
    };
    Ok(Judged { leaf: leaf_hash(&addition.leaf), addition, attestation })
}

/// As the answer has it; members in alphabetical order.
#[derive(Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(rename = "logIndex", skip_serializing_if = "Option::is_none")]
    log_index: Option<u64>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
}

impl Outcome {
    fn row(self, api: Api) -> Row {
        let place = self.at.as_ref().map(|(id, _)| match api {
            Api::V1 => location(id),
            Api::V2 => format!("/api/v2/log/entries?leafHash={}", id.leaf),
        });
        Row {
            error: self.error,
            location: place,
            log_index: self.at.as_ref().map(|(_, index)| *index),
            status: self.status.as_u16(),
            uuid: self.at.map(|(id, _)| id.to_string()),
        }
    }
}
