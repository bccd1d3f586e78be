//! What is issued: openssl believes it, the log saw it, every word of the identity is in it, and nothing else.

use std::sync::Arc;

use bulla_authority::ca::{IssueError, read_public_key};
use bulla_authority::ct::CtError;
use bulla_authority::oidc::{Extensions, Name};
use bulla_claims::SigningKey;
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::PublicKey;
use bulla_tlog::sha256;
use der::{Decode as _, Encode as _};
use jiff::SignedDuration;
use x509_cert::certificate::Certificate;
use x509_parser::prelude::*;

use super::support::*;

fn public(key: &SigningKey) -> PublicKey {
    read_public_key(&public_key_pem(key.spki())).expect("a key")
}

#[tokio::test]
async fn openssl_believes_a_leaf() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hierarchy = Hierarchy::new().await;
    let authority = hierarchy.authority(Some(FakeLog::new()));
    let key = p256();
    let identity = identity(Name::Email(EMAIL.to_owned()), EMAIL);
    let issued = authority.issue(&identity, &public(&key), now()).await.expect("a certificate");
    assert_eq!(issued.chain, [hierarchy.intermediate.clone(), hierarchy.root.clone()]);
    write(folder, "leaf.pem", certificate_pem(&issued.leaf));
    write(folder, "intermediate.pem", certificate_pem(&hierarchy.intermediate));
    write(folder, "root.pem", certificate_pem(&hierarchy.root));
    let verified = |at: &str| {
        let arguments = [
            "verify",
            "-x509_strict",
            "-attime",
            at,
            "-CAfile",
            "root.pem",
            "-untrusted",
            "intermediate.pem",
            "-purpose",
            "any",
            "-verify_email",
            EMAIL,
            "leaf.pem",
        ];
        openssl(folder, &arguments)
    };
    verified("1795262400").expect("holds when it begins");
    // openssl takes the second of the end itself for too late.
    verified("1795262999").expect("holds until it ends");
    assert!(verified("1795262399").expect_err("not before").contains("not yet valid"));
    assert!(verified("1795263001").expect_err("not after").contains("expired"));
    let text = openssl(folder, &["x509", "-in", "leaf.pem", "-noout", "-text"]).expect("reads");
    assert!(text.contains("Signed Certificate Timestamp") && text.contains("ecdsa-with-SHA384"), "{text}");
}

#[tokio::test]
async fn the_log_signed_what_is_issued_without_its_signature() {
    let hierarchy = Hierarchy::new().await;
    let log = FakeLog::new();
    let authority = hierarchy.authority(Some(log.clone()));
    let identity = identity(Name::Uri("https://example.org/a".to_owned()), "x");
    let issued = authority.issue(&identity, &public(&p256()), now()).await.expect("a certificate");

    // As a verifier does it: from the final certificate alone.
    let mut tbs = Certificate::from_der(&issued.leaf).expect("a certificate").tbs_certificate;
    let extensions = tbs.extensions.as_mut().expect("has extensions");
    let list = extensions.pop().expect("has some");
    assert_eq!(list.extn_id.to_string(), "1.3.6.1.4.1.11129.2.4.2");
    assert!(!list.critical);
    let list = list.extn_value.as_bytes();
    // An OCTET STRING: the length of the list, that of its one element.
    let content = der::asn1::OctetStringRef::from_der(list).expect("an octet string").as_bytes();
    let (all, rest) = content.split_at(2);
    assert_eq!(usize::from(u16::from_be_bytes([all[0], all[1]])), rest.len());
    let (one, sct) = rest.split_at(2);
    assert_eq!(usize::from(u16::from_be_bytes([one[0], one[1]])), sct.len());
    assert_eq!((sct[0], &sct[1..33]), (0, sha256(log.key.spki()).as_ref()));
    let timestamp: [u8; 8] = sct[33..41].try_into().expect("eight bytes");
    let at = 43 + SCT_EXTENSIONS.len();
    assert_eq!((&sct[43..at], &sct[at..at + 2]), (SCT_EXTENSIONS, &[4, 3][..]));
    let signed =
        signed_by_log(timestamp, sha256(hierarchy.key.spki()).as_ref(), &tbs.to_der().expect("encodes"));
    assert!(public(&log.key).verify_message(&signed, &sct[at + 4..]));

    let seen = log.seen.lock().expect("no panic").take().expect("was asked");
    assert_eq!(seen.chain, issued.chain);
    assert_eq!(seen.tbs, tbs.to_der().expect("encodes"));
    // What was signed for the log alone differs by its poison, and its signature is the authority's.
    let poisoned = Certificate::from_der(&seen.signed).expect("a certificate");
    let mut with_poison = poisoned.tbs_certificate.clone();
    let message = with_poison.to_der().expect("encodes");
    let poison = with_poison.extensions.as_mut().expect("has extensions").pop().expect("has some");
    assert_eq!(poison.extn_id.to_string(), "1.3.6.1.4.1.11129.2.4.3");
    assert!(poison.critical);
    assert_eq!(poison.extn_value.as_bytes(), [5, 0]);
    assert_eq!(with_poison, tbs);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, &message);
    let signature = poisoned.signature.raw_bytes();
    let key = public(&hierarchy.key);
    assert!(key.verify_digest(bulla_claims::HashAlgorithm::Sha384, digest.as_ref(), signature));
}

fn all_extensions() -> (Extensions, Vec<(u32, &'static str)>) {
    let some = |value: &str| Some(value.to_owned());
    let extensions = Extensions {
        issuer: "https://token.example".to_owned(),
        subject: "sübject".to_owned(),
        github_workflow_trigger: some("v2"),
        github_workflow_sha: some("v3"),
        github_workflow_name: some("v4"),
        github_workflow_repository: some("v5"),
        github_workflow_ref: some("v6"),
        build_signer_uri: some("v9"),
        build_signer_digest: some("v10"),
        runner_environment: some("v11"),
        source_repository_uri: some("v12"),
        source_repository_digest: some("v13"),
        source_repository_ref: some("v14"),
        source_repository_identifier: some("v15"),
        source_repository_owner_uri: some("v16"),
        source_repository_owner_identifier: some("v17"),
        build_config_uri: some("v18"),
        build_config_digest: some("v19"),
        build_trigger: some("v20"),
        run_invocation_uri: some("v21"),
        source_repository_visibility_at_signing: some("v22"),
        deployment_environment: some("v23"),
    };
    let expected = vec![
        (1, "https://token.example"),
        (2, "v2"),
        (3, "v3"),
        (4, "v4"),
        (5, "v5"),
        (6, "v6"),
        (8, "https://token.example"),
        (9, "v9"),
        (10, "v10"),
        (11, "v11"),
        (12, "v12"),
        (13, "v13"),
        (14, "v14"),
        (15, "v15"),
        (16, "v16"),
        (17, "v17"),
        (18, "v18"),
        (19, "v19"),
        (20, "v20"),
        (21, "v21"),
        (22, "v22"),
        (23, "v23"),
        (24, "sübject"),
    ];
    (extensions, expected)
}

/// The extensions 1.3.6.1.4.1.57264.1.N of a certificate, up to 6 raw, from 8 on as DER `UTF8String`.
fn read_back(certificate: &X509Certificate<'_>) -> Vec<(u32, String)> {
    let values = certificate.extensions().iter().filter_map(|extension| {
        let number =
            extension.oid.to_id_string().strip_prefix("1.3.6.1.4.1.57264.1.")?.parse::<u32>().ok()?;
        assert!(!extension.critical);
        let raw = if number <= 6 {
            extension.value
        } else {
            assert_eq!(
                (extension.value[0], usize::from(extension.value[1])),
                (12, extension.value.len() - 2)
            );
            &extension.value[2..]
        };
        Some((number, String::from_utf8(raw.to_vec()).expect("text")))
    });
    values.collect()
}

#[tokio::test]
async fn every_word_of_an_identity_is_read_back() {
    let hierarchy = Hierarchy::new().await;
    let authority = hierarchy.authority(None);
    let (extensions, expected) = all_extensions();
    for (name, read) in [
        (Name::Email(EMAIL.to_owned()), GeneralName::RFC822Name(EMAIL)),
        (Name::Uri("https://a/b@refs/heads/x".to_owned()), GeneralName::URI("https://a/b@refs/heads/x")),
        (
            Name::Username("ada!example.org".to_owned()),
            GeneralName::OtherName(
                "1.3.6.1.4.1.57264.1.7"
                    .parse()
                    .map(|oid: x509_parser::der_parser::Oid<'static>| oid)
                    .expect("an identifier"),
                b"\xa0\x11\x0c\x0fada!example.org",
            ),
        ),
    ] {
        let mut identity = identity(name, "x");
        identity.extensions = extensions.clone();
        let issued = authority.issue(&identity, &public(&p256()), now()).await.expect("a certificate");
        let (rest, leaf) = X509Certificate::from_der(&issued.leaf).expect("a certificate");
        assert!(rest.is_empty());
        let names = leaf.subject_alternative_name().expect("reads").expect("is there");
        assert!(names.critical);
        assert_eq!(names.value.general_names, [read]);
        let values = read_back(&leaf);
        let values: Vec<_> = values.iter().map(|(number, value)| (*number, value.as_str())).collect();
        assert_eq!(values, expected);
        assert_eq!(leaf.subject().iter().count(), 0);
        assert_eq!(leaf.version(), X509Version::V3);
        let usage = leaf.key_usage().expect("reads").expect("is there");
        assert!(usage.critical && usage.value.flags == 1);
        let extended = leaf.extended_key_usage().expect("reads").expect("is there").value;
        assert!(
            extended.code_signing && !extended.any && !extended.time_stamping && extended.other.is_empty()
        );
        let validity = leaf.validity();
        assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 600);
        assert_eq!(validity.not_before.timestamp(), now().as_second());
        // Without a log there is no list of timestamps.
        assert_eq!(leaf.extensions().len(), 5 + expected.len());
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_written() {
    let authority = Hierarchy::new().await.authority(None);
    let mut identity = identity(Name::Email(EMAIL.to_owned()), "x");
    identity.extensions.build_trigger = Some(String::new());
    let issued = authority.issue(&identity, &public(&p256()), now()).await.expect("a certificate");
    let (_, leaf) = X509Certificate::from_der(&issued.leaf).expect("a certificate");
    let numbers: Vec<_> = read_back(&leaf).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 8, 24]);
}

#[tokio::test]
async fn names_that_cannot_be_certified_are_refused() {
    let authority = Hierarchy::new().await.authority(None);
    let key = public(&p256());
    let refused = async |name| match authority.issue(&identity(name, "x"), &key, now()).await {
        Err(IssueError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    };
    for (email, problem) in [
        ("", "e-mail address is empty"),
        ("adä@x", "e-mail address \"adä@x\" has characters outside ASCII, which a certificate cannot name"),
        ("a b@x", "e-mail address \"a b@x\" has a space or control character, none was expected"),
        ("ada", "e-mail address \"ada\" is no address, NAME@DOMAIN was expected"),
        ("a@b@c", "e-mail address \"a@b@c\" is no address, NAME@DOMAIN was expected"),
    ] {
        assert_eq!(refused(Name::Email(email.to_owned())).await, problem);
    }
    for (uri, problem) in [
        ("", "URI is empty"),
        ("example.org", "URI \"example.org\" has no scheme, one like https://HOST/PATH was expected"),
        ("1s:x", "URI \"1s:x\" has no scheme, one like https://HOST/PATH was expected"),
        ("https://a b", "URI \"https://a b\" has a character that a URI cannot have unescaped"),
        ("https://ä", "URI \"https://ä\" has a character that a URI cannot have unescaped"),
        ("https://a/%2", "URI \"https://a/%2\" has a % without two hexadecimal digits"),
    ] {
        assert_eq!(refused(Name::Uri(uri.to_owned())).await, problem);
    }
    assert_eq!(refused(Name::Username(String::new())).await, "username is empty");
    let long = format!("https://{}", "a".repeat(5000));
    assert_eq!(refused(Name::Uri(long)).await, "URI is 5008 bytes, at most 4096 were expected");

    let mut without = identity(Name::Email(EMAIL.to_owned()), "x");
    without.extensions.subject = String::new();
    let error = authority.issue(&without, &key, now()).await.expect_err("is refused");
    assert_eq!(error, IssueError::Refused("token subject is empty".to_owned()));
}

#[tokio::test]
async fn a_leaf_ends_no_later_than_its_issuer() {
    // The intermediate lasts 1826 days.
    let start = now() - SignedDuration::from_hours(24 * 1826) + SignedDuration::from_secs(90);
    let hierarchy = Hierarchy::since(start).await;
    let authority = hierarchy.authority(None);
    let identity = identity(Name::Email(EMAIL.to_owned()), "x");
    let issued = authority.issue(&identity, &public(&p256()), now()).await.expect("a certificate");
    let (_, leaf) = X509Certificate::from_der(&issued.leaf).expect("a certificate");
    assert_eq!(leaf.validity().not_after.timestamp(), now().as_second() + 90);
    let late = now() + SignedDuration::from_secs(90);
    let error = authority.issue(&identity, &public(&p256()), late).await.expect_err("is too late");
    let expected = "certificate chain: certificates of the authority are valid from 2021-11-21T12:01:30Z until \
                    2026-11-21T12:01:30Z, it is 2026-11-21T12:01:30.5Z";
    assert_eq!(error, IssueError::Unavailable(expected.to_owned()));
}

#[tokio::test]
async fn a_log_that_does_not_help_stops_the_certificate() {
    let hierarchy = Hierarchy::new().await;
    let identity = identity(Name::Email(EMAIL.to_owned()), "x");
    let issue = async |answer| {
        let authority = hierarchy.authority(Some(FakeLog::answering(Err(answer))));
        authority.issue(&identity, &public(&p256()), now()).await.expect_err("no certificate")
    };
    assert_eq!(
        issue(CtError::Unavailable("timed out".to_owned())).await,
        IssueError::Unavailable("certificate transparency log: timed out".to_owned())
    );
    assert_eq!(
        issue(CtError::Refused("unknown root".to_owned())).await,
        IssueError::Failed("certificate transparency log refused: unknown root".to_owned())
    );
}

#[tokio::test]
async fn serial_numbers_differ() {
    let authority = Arc::new(Hierarchy::new().await.authority(None));
    let key = public(&p256());
    let mut serials = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let identity = identity(Name::Email(EMAIL.to_owned()), "x");
        let issued = authority.issue(&identity, &key, now()).await.expect("a certificate");
        let (_, leaf) = X509Certificate::from_der(&issued.leaf).expect("a certificate");
        serials.insert(leaf.raw_serial().to_vec());
    }
    assert!(serials.len() == 100 && serials.iter().all(|serial| serial.len() == 20));
}
