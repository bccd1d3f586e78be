//! Search: `POST /api/v1/index/retrieve` as v1 clients know it, and `GET /api/v1/log/entries?hash=…`, which gives pages of whole
//! entries in the order of the log. Each answer says up to which tree size it is complete.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bulla_claims::traces::Door as Through;
use bulla_ledger::Addition;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::refusal::Refusal;
use super::{entries, json, received};
use crate::api::query::{parameter, parameters};
use crate::door::Door;
use crate::search::{Found, Query, Search, SearchError, Start, Term};
use crate::shard::Placed;
use crate::wire::v1::id::EntryId;
use crate::wire::v1::request::{self, Lookup};

/// Up to which virtual tree size an answer is complete.
const COMPLETE: HeaderName = HeaderName::from_static("x-complete-tree-size");
/// Entries on a page, if the client does not say.
const PAGE_SIZE: u64 = 20;
/// Entries on a page at most: each is proven and signed for.
const MAX_PAGE_SIZE: u64 = 100;
/// What an entry can be asked to match at once: each is looked up in every part of the index.
const MAX_TERMS: usize = 16;
/// IDs that are looked up at once while an answer is streamed.
const STREAMED: usize = 1000;

/// `GET /api/v1/log/entries`: by index if there is one, whatever else is asked; else a search.
pub(super) async fn by_index_or_search(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let query = request.uri().query();
    let index = parameter(query, "logIndex");
    match request::number("logIndex", index.as_deref(), 0)? {
        Some(index) => entries::by_index(door, index).await,
        None => match Asked::read(query)? {
            Some(asked) => search(&door, asked).await,
            None => Err(request::required("logIndex", "query").into()),
        },
    }
}

/// A search for entries.
struct Asked {
    /// One of each group must be found.
    groups: Vec<Vec<Term>>,
    /// Unix seconds; the first is in it, the last is not.
    since: Option<u64>,
    until: Option<u64>,
    page: u64,
    page_size: u64,
}

/// What a search may say.
const PARAMETERS: [&str; 11] =
    ["hash", "email", "identity", "subject", "issuer", "key", "kind", "since", "until", "page", "pageSize"];

/// What is no search by itself.
const PAGING: [&str; 2] = ["page", "pageSize"];

impl Asked {
    /// Reads a search; `None` if nothing is asked for.
    fn read(query: Option<&str>) -> Result<Option<Self>, Refusal> {
        let mut asked = Self { groups: Vec::new(), since: None, until: None, page: 1, page_size: PAGE_SIZE };
        let sought = parameters(query).any(|(name, value)| {
            let filled = value.is_none_or(|value| !value.is_empty());
            filled && !PAGING.contains(&name) && PARAMETERS.contains(&name)
        });
        if !sought {
            return Ok(None);
        }
        for (name, value) in parameters(query) {
            let value =
                value.ok_or_else(|| Refusal::Argument(format!("{name} in query is not UTF-8 text")))?;
            if value.is_empty() || name == "logIndex" {
                continue;
            }
            match name {
                "hash" => asked.text(&request::digest_term("hash in query", &value)?),
                "email" | "identity" | "subject" => asked.text(&value),
                "issuer" => asked.term(|door| Term::issuer(door, &value)),
                "kind" => asked.term(|door| Term::kind(door, &value)),
                "key" => asked.text(&fingerprint(&value)?),
                "since" => asked.since = Some(time("since", &value)?),
                "until" => asked.until = Some(time("until", &value)?),
                "page" => asked.page = request::required_number("page", Some(&value), 1)?,
                "pageSize" => {
                    asked.page_size =
                        request::required_number("pageSize", Some(&value), 1)?.min(MAX_PAGE_SIZE);
                }
                other => {
                    let problem = format!("{other:?} in query is not known, {} are", PARAMETERS.join(", "));
                    return Err(Refusal::Argument(problem));
                }
            }
            if asked.groups.len() > MAX_TERMS {
                let problem = format!("query asks for more than {MAX_TERMS} things at once");
                return Err(Refusal::Argument(problem));
            }
        }
        Ok(Some(asked))
    }

    fn text(&mut self, text: &str) {
        self.term(|door| Term::new(door, text));
    }

    /// Entries of both doors are found: this is no search that a v1 client knows.
    fn term(&mut self, term: impl Fn(Through) -> Term) {
        self.groups.push(vec![term(Through::V1), term(Through::V2)]);
    }

    /// What that means in a shard of which that many leaves are known.
    async fn query(&self, placed: &Placed, known: u64) -> Result<Query, Refusal> {
        let reader = placed.log().reader();
        let from = match self.since {
            Some(since) => reader.integrated_before(since).await?,
            None => 0,
        };
        let to = match self.until {
            Some(until) => reader.integrated_before(until).await?.min(known),
            None => known,
        };
        Ok(Query { groups: self.groups.clone(), range: from..to.max(from) })
    }
}

/// The fingerprint of a public key: 64 hexadecimal digits, which may have `sha256:` before them.
fn fingerprint(text: &str) -> Result<String, Refusal> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let fits = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then_some(hex).ok_or_else(|| {
        Refusal::Argument(format!(
            "key in query is {:?}, the SHA-256 of the key in PEM or DER was expected, 64 hexadecimal digits",
            text.chars().take(80).collect::<String>()
        ))
    })
}

/// A time: RFC 3339, a date, or Unix seconds.
fn time(name: &str, text: &str) -> Result<u64, Refusal> {
    let seconds = text
        .parse::<Timestamp>()
        .map(Timestamp::as_second)
        .or_else(|_| text.parse::<Date>().and_then(midnight))
        .or_else(|_| text.parse::<i64>());
    seconds.ok().and_then(|seconds| u64::try_from(seconds).ok()).ok_or_else(|| {
        Refusal::Argument(format!(
            "{name} in query is {:?}, a time such as 2026-01-31T12:00:00Z, a date or Unix seconds was expected",
            text.chars().take(80).collect::<String>()
        ))
    })
}

/// When a day begins in UTC, which needs no time zone database.
fn midnight(date: Date) -> Result<i64, jiff::Error> {
    Ok(date.to_zoned(TimeZone::UTC)?.timestamp().as_second())
}

/// What an answer speaks of: the shards, and how many leaves of each.
struct Horizon {
    shards: VecDeque<(Arc<Placed>, u64)>,
    /// The virtual tree size up to which that is complete.
    complete: u64,
    /// Entries of the last of them that are published and not known.
    missing: u64,
}

impl Horizon {
    /// Waits for the indexes to have what is published now; speaks of what they have then.
    async fn of(door: &Door) -> Result<Self, Refusal> {
        let mut horizon = Self { shards: VecDeque::new(), complete: 0, missing: 0 };
        for placed in door.shards.all().iter() {
            let size = placed.log().reader().published().size;
            let known = index_of(placed)?.wait_for(size, door.settings.v1.search_patience).await.min(size);
            horizon.complete = placed.base() + known;
            horizon.shards.push_back((placed.clone(), known));
            horizon.missing = size - known;
            if horizon.missing > 0 {
                tracing::warn!(tree = %placed.tree(), known, size, "search is without the newest entries");
                break;
            }
        }
        Ok(horizon)
    }
}

/// An index that turns out to be damaged forgets and grows again. Whoever asked it then asks once more, about less.
const ATTEMPTS: usize = 3;

/// The refusal of an answer that would lack entries that it says it has.
fn forgotten(complete: u64, known: u64) -> Result<(), Refusal> {
    let cause = || format!("the search index went back to {complete} entries while {known} were asked for");
    if complete < known { Err(Refusal::Unavailable { cause: cause() }) } else { Ok(()) }
}

/// Asks the search index of a shard, off the threads that serve connections: what matches much, or nothing after a long look,
/// takes milliseconds. As many look at a time as there are cores.
async fn ask<T: Send + 'static>(
    door: &Door,
    placed: &Placed,
    question: impl FnOnce(&Search) -> Result<T, SearchError> + Send + 'static,
) -> Result<T, Refusal> {
    let search = index_of(placed)?.clone();
    let answer = door.searching.run(move || question(&search)).await;
    Ok(answer.map_err(|error| Refusal::Corrupt { cause: format!("a search ended early: {error}") })??)
}

/// The search index of a shard.
fn index_of(placed: &Placed) -> Result<&Search, Refusal> {
    placed.search().ok_or(Refusal::NotEnabled("Search Index"))
}

/// Whether an entry would be found by one of these terms, once it is added.
pub(super) async fn finds(door: &Door, addition: &Addition, terms: [Term; 2]) -> Result<bool, Refusal> {
    let Addition { leaf, aside } = addition.clone();
    ask(door, &door.shards.active(), move |search| {
        // A leaf that cannot be read is found by nothing.
        Ok(search.terms(&leaf, &aside).is_ok_and(|found| found.iter().any(|term| terms.contains(term))))
    })
    .await
}

/// The first entry from a virtual index on that has one of these terms, and its virtual index. Nothing that is published now
/// is passed over.
pub(super) async fn first(
    door: &Door,
    terms: [Term; 2],
    since: u64,
) -> Result<Option<(EntryId, u64)>, Refusal> {
    let mut attempt = 1;
    loop {
        let horizon = Horizon::of(door).await?;
        if horizon.missing > 0 {
            let Horizon { complete, missing, .. } = horizon;
            let cause = format!("the search index has {complete} entries, {missing} more are published");
            return Err(Refusal::Unavailable { cause });
        }
        match first_within(door, &horizon, terms, since).await {
            Err(Refusal::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

async fn first_within(
    door: &Door,
    horizon: &Horizon,
    terms: [Term; 2],
    since: u64,
) -> Result<Option<(EntryId, u64)>, Refusal> {
    for (placed, known) in &horizon.shards {
        let from = since.saturating_sub(placed.base());
        if from >= *known {
            continue;
        }
        let query = Query::any(terms).within(from..*known);
        let Found { leaves, complete } =
            ask(door, placed, move |search| search.find(&query, Start::At(from), 1)).await?;
        forgotten(complete, *known)?;
        let Some(index) = leaves.first() else { continue };
        let leaf = placed.log().reader().leaf_hash(*index).await?;
        let missing = || Refusal::Corrupt { cause: format!("indexed entry {index} is not in the log") };
        let id = EntryId { tree: placed.tree(), leaf: leaf.ok_or_else(missing)? };
        return Ok(Some((id, placed.base() + index)));
    }
    Ok(None)
}

/// Answers a page of entries.
async fn search(door: &Door, asked: Asked) -> Result<Response, Refusal> {
    let mut attempt = 1;
    loop {
        match page(door, &asked).await {
            Err(Refusal::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
            answer => return answer,
        }
    }
}

async fn page(door: &Door, asked: &Asked) -> Result<Response, Refusal> {
    let Horizon { shards, complete, .. } = Horizon::of(door).await?;
    let mut skip = (asked.page - 1).saturating_mul(asked.page_size);
    // One more than fits tells whether there is another page.
    let wanted = asked.page_size as usize + 1;
    let mut found: Vec<(Arc<Placed>, u64)> = Vec::new();
    for (placed, known) in &shards {
        let query = asked.query(placed, *known).await?;
        if skip > 0 {
            let counted = query.clone();
            let (matches, counted) = ask(door, placed, move |search| search.count(&counted)).await?;
            forgotten(counted, *known)?;
            if matches <= skip {
                skip -= matches;
                continue;
            }
        }
        let room = wanted - found.len();
        let matches = ask(door, placed, move |search| search.find(&query, Start::Skip(skip), room)).await?;
        forgotten(matches.complete, *known)?;
        skip = 0;
        found.extend(matches.leaves.into_iter().map(|leaf| (placed.clone(), leaf)));
        if found.len() == wanted {
            break;
        }
    }
    let more = found.len() == wanted;
    found.truncate(asked.page_size as usize);
    let mut text = String::from("{\"entries\":[");
    for (n, (placed, leaf)) in found.iter().enumerate() {
        let proven = entries::read(door, placed, *leaf).await?;
        let missing = || Refusal::Corrupt { cause: format!("indexed entry {leaf} is not in the log") };
        if n > 0 {
            text.push(',');
        }
        proven.ok_or_else(missing)?.write(&mut text)?;
    }
    let next = if more { (asked.page + 1).to_string() } else { "null".to_owned() };
    text = text + "],\"nextPage\":" + &next + ",\"treeSize\":" + &complete.to_string() + "}\n";
    let mut response = json(StatusCode::OK, text);
    response.headers_mut().insert(COMPLETE, HeaderValue::from(complete));
    Ok(response)
}

/// `POST /api/v1/index/retrieve`: the IDs of all entries that match, oldest first. Those of kinds that v1 clients cannot read
/// are left out, unless the query says `kinds=all`.
pub(super) async fn lookup(door: Arc<Door>, request: Request) -> Result<Response, Refusal> {
    let kinds = parameter(request.uri().query(), "kinds").map(std::borrow::Cow::into_owned);
    let through: &[Through] = match kinds.as_deref() {
        None | Some("" | "v1") => &[Through::V1],
        Some("all") => &[Through::V1, Through::V2],
        Some(other) => {
            return Err(Refusal::Argument(format!("kinds in query is {other:?}, v1 or all was expected")));
        }
    };
    let body = received(&door, request).await?;
    let Lookup { mut terms, key, all } = Lookup::read(&body)?;
    if let Some((format, content)) = key {
        let print = door.judging.run(move || bulla_claims::pki::fingerprint(&format, &content)).await?;
        terms.push(print.map_err(|problem| Refusal::Argument(problem.to_string()))?);
    }
    let group = |text: &String| through.iter().map(|door| Term::new(*door, text)).collect::<Vec<_>>();
    let groups: Vec<Vec<Term>> =
        if all { terms.iter().map(group).collect() } else { vec![terms.iter().flat_map(group).collect()] };
    let mut attempt = 1;
    // The first part before anything is answered, so that most failures have a status.
    let (complete, first, ids) = loop {
        let Horizon { shards, complete, .. } = Horizon::of(&door).await?;
        let shards = if terms.is_empty() { VecDeque::new() } else { shards };
        let mut ids = Ids { door: door.clone(), groups: groups.clone(), shards, from: 0, begun: false };
        match ids.next().await {
            Err(Refusal::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
            first => break (complete, first?, ids),
        }
    };
    let rest = stream::try_unfold(ids, async |mut ids| {
        let part = ids.next().await.map_err(|refusal| {
            refusal.note("");
            std::io::Error::other(refusal.to_string())
        })?;
        Ok::<_, std::io::Error>(part.map(|part| (part, ids)))
    });
    let first = stream::iter(first.map(Ok));
    let body = Body::from_stream(stream::StreamExt::chain(first, rest));
    let mut response = json(StatusCode::OK, String::new());
    *response.body_mut() = body;
    response.headers_mut().insert(COMPLETE, HeaderValue::from(complete));
    Ok(response)
}

/// A list of IDs that is written part by part, so that its length does not matter.
struct Ids {
    door: Arc<Door>,
    groups: Vec<Vec<Term>>,
    /// Those that are not exhausted.
    shards: VecDeque<(Arc<Placed>, u64)>,
    /// Where the search goes on in the first of them.
    from: u64,
    begun: bool,
}

impl Ids {
    /// The next part of the JSON text; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let mut text = String::new();
        let mut written = self.begun;
        loop {
            let Some((placed, known)) = self.shards.front().cloned() else {
                if self.from == u64::MAX {
                    return Ok(None);
                }
                self.from = u64::MAX;
                if !self.begun && text.is_empty() {
                    text.push('[');
                }
                text.push_str("]\n");
                return Ok(Some(text.into()));
            };
            let query = Query { groups: self.groups.clone(), range: 0..known };
            let from = self.from;
            let matches =
                ask(&self.door, &placed, move |search| search.find(&query, Start::At(from), STREAMED));
            let Found { leaves, complete } = matches.await?;
            forgotten(complete, known)?;
            let Some(last) = leaves.last() else {
                self.shards.pop_front();
                self.from = 0;
                continue;
            };
            self.from = last + 1;
            for index in leaves {
                let leaf = placed.log().reader().leaf_hash(index).await?;
                let Some(leaf) = leaf else { continue };
                text.push_str(if written { ",\"" } else { "[\"" });
                written = true;
                text.push_str(&EntryId { tree: placed.tree(), leaf }.to_string());
                text.push('"');
            }
            self.begun = true;
            return Ok(Some(text.into()));
        }
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        Self::Unavailable { cause: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_a_bounded_number_of_terms() {
        let asked = |terms: usize| Asked::read(Some(&vec!["kind=dsse"; terms].join("&")));
        assert!(asked(MAX_TERMS).is_ok_and(|asked| asked.is_some()));
        let error = asked(MAX_TERMS + 1).err().expect("one more than that");
        assert_eq!(error.to_string(), "query asks for more than 16 things at once");
    }

    #[test]
    fn a_time_has_three_forms() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "1769860800"] {
            assert_eq!(time("since", text).ok(), Some(1_769_860_800), "{text}");
        }
        assert_eq!(time("since", "2026-01-31").ok(), Some(1_769_817_600));
        for text in ["soon", "-1", "1969-12-31", "2026-13-01", ""] {
            assert!(time("since", text).is_err(), "{text}");
        }
    }
}
