//! The public key that is to be certified: in which forms it may come, and which keys are good enough.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bulla_claims::keys::public_key_pem;
use bulla_claims::pki::x509::{KeyType, PublicKey};
use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A kind of key that may be certified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum KeyKind {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// RSA of 2048 to 4096 bits with the exponent 65537.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// Every kind there is.
    pub const ALL: [Self; 5] = [Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Rsa, Self::Ed25519];

    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| format!("key kind {name:?} is unknown, one of {} was expected", listed(Self::ALL)))
    }
}

/// Which keys are certified: all there are, or some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPolicy(BTreeSet<KeyKind>);

impl Default for KeyPolicy {
    fn default() -> Self {
        Self(KeyKind::ALL.into())
    }
}

impl FromIterator<KeyKind> for KeyPolicy {
    fn from_iter<T: IntoIterator<Item = KeyKind>>(kinds: T) -> Self {
        Self(kinds.into_iter().collect())
    }
}

impl KeyPolicy {
    /// Whether such a key may be certified. The error says what it is and what was expected.
    pub fn judge(&self, key: &PublicKey) -> Result<(), String> {
        let (kind, weakness) = match key.key_type() {
            KeyType::P256 => (KeyKind::EcdsaP256, None),
            KeyType::P384 => (KeyKind::EcdsaP384, None),
            KeyType::P521 => (KeyKind::EcdsaP521, None),
            KeyType::Ed25519 => (KeyKind::Ed25519, None),
            KeyType::Rsa(bits) => (KeyKind::Rsa, rsa_weakness(bits, key.spki())),
        };
        if !self.0.contains(&kind) {
            let expected = listed(self.0.iter().copied());
            return Err(format!("is {}, one of {expected} was expected", key.key_type()));
        }
        if key.is_weak() {
            return Err("is an Ed25519 key of small order, which signs nothing: make another".to_owned());
        }
        weakness.map_or(Ok(()), Err)
    }
}

fn listed(kinds: impl IntoIterator<Item = KeyKind>) -> String {
    kinds.into_iter().map(KeyKind::name).collect::<Vec<_>>().join(", ")
}

fn rsa_weakness(bits: u32, spki: &[u8]) -> Option<String> {
    if !(2048..=4096).contains(&bits) {
        return Some(format!("is RSA of {bits} bits, 2048 to 4096 were expected"));
    }
    (exponent(spki).as_deref() != Some(&[1, 0, 1][..]))
        .then(|| "is RSA with another exponent than 65537, which was expected".to_owned())
}

/// The public exponent in the `RSAPublicKey` of a `SubjectPublicKeyInfo`.
fn exponent(spki: &[u8]) -> Option<Vec<u8>> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
    let mut reader = SliceReader::new(spki.subject_public_key.as_bytes()?).ok()?;
    let exponent = reader.sequence(|reader| {
        let _modulus = UintRef::decode(reader)?;
        UintRef::decode(reader).map(|exponent| exponent.as_bytes().to_vec())
    });
    exponent.ok()
}

/// Reads a public key: PEM, or base64 of PEM or of DER `SubjectPublicKeyInfo`. The error is what is to be said after the
/// name of the field.
pub fn read(content: &str) -> Result<PublicKey, String> {
    let content = content.trim();
    if content.is_empty() {
        return Err("is empty, a public key in PEM was expected".to_owned());
    }
    if content.starts_with(PEM) {
        return from_pem(content.as_bytes());
    }
    let bytes = base64(content)
        .ok_or("is neither PEM nor base64: a line -----BEGIN PUBLIC KEY----- was expected first")?;
    from_bytes(&bytes)
}

/// Reads a public key in PEM or DER.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<PublicKey, String> {
    if bytes.trim_ascii_start().starts_with(PEM.as_bytes()) {
        return from_pem(bytes);
    }
    from_pem(public_key_pem(bytes).as_bytes())
}

fn from_pem(pem: &[u8]) -> Result<PublicKey, String> {
    let key = PublicKey::parse(pem).map_err(|error| format!("is refused: {error}"))?;
    if !key.canonical().starts_with(b"-----BEGIN PUBLIC KEY-----") {
        return Err("is a certificate, a public key was expected".to_owned());
    }
    Ok(key)
}

/// Base64 of either alphabet, padded or not, with line breaks or without: what readers of protobuf JSON take.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    LENIENT.decode(plain).ok()
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const PEM: &str = "-----BEGIN ";
