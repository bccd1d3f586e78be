//! Keys and proofs as clients send them, made by openssl, and the ones that are refused.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_authority::ca::{KeyKind, KeyPolicy, Request, is_proof, read_public_key};
use bulla_claims::keys::public_key_pem;

use super::support::*;

/// Makes a key, and returns its public half in PEM.
fn made(folder: &Path, options: &[&str]) -> String {
    openssl(folder, &[&["genpkey", "-out", "key.pem", "-algorithm"], options].concat()).expect("a key");
    openssl(folder, &["pkey", "-in", "key.pem", "-pubout"]).expect("its public half")
}

/// openssl's names of every kind of key that is certified, and the hash function it signs a challenge with.
const KINDS: &[(&[&str], Option<&str>)] = &[
    (&["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], Some("-sha256")),
    (&["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], Some("-sha384")),
    (&["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], Some("-sha512")),
    (&["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], Some("-sha256")),
    (&["RSA", "-pkeyopt", "rsa_keygen_bits:4096"], Some("-sha256")),
    (&["ED25519"], None),
];

#[test]
fn proofs_by_openssl_hold_for_the_challenge_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    write(folder, "challenge", EMAIL);
    for (options, hash) in KINDS {
        let key = read_public_key(&made(folder, options)).expect("a key");
        KeyPolicy::default().judge(&key).expect("is good enough");
        match hash {
            Some(hash) => openssl(folder, &["dgst", hash, "-sign", "key.pem", "-out", "proof", "challenge"]),
            None => openssl(
                folder,
                &["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "challenge", "-out", "proof"],
            ),
        }
        .expect("signs");
        let mut proof = std::fs::read(folder.join("proof")).expect("reads");
        assert!(is_proof(&key, EMAIL, &proof), "{options:?}");
        assert!(!is_proof(&key, "eve@example.org", &proof), "{options:?}");
        *proof.last_mut().expect("has bytes") ^= 1;
        assert!(!is_proof(&key, EMAIL, &proof), "{options:?}");
    }
}

#[test]
fn requests_by_openssl_are_read_and_judged() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (options, _) in KINDS {
        let public = made(folder, options);
        let arguments =
            ["req", "-new", "-key", "key.pem", "-subj", "/CN=x", "-addext", "keyUsage=keyCertSign"];
        let text = openssl(folder, &arguments).expect("a request");
        let request = Request::read(text.as_bytes()).expect("reads");
        assert_eq!(String::from_utf8_lossy(request.key().canonical()), public);
        request.judge().expect("is signed");

        // Any other byte of what is signed, or of the signature, is another request.
        let der = STANDARD
            .decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>())
            .expect("base64");
        Request::read(&der).expect("DER will do").judge().expect("is signed");
        let mut other = der.clone();
        *other.last_mut().expect("has bytes") ^= 1;
        let problem = Request::read(&other).expect("reads").judge().expect_err("is refused");
        assert_eq!(problem, "signature does not verify", "{options:?}");
        let at = der.windows(3).position(|window| window == [0x55, 4, 3]).expect("a common name");
        let mut other = der;
        other[at + 5] ^= 1;
        assert!(Request::read(&other).expect("reads").judge().is_err(), "{options:?}");
    }
}

#[test]
fn requests_that_are_none_are_refused() {
    let refused = |bytes: &[u8]| Request::read(bytes).expect_err("is refused");
    assert_eq!(refused(b""), "is empty, a certificate request in PEM was expected");
    assert!(refused(b"nonsense").starts_with("is not a PKCS#10 certificate request: "));
    assert_eq!(
        refused(public_key_pem(p256().spki()).as_bytes()),
        "is PEM of \"PUBLIC KEY\", CERTIFICATE REQUEST was expected"
    );
}

#[test]
fn keys_come_in_many_forms() {
    let key = p256();
    let pem = public_key_pem(key.spki());
    let spelled = [
        pem.clone(),
        pem.replace('\n', "\r\n"),
        STANDARD.encode(&pem),
        STANDARD.encode(key.spki()),
        STANDARD.encode(key.spki()).trim_end_matches('=').replace('+', "-").replace('/', "_"),
    ];
    for content in spelled {
        assert_eq!(read_public_key(&content).expect("a key").spki(), key.spki(), "{content}");
    }
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let refused = |content: &str| read_public_key(content).expect_err("is refused");
    assert_eq!(refused(" "), "is empty, a public key in PEM was expected");
    assert_eq!(
        refused("{}"),
        "is neither PEM nor base64: a line -----BEGIN PUBLIC KEY----- was expected first"
    );
    assert_eq!(refused("AAAA"), "is refused: public key is not DER SubjectPublicKeyInfo");
    let hierarchy = Hierarchy::new().await;
    assert_eq!(refused(&certificate_pem(&hierarchy.root)), "is a certificate, a public key was expected");
}

#[test]
fn keys_that_are_too_weak_or_unwanted_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let judged = |policy: &KeyPolicy, options: &[&str]| {
        policy.judge(&read_public_key(&made(folder, options)).expect("a key"))
    };
    let all = KeyPolicy::default();
    assert_eq!(
        judged(&all, &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
        Err("is RSA of 1024 bits, 2048 to 4096 were expected".to_owned())
    );
    assert_eq!(
        judged(&all, &["RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"]),
        Err("is RSA with another exponent than 65537, which was expected".to_owned())
    );
    let some: KeyPolicy = [KeyKind::EcdsaP384, KeyKind::Ed25519].into_iter().collect();
    assert_eq!(
        judged(&some, KINDS[0].0),
        Err("is ECDSA P-256, one of ecdsa-p384, ed25519 was expected".to_owned())
    );
    assert_eq!(judged(&some, KINDS[1].0), Ok(()));
    assert_eq!(
        "dsa".parse::<KeyKind>(),
        Err("key kind \"dsa\" is unknown, one of ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa, ed25519 was expected"
            .to_owned())
    );
    for kind in KeyKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}
