//! What refers to a manifest, such as its signatures: by the referrers API, or by the tag that stands in for it where a
//! registry has none. distribution-spec, "Listing Referrers" and "Referrers Tag Schema".

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::answer;
use super::client::{Client, MOST_PAGES, accept, next_page, text};
use super::digest::Digest;
use super::error::{Error, Problem, present};
use super::manifest::{Content, Descriptor, LARGEST_MANIFEST, MOST_ENTRIES, Manifest, OCI_INDEX};
use super::reference::{Name, Repository, Tag};
use super::transport::At;

/// What refers to a manifest. Candidates: nothing of them is verified, and the lists of some registries leave out types
/// and annotations, so that only the manifests themselves say what they are.
#[derive(Clone, Debug)]
pub(crate) struct Referrers {
    /// All of them, in the order of the list.
    pub(crate) descriptors: Vec<Descriptor>,
    /// Who made the list.
    pub(crate) listed: Listed,
}

/// Who keeps the list of what refers to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// The registry.
    Api,
    /// Whoever pushed, under a tag. Everybody who may push can shorten it.
    Tag,
    /// Nobody: a directory was searched.
    Search,
}

impl Listed {
    /// As it is written for programs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Tag => "tag",
            Self::Search => "search",
        }
    }
}

/// Which way the repositories of late were.
#[derive(Default)]
pub(super) struct Modes {
    known: Mutex<HashMap<Repository, (Listed, Instant)>>,
}

impl Modes {
    fn of(&self, repository: &Repository, now: Instant) -> Option<Listed> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (listed, since) = known.get(repository)?;
        (now.saturating_duration_since(*since) < KNOWN_FOR).then_some(*listed)
    }

    fn learn(&self, repository: &Repository, listed: Listed, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(repository.clone(), (listed, now));
    }
}

impl Client {
    /// Lists what refers to a manifest, through all pages: at most 4096.
    ///
    /// A list that is empty was answered as empty. A registry that is busy, refuses, or answers anything else is an error.
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Referrers, Error> {
        let modes = &self.inner.modes;
        let (by_api, by_tag) = match modes.of(repository, Instant::now()) {
            Some(Listed::Tag) => (None, Some(self.by_tag(repository, subject).await)),
            Some(_) => (self.by_api(repository, subject).await?, None),
            None => {
                // Which way it is costs no round trip: both are asked.
                let both = futures_util::future::join(
                    self.by_api(repository, subject),
                    self.by_tag(repository, subject),
                );
                let (by_api, by_tag) = both.await;
                (by_api?, Some(by_tag))
            }
        };
        if let Some(descriptors) = by_api {
            modes.learn(repository, Listed::Api, Instant::now());
            return Ok(Referrers { descriptors, listed: Listed::Api });
        }
        let descriptors = match by_tag {
            Some(by_tag) => by_tag?,
            None => self.by_tag(repository, subject).await?,
        };
        modes.learn(repository, Listed::Tag, Instant::now());
        Ok(Referrers { descriptors, listed: Listed::Tag })
    }

    /// None if the registry does not have the API.
    async fn by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let read = async {
            let mut next = Some(At::Path(format!("/v2/{}/referrers/{subject}", repository.name())));
            let mut descriptors = Vec::new();
            for page in 0..MOST_PAGES {
                let Some(at) = next else { return Ok(Some(descriptors)) };
                let response = self.get(repository, at, accept(OCI_INDEX), LARGEST_MANIFEST).await?;
                let media_type = text(response.headers(), &CONTENT_TYPE).unwrap_or_default();
                let is_index = media_type.split(';').next().is_some_and(|text| text.trim() == OCI_INDEX);
                match response.status() {
                    StatusCode::OK if is_index => {}
                    // What a front end answers to a path that it does not know.
                    StatusCode::OK if page == 0 => return Ok(None),
                    status if page == 0 && matches!(status.as_u16(), 400 | 404 | 405 | 406 | 415 | 501) => {
                        let throttled = matches!(answer::refusal(response).await, Problem::Unavailable(_));
                        if throttled && status != StatusCode::NOT_IMPLEMENTED {
                            return Err(Problem::Unavailable(format!("its list of referrers: {status}")));
                        }
                        return Ok(None);
                    }
                    StatusCode::OK => {
                        let problem =
                            format!("page {page} of its list of referrers is of type {media_type:?}");
                        return Err(Problem::Invalid(problem));
                    }
                    _ => return Err(answer::refusal(response).await),
                }
                next = next_page(&response)?;
                let bytes = answer::read(response, LARGEST_MANIFEST).await?;
                let digest = Digest::of(&bytes);
                let list = Manifest::parse(bytes, digest, Some(OCI_INDEX)).map_err(Problem::Invalid)?;
                descriptors.extend_from_slice(list.manifests());
                if descriptors.len() > MOST_ENTRIES {
                    return Err(Problem::Invalid(format!("more than {MOST_ENTRIES} referrers are listed")));
                }
            }
            Err(Problem::Invalid(format!("its list of referrers has more than {MOST_PAGES} pages")))
        };
        read.await.map_err(|problem| problem.at(format_args!("referrers of {repository}@{subject}")))
    }

    async fn by_tag(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let name = referrers_name(subject);
        let Some(list) = present(self.manifest(repository, &name).await)? else { return Ok(Vec::new()) };
        match list.content {
            Content::Index(manifests) => Ok(manifests),
            Content::Image { .. } => {
                let problem = Problem::Invalid("the list of referrers is no index".to_owned());
                Err(problem.at(format_args!("{repository}:{name}")))
            }
        }
    }
}

/// The tag that lists what refers to a digest.
pub(super) fn referrers_name(subject: &Digest) -> Name {
    Name::Tag(Tag::parse(&subject.referrers_tag()).expect("digits and a hyphen, fewer than 128"))
}

/// Registries are replaced by others.
const KNOWN_FOR: Duration = Duration::from_mins(10);
const MOST_KNOWN: usize = 1024;
