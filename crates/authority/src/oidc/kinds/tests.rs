//! What each type makes of claims, as its provider documents them, and each claim that it cannot do without.

use serde_json::{Value, json};

use crate::oidc::claims::Claims;
use crate::oidc::identity::{Extensions, Identity, Name};
use crate::oidc::issuers::Issuers;

fn identify(settings: &str, claims: &Value) -> Result<Identity, String> {
    let issuer = claims["iss"].as_str().unwrap_or("https://i.example").to_owned();
    let issuers = Issuers::parse(&format!("[[issuer]]\nurl = {issuer:?}\n{settings}")).expect("issuers");
    let claims = Claims::read(claims.to_string().as_bytes()).expect("claims");
    issuers.at(0).identify(&issuer, &claims).map_err(|error| error.to_string())
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().expect("claims").remove(name);
    claims
}

/// Every claim but these is needed, and is refused by name when it is missing, empty or an object.
fn each_is_needed(settings: &str, claims: &Value, optional: &[&str]) {
    for name in claims.as_object().expect("claims").keys() {
        let optional = optional.contains(&name.as_str());
        let missing = identify(settings, &without(claims, name));
        if optional {
            assert!(missing.is_ok(), "{name}");
        } else {
            let expected = format!("token's {name:?} is missing, ");
            assert!(missing.as_ref().is_err_and(|said| said.starts_with(&expected)), "{name} {missing:?}");
            let empty = identify(settings, &with(claims, name, json!("")));
            assert!(empty.is_err(), "{name}");
        }
        if !matches!(name.as_str(), "iss") {
            let said = identify(settings, &with(claims, name, json!({}))).expect_err("is refused");
            assert!(said.starts_with(&format!("token's {name:?} is an object, ")), "{said}");
        }
    }
}

fn text(value: impl Into<Option<&'static str>>) -> Option<String> {
    value.into().map(ToOwned::to_owned)
}

#[test]
fn github_workflow() {
    let claims = json!({
        "iss": "https://token.actions.githubusercontent.com",
        "sub": "repo:octo/app:environment:prod",
        "job_workflow_ref": "octo/flows/.github/workflows/build.yml@refs/tags/v1",
        "job_workflow_sha": "aaaa",
        "runner_environment": "github-hosted",
        "repository": "octo/app",
        "sha": "bbbb",
        "ref": "refs/heads/main",
        "repository_id": "11",
        "repository_owner": "octo",
        "repository_owner_id": "22",
        "workflow_ref": "octo/app/.github/workflows/ci.yml@refs/heads/main",
        "workflow_sha": "cccc",
        "workflow": "CI",
        "event_name": "push",
        "run_id": "33",
        "run_attempt": "1",
        "repository_visibility": "public",
        "environment": "prod",
    });
    let settings = "type = \"github-workflow\"";
    let san = "https://github.com/octo/flows/.github/workflows/build.yml@refs/tags/v1";
    let expected = Identity {
        name: Name::Uri(san.to_owned()),
        challenge: "repo:octo/app:environment:prod".to_owned(),
        extensions: Extensions {
            issuer: "https://token.actions.githubusercontent.com".to_owned(),
            subject: "repo:octo/app:environment:prod".to_owned(),
            github_workflow_trigger: text("push"),
            github_workflow_sha: text("bbbb"),
            github_workflow_name: text("CI"),
            github_workflow_repository: text("octo/app"),
            github_workflow_ref: text("refs/heads/main"),
            build_signer_uri: text(san),
            build_signer_digest: text("aaaa"),
            runner_environment: text("github-hosted"),
            source_repository_uri: text("https://github.com/octo/app"),
            source_repository_digest: text("bbbb"),
            source_repository_ref: text("refs/heads/main"),
            source_repository_identifier: text("11"),
            source_repository_owner_uri: text("https://github.com/octo"),
            source_repository_owner_identifier: text("22"),
            build_config_uri: text("https://github.com/octo/app/.github/workflows/ci.yml@refs/heads/main"),
            build_config_digest: text("cccc"),
            build_trigger: text("push"),
            run_invocation_uri: text("https://github.com/octo/app/actions/runs/33/attempts/1"),
            source_repository_visibility_at_signing: text("public"),
            deployment_environment: text("prod"),
        },
    };
    assert_eq!(identify(settings, &claims), Ok(expected));
    let without_environment = identify(settings, &without(&claims, "environment")).expect("an identity");
    assert_eq!(without_environment.extensions.deployment_environment, None);
    let branch = with(&claims, "job_workflow_ref", json!("o/f/.github/workflows/b.yml@refs/heads/für uns"));
    let escaped = "https://github.com/o/f/.github/workflows/b.yml@refs/heads/f%C3%BCr%20uns";
    assert_eq!(identify(settings, &branch).map(|identity| identity.name), Ok(Name::Uri(escaped.to_owned())));
    let needed = without(&claims, "iss");
    let issued = |claims: &Value| with(claims, "iss", json!("https://token.actions.githubusercontent.com"));
    for name in needed.as_object().expect("claims").keys().filter(|name| *name != "environment") {
        let said = identify(settings, &without(&issued(&needed), name)).expect_err("is refused");
        assert_eq!(said, format!("token's {name:?} is missing, a string was expected"));
        let said = identify(settings, &with(&issued(&needed), name, json!([1]))).expect_err("is refused");
        assert_eq!(said, format!("token's {name:?} is a list, a string was expected"));
    }
}

#[test]
fn gitlab_pipeline() {
    let claims = json!({
        "iss": "https://gitlab.example.org",
        "sub": "project_path:group/app:ref_type:branch:ref:main",
        "ci_config_ref_uri": "gitlab.example.org/group/app//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "aaaa",
        "runner_environment": "self-hosted",
        "project_path": "group/app",
        "project_id": "20",
        "namespace_path": "group",
        "namespace_id": 72,
        "sha": "bbbb",
        "ref": "main",
        "ref_type": "branch",
        "pipeline_source": "web",
        "job_id": "30",
        "project_visibility": "private",
        "environment": "prod",
    });
    let settings = "type = \"gitlab-pipeline\"";
    let definition = "https://gitlab.example.org/group/app//.gitlab-ci.yml@refs/heads/main";
    let expected = Identity {
        name: Name::Uri(definition.to_owned()),
        challenge: "project_path:group/app:ref_type:branch:ref:main".to_owned(),
        extensions: Extensions {
            issuer: "https://gitlab.example.org".to_owned(),
            subject: "project_path:group/app:ref_type:branch:ref:main".to_owned(),
            build_signer_uri: text(definition),
            build_signer_digest: text("aaaa"),
            runner_environment: text("self-hosted"),
            source_repository_uri: text("https://gitlab.example.org/group/app"),
            source_repository_digest: text("bbbb"),
            source_repository_ref: text("refs/heads/main"),
            source_repository_identifier: text("20"),
            source_repository_owner_uri: text("https://gitlab.example.org/group"),
            source_repository_owner_identifier: text("72"),
            build_config_uri: text(definition),
            build_config_digest: text("aaaa"),
            build_trigger: text("web"),
            run_invocation_uri: text("https://gitlab.example.org/group/app/-/jobs/30"),
            source_repository_visibility_at_signing: text("private"),
            deployment_environment: text("prod"),
            ..Extensions::default()
        },
    };
    assert_eq!(identify(settings, &claims), Ok(expected));
    let tag = identify(settings, &with(&claims, "ref_type", json!("tag"))).expect("an identity");
    assert_eq!(tag.extensions.source_repository_ref, text("refs/tags/main"));
    let said = identify(settings, &with(&claims, "ref_type", json!("x"))).expect_err("is refused");
    assert_eq!(said, r#"token's "ref_type" is "x", branch or tag was expected"#);
    for name in claims.as_object().expect("claims").keys() {
        let refused = identify(settings, &without(&claims, name));
        let optional = matches!(name.as_str(), "ci_config_sha" | "environment");
        assert_eq!(refused.is_ok(), optional, "{name}");
    }
}

#[test]
fn buildkite_job() {
    let claims = json!({
        "sub": "organization:acme:pipeline:app:ref:refs/heads/main:commit:aaaa:step:",
        "organization_slug": "acme",
        "pipeline_slug": "app",
        "build_number": 5,
        "job_id": "0184990a",
        "runner_environment": "self-hosted",
        "build_commit": "aaaa",
        "build_source": "webhook",
    });
    let settings = "type = \"buildkite-job\"";
    let identity = identify(settings, &claims).expect("an identity");
    assert_eq!(identity.name, Name::Uri("https://buildkite.com/acme/app".to_owned()));
    assert_eq!(identity.challenge, claims["sub"].as_str().expect("a subject"));
    let expected = Extensions {
        issuer: "https://i.example".to_owned(),
        subject: identity.challenge.clone(),
        run_invocation_uri: text("https://buildkite.com/acme/app/builds/5#0184990a"),
        runner_environment: text("self-hosted"),
        source_repository_digest: text("aaaa"),
        build_trigger: text("webhook"),
        ..Extensions::default()
    };
    assert_eq!(identity.extensions, expected);
    each_is_needed(settings, &claims, &[]);
}

#[test]
fn kubernetes() {
    let named = |namespace: &str, account: &str| {
        json!({"sub": "system:serviceaccount:ci:builder",
               "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "1"}}})
    };
    let settings = "type = \"kubernetes\"";
    let identity = identify(settings, &named("ci", "builder")).expect("an identity");
    let san = "https://kubernetes.io/namespaces/ci/serviceaccounts/builder";
    assert_eq!(identity.name, Name::Uri(san.to_owned()));
    assert_eq!(identity.challenge, "system:serviceaccount:ci:builder");
    for (namespace, account) in [("a/b", "c"), ("a", ".."), ("A", "b"), ("a", ""), ("-a", "b"), ("a", "b?c")]
    {
        assert!(identify(settings, &named(namespace, account)).is_err(), "{namespace} {account}");
    }
    let said = identify(settings, &json!({"sub": "a"})).expect_err("is refused");
    assert_eq!(said, r#"token's "kubernetes.io.namespace" is missing, a string was expected"#);
}

#[test]
fn email() {
    let claims = json!({"sub": "1", "email": "a@example.org", "email_verified": true,
                        "federated_claims": {"connector_id": "https://other.example"}});
    let identity = identify("type = \"email\"", &claims).expect("an identity");
    assert_eq!(identity.name, Name::Email("a@example.org".to_owned()));
    assert_eq!((identity.challenge.as_str(), identity.extensions.subject.as_str()), ("a@example.org", "1"));
    assert_eq!(identity.extensions.issuer, "https://i.example");
    assert!(identify("type = \"email\"", &with(&claims, "email_verified", json!("true"))).is_ok());
    for (value, shown) in
        [(json!(false), "false"), (json!("yes"), "\"yes\""), (json!(1), "1"), (json!(null), "null")]
    {
        let said =
            identify("type = \"email\"", &with(&claims, "email_verified", value)).expect_err("is refused");
        assert_eq!(said, format!("token's \"email_verified\" is {shown}, true was expected"));
    }
    let unsaid = without(&claims, "email_verified");
    let said = identify("type = \"email\"", &unsaid).expect_err("is refused");
    assert_eq!(said, r#"token's "email_verified" is missing, true was expected"#);
    assert!(identify("type = \"email\"\nskip-email-verified = true", &unsaid).is_ok());
    let said = identify("type = \"email\"", &with(&claims, "email", json!("a b@c"))).expect_err("is refused");
    assert_eq!(said, r#"token's "email" is "a b@c", an ASCII e-mail address was expected"#);
    each_is_needed("type = \"email\"", &without(&claims, "federated_claims"), &[]);
    let federated = "type = \"email\"\nissuer-claim = \"federated_claims.connector_id\"";
    let identity = identify(federated, &claims).expect("an identity");
    assert_eq!(identity.extensions.issuer, "https://other.example");
    let said = identify(federated, &without(&claims, "federated_claims")).expect_err("is refused");
    assert_eq!(said, r#"token's "federated_claims.connector_id" is missing, a string was expected"#);
}

#[test]
fn uri() {
    let settings = "type = \"uri\"\nsubject-domain = \"https://example.org\"";
    let name = |subject: &str| identify(settings, &json!({"sub": subject})).map(|identity| identity.name);
    assert_eq!(name("https://example.org/users/1"), Ok(Name::Uri("https://example.org/users/1".to_owned())));
    for wrong in [
        "https://other.example/1",
        "http://example.org/1",
        "https://example.org:8443/1",
        "https://example.org.other.example/1",
        "https://a@example.org/1",
        "https://example.org@other.example/1",
        "https:example.org/1",
        "https:\\\\example.org/1",
        "HTTPS://example.org/1",
        "a@example.org",
        "users/1",
        "\thttps://example.org/1",
    ] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
    let said = name("https://other.example/1").expect_err("is refused");
    assert_eq!(
        said,
        r#"token's "sub" is "https://other.example/1", a URI below https://example.org was expected"#
    );
}

#[test]
fn username() {
    let settings = "type = \"username\"\nsubject-domain = \"example.org\"";
    let name = |subject: &str| identify(settings, &json!({"sub": subject})).map(|identity| identity.name);
    assert_eq!(name("jane"), Ok(Name::Username("jane!example.org".to_owned())));
    for wrong in ["a@b", "a!b", "a b", "a\n", &"a".repeat(256)] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn spiffe() {
    let settings = "type = \"spiffe\"\nspiffe-trust-domain = \"example.org\"";
    let name = |subject: &str| identify(settings, &json!({"sub": subject})).map(|identity| identity.name);
    assert_eq!(name("spiffe://example.org/ns/a"), Ok(Name::Uri("spiffe://example.org/ns/a".to_owned())));
    for wrong in [
        "spiffe://other.example/a",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a b",
        "spiffe://example.org.other/a",
        "spiffe://a@example.org/a",
        "https://example.org/a",
    ] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn generic() {
    let settings = "type = \"generic\"\nname = \"https://ci.example.org/{project.path}\"\nchallenge-claim = \"run\"\n\
                    [issuer.extensions]\nbuild-trigger = \"{event}\"\nrunner-environment = \"{host?}\"\n";
    let claims = json!({"sub": "s", "run": 7, "event": "push", "project": {"path": "a/b"}});
    let identity = identify(settings, &claims).expect("an identity");
    assert_eq!(identity.name, Name::Uri("https://ci.example.org/a/b".to_owned()));
    assert_eq!(identity.challenge, "7");
    assert_eq!(
        (identity.extensions.build_trigger, identity.extensions.runner_environment),
        (text("push"), None)
    );
    let said = identify(settings, &without(&claims, "project")).expect_err("is refused");
    assert_eq!(said, r#"token's "project.path" is missing, a string was expected"#);
    let said = identify(settings, &without(&claims, "run")).expect_err("is refused");
    assert_eq!(said, r#"token's "run" is missing, a string was expected"#);
}

#[test]
fn generic_names_of_other_kinds() {
    let name = |form: &str, template: &str| {
        let settings = format!("type = \"generic\"\nname-kind = \"{form}\"\nname = {template:?}");
        identify(&settings, &json!({"sub": "s", "user": "jane", "odd": "a!b"})).map(|identity| identity.name)
    };
    assert_eq!(name("email", "{user}@example.org"), Ok(Name::Email("jane@example.org".to_owned())));
    assert_eq!(name("username", "{user}!example.org"), Ok(Name::Username("jane!example.org".to_owned())));
    assert!(name("username", "{odd}!example.org").is_err() && name("username", "{user}").is_err());
    assert!(name("email", "{user}").is_err() && name("uri", "{user}").is_err());
}
