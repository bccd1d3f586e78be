//! What somebody else asks of a registry, handed on: the status and the headers come back as they are, the body as it comes.

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;

use super::answer::{self, Body};
use super::client::Client;
use super::error::{Error, Problem};
use super::reference::Repository;
use super::tokens::Action;
use super::transport::{Ask, At, Manner};

/// What is asked: it is read only.
pub(crate) struct Forward<'a> {
    /// Of which repository.
    pub(crate) repository: &'a Repository,
    /// GET or HEAD.
    pub(crate) method: Method,
    /// What comes after the name of the repository, with the query: `manifests/latest`.
    pub(crate) rest: String,
    /// What is handed on of the headers.
    pub(crate) headers: HeaderMap,
    /// As whom, and how far.
    pub(crate) manner: Manner,
    /// How many bytes may come, which is what is given time for.
    pub(crate) largest: u64,
}

/// What came back, of which the body is not read yet.
pub(crate) struct Passed {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    response: Response,
    at: String,
}

impl Client {
    /// Asks once. Any answer is one, whatever its status; an error is that there was none.
    pub(crate) async fn forward(&self, asked: Forward<'_>) -> Result<Passed, Error> {
        let place = format!("{}: {}", asked.repository, asked.rest);
        let path = format!("/v2/{}/{}", asked.repository.name(), asked.rest);
        self.passed(asked, path, place).await
    }

    /// Asks whether the registry lets somebody in.
    pub(crate) async fn enter(&self, repository: &Repository, manner: Manner) -> Result<Passed, Error> {
        let (method, rest, headers) = (Method::GET, String::new(), HeaderMap::new());
        let asked = Forward { repository, method, rest, headers, manner, largest: 0 };
        self.passed(asked, "/v2/".to_owned(), repository.host().to_string()).await
    }

    async fn passed(&self, asked: Forward<'_>, path: String, place: String) -> Result<Passed, Error> {
        let Forward { repository, method, headers, manner, largest, .. } = asked;
        let (action, at, body) = (Action::Pull, At::Path(path), Bytes::new());
        let ask = Ask { repository, action, method, at, headers, body, largest, manner };
        let response = self.send(&ask).await.map_err(|problem| problem.at(&place))?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        // Whoever gets it asks another host than we did.
        if let Some(target) = headers.get(LOCATION).and_then(|target| target.to_str().ok())
            && let Ok(target) = response.url().join(target)
            && let Ok(target) = HeaderValue::from_str(target.as_str())
        {
            headers.insert(LOCATION, target);
        }
        Ok(Passed { status, headers, response, at: place })
    }
}

impl Passed {
    /// The whole body, of at most so many bytes.
    pub(crate) async fn bytes(self, limit: u64) -> Result<Bytes, Error> {
        answer::read(self.response, limit).await.map_err(|problem| problem.at(self.at))
    }

    /// What the registry says in a body of an error, as an error.
    pub(crate) async fn refusal(self) -> Error {
        answer::refusal(self.response).await.at(self.at)
    }

    /// The body part by part, of at most so many bytes.
    pub(crate) fn parts(self, limit: u64) -> Result<Parts, Error> {
        let at = self.at;
        match Body::new(self.response, limit) {
            Ok(body) => Ok(Parts { body }),
            Err(problem) => Err(problem.at(at)),
        }
    }
}

/// A body as it comes.
pub(crate) struct Parts {
    body: Body,
}

impl Parts {
    /// The next part; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.body.next().await.map_err(|problem: Problem| problem.to_string())
    }
}
