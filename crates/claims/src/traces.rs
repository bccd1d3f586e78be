//! What an entry can be found by: digests, keys, identities, kind (reference rekor-v1 §8). The search index is grown from
//! this; a leaf of either door says it, and what only a proposed entry knew is kept beside the leaf.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::entry::{self, DescribeError};
use crate::pki::Format;
use crate::pki::x509::Document;

/// Through which door an entry came, by its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// Clients of Rekor v1 can read it.
    V1,
    /// Only clients of Rekor v2 can.
    V2,
}

/// What an entry can be found by. All texts are lower case, as they are looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traces {
    /// Who can read it.
    pub door: Door,
    /// Its kind, such as `hashedrekord`.
    pub kind: &'static str,
    /// Hashes of what was signed and of its parts, `sha256:<hex>`; of TUF metadata also bare texts.
    pub digests: Vec<String>,
    /// Who signed.
    pub keys: Vec<Arc<KeyTraces>>,
}

/// What a key or certificate can be found by.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeyTraces {
    /// Lower-case hex SHA-256 of the key in its canonical form (of a PEM key: of the PEM text), and, when it has one, of
    /// its DER `SubjectPublicKeyInfo`; both bare, and each with `sha256:` before it.
    pub fingerprints: Vec<String>,
    /// Subject alternative names of a certificate, e-mail addresses of a PGP or SSH key.
    pub identities: Vec<String>,
    /// Who vouched for the identity: the OIDC issuer in a Fulcio certificate.
    pub issuer: Option<String>,
}

impl KeyTraces {
    /// Lower-case hex SHA-256 of a key in one of its forms, bare and with `sha256:` before it.
    pub(crate) fn fingerprints_of(form: &[u8]) -> Vec<String> {
        let hex = hex(digest::digest(&SHA256, form).as_ref());
        let named = format!("sha256:{hex}");
        vec![hex, named]
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    hex_onto(bytes, &mut text);
    text
}

/// Lower-case hex, behind what is there.
pub(crate) fn hex_onto(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.map(|digit| char::from(DIGITS[usize::from(digit)])));
}

/// Bytes of hex in either case.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// In what form a key stands in a body, in base64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyForm {
    /// PEM of a public key or certificates.
    Pem,
    /// DER `SubjectPublicKeyInfo`.
    Spki,
    /// One DER certificate.
    Certificate,
    /// A format of its own.
    Other(Format),
}

impl KeyForm {
    /// In what form keys of that format stand.
    pub(crate) fn of(format: Format) -> Self {
        if format == Format::X509 { Self::Pem } else { Self::Other(format) }
    }

    /// What a key is found by. Of one that cannot be read, the bytes alone are known.
    fn read(self, bytes: &[u8]) -> KeyTraces {
        let document = match self {
            Self::Pem => Document::read(bytes).ok(),
            Self::Spki => Some(Document::of_spki(bytes.to_vec())),
            Self::Certificate => Document::of_chain(vec![bytes.to_vec()]).ok(),
            Self::Other(format) => return format.traces(bytes),
        };
        document.map_or_else(
            || KeyTraces { fingerprints: KeyTraces::fingerprints_of(bytes), ..KeyTraces::default() },
            |document| document.traces(),
        )
    }
}

/// Remembers what keys were seen, since many entries share few keys. Bounded: of two halves the one that was not used for
/// longer is forgotten when the other is full.
#[derive(Default)]
pub struct KeyCache {
    recent: HashMap<Box<str>, Known>,
    /// How many bytes of text `recent` has.
    recent_bytes: usize,
    older: HashMap<Box<str>, Known>,
}

type Known = (KeyForm, Arc<KeyTraces>);

impl KeyCache {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key in PEM, from its base64.
    pub(crate) fn pem(&mut self, base64: &str, kind: &'static str) -> Result<Arc<KeyTraces>, DescribeError> {
        self.key(KeyForm::Pem, base64, kind)
    }

    /// A key in that form, from its base64.
    pub(crate) fn key(
        &mut self,
        form: KeyForm,
        base64: &str,
        kind: &'static str,
    ) -> Result<Arc<KeyTraces>, DescribeError> {
        if let Some((_, traces)) = self.recent.get(base64).filter(|(known, _)| *known == form) {
            return Ok(traces.clone());
        }
        let remembered = self.older.remove(base64).filter(|(known, _)| *known == form);
        let traces = if let Some((_, traces)) = remembered {
            traces
        } else {
            let expected = "padded standard base64";
            let bytes = STANDARD.decode(base64);
            let wrong = |_| DescribeError::Value { kind, field: "public key", expected };
            Arc::new(form.read(&bytes.map_err(wrong)?))
        };
        self.recent_bytes += base64.len();
        if self.recent.len() >= HALF || self.recent_bytes > HALF_BYTES {
            self.older = std::mem::take(&mut self.recent);
            self.recent_bytes = base64.len();
        }
        self.recent.insert(base64.into(), (form, traces.clone()));
        Ok(traces)
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCache({} keys)", self.recent.len() + self.older.len())
    }
}

/// How many keys each half of the cache remembers.
const HALF: usize = 2048;
/// How many bytes of their texts: some 2,000 certificates.
const HALF_BYTES: usize = 4 << 20;

/// Reads what a leaf can be found by. Nothing is verified.
pub fn traces(body: &[u8], keys: &mut KeyCache) -> Result<Traces, DescribeError> {
    entry::traces(body, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let mut cache = KeyCache::new();
        let used = cache.pem("dXNlZA==", "test").expect("base64");
        for n in 0..3 * HALF {
            cache.key(KeyForm::Spki, &STANDARD.encode(n.to_be_bytes()), "test").expect("base64");
            assert!(Arc::ptr_eq(&used, &cache.pem("dXNlZA==", "test").expect("base64")));
            assert!(cache.recent.len() <= HALF && cache.older.len() <= HALF);
        }
        let long = "A".repeat(HALF_BYTES / 2);
        for form in [KeyForm::Pem, KeyForm::Spki, KeyForm::Certificate, KeyForm::Pem] {
            cache.key(form, &long, "test").expect("base64");
        }
        let bytes = |half: &HashMap<Box<str>, Known>| half.keys().map(|key| key.len()).sum::<usize>();
        assert!(bytes(&cache.recent) <= HALF_BYTES && bytes(&cache.older) <= HALF_BYTES);
    }

    #[test]
    fn a_text_is_another_key_in_another_form() {
        let mut cache = KeyCache::new();
        let spki = cache.key(KeyForm::Spki, "AAAA", "test").expect("base64");
        let pem = cache.pem("AAAA", "test").expect("base64");
        // What cannot be read is found by its bytes alone.
        assert_eq!((spki.fingerprints.len(), pem.fingerprints.len()), (4, 2));
        assert_eq!(spki.fingerprints[2..], pem.fingerprints[..]);
        assert!(cache.pem("AAA", "test").is_err());
    }
}
