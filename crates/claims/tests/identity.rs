//! Whom a certificate names: one name, one issuer, and none that two readers could read as two.

use bulla_claims::identity::{Identity, IdentityPattern, Pattern};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

const ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 1];
const ISSUER_V2: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
const WORKFLOW: &str = "https://github.com/org/app/.github/workflows/release.yml@refs/heads/main";

fn certificate(names: Vec<SanType>, extensions: &[(&[u64], &[u8])]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    for (oid, content) in extensions {
        params.custom_extensions.push(CustomExtension::from_oid_content(oid, content.to_vec()));
    }
    let key = KeyPair::generate().expect("a key");
    params.self_signed(&key).expect("a certificate").der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("is ASCII"))
}

fn email(text: &str) -> SanType {
    SanType::Rfc822Name(Ia5String::try_from(text).expect("is ASCII"))
}

fn utf8(text: &str) -> Vec<u8> {
    [&[0x0c, u8::try_from(text.len()).expect("is short")], text.as_bytes()].concat()
}

fn refused(names: Vec<SanType>, extensions: &[(&[u64], &[u8])]) -> String {
    Identity::from_certificate(&certificate(names, extensions)).expect_err("is refused").to_string()
}

#[test]
fn the_issuer_is_that_of_the_newer_extension_and_else_of_the_older() {
    let (old, new) = (b"https://old.example".as_slice(), utf8("https://new.example"));
    for (extensions, issuer) in [
        (&[(&ISSUER_V2[..], new.as_slice())][..], "https://new.example"),
        (&[(&ISSUER[..], old), (&ISSUER_V2[..], &new)], "https://new.example"),
        (&[(&ISSUER[..], old)], "https://old.example"),
    ] {
        let identity =
            Identity::from_certificate(&certificate(vec![uri(WORKFLOW)], extensions)).expect("is one");
        assert_eq!(identity, Identity { issuer: issuer.to_owned(), subject: WORKFLOW.to_owned() });
    }
    // A newer one that cannot be read must not let the older speak.
    assert_eq!(
        refused(vec![uri(WORKFLOW)], &[(&ISSUER[..], old), (&ISSUER_V2[..], old)]),
        "certificate has an issuer of identities that is no UTF-8 text"
    );
    assert_eq!(
        refused(vec![uri(WORKFLOW)], &[(&ISSUER[..], old), (&ISSUER[..], b"https://other.example")]),
        "certificate has the extension 1.3.6.1.4.1.57264.1.1 twice, once was expected"
    );
    assert_eq!(
        refused(vec![uri(WORKFLOW)], &[]),
        "certificate names no issuer of identities, extension 1.3.6.1.4.1.57264.1.8 was expected"
    );
    assert_eq!(
        refused(vec![uri(WORKFLOW)], &[(&ISSUER[..], b"")]),
        "certificate has an issuer of 0 bytes, 1 to 4096 were expected"
    );
}

#[test]
fn more_than_one_name_is_nobody() {
    let issuer = utf8("https://issuer.example");
    let extensions: &[(&[u64], &[u8])] = &[(&ISSUER_V2, &issuer)];
    for names in [
        vec![email("alice@example.org"), email("bob@example.org")],
        vec![uri(WORKFLOW), email("alice@example.org")],
        vec![uri(WORKFLOW), uri(WORKFLOW)],
        // The one kind of name that is not looked at must not hide.
        vec![SanType::DnsName(Ia5String::try_from("example.org").expect("is ASCII")), uri(WORKFLOW)],
    ] {
        assert_eq!(
            refused(names, extensions),
            "certificate has 2 subject alternative names, exactly one was expected"
        );
    }
    assert_eq!(refused(vec![], extensions), "certificate has no subject alternative name, one was expected");
    let dns = SanType::DnsName(Ia5String::try_from("example.org").expect("is ASCII"));
    assert_eq!(
        refused(vec![dns], extensions),
        "certificate names neither an e-mail address nor a URI nor a user name"
    );
    let name = SanType::OtherName((vec![1, 3, 6, 1, 4, 1, 57264, 1, 7], "alice!example".to_owned().into()));
    let identity = Identity::from_certificate(&certificate(vec![name], extensions)).expect("is one");
    assert_eq!(identity.subject, "alice!example");
    assert_eq!(
        Identity::from_certificate(b"\x30\x00").expect_err("is none").to_string(),
        "certificate is not one DER X.509 certificate"
    );
}

#[test]
fn a_pattern_is_about_issuer_and_subject_of_a_certificate() {
    let issuer = utf8("https://token.actions.githubusercontent.com");
    let identity = Identity::from_certificate(&certificate(vec![uri(WORKFLOW)], &[(&ISSUER_V2, &issuer)]))
        .expect("is one");
    let github = Pattern::exact("https://token.actions.githubusercontent.com").expect("is one");
    let pattern = |subject| IdentityPattern { issuer: github.clone(), subject };
    assert!(pattern(Pattern::exact(WORKFLOW).expect("is one")).matches(&identity));
    assert!(
        pattern(Pattern::glob("https://github.com/org/**@refs/heads/main").expect("is one"))
            .matches(&identity)
    );
    assert!(
        pattern(Pattern::regex(r"^https://github\.com/org/.+@refs/heads/main$").expect("is one"))
            .matches(&identity)
    );
    assert!(!pattern(Pattern::glob("https://github.com/org/*").expect("is one")).matches(&identity));
    let evil = Identity { issuer: "https://evil.example".to_owned(), ..identity };
    assert!(!pattern(Pattern::exact(WORKFLOW).expect("is one")).matches(&evil));
}
