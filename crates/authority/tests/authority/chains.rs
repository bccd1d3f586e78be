//! Certificates of authorities: openssl believes them, and the chains that are wrong are refused by name.

use std::sync::Arc;

use bulla_authority::ca::{Chain, Issuer, Period, Profile, Serial, certify};
use jiff::SignedDuration;
use x509_parser::prelude::*;

use super::support::*;

const ATTIME: &str = "1795262400";

#[tokio::test]
async fn openssl_follows_the_hierarchy() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let hierarchy = Hierarchy::new().await;
    write(folder, "root.pem", certificate_pem(&hierarchy.root));
    write(folder, "intermediate.pem", certificate_pem(&hierarchy.intermediate));
    let strict = ["verify", "-x509_strict", "-attime", ATTIME, "-CAfile", "root.pem"];
    openssl(folder, &[&strict[..], &["root.pem"]].concat()).expect("the root holds");
    openssl(folder, &[&strict[..], &["intermediate.pem"]].concat()).expect("the intermediate holds");

    let root = Issuer::of_certificate(&hierarchy.root, &hierarchy.root_key).expect("its key");
    let year = Period::starting(now(), SignedDuration::from_hours(24 * 365)).expect("a period");
    for (name, key) in [("tsa-p256", p256()), ("tsa-p384", p384())] {
        let leaf = below(Profile::TimestampingLeaf, name, key.spki(), &root, year).await;
        write(folder, "tsa.pem", certificate_pem(&leaf));
        let purpose = ["-purpose", "timestampsign", "tsa.pem"];
        let later = ["verify", "-x509_strict", "-attime", "1795363200", "-CAfile", "root.pem"];
        openssl(folder, &[&later[..], &purpose].concat()).expect("signs timestamps");
    }
    let middle_key = p384();
    let middle = below(Profile::TimestampingIntermediate, "tsa ca", middle_key.spki(), &root, year).await;
    let middle_issuer = Issuer::of_certificate(&middle, &middle_key).expect("its key");
    let leaf = below(Profile::TimestampingLeaf, "tsa", p256().spki(), &middle_issuer, year).await;
    write(folder, "middle.pem", certificate_pem(&middle));
    write(folder, "tsa.pem", certificate_pem(&leaf));
    let arguments = [
        "verify",
        "-x509_strict",
        "-attime",
        "1795363200",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "middle.pem",
        "-purpose",
        "timestampsign",
        "tsa.pem",
    ];
    openssl(folder, &arguments).expect("signs timestamps");
}

#[tokio::test]
async fn each_profile_says_what_it_may_do() {
    let hierarchy = Hierarchy::new().await;
    let root = parse(&hierarchy.root);
    let intermediate = parse(&hierarchy.intermediate);
    assert_eq!(root.subject().to_string(), "O=Corp, CN=root");
    let lifetime = |certificate: &X509Certificate<'_>| {
        (certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp())
            / 86_400
    };
    assert_eq!((lifetime(&root), lifetime(&intermediate)), (3652, 1826));
    for (certificate, path_len, usages) in [(&root, None, None), (&intermediate, Some(0), Some(true))] {
        let constraints = certificate.basic_constraints().expect("reads").expect("is there");
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, path_len);
        let usage = certificate.key_usage().expect("reads").expect("is there");
        assert!(usage.critical);
        assert_eq!(usage.value.flags, 1 << 5 | 1 << 6);
        let extended = certificate.extended_key_usage().expect("reads");
        assert_eq!(extended.map(|usage| usage.value.code_signing), usages);
        let serial = certificate.raw_serial();
        assert!(serial.len() == 20 && serial[0] & 0xc0 == 0x40, "{serial:?}");
    }
    let key_id = |certificate: &X509Certificate<'_>| {
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    };
    let authority =
        intermediate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        });
    assert!(authority.is_some() && authority == key_id(&root) && authority != key_id(&intermediate));

    let issuer = Issuer::of_certificate(&hierarchy.root, &hierarchy.root_key).expect("its key");
    let period = Period::starting(now(), SignedDuration::from_hours(1)).expect("a period");
    let leaf = below(Profile::TimestampingLeaf, "tsa", p256().spki(), &issuer, period).await;
    let leaf = parse(&leaf);
    let usage = leaf.key_usage().expect("reads").expect("is there");
    assert!(usage.critical && usage.value.flags == 1);
    let extended = leaf.extended_key_usage().expect("reads").expect("is there");
    assert!(extended.critical && extended.value.time_stamping && !extended.value.code_signing);
    assert!(!leaf.is_ca());
}

fn parse(der: &[u8]) -> X509Certificate<'_> {
    X509Certificate::from_der(der).expect("a certificate").1
}

#[tokio::test]
async fn certificates_that_make_no_sense_are_not_made() {
    let key = p384();
    let itself = Issuer::of_itself(&subject("root"), &key).expect("a name");
    let period = Period::starting(now(), SignedDuration::from_hours(1)).expect("a period");
    let serial = Serial::random().expect("a number");
    let refused = async |profile, name: &str, period| {
        let made = certify(profile, &subject(name), key.spki(), &itself, period, serial).await;
        made.expect_err("is refused").to_string()
    };
    assert_eq!(refused(Profile::Root, "other", period).await, "a root is signed by itself");
    assert_eq!(refused(Profile::TimestampingLeaf, "root", period).await, "only a root is signed by itself");
    assert_eq!(
        refused(Profile::Root, "", period).await,
        "common name \"\" has 0 characters, 1 to 64 without control characters were expected"
    );
    assert_eq!(
        refused(Profile::Root, "root", Period { to: now(), ..period }).await,
        "certificate would end at 2026-11-21T12:00:00.5Z, before it begins at 2026-11-21T12:00:00.5Z"
    );
    let hierarchy = Hierarchy::new().await;
    let other = Issuer::of_certificate(&hierarchy.root, &key).err().expect("is refused").to_string();
    assert_eq!(other, "issuing key is not that of the certificate of CN=root,O=Corp");
}

#[tokio::test]
async fn a_chain_says_what_is_wrong_with_which_certificate() {
    let hierarchy = Hierarchy::new().await;
    let spki = hierarchy.key.spki();
    let refused = |text: &str, spki: &[u8]| Chain::read(text, spki).expect_err("is refused").to_string();
    let (root, intermediate) = (certificate_pem(&hierarchy.root), certificate_pem(&hierarchy.intermediate));
    assert_eq!(Chain::read(&hierarchy.pem(), spki).expect("holds").certificates().len(), 2);
    Chain::read(&root, hierarchy.root_key.spki()).expect("a root may issue itself");

    assert_eq!(
        refused("nothing", spki),
        "certificate chain: text is not PEM: a line -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE----- was expected"
    );
    assert_eq!(
        refused(&"x".repeat(65_537), spki),
        "certificate chain: 65537 bytes of PEM, at most 65536 were expected"
    );
    assert_eq!(
        refused(&root.repeat(9), spki),
        "certificate chain: text has more than 8 PEM blocks, at most 8 were expected"
    );
    assert_eq!(
        refused(&bulla_claims::keys::public_key_pem(spki), spki),
        "certificate chain: block 1 is PEM of \"PUBLIC KEY\", CERTIFICATE was expected"
    );
    assert_eq!(
        refused(&hierarchy.pem(), p384().spki()),
        "certificate chain: the issuing key is not that of certificate 1 (CN=intermediate,O=Corp), the first certificate has to be the issuing one"
    );
    assert_eq!(
        refused(&intermediate, spki),
        "certificate chain: certificate 1 (CN=intermediate,O=Corp) is issued by CN=root,O=Corp, the next certificate is of CN=intermediate,O=Corp"
    );
    let other = Hierarchy::new().await;
    assert_eq!(
        refused(&(intermediate.clone() + &certificate_pem(&other.root)), spki),
        "certificate chain: certificate 1 (CN=intermediate,O=Corp) is not signed by CN=root,O=Corp: signature does not verify"
    );
    let at = |seconds: i64| {
        let now = jiff::Timestamp::from_second(seconds).expect("a time");
        Chain::read(&hierarchy.pem(), spki).expect("reads").judge_at(now).expect_err("is refused").to_string()
    };
    assert_eq!(
        at(1_700_000_000),
        "certificate chain: certificates of the authority are valid from 2026-11-20T12:00:00Z until 2031-11-20T12:00:00Z, it is 2023-11-14T22:13:20Z"
    );
    assert_eq!(
        at(2_000_000_000),
        "certificate chain: certificates of the authority are valid from 2026-11-20T12:00:00Z until 2031-11-20T12:00:00Z, it is 2033-05-18T03:33:20Z"
    );
}

#[tokio::test]
async fn only_an_authority_for_code_signing_issues() {
    let hierarchy = Hierarchy::new().await;
    let root = Issuer::of_certificate(&hierarchy.root, &hierarchy.root_key).expect("its key");
    let period = Period::starting(now(), SignedDuration::from_hours(1)).expect("a period");
    let key = Arc::new(p384());
    let refused = async |profile, path: &[&[u8]], issuer: &Issuer<'_>| {
        let made = below(profile, "it", key.spki(), issuer, period).await;
        let text: String = [&made[..]].iter().chain(path).map(|der| certificate_pem(der)).collect();
        Chain::read(&text, key.spki()).expect_err("is refused").to_string()
    };
    assert_eq!(
        refused(Profile::TimestampingLeaf, &[&hierarchy.root], &root).await,
        "certificate chain: certificate 1 (CN=it,O=Corp) is not a certificate authority, basic constraints CA:TRUE were expected"
    );
    assert_eq!(
        refused(Profile::TimestampingIntermediate, &[&hierarchy.root], &root).await,
        "certificate chain: certificate 1 (CN=it,O=Corp) is not for code signing, extended key usage codeSigning or none was expected"
    );
    let below_intermediate =
        Issuer::of_certificate(&hierarchy.intermediate, hierarchy.key.as_ref()).expect("its key");
    assert_eq!(
        refused(
            Profile::CodeSigningIntermediate,
            &[&hierarchy.intermediate, &hierarchy.root],
            &below_intermediate
        )
        .await,
        "certificate chain: certificate 2 (CN=intermediate,O=Corp) allows fewer certificate authorities below it than the 1 there are"
    );
}
