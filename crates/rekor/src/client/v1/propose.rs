//! Proposed entries from the things that people have: an artifact or its digest, a signature, keys. Every kind of the v1 API
//! takes the same few things under other names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::Refusal as Fault;
use bulla_claims::entry::v1::{Proposed, Refusal, Rules, template};
use bulla_claims::pki::x509::{KeyType, PublicKey};
use bulla_claims::{HashAlgorithm, KeyError};
use bulla_tlog::sha256;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The kinds, with their versions, the one that is tried first in front.
pub const KINDS: &[(&str, &[&str])] = &[
    ("alpine", &["0.0.1"]),
    ("cose", &["0.0.1"]),
    ("dsse", &["0.0.1"]),
    (DEFAULT_KIND, &["0.0.1"]),
    ("helm", &["0.0.1"]),
    ("intoto", &["0.0.2", "0.0.1"]),
    ("jar", &["0.0.1"]),
    ("rekord", &["0.0.1"]),
    ("rfc3161", &["0.0.1"]),
    ("rpm", &["0.0.1"]),
    ("tuf", &["0.0.1"]),
];
/// The kind of most entries.
pub const DEFAULT_KIND: &str = "hashedrekord";
/// The most keys that an entry is proposed with.
const MOST_KEYS: usize = 100;

/// What an entry is made of.
#[derive(Clone, Default, Debug)]
pub struct Materials {
    /// What was signed, or a document that holds it and its signature.
    pub artifact: Option<Vec<u8>>,
    /// Its digest: hexadecimal digits, before them `sha256:`, `sha384:` or `sha512:` or nothing.
    pub artifact_hash: Option<String>,
    /// A signature of its own.
    pub signature: Option<Vec<u8>>,
    /// The keys that verify.
    pub public_keys: Vec<Vec<u8>>,
    /// The form of signature and keys: `x509`, `pgp`, `minisign`, `ssh`.
    pub pki_format: String,
    /// What was signed beside the artifact.
    pub aad: Option<Vec<u8>>,
}

/// A proposed entry.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its kind.
    pub kind: String,
    /// Version of the kind.
    pub version: String,
    /// The whole document.
    pub json: Box<RawValue>,
}

/// Why no entry can be proposed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposeError {
    /// There is no such kind.
    #[error("kind {kind:?} is not known, known are {}", names())]
    Kind {
        /// What was asked for.
        kind: String,
    },
    /// The kind has no such version.
    #[error("kind {kind} has no version {version:?}, it has {}", versions(kind).join(" and "))]
    Version {
        /// The kind.
        kind: String,
        /// What was asked for.
        version: String,
    },
    /// Something is missing.
    #[error("--{option} is missing: kind {kind} needs {what}")]
    Missing {
        /// The kind.
        kind: String,
        /// Where it is given.
        option: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// More keys than the kind takes.
    #[error("--public-key is given {given} times, kind {kind} takes {most}")]
    Keys {
        /// The kind.
        kind: String,
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// Something is not what it must be.
    #[error("{what} {problem}")]
    Material {
        /// What.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

fn names() -> String {
    let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

fn versions(kind: &str) -> &'static [&'static str] {
    KINDS.iter().find(|(name, _)| *name == kind).map_or(&[], |(_, versions)| versions)
}

/// Proposes an entry of that kind. Where the kind has several versions and none is named, there is a proposal for each, to be
/// tried one after the other.
pub fn propose(
    kind: &str,
    version: Option<&str>,
    materials: &Materials,
) -> Result<Vec<Proposal>, ProposeError> {
    let known = versions(kind);
    if known.is_empty() {
        return Err(ProposeError::Kind { kind: kind.to_owned() });
    }
    let of = Of { kind, materials };
    if let Some(version) = version {
        let known = known.iter().find(|known| **known == version);
        let unknown = || ProposeError::Version { kind: kind.to_owned(), version: version.to_owned() };
        return Ok(vec![of.propose(known.ok_or_else(unknown)?)?]);
    }
    let first = of.propose(known[0])?;
    // What only the first version can say, such as two keys, has no second attempt.
    let others = known[1..].iter().filter_map(|version| of.propose(version).ok());
    Ok(std::iter::once(first).chain(others).collect())
}

/// Reads a proposed entry that was written by others.
pub fn read_proposal(text: &[u8]) -> Result<Proposal, ProposeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        api_version: String,
        kind: String,
    }
    let wrong = |error: serde_json::Error| ProposeError::Material {
        what: "the proposed entry",
        problem: format!("is not JSON with apiVersion, kind and spec: {error}"),
    };
    let json: Box<RawValue> = serde_json::from_slice(text).map_err(wrong)?;
    let Document { api_version, kind } = serde_json::from_str(json.get()).map_err(wrong)?;
    if versions(&kind).is_empty() {
        return Err(ProposeError::Kind { kind });
    }
    Ok(Proposal { kind, version: api_version, json })
}

/// The body that the log will have for a proposed entry, as far as this program knows the kind.
pub fn expected_body(proposal: &Proposal) -> Result<Option<Vec<u8>>, Fault> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        spec: &'a RawValue,
    }
    let Ok(Document { spec }) = serde_json::from_str(proposal.json.get()) else { return Ok(None) };
    let proposed = Proposed { kind: &proposal.kind, api_version: &proposal.version, spec };
    match template(&proposed, &Rules::default()) {
        Ok(body) => Ok(Some(body)),
        Err(Refusal::Entry(fault)) => Err(fault),
        // What this program does not know, or would not take itself, is for the log to judge.
        Err(_) => Ok(None),
    }
}

/// The hash function that the log expects to go with a key: the one of its curve, SHA-512 for Ed25519, else SHA-256.
pub fn hash_for(public_key: &[u8]) -> Result<HashAlgorithm, KeyError> {
    Ok(match PublicKey::parse(public_key)?.key_type() {
        KeyType::P384 => HashAlgorithm::Sha384,
        KeyType::P521 | KeyType::Ed25519 => HashAlgorithm::Sha512,
        KeyType::P256 | KeyType::Rsa(_) => HashAlgorithm::Sha256,
    })
}

/// A kind, and what there is for it.
struct Of<'a> {
    kind: &'a str,
    materials: &'a Materials,
}

impl Of<'_> {
    fn propose(&self, version: &str) -> Result<Proposal, ProposeError> {
        let spec = match (self.kind, version) {
            ("rekord", _) => json!({
                "data": { "content": self.artifact()? },
                "signature": {
                    "format": self.materials.pki_format,
                    "content": self.signature()?,
                    "publicKey": { "content": self.one_key()? },
                },
            }),
            ("dsse", _) => {
                let keys = self.keys()?.iter().map(|key| STANDARD.encode(key)).collect::<Vec<_>>();
                json!({ "proposedContent": { "envelope": self.envelope_text()?, "verifiers": keys } })
            }
            ("intoto", "0.0.1") => {
                json!({ "content": { "envelope": self.envelope_text()? }, "publicKey": self.one_key()? })
            }
            ("intoto", _) => self.intoto()?,
            ("cose", _) => {
                let aad = self.materials.aad.as_ref().map(|aad| STANDARD.encode(aad));
                let data = aad.map_or_else(|| json!({}), |aad| json!({ "aad": aad }));
                json!({ "message": self.artifact()?, "publicKey": self.one_key()?, "data": data })
            }
            ("helm", _) => json!({
                "publicKey": { "content": self.one_key()? },
                "chart": { "provenance": { "content": self.artifact()? } },
            }),
            ("jar", _) => json!({ "archive": { "content": self.artifact()? } }),
            ("rpm" | "alpine", _) => json!({
                "publicKey": { "content": self.one_key()? },
                "package": { "content": self.artifact()? },
            }),
            ("rfc3161", _) => json!({ "tsr": { "content": self.artifact()? } }),
            ("tuf", _) => return self.tuf(version),
            _ => self.hashedrekord()?,
        };
        self.document(version, &spec.to_string())
    }

    fn document(&self, version: &str, spec: &str) -> Result<Proposal, ProposeError> {
        let json = format!(r#"{{"apiVersion":"{version}","kind":"{}","spec":{spec}}}"#, self.kind);
        let wrong = |error: serde_json::Error| material("the artifact", error.to_string());
        let json = RawValue::from_string(json).map_err(wrong)?;
        Ok(Proposal { kind: self.kind.to_owned(), version: version.to_owned(), json })
    }

    fn hashedrekord(&self) -> Result<Value, ProposeError> {
        let (algorithm, value) = match (&self.materials.artifact_hash, &self.materials.artifact) {
            (Some(hash), _) => read_hash(hash)?,
            (None, Some(artifact)) => ("sha256", sha256(artifact).to_string()),
            (None, None) => return Err(self.missing("artifact", "what was signed, or --artifact-hash")),
        };
        Ok(json!({
            "data": { "hash": { "algorithm": algorithm, "value": value } },
            "signature": { "content": self.signature()?, "publicKey": { "content": self.one_key()? } },
        }))
    }

    /// The envelope with its parts in base64 once more, and beside each signature the key that verifies it.
    fn intoto(&self) -> Result<Value, ProposeError> {
        let text = self.envelope_text()?;
        let envelope: Envelope = serde_json::from_str(text)
            .map_err(|error| material("the artifact", format!("is not a DSSE envelope: {error}")))?;
        let keys = self.keys()?;
        let read = |key: &Vec<u8>| {
            PublicKey::parse(key).map_err(|error| material("--public-key", error.to_string()))
        };
        let keys: Vec<_> = keys.iter().map(read).collect::<Result<_, _>>()?;
        let encoding = envelope.encoding().ok_or_else(|| material("the payload", "is not base64".into()))?;
        let mut signatures = Vec::new();
        for signature in &envelope.signatures {
            let bytes = STANDARD.decode(&signature.sig).unwrap_or_default();
            let key = keys.iter().find(|key| key.verify_message(&encoding, &bytes));
            let unsigned =
                || material("the envelope", "has a signature that no --public-key verifies".into());
            let mut item = json!({
                "sig": STANDARD.encode(&signature.sig),
                "publicKey": STANDARD.encode(key.ok_or_else(unsigned)?.canonical()),
            });
            if !signature.keyid.is_empty() {
                item["keyid"] = signature.keyid.clone().into();
            }
            signatures.push(item);
        }
        Ok(json!({ "content": {
            "envelope": {
                "payloadType": envelope.payload_type,
                "payload": STANDARD.encode(&envelope.payload),
                "signatures": signatures,
            },
            "hash": { "algorithm": "sha256", "value": sha256(text.as_bytes()).to_string() },
        } }))
    }

    /// Metadata and root as they were written: what happens to their numbers is for the log to decide.
    fn tuf(&self, version: &str) -> Result<Proposal, ProposeError> {
        let metadata = json_text("--artifact", self.artifact_bytes()?)?;
        let [root] = self.keys()? else { return Err(self.too_many(1)) };
        let root = json_text("--public-key", root)?;
        let spec = format!(r#"{{"metadata":{{"content":{metadata}}},"root":{{"content":{root}}}}}"#);
        self.document(version, &spec)
    }

    fn artifact_bytes(&self) -> Result<&[u8], ProposeError> {
        let what = match self.kind {
            "dsse" | "intoto" => "a DSSE envelope",
            "cose" => "a COSE_Sign1 message",
            "helm" => "a provenance file",
            "rfc3161" => "a timestamp response",
            "tuf" => "signed metadata",
            _ => "what was signed",
        };
        self.materials.artifact.as_deref().ok_or_else(|| self.missing("artifact", what))
    }

    fn artifact(&self) -> Result<String, ProposeError> {
        self.artifact_bytes().map(|artifact| STANDARD.encode(artifact))
    }

    fn envelope_text(&self) -> Result<&str, ProposeError> {
        std::str::from_utf8(self.artifact_bytes()?)
            .map_err(|_| material("the artifact", "is not a DSSE envelope: it is no text".into()))
    }

    fn signature(&self) -> Result<String, ProposeError> {
        let signature = self.materials.signature.as_ref();
        signature
            .map(|signature| STANDARD.encode(signature))
            .ok_or_else(|| self.missing("signature", "the signature"))
    }

    fn keys(&self) -> Result<&[Vec<u8>], ProposeError> {
        match self.materials.public_keys.as_slice() {
            [] => Err(self.missing("public-key", "the key that verifies")),
            keys if keys.len() > MOST_KEYS => Err(self.too_many(MOST_KEYS)),
            keys => Ok(keys),
        }
    }

    fn one_key(&self) -> Result<String, ProposeError> {
        match self.keys()? {
            [key] => Ok(STANDARD.encode(key)),
            _ => Err(self.too_many(1)),
        }
    }

    fn missing(&self, option: &'static str, what: &'static str) -> ProposeError {
        ProposeError::Missing { kind: self.kind.to_owned(), option, what }
    }

    fn too_many(&self, most: usize) -> ProposeError {
        let given = self.materials.public_keys.len();
        ProposeError::Keys { kind: self.kind.to_owned(), given, most }
    }
}

fn material(what: &'static str, problem: String) -> ProposeError {
    ProposeError::Material { what, problem }
}

fn json_text<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a str, ProposeError> {
    let value: &RawValue =
        serde_json::from_slice(bytes).map_err(|error| material(what, format!("is not JSON: {error}")))?;
    Ok(value.get())
}

/// The algorithm and the digits of a digest.
fn read_hash(text: &str) -> Result<(&'static str, String), ProposeError> {
    const LENGTHS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
    let wrong = |problem: String| material("--artifact-hash", format!("{text:?} {problem}"));
    let (named, digits) = text.split_once(':').map_or((None, text), |(name, digits)| (Some(name), digits));
    let found = LENGTHS.into_iter().find(|(name, length)| match named {
        Some(named) => named == *name,
        None => digits.len() == *length,
    });
    let (name, length) = found.ok_or_else(|| {
        wrong("is none of sha256 (64 digits), sha384 (96 digits) and sha512 (128 digits)".to_owned())
    })?;
    if digits.len() != length || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong(format!("is not {length} hexadecimal digits, which {name} needs")));
    }
    Ok((name, digits.to_owned()))
}

/// A DSSE envelope, its bytes still in base64 (DSSE, "envelope").
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    /// What is signed (DSSE, "PAE").
    fn encoding(&self) -> Option<Vec<u8>> {
        let payload = STANDARD.decode(&self.payload).ok()?;
        let (kind, len) = (&self.payload_type, payload.len());
        let mut encoding = format!("DSSEv1 {} {kind} {len} ", kind.len()).into_bytes();
        encoding.extend(payload);
        Some(encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn materials() -> Materials {
        Materials {
            artifact: Some(b"artifact".to_vec()),
            signature: Some(b"signature".to_vec()),
            public_keys: vec![b"key".to_vec()],
            pki_format: "x509".to_owned(),
            ..Materials::default()
        }
    }

    fn spec(kind: &str, materials: &Materials) -> Value {
        let proposals = propose(kind, None, materials).expect("a proposal");
        let document: Value = serde_json::from_str(proposals[0].json.get()).expect("JSON");
        assert_eq!(document["kind"], kind);
        assert_eq!(document["apiVersion"], proposals[0].version.as_str());
        document["spec"].clone()
    }

    fn refused(kind: &str, materials: &Materials) -> String {
        propose(kind, None, materials).expect_err("no proposal").to_string()
    }

    const ARTIFACT: &str = "YXJ0aWZhY3Q=";
    const SIGNATURE: &str = "c2lnbmF0dXJl";
    const KEY: &str = "a2V5";

    #[test]
    fn each_kind_has_its_own_names_for_the_same_things() {
        let all = materials();
        let value = sha256(b"artifact").to_string();
        assert_eq!(
            spec("hashedrekord", &all),
            json!({"data":{"hash":{"algorithm":"sha256","value":value}},
                   "signature":{"content":SIGNATURE,"publicKey":{"content":KEY}}})
        );
        assert_eq!(
            spec("rekord", &all),
            json!({"data":{"content":ARTIFACT},
                   "signature":{"content":SIGNATURE,"format":"x509","publicKey":{"content":KEY}}})
        );
        assert_eq!(spec("dsse", &all), json!({"proposedContent":{"envelope":"artifact","verifiers":[KEY]}}));
        assert_eq!(spec("cose", &all), json!({"message":ARTIFACT,"publicKey":KEY,"data":{}}));
        let with_aad = Materials { aad: Some(b"key".to_vec()), ..all.clone() };
        assert_eq!(spec("cose", &with_aad), json!({"message":ARTIFACT,"publicKey":KEY,"data":{"aad":KEY}}));
        assert_eq!(
            spec("helm", &all),
            json!({"publicKey":{"content":KEY},"chart":{"provenance":{"content":ARTIFACT}}})
        );
        assert_eq!(spec("jar", &all), json!({"archive":{"content":ARTIFACT}}));
        for kind in ["rpm", "alpine"] {
            assert_eq!(spec(kind, &all), json!({"publicKey":{"content":KEY},"package":{"content":ARTIFACT}}));
        }
        assert_eq!(spec("rfc3161", &all), json!({"tsr":{"content":ARTIFACT}}));
        let tuf = Materials {
            artifact: Some(br#"{"version":1e400}"#.to_vec()),
            public_keys: vec![b" {} ".to_vec()],
            ..all
        };
        let proposal = &propose("tuf", None, &tuf).expect("a proposal")[0];
        assert_eq!(
            proposal.json.get(),
            r#"{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":{"version":1e400}},"root":{"content":{}}}}"#
        );
    }

    #[test]
    fn in_toto_is_tried_in_two_versions() {
        let envelope = include_bytes!("../../../tests/captured_v1/envelope.json").to_vec();
        let key = include_bytes!("../../../tests/captured_v1/envelope.pub").to_vec();
        let given =
            Materials { artifact: Some(envelope.clone()), public_keys: vec![key.clone()], ..materials() };
        let proposals = propose("intoto", None, &given).expect("proposals");
        let versions: Vec<_> = proposals.iter().map(|proposal| proposal.version.as_str()).collect();
        assert_eq!(versions, ["0.0.2", "0.0.1"]);
        let spec = spec("intoto", &given);
        let parsed: Value = serde_json::from_slice(&envelope).expect("JSON");
        let sig = parsed["signatures"][0]["sig"].as_str().expect("text");
        let content = &spec["content"];
        assert_eq!(content["envelope"]["signatures"][0]["sig"], STANDARD.encode(sig));
        assert_eq!(content["hash"]["value"], sha256(&envelope).to_string());
        assert_eq!(content["envelope"]["signatures"][0]["keyid"], parsed["signatures"][0]["keyid"]);
        let one = propose("intoto", Some("0.0.1"), &given).expect("a proposal");
        assert_eq!((one.len(), one[0].version.as_str()), (1, "0.0.1"));
        // Two keys can only be said in the newer version.
        let two = Materials { public_keys: vec![key.clone(), key], ..given.clone() };
        assert_eq!(propose("intoto", None, &two).expect("a proposal").len(), 1);
        let other = include_bytes!("../../../tests/captured_v1/log.pub").to_vec();
        let wrong = Materials { public_keys: vec![other], ..given };
        assert_eq!(refused("intoto", &wrong), "the envelope has a signature that no --public-key verifies");
    }

    #[test]
    fn digests_are_read_with_and_without_their_name() {
        for (text, name) in [
            ("ab".repeat(32), "sha256"),
            (format!("sha256:{}", "AB".repeat(32)), "sha256"),
            ("ab".repeat(48), "sha384"),
            (format!("sha512:{}", "ab".repeat(64)), "sha512"),
        ] {
            let (algorithm, digits) = read_hash(&text).expect("a digest");
            assert_eq!((algorithm, text.ends_with(&digits)), (name, true));
        }
        for (text, said) in [
            ("sha1:00", "is none of sha256 (64 digits), sha384 (96 digits) and sha512 (128 digits)"),
            ("sha256:00", "is not 64 hexadecimal digits, which sha256 needs"),
            (&"zz".repeat(32), "is not 64 hexadecimal digits, which sha256 needs"),
        ] {
            let error = read_hash(text).expect_err("no digest").to_string();
            assert_eq!(error, format!("--artifact-hash {text:?} {said}"));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let nothing = Materials::default();
        assert_eq!(
            refused("hashedrekord", &nothing),
            "--artifact is missing: kind hashedrekord needs what was signed, or --artifact-hash"
        );
        assert_eq!(
            refused("dsse", &nothing),
            "--public-key is missing: kind dsse needs the key that verifies"
        );
        assert_eq!(refused("jar", &nothing), "--artifact is missing: kind jar needs what was signed");
        let unsigned = Materials { signature: None, ..materials() };
        assert_eq!(refused("rekord", &unsigned), "--signature is missing: kind rekord needs the signature");
        let two = Materials { public_keys: vec![Vec::new(); 2], ..materials() };
        assert_eq!(refused("rekord", &two), "--public-key is given 2 times, kind rekord takes 1");
        let many = Materials { public_keys: vec![Vec::new(); 101], ..materials() };
        assert_eq!(refused("dsse", &many), "--public-key is given 101 times, kind dsse takes 100");
        assert!(refused("docker", &nothing).starts_with("kind \"docker\" is not known, known are alpine, "));
        assert_eq!(
            propose("intoto", Some("1"), &nothing).expect_err("no version").to_string(),
            "kind intoto has no version \"1\", it has 0.0.2 and 0.0.1"
        );
        assert!(refused("tuf", &materials()).starts_with("--artifact is not JSON: "));
        assert!(refused("intoto", &materials()).starts_with("the artifact is not a DSSE envelope: "));
    }

    #[test]
    fn a_written_proposal_is_kept_as_it_is() {
        let text = br#"{"kind":"rekord" , "apiVersion":"0.0.1","spec":{"x":1.0}}"#;
        let read = read_proposal(text).expect("a proposal");
        assert_eq!((read.kind.as_str(), read.json.get().as_bytes()), ("rekord", text.as_slice()));
        for wrong in ["", "[]", "{}", r#"{"kind":"rekord"}"#] {
            let error = read_proposal(wrong.as_bytes()).expect_err("refused").to_string();
            assert!(error.starts_with("the proposed entry is not JSON with apiVersion"), "{error}");
        }
        let unknown = read_proposal(br#"{"kind":"x","apiVersion":"1","spec":{}}"#);
        assert!(matches!(unknown, Err(ProposeError::Kind { .. })));
    }
}
