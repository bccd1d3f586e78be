//! What is asked of registries. Manifests are hashed before they are believed, whatever a header says of them; a registry that is
//! busy is left alone for a while.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::refusal::{Refusal, Said};
use crate::registry::{
    Client, DOCKER_LIST, DOCKER_MANIFEST, Digest, Forward, LARGEST_MANIFEST, Manifest, Manner, Name,
    OCI_INDEX, OCI_MANIFEST, Passed, Redirects, Repository, Whose,
};

/// See the module.
pub(crate) struct Upstream {
    pub(crate) client: Client,
    /// If given, no others are asked.
    only: Option<BTreeSet<String>>,
    /// Whether it is for clients to answer what registries want to know.
    clients_answer: bool,
    /// Who asks as somebody else is told so by the registry, each for themselves.
    busy: Mutex<HashMap<(String, Method), Busy>>,
}

struct Busy {
    until: Instant,
    said: String,
}

impl Upstream {
    /// Registries, all that can be reached or those alone.
    pub(crate) fn new(client: Client, only: Option<BTreeSet<String>>, clients_answer: bool) -> Self {
        Self { client, only, clients_answer, busy: Mutex::default() }
    }

    /// Refuses registries that are not served.
    pub(crate) fn check(&self, repository: &Repository) -> Result<(), Refusal> {
        let host = repository.host().as_str();
        match &self.only {
            Some(only) if !only.contains(host) => Err(Refusal::NotNamed(host.to_owned())),
            _ => Ok(()),
        }
    }

    /// What a registry says that the digest of a tag is. It is not believed, and asking costs little.
    pub(crate) async fn claimed(
        &self,
        repository: &Repository,
        name: &Name,
        whose: Whose,
    ) -> Result<Option<Digest>, Refusal> {
        let (rest, manner) = (format!("manifests/{name}"), followed(whose));
        let answer = self.pass(repository, Method::HEAD, rest, canonical(), manner, 0).await?;
        let answer = self.wanted(repository, &Method::HEAD, answer).await?;
        let said = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        Ok(said.and_then(|said| said.parse().ok()))
    }

    /// Reads a manifest and hashes it. By a digest it is what was asked for; by a tag it is what the tag points to.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        name: &Name,
        accept: HeaderMap,
        whose: Whose,
    ) -> Result<Arc<Manifest>, Refusal> {
        let (rest, manner) = (format!("manifests/{name}"), followed(whose));
        let answer = self.pass(repository, Method::GET, rest, accept, manner, 0).await?;
        let answer = self.wanted(repository, &Method::GET, answer).await?;
        let media_type =
            answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes(LARGEST_MANIFEST).await.map_err(|error| Refusal::of(&error))?;
        let digest = match name {
            Name::Digest(asked) => asked.same_hash_of(&bytes),
            Name::Tag(_) => Digest::of(&bytes),
        };
        if let Name::Digest(asked) = name
            && digest != *asked
        {
            metrics::counter!("bulla_proxy_alarms_total", "why" => "digest").increment(1);
            tracing::error!(%repository, %asked, %digest, "a registry sent other content than was asked for");
            return Err(Refusal::Unreached(format!("{repository}@{asked}: its digest is {digest}")));
        }
        let manifest = Manifest::parse(bytes, digest, media_type.as_deref())
            .map_err(|problem| Refusal::Unreached(format!("{repository}: {problem}")))?;
        Ok(Arc::new(manifest))
    }

    /// Whether a registry lets somebody in.
    pub(crate) async fn ping(&self, repository: &Repository, whose: Whose) -> Result<Passed, Refusal> {
        self.client.enter(repository, followed(whose)).await.map_err(|error| Refusal::of(&error))
    }

    /// Asks, whatever is answered: at most so many bytes, which is what it is given time for.
    pub(crate) async fn pass(
        &self,
        repository: &Repository,
        method: Method,
        rest: String,
        headers: HeaderMap,
        manner: Manner,
        largest: u64,
    ) -> Result<Passed, Refusal> {
        if let Whose::Ours = manner.whose {
            self.leave_alone(repository, &method)?;
        }
        let forward = Forward { repository, method, rest, headers, manner, largest };
        self.client.forward(forward).await.map_err(|error| Refusal::of(&error))
    }

    fn leave_alone(&self, repository: &Repository, method: &Method) -> Result<(), Refusal> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (repository.host().as_str().to_owned(), method.clone());
        let Some(Busy { until, said }) = busy.get(&key) else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            busy.remove(&key);
            return Ok(());
        }
        Err(Refusal::Busy { seconds: left.as_secs() + 1, said: said.clone() })
    }

    /// The answer, if it is what was asked for.
    async fn wanted(
        &self,
        repository: &Repository,
        method: &Method,
        answer: Passed,
    ) -> Result<Passed, Refusal> {
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        Err(self.refused(repository, method, answer).await)
    }

    /// What a registry said that does not do what it was asked: an error of its own, and no word about a tag.
    pub(crate) async fn refused(&self, repository: &Repository, method: &Method, answer: Passed) -> Refusal {
        let (status, headers) = (answer.status, answer.headers.clone());
        let problem = answer.refusal().await.to_string();
        if status == StatusCode::TOO_MANY_REQUESTS {
            let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let pause = asked.map_or(PAUSE, Duration::from_secs).clamp(SHORTEST, LONGEST);
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if busy.len() >= MOST_BUSY {
                busy.clear();
            }
            let key = (repository.host().as_str().to_owned(), method.clone());
            busy.insert(key, Busy { until: Instant::now() + pause, said: problem.clone() });
        }
        let mut headers = headers;
        if !self.clients_answer {
            // A client would show what it has for us to whomever the registry names.
            headers.remove(WWW_AUTHENTICATE);
        }
        // Whatever is no error cannot be passed on as one.
        let is_error = status.is_client_error() || status.is_server_error();
        if !is_error {
            return Refusal::Unreached(problem);
        }
        Refusal::Upstream(Box::new(Said { status, headers, problem }))
    }
}

fn followed(whose: Whose) -> Manner {
    Manner { whose, redirects: Redirects::Followed }
}

/// Everything that an image can be, in one order: so that a tag has one digest, whatever a client accepts.
pub(crate) fn canonical() -> HeaderMap {
    let all = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
    all.into_iter().map(|accepted| (ACCEPT, HeaderValue::from_static(accepted))).collect()
}

/// Of a blob: longer ones are cut off.
pub(crate) const LARGEST_BLOB: u64 = 1 << 40;
/// How long a registry is left alone that does not say for how long.
const PAUSE: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_secs(1);
/// One that says longer would freeze what is known, too.
const LONGEST: Duration = Duration::from_secs(30);
const MOST_BUSY: usize = 1024;
