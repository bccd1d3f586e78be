//! Routes and answers: what a client of a registry asks for, and what it gets. Reading is all there is.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use bulla_rekor::guard::{Network, Peer, client_address};
use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ACCEPT, ACCEPT_RANGES, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::args::As;
use super::images::Images;
use super::keeper::{Keeper, Pull, Pulled};
use super::page;
use super::place::{Asked, Fixed, Place, What};
use super::refusal::{API_VERSION, Refusal, warning};
use super::upstream::{LARGEST_BLOB, canonical};
use crate::registry::{Manifest, Manner, Name, Redirects, Repository, Whose};
use crate::tags;

/// See the module.
pub(crate) struct Front {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) fixed: Option<Fixed>,
    pub(crate) upstream_as: As,
    pub(crate) images: Option<Images>,
    pub(crate) trusted_proxies: Vec<Network>,
}

/// The routes of a proxy.
pub(crate) fn routes(front: Arc<Front>) -> Router {
    Router::new()
        .route("/v2", any(answered))
        .route("/v2/", any(answered))
        .route("/v2/{*rest}", any(answered))
        .route("/", get(page::page))
        .route("/tags", get(page::machine))
        .route(
            "/healthz",
            get(|| async { ([(CONTENT_TYPE, "application/json")], r#"{"status":"SERVING"}"#) }),
        )
        .route("/readyz", get(page::ready))
        .with_state(front)
}

async fn answered(State(front): State<Arc<Front>>, request: Request) -> Response {
    let began = Instant::now();
    let (asked, _unread) = request.into_parts();
    let (what, answer) = front.answer(&asked).await;
    let mut response = answer.unwrap_or_else(|refusal| {
        tracing::debug!(%refusal, "refused");
        if asked.method == Method::HEAD { refusal.response_to_head() } else { refusal.response() }
    });
    let headers = response.headers_mut();
    headers.entry(API_VERSION).or_insert(HeaderValue::from_static("registry/2.0"));
    // What comes from registries is not ours: no browser is to take it for a page of this place.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let status = response.status().as_u16().to_string();
    metrics::counter!("bulla_proxy_requests_total", "what" => what, "status" => status).increment(1);
    metrics::histogram!("bulla_proxy_request_seconds", "what" => what).record(began.elapsed().as_secs_f64());
    if asked.method == Method::HEAD {
        // The length is that of what GET would bring.
        *response.body_mut() = Body::empty();
    }
    response
}

/// What was asked for, as it is counted, and what came of it.
type Answered = (&'static str, Result<Response, Refusal>);

impl Front {
    async fn answer(&self, request: &Parts) -> Answered {
        let method = request.method.clone();
        if !matches!(method, Method::GET | Method::HEAD) {
            let mut response = Refusal::Method.response();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return ("other", Ok(response));
        }
        let place = match Asked::read(&request.uri, self.fixed.as_ref()) {
            Ok(Asked::Ping) => return ("ping", self.ping(&request.headers).await),
            Ok(Asked::Of(place)) => place,
            Err(refusal) => return ("other", Err(refusal)),
        };
        if let Err(refusal) = self.keeper.upstream.check(&place.repository) {
            return ("other", Err(refusal));
        }
        let asking = Asking { method, headers: &request.headers, whose: self.whose(&request.headers) };
        match place.what.clone() {
            What::Manifest(Name::Tag(tag)) => {
                let peer = request.extensions.get().map(|Peer(address)| *address);
                let from = peer.map(|peer| client_address(peer, &request.headers, &self.trusted_proxies));
                let pull =
                    Pull { repository: place.repository.clone(), tag, whose: asking.whose.clone(), from };
                ("tag", self.by_tag(&place, pull, &asking).await)
            }
            What::Manifest(name) => ("manifest", self.by_digest(&place, &name, &asking).await),
            What::Blob(_) => ("blob", self.passed(&place, &asking, Kind::blob()).await),
            What::Tags => ("tags", self.passed(&place, &asking, Kind::list()).await),
            What::Referrers(_) => ("referrers", self.passed(&place, &asking, Kind::list()).await),
        }
    }

    fn whose(&self, headers: &HeaderMap) -> Whose {
        match self.upstream_as {
            As::Client => Whose::Theirs(headers.get(AUTHORIZATION).cloned()),
            As::Anonymous | As::Ourselves => Whose::Ours,
        }
    }

    /// A registry that wants to know clients says so here; which one is meant is only known if there is one.
    async fn ping(&self, headers: &HeaderMap) -> Result<Response, Refusal> {
        if let (As::Client, Some(fixed)) = (self.upstream_as, &self.fixed) {
            let repository = Repository::parse(&format!("{}/ping", fixed.host()));
            let repository = repository.map_err(|error| Refusal::Name(error.to_string()))?;
            let whose = self.whose(headers);
            let answer = self.keeper.upstream.ping(&repository, whose).await?;
            if answer.status != StatusCode::OK {
                return Err(self.keeper.upstream.refused(&repository, &Method::GET, answer).await);
            }
        }
        let mut response = Response::new(Body::from("{}"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    async fn by_tag(&self, place: &Place, pull: Pull, asking: &Asking<'_>) -> Result<Response, Refusal> {
        let pulled = self.keeper.pull(pull.clone()).await?;
        if let Some(images) = &self.images {
            let client = &self.keeper.upstream.client;
            images.judge(client, &place.repository, &pulled.manifest, Some(pull.tag.as_str())).await?;
        }
        let manifest = if accepts(asking.headers, &pulled.manifest.media_type) {
            Arc::clone(&pulled.manifest)
        } else {
            let accept = asking.headers.get_all(ACCEPT).iter().map(|value| (ACCEPT, value.clone())).collect();
            let member = self.keeper.member(&pull, &pulled, accept).await?;
            if let Some(images) = self.images.as_ref().filter(|_| member.digest != pulled.manifest.digest) {
                images.judge(&self.keeper.upstream.client, &place.repository, &member, None).await?;
            }
            member
        };
        let mut response = of_manifest(&manifest, asking);
        tell(response.headers_mut(), place, &pulled);
        Ok(response)
    }

    async fn by_digest(&self, place: &Place, name: &Name, asking: &Asking<'_>) -> Result<Response, Refusal> {
        let keeper = &self.keeper;
        let repository = place.repository.to_string();
        // Who asks as themselves must be known by the registry each time.
        let kept = match (name, &asking.whose) {
            (Name::Digest(digest), Whose::Ours) => keeper.manifests.find(&repository, digest),
            _ => None,
        };
        let manifest = if let Some(manifest) = kept {
            manifest
        } else {
            let whose = asking.whose.clone();
            let manifest = keeper.upstream.manifest(&place.repository, name, canonical(), whose).await?;
            keeper.manifests.keep(&repository, &manifest);
            manifest
        };
        if let Some(images) = &self.images {
            images.judge(&keeper.upstream.client, &place.repository, &manifest, None).await?;
        }
        let mut response = of_manifest(&manifest, asking);
        namespace(response.headers_mut(), place);
        Ok(response)
    }

    /// Hands on what is asked for, and what is answered.
    async fn passed(&self, place: &Place, asking: &Asking<'_>, kind: Kind) -> Result<Response, Refusal> {
        let query = place.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
        let rest = format!("{}{query}", place.what.path());
        let mut headers = HeaderMap::new();
        for name in [ACCEPT, RANGE, IF_NONE_MATCH] {
            headers.extend(asking.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
        let upstream = &self.keeper.upstream;
        let method = asking.method.clone();
        let manner = Manner { whose: asking.whose.clone(), redirects: kind.redirects };
        let answer =
            upstream.pass(&place.repository, method.clone(), rest, headers, manner, kind.largest).await?;
        let status = answer.status;
        if status.is_client_error() || status.is_server_error() {
            return Err(upstream.refused(&place.repository, &method, answer).await);
        }
        let mut passed = HeaderMap::new();
        for name in kind.headers {
            passed.extend(answer.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
        if let Some(link) = answer.headers.get(LINK).and_then(|value| value.to_str().ok()) {
            passed.extend(rewritten(link, place).map(|link| (LINK, link)));
        }
        namespace(&mut passed, place);
        let parts = answer.parts(kind.largest).map_err(|error| Refusal::of(&error))?;
        // An error in the middle breaks the connection off, which is all that can be said then.
        let body = stream::try_unfold(parts, async |mut parts| {
            let part = parts.next().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(part.map(|part: Bytes| (part, parts)))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.status_mut() = status;
        *response.headers_mut() = passed;
        Ok(response)
    }
}

/// Who asks, and how.
struct Asking<'a> {
    method: Method,
    headers: &'a HeaderMap,
    whose: Whose,
}

/// What is handed on as it is.
struct Kind {
    headers: Vec<HeaderName>,
    redirects: Redirects,
    largest: u64,
}

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

impl Kind {
    /// Where the bytes are is between the client and whoever keeps them.
    fn blob() -> Self {
        let headers = vec![
            CONTENT_TYPE,
            CONTENT_LENGTH,
            CONTENT_RANGE,
            ACCEPT_RANGES,
            ETAG,
            CACHE_CONTROL,
            LOCATION,
            DIGEST,
        ];
        Self { headers, redirects: Redirects::Passed, largest: LARGEST_BLOB }
    }

    fn list() -> Self {
        let headers = vec![CONTENT_TYPE, CONTENT_LENGTH, FILTERS];
        Self { headers, redirects: Redirects::Followed, largest: LARGEST_LIST }
    }
}

/// Of a list of tags or referrers.
const LARGEST_LIST: u64 = 16 << 20;

/// An answer with a manifest, or that the client has it.
fn of_manifest(manifest: &Manifest, asking: &Asking<'_>) -> Response {
    let etag = format!("\"{}\"", manifest.digest);
    let has = asking.headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let has = has.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let mut response = Response::new(if has { Body::empty() } else { Body::from(manifest.bytes.clone()) });
    let headers = response.headers_mut();
    let text = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    headers.insert(CONTENT_TYPE, text(&manifest.media_type));
    headers.insert(DIGEST, text(&manifest.digest.to_string()));
    headers.insert(ETAG, text(&etag));
    if has {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes.len()));
    }
    response
}

/// Says where the record is, and what else the client should know.
fn tell(headers: &mut HeaderMap, place: &Place, pulled: &Pulled) {
    if let Some(known) = &pulled.known {
        headers.extend(known.headers.clone());
    }
    if pulled.is_first {
        headers.insert(tags::FIRST_SEEN, HeaderValue::from_static("true"));
    }
    headers.extend(pulled.warning.as_deref().and_then(warning));
    namespace(headers, place);
}

/// The registry that is answered for, if the client named one (distribution-spec, "Registry proxying").
fn namespace(headers: &mut HeaderMap, place: &Place) {
    if place.ns.is_some() {
        let host = HeaderValue::from_str(place.repository.host().as_str());
        headers.extend(host.ok().map(|host| (NAMESPACE, host)));
    }
}

/// Whether the client takes what is there. Who says nothing takes all.
fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut said = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    let fits = |range: &str| {
        let range = range.split(';').next().unwrap_or_default().trim();
        range == "*/*" || range == "application/*" || range.eq_ignore_ascii_case(media_type)
    };
    said.peek().is_none() || said.flat_map(|value| value.split(',')).any(fits)
}

/// Where the list goes on, as the client names it.
fn rewritten(link: &str, place: &Place) -> Option<HeaderValue> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let ns = place.ns.as_ref().map(|ns| format!("ns={ns}"));
    let query: Vec<&str> = query
        .split('&')
        .filter(|part| !part.is_empty() && !part.starts_with("ns="))
        .chain(ns.as_deref())
        .collect();
    let path = format!("/v2/{}/{}", place.client_name, place.what.path());
    let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
    HeaderValue::from_str(&format!("<{target}>{rest}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uri: &str) -> Place {
        match Asked::read(&uri.parse().expect("a URI"), None) {
            Ok(Asked::Of(place)) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_page_is_at_the_proxy() {
        let of = |uri, link| rewritten(link, &place(uri)).map(|link| link.to_str().expect("text").to_owned());
        let next = "</v2/org/app/tags/list?last=b&n=2>; rel=\"next\"";
        assert_eq!(
            of("/v2/ghcr.io/org/app/tags/list?n=2", next).as_deref(),
            Some("</v2/ghcr.io/org/app/tags/list?last=b&n=2>; rel=\"next\"")
        );
        assert_eq!(
            of("/v2/org/app/tags/list?ns=ghcr.io", next).as_deref(),
            Some("</v2/org/app/tags/list?last=b&n=2&ns=ghcr.io>; rel=\"next\"")
        );
        assert_eq!(
            of(
                "/v2/alpine/tags/list",
                "<https://registry-1.docker.io/v2/library/alpine/tags/list?last=c>;rel=next"
            )
            .as_deref(),
            Some("</v2/alpine/tags/list?last=c>;rel=next")
        );
        assert_eq!(of("/v2/alpine/tags/list", "no link"), None);
    }

    #[test]
    fn what_is_accepted_is_what_was_said() {
        let index = "application/vnd.oci.image.index.v1+json";
        let of = |lines: &[&'static str]| {
            let headers = lines.iter().map(|line| (ACCEPT, HeaderValue::from_static(line))).collect();
            accepts(&headers, index)
        };
        assert!(of(&[]) && of(&["*/*"]) && of(&["text/html, application/*;q=0.5"]));
        assert!(of(&["text/html", "application/vnd.oci.image.index.v1+json"]));
        assert!(!of(&["application/vnd.oci.image.manifest.v1+json"]));
    }

    #[tokio::test]
    async fn nobody_sends_what_the_client_has() {
        let bytes = Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#);
        let manifest =
            Manifest::parse(bytes.clone(), crate::registry::Digest::of(&bytes), None).expect("reads");
        let answer = |headers: &HeaderMap| {
            of_manifest(&manifest, &Asking { method: Method::GET, headers, whose: Whose::Ours })
        };
        let whole = answer(&HeaderMap::new());
        assert_eq!(whole.status(), StatusCode::OK);
        assert_eq!(whole.headers()[CONTENT_LENGTH], "34");
        let etag = whole.headers()[ETAG].clone();
        let not = answer(&HeaderMap::from_iter([(IF_NONE_MATCH, etag)]));
        assert_eq!(not.status(), StatusCode::NOT_MODIFIED);
    }
}
