//! Certificates and their chains at the v1 door: which key, which names, and whether a chain holds.

mod v1;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::Rules;
use bulla_claims::pki::x509::PublicKey;
use bulla_claims::traces::{KeyCache, traces};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair, OtherNameValue,
    PublicKeyData as _, SanType, date_time_ymd,
};
use serde_json::{Value, json};
use v1::{ARTIFACT, judged, pem, sha256, stored};

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no name");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    params
}

/// A leaf of ten minutes, long expired.
fn leaf() -> CertificateParams {
    let text = |text: &str| Ia5String::try_from(text).expect("ASCII");
    let mut params = CertificateParams::new(Vec::new()).expect("no name");
    let fulcio = [1, 3, 6, 1, 4, 1, 57264, 1];
    params.subject_alt_names = vec![
        SanType::OtherName((
            fulcio.iter().copied().chain([7]).collect(),
            OtherNameValue::Utf8String("User!Other".to_owned()),
        )),
        SanType::URI(text("https://example.org/Workflow")),
        SanType::IpAddress("2001:db8::1".parse().expect("an address")),
        SanType::IpAddress("192.0.2.1".parse().expect("an address")),
        SanType::Rfc822Name(text("Alice@example.org")),
        SanType::DnsName(text("example.org")),
    ];
    let extension = |last: u64, value: &[u8]| {
        let oid: Vec<u64> = fulcio.iter().copied().chain([last]).collect();
        CustomExtension::from_oid_content(&oid, value.to_vec())
    };
    params.custom_extensions =
        vec![extension(1, b"https://old.example.org"), extension(8, b"\x0c\x17https://New.example.org")];
    (params.not_before, params.not_after) = (date_time_ymd(2021, 6, 1), date_time_ymd(2021, 6, 2));
    params
}

struct Chain {
    key: KeyPair,
    leaf: Vec<u8>,
    middle: Vec<u8>,
    root: Vec<u8>,
}

impl Chain {
    fn new(leaf: &CertificateParams, root: CertificateParams) -> Self {
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(root, key()).expect("a certificate");
        let middle = CertifiedIssuer::signed_by(issuer("middle"), key(), &root).expect("a certificate");
        let key = key();
        let leaf = leaf.signed_by(&key, &middle).expect("a certificate").der().to_vec();
        Self { key, leaf, middle: middle.der().to_vec(), root: root.der().to_vec() }
    }

    fn spec(&self, pem: &str) -> Value {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.key.serialize_der());
        let random = aws_lc_rs::rand::SystemRandom::new();
        let signature = pair.expect("a key").sign(&random, ARTIFACT).expect("it signs");
        json!({
            "data": { "hash": { "algorithm": "sha256", "value": sha256(ARTIFACT) } },
            "signature": {
                "content": STANDARD.encode(signature),
                "publicKey": { "content": STANDARD.encode(pem) }
            }
        })
    }

    fn refused(&self, pem: &str) -> String {
        judged("hashedrekord", "0.0.1", &self.spec(pem), &Rules::default()).expect_err("no chain").to_string()
    }
}

fn certificates(chain: &[&[u8]]) -> String {
    chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

#[test]
fn a_chain_is_judged_when_its_leaf_begins() {
    let chain = Chain::new(&leaf(), issuer("root"));
    let whole = certificates(&[&chain.leaf, &chain.middle, &chain.root]);
    // An expired leaf and one without its issuers are fine.
    for pem in [whole.clone(), certificates(&[&chain.leaf]), certificates(&[&chain.leaf, &chain.middle])] {
        let spec = chain.spec(&pem);
        let admitted = judged("hashedrekord", "0.0.1", &spec, &Rules::default()).expect("it holds");
        assert_eq!(stored(&admitted), spec);
        let spelt = pem.replace('\n', "\r\n").replace("-----BEGIN", "\n issuer=somebody\n-----BEGIN");
        let admitted =
            judged("hashedrekord", "0.0.1", &chain.spec(&spelt), &Rules::default()).expect("it holds");
        assert_eq!(stored(&admitted)["signature"]["publicKey"], spec["signature"]["publicKey"]);
    }

    let field = "spec.signature.publicKey.content: certificate chain";
    let broken = format!("{field} does not lead from its first certificate to its last: UnknownIssuer");
    assert_eq!(chain.refused(&certificates(&[&chain.leaf, &chain.root])), broken);
    let other = Chain::new(&leaf(), issuer("root"));
    assert_eq!(
        chain.refused(&certificates(&[&chain.leaf, &other.middle, &other.root])),
        format!("{field} does not lead from its first certificate to its last: InvalidSignatureForPublicKey")
    );
    assert!(
        chain.refused(&format!("{whole}{}", chain.key.public_key_pem())).contains("PEM of \"PUBLIC KEY\"")
    );

    let mut late = issuer("root");
    late.not_before = date_time_ymd(2022, 1, 1);
    let late = Chain::new(&leaf(), late);
    assert_eq!(
        late.refused(&certificates(&[&late.leaf, &late.middle, &late.root])),
        format!("{field} ends in a certificate that is not valid when its first one begins")
    );
    let mut late = leaf();
    (late.not_before, late.not_after) = (date_time_ymd(2031, 1, 1), date_time_ymd(2031, 1, 2));
    let late = Chain::new(&late, issuer("root"));
    assert!(late.refused(&certificates(&[&late.leaf, &late.middle, &late.root])).contains("CertExpired"));
}

#[test]
fn names_come_in_their_order_and_are_found_in_lower_case() {
    let chain = Chain::new(&leaf(), issuer("root"));
    let text = certificates(&[&chain.leaf, &chain.middle, &chain.root]);
    let key = PublicKey::parse(text.as_bytes()).expect("a key");
    assert_eq!(key.canonical(), text.as_bytes());
    assert_eq!(key.spki(), chain.key.subject_public_key_info());
    assert_eq!(
        key.subjects(),
        [
            "example.org",
            "Alice@example.org",
            "2001:db8::1",
            "192.0.2.1",
            "https://example.org/Workflow",
            "User!Other"
        ]
    );
    let found = key.traces();
    assert_eq!(found.identities, key.subjects().iter().map(|name| name.to_lowercase()).collect::<Vec<_>>());
    assert_eq!(found.issuer.as_deref(), Some("https://new.example.org"));
    let (canonical, spki) = (sha256(text.as_bytes()), sha256(&chain.key.subject_public_key_info()));
    let named = |hex: &str| format!("sha256:{hex}");
    assert_eq!(found.fingerprints, [canonical.clone(), named(&canonical), spki.clone(), named(&spki)]);

    let mut old = leaf();
    old.custom_extensions.pop();
    let old = Chain::new(&old, issuer("root"));
    let key = PublicKey::parse(certificates(&[&old.leaf]).as_bytes()).expect("a key");
    assert_eq!(key.traces().issuer.as_deref(), Some("https://old.example.org"));
}

#[test]
fn a_key_is_found_however_it_was_logged() {
    let chain = Chain::new(&leaf(), issuer("root"));
    let spki = STANDARD.encode(chain.key.subject_public_key_info());
    let certificate = STANDARD.encode(&chain.leaf);
    let v2 = |verifier: &str| {
        format!(
            r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"q80="}},"signature":{{"content":"AAAA","verifier":{{"keyDetails":"PKIX_ECDSA_P256_SHA_256",{verifier}}}}}}}}}}}"#
        )
    };
    let mut keys = KeyCache::new();
    let mut of = |body: &str| traces(body.as_bytes(), &mut keys).expect("it is an entry");
    let v1 = |pem: &str| {
        let admitted =
            judged("hashedrekord", "0.0.1", &chain.spec(pem), &Rules::default()).expect("it is good");
        String::from_utf8(admitted.body).expect("JSON")
    };
    let bare = of(&v2(&format!(r#""publicKey":{{"rawBytes":"{spki}"}}"#)));
    assert_eq!(bare.digests, ["sha256:abcd"]);
    let leaf = of(&v2(&format!(r#""x509Certificate":{{"rawBytes":"{certificate}"}}"#)));
    assert_eq!(bare.keys, of(&v1(&pem("PUBLIC KEY", &chain.key.subject_public_key_info()))).keys);
    assert_eq!(leaf.keys, of(&v1(&certificates(&[&chain.leaf]))).keys);
    assert_eq!(leaf.keys[0].fingerprints[2..], bare.keys[0].fingerprints[2..]);
    assert_eq!((leaf.keys[0].identities.len(), bare.keys[0].identities.len()), (6, 0));
}
