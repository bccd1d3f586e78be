//! Entries from proposal to leaf and back: every algorithm, every form of a signature, every refusal with its words.

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256};
use bulla_claims::{
    Algorithm, AlgorithmSet, Dsse, DsseRule, HashedRekord, LabelRule, Material, Proposed,
    PublicKeyDetails as D, Rules, Verifier, admit, describe,
};
use ed25519_dalek::{Digest as _, Sha512, Signer as _};
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};

const ARTIFACT: &[u8] = b"hello transparency\n";

/// A key, its digest of the artifact and its signature over it.
struct Signed {
    spki: Vec<u8>,
    digest: Vec<u8>,
    signature: Vec<u8>,
    algorithm: Algorithm,
}

impl Signed {
    fn verifier(&self) -> Verifier {
        Verifier {
            material: Material::PublicKey(self.spki.clone()),
            key_details: self.algorithm.details().number(),
        }
    }

    fn proposed(&self) -> HashedRekord {
        let (digest, signature) = (self.digest.clone(), self.signature.clone());
        HashedRekord { digest, signature, verifier: Some(self.verifier()) }
    }
}

fn ecdsa(algorithm: Algorithm) -> (EcdsaKeyPair, Vec<u8>) {
    let signing: &'static EcdsaSigningAlgorithm = match algorithm {
        Algorithm::EcdsaP384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        Algorithm::EcdsaP521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        _ => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    };
    let pair = EcdsaKeyPair::generate(signing).expect("a key");
    let spki = pair.public_key().as_der().expect("DER").as_ref().to_vec();
    (pair, spki)
}

fn sign(algorithm: Algorithm, message: &[u8]) -> Signed {
    let random = SystemRandom::new();
    let (spki, signature) = match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::EcdsaP521 => {
            let (pair, spki) = ecdsa(algorithm);
            (spki, pair.sign(&random, message).expect("it signs").as_ref().to_vec())
        }
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
            let size = match algorithm {
                Algorithm::Rsa3072 => KeySize::Rsa3072,
                Algorithm::Rsa4096 => KeySize::Rsa4096,
                _ => KeySize::Rsa2048,
            };
            let pair = RsaKeyPair::generate(size).expect("a key");
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it signs");
            (pair.public_key().as_der().expect("DER").as_ref().to_vec(), signature)
        }
        Algorithm::Ed25519Ph => {
            let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
            let signature = key.sign_prehashed(Sha512::new_with_prefix(message), None).expect("it signs");
            let spki = [ED25519_SPKI, key.verifying_key().as_bytes()].concat();
            (spki, signature.to_bytes().to_vec())
        }
    };
    let function = match algorithm.hash().name() {
        "SHA2_256" => &SHA256,
        "SHA2_384" => &SHA384,
        _ => &SHA512,
    };
    let digest = digest::digest(function, message).as_ref().to_vec();
    Signed { spki, digest, signature, algorithm }
}

fn admitted(proposed: HashedRekord, rules: &Rules) -> Vec<u8> {
    admit(&Proposed::HashedRekord(proposed), rules).expect("it is good").body
}

fn refused(proposed: HashedRekord, rules: &Rules) -> String {
    admit(&Proposed::HashedRekord(proposed), rules).expect_err("it is refused").to_string()
}

fn refused_dsse(proposed: Dsse) -> String {
    admit(&Proposed::Dsse(proposed), &Rules::default()).expect_err("it is refused").to_string()
}

const LAX: Rules =
    Rules { algorithms: AlgorithmSet::ALL, label: LabelRule::AsLaxAsUpstream, dsse: DsseRule::Transcode };

#[test]
fn every_algorithm_from_proposal_to_facts() {
    for algorithm in Algorithm::ALL {
        let signed = sign(algorithm, ARTIFACT);
        let body = admitted(signed.proposed(), &Rules::default());
        assert_eq!(body, admitted(signed.proposed(), &LAX));

        let value: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("it has a canonical form"), body);

        let facts = describe(&body).expect("it is an entry");
        let digest = facts.digest.expect("this kind has a digest");
        assert_eq!((facts.kind.as_str(), facts.version.as_str()), ("hashedrekord", "0.0.2"));
        assert_eq!((digest.algorithm.as_str(), &digest.bytes), (algorithm.hash().name(), &signed.digest));
        let [signature] = facts.signatures.as_slice() else { panic!("it has one signature") };
        assert_eq!(signature.bytes, signed.signature);
        assert_eq!(signature.material, Material::PublicKey(signed.spki.clone()));
        assert_eq!(signature.key_details, algorithm.details().name());

        // One bit of either, and the signature is no longer the key's.
        let said = format!(
            "hashedRekordRequestV002.signature.content: signature is not the {} key's over the digest{}",
            algorithm.key_name(),
            match algorithm {
                Algorithm::Ed25519Ph => ", Ed25519ph with an empty context was expected",
                Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => ", PKCS#1 v1.5 was expected",
                _ => "",
            }
        );
        let mut proposed = signed.proposed();
        proposed.digest[3] ^= 1;
        assert_eq!(refused(proposed, &Rules::default()), said);
        let mut proposed = signed.proposed();
        *proposed.signature.last_mut().expect("it is not empty") ^= 1;
        assert_eq!(refused(proposed, &Rules::default()), said);
        let mut proposed = signed.proposed();
        proposed.signature.push(0);
        assert_eq!(refused(proposed, &Rules::default()), said);
    }
}

#[test]
fn certificates_hold_keys() {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["example.org".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
    let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der());
    let pair = pair.expect("it is P-256");
    let signature = pair.sign(&SystemRandom::new(), ARTIFACT).expect("it signs").as_ref().to_vec();
    let digest = digest::digest(&SHA256, ARTIFACT).as_ref().to_vec();
    let material = Material::Certificate(certificate.clone());
    let verifier = Some(Verifier { material, key_details: 5 });
    let proposed = HashedRekord { digest, signature, verifier };
    let facts = describe(&admitted(proposed.clone(), &Rules::default())).expect("it is an entry");
    assert_eq!(facts.signatures[0].material, Material::Certificate(certificate.clone()));

    let mut chain = proposed;
    let material = Material::Certificate([certificate.as_slice(), &certificate].concat());
    chain.verifier = Some(Verifier { material, key_details: 5 });
    assert_eq!(
        refused(chain, &Rules::default()),
        format!(
            "hashedRekordRequestV002.signature.verifier.x509Certificate.rawBytes: certificate has {} bytes after \
             its end, none were expected: send the leaf alone",
            certificate.len()
        )
    );
}

/// The two numbers of a DER signature, without leading zeros.
fn numbers(der: &[u8]) -> [Vec<u8>; 2] {
    let content = if der[1] == 0x81 { &der[3..] } else { &der[2..] };
    let (r, s) = content[2..].split_at(usize::from(content[1]));
    [r, &s[2..]].map(|number| number.iter().copied().skip_while(|byte| *byte == 0).collect())
}

fn padded(number: &[u8], len: usize) -> Vec<u8> {
    [vec![0; len - number.len()], number.to_vec()].concat()
}

#[test]
fn raw_halves_are_ecdsa_signatures_too() {
    for (algorithm, len) in
        [(Algorithm::EcdsaP256, 32), (Algorithm::EcdsaP384, 48), (Algorithm::EcdsaP521, 66)]
    {
        for _ in 0..20 {
            let signed = sign(algorithm, ARTIFACT);
            let [r, s] = numbers(&signed.signature);
            // As wide as the curve, and for the smaller ones wider than that, which upstream takes as well.
            for len in [len, 66] {
                let halves = [padded(&r, len), padded(&s, len)].concat();
                let body = admitted(HashedRekord { signature: halves.clone(), ..signed.proposed() }, &LAX);
                assert_eq!(describe(&body).expect("it is an entry").signatures[0].bytes, halves);
            }
            let wide = [padded(&r, 67), padded(&s, 67)].concat();
            let swapped = [padded(&s, len), padded(&r, len)].concat();
            let odd = [padded(&r, len), padded(&s, len - usize::from(s.len() < len))].concat();
            for signature in [wide, swapped, odd[..odd.len() - 1].to_vec(), vec![0; len * 2]] {
                assert_eq!(
                    refused(HashedRekord { signature, ..signed.proposed() }, &LAX),
                    format!(
                        "hashedRekordRequestV002.signature.content: signature is not the {} key's over the digest",
                        algorithm.key_name()
                    )
                );
            }
        }
    }
}

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[test]
fn both_values_of_s_are_the_keys() {
    let signed = sign(Algorithm::EcdsaP256, ARTIFACT);
    let [r, s] = numbers(&signed.signature);
    let mut borrow = 0;
    let mut other: Vec<u8> = std::iter::zip(ORDER, padded(&s, 32))
        .rev()
        .map(|(order, byte)| {
            let difference = i16::from(order) - i16::from(byte) - borrow;
            borrow = i16::from(difference < 0);
            difference.rem_euclid(256) as u8
        })
        .collect();
    other.reverse();
    let halves =
        |s: &[u8]| HashedRekord { signature: [padded(&r, 32), padded(s, 32)].concat(), ..signed.proposed() };
    let [one, two] = [s, other].map(|s| admitted(halves(&s), &Rules::default()));
    assert_ne!(one, two, "they are different entries");
}

#[test]
fn the_first_thing_that_is_wrong_is_said() {
    let signed = sign(Algorithm::EcdsaP256, ARTIFACT);
    let empty = Verifier { material: Material::PublicKey(Vec::new()), key_details: 99 };
    let broken = Verifier { material: Material::PublicKey(vec![0x30]), key_details: 99 };
    let unlabelled = Verifier { key_details: 99, ..signed.verifier() };
    let mut proposed = HashedRekord { digest: Vec::new(), signature: Vec::new(), verifier: None };
    let mut expect = |change: &mut dyn FnMut(&mut HashedRekord), said: &str| {
        assert_eq!(refused(proposed.clone(), &Rules::default()), format!("hashedRekordRequestV002{said}"));
        change(&mut proposed);
    };
    expect(
        &mut |proposed| proposed.signature = vec![1; 70],
        ".signature.content: signature is empty, one over the digest was expected",
    );
    expect(
        &mut |proposed| proposed.verifier = Some(empty.clone()),
        ".signature.verifier: verifier is missing, a publicKey or x509Certificate with its keyDetails was expected",
    );
    expect(
        &mut |proposed| proposed.digest = vec![1; 20],
        ".digest: digest is empty, the hash of the artifact was expected",
    );
    expect(
        &mut |proposed| proposed.verifier = Some(broken.clone()),
        ".signature.verifier: verifier has no key, a publicKey or x509Certificate with rawBytes was expected",
    );
    expect(
        &mut |proposed| proposed.verifier = Some(unlabelled.clone()),
        ".signature.verifier.publicKey.rawBytes: public key is not DER SubjectPublicKeyInfo",
    );
    expect(
        &mut |proposed| proposed.verifier = Some(signed.verifier()),
        ".signature.verifier.keyDetails: keyDetails 99 is not known, PKIX_ECDSA_P256_SHA_256 fits the key",
    );
    expect(
        &mut |proposed| proposed.digest.clone_from(&signed.digest),
        ".digest: digest is 20 bytes, SHA2_256 needs 32",
    );
    expect(
        &mut |proposed| proposed.signature.clone_from(&signed.signature),
        ".signature.content: signature is not the ECDSA P-256 key's over the digest",
    );
    admitted(proposed, &Rules::default());
}

#[test]
fn labels_go_with_keys() {
    let labelled = |signed: &Signed, details: D, rules: &Rules| {
        let verifier = Some(Verifier { key_details: details.number(), ..signed.verifier() });
        let proposed = Proposed::HashedRekord(HashedRekord { verifier, ..signed.proposed() });
        let place = "hashedRekordRequestV002.signature.verifier.keyDetails: ";
        admit(&proposed, rules).map_err(|refusal| {
            refusal.to_string().strip_prefix(place).expect("it names the label's place").to_owned()
        })
    };
    let ecdsa = sign(Algorithm::EcdsaP256, ARTIFACT);
    let rsa = sign(Algorithm::Rsa2048, ARTIFACT);
    let ed25519 = sign(Algorithm::Ed25519Ph, ARTIFACT);
    let strict = Rules::default();
    for (signed, details, said) in [
        (&ecdsa, D::Unspecified, "keyDetails is missing, PKIX_ECDSA_P256_SHA_256 fits the key"),
        (
            &ecdsa,
            D::PkixEcdsaP384Sha384,
            "keyDetails PKIX_ECDSA_P384_SHA_384 does not fit the key, it is ECDSA P-256: PKIX_ECDSA_P256_SHA_256",
        ),
        (
            &rsa,
            D::PkixRsaPssOf2048Sha256,
            "keyDetails PKIX_RSA_PSS_2048_SHA256 does not fit the key, it is RSA 2048: PKIX_RSA_PKCS1V15_2048_SHA256",
        ),
        (
            &rsa,
            D::PkixEd25519,
            "keyDetails PKIX_ED25519 does not fit the key, it is RSA 2048: PKIX_RSA_PKCS1V15_2048_SHA256",
        ),
        (
            &ed25519,
            D::PkixEd25519,
            "keyDetails PKIX_ED25519 signs the artifact itself, which the log does not see: sign with PKIX_ED25519_PH",
        ),
        (&ed25519, D::MlDsa44, "keyDetails ML_DSA_44 does not fit the key, it is Ed25519: PKIX_ED25519_PH"),
    ] {
        assert_eq!(labelled(signed, details, &strict), Err(said.to_owned()));
    }

    // Upstream compares the hash only, and stores what it was told.
    for (signed, details) in [
        (&rsa, D::PkixRsaPssOf2048Sha256),
        (&rsa, D::PkixEcdsaP256Sha256),
        (&ecdsa, D::PkixRsaPkcs1v15Of4096Sha256),
        (&ecdsa, D::PkixEcdsaP384Sha256),
        (&ed25519, D::PkixEcdsaP521Sha512),
    ] {
        let body = labelled(signed, details, &LAX).expect("the hash fits").body;
        let facts = describe(&body).expect("it is an entry");
        assert_eq!(facts.signatures[0].key_details, details.name());
        let hash = details.hash().expect("it has one").name();
        assert_eq!(facts.digest.expect("this kind has a digest").algorithm, hash);
    }
    for (signed, details, said) in [
        (
            &ecdsa,
            D::PkixEcdsaP384Sha384,
            "keyDetails PKIX_ECDSA_P384_SHA_384 implies SHA2_384, an ECDSA P-256 key is accepted with SHA2_256",
        ),
        (
            &ed25519,
            D::PkixEd25519,
            "keyDetails PKIX_ED25519 signs the artifact itself, which the log does not see: sign with PKIX_ED25519_PH",
        ),
        (
            &ecdsa,
            D::LmsSha256,
            "keyDetails LMS_SHA256 does not fit the key, it is ECDSA P-256: PKIX_ECDSA_P256_SHA_256",
        ),
    ] {
        assert_eq!(labelled(signed, details, &LAX), Err(said.to_owned()));
    }
}

#[test]
fn a_log_may_accept_fewer_algorithms() {
    let flags = ["ecdsa-sha2-256-nistp256", "ed25519-ph"];
    for label in [LabelRule::MustFit, LabelRule::AsLaxAsUpstream] {
        let rules = Rules {
            algorithms: AlgorithmSet::from_flags(flags).expect("both are known"),
            label,
            ..Rules::default()
        };
        admitted(sign(Algorithm::EcdsaP256, ARTIFACT).proposed(), &rules);
        assert_eq!(
            refused(sign(Algorithm::Rsa2048, ARTIFACT).proposed(), &rules),
            "hashedRekordRequestV002.signature.verifier.keyDetails: an RSA 2048 key is not accepted by this log, \
             it accepts PKIX_ECDSA_P256_SHA_256, PKIX_ED25519_PH"
        );
    }
}

#[test]
fn a_leaf_is_at_most_65535_bytes() {
    let signed = sign(Algorithm::EcdsaP256, ARTIFACT);
    let with =
        |signature: Vec<u8>| refused(HashedRekord { signature, ..signed.proposed() }, &Rules::default());
    let overhead =
        admitted(signed.proposed(), &Rules::default()).len() - signed.signature.len().div_ceil(3) * 4;
    // The longest signature that still fits is judged by what it is.
    let fits = (65_535 - overhead) / 4 * 3;
    assert_eq!(
        with(vec![1; fits]),
        "hashedRekordRequestV002.signature.content: signature is not the ECDSA P-256 key's over the digest"
    );
    let len = overhead + (fits / 3 + 1) * 4;
    assert_eq!(
        with(vec![1; fits + 1]),
        format!("hashedRekordRequestV002: entry is {len} bytes in the log, at most 65535 were expected")
    );
    assert_eq!(
        with(vec![1; 65_536]),
        "hashedRekordRequestV002.signature.content: signature is 65536 bytes, an entry holds at most 65535 in all"
    );
    let material = Material::Certificate(vec![1; 65_536]);
    let verifier = Some(Verifier { material, key_details: 5 });
    assert_eq!(
        refused(HashedRekord { verifier, ..signed.proposed() }, &Rules::default()),
        "hashedRekordRequestV002.signature.verifier.x509Certificate.rawBytes: rawBytes is 65536 bytes, \
         an entry holds at most 65535 in all"
    );
}

fn envelope(signed: &Signed) -> Dsse {
    Dsse {
        payload: PAYLOAD.to_vec(),
        payload_type: TYPE.to_owned(),
        signatures: vec![signed.signature.clone()],
        verifiers: vec![signed.verifier()],
    }
}

const PAYLOAD: &[u8] = br#"{"a":1}"#;
const TYPE: &str = "application/vnd.in-toto+json";
const ENCODING: &[u8] = br#"DSSEv1 28 application/vnd.in-toto+json 7 {"a":1}"#;

#[test]
fn an_envelope_becomes_the_hashedrekord_over_its_encoding() {
    for algorithm in Algorithm::ALL {
        let signed = sign(algorithm, ENCODING);
        let body = admit(&Proposed::Dsse(envelope(&signed)), &Rules::default()).expect("it is good").body;
        assert_eq!(body, admitted(signed.proposed(), &Rules::default()));
    }
}

#[test]
fn envelopes_are_refused_with_the_reason() {
    let signed = sign(Algorithm::EcdsaP256, ENCODING);
    let good = || envelope(&signed);
    for (dsse, said) in [
        (
            Dsse { payload: Vec::new(), ..good() },
            ".envelope.payload: payload is empty, at least one byte was expected",
        ),
        (
            Dsse { payload: vec![0; (4 << 20) + 1], ..good() },
            ".envelope.payload: payload is 4194305 bytes, at most 4194304 were expected",
        ),
        (
            Dsse { payload_type: String::new(), ..good() },
            ".envelope.payloadType: payloadType is empty, at least one byte was expected",
        ),
        (
            Dsse { payload_type: "a".repeat(4097), ..good() },
            ".envelope.payloadType: payloadType is 4097 bytes, at most 4096 were expected",
        ),
        (
            Dsse { signatures: Vec::new(), ..good() },
            ".envelope.signatures: envelope has 0 signatures, exactly one was expected",
        ),
        (
            Dsse { signatures: vec![vec![1]; 2], ..good() },
            ".envelope.signatures: envelope has 2 signatures, exactly one was expected",
        ),
        (
            Dsse { signatures: vec![Vec::new()], ..good() },
            ".envelope.signatures[0].sig: signature is empty, at least one byte was expected",
        ),
        (
            Dsse { signatures: vec![vec![1; 65_536]], ..good() },
            ".envelope.signatures[0].sig: signature is 65536 bytes, at most 65535 were expected",
        ),
        (
            Dsse { verifiers: Vec::new(), ..good() },
            ".verifiers: request has 0 verifiers, exactly one was expected",
        ),
        (
            Dsse { verifiers: vec![signed.verifier(); 2], ..good() },
            ".verifiers: request has 2 verifiers, exactly one was expected",
        ),
        (
            Dsse { verifiers: vec![Verifier { key_details: 7, ..signed.verifier() }], ..good() },
            ".verifiers[0].keyDetails: keyDetails PKIX_ED25519 does not fit the key, it is ECDSA P-256: \
             PKIX_ECDSA_P256_SHA_256",
        ),
        (
            Dsse { payload: b"{}".to_vec(), ..good() },
            ".envelope.signatures[0].sig: signature is not the ECDSA P-256 key's over the pre-authentication encoding",
        ),
        (
            Dsse { signatures: vec![vec![1; 60_000]], ..good() },
            ": entry is 80393 bytes in the log, at most 65535 were expected",
        ),
    ] {
        assert_eq!(refused_dsse(dsse), format!("dsseRequestV002{said}"));
    }
    let rules = Rules { dsse: DsseRule::Reject, ..Rules::default() };
    assert_eq!(
        admit(&Proposed::Dsse(good()), &rules).expect_err("it is refused").to_string(),
        "dsseRequestV002: dsse is not accepted by this log, hashedRekordRequestV002 with the digest of the \
         envelope's pre-authentication encoding was expected"
    );
}

#[test]
fn pure_ed25519_over_an_envelope_is_refused() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let spki = [ED25519_SPKI, key.verifying_key().as_bytes()].concat();
    let pure = |number| Dsse {
        payload: PAYLOAD.to_vec(),
        payload_type: TYPE.to_owned(),
        signatures: vec![key.sign(ENCODING).to_bytes().to_vec()],
        verifiers: vec![Verifier { material: Material::PublicKey(spki.clone()), key_details: number }],
    };
    assert_eq!(
        refused_dsse(pure(7)),
        "dsseRequestV002.verifiers[0].keyDetails: keyDetails PKIX_ED25519 signs the artifact itself, which the log \
         does not see: sign with PKIX_ED25519_PH"
    );
    assert_eq!(
        refused_dsse(pure(8)),
        "dsseRequestV002.envelope.signatures[0].sig: signature is not the Ed25519 key's over the pre-authentication \
         encoding, Ed25519ph was expected: a pure Ed25519 signature does not go with the hash that is stored"
    );
}

const ED25519_SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(
        digest in bytes(70),
        signature in bytes(140),
        raw in bytes(300),
        payload in bytes(50),
        payload_type in ".{0,20}",
        number in -2_i32..30,
        ed25519: bool,
        certificate: bool,
        lax: bool,
    ) {
        // Half the keys are one that can be read, for what comes after that.
        let raw = if ed25519 { sign(Algorithm::Ed25519Ph, ARTIFACT).spki } else { raw };
        let material = if certificate { Material::Certificate(raw) } else { Material::PublicKey(raw) };
        let verifier = Verifier { material, key_details: number };
        let rules = if lax { LAX } else { Rules::default() };
        let signatures = vec![signature.clone()];
        let dsse = Dsse { payload, payload_type, signatures, verifiers: vec![verifier.clone()] };
        prop_assert!(admit(&Proposed::Dsse(dsse), &rules).is_err());
        let rekord = HashedRekord { digest, signature, verifier: Some(verifier) };
        prop_assert!(admit(&Proposed::HashedRekord(rekord), &rules).is_err());
    }

    #[test]
    fn a_damaged_entry_is_read_or_refused_without_a_panic(
        garbage in bytes(200),
        at in any::<prop::sample::Index>(),
        with: u8,
    ) {
        drop(describe(&garbage));
        let mut body = admitted(sign(Algorithm::Ed25519Ph, ARTIFACT).proposed(), &Rules::default());
        let at = at.index(body.len());
        body[at] = with;
        drop(describe(&body));
    }
}
