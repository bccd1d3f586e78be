//! SSH keys as `authorized_keys` has them, and signatures as `ssh-keygen -Y sign` makes them
//! (<https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.sshsig>). The crate reads the formats; what verifies is the
//! provider of all other kinds.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ssh_key::authorized_keys::AuthorizedKeys;
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, Mpint, SshSig};

use super::{email, pem};
use crate::keys::{HashAlgorithm, KeyError, verify};
use crate::traces::KeyTraces;

/// A public key.
pub struct PublicKey {
    key: ssh_key::PublicKey,
    canonical: String,
}

impl PublicKey {
    /// Reads the first key of an `authorized_keys` text.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let text = text(bytes, "public key")?;
        let entry = AuthorizedKeys::new(text).next();
        let entry = entry.ok_or_else(|| KeyError::new("public key has no line with a key".to_owned()))?;
        let entry = entry.map_err(|error| {
            KeyError::new(format!("public key is not a line of authorized_keys: {error}"))
        })?;
        let key = entry.public_key().clone();
        // Without the comment, which anyone can change.
        let canonical = ssh_key::PublicKey::new(key.key_data().clone(), "").to_openssh();
        let canonical =
            canonical.map_err(|error| KeyError::new(format!("public key is not an SSH key: {error}")))?;
        Ok(Self { key, canonical: format!("{}\n", canonical.trim_end()) })
    }

    /// The line of `authorized_keys` without options and comment.
    pub fn canonical(&self) -> &[u8] {
        self.canonical.as_bytes()
    }

    /// What it can be found by.
    pub fn traces(&self) -> KeyTraces {
        KeyTraces {
            fingerprints: KeyTraces::fingerprints_of(self.canonical()),
            identities: email::address(self.key.comment()).into_iter().collect(),
            issuer: None,
        }
    }

    /// Verifies a signature over the message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let signature = &signature.signature;
        if signature.public_key() != self.key.key_data() {
            let made_by = signature.public_key().fingerprint(HashAlg::Sha256);
            let own = self.key.fingerprint(HashAlg::Sha256);
            return Err(KeyError::new(format!("signature is by key {made_by}, publicKey is {own}")));
        }
        let signed = signed(signature, message);
        let raw = signature.signature_bytes();
        let holds = match (self.key.key_data(), signature.algorithm()) {
            (KeyData::Ed25519(key), Algorithm::Ed25519) => {
                UnparsedPublicKey::new(&signature::ED25519, &key.0).verify(&signed, raw).is_ok()
            }
            (KeyData::Ecdsa(key), Algorithm::Ecdsa { .. }) => {
                let algorithm: &dyn VerificationAlgorithm = match key {
                    EcdsaPublicKey::NistP256(_) => &signature::ECDSA_P256_SHA256_ASN1,
                    EcdsaPublicKey::NistP384(_) => &signature::ECDSA_P384_SHA384_ASN1,
                    EcdsaPublicKey::NistP521(_) => &signature::ECDSA_P521_SHA512_ASN1,
                };
                halves(raw, key).is_some_and(|raw| {
                    UnparsedPublicKey::new(algorithm, key.as_sec1_bytes()).verify(&signed, &raw).is_ok()
                })
            }
            (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(hash) }) => {
                let algorithm = match hash {
                    HashAlg::Sha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                    _ => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                };
                let (n, e) = (key.n.as_positive_bytes(), key.e.as_positive_bytes());
                n.zip(e).is_some_and(|(n, e)| {
                    RsaPublicKeyComponents { n, e }.verify(algorithm, &signed, raw).is_ok()
                })
            }
            (_, algorithm) => {
                let problem = format!(
                    "signature is of algorithm {algorithm}, ssh-ed25519, rsa-sha2-256, rsa-sha2-512 or \
                     ecdsa-sha2-nistp256, -nistp384 or -nistp521 of the key's type was expected"
                );
                return Err(KeyError::new(problem));
            }
        };
        if holds {
            return Ok(());
        }
        Err(KeyError::new("signature is not the SSH key's over the artifact".to_owned()))
    }
}

/// A signature beside its artifact.
pub struct Signature {
    signature: SshSig,
    raw: Vec<u8>,
}

impl Signature {
    /// Reads a signature in its armour.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let wrong = |problem: &dyn std::fmt::Display| {
            KeyError::new(format!("signature is not an armoured SSH signature: {problem}"))
        };
        let mut blocks = pem::read(text(bytes, "signature")?.as_bytes(), 1).map_err(|error| wrong(&error))?;
        let block = blocks.remove(0);
        if block.label != LABEL {
            return Err(wrong(&format!("it is PEM of {:?}", block.label)));
        }
        let raw = block.der;
        let signature = SshSig::from_pem(wrap(&raw)).map_err(|error| wrong(&error))?;
        if signature.version() != SshSig::VERSION {
            return Err(wrong(&format!("version is {}, 1 was expected", signature.version())));
        }
        if signature.namespace() != NAMESPACE {
            let problem = format!(
                "signature is for namespace {:?}, {NAMESPACE:?} was expected: sign with -n {NAMESPACE}",
                signature.namespace()
            );
            return Err(KeyError::new(problem));
        }
        Ok(Self { signature, raw })
    }

    /// The armour with lines of 64 columns.
    pub fn canonical(&self) -> Vec<u8> {
        let mut armour = String::new();
        pem::write(LABEL, &self.raw, &mut armour);
        armour.into_bytes()
    }
}

/// The armour as OpenSSH writes it, with lines of 70 columns: the crate reads no others.
fn wrap(raw: &[u8]) -> String {
    let base64 = STANDARD.encode(raw);
    let mut armour = format!("-----BEGIN {LABEL}-----\n");
    for line in base64.as_bytes().chunks(70) {
        armour.push_str(&String::from_utf8_lossy(line));
        armour.push('\n');
    }
    armour + "-----END " + LABEL + "-----\n"
}

/// What the key signed: the magic, then the hash of the message with what it is for.
fn signed(signature: &SshSig, message: &[u8]) -> Vec<u8> {
    let hash = match signature.hash_alg() {
        HashAlg::Sha512 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    };
    let mut signed = MAGIC.to_vec();
    string(&mut signed, signature.namespace().as_bytes());
    string(&mut signed, signature.reserved());
    string(&mut signed, signature.hash_alg().as_str().as_bytes());
    string(&mut signed, digest::digest(hash.function(), message).as_ref());
    signed
}

/// Appends a string as SSH writes it (RFC 4251 §5).
fn string(to: &mut Vec<u8>, content: &[u8]) {
    to.extend((content.len() as u32).to_be_bytes());
    to.extend(content);
}

/// An ECDSA signature in DER: SSH has two `mpint`s.
fn halves(raw: &[u8], key: &EcdsaPublicKey) -> Option<Vec<u8>> {
    let width = key.as_sec1_bytes().len() / 2;
    let mut halves = Vec::with_capacity(2 * width);
    let mut rest = raw;
    for _ in 0..2 {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (half, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        let half = Mpint::from_bytes(half).ok()?;
        let half = half.as_positive_bytes()?;
        halves.extend(std::iter::repeat_n(0, width.checked_sub(half.len())?));
        halves.extend(half);
        rest = after;
    }
    if !rest.is_empty() {
        return None;
    }
    verify::der_of_halves(&halves)
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, KeyError> {
    if bytes.len() > MAX_LEN {
        let problem = format!("{what} is {} bytes, at most {MAX_LEN} were expected", bytes.len());
        return Err(KeyError::new(problem));
    }
    std::str::from_utf8(bytes).map_err(|_| KeyError::new(format!("{what} has bytes that are no text")))
}

const MAGIC: &[u8] = b"SSHSIG";
const LABEL: &str = "SSH SIGNATURE";
const NAMESPACE: &str = "file";
/// The most bytes of a key, and of a signature.
const MAX_LEN: usize = 64 * 1024;
