//! `POST /api/v2/log/entries`: an entry comes in, and the proof that it is in the log goes out. 201 and nothing else
//! counts as success with deployed clients.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bulla_claims::{DsseRule, Proposed};
use bulla_ledger::Addition;
use http::StatusCode;

use super::entries::{Proven, json};
use super::refusal::Refusal;
use crate::api::body::received;
use crate::api::v1;
use crate::door::{Door, Duplicates};
use crate::wire::v2::request::{self, RequestError};

/// Handles the request.
pub(super) async fn post(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let body = received(&door.settings, &door.room, request.into_body()).await?;
    let proposed = request::from_json(&body)?;
    let proven = create(&door, proposed).await?;
    json(StatusCode::CREATED, &proven)
}

/// `POST /api/v2/log/entries/batch`: see the v1 door's, whose answer it has.
pub(super) async fn batch(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let body = received(&door.settings, &door.room, request.into_body()).await?;
    let answer = v1::batch::batch(&door, v1::batch::Api::V2, &headers, &body).await?;
    Ok(v1::batch::respond(answer)?)
}

/// Admits an entry, has it sequenced, and proves it against the checkpoint that covers it.
pub(crate) async fn create(door: &Door, proposed: Proposed) -> Result<Proven, Refusal> {
    let addition = admit(door, &proposed)?;
    let body = addition.leaf.clone();
    let (sequenced, shard) = {
        let (_active, shard) = door.shards.writing().await;
        (shard.log().add(addition).await?, shard)
    };
    let index = sequenced.index;
    if sequenced.duplicate && door.settings.duplicates == Duplicates::Refuse {
        return Err(Refusal::Duplicate { index });
    }
    tracing::debug!(index, duplicate = sequenced.duplicate, "entry accepted");
    // Both types of requests become this kind; see `bulla_claims::admit`.
    let (kind, version) = (Cow::Borrowed("hashedrekord"), Cow::Borrowed("0.0.2"));
    Proven::prove(shard, index, kind, version, sequenced.published, body).await
}

/// Judges an entry of a batch.
pub(crate) fn judge(door: &Door, json: &[u8]) -> Result<Addition, Refusal> {
    admit(door, &request::from_json(json)?)
}

/// Judges a proposed entry and makes its leaf.
fn admit(door: &Door, proposed: &Proposed) -> Result<Addition, Refusal> {
    let kind = match proposed {
        Proposed::HashedRekord(_) => "hashedrekord",
        Proposed::Dsse(_) if matches!(door.settings.rules.dsse, DsseRule::Reject) => {
            let problem =
                "dsseRequestV002 is not accepted, send the digest of the PAE as hashedRekordRequestV002";
            return Err(RequestError::Type(problem).into());
        }
        Proposed::Dsse(_) => "dsse",
    };
    if !door.settings.v1.rules.kinds.iter().any(|enabled| enabled == kind) {
        let problem = match proposed {
            Proposed::HashedRekord(_) => {
                "hashedRekordRequestV002 is not enabled for submission on this server"
            }
            Proposed::Dsse(_) => "dsseRequestV002 is not enabled for submission on this server",
        };
        return Err(RequestError::Type(problem).into());
    }
    let admitted = bulla_claims::admit(proposed, &door.settings.rules)
        .map_err(|refusal| RequestError::Invalid { kind, refusal })?;
    door.settings.guard.judge(&admitted.body)?;
    Ok(v1::addition(admitted.body, &admitted.named))
}
