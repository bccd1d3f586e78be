//! The log as a whole: its trees and their heads, their keys, and consistency between two sizes of one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::json;
use super::refusal::Refusal;
use crate::api::query::parameter;
use crate::door::Door;
use crate::shard::Placed;
use crate::wire::v1::entry::quoted;
use crate::wire::v1::request;

/// `GET /api/v1/log`: the active tree, and those that have ended, oldest first.
pub(super) async fn info(door: Arc<Door>, _request: Request) -> Result<Response, Refusal> {
    let all = door.shards.all();
    let Some((active, ended)) = all.split_last() else { return Err(Refusal::Absent) };
    let ended: Vec<String> =
        ended.iter().map(|placed| Ok(format!("{{{}}}", tree(placed)?))).collect::<Result<_, Refusal>>()?;
    let ended = if ended.is_empty() { "null".to_owned() } else { format!("[{}]", ended.join(",")) };
    Ok(json(StatusCode::OK, format!("{{\"inactiveShards\":{ended},{}}}\n", tree(active)?)))
}

/// The members that say how a tree is.
fn tree(placed: &Placed) -> Result<String, Refusal> {
    let published = placed.log().reader().published();
    Ok(format!(
        "\"rootHash\":\"{}\",\"signedTreeHead\":{},\"treeID\":\"{}\",\"treeSize\":{}",
        published.root,
        quoted(&placed.v1_checkpoint(&published)?),
        placed.tree(),
        published.size
    ))
}

/// The tree that a query names, else the active one.
fn named_tree(door: &Door, request: &Request) -> Result<Arc<Placed>, Refusal> {
    match request::tree(parameter(request.uri().query(), "treeID").as_deref())? {
        None => Ok(door.shards.active()),
        Some(tree) => door.shards.of_tree(tree).ok_or_else(|| Refusal::unknown_tree(&tree)),
    }
}

/// `GET /api/v1/log/publicKey`: PEM. Clients have no decoder for other content types.
pub(super) async fn public_key(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let placed = named_tree(&door, &request)?;
    let pem = bulla_claims::keys::public_key_pem(placed.v1_spki());
    let mut response = Response::new(Body::from(pem));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PEM_FILE));
    Ok(response)
}

/// Content type of a key.
pub(super) const PEM_FILE: &str = "application/x-pem-file";

/// `GET /api/v1/log/proof?firstSize=&lastSize=&treeID=`: consistency inside a tree. The root is that of the tree as it is
/// now, whatever was asked, as clients know it.
pub(super) async fn consistency(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let query = request.uri().query();
    let last = request::required_number("lastSize", parameter(query, "lastSize").as_deref(), 1)?;
    let first = request::number("firstSize", parameter(query, "firstSize").as_deref(), 1)?.unwrap_or(1);
    let placed = named_tree(&door, &request)?;
    if first > last {
        return Err(Refusal::Argument(format!("firstSize({first}) must be less than lastSize({last})")));
    }
    let reader = placed.log().reader();
    let published = reader.published();
    if last > published.size {
        let now = published.size;
        let problem =
            format!("the tree size requested({last}) was greater than what is currently observable({now})");
        return Err(Refusal::Argument(problem));
    }
    let hashes = if first == last { Vec::new() } else { reader.consistency_proof(first, last).await? };
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("\"{hash}\"")).collect();
    let text = format!("{{\"hashes\":[{}],\"rootHash\":\"{}\"}}\n", hashes.join(","), published.root);
    Ok(json(StatusCode::OK, text))
}
