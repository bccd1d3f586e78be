//! TUF metadata (<https://theupdateframework.github.io/specification/latest/>): a root holds the keys of all roles, and what
//! a role says is signed by a threshold of them.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

use super::{pem, x509};
use crate::keys::{KeyError, spki};
use crate::traces::unhex;

/// Metadata of any role.
pub struct Metadata {
    document: Value,
    signed: Vec<u8>,
    signatures: Vec<Signature>,
    head: Head,
    canonical: Vec<u8>,
}

#[derive(Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What metadata of every role says of itself.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "_type")]
    role: String,
    version: i64,
    spec_version: String,
}

#[derive(Deserialize)]
struct Envelope {
    signatures: Vec<Signature>,
    signed: Head,
}

impl Metadata {
    /// Reads JSON.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let document: Value = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
        Self::from_json(document)
    }

    /// Reads JSON that was parsed.
    pub fn from_json(document: Value) -> Result<Self, KeyError> {
        let Envelope { signatures, signed: head } =
            Envelope::deserialize(&document).map_err(|error| wrong(&error))?;
        if signatures.len() > MAX_SIGNATURES {
            let problem = format!(
                "metadata has {} signatures, at most {MAX_SIGNATURES} were expected",
                signatures.len()
            );
            return Err(KeyError::new(problem));
        }
        let mut signed = Vec::new();
        write(&document["signed"], &mut signed).map_err(|problem| wrong(&problem))?;
        let canonical = serde_json_canonicalizer::to_vec(&document).map_err(|error| wrong(&error))?;
        Ok(Self { document, signed, signatures, head, canonical })
    }

    /// The JSON of RFC 8785.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Its role, such as `timestamp`.
    pub fn role(&self) -> &str {
        &self.head.role
    }

    /// Its version.
    pub fn version(&self) -> i64 {
        self.head.version
    }

    /// The version of the specification that it follows.
    pub fn spec_version(&self) -> &str {
        &self.head.spec_version
    }
}

/// Metadata of the root role that satisfies its own threshold.
pub struct Root {
    metadata: Metadata,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
struct Roots {
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
}

#[derive(Deserialize)]
struct Key {
    keytype: String,
    scheme: Option<String>,
    keyval: KeyValue,
}

#[derive(Deserialize)]
struct KeyValue {
    public: String,
}

#[derive(Deserialize)]
struct Role {
    keyids: Vec<String>,
    threshold: usize,
}

impl Root {
    /// Reads JSON and verifies it by its own keys.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::of(Metadata::parse(bytes)?)
    }

    /// Verifies metadata of the root role by its own keys. When it expires is not looked at.
    pub fn of(metadata: Metadata) -> Result<Self, KeyError> {
        if metadata.role() != "root" {
            let problem = format!("root is metadata of role {:?}, \"root\" was expected", metadata.role());
            return Err(KeyError::new(problem));
        }
        let Roots { keys, roles } =
            Roots::deserialize(&metadata.document["signed"]).map_err(|error| wrong(&error))?;
        if keys.len() > MAX_KEYS {
            let problem = format!("root has {} keys, at most {MAX_KEYS} were expected", keys.len());
            return Err(KeyError::new(problem));
        }
        let root = Self { metadata, keys, roles };
        root.verify(&root.metadata)?;
        Ok(root)
    }

    /// The JSON of RFC 8785.
    pub fn canonical(&self) -> &[u8] {
        self.metadata.canonical()
    }

    /// The version of the specification that it follows.
    pub fn spec_version(&self) -> &str {
        self.metadata.spec_version()
    }

    /// Verifies that a threshold of the keys of the role signed. When it expires is not looked at.
    pub fn verify(&self, metadata: &Metadata) -> Result<(), KeyError> {
        let name = metadata.role();
        let role = self.roles.get(name).filter(|_| ROLES.contains(&name));
        let Some(role) = role else {
            let problem = format!("metadata is of role {name:?}, {} was expected", ROLES.join(", "));
            return Err(KeyError::new(problem));
        };
        if role.threshold == 0 {
            return Err(KeyError::new(format!(
                "root has threshold 0 for role {name:?}, 1 or more was expected"
            )));
        }
        // One key under two IDs is still one.
        let mut good = BTreeSet::new();
        for Signature { keyid, sig } in &metadata.signatures {
            let Some(key) = self.keys.get(keyid).filter(|_| role.keyids.contains(keyid)) else { continue };
            if good.contains(key.keyval.public.as_str()) {
                continue;
            }
            if unhex(sig).is_some_and(|sig| key.verifies(&metadata.signed, &sig)) {
                good.insert(key.keyval.public.as_str());
            }
        }
        if good.len() < role.threshold {
            let problem = format!(
                "metadata of role {name:?} is signed by {} of its keys, {} were expected",
                good.len(),
                role.threshold
            );
            return Err(KeyError::new(problem));
        }
        Ok(())
    }
}

impl Key {
    fn verifies(&self, message: &[u8], sig: &[u8]) -> bool {
        let public = self.keyval.public.as_str();
        match (self.keytype.as_str(), self.scheme.as_deref()) {
            ("ed25519", _) => match unhex(public) {
                Some(point) => {
                    UnparsedPublicKey::new(&signature::ED25519, point).verify(message, sig).is_ok()
                }
                // Some implementations write PEM here too.
                None => x509::PublicKey::parse(public.as_bytes()).is_ok_and(|key| {
                    key.key_type() == x509::KeyType::Ed25519 && key.verify_message(message, sig)
                }),
            },
            ("ecdsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384", _) => match unhex(public) {
                Some(point) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, point)
                    .verify(message, sig)
                    .is_ok(),
                None => Self::ecdsa(public, message, sig),
            },
            ("rsa", Some("rsassa-pss-sha256") | None) => {
                Self::rsa(public, &signature::RSA_PSS_2048_8192_SHA256, message, sig)
            }
            ("rsa", Some("rsa-pkcs1v15-sha256")) => {
                Self::rsa(public, &signature::RSA_PKCS1_2048_8192_SHA256, message, sig)
            }
            _ => false,
        }
    }

    fn ecdsa(public: &str, message: &[u8], sig: &[u8]) -> bool {
        let Ok(key) = x509::PublicKey::parse(public.as_bytes()) else { return false };
        match spki::read(key.spki(), "public key") {
            Ok(spki::Spki::Ecdsa(spki::Curve::P256, _)) => key.verify_message(message, sig),
            Ok(spki::Spki::Ecdsa(spki::Curve::P384, point)) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_ASN1, point).verify(message, sig).is_ok()
            }
            _ => false,
        }
    }

    fn rsa(public: &str, how: &'static signature::RsaParameters, message: &[u8], sig: &[u8]) -> bool {
        let Ok(blocks) = pem::read(public.as_bytes(), 1) else { return false };
        match spki::read(&blocks[0].der, "public key") {
            Ok(spki::Spki::Rsa(der)) => UnparsedPublicKey::new(how, der).verify(message, sig).is_ok(),
            _ => false,
        }
    }
}

/// Canonical JSON as TUF signs it (<http://wiki.laptop.org/go/Canonical_JSON>), which escapes nothing but quotes and
/// backslashes, unlike that of RFC 8785.
fn write(value: &Value, to: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Null => to.extend(b"null"),
        Value::Bool(value) => to.extend(value.to_string().as_bytes()),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            to.extend(number.to_string().as_bytes());
        }
        Value::Number(number) => return Err(format!("number {number} is not whole")),
        Value::String(text) => string(text, to),
        Value::Array(items) => {
            to.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write(item, to)?;
            }
            to.push(b']');
        }
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            to.push(b'{');
            for (at, (name, member)) in members.into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                string(name, to);
                to.push(b':');
                write(member, to)?;
            }
            to.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, to: &mut Vec<u8>) {
    to.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            to.push(b'\\');
        }
        to.push(byte);
    }
    to.push(b'"');
}

fn wrong(problem: &dyn std::fmt::Display) -> KeyError {
    KeyError::new(format!("metadata is not TUF metadata: {problem}"))
}

const ROLES: &[&str] = &["root", "targets", "snapshot", "timestamp"];
const MAX_SIGNATURES: usize = 64;
const MAX_KEYS: usize = 256;
