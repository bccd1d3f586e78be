use super::*;

fn refused(text: &str) -> String {
    Issuers::parse(text).expect_err("is refused").to_string()
}

fn entry(rest: &str) -> String {
    format!("[[issuer]]\nurl = \"https://i.example\"\n{rest}")
}

#[test]
fn every_type_is_described_in_public() {
    let text = r#"
        [[issuer]]
        url = "https://accounts.example.org"
        type = "email"
        issuer-claim = "federated_claims.connector_id"

        [[issuer]]
        wildcard = "https://oidc.eks.*.amazonaws.com/id/*"
        type = "kubernetes"
        audience = "bulla"

        [[issuer]]
        url = "https://u.example.org"
        type = "uri"
        subject-domain = "https://example.org"
        challenge-claim = "jti"

        [[issuer]]
        url = "https://s.example.org"
        type = "spiffe"
        spiffe-trust-domain = "example.org"
    "#;
    let issuers = Issuers::parse(text).expect("issuers");
    let described = serde_json::to_value(issuers.descriptions()).expect("JSON");
    let expected = serde_json::json!([
        {"issuerUrl": "https://accounts.example.org", "audience": "sigstore", "challengeClaim": "email", "issuerType": "email"},
        {"wildcardIssuerUrl": "https://oidc.eks.*.amazonaws.com/id/*", "audience": "bulla", "challengeClaim": "sub",
         "issuerType": "kubernetes"},
        {"issuerUrl": "https://u.example.org", "audience": "sigstore", "challengeClaim": "jti", "issuerType": "uri",
         "subjectDomain": "https://example.org"},
        {"issuerUrl": "https://s.example.org", "audience": "sigstore", "challengeClaim": "sub", "issuerType": "spiffe",
         "spiffeTrustDomain": "example.org"},
    ]);
    assert_eq!(described, expected);
    assert_eq!(issuers.find("https://oidc.eks.eu-1.amazonaws.com/id/A"), Some(1));
    assert_eq!(issuers.find("https://s.example.org"), Some(3));
    assert_eq!(issuers.find("https://s.example.org/"), None);
}

#[test]
fn its_own_entry_comes_before_a_wildcard() {
    let text = "[[issuer]]\nwildcard = \"https://*.example.org\"\ntype = \"email\"\n\
                [[issuer]]\nurl = \"https://a.example.org\"\ntype = \"email\"\n";
    let issuers = Issuers::parse(text).expect("issuers");
    assert_eq!(
        (issuers.find("https://a.example.org"), issuers.find("https://b.example.org")),
        (Some(1), Some(0))
    );
}

#[test]
fn what_is_wrong_is_named() {
    let place = r#"issuer 1 ("https://i.example"): "#;
    for (rest, problem) in [
        ("type = \"email\"\naudence = \"x\"", r#"unknown key "audence", did you mean "audience"?"#),
        ("type = \"email\"\ncolour-of = \"x\"", r#"unknown key "colour-of""#),
        (
            "",
            "type is missing: set it to one of email, github-workflow, gitlab-pipeline, buildkite-job, kubernetes, spiffe, uri, username, generic",
        ),
        ("type = \"emial\"", r#"type is "emial", did you mean "email"?"#),
        (
            "type = \"x-y-z\"",
            r#"type is "x-y-z", one of email, github-workflow, gitlab-pipeline, buildkite-job, kubernetes, spiffe, uri, username, generic was expected"#,
        ),
        ("type = 1", "type is integer, a string was expected"),
        ("type = \"\"", "type is empty: set it or leave it out"),
        (
            "type = \"email\"\nskip-email-verified = \"yes\"",
            "skip-email-verified is string, true or false was expected",
        ),
        (
            "type = \"spiffe\"\nskip-email-verified = true\nspiffe-trust-domain = \"a\"",
            r#"skip-email-verified means nothing for the type "spiffe": leave it out"#,
        ),
        (
            "type = \"email\"\nsubject-domain = \"a\"",
            r#"subject-domain means nothing for the type "email": leave it out"#,
        ),
        ("type = \"spiffe\"", r#"spiffe-trust-domain is missing: set it, such as "example.org""#),
        (
            "type = \"spiffe\"\nspiffe-trust-domain = \"spiffe://a\"",
            r#"spiffe-trust-domain is "spiffe://a", a name in lower case such as "example.org" was expected"#,
        ),
        (
            "type = \"uri\"\nsubject-domain = \"a\"",
            r#"subject-domain is "a", a URL such as "https://example.org" was expected: relative URL without a base"#,
        ),
        (
            "type = \"uri\"\nsubject-domain = \"https://a/b\"",
            r#"subject-domain is "https://a/b", a URL such as "https://example.org" was expected: only scheme and host count"#,
        ),
        (
            "type = \"username\"\nsubject-domain = \"https://a\"",
            r#"subject-domain is "https://a", a host name such as "example.org" was expected"#,
        ),
        ("type = \"generic\"", r#"name is missing: set it, such as "https://ci.example.org/{project}""#),
        ("type = \"generic\"\nname = \"x\"", "name \"x\" has no claim in it: write {claim}"),
        (
            "type = \"generic\"\nname = \"{x\"",
            "name \"{x\" has a brace without its other: write {claim}, or two for one",
        ),
        (
            "type = \"generic\"\nname = \"{x}\"\nname-kind = \"dns\"",
            r#"name-kind is "dns", one of uri, email, username was expected"#,
        ),
        (
            "type = \"generic\"\nname = \"{x}\"\n[issuer.extensions]\nbuild-triger = \"{y}\"",
            r#"extensions has the unknown key "build-triger", did you mean "build-trigger"?"#,
        ),
        (
            "type = \"generic\"\nname = \"{x}\"\n[issuer.extensions]\nbuild-trigger = 1",
            r#"extensions' "build-trigger" is integer, a string was expected"#,
        ),
        (
            "type = \"email\"\nwildcard = \"https://*.example.org\"",
            "has both url and wildcard: leave one out",
        ),
        (
            "type = \"email\"\nissuer-claim = \"$.a\"",
            "issuer-claim is no path of claims: write names with dots between them, such as \"federated_claims.connector_id\"",
        ),
        (
            "type = \"email\"\njwks-file = \"a\"\nca-file = \"b\"",
            "has both jwks-file and ca-file: with its keys in a file an issuer is not asked",
        ),
    ] {
        let said = refused(&entry(rest));
        let said = said.strip_prefix(place).map_or_else(|| said.clone(), ToOwned::to_owned);
        let said = said.replace(r#"issuer 1 ("https://i.example") ("https://*.example.org"): "#, "");
        assert_eq!(said, problem, "{rest}");
    }
    assert_eq!(refused("[[issuer]]\ntype = \"email\""), "issuer 1: url is missing: set it, or wildcard");
    let said = refused("[[issuer]]\ntype = \"email\"\nurl = \"http://i.example\"");
    assert!(
        said.ends_with("url is \"http://i.example\", https is expected, or http on a loopback address"),
        "{said}"
    );
    assert_eq!(refused("issuers = 1"), r#"issuers: unknown key "issuers", did you mean "issuer"?"#);
    assert_eq!(refused("issuer = 1"), "issuers: issuer is not a list: write [[issuer]]");
    let twice = entry("type = \"email\"\n").repeat(2);
    assert!(refused(&twice).ends_with("there is another issuer https://i.example"));
    assert_eq!(refused(&" ".repeat((1 << 20) + 1)), "issuers: are 1048577 bytes, at most 1048576 are read");
    assert!(refused(&"[[issuer]]\n".repeat(1001)).ends_with("are 1001, at most 1000 are read"));
    assert!(Issuers::parse("").expect("issuers").is_empty());
}

#[test]
fn files_that_are_named_are_there() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("issuers.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).expect("is written");
        Issuers::read(&path).map(|issuers| issuers.len()).map_err(|error| error.to_string())
    };
    assert_eq!(read(&entry("type = \"email\"")), Ok(1));
    let said = read(&entry("type = \"email\"\njwks-file = \"keys.json\"")).expect_err("is refused");
    assert!(said.contains("jwks-file") && said.contains("keys.json: No such file"), "{said}");
    std::fs::write(folder.path().join("keys.json"), r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#)
        .expect("is written");
    let said = read(&entry("type = \"email\"\njwks-file = \"keys.json\"")).expect_err("is refused");
    assert!(
        said.ends_with("has no key that signs with one of RS256, RS384, RS512, ES256, ES384, ES512, EdDSA"),
        "{said}"
    );
    std::fs::write(folder.path().join("ca.pem"), "nothing").expect("is written");
    let said = read(&entry("type = \"email\"\nca-file = \"ca.pem\"")).expect_err("is refused");
    assert!(said.ends_with("ca.pem: has no certificate in PEM"), "{said}");
    let said = read(&" ".repeat((1 << 20) + 1)).expect_err("is refused");
    assert!(said.ends_with("is longer than 1048576 bytes"), "{said}");
    assert!(Issuers::read(&folder.path().join("none")).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String, key in "[a-z-]{1,12}", value: String) {
        let _any = Issuers::parse(&text);
        let _any = Issuers::parse(&entry(&format!("{key} = {text:?}\ntype = \"generic\"\nname = {value:?}")));
    }

    #[test]
    fn any_pattern_covers_or_does_not(pattern in "https://[a*.]{0,8}/[a*/]{0,8}", issuer in "https://[a.]{0,8}/[a/]{0,8}") {
        if let Ok(address) = Address::wildcard(&pattern) && address.covers(&issuer) {
            proptest::prop_assert_eq!(pattern.matches('/').count(), issuer.matches('/').count());
        }
    }
}
