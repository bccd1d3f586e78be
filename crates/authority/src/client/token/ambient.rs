//! Tokens that the place vouches for in which a program runs: build services, clouds and clusters.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bulla_web::chain;
use reqwest::{Client, Url};
use serde_json::Value;

use super::{LONGEST, SourceError, Token};
use crate::exchange;

/// Looks up an environment variable.
pub type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the places are known by.
pub struct Surroundings {
    /// An environment variable's value.
    pub variable: Variable,
    /// Google's metadata server.
    pub google_metadata: String,
    /// Where the firmware says whose machine it is.
    pub product_name: PathBuf,
    /// Buildkite's program.
    pub buildkite_agent: PathBuf,
    /// The token of a service account, mounted.
    pub kubernetes_token: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            variable: Box::new(|name| std::env::var(name).ok()),
            google_metadata: "http://metadata.google.internal".to_owned(),
            product_name: "/sys/class/dmi/id/product_name".into(),
            buildkite_agent: "buildkite-agent".into(),
            kubernetes_token: "/var/run/sigstore/cosign/oidc-token".into(),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }
}

/// The token that this process's surroundings have for this audience, if any has one: `SIGSTORE_ID_TOKEN`, GitHub Actions,
/// GitLab CI, Buildkite, Google's clouds, a mounted service account's, in this order. Fails if one is there and does not give
/// it, since signing as somebody else would surprise. Each is asked for at most 30 seconds.
pub async fn ambient(audience: &str) -> Result<Option<Token>, SourceError> {
    ambient_in(&Surroundings::of_process(), audience).await
}

/// The same of other surroundings.
pub async fn ambient_in(surroundings: &Surroundings, audience: &str) -> Result<Option<Token>, SourceError> {
    if let Some(text) = surroundings.variable("SIGSTORE_ID_TOKEN") {
        return Token::new(&text, "SIGSTORE_ID_TOKEN").map(Some);
    }
    if let Some(token) = github(surroundings, audience).await? {
        return Ok(Some(token));
    }
    if let Some(token) = gitlab(surroundings, audience)? {
        return Ok(Some(token));
    }
    if surroundings.variable("BUILDKITE").is_some() {
        return buildkite(surroundings, audience).await.map(Some);
    }
    if let Some(token) = google(surroundings, audience).await? {
        return Ok(Some(token));
    }
    kubernetes(surroundings)
}

async fn github(surroundings: &Surroundings, audience: &str) -> Result<Option<Token>, SourceError> {
    let failed = |problem: String| SourceError { source_name: GITHUB, problem };
    let named = |name| surroundings.variable(name);
    let (url, secret) = (named("ACTIONS_ID_TOKEN_REQUEST_URL"), named("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
    let (Some(url), Some(secret)) = (url, secret) else {
        if named("GITHUB_ACTIONS").is_none() {
            return Ok(None);
        }
        let help = "the job may not ask for one: give it `permissions: id-token: write`";
        return Err(failed(help.to_owned()));
    };
    let mut url = Url::parse(&url)
        .map_err(|error| failed(format!("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL: {error}")))?;
    url.query_pairs_mut().append_pair("audience", audience);
    let answer = ask(client()?.get(url).bearer_auth(secret)).await.map_err(failed)?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|error| failed(format!("its answer is not JSON: {error}")))?;
    match answer["value"].as_str() {
        Some(text) => Token::new(text, GITHUB).map(Some),
        None => Err(failed("its answer has no \"value\"".to_owned())),
    }
}

/// GitLab puts tokens into variables that a job asks for.
fn gitlab(surroundings: &Surroundings, audience: &str) -> Result<Option<Token>, SourceError> {
    if surroundings.variable("GITLAB_CI").is_none() {
        return Ok(None);
    }
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    let name = format!("{}_ID_TOKEN", audience.chars().map(plain).collect::<String>());
    match surroundings.variable(&name) {
        Some(text) => Token::new(&text, GITLAB).map(Some),
        None => Err(SourceError {
            source_name: GITLAB,
            problem: format!("the job has no {name}: give it `id_tokens: {name}: aud: {audience}`"),
        }),
    }
}

async fn buildkite(surroundings: &Surroundings, audience: &str) -> Result<Token, SourceError> {
    let failed = |problem: String| SourceError { source_name: BUILDKITE, problem };
    let program = surroundings.buildkite_agent.clone();
    let shown = program.display().to_string();
    let mut child = Command::new(program)
        .args(["oidc", "request-token", "--audience", audience])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("{shown}: {error}")))?;
    let Some(output) = child.stdout.take() else { return Err(failed(format!("{shown}: has no output"))) };
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        output.take(LONGEST as u64 + 1).read_to_string(&mut text).map(|_bytes| text)
    });
    let Ok(read) = tokio::time::timeout(TIMEOUT, reading).await else {
        // It may be gone already.
        let _gone = child.kill();
        let _status = child.wait();
        return Err(failed(format!("{shown}: gave no answer in {} s", TIMEOUT.as_secs())));
    };
    let text =
        read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    if text.as_ref().is_ok_and(|text| text.len() > LONGEST) {
        // It would wait for somebody to read on.
        let _gone = child.kill();
    }
    let status = child.wait().map_err(|error| failed(format!("{shown}: {error}")))?;
    let text = text.map_err(|error| failed(format!("{shown}: {error}")))?;
    if !status.success() {
        return Err(failed(format!("{shown}: {status}")));
    }
    Token::new(&text, BUILDKITE)
}

async fn google(surroundings: &Surroundings, audience: &str) -> Result<Option<Token>, SourceError> {
    let failed = |problem: String| SourceError { source_name: GOOGLE, problem };
    // Elsewhere nobody must be asked by a name that anybody may have.
    let product = std::fs::read_to_string(&surroundings.product_name).unwrap_or_default();
    if !matches!(product.trim(), "Google" | "Google Compute Engine") {
        return Ok(None);
    }
    let place = format!(
        "{}/computeMetadata/v1/instance/service-accounts/default/identity",
        surroundings.google_metadata
    );
    let mut url = Url::parse(&place).map_err(|error| failed(format!("{place}: {error}")))?;
    url.query_pairs_mut().append_pair("audience", audience).append_pair("format", "full");
    let answer = ask(client()?.get(url).header("metadata-flavor", "Google")).await.map_err(failed)?;
    Token::new(&String::from_utf8_lossy(&answer), GOOGLE).map(Some)
}

fn kubernetes(surroundings: &Surroundings) -> Result<Option<Token>, SourceError> {
    let path = &surroundings.kubernetes_token;
    let failed = |error: std::io::Error| SourceError {
        source_name: KUBERNETES,
        problem: format!("{}: {error}", path.display()),
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = String::new();
    file.take(LONGEST as u64 + 2).read_to_string(&mut text).map_err(failed)?;
    Token::new(&text, KUBERNETES).map(Some)
}

fn client() -> Result<Client, SourceError> {
    let built = bulla_web::client().timeout(TIMEOUT).build();
    built.map_err(|error| SourceError { source_name: "the network", problem: chain(&error) })
}

async fn ask(request: reqwest::RequestBuilder) -> Result<Vec<u8>, String> {
    let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("it answers {}", response.status()));
    }
    exchange::read(response, 2 * LONGEST).await.map_err(|unread| unread.to_string())
}

const GITHUB: &str = "GitHub Actions";
const GITLAB: &str = "GitLab CI";
const BUILDKITE: &str = "Buildkite";
const GOOGLE: &str = "Google's metadata server";
const KUBERNETES: &str = "a service account's file";
const TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
