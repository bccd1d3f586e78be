//! Registries, as those see them who read and write images: manifests, blobs, lists. The OCI distribution specification:
//! <https://github.com/opencontainers/distribution-spec>.
//!
//! Digests are always computed here; what a header says of them is compared, and never believed.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LINK};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::answer::{self, Body};
use super::digest::Digest;
use super::error::{Error, Problem};
use super::link;
use super::manifest::{Descriptor, LARGEST_MANIFEST, Manifest};
use super::reference::{Name, Repository};
use super::referrers::Modes;
use super::tokens::Action;
use super::transport::{Ask, At, Manner, Options, Transport};

/// Speaks with any number of registries; copies share what was learned about them.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    transport: Transport,
    pub(super) modes: Modes,
    /// Held while the list of a registry without one of its own is changed.
    pub(super) listing: tokio::sync::Mutex<()>,
}

/// What a registry says about a manifest without sending it. None of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Its digest.
    pub(crate) digest: Option<Digest>,
    /// What it is.
    pub(crate) media_type: Option<String>,
    /// Bytes.
    pub(crate) size: Option<u64>,
}

/// It holds tokens, and shows none of them.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. It asks nobody yet.
    pub(crate) fn new(options: Options) -> Result<Self, String> {
        let transport = Transport::new(options)?;
        let (modes, listing) = (Modes::default(), tokio::sync::Mutex::default());
        Ok(Self { inner: Arc::new(Inner { transport, modes, listing }) })
    }

    /// Whether the registry answers, and lets us read in the repository. No other call needs this one before it.
    pub(crate) async fn ping(&self, repository: &Repository) -> Result<(), Error> {
        let at = repository.host();
        let response = self.get(repository, At::Path("/v2/".to_owned()), HeaderMap::new(), 0).await;
        match response.map_err(|problem| problem.at(at))? {
            response if response.status() == StatusCode::OK => Ok(()),
            response => Err(answer::refusal(response).await.at(at)),
        }
    }

    /// Reads a manifest or an index of at most 4 MiB. Its digest is that of its bytes, and what was asked for.
    pub(crate) async fn manifest(&self, repository: &Repository, name: &Name) -> Result<Manifest, Error> {
        Ok(self.manifest_with_tag(repository, name).await?.0)
    }

    /// The same, and the entity tag that came with it.
    pub(super) async fn manifest_with_tag(
        &self,
        repository: &Repository,
        name: &Name,
    ) -> Result<(Manifest, Option<HeaderValue>), Error> {
        let read = async {
            let path = manifest_path(repository, name);
            let response = self.get(repository, path, accept(MANIFESTS), LARGEST_MANIFEST).await?;
            if response.status() != StatusCode::OK {
                return Err(answer::refusal(response).await);
            }
            let claimed = claimed_digest(response.headers())?;
            let media_type = text(response.headers(), &CONTENT_TYPE);
            let tag = response.headers().get(ETAG).cloned();
            let bytes = answer::read(response, LARGEST_MANIFEST).await?;
            let asked = match name {
                Name::Digest(digest) => Some(digest),
                Name::Tag(_) => None,
            };
            for expected in asked.into_iter().chain(&claimed) {
                matches(expected, &bytes)?;
            }
            // By a tag the name is ours to choose, and SHA-256 is what everybody computes.
            let digest = asked.cloned().unwrap_or_else(|| Digest::of(&bytes));
            let manifest = Manifest::parse(bytes, digest, media_type.as_deref()).map_err(Problem::Invalid)?;
            Ok((manifest, tag))
        };
        read.await.map_err(|problem| problem.at(place(repository, name)))
    }

    /// Asks about a manifest without reading it, which some registries count less. Nothing of the answer is verified.
    pub(crate) async fn head(&self, repository: &Repository, name: &Name) -> Result<Claimed, Error> {
        let asked = async {
            let ask = Ask {
                repository,
                action: Action::Pull,
                method: Method::HEAD,
                at: manifest_path(repository, name),
                headers: accept(MANIFESTS),
                body: Bytes::new(),
                largest: 0,
                manner: Manner::default(),
            };
            let response = self.send(&ask).await?;
            if response.status() != StatusCode::OK {
                return Err(answer::refusal(response).await);
            }
            let headers = response.headers();
            let size = text(headers, &CONTENT_LENGTH).and_then(|size| size.parse().ok());
            let digest = claimed_digest(headers)?;
            Ok(Claimed { digest, media_type: text(headers, &CONTENT_TYPE), size })
        };
        asked.await.map_err(|problem| problem.at(place(repository, name)))
    }

    /// Reads a blob into memory, of at most `most` bytes whatever its descriptor says.
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        most: u64,
    ) -> Result<Bytes, Error> {
        let mut bytes = Vec::new();
        self.blob_into(repository, descriptor, most, &mut bytes).await?;
        Ok(bytes.into())
    }

    /// Reads a blob as it comes. Only once this has returned are size and digest known to be right: after an error,
    /// what was written is to be thrown away.
    pub(crate) async fn blob_into(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        most: u64,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Error> {
        let Descriptor { digest, size, .. } = descriptor;
        let read = async {
            if *size > most {
                return Err(Problem::TooLarge { limit: most });
            }
            let response =
                self.get(repository, blob_path(repository, digest), HeaderMap::new(), *size).await?;
            if response.status() != StatusCode::OK {
                return Err(answer::refusal(response).await);
            }
            let (mut body, mut hasher, mut len) = (Body::new(response, *size)?, digest.hasher(), 0);
            while let Some(part) = body.next().await? {
                hasher.update(&part);
                len += part.len() as u64;
                sink.write_all(&part)
                    .await
                    .map_err(|error| Problem::Broken(format!("cannot be kept: {error}")))?;
            }
            if len < *size {
                return Err(Problem::Broken(format!("it ended after {len} of {size} bytes")));
            }
            match hasher.finish() {
                actual if actual == *digest => Ok(()),
                actual => Err(Problem::Digest { expected: digest.clone(), actual }),
            }
        };
        read.await.map_err(|problem| problem.at(format_args!("{repository}@{digest}")))
    }

    /// The tags of a repository, through all pages: at most [`MOST_TAGS`].
    pub(crate) async fn tags(&self, repository: &Repository) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let first = format!("/v2/{}/tags/list?n={TAGS_A_PAGE}", repository.name());
        let listed = self.names(repository, first, "tags", |page: Page| page.tags);
        listed.await.map_err(|problem| problem.at(repository))
    }

    /// The names of all repositories of a registry, through all pages: at most [`MOST_TAGS`]. Not every registry says them. Who
    /// asks is known by what lets read in `repository`.
    pub(crate) async fn repositories(&self, repository: &Repository) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            repositories: Option<Vec<String>>,
        }
        let first = format!("/v2/_catalog?n={TAGS_A_PAGE}");
        let listed = self.names(repository, first, "repositories", |page: Page| page.repositories);
        let of = format_args!("the repositories of {}", repository.host().as_str());
        listed.await.map_err(|problem| problem.at(of))
    }

    /// A list of names through all of its pages.
    async fn names<P: serde::de::DeserializeOwned>(
        &self,
        repository: &Repository,
        first: String,
        what: &str,
        names: impl Fn(P) -> Option<Vec<String>>,
    ) -> Result<Vec<String>, Problem> {
        let mut next = Some(At::Path(first));
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let Some(at) = next else { return Ok(all) };
            let response = self.get(repository, at, HeaderMap::new(), LARGEST_MANIFEST).await?;
            if response.status() != StatusCode::OK {
                return Err(answer::refusal(response).await);
            }
            next = next_page(&response)?;
            let page = answer::read(response, LARGEST_MANIFEST).await?;
            let page = serde_json::from_slice(&page)
                .map_err(|error| Problem::Invalid(format!("its list of {what} is not readable: {error}")))?;
            all.extend(names(page).unwrap_or_default());
            if all.len() > MOST_TAGS {
                return Err(Problem::Invalid(format!("it lists more than {MOST_TAGS} {what}")));
            }
        }
        Err(Problem::Invalid(format!("its list of {what} has more than {MOST_PAGES} pages")))
    }

    pub(super) async fn get(
        &self,
        repository: &Repository,
        at: At,
        headers: HeaderMap,
        largest: u64,
    ) -> Result<Response, Problem> {
        let (action, method, body) = (Action::Pull, Method::GET, Bytes::new());
        let manner = Manner::default();
        self.send(&Ask { repository, action, method, at, headers, body, largest, manner }).await
    }

    pub(super) async fn send(&self, ask: &Ask<'_>) -> Result<Response, Problem> {
        self.inner.transport.send(ask).await
    }
}

/// Where the list goes on, which must be on the same host: a list elsewhere is somebody else's.
pub(super) fn next_page(response: &Response) -> Result<Option<At>, Problem> {
    let lines = response.headers().get_all(LINK).iter().filter_map(|line| line.to_str().ok());
    let Some(target) = link::next(lines).map_err(Problem::Invalid)? else { return Ok(None) };
    let from = response.url();
    let next: Url =
        from.join(target).map_err(|error| Problem::Invalid(format!("its next page is no URL: {error}")))?;
    if next.origin() != from.origin() {
        let place = next.origin().ascii_serialization();
        return Err(Problem::Invalid(format!("its next page is on another host, {place}")));
    }
    Ok(Some(At::Url(next)))
}

/// Checks that bytes have a digest.
pub(super) fn matches(expected: &Digest, bytes: &[u8]) -> Result<(), Problem> {
    match expected.same_hash_of(bytes) {
        actual if actual == *expected => Ok(()),
        actual => Err(Problem::Digest { expected: expected.clone(), actual }),
    }
}

/// What the registry says that the digest is.
pub(super) fn claimed_digest(headers: &HeaderMap) -> Result<Option<Digest>, Problem> {
    let Some(value) = headers.get("docker-content-digest") else { return Ok(None) };
    let invalid = |problem: String| Problem::Invalid(format!("Docker-Content-Digest: {problem}"));
    let text = value.to_str().map_err(|_| invalid("is no text".to_owned()))?;
    text.parse().map(Some).map_err(|error: super::digest::DigestError| invalid(error.to_string()))
}

pub(super) fn text(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

pub(super) fn accept(media_types: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(media_types))])
}

pub(super) fn manifest_path(repository: &Repository, name: &Name) -> At {
    At::Path(format!("/v2/{}/manifests/{name}", repository.name()))
}

pub(super) fn blob_path(repository: &Repository, digest: &Digest) -> At {
    At::Path(format!("/v2/{}/blobs/{digest}", repository.name()))
}

/// How a manifest is written.
pub(super) fn place(repository: &Repository, name: &Name) -> String {
    match name {
        Name::Tag(tag) => format!("{repository}:{tag}"),
        Name::Digest(digest) => format!("{repository}@{digest}"),
    }
}

/// Whatever a registry has is wanted as it is: who asks for less may be given a part, with another digest.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json, \
                         application/vnd.docker.distribution.manifest.v2+json";
const TAGS_A_PAGE: usize = 1000;
/// Of one list.
pub(super) const MOST_PAGES: usize = 100;
/// Of one repository, and of repositories.
pub(crate) const MOST_TAGS: usize = 100_000;
