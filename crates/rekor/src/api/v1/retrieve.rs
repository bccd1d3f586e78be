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

/// What is asked for, by name and by index: IDs first, then what may be in several trees. Entries that are asked for by what
/// they say are judged for it.
fn sought(body: &[u8], rules: &kinds::Rules) -> Result<(Vec<Named>, Vec<u64>), Refusal> {
    let Retrieve { mut names, indexes, entries: proposed } = Retrieve::read(body)?;
    names.sort_by_key(|name| matches!(name, Named::Leaf(_)));
    for document in &proposed {
        let body = kinds::template(&document.proposed()?, rules)?;
        names.push(Named::Leaf(leaf_hash(&body)));
    }
    Ok((names, indexes))
}

/// Handles the request.
pub(super) async fn retrieve(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let body = received(&door, request).await?;
    let judges = !Retrieve::read(&body)?.entries.is_empty();
    let (names, indexes) = if judges {
        let judge = door.clone();
        door.judging.run(move || sought(&body, &judge.settings.v1.rules)).await??
    } else {
        sought(&body, &door.settings.v1.rules)?
    };
    let mut found = Vec::new();
    for name in names {
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
