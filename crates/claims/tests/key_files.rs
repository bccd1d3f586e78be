//! Key files as other tools write them, each opened here and compared with the public key that OpenSSL says it has.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::{KeyFileError, KeyKind, LogSigner, PublicKeyDetails as D, SigningKey};
use bulla_tlog::note::Signer as _;
use bulla_tlog::{Checkpoint, Hash};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name);
    std::fs::read_to_string(path).expect("the file is in the repository")
}

fn spki(name: &str) -> Vec<u8> {
    let text = file(name);
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).expect("it is PEM")
}

fn refused(name: &str, password: Option<&[u8]>) -> String {
    SigningKey::from_pem(&file(name), password).expect_err("it is refused").to_string()
}

#[test]
fn opens_what_other_tools_write() {
    let none: Option<&[u8]> = None;
    let correct: Option<&[u8]> = Some(b"correct");
    for (name, password, public, details) in [
        ("ed25519.pem", none, "ed25519.pub", D::PkixEd25519),
        ("p256.pem", none, "p256.pub", D::PkixEcdsaP256Sha256),
        // This one begins with a block of curve parameters.
        ("p256-sec1.pem", none, "p256.pub", D::PkixEcdsaP256Sha256),
        ("p384-sec1.pem", none, "p384-sec1.pub", D::PkixEcdsaP384Sha384),
        ("p521.pem", none, "p521.pub", D::PkixEcdsaP521Sha512),
        ("rsa2048-pkcs1.pem", none, "rsa2048-pkcs1.pub", D::PkixRsaPkcs1v15Of2048Sha256),
        ("rsa3072.pem", none, "rsa3072.pub", D::PkixRsaPkcs1v15Of3072Sha256),
        ("encrypted-pbkdf2.pem", correct, "ed25519.pub", D::PkixEd25519),
        ("encrypted-scrypt.pem", correct, "p256.pub", D::PkixEcdsaP256Sha256),
        ("encrypted-rsa.pem", correct, "rsa2048-pkcs1.pub", D::PkixRsaPkcs1v15Of2048Sha256),
        ("encrypted-cosign.pem", correct, "p256.pub", D::PkixEcdsaP256Sha256),
        (
            "vector-sigstore.pem",
            Some(b"correct horse".as_slice()),
            "vector-sigstore.pub",
            D::PkixEcdsaP256Sha256,
        ),
        ("encrypted-sigstore-empty.pem", Some(b"".as_slice()), "ed25519.pub", D::PkixEd25519),
    ] {
        let key = SigningKey::from_pem(&file(name), password).expect(name);
        assert_eq!(key.spki(), spki(public), "{name}");
        assert_eq!(key.details(), details, "{name}");

        let signer = LogSigner::new("log.example.org", key).expect("the name can be an origin");
        let signature = signer.sign(b"text\n").expect("it signs");
        assert!(signer.verifier().verify(b"text\n", &signature), "{name}");
        assert!(!signer.verifier().verify(b"another\n", &signature), "{name}");
        assert_eq!((signer.name(), signer.key_id()), ("log.example.org", signer.verifier().key_id()));
        assert_eq!(signer.key().details(), details);

        let root = bulla_tlog::empty_root();
        let origin = "log.example.org".to_owned();
        let checkpoint = Checkpoint { origin, size: 0, root, extensions: Vec::new() };
        let served = checkpoint.sign(&signer).expect("it signs").to_string();
        assert_eq!(Checkpoint::open(&served, signer.verifier()).expect(name).0, checkpoint);
    }
}

#[test]
fn a_missing_or_wrong_password_is_said() {
    for name in ["encrypted-pbkdf2.pem", "encrypted-scrypt.pem", "encrypted-rsa.pem", "encrypted-cosign.pem"]
    {
        assert_eq!(refused(name, None), "key is encrypted, its password was expected");
        for wrong in [b"".as_slice(), b"Correct", b"correct\n"] {
            assert_eq!(refused(name, Some(wrong)), "password is wrong, or the key file is damaged", "{name}");
        }
    }
    // Padding that happens to be right must not make another error of it.
    for attempt in 0..600 {
        let wrong = attempt.to_string();
        let error = SigningKey::from_pem(&file("encrypted-rsa.pem"), Some(wrong.as_bytes()));
        assert_eq!(error.expect_err("it is wrong"), KeyFileError::WrongPassword, "{wrong}");
    }
    assert!(SigningKey::from_pem(&file("ed25519.pem"), Some(b"not needed")).is_ok());
}

#[test]
fn other_encryption_is_refused_with_the_way_out() {
    let expected = "encryption of the key is not supported: PBES2 with AES-CBC and PBKDF2 over SHA-2 or scrypt was \
                    expected, convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD -out NEW";
    for name in ["encrypted-sha1.pem", "encrypted-3des.pem", "encrypted-pbes1.pem"] {
        assert_eq!(refused(name, Some(b"correct")), expected, "{name}");
    }
    assert_eq!(
        refused("openssl-old.pem", Some(b"correct")),
        "encryption of the key is not supported: it is in OpenSSL's old format, convert it with: \
         openssl pkcs8 -topk8 -in OLD -out NEW"
    );
}

#[test]
fn other_keys_are_refused_by_name() {
    let refused = |name| refused(name, None);
    assert_eq!(
        refused("x25519.pem"),
        "not a key that can sign here: key is of algorithm 1.3.101.110, Ed25519, ECDSA or RSA was expected"
    );
    assert_eq!(
        refused("secp256k1.pem"),
        "not a key that can sign here: key is on curve 1.3.132.0.10, P-256, P-384 or P-521 was expected"
    );
    let rsa = refused("rsa1024.pem");
    assert_eq!(rsa, "not a key that can sign here: not an RSA key: TooSmall");
    assert_eq!(
        refused("openssh.pem"),
        "PEM block \"OPENSSH PRIVATE KEY\" is not a private key of a kind that is read here, \"PRIVATE KEY\" was expected"
    );
    assert_eq!(
        refused("ed25519.pub"),
        "PEM block \"PUBLIC KEY\" is not a private key of a kind that is read here, \"PRIVATE KEY\" was expected"
    );
}

#[test]
fn what_is_no_pem_is_said() {
    let refused = |text: &str| SigningKey::from_pem(text, None).expect_err("it is refused").to_string();
    assert_eq!(refused(""), "not a key in PEM: no line -----BEGIN PRIVATE KEY----- in it");
    assert_eq!(
        refused("-----BEGIN PRIVATE KEY-----\nAAAA\n"),
        "not a key in PEM: it has no END line that matches its BEGIN line"
    );
    assert_eq!(
        refused("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----"),
        "not a key in PEM: what is between its dashes is not base64"
    );
    assert_eq!(
        refused("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----"),
        "not a key that can sign here: not an SEC 1 key on P-256, P-384 or P-521"
    );
    assert_eq!(refused(&" ".repeat(65_537)), "key file is 65537 bytes, at most 65536 were expected");
    // Windows line ends and text around the block are fine.
    let text = format!("# my key\r\n\r\n{}\r\n", file("ed25519.pem").replace('\n', "\r\n"));
    assert!(SigningKey::from_pem(&text, None).is_ok());
}

#[test]
fn the_work_a_file_asks_for_is_bounded() {
    let sealed = |json: &str| {
        let base64 = STANDARD.encode(json);
        let label = "ENCRYPTED SIGSTORE PRIVATE KEY";
        let text = format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n");
        SigningKey::from_pem(&text, Some(b"")).expect_err("it is refused").to_string()
    };
    let json = |kdf: &str, params: &str, cipher: &str, nonce: &str| {
        format!(
            r#"{{"kdf":{{"name":"{kdf}","params":{params},"salt":"AA=="}},"cipher":{{"name":"{cipher}","nonce":"{nonce}"}},"ciphertext":"AA=="}}"#
        )
    };
    let nonce = STANDARD.encode([0; 24]);
    for (params, said) in [
        (r#"{"N":4194304,"r":8,"p":1}"#, "N=4194304 r=8 p=1"),
        (r#"{"N":9223372036854775808,"r":8,"p":1}"#, "N=9223372036854775808 r=8 p=1"),
        (r#"{"N":1000,"r":8,"p":1}"#, "N=1000 r=8 p=1"),
        (r#"{"N":1024,"r":8,"p":1000000}"#, "N=1024 r=8 p=1000000"),
        (r#"{"N":0,"r":0,"p":0}"#, "N=0 r=0 p=0"),
    ] {
        assert_eq!(
            sealed(&json("scrypt", params, "nacl/secretbox", &nonce)),
            format!(
                "encryption of the key is not supported: scrypt with {said}, \
                 a power of two of at most 256 MiB and p of at most 16 was expected"
            )
        );
    }
    let small = r#"{"N":2,"r":1,"p":1}"#;
    assert_eq!(
        sealed(&json("argon2", small, "nacl/secretbox", &nonce)),
        "encryption of the key is not supported: \"argon2\" and \"nacl/secretbox\", \
         \"scrypt\" and \"nacl/secretbox\" were expected"
    );
    assert_eq!(
        sealed(&json("scrypt", small, "nacl/secretbox", "AA==")),
        "encryption of the key is not supported: its nonce is not 24 bytes"
    );
    assert_eq!(
        sealed(&json("scrypt", small, "nacl/secretbox", "*")),
        "encryption of the key is not supported: a value in it is not base64"
    );
    assert_eq!(
        sealed(&json("scrypt", small, "nacl/secretbox", &nonce)),
        "password is wrong, or the key file is damaged"
    );
    assert_eq!(
        sealed("{}"),
        "encryption of the key is not supported: not the JSON of an scrypt derivation and a NaCl secret box"
    );
}

#[test]
fn a_new_key_is_another_each_time_and_opens() {
    let [one, two] = [SigningKey::generate_ed25519_pem(), SigningKey::generate_ed25519_pem()];
    assert_ne!(one, two);
    let key = SigningKey::from_pem(&one, None).expect("it is a key");
    assert_eq!(key.details(), D::PkixEd25519);
    // What OpenSSL writes for such a key: a header of 16 bytes and the 32 of the key.
    assert!(one.starts_with("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI"), "{one}");
    assert_eq!(format!("{key:?}"), "SigningKey(PKIX_ED25519)");
}

/// How many scrypt derivations and RSA keys this makes decides how long it takes: each kind is sealed once in each way.
#[test]
fn every_kind_of_key_is_written_and_read_back() {
    for kind in KeyKind::ALL {
        assert_eq!(kind.flag().parse(), Ok(kind));
        let key = SigningKey::generate(kind).expect("is made");
        let sigstore = key.to_sigstore_pem(b"correct").expect("is written");
        assert!(
            sigstore.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYi"),
            "{sigstore}"
        );
        let pkcs8 = key.to_encrypted_pkcs8_pem(b"correct").expect("is written");
        assert!(pkcs8.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMI"), "{pkcs8}");
        for text in [sigstore, pkcs8] {
            let read = SigningKey::from_pem(&text, Some(b"correct")).expect("opens");
            assert_eq!((read.spki(), read.details()), (key.spki(), key.details()), "{kind}");
            assert_eq!(read.to_pkcs8(), key.to_pkcs8(), "{kind}");
            if kind == KeyKind::P256 {
                let wrong = SigningKey::from_pem(&text, Some(b"Correct")).expect_err("another password");
                assert_eq!(wrong, KeyFileError::WrongPassword);
                assert_eq!(SigningKey::from_pem(&text, None).expect_err("none"), KeyFileError::NoPassword);
            }
        }
    }
    assert_eq!(
        "rsa-1024".parse::<KeyKind>().expect_err("too small").to_string(),
        "unknown kind of key \"rsa-1024\", known are ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072, \
         rsa-4096"
    );
}

#[test]
fn a_key_of_any_form_is_written_as_pkcs8() {
    for (name, public) in [
        ("p256-sec1.pem", "p256.pub"),
        ("p384-sec1.pem", "p384-sec1.pub"),
        ("rsa2048-pkcs1.pem", "rsa2048-pkcs1.pub"),
    ] {
        let key = SigningKey::from_pem(&file(name), None).expect(name);
        let text = bulla_claims::keys::pem("PRIVATE KEY", &key.to_pkcs8().expect("is written"));
        assert_eq!(SigningKey::from_pem(&text, None).expect("opens").spki(), spki(public));
    }
}

#[test]
fn key_ids_are_those_of_the_reference() {
    // Seed 00 01 … 1f of reference rekor-v2 §10.1.
    let seed: Vec<u8> = (0..32).collect();
    let pkcs8 =
        [b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".as_slice(), &seed].concat();
    let base64 = STANDARD.encode(pkcs8);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
    let key = SigningKey::from_pem(&pem, None).expect("it is a key");
    assert_eq!(STANDARD.encode(key.spki()), "MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    let signer = LogSigner::new("log.example.org", key).expect("the name can be an origin");
    let vkey = "log.example.org+b1db5813+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    assert_eq!(signer.verifier().vkey(), vkey);
    let log_id = Hash::from_hex("b1db58133ea1204c0a96663b77acfc2fbe8334ed6276706f6d189f9dd286e0bd");
    assert_eq!(Some(signer.verifier().log_id()), log_id);

    let key = || SigningKey::from_pem(&pem, None).expect("it is a key");
    for origin in ["", "a b", "a+b", "localhost:3000", "a\nb"] {
        assert!(LogSigner::new(origin, key()).is_err(), "{origin:?}");
    }
}
