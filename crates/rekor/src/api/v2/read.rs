//! The read side, under the bare and the `/api/v2/` prefix: checkpoint, tiles, entry bundles (C2SP tlog-tiles), the trust
//! documents, and ours on top of it: checkpoint history and consistency proofs.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bulla_ledger::Kept;
use bulla_tlog::TileId;
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Serialize;

use super::entries::number;
use super::refusal::Refusal;
use crate::api::query::parameter;
use crate::door::{Document, Door, entity_tag};
use crate::shard::{Placed, Shard};

const OCTETS: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const REVALIDATE: &str = "no-cache";
const YEAR: &str = "public, max-age=31536000, immutable";
const WEEK: &str = "public, max-age=604800, immutable";

/// What is served, and how long others may keep it.
struct Object {
    bytes: Bytes,
    etag: Arc<str>,
    content_type: &'static str,
    cache_control: &'static str,
}

/// The shard that a request is about: the one that its path named, else the active one.
pub(super) fn asked(door: &Door, request: &Request) -> Arc<Placed> {
    request.extensions().get::<Arc<Placed>>().cloned().unwrap_or_else(|| door.shards.active())
}

/// `GET checkpoint`.
pub(super) async fn checkpoint(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let bytes = asked(&door, &request).log().reader().published().note.clone();
    let etag = entity_tag(&bytes);
    let object = Object { bytes, etag, content_type: TEXT, cache_control: REVALIDATE };
    answered(object, request.method(), request.headers())
}

/// `GET tile/…`, hashes and entry bundles, full and partial.
pub(super) async fn tile(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let path = request.uri().path();
    let path = path.strip_prefix(super::PREFIX).unwrap_or(path).trim_start_matches('/');
    let id = TileId::parse(path).map_err(|_| Refusal::UnknownPath)?;
    let shard = asked(&door, &request);
    let tile = shard.log().reader().tile(id).await?.ok_or_else(|| beyond(&shard, id))?;
    let cache_control = if id.is_full() { YEAR } else { WEEK };
    let object = Object { bytes: tile.bytes, etag: tile.etag, content_type: OCTETS, cache_control };
    answered(object, request.method(), request.headers())
}

/// The refusal of a tile that the published tree does not imply.
pub(crate) fn beyond(shard: &Shard, id: TileId) -> Refusal {
    let size = shard.log().reader().published().size;
    Refusal::Absent(format!("the log has {size} entries, {id} is beyond them"))
}

/// `GET trusted_root.json`.
pub(super) async fn trusted_root(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    document(&door.trust.load().trusted_root, &request)
}

/// `GET signing_config.v0.2.json`.
pub(super) async fn signing_config(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    document(&door.trust.load().signing_config, &request)
}

fn document(document: &Document, request: &Request) -> Result<Response, Refusal> {
    let Document { bytes, etag } = document.clone();
    let object = Object { bytes, etag, content_type: JSON, cache_control: REVALIDATE };
    answered(object, request.method(), request.headers())
}

/// A page of the checkpoint history. Numbers are strings, as everywhere in this API.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryPage<'a> {
    page: String,
    checkpoints: Vec<HistoryEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryEntry<'a> {
    tree_size: String,
    published_at: String,
    checkpoint: std::borrow::Cow<'a, str>,
}

/// `GET /api/v2/checkpoints?page=N`: the checkpoints that were kept, oldest first.
pub(super) async fn history(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let page = match parameter(request.uri().query(), "page") {
        Some(text) => number("page", &text)?,
        None => 0,
    };
    let kept = match asked(&door, &request).log().reader().history(page).await? {
        None if page > 0 => {
            return Err(Refusal::Absent(format!("the checkpoint history has no page {page}")));
        }
        kept => kept.unwrap_or_default(),
    };
    let checkpoints = kept.iter().map(HistoryEntry::from).collect();
    json(&HistoryPage { page: page.to_string(), checkpoints }, &request)
}

impl<'a> From<&'a Kept> for HistoryEntry<'a> {
    fn from(kept: &'a Kept) -> Self {
        // A time that no calendar has was never written by us.
        let at = i64::try_from(kept.at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        HistoryEntry {
            tree_size: kept.size.to_string(),
            published_at: at.unwrap_or_default().to_string(),
            checkpoint: String::from_utf8_lossy(&kept.note),
        }
    }
}

/// `GET /api/v2/checkpoint/{size}`: the kept checkpoint of that tree size, as it was served.
pub(super) async fn checkpoint_of_size(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let size = number("tree size", request.uri().path().rsplit('/').next().unwrap_or_default())?;
    let shard = asked(&door, &request);
    let published = shard.log().reader().published();
    let bytes =
        if published.size == size { Some(published.note.clone()) } else { kept(&shard, size).await? };
    let bytes =
        bytes.ok_or_else(|| Refusal::Absent(format!("no checkpoint of tree size {size} was kept")))?;
    let etag = entity_tag(&bytes);
    let object = Object { bytes, etag, content_type: TEXT, cache_control: REVALIDATE };
    answered(object, request.method(), request.headers())
}

/// The note kept for a tree size. Sizes grow along the history, so pages are found by doubling and then halving.
async fn kept(shard: &Shard, size: u64) -> Result<Option<Bytes>, Refusal> {
    let reader = shard.log().reader();
    let starts_later = async |page: u64| -> Result<bool, Refusal> {
        Ok(reader.history(page).await?.is_none_or(|kept| kept.first().is_none_or(|first| first.size > size)))
    };
    let mut above = 1;
    while !starts_later(above).await? {
        above *= 2;
    }
    let mut below = above / 2;
    while above - below > 1 {
        let middle = below + (above - below) / 2;
        if starts_later(middle).await? { above = middle } else { below = middle }
    }
    let page = reader.history(below).await?.unwrap_or_default();
    Ok(page.into_iter().rfind(|kept| kept.size == size).map(|kept| kept.note))
}

/// A consistency proof.
#[derive(Serialize)]
struct Consistency {
    old: String,
    new: String,
    hashes: Vec<String>,
}

/// `GET /api/v2/proof/consistency?old=&new=`; without `new` up to the published size.
pub(super) async fn consistency(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let query = request.uri().query();
    let shard = asked(&door, &request);
    let size = shard.log().reader().published().size;
    let Some(old) = parameter(query, "old") else {
        return Err(Refusal::Argument(String::from("old is missing, a tree size is needed")));
    };
    let old = number("old", &old)?;
    let new = parameter(query, "new").map_or(Ok(size), |new| number("new", &new))?;
    if old == 0 || old > new || new > size {
        let problem = format!("old is {old} and new is {new}, 0 < old <= new <= {size} is needed");
        return Err(Refusal::Argument(problem));
    }
    let hashes = shard.log().reader().consistency_proof(old, new).await?;
    let hashes = hashes.iter().map(bulla_tlog::Hash::to_base64).collect();
    json(&Consistency { old: old.to_string(), new: new.to_string(), hashes }, &request)
}

fn json(value: &impl Serialize, request: &Request) -> Result<Response, Refusal> {
    let bytes = serde_json::to_vec(value).map_err(|error| Refusal::Corrupt { cause: error.to_string() })?;
    let etag = entity_tag(&bytes);
    let bytes = Bytes::from(bytes);
    let object = Object { bytes, etag, content_type: JSON, cache_control: REVALIDATE };
    answered(object, request.method(), request.headers())
}

/// Answers a GET or HEAD of an object: whole, not modified, or a range of it (RFC 9110 §13, §14).
fn answered(object: Object, method: &Method, asked: &HeaderMap) -> Result<Response, Refusal> {
    let etag =
        HeaderValue::from_str(&object.etag).map_err(|error| Refusal::Corrupt { cause: error.to_string() })?;
    let len = object.bytes.len();
    let mut content_range = None;
    let (status, bytes) = if asked.get(IF_NONE_MATCH).is_some_and(|tags| names(tags, &object.etag)) {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        match wanted(method, asked, &etag, len)? {
            Some(range) => {
                content_range = Some(format!("bytes {}-{}/{len}", range.start, range.end - 1));
                (StatusCode::PARTIAL_CONTENT, object.bytes.slice(range))
            }
            None => (StatusCode::OK, object.bytes),
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(object.cache_control));
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(object.content_type));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    if let Some(range) = content_range.and_then(|range| HeaderValue::try_from(range).ok()) {
        headers.insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

/// Whether `If-None-Match` names the tag (weak comparison).
fn names(tags: &HeaderValue, etag: &str) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.trim() == "*" || tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// The one range of a GET; `None` is the whole, also where a range is not understood.
fn wanted(
    method: &Method,
    asked: &HeaderMap,
    etag: &HeaderValue,
    len: usize,
) -> Result<Option<Range<usize>>, Refusal> {
    let Some(range) = asked.get(RANGE).filter(|_| method == Method::GET) else { return Ok(None) };
    if asked.get(IF_RANGE).is_some_and(|tag| tag != etag) {
        return Ok(None);
    }
    let Some(range) = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((first, last)) = range.split_once('-') else { return Ok(None) };
    let parsed = |text: &str| text.trim().parse::<usize>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => match parsed(suffix) {
            Some(suffix) => len.saturating_sub(suffix)..len,
            None => return Ok(None),
        },
        (first, "") => match parsed(first) {
            Some(first) => first..len,
            None => return Ok(None),
        },
        (first, last) => match (parsed(first), parsed(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
            _ => return Ok(None),
        },
    };
    if range.start >= range.end { Err(Refusal::Range { len }) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use http::header::RANGE;
    use http::{HeaderMap, HeaderValue, Method};

    use super::{names, wanted};

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let etag = HeaderValue::from_static("\"x\"");
        let ask = |range| {
            let asked = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
            wanted(&Method::GET, &asked, &etag, 100).map_err(|refusal| refusal.to_string())
        };
        for (range, expected) in [
            ("bytes=0-31", Some(0..32)),
            ("bytes=32-", Some(32..100)),
            ("bytes=-32", Some(68..100)),
            ("bytes=-1000", Some(0..100)),
            ("bytes=90-18446744073709551615", Some(90..100)),
            ("bytes=0-1,5-6", None),
            ("bytes=5-1", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("lines=0-1", None),
            ("bytes=a-b", None),
        ] {
            assert_eq!(ask(range), Ok(expected), "{range}");
        }
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(
                ask(range),
                Err(String::from("range not satisfiable: there are 100 bytes")),
                "{range}"
            );
        }
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star() {
        for tags in ["\"x\"", "W/\"x\"", "\"a\", \"x\"", "*"] {
            assert!(names(&HeaderValue::from_static(tags), "\"x\""), "{tags}");
        }
        assert!(!names(&HeaderValue::from_static("\"y\""), "\"x\""));
    }
}
