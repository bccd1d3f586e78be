use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use axum::Router;
use axum::routing::get;
use http::{HeaderMap, Uri};

use super::*;

const TOKEN: &str = "aa.bb.cc";

/// Surroundings with nothing in them but these variables.
fn with(variables: &[(&str, &str)], folder: &Path) -> Surroundings {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Surroundings {
        variable: Box::new(move |name| variables.get(name).cloned()),
        google_metadata: "http://127.0.0.1:1".to_owned(),
        product_name: folder.join("product_name"),
        buildkite_agent: folder.join("buildkite-agent"),
        kubernetes_token: folder.join("oidc-token"),
    }
}

async fn found(surroundings: &Surroundings) -> Result<Option<(String, &'static str)>, String> {
    let token = ambient_in(surroundings, "sigstore").await.map_err(|error| error.to_string())?;
    Ok(token.map(|token| (token.text().to_owned(), token.source())))
}

fn token(source: &'static str) -> (String, &'static str) {
    (TOKEN.to_owned(), source)
}

/// Answers with what it was asked.
async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let github = |uri: Uri, headers: HeaderMap| async move {
        let right =
            uri.query() == Some("api=1&audience=sigstore") && headers["authorization"] == "Bearer secret";
        if right { format!("{{\"value\": {TOKEN:?}}}") } else { "{}".to_owned() }
    };
    let google = |uri: Uri, headers: HeaderMap| async move {
        let right =
            uri.query() == Some("audience=sigstore&format=full") && headers["metadata-flavor"] == "Google";
        if right { format!("{TOKEN}\n") } else { String::new() }
    };
    let router = Router::new()
        .route("/github", get(github))
        .route("/computeMetadata/v1/instance/service-accounts/default/identity", get(google));
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is() {
    let folder = tempfile::tempdir().expect("a directory");
    assert_eq!(found(&with(&[], folder.path())).await, Ok(None));
    assert_eq!(found(&with(&[("SIGSTORE_ID_TOKEN", "")], folder.path())).await, Ok(None));
}

#[tokio::test]
async fn each_place_is_asked_in_its_own_way() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let url = serve().await;
    assert_eq!(
        found(&with(&[("SIGSTORE_ID_TOKEN", TOKEN)], folder)).await,
        Ok(Some(token("SIGSTORE_ID_TOKEN")))
    );
    let asked = format!("{url}/github?api=1");
    let github =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", asked.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret")];
    assert_eq!(found(&with(&github, folder)).await, Ok(Some(token(GITHUB))));
    let gitlab = with(&[("GITLAB_CI", "true"), ("MY_CA_ID_TOKEN", TOKEN)], folder);
    let given = ambient_in(&gitlab, "my-ca").await.expect("a token").expect("a token");
    assert_eq!((given.text(), given.source()), (TOKEN, GITLAB));
    let agent = folder.join("buildkite-agent");
    std::fs::write(
        &agent,
        "#!/bin/sh\n[ \"$*\" = 'oidc request-token --audience sigstore' ] && echo aa.bb.cc\n",
    )
    .expect("is written");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o700)).expect("is a program");
    assert_eq!(found(&with(&[("BUILDKITE", "true")], folder)).await, Ok(Some(token(BUILDKITE))));
    std::fs::write(folder.join("oidc-token"), TOKEN).expect("is written");
    assert_eq!(found(&with(&[], folder)).await, Ok(Some(token(KUBERNETES))));
    std::fs::write(folder.join("product_name"), "Google Compute Engine\n").expect("is written");
    let mut google = with(&[], folder);
    google.google_metadata = url;
    assert_eq!(found(&google).await, Ok(Some(token(GOOGLE))));
}

#[tokio::test]
async fn a_place_that_should_have_one_says_why_not() {
    let folder = tempfile::tempdir().expect("a directory");
    let folder = folder.path();
    let url = serve().await;
    let said = |variables: Vec<(&'static str, String)>| {
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let surroundings = with(&variables, folder);
        async move { found(&surroundings).await.expect_err("is refused") }
    };
    let yes = || "true".to_owned();
    assert_eq!(
        said(vec![("GITHUB_ACTIONS", yes())]).await,
        "identity token from GitHub Actions: the job may not ask for one: give it `permissions: id-token: write`"
    );
    let github = |url: String, secret: &str| {
        vec![("ACTIONS_ID_TOKEN_REQUEST_URL", url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret.to_owned())]
    };
    let found = said(github(format!("{url}/github?api=1"), "other")).await;
    assert_eq!(found, "identity token from GitHub Actions: its answer has no \"value\"");
    let found = said(github(format!("{url}/none"), "secret")).await;
    assert_eq!(found, "identity token from GitHub Actions: it answers 404 Not Found");
    assert_eq!(
        said(vec![("GITLAB_CI", yes())]).await,
        "identity token from GitLab CI: the job has no SIGSTORE_ID_TOKEN: give it `id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore`"
    );
    let found = said(vec![("BUILDKITE", yes())]).await;
    assert!(
        found.starts_with("identity token from Buildkite: ") && found.contains("No such file"),
        "{found}"
    );
    let found = said(vec![("SIGSTORE_ID_TOKEN", "secret".to_owned())]).await;
    assert_eq!(found, "identity token from SIGSTORE_ID_TOKEN: gave something that is no signed token");
    let found = said(vec![("SIGSTORE_ID_TOKEN", format!("a.b.{}", "c".repeat(16 << 10)))]).await;
    assert_eq!(found, "identity token from SIGSTORE_ID_TOKEN: gave a token of more than 16 KiB");
    let agent = folder.join("buildkite-agent");
    std::fs::write(&agent, "#!/bin/sh\nexec yes\n").expect("is written");
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o700)).expect("is a program");
    let found = said(vec![("BUILDKITE", yes())]).await;
    assert!(found.contains("signal"), "{found}");
}

#[test]
fn a_token_does_not_show_itself() {
    let token = Token::new(TOKEN, "x").expect("a token");
    assert_eq!(format!("{token:?}"), "Token { source: \"x\", .. }");
}
