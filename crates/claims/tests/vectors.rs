//! The worked vectors of reference rekor-v2 §10.1 to §10.5, byte for byte.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::traces::{Door, KeyCache, traces};
use bulla_claims::{
    DescribeError, Dsse, HashedRekord, LogSigner, Material, Proposed, PublicKeyDetails, Rules, SigningKey,
    Verifier, admit, describe,
};
use bulla_tlog::{Hash, leaf_hash};

/// §10.2: a public key on P-256.
const ENTRY_0: &str = r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"2j/lD5zmMg8+/e1v5EoSoCMW0st3fUfejb81IufknSA="},"signature":{"content":"MEUCIAbVM8j23vXhKR0qQlIJKKp52NDOYAUvYTpDPX3SfP7iAiEA9h4lWIh6TfTGxVjsw5I5mzejKU552ibG6uprFd5Uibw=","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAhfmF/C2RDkoJ4+WmZ5pojpPLBUr321s32bluAKC1O0ZSn3ry5dxLS3aPKhaqHZaVvRfx1hZllLyiXxlMG5XlA=="}}}}}}"#;
/// §10.3: a DSSE envelope as hashedrekord, under a certificate.
const ENTRY_1: &str = r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"u2jK77gbwAsD6K/dWGmQg8bXDsvW7gtAWoMX0t1E5cU="},"signature":{"content":"MEUCIEmNeuEcVeZBCXmE1Y6AaCa6IKSbPMxFv+JGLmvmCzJaAiEA1meKjte9GWVNjAac4JvFMqlDfC3R9lvexa3lkZwTdnM=","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"MIIBDjCBtaADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBnZlY3RvcjAeFw0yNjAxMDEwMDAwMDBaFw0yNjAxMDEwMDEwMDBaMBExDzANBgNVBAMMBnZlY3RvcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAIX5hfwtkQ5KCePlpmeaaI6TywVK99tbN9m5bgCgtTtGUp968uXcS0t2jyoWqh2Wlb0X8dYWZZS8ol8ZTBuV5QwCgYIKoZIzj0EAwIDSAAwRQIhAKwkeXkk57NNNFkwGP/d6WkHwjEshbFXufV+9xy3X194AiA1VYYA3+L7E9im4RDyF2rx1njxgi6YVu0JGH9/JOuV/Q=="}}}}}}"#;
/// §10.4: Ed25519ph.
const ENTRY_2: &str = r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_512","digest":"21kGeVefaE8qXvDWmML8Mqjoi4qs7lH9kcfF74DC1vaJSAXYFfFFPlPyfJvyNh200LkAl3wZXGGYeHM0N6FdPQ=="},"signature":{"content":"2Sx5CuGYuiXXNkefLtVOuDFWe96lSpDjXO78d/myxgQRBKh4SZi7nN1GgYBQ6CSjgeCaHD1dB06gvlRE6X5bAw==","verifier":{"keyDetails":"PKIX_ED25519_PH","publicKey":{"rawBytes":"MCowBQYDK2VwAyEAJUO5L/EJVRFHatyDadtt3JM2ZaEZeN2hQE7hBmypVZ0="}}}}}}"#;
/// §10.5: the envelope of entry 1 as older servers stored it.
const LEGACY: &str = r#"{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":"AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI="},"signatures":[{"content":"MEUCIEmNeuEcVeZBCXmE1Y6AaCa6IKSbPMxFv+JGLmvmCzJaAiEA1meKjte9GWVNjAac4JvFMqlDfC3R9lvexa3lkZwTdnM=","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"MIIBDjCBtaADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBnZlY3RvcjAeFw0yNjAxMDEwMDAwMDBaFw0yNjAxMDEwMDEwMDBaMBExDzANBgNVBAMMBnZlY3RvcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAIX5hfwtkQ5KCePlpmeaaI6TywVK99tbN9m5bgCgtTtGUp968uXcS0t2jyoWqh2Wlb0X8dYWZZS8ol8ZTBuV5QwCgYIKoZIzj0EAwIDSAAwRQIhAKwkeXkk57NNNFkwGP/d6WkHwjEshbFXufV+9xy3X194AiA1VYYA3+L7E9im4RDyF2rx1njxgi6YVu0JGH9/JOuV/Q=="}}}]}}}"#;

const LEAVES: [(&str, usize, &str); 4] = [
    (ENTRY_0, 489, "fc955c8f308d2339a28cc3904a293ab87b95832d66b5047a217680ffbd654f2b"),
    (ENTRY_1, 739, "6f4cc16b4f53d525a0c19293df7fcb3bcfe962433d2f5d4420cd203f76cf4474"),
    (ENTRY_2, 453, "4d67a25dd79f8fdc5d772612bc80baa4124d1302d394dfa83a46357eddcfefb3"),
    (LEGACY, 733, "43f39697e52a1f73e4913b7c64cb829b3a626a4234509ce6ffa0ce7c0057b886"),
];

#[test]
fn leaf_hashes_are_those_of_the_reference() {
    for (body, len, hash) in LEAVES {
        assert_eq!(body.len(), len);
        assert_eq!(Some(leaf_hash(body.as_bytes())), Hash::from_hex(hash));
    }
}

/// The proposed entry that a body says it was made of.
fn proposed(body: &str) -> HashedRekord {
    let facts = describe(body.as_bytes()).expect("it is an entry");
    let signature = facts.signatures.into_iter().next().expect("it has a signature");
    let details = PublicKeyDetails::from_name(&signature.key_details).expect("the label is known");
    HashedRekord {
        digest: facts.digest.expect("it has a digest").bytes,
        signature: signature.bytes,
        verifier: Some(Verifier { material: signature.material, key_details: details.number() }),
    }
}

#[test]
fn entries_are_admitted_to_the_same_bytes() {
    for body in [ENTRY_0, ENTRY_1, ENTRY_2] {
        let admitted = admit(&Proposed::HashedRekord(proposed(body)), &Rules::default()).expect("it is good");
        assert_eq!(String::from_utf8(admitted.body).as_deref(), Ok(body));
    }
}

#[test]
fn an_envelope_is_admitted_to_the_same_bytes() {
    let HashedRekord { signature, verifier, .. } = proposed(ENTRY_1);
    let dsse = Dsse {
        payload: br#"{"a":1}"#.to_vec(),
        payload_type: "application/vnd.in-toto+json".to_owned(),
        signatures: vec![signature],
        verifiers: verifier.into_iter().collect(),
    };
    let admitted = admit(&Proposed::Dsse(dsse), &Rules::default()).expect("it is good");
    assert_eq!(String::from_utf8(admitted.body).as_deref(), Ok(ENTRY_1));
}

#[test]
fn the_legacy_kind_is_read() {
    let facts = describe(LEGACY.as_bytes()).expect("it is an entry");
    let HashedRekord { signature, verifier, .. } = proposed(ENTRY_1);
    assert_eq!((facts.kind.as_str(), facts.version.as_str()), ("dsse", "0.0.2"));
    let digest = facts.digest.expect("it has a digest");
    assert_eq!(digest.algorithm, "SHA2_256");
    let payload_hash = Hash::from_hex("015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862");
    assert_eq!(Hash::from_slice(&digest.bytes), payload_hash);
    let [only] = facts.signatures.as_slice() else { panic!("it has one signature") };
    assert_eq!((&only.bytes, only.key_details.as_str()), (&signature, "PKIX_ECDSA_P256_SHA_256"));
    assert_eq!(Some(&only.material), verifier.as_ref().map(|verifier| &verifier.material));
    assert!(matches!(only.material, Material::Certificate(_)));
}

/// §10.1: the scalar 0x11 × 32 is the key of entries 0 and 1, and as a log's key has this key ID.
#[test]
fn an_ecdsa_log_key_has_the_id_of_the_reference() {
    let HashedRekord { verifier, .. } = proposed(ENTRY_0);
    let spki = verifier.expect("it has a key").material.raw_bytes().to_vec();
    let sec1 = [b"\x30\x31\x02\x01\x01\x04\x20".as_slice(), &[0x11; 32], PRIME256V1].concat();
    let base64 = STANDARD.encode(sec1);
    let pem = format!("-----BEGIN EC PRIVATE KEY-----\n{base64}\n-----END EC PRIVATE KEY-----\n");
    let key = SigningKey::from_pem(&pem, None).expect("it is a key");
    assert_eq!(key.spki(), spki);
    let signer = LogSigner::new("log.example.org", key).expect("the name can be an origin");
    let log_id = Hash::from_hex("76805a63a6980c18075424a13f32772d02d7c71b4965754c1ce84f5841220327");
    assert_eq!(Some(signer.verifier().log_id()), log_id);
}

#[test]
fn leaves_are_found_by_digest_and_by_key() {
    let mut keys = KeyCache::new();
    let mut found = |body: &str| traces(body.as_bytes(), &mut keys).expect("it is an entry");
    let (artifact, envelope, prehashed, payload) =
        (found(ENTRY_0), found(ENTRY_1), found(ENTRY_2), found(LEGACY));
    for (traces, kind, digest) in [
        (
            &artifact,
            "hashedrekord",
            "sha256:da3fe50f9ce6320f3efded6fe44a12a02316d2cb777d47de8dbf3522e7e49d20",
        ),
        (
            &envelope,
            "hashedrekord",
            "sha256:bb68caefb81bc00b03e8afdd58699083c6d70ecbd6ee0b405a8317d2dd44e5c5",
        ),
        (&payload, "dsse", "sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"),
    ] {
        assert_eq!((traces.door, traces.kind), (Door::V2, kind));
        assert_eq!(traces.digests, [digest]);
    }
    assert!(prehashed.digests[0].starts_with("sha512:db590679579f684f2a5ef0d698c2fc32"));
    // The certificate is remembered, and its key is the bare one of the first entry.
    assert!(Arc::ptr_eq(&envelope.keys[0], &payload.keys[0]));
    assert_eq!(envelope.keys[0].fingerprints[2..], artifact.keys[0].fingerprints[2..]);
    for wrong in
        [ENTRY_0.replace("SHA2_256\",", "SHA3_256\","), ENTRY_0.replace("publicKey", "x509Certificates")]
    {
        assert!(traces(wrong.as_bytes(), &mut keys).is_err());
    }
}

/// [0] { prime256v1 }
const PRIME256V1: &[u8] = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";

#[test]
fn what_is_no_entry_is_said() {
    let said = |body: &str| describe(body.as_bytes()).expect_err("it is none").to_string();
    assert_eq!(said(""), "not an entry: EOF while parsing a value at line 1 column 0");
    assert_eq!(said("{}"), "not an entry: missing field `kind` at line 1 column 2");
    let unknown = said(&ENTRY_0.replace("\"0.0.2\"", "\"0.0.3\""));
    let start = "kind \"hashedrekord\" version \"0.0.3\" is not known, hashedrekord 0.0.2, dsse 0.0.2, hashedrekord 0.0.1, ";
    assert!(unknown.starts_with(start) && unknown.ends_with(" are"), "{unknown}");
    assert_eq!(
        said(&ENTRY_0.replace("2j/lD5zm", "2j_lD5zm")),
        "digest of the hashedrekord entry is not padded standard base64 of at least one byte"
    );
    assert_eq!(
        said(&ENTRY_0.replace("publicKey", "tinkKey").replace("\"data\":", "\"data\" :")),
        "not an entry: unknown field `tinkKey`, expected one of `keyDetails`, `publicKey`, `x509Certificate` \
         at line 1 column 343"
    );
    let two = ENTRY_0.replace("\"publicKey\":", "\"x509Certificate\":{\"rawBytes\":\"AA==\"},\"publicKey\":");
    assert_eq!(said(&two), "verifier of the hashedrekord entry is not one publicKey or x509Certificate");
    let start = LEGACY.find("[{").expect("it has signatures");
    let end = LEGACY.rfind("}]").expect("it has signatures");
    let none = format!("{}{}", &LEGACY[..=start], &LEGACY[end + 1..]);
    assert_eq!(said(&none), "signatures of the dsse entry is not a list of at least one");
    assert_eq!(describe(&vec![b' '; 65_536]), Err(DescribeError::TooLong { len: 65_536 }));
}
