//! The doors of the issuer for tests and laptops. They open to this machine alone: to a loopback peer, who names this machine
//! as the host, since a page from elsewhere may have a name that leads here; and no page from elsewhere may post to them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_web::is_loopback;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};

use crate::api::body::received;
use crate::dev::{DEVICE_GRANT, DevIssuer, Grant, GrantError, LIFETIME_SECONDS, Subject, pages};
use crate::oidc::quoted;

/// Who is at the other end of the connection. Whoever listens puts it among a request's extensions; without it the
/// request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(pub IpAddr);

/// The routes, below the issuer's URL: discovery, keys, `/authorize`, `/token`, `/device/code`, `/device`, and `/mint`, which
/// gives scripts a token for `email=` or `sub=` and an optional `audience=` at once. Bodies have at most 16 KiB.
pub fn routes(issuer: Arc<DevIssuer>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/keys", get(keys))
        .route("/authorize", get(ask).post(approve))
        .route("/token", post(token))
        .route("/device/code", post(device_code))
        .route("/device", get(device).post(approve_device))
        .route("/mint", post(mint))
        .layer(middleware::from_fn(guard))
        .with_state(issuer)
}

async fn guard(request: Request, next: Next) -> Response {
    let refused = |problem: &str| {
        let body = json!({"error": "access_denied", "error_description": problem});
        with_headers((StatusCode::FORBIDDEN, body.to_string()).into_response(), "application/json")
    };
    let peer = request.extensions().get::<Peer>();
    if !peer.is_some_and(|Peer(address)| address.to_canonical().is_loopback()) {
        return refused("this issuer answers its own machine alone");
    }
    if FORWARDED.iter().any(|name| request.headers().contains_key(*name)) {
        return refused("this issuer answers its own machine alone, and this came through a proxy");
    }
    let Some(host) = host(request.uri(), request.headers()) else {
        return refused("host is not this machine's: use localhost, 127.0.0.1 or [::1]");
    };
    if request.method() == Method::POST && !is_own(&host, request.headers()) {
        return refused("a page from elsewhere may not post to this issuer");
    }
    next.run(request).await
}

/// What proxies say of the one that they ask for.
const FORWARDED: [&str; 6] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// What the client calls this machine, with the port.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(HOST).iter();
    let named = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok()?.to_owned(),
        // HTTP/2 says it in the URI.
        (None, _) => uri.authority()?.to_string(),
        (Some(_), Some(_)) => return None,
    };
    let authority: http::uri::Authority = named.parse().ok()?;
    let plain = !named.contains('@') && matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    plain.then_some(named)
}

/// Whether a browser says that the page which posts is ours. What is no browser does not say.
fn is_own(host: &str, headers: &HeaderMap) -> bool {
    let own = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        origin
            .split_once("://")
            .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && rest == host)
    };
    let site = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    headers.get_all(ORIGIN).iter().all(own) && headers.get_all("sec-fetch-site").iter().all(site)
}

async fn configuration(State(issuer): State<Arc<DevIssuer>>) -> Response {
    with_headers(issuer.configuration().to_string().into_response(), "application/json")
}

async fn keys(State(issuer): State<Arc<DevIssuer>>) -> Response {
    with_headers(issuer.key_set().to_owned().into_response(), "application/json")
}

async fn ask(uri: Uri) -> Response {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes());
    let asked = match form.and_then(|form| Asked::read(&form)) {
        Ok(asked) => asked,
        Err(error) => return error.into_page(),
    };
    let lead = format!("{} asks who you are.", asked.client);
    let page = pages::form("authorize", &lead, &asked.fields(), None);
    with_headers(page.into_response(), HTML)
}

async fn approve(State(issuer): State<Arc<DevIssuer>>, body: Body) -> Response {
    let approved = async {
        let form = Form::receive(body).await?;
        let asked = Asked::read(&form)?;
        let subject = form.email()?;
        Ok::<_, OauthError>((asked, subject))
    };
    let (asked, subject) = match approved.await {
        Ok(approved) => approved,
        Err(error) => return error.into_page(),
    };
    let grant = Grant {
        subject,
        client: asked.client,
        redirect: asked.redirect.clone(),
        challenge: asked.challenge,
        nonce: asked.nonce,
    };
    let code = match issuer.codes().grant(grant, Timestamp::now()) {
        Ok(code) => code,
        Err(problem) => return OauthError::ours(problem).into_page(),
    };
    if asked.redirect == OUT_OF_BAND {
        return with_headers(pages::code(&code).into_response(), HTML);
    }
    let Ok(mut to) = Url::parse(&asked.redirect) else {
        return OauthError::request("redirect_uri is not a URL".to_owned()).into_page();
    };
    to.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = &asked.state {
        to.query_pairs_mut().append_pair("state", state);
    }
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::from_str(to.as_str()) {
        response.headers_mut().insert(LOCATION, to);
    }
    with_headers(response, HTML)
}

async fn token(State(issuer): State<Arc<DevIssuer>>, headers: HeaderMap, body: Body) -> Response {
    let answered = async {
        let form = Form::receive(body).await?;
        let client = client(&headers, &form)?;
        let now = Timestamp::now();
        let verifier = form.get("code_verifier");
        let (subject, nonce) = match form.get("grant_type") {
            Some("authorization_code") => {
                let (code, redirect) = (form.required("code")?, form.required("redirect_uri")?);
                let grant = issuer.codes().redeem(code, &client, redirect, verifier, now)?;
                (grant.subject, grant.nonce)
            }
            Some(DEVICE_GRANT) => {
                let code = form.required("device_code")?;
                (issuer.codes().redeem_device(code, &client, verifier, now)?, None)
            }
            other => {
                let given = quoted(other.unwrap_or_default());
                let problem =
                    format!("grant_type is {given}, authorization_code or {DEVICE_GRANT} was expected");
                return Err(OauthError::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", problem));
            }
        };
        let token = issuer.mint(&subject, &client, nonce.as_deref(), now).map_err(OauthError::ours)?;
        Ok(json!({
            "access_token": token,
            "id_token": token,
            "token_type": "Bearer",
            "expires_in": LIFETIME_SECONDS,
        }))
    };
    answer(answered.await)
}

async fn device_code(State(issuer): State<Arc<DevIssuer>>, headers: HeaderMap, body: Body) -> Response {
    let answered = async {
        let form = Form::receive(body).await?;
        let (client, challenge) = (client(&headers, &form)?, form.challenge()?);
        let device = issuer.codes().device(&client, challenge, Timestamp::now()).map_err(OauthError::ours)?;
        let page = format!("{}/device", issuer.url());
        Ok(json!({
            "device_code": device.code,
            "user_code": device.user_code,
            "verification_uri_complete": format!("{page}?user_code={}", device.user_code),
            "verification_uri": page,
            "expires_in": LIFETIME_SECONDS,
            "interval": 1,
        }))
    };
    answer(answered.await)
}

async fn device(uri: Uri) -> Response {
    match Form::parse(uri.query().unwrap_or_default().as_bytes()) {
        Ok(form) => {
            let code = form.get("user_code").unwrap_or_default();
            let page = pages::form("device", "A device asks who you are.", &[], Some(code));
            with_headers(page.into_response(), HTML)
        }
        Err(error) => error.into_page(),
    }
}

async fn approve_device(State(issuer): State<Arc<DevIssuer>>, body: Body) -> Response {
    let approved = async {
        let form = Form::receive(body).await?;
        let (code, subject) = (form.required("user_code")?, form.email()?);
        if issuer.codes().approve(code, subject, Timestamp::now()) {
            return Ok(());
        }
        Err(OauthError::request("user_code is unknown, was used, or is older than ten minutes".to_owned()))
    };
    match approved.await {
        Ok(()) => {
            let page = pages::message("Signed in", "Go back to the device; this page may be closed.");
            with_headers(page.into_response(), HTML)
        }
        Err(error) => error.into_page(),
    }
}

async fn mint(State(issuer): State<Arc<DevIssuer>>, body: Body) -> Response {
    let answered = async {
        let form = Form::receive(body).await?;
        let subject = match (form.get("email"), form.get("sub")) {
            (Some(email), None) => Subject::email(email),
            (None, Some(uri)) => Subject::uri(uri),
            _ => return Err(OauthError::request("either email or sub was expected".to_owned())),
        };
        let subject = subject.map_err(|error| OauthError::request(error.to_string()))?;
        let audience = form.get("audience").unwrap_or(DEFAULT_CLIENT);
        let token = issuer.mint(&subject, audience, None, Timestamp::now()).map_err(OauthError::ours)?;
        Ok(json!({"token": token}))
    };
    answer(answered.await)
}

/// A request for a code (RFC 6749 §4.1.1).
struct Asked {
    client: String,
    redirect: String,
    state: Option<String>,
    nonce: Option<String>,
    challenge: Option<String>,
}

impl Asked {
    fn read(form: &Form) -> Result<Self, OauthError> {
        if form.get("response_type") != Some("code") {
            let given = quoted(form.get("response_type").unwrap_or_default());
            return Err(OauthError::request(format!("response_type is {given}, code was expected")));
        }
        let redirect = form.required("redirect_uri")?;
        if !is_redirect(redirect) {
            let problem = format!(
                "redirect_uri is {}, http://localhost:PORT, http://127.0.0.1:PORT, http://[::1]:PORT or {OUT_OF_BAND} was expected",
                quoted(redirect)
            );
            return Err(OauthError::request(problem));
        }
        Ok(Self {
            client: form.get("client_id").unwrap_or(DEFAULT_CLIENT).to_owned(),
            redirect: redirect.to_owned(),
            state: form.get("state").map(ToOwned::to_owned),
            nonce: form.get("nonce").map(ToOwned::to_owned),
            challenge: form.challenge()?,
        })
    }

    /// What the page sends back.
    fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", self.client.as_str()),
            ("redirect_uri", self.redirect.as_str()),
        ];
        let given = [("state", &self.state), ("nonce", &self.nonce), ("code_challenge", &self.challenge)];
        fields.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        if self.challenge.is_some() {
            fields.push(("code_challenge_method", "S256"));
        }
        fields
    }
}

/// Whether a code that is sent there stays on this machine.
fn is_redirect(text: &str) -> bool {
    if text == OUT_OF_BAND {
        return true;
    }
    let Ok(url) = Url::parse(text) else { return false };
    url.scheme() == "http"
        && url.host_str().is_some_and(is_loopback)
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

/// The fields of a form.
struct Form(Vec<(String, String)>);

impl Form {
    async fn receive(body: Body) -> Result<Self, OauthError> {
        let received = received(body, LARGEST_BODY).await;
        Self::parse(&received.map_err(|unread| OauthError::request(unread.to_string()))?)
    }

    fn parse(bytes: &[u8]) -> Result<Self, OauthError> {
        if bytes.len() > LARGEST_BODY {
            return Err(OauthError::request("the query is longer than 16 KiB".to_owned()));
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if fields.len() == MOST_FIELDS {
                return Err(OauthError::request(format!("there are more than {MOST_FIELDS} fields")));
            }
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(OauthError::request(format!("{} is given twice", quoted(&name))));
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    /// A field that is there and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(other, value)| other == name && !value.is_empty());
        field.map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, OauthError> {
        self.get(name).ok_or_else(|| OauthError::request(format!("{name} is missing")))
    }

    fn email(&self) -> Result<Subject, OauthError> {
        Subject::email(self.required("email")?).map_err(|error| OauthError::request(error.to_string()))
    }

    /// The challenge of RFC 7636; the plain method proves nothing.
    fn challenge(&self) -> Result<Option<String>, OauthError> {
        let Some(challenge) = self.get("code_challenge") else { return Ok(None) };
        if self.get("code_challenge_method") != Some("S256") {
            let given = quoted(self.get("code_challenge_method").unwrap_or("plain"));
            return Err(OauthError::request(format!("code_challenge_method is {given}, S256 was expected")));
        }
        Ok(Some(challenge.to_owned()))
    }
}

/// Who asks for a token: by HTTP basic with an empty secret, or in the form.
fn client(headers: &HeaderMap, form: &Form) -> Result<String, OauthError> {
    let wrong =
        |problem: &str| OauthError::new(StatusCode::UNAUTHORIZED, "invalid_client", problem.to_owned());
    if form.get("client_secret").is_some() {
        return Err(wrong("client_secret is not empty, clients of this issuer have none"));
    }
    let in_form = form.get("client_id");
    let Some(given) = headers.get(AUTHORIZATION) else {
        return Ok(in_form.unwrap_or(DEFAULT_CLIENT).to_owned());
    };
    let basic = given.to_str().ok().and_then(|given| {
        let (scheme, rest) = given.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()
    });
    let Some((name, "")) = basic.as_deref().and_then(|basic| basic.split_once(':')) else {
        return Err(wrong("authorization is not basic with a client_id and an empty secret"));
    };
    // RFC 6749 §2.3.1: the name is encoded as in a form.
    let encoded = format!("c={}", name.replace('&', "%26"));
    let name = form_urlencoded::parse(encoded.as_bytes()).next().map(|(_, name)| name.into_owned());
    let name = name.unwrap_or_default();
    if in_form.is_some_and(|other| other != name) {
        return Err(wrong("client_id is another in the form"));
    }
    Ok(name)
}

/// A refusal (RFC 6749 §5.2).
struct OauthError {
    status: StatusCode,
    code: &'static str,
    problem: String,
}

impl OauthError {
    fn new(status: StatusCode, code: &'static str, problem: String) -> Self {
        Self { status, code, problem }
    }

    fn request(problem: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", problem)
    }

    fn ours(problem: String) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", problem)
    }

    /// Says it to a person. Nothing is sent to the redirect URI, which may be what is wrong.
    fn into_page(self) -> Response {
        let page = pages::message("Refused", &self.problem);
        with_headers((self.status, page).into_response(), HTML)
    }
}

impl From<GrantError> for OauthError {
    fn from(error: GrantError) -> Self {
        let (code, problem) = match error {
            GrantError::Invalid(problem) => ("invalid_grant", problem),
            GrantError::Pending => ("authorization_pending", "nobody has approved it yet"),
        };
        Self::new(StatusCode::BAD_REQUEST, code, problem.to_owned())
    }
}

fn answer(answered: Result<Value, OauthError>) -> Response {
    let (status, body) = match answered {
        Ok(body) => (StatusCode::OK, body),
        Err(OauthError { status, code, problem }) => {
            (status, json!({"error": code, "error_description": problem}))
        }
    };
    with_headers((status, body.to_string()).into_response(), "application/json")
}

/// Nothing here is to be kept, framed, or to lead elsewhere.
fn with_headers(mut response: Response, content_type: &'static str) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Stricter, and browsers would not say whose page posts.
        (REFERRER_POLICY, "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

const HTML: &str = "text/html; charset=utf-8";
/// Whose tokens are asked for if nobody says.
const DEFAULT_CLIENT: &str = "sigstore";
/// The code is shown and carried by hand.
const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";
const LARGEST_BODY: usize = 16 << 10;
const MOST_FIELDS: usize = 32;

#[cfg(test)]
mod tests;
