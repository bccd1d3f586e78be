//! Signatures made for tests: by a key or with a certificate, in a log of one entry, with the trusted root that believes it.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::SigningKey;
use bulla_claims::judge::LAYER_PROOF;
use bulla_claims::keys::public_key_pem;
use bulla_tlog::note::{Note, Signature};
use bulla_tlog::{Checkpoint, Hash, leaf_hash, sha256};
use serde_json::{Value, json};

/// When everything was signed.
pub(crate) const SIGNED_AT: u64 = 1_795_229_400;

/// A log of one entry, and who signs.
pub(crate) struct Maker {
    pub(crate) log: SigningKey,
    pub(crate) key: SigningKey,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let key = || SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key");
        Self { log: key(), key: key() }
    }

    /// Believes the log, and these authorities for certificates.
    pub(crate) fn trusted_root(&self, authorities: &[Vec<u8>]) -> String {
        let valid = json!({ "start": "2026-01-01T00:00:00Z" });
        let authority = |der: &Vec<u8>| {
            let chain = json!({ "certificates": [{ "rawBytes": STANDARD.encode(der) }] });
            json!({ "subject": {}, "uri": "https://ca.example", "certChain": chain, "validFor": valid })
        };
        let key = json!({
            "rawBytes": STANDARD.encode(self.log.spki()), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid,
        });
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256", "publicKey": key,
                "logId": { "keyId": self.log_id().to_base64() },
            }],
            "certificateAuthorities": authorities.iter().map(authority).collect::<Vec<_>>(),
            "ctlogs": [], "timestampAuthorities": [],
        })
        .to_string()
    }

    pub(crate) fn log_id(&self) -> Hash {
        sha256(self.log.spki())
    }

    /// The public key that signs, in PEM.
    pub(crate) fn pem(&self) -> String {
        public_key_pem(self.key.spki())
    }

    /// What the log promises of a body.
    pub(crate) fn promise(&self, body: &str) -> Vec<u8> {
        let signed = format!(
            r#"{{"body":"{}","integratedTime":{SIGNED_AT},"logID":"{}","logIndex":0}}"#,
            STANDARD.encode(body),
            self.log_id()
        );
        self.log.sign(signed.as_bytes()).expect("signs")
    }

    /// The annotations of a layer, as cosign writes them.
    pub(crate) fn annotations(&self, signature: &[u8], body: &str) -> BTreeMap<String, String> {
        let bundle = json!({
            "SignedEntryTimestamp": STANDARD.encode(self.promise(body)),
            "Payload": {
                "body": STANDARD.encode(body), "integratedTime": SIGNED_AT, "logIndex": 0,
                "logID": self.log_id().to_string(),
            },
        });
        BTreeMap::from([
            ("dev.cosignproject.cosign/signature".to_owned(), STANDARD.encode(signature)),
            ("dev.sigstore.cosign/bundle".to_owned(), bundle.to_string()),
        ])
    }

    /// The annotations of a layer as we write them, with the proof.
    pub(crate) fn proved_annotations(&self, signature: &[u8], body: &str) -> BTreeMap<String, String> {
        let mut annotations = self.annotations(signature, body);
        // Another tree than that of bundles: in each of them an entry is the only one.
        let proof = self.entry_in(2, "hashedrekord", body)["inclusionProof"].to_string();
        annotations.insert(LAYER_PROOF.to_owned(), proof);
        annotations
    }

    /// An entry of a bundle, proved to be the log's only one.
    pub(crate) fn entry(&self, kind: &str, body: &str) -> Value {
        self.entry_in(1, kind, body)
    }

    fn entry_in(&self, tree: u64, kind: &str, body: &str) -> Value {
        let root = leaf_hash(body.as_bytes());
        let origin = format!("log.example - {tree}");
        let head = Checkpoint { origin, size: 1, root, extensions: Vec::new() };
        let text = head.text();
        let bytes = self.log.sign(text.as_bytes()).expect("signs");
        let id = self.log_id().0;
        let line = Signature { name: "log.example".to_owned(), key_id: [id[0], id[1], id[2], id[3]], bytes };
        let checkpoint = Note { text, signatures: vec![line] }.to_string();
        json!({
            "logIndex": "0", "logId": { "keyId": self.log_id().to_base64() },
            "kindVersion": { "kind": kind, "version": "0.0.1" },
            "integratedTime": SIGNED_AT.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(self.promise(body)) },
            "inclusionProof": {
                "logIndex": "0", "rootHash": root.to_base64(), "treeSize": "1", "hashes": [],
                "checkpoint": { "envelope": checkpoint },
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }

    fn bundle(&self, entry: &Value, content: &(&str, Value)) -> Value {
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "publicKey": { "hint": STANDARD.encode(sha256(self.key.spki()).0) },
                "tlogEntries": [entry],
            },
            content.0: content.1,
        })
    }

    /// A bundle over bytes.
    pub(crate) fn message(&self, bytes: &[u8]) -> Value {
        let signature = self.key.sign(bytes).expect("signs");
        let hash = sha256(bytes);
        let entry = self.entry("hashedrekord", &body(&hash, &signature, &self.pem()));
        let digest = json!({ "algorithm": "SHA2_256", "digest": hash.to_base64() });
        let signed = json!({ "messageDigest": digest, "signature": STANDARD.encode(&signature) });
        self.bundle(&entry, &("messageSignature", signed))
    }

    /// A bundle with a statement about something of that hash.
    pub(crate) fn statement(&self, subject: &Hash, predicate_type: &str, predicate: &Value) -> Value {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": subject.to_string() } }],
            "predicateType": predicate_type, "predicate": predicate,
        });
        self.envelope("application/vnd.in-toto+json", statement.to_string().as_bytes())
    }

    /// A bundle with an envelope.
    pub(crate) fn envelope(&self, payload_type: &str, payload: &[u8]) -> Value {
        let mut signed =
            format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
        signed.extend_from_slice(payload);
        let signature = STANDARD.encode(self.key.sign(&signed).expect("signs"));
        let payload_hash = sha256(payload);
        let body = format!(
            r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"envelopeHash":{{"algorithm":"sha256","value":"{payload_hash}"}},"payloadHash":{{"algorithm":"sha256","value":"{payload_hash}"}},"signatures":[{{"signature":"{signature}","verifier":"{}"}}]}}}}"#,
            STANDARD.encode(self.pem())
        );
        let envelope = json!({
            "payload": STANDARD.encode(payload), "payloadType": payload_type, "signatures": [{ "sig": signature }],
        });
        self.bundle(&self.entry("dsse", &body), &("dsseEnvelope", envelope))
    }
}

/// The body of an entry for a signature over bytes of that hash.
pub(crate) fn body(hash: &Hash, signature: &[u8], verifier: &str) -> String {
    format!(
        r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{hash}"}}}},"signature":{{"content":"{}","publicKey":{{"content":"{}"}}}}}}}}"#,
        STANDARD.encode(signature),
        STANDARD.encode(verifier)
    )
}
