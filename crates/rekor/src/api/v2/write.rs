//! `POST /api/v2/log/entries`: an entry comes in, and the proof that it is in the log goes out. 201 and nothing else
//! counts as success with deployed clients.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::response::Response;
use bulla_claims::{DsseRule, Proposed};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::entries::{Proven, json};
use super::refusal::Refusal;
use crate::door::{Door, Duplicates};
use crate::wire::v2::request::{self, RequestError};

/// Handles the request.
pub(super) async fn post(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let body = received(&door, request.into_body()).await?;
    let proposed = request::from_json(&body)?;
    let proven = create(&door, proposed).await?;
    json(StatusCode::CREATED, &door, &proven)
}

/// Admits an entry, has it sequenced, and proves it against the checkpoint that covers it.
pub(crate) async fn create(door: &Door, proposed: Proposed) -> Result<Proven, Refusal> {
    let kind = match &proposed {
        Proposed::HashedRekord(_) => "hashedrekord",
        Proposed::Dsse(_) if matches!(door.settings.rules.dsse, DsseRule::Reject) => {
            let problem =
                "dsseRequestV002 is not accepted, send the digest of the PAE as hashedRekordRequestV002";
            return Err(RequestError::Type(problem).into());
        }
        Proposed::Dsse(_) => "dsse",
    };
    let admitted = bulla_claims::admit(&proposed, &door.settings.rules)
        .map_err(|refusal| RequestError::Invalid { kind, refusal })?;
    let body = Bytes::from(admitted.body);
    let sequenced = door.log.add(body.clone()).await?;
    let index = sequenced.index;
    if sequenced.duplicate && door.settings.duplicates == Duplicates::Refuse {
        return Err(Refusal::Duplicate { index });
    }
    tracing::debug!(index, duplicate = sequenced.duplicate, "entry accepted");
    // Both doors' requests become this kind; see `bulla_claims::admit`.
    let (kind, version) = (Cow::Borrowed("hashedrekord"), Cow::Borrowed("0.0.2"));
    Proven::prove(door, index, kind, version, sequenced.published, body).await
}

/// Receives the whole body, or refuses it: by the length it announces, then by the length it has.
async fn received(door: &Door, body: Body) -> Result<Bytes, Refusal> {
    let (limit, timeout) = (door.settings.max_body_bytes, door.settings.body_timeout);
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    match tokio::time::timeout(timeout, Limited::new(body, limit).collect()).await {
        Err(_elapsed) => Err(Refusal::Slow { seconds: timeout.as_secs() }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge { limit }),
        Ok(Err(error)) => Err(Refusal::Broken(error.to_string())),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}
