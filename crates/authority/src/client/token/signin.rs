//! Signing in: by the browser on this machine, by a browser on another, or by a code that is carried over by hand. The code
//! flow with PKCE (RFC 6749, RFC 7636, RFC 8252), and the device flow (RFC 8628).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::State;
use axum::response::Html;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla_web::chain;
use http::Uri;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{SourceError, Token};
use crate::dev::{DEVICE_GRANT, pages, secret};
use crate::exchange;
use crate::oidc::{issuer_url, quoted};

/// Signing in at one issuer, as one of its clients.
#[derive(Clone, Debug)]
pub struct SignIn {
    issuer: String,
    client_id: String,
    client_secret: String,
    timeout: Duration,
    client: Client,
}

/// What the issuer says about itself.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
}

/// What is asked with, and later proves who asked.
struct Attempt {
    state: String,
    nonce: String,
    verifier: String,
}

impl SignIn {
    /// Prepares to sign in at an issuer, by https or on this machine. The client ID is the audience of the token, mostly
    /// `sigstore`; the secret mostly empty. People have `timeout` to do it.
    pub fn new(
        issuer: &str,
        client_id: &str,
        client_secret: &str,
        timeout: Duration,
    ) -> Result<Self, SourceError> {
        issuer_url(issuer).map_err(|problem| failed(format!("issuer is {}, {problem}", quoted(issuer))))?;
        let client = bulla_web::client().timeout(REQUEST_TIMEOUT).build();
        Ok(Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            timeout,
            client: client.map_err(|error| failed(chain(&error)))?,
        })
    }

    /// Signs in by the browser on this machine: `open` is given the address to open, and the code comes back to a port of
    /// this machine that listens meanwhile.
    pub async fn interactive(&self, open: impl FnOnce(&str)) -> Result<Token, SourceError> {
        let configuration = self.configuration().await?;
        let attempt = Attempt::new()?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(error.to_string()))?;
        let port = listener.local_addr().map_err(|error| failed(error.to_string()))?.port();
        let redirect = format!("http://localhost:{port}/auth/callback");
        let url = self.authorization_url(&configuration, &attempt, &redirect)?;
        let (sender, answer) = oneshot::channel();
        let callback = Arc::new(Callback { state: attempt.state.clone(), sender: Mutex::new(Some(sender)) });
        let router = Router::new().route("/auth/callback", get(called_back)).with_state(callback);
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(
            axum::serve(listener, router)
                .with_graceful_shutdown(async {
                    // Dropped or sent, it is over.
                    let _over = stopped.await;
                })
                .into_future(),
        );
        open(url.as_str());
        let answer = tokio::time::timeout(self.timeout, answer).await;
        let _gone = stop.send(());
        // The browser gets its page; one that keeps its connection open is not waited for.
        let abort = serving.abort_handle();
        let _served = tokio::time::timeout(LAST_PAGE, serving).await;
        abort.abort();
        let code = match answer {
            Err(_elapsed) => {
                return Err(failed(format!("nobody signed in for {} s", self.timeout.as_secs())));
            }
            Ok(Err(_dropped)) => return Err(failed("the listener stopped".to_owned())),
            Ok(Ok(code)) => code.map_err(failed)?,
        };
        self.exchange(&configuration, &attempt, &code, &redirect).await
    }

    /// Signs in by a code that a person carries over: `ask` is given the address to open, and returns what was typed.
    pub async fn out_of_band(
        &self,
        ask: impl AsyncFnOnce(&str) -> Result<String, String>,
    ) -> Result<Token, SourceError> {
        let configuration = self.configuration().await?;
        let attempt = Attempt::new()?;
        let url = self.authorization_url(&configuration, &attempt, OUT_OF_BAND)?;
        let asked = tokio::time::timeout(self.timeout, ask(url.as_str())).await;
        let code =
            asked.map_err(|_elapsed| failed("no code was typed in time".to_owned()))?.map_err(failed)?;
        self.exchange(&configuration, &attempt, code.trim(), OUT_OF_BAND).await
    }

    /// Signs in by a browser anywhere: `show` is given the code to type and the address to open.
    pub async fn device(&self, show: impl AsyncFnOnce(&str, &str)) -> Result<Token, SourceError> {
        let configuration = self.configuration().await?;
        let Some(endpoint) = &configuration.device_authorization_endpoint else {
            return Err(failed(
                "it has no device flow: use the browser, or carry the code by hand".to_owned(),
            ));
        };
        let attempt = Attempt::new()?;
        let challenge = attempt.challenge();
        let fields =
            [("scope", SCOPE), ("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")];
        let answer = self.post(endpoint, &fields).await?.map_err(|error| failed(error.said()))?;
        let member =
            |name: &str| answer[name].as_str().ok_or_else(|| failed(format!("its answer has no {name:?}")));
        let (device, user) = (member("device_code")?, member("user_code")?);
        let page =
            answer["verification_uri_complete"].as_str().map_or_else(|| member("verification_uri"), Ok)?;
        let seconds = |name: &str, default: u64| answer[name].as_u64().unwrap_or(default);
        let lifetime = Duration::from_secs(seconds("expires_in", 600)).min(self.timeout);
        let mut interval = Duration::from_secs(seconds("interval", 5).clamp(1, 60));
        let polling = async {
            show(user, page).await;
            loop {
                tokio::time::sleep(interval).await;
                let fields = [
                    ("grant_type", DEVICE_GRANT),
                    ("device_code", device),
                    ("code_verifier", attempt.verifier.as_str()),
                ];
                match self.post(&configuration.token_endpoint, &fields).await? {
                    Ok(answer) => return token_in(&answer, None),
                    Err(error) if error.code == "authorization_pending" => {}
                    // RFC 8628 §3.5.
                    Err(error) if error.code == "slow_down" => interval += Duration::from_secs(5),
                    Err(error) => return Err(failed(error.said())),
                }
            }
        };
        let polled = tokio::time::timeout(lifetime, polling).await;
        polled
            .unwrap_or_else(|_elapsed| Err(failed(format!("nobody signed in for {} s", lifetime.as_secs()))))
    }

    async fn configuration(&self) -> Result<Configuration, SourceError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let response = self.client.get(&url).send().await.map_err(|error| failed(chain(&error)))?;
        if !response.status().is_success() {
            return Err(failed(format!("{url} answers {}", response.status())));
        }
        let body = exchange::read(response, LARGEST).await.map_err(|unread| failed(unread.to_string()))?;
        let configuration: Configuration =
            serde_json::from_slice(&body).map_err(|error| failed(format!("{url}: {error}")))?;
        if configuration.issuer.trim_end_matches('/') != self.issuer.trim_end_matches('/') {
            return Err(failed(format!("{url} is of the issuer {}", quoted(&configuration.issuer))));
        }
        let device = configuration.device_authorization_endpoint.as_deref();
        let endpoints = [&configuration.authorization_endpoint, &configuration.token_endpoint];
        for endpoint in endpoints.into_iter().map(String::as_str).chain(device) {
            // A query is allowed there (RFC 6749 §3.1), a plain connection is not.
            issuer_url(endpoint.split('?').next().unwrap_or_default())
                .map_err(|problem| failed(format!("its endpoint is {}, {problem}", quoted(endpoint))))?;
        }
        Ok(configuration)
    }

    fn authorization_url(
        &self,
        configuration: &Configuration,
        attempt: &Attempt,
        redirect: &str,
    ) -> Result<Url, SourceError> {
        let mut url =
            Url::parse(&configuration.authorization_endpoint).map_err(|error| failed(error.to_string()))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", redirect)
            .append_pair("scope", SCOPE)
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    async fn exchange(
        &self,
        configuration: &Configuration,
        attempt: &Attempt,
        code: &str,
        redirect: &str,
    ) -> Result<Token, SourceError> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", attempt.verifier.as_str()),
        ];
        let answer = self.post(&configuration.token_endpoint, &fields).await?;
        token_in(&answer.map_err(|error| failed(error.said()))?, Some(&attempt.nonce))
    }

    /// Posts a form; the inner error is what the issuer says, which may be to wait.
    async fn post(&self, url: &str, fields: &[(&str, &str)]) -> Result<Result<Value, Said>, SourceError> {
        let form = self.form(fields);
        let request = self.client.post(url).body(form);
        let request = request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = request.send().await.map_err(|error| failed(chain(&error)))?;
        let status = response.status();
        let body = exchange::read(response, LARGEST).await.map_err(|unread| failed(unread.to_string()))?;
        let answer: Result<Value, _> = serde_json::from_slice(&body);
        let text = |answer: &Value, name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        match answer {
            Ok(answer) if status.is_success() => Ok(Ok(answer)),
            Ok(answer) if answer["error"].is_string() => Ok(Err(Said {
                code: text(&answer, "error"),
                description: text(&answer, "error_description"),
            })),
            _ => Err(failed(format!("{} answers {status}", quoted(url)))),
        }
    }

    fn form(&self, fields: &[(&str, &str)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("client_id", &self.client_id);
        if !self.client_secret.is_empty() {
            form.append_pair("client_secret", &self.client_secret);
        }
        form.finish()
    }
}

impl Attempt {
    fn new() -> Result<Self, SourceError> {
        let secret = || secret().map_err(failed);
        Ok(Self { state: secret()?, nonce: secret()?, verifier: secret()? })
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}

/// The token in an answer, to this request if there is a nonce to know it by.
fn token_in(answer: &Value, nonce: Option<&str>) -> Result<Token, SourceError> {
    let Some(text) = answer["id_token"].as_str() else {
        return Err(failed("its answer has no \"id_token\"".to_owned()));
    };
    let token = Token::new(text, SOURCE)?;
    if let Some(nonce) = nonce {
        let payload = token.text().split('.').nth(1).unwrap_or_default();
        let claims: Option<Value> =
            URL_SAFE_NO_PAD.decode(payload).ok().and_then(|payload| serde_json::from_slice(&payload).ok());
        if claims.is_none_or(|claims| claims["nonce"] != nonce) {
            return Err(failed("the token's \"nonce\" is not ours: it answers another request".to_owned()));
        }
    }
    Ok(token)
}

/// An error in an issuer's words (RFC 6749 §5.2).
struct Said {
    code: String,
    description: String,
}

impl Said {
    fn said(&self) -> String {
        format!("it answers {} {}", quoted(&self.code), quoted(&self.description))
    }
}

/// What waits for the browser to come back.
struct Callback {
    state: String,
    sender: Mutex<Option<oneshot::Sender<Result<String, String>>>>,
}

async fn called_back(State(callback): State<Arc<Callback>>, uri: Uri) -> Html<String> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let field = |name: &str| {
        form_urlencoded::parse(query).find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    };
    // Anybody may call here; only who was sent knows the state.
    if field("state").is_none_or(|state| state != callback.state) {
        return Html(pages::message("Refused", "This answers another request."));
    }
    let result = match (field("code"), field("error")) {
        (Some(code), None) => Ok(code),
        (_, error) => {
            let description = field("error_description").unwrap_or_default();
            Err(format!("it answers {} {}", quoted(&error.unwrap_or_default()), quoted(&description)))
        }
    };
    let page = match &result {
        Ok(_) => pages::message("Signed in", "Go back to the terminal; this page may be closed."),
        Err(_) => pages::message("Refused", "Go back to the terminal, which says why."),
    };
    let sender = callback.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(sender) = sender {
        // Nobody waits any more.
        let _late = sender.send(result);
    }
    Html(page)
}

fn failed(problem: String) -> SourceError {
    SourceError { source_name: SOURCE, problem }
}

const SOURCE: &str = "signing in";
const SCOPE: &str = "openid email";
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";
const LARGEST: usize = 512 << 10;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For the page that says that it is done.
const LAST_PAGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
