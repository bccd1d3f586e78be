//! Writing to registries: blobs, manifests, and the list of what refers to something where a registry keeps none.
//! distribution-spec, "Push".

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;
use serde_json::{Value, json};

use super::answer;
use super::client::{Client, blob_path, claimed_digest, manifest_path, matches, place, text};
use super::digest::Digest;
use super::error::{Error, Problem, present};
use super::manifest::{Content, Descriptor, LARGEST_MANIFEST, MOST_ENTRIES, Manifest, OCI_INDEX};
use super::reference::{Name, Repository};
use super::referrers::{Listed, referrers_name};
use super::tokens::Action;
use super::transport::{self, Ask, At, Manner};

/// What came of a manifest that was pushed.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Who listed it with what it refers to, if it refers to something.
    pub(crate) listed: Option<Listed>,
}

impl Client {
    /// Writes a blob, unless the registry has it.
    pub(crate) async fn push_blob(&self, repository: &Repository, bytes: &Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        let pushed = async {
            let head = self.write(repository, Method::HEAD, blob_path(repository, &digest), None).await?;
            match head.status() {
                StatusCode::OK => return Ok(()),
                StatusCode::NOT_FOUND => {}
                _ => return Err(answer::refusal(head).await),
            }
            let start = At::Path(format!("/v2/{}/blobs/uploads/", repository.name()));
            let response = self.write(repository, Method::POST, start, Some(("", Bytes::new()))).await?;
            if response.status() != StatusCode::ACCEPTED {
                return Err(answer::refusal(response).await);
            }
            let target = text(response.headers(), &LOCATION)
                .ok_or_else(|| Problem::Invalid("its upload has no Location".to_owned()))?;
            let mut url = transport::step(response.url(), &target).map_err(Problem::Invalid)?;
            // The address may have a query already, which is the registry's.
            url.query_pairs_mut().append_pair("digest", &digest.to_string());
            let content = Some(("application/octet-stream", bytes.clone()));
            let response = self.write(repository, Method::PUT, At::Url(url), content).await?;
            if response.status().is_success() { Ok(()) } else { Err(answer::refusal(response).await) }
        };
        pushed.await.map_err(|problem: Problem| problem.at(format_args!("{repository}@{digest}")))?;
        Ok(digest)
    }

    /// Writes a manifest under a tag, or under its digest; what it is made of must be there. If it refers to something
    /// and the registry does not say that it has taken note of that, the list under a tag is kept instead.
    pub(crate) async fn push_manifest(
        &self,
        repository: &Repository,
        name: &Name,
        manifest: &Manifest,
    ) -> Result<Pushed, Error> {
        let at = place(repository, name);
        if let Name::Digest(digest) = name {
            matches(digest, &manifest.bytes).map_err(|problem| problem.at(&at))?;
        }
        let response = self.put_manifest(repository, name, manifest, HeaderMap::new()).await;
        let response = response.map_err(|problem| problem.at(&at))?;
        let digest = manifest.digest.clone();
        let Some(subject) = &manifest.subject else { return Ok(Pushed { digest, listed: None }) };
        let noted = response.headers().get("oci-subject").and_then(|value| value.to_str().ok());
        if noted == Some(&subject.digest.to_string()) {
            return Ok(Pushed { digest, listed: Some(Listed::Api) });
        }
        let name = referrers_name(&subject.digest);
        let listed = self.list(repository, &name, &manifest.descriptor()).await;
        listed.map_err(|problem| problem.at(place(repository, &name)))?;
        Ok(Pushed { digest, listed: Some(Listed::Tag) })
    }

    async fn put_manifest(
        &self,
        repository: &Repository,
        name: &Name,
        manifest: &Manifest,
        mut headers: HeaderMap,
    ) -> Result<Response, Problem> {
        let media_type = HeaderValue::from_str(&manifest.media_type).map_err(|_| {
            Problem::Invalid(format!("media type {:?} fits into no header", manifest.media_type))
        })?;
        headers.insert(CONTENT_TYPE, media_type);
        let ask = Ask {
            repository,
            action: Action::Push,
            method: Method::PUT,
            at: manifest_path(repository, name),
            headers,
            body: manifest.bytes.clone(),
            largest: manifest.bytes.len() as u64,
            manner: Manner::default(),
        };
        let response = self.send(&ask).await?;
        if response.status() != StatusCode::CREATED {
            if response.status() == StatusCode::PRECONDITION_FAILED {
                return Ok(response);
            }
            return Err(answer::refusal(response).await);
        }
        // Some registries rewrite what they are given; what was signed would be another manifest then.
        if let Some(claimed) = claimed_digest(response.headers())? {
            matches(&claimed, &manifest.bytes)?;
        }
        Ok(response)
    }

    /// Adds to the list under a tag, unless it is there: read, add, write if nobody else has, look again. Registries that
    /// do not honour `If-Match` can still lose one of two lists that are written at the same moment.
    async fn list(&self, repository: &Repository, name: &Name, added: &Descriptor) -> Result<(), Problem> {
        let _turn = self.inner.listing.lock().await;
        for _ in 0..MOST_ATTEMPTS {
            let current =
                present(self.manifest_with_tag(repository, name).await).map_err(Error::into_problem)?;
            let is_listed =
                |list: &Manifest| list.manifests().iter().any(|entry| entry.digest == added.digest);
            let mut headers = HeaderMap::new();
            match &current {
                Some((list, _)) if is_listed(list) => return Ok(()),
                Some((_, Some(tag))) => drop(headers.insert(IF_MATCH, tag.clone())),
                Some((_, None)) => {}
                None => drop(headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"))),
            }
            let list = longer(current.as_ref().map(|(list, _)| list), added)?;
            let response = self.put_manifest(repository, name, &list, headers).await?;
            if response.status() == StatusCode::PRECONDITION_FAILED {
                continue;
            }
            let after = self.manifest(repository, name).await.map_err(Error::into_problem)?;
            if is_listed(&after) {
                return Ok(());
            }
        }
        let problem = format!("others changed the list of referrers {MOST_ATTEMPTS} times meanwhile");
        Err(Problem::Unavailable(problem))
    }

    async fn write(
        &self,
        repository: &Repository,
        method: Method,
        at: At,
        content: Option<(&'static str, Bytes)>,
    ) -> Result<Response, Problem> {
        let mut headers = HeaderMap::new();
        let (media_type, body) = content.unwrap_or_default();
        if !media_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        let largest = body.len() as u64;
        let (action, manner) = (Action::Push, Manner::default());
        self.send(&Ask { repository, action, method, at, headers, body, largest, manner }).await
    }
}

/// The list with one more, and with everything that others wrote into it as it was.
fn longer(list: Option<&Manifest>, added: &Descriptor) -> Result<Manifest, Problem> {
    let invalid = |problem: &str| Problem::Invalid(format!("the list of referrers {problem}"));
    let mut document = match list {
        None => json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
        Some(Manifest { content: Content::Index(entries), .. }) if entries.len() >= MOST_ENTRIES => {
            return Err(invalid("is full"));
        }
        Some(Manifest { content: Content::Index(_), bytes, .. }) => {
            serde_json::from_slice(bytes).map_err(|error| invalid(&format!("is not readable: {error}")))?
        }
        Some(_) => return Err(invalid("is no index")),
    };
    let entries = document.get_mut("manifests").and_then(Value::as_array_mut);
    let entry =
        serde_json::to_value(added).map_err(|error| invalid(&format!("does not take it: {error}")))?;
    entries.ok_or_else(|| invalid("has no manifests"))?.push(entry);
    let bytes = Bytes::from(document.to_string());
    if bytes.len() as u64 > LARGEST_MANIFEST {
        return Err(invalid("is full"));
    }
    let digest = Digest::of(&bytes);
    Manifest::parse(bytes, digest, None).map_err(|error| invalid(&error))
}

const MOST_ATTEMPTS: usize = 5;
