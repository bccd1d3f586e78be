use std::net::Ipv4Addr;

use axum::Extension;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};

use super::*;
use crate::oidc::{HttpSettings, Issuers, Name, Verifier};

/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An issuer that listens, below a path.
struct Running {
    url: String,
    issuer: Arc<DevIssuer>,
    client: Client,
}

impl Running {
    async fn start(peer: Option<IpAddr>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/dev", listener.local_addr().expect("an address"));
        let issuer = Arc::new(DevIssuer::with_new_key(&url).expect("an issuer"));
        let mut router = Router::new().nest("/dev", routes(issuer.clone()));
        if let Some(peer) = peer {
            router = router.layer(Extension(Peer(peer)));
        }
        tokio::spawn(axum::serve(listener, router).into_future());
        let client = Client::builder().redirect(Policy::none()).build().expect("a client");
        Self { url, issuer, client }
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.client.post(format!("{}{path}", self.url)).body(form)
    }

    async fn json(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        json_of(self.post(path, fields)).await
    }

    /// Signs in and returns where the browser is sent.
    async fn approved(&self, fields: &[(&str, &str)]) -> (u16, String, String) {
        let response = self.post("/authorize", fields).send().await.expect("an answer");
        let to = response.headers().get(LOCATION).map(|to| to.to_str().expect("text").to_owned());
        (response.status().as_u16(), to.unwrap_or_default(), response.text().await.expect("a body"))
    }

    fn verifier(&self, by_keys: bool) -> Verifier {
        let mut issuers = Issuers::default();
        if by_keys {
            issuers.add(self.issuer.entry("sigstore").expect("an entry")).expect("is added");
        } else {
            let entry = format!("[[issuer]]\nurl = {:?}\ntype = \"email\"", self.url);
            issuers = Issuers::parse(&entry).expect("issuers");
        }
        Verifier::new(issuers, &HttpSettings::default()).expect("a verifier")
    }
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON"))
}

fn asked(redirect: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "sigstore"),
        ("redirect_uri", redirect),
        ("state", "s&t"),
        ("nonce", "n"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("email", "jane@example.org"),
    ]
}

fn claims(token: &str) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_code_becomes_a_token_that_is_believed() {
    let running = Running::start(Some(HERE)).await;
    let redirect = "http://localhost:8123/auth/callback?x=1";
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(asked(redirect)).finish();
    let page =
        running.client.get(format!("{}/authorize?{query}", running.url)).send().await.expect("an answer");
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(page.headers()[X_FRAME_OPTIONS], "DENY");
    let page = page.text().await.expect("a page");
    assert!(page.contains(r#"name="state" value="s&amp;t""#) && page.contains(r#"type="email""#), "{page}");
    assert!(!page.contains("http://localhost:8123/auth/callback?x=1<") && !page.contains("src="), "{page}");
    let (status, to, _) = running.approved(&asked(redirect)).await;
    assert_eq!(status, 303);
    let to = Url::parse(&to).expect("a URL");
    let found: Vec<(String, String)> = to.query_pairs().into_owned().collect();
    assert_eq!((found[0].1.as_str(), found[2].1.as_str()), ("1", "s&t"));
    let code = found[1].1.as_str();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect),
        ("code_verifier", VERIFIER),
    ];
    // As sigstore-python does: the client by HTTP basic, with an empty secret.
    let (status, answer) = json_of(running.post("/token", &fields).basic_auth("sigstore", Some(""))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["id_token"], &answer["token_type"]), (&answer["access_token"], &json!("Bearer")));
    let token = answer["id_token"].as_str().expect("a token");
    let claims = claims(token);
    assert_eq!(
        (&claims["nonce"], &claims["aud"], &claims["iss"]),
        (&json!("n"), &json!("sigstore"), &json!(running.url))
    );
    for by_keys in [true, false] {
        let identity = running.verifier(by_keys).verify(token, Timestamp::now()).await.expect("is believed");
        assert_eq!(identity.name, Name::Email("jane@example.org".to_owned()));
        assert_eq!(identity.challenge, "jane@example.org");
    }
    let (status, answer) = running.json("/token", &fields).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
}

#[tokio::test]
async fn a_code_is_shown_to_who_carries_it() {
    let running = Running::start(Some(HERE)).await;
    let (status, _, page) = running.approved(&asked(OUT_OF_BAND)).await;
    assert_eq!(status, 200);
    let code = page.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next()).expect("a code");
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", OUT_OF_BAND),
        ("code_verifier", VERIFIER),
        ("client_id", "sigstore"),
    ];
    assert_eq!(running.json("/token", &fields).await.0, 200);
}

#[tokio::test]
async fn codes_are_sent_to_this_machine_alone() {
    let running = Running::start(Some(HERE)).await;
    for redirect in [
        "https://localhost:1/",
        "http://example.org/",
        "http://localhost.example.org/",
        "http://localhost@example.org/",
        "http://127.0.0.1.example.org/",
        "http://localhost:1/#a",
        "javascript:alert(1)",
        "urn:ietf:wg:oauth:2.0:oob:auto",
        "",
    ] {
        let (status, to, page) = running.approved(&asked(redirect)).await;
        assert_eq!((status, to.as_str()), (400, ""), "{redirect}");
        assert!(page.contains("redirect_uri is "), "{page}");
    }
    for redirect in ["http://localhost:1/", "http://127.0.0.1:1/a", "http://[::1]:1/"] {
        let (status, to, _) = running.approved(&asked(redirect)).await;
        assert_eq!(status, 303);
        assert!(to.starts_with(redirect), "{to}");
    }
}

#[tokio::test]
async fn requests_that_prove_nothing_are_refused() {
    let running = Running::start(Some(HERE)).await;
    let changed = |name: &str, value: &'static str| -> Vec<(String, String)> {
        let fields = asked("http://localhost:1/").into_iter();
        fields
            .map(|(field, old)| (field.to_owned(), if field == name { value } else { old }.to_owned()))
            .collect()
    };
    for (name, value, said) in [
        ("code_challenge_method", "plain", "code_challenge_method is &quot;plain&quot;, S256 was expected"),
        ("response_type", "token", "response_type is &quot;token&quot;, code was expected"),
        ("email", "jane", "email is &quot;jane&quot;, an address such as you@example.org was expected"),
        ("email", "", "email is missing"),
    ] {
        let fields = changed(name, value);
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, _, page) = running.approved(&fields).await;
        assert_eq!(status, 400);
        assert!(page.contains(said), "{page}");
    }
    let (_, to, _) = running.approved(&asked("http://localhost:1/")).await;
    let code = Url::parse(&to).expect("a URL").query_pairs().next().expect("a code").1.into_owned();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "http://localhost:1/"),
        ("code_verifier", "another"),
    ];
    let (status, answer) = running.json("/token", &fields).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    for (fields, status, error) in [
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x")], 400, "unsupported_grant_type"),
        (vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (vec![("grant_type", "authorization_code")], 400, "invalid_request"),
        (vec![("a", "1"), ("a", "2")], 400, "invalid_request"),
        (vec![("client_secret", "x")], 401, "invalid_client"),
    ] {
        let (found, answer) = running.json("/token", &fields).await;
        assert_eq!((found, answer["error"].as_str()), (status, Some(error)), "{answer}");
    }
    let secret = json_of(running.post("/token", &[]).basic_auth("sigstore", Some("x"))).await;
    assert_eq!((secret.0, secret.1["error"].as_str()), (401, Some("invalid_client")));
    let other = json_of(running.post("/token", &[("client_id", "a")]).basic_auth("b", Some(""))).await;
    assert_eq!(other.0, 401);
    let long = "x".repeat(16 << 10);
    let (status, answer) = running.json("/token", &[("code", &long)]).await;
    assert_eq!(
        (status, answer["error_description"].as_str()),
        (400, Some("body is too large, at most 16384 bytes were expected"))
    );
}

#[tokio::test]
async fn a_device_signs_in() {
    let running = Running::start(Some(HERE)).await;
    let asked = [("client_id", "sigstore"), ("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let (status, device) = running.json("/device/code", &asked).await;
    assert_eq!((status, &device["verification_uri"]), (200, &json!(format!("{}/device", running.url))));
    let text = |name: &str| device[name].as_str().expect("text").to_owned();
    let (code, user_code) = (text("device_code"), text("user_code"));
    let page = running.client.get(text("verification_uri_complete")).send().await.expect("an answer");
    assert!(page.text().await.expect("a page").contains(&format!("value=\"{user_code}\"")));
    let poll = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", code.as_str()),
        ("client_id", "sigstore"),
        ("code_verifier", VERIFIER),
    ];
    let (status, answer) = running.json("/token", &poll).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("authorization_pending")));
    let wrong =
        running.post("/device", &[("user_code", "BBBB-BBBB"), ("email", "a@example.org")]).send().await;
    assert_eq!(wrong.expect("an answer").status(), 400);
    let right =
        running.post("/device", &[("user_code", &user_code), ("email", "a@example.org")]).send().await;
    assert_eq!(right.expect("an answer").status(), 200);
    let (status, answer) = running.json("/token", &poll).await;
    assert_eq!(status, 200);
    assert_eq!(claims(answer["id_token"].as_str().expect("a token"))["email"], "a@example.org");
    assert_eq!(running.json("/token", &poll).await.0, 400);
}

#[tokio::test]
async fn scripts_are_given_tokens_at_once() {
    let running = Running::start(Some(HERE)).await;
    let verifier = running.verifier(true);
    for (field, value, name) in [
        ("email", "a@example.org", Name::Email("a@example.org".to_owned())),
        ("sub", "https://ci.example.org/1", Name::Uri("https://ci.example.org/1".to_owned())),
    ] {
        let (status, answer) = running.json("/mint", &[(field, value)]).await;
        assert_eq!(status, 200);
        let token = answer["token"].as_str().expect("a token");
        assert_eq!(verifier.verify(token, Timestamp::now()).await.expect("is believed").name, name);
    }
    let (_, answer) = running.json("/mint", &[("email", "a@example.org"), ("audience", "other")]).await;
    assert_eq!(claims(answer["token"].as_str().expect("a token"))["aud"], "other");
    for fields in
        [vec![], vec![("email", "a")], vec![("sub", "a")], vec![("email", "a@b"), ("sub", "https://a")]]
    {
        assert_eq!(running.json("/mint", &fields).await.0, 400);
    }
}

/// Each route, with the method that it knows.
const ROUTES: [(&str, &str); 9] = [
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/keys"),
    ("GET", "/authorize"),
    ("POST", "/authorize"),
    ("POST", "/token"),
    ("POST", "/device/code"),
    ("GET", "/device"),
    ("POST", "/device"),
    ("POST", "/mint"),
];

async fn statuses(running: &Running, headers: &[(&str, &str)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = running.client.request(method, format!("{}{path}", running.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn nobody_elsewhere_is_answered() {
    let elsewhere = [
        None,
        Some("192.0.2.1"),
        Some("10.0.0.1"),
        Some("::ffff:192.0.2.1"),
        Some("2001:db8::1"),
        Some("0.0.0.0"),
    ];
    for peer in elsewhere {
        let running = Running::start(peer.map(|peer| peer.parse().expect("an address"))).await;
        assert_eq!(statuses(&running, &[]).await, [403; 9], "{peer:?}");
    }
    for peer in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        let running = Running::start(Some(peer.parse().expect("an address"))).await;
        assert!(!statuses(&running, &[]).await.contains(&403), "{peer}");
    }
}

#[tokio::test]
async fn names_of_elsewhere_are_refused() {
    let running = Running::start(Some(HERE)).await;
    for host in [
        "example.org",
        "localhost.example.org",
        "127.0.0.1.example.org:80",
        "a@localhost",
        "127.0.0.2",
        "[::2]",
        "0.0.0.0",
        "localhost:x y",
    ] {
        assert_eq!(statuses(&running, &[("host", host)]).await, [403; 9], "{host}");
    }
    for host in ["localhost", "localhost:3000", "127.0.0.1:1", "[::1]", "[::1]:3000"] {
        assert!(!statuses(&running, &[("host", host)]).await.contains(&403), "{host}");
    }
}

#[tokio::test]
async fn pages_of_elsewhere_may_not_post() {
    let running = Running::start(Some(HERE)).await;
    let own = Url::parse(&running.url).expect("a URL").origin().ascii_serialization();
    let posts = |statuses: Vec<u16>| -> Vec<u16> {
        ROUTES
            .iter()
            .zip(statuses)
            .filter(|((method, _), _)| *method == "POST")
            .map(|(_, status)| status)
            .collect()
    };
    for (name, value) in [
        ("origin", "https://example.org"),
        ("origin", "null"),
        ("origin", "http://localhost:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let found = statuses(&running, &[(name, value)]).await;
        assert_eq!(posts(found), [403; 5], "{name}: {value}");
    }
    let found = statuses(&running, &[("origin", &own), ("sec-fetch-site", "same-origin")]).await;
    assert!(!posts(found).contains(&403));
}
