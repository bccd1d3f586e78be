//! `POST /api/v1/log/entries/retrieve`: up to ten entries by ID, by leaf hash, by what they say, by virtual index. What is
//! not there is left out.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bulla_claims::entry::v1 as kinds;
use bulla_tlog::leaf_hash;
use http::StatusCode;

use super::refusal::Refusal;
use super::{entries, json, received};
use crate::door::Door;
use crate::wire::v1::id::Named;
use crate::wire::v1::request::Retrieve;

/// Handles the request.
pub(super) async fn retrieve(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let body = received(&door, request).await?;
    let Retrieve { names, indexes, entries: proposed } = Retrieve::read(&body)?;
    // IDs come first in the answer, then what may be in several trees.
    let (ids, mut leaves): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| matches!(name, Named::Entry(_)));
    for document in &proposed {
        let body = kinds::template(&document.proposed()?, &door.settings.v1.rules)?;
        leaves.push(Named::Leaf(leaf_hash(&body)));
    }
    let mut found = Vec::new();
    for name in ids.into_iter().chain(leaves) {
        found.extend(entries::named(&door, name).await?);
    }
    found.extend(indexes.into_iter().map(|index| door.shards.at(index)));
    let mut text = String::from("[");
    for (placed, index) in found {
        if let Some(proven) = entries::read(&door, &placed, index).await? {
            if text.len() > 1 {
                text.push(',');
            }
            proven.write(&mut text)?;
        }
    }
    text.push_str("]\n");
    Ok(json(StatusCode::OK, text))
}
