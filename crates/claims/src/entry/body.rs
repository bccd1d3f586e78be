//! The bytes of a leaf: JSON in the canonical form of RFC 8785 (reference rekor-v2 §1.5). Every name is fixed and every value
//! is ASCII, so the order and the escapes are known when this is written; a serializer would only repeat them.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{DescribeError, FactsDigest, FactsSignature};
use crate::keys::{HashAlgorithm, Material, PublicKeyDetails};
use crate::traces::{KeyCache, KeyForm, KeyTraces, hex_onto};

/// The most bytes that a leaf can have: entry bundles write its length in 16 bits (C2SP tlog-tiles).
pub const MAX_BODY: usize = bulla_tlog::MAX_ENTRY;

/// What a hashedrekord body is made of. The digest's algorithm is the one that the label implies.
pub(super) struct HashedRekordBody<'a> {
    pub(super) algorithm: &'static str,
    pub(super) digest: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) details: PublicKeyDetails,
    pub(super) material: &'a Material,
}

impl HashedRekordBody<'_> {
    /// How many bytes [`HashedRekordBody::write`] makes.
    pub(super) fn len(&self) -> usize {
        let (container, raw) = self.container();
        let fixed =
            [ALGORITHM, self.algorithm, DIGEST, CONTENT, DETAILS, self.details.name(), container, END];
        let values = [self.digest, self.signature, raw];
        fixed.iter().map(|text| text.len()).sum::<usize>()
            + values.iter().map(|value| value.len().div_ceil(3) * 4).sum::<usize>()
    }

    /// The body.
    pub(super) fn write(&self) -> Vec<u8> {
        let (container, raw) = self.container();
        let mut body = String::with_capacity(self.len());
        body.push_str(ALGORITHM);
        body.push_str(self.algorithm);
        body.push_str(DIGEST);
        STANDARD.encode_string(self.digest, &mut body);
        body.push_str(CONTENT);
        STANDARD.encode_string(self.signature, &mut body);
        body.push_str(DETAILS);
        body.push_str(self.details.name());
        body.push_str(container);
        STANDARD.encode_string(raw, &mut body);
        body.push_str(END);
        body.into_bytes()
    }

    fn container(&self) -> (&'static str, &[u8]) {
        match self.material {
            Material::PublicKey(raw) => (PUBLIC_KEY, raw),
            Material::Certificate(raw) => (CERTIFICATE, raw),
        }
    }
}

const ALGORITHM: &str =
    r#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":""#;
const DIGEST: &str = r#"","digest":""#;
const CONTENT: &str = r#""},"signature":{"content":""#;
const DETAILS: &str = r#"","verifier":{"keyDetails":""#;
const PUBLIC_KEY: &str = r#"","publicKey":{"rawBytes":""#;
const CERTIFICATE: &str = r#"","x509Certificate":{"rawBytes":""#;
const END: &str = r#""}}}}}}"#;

/// What every body says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head<'a> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) api_version: Cow<'a, str>,
}

impl<'a> Head<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DescribeError> {
        Self::of_canonical(body).map_or_else(|| parse(body), Ok)
    }

    /// Of a canonical body these two members stand in front, so that the rest need not be read.
    fn of_canonical(body: &'a [u8]) -> Option<Self> {
        let (api_version, rest) = word(body.strip_prefix(br#"{"apiVersion":""#)?)?;
        let (kind, rest) = word(rest.strip_prefix(br#","kind":""#)?)?;
        rest.starts_with(b",").then_some(Self { kind: kind.into(), api_version: api_version.into() })
    }
}

/// Letters, digits and dots up to a quotation mark, and what follows it.
fn word(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.')?;
    let (word, rest) = text.split_at(end);
    Some((std::str::from_utf8(word).ok()?, rest.strip_prefix(b"\"")?))
}

/// A whole body of one kind, by the type of its `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry<'a, S> {
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) api_version: Cow<'a, str>,
    pub(super) spec: S,
}

/// Reads a body as JSON of that type.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DescribeError> {
    serde_json::from_slice(body).map_err(|error| DescribeError::Shape { problem: error.to_string() })
}

/// `dev.sigstore.common.v1.HashOutput`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashOutput<'a> {
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
}

impl HashOutput<'_> {
    pub(super) fn facts(self, kind: &'static str) -> Result<FactsDigest, DescribeError> {
        let bytes = decode(&self.digest, kind, "digest")?;
        Ok(FactsDigest { algorithm: self.algorithm.into_owned(), bytes })
    }

    /// What an entry is found by: `sha256:<hex>`, as in entries of the v1 door.
    pub(super) fn trace(&self, kind: &'static str) -> Result<String, DescribeError> {
        let expected = "SHA2_256, SHA2_384 or SHA2_512";
        let wrong = DescribeError::Value { kind, field: "algorithm", expected };
        let name = match HashAlgorithm::from_name(&self.algorithm).ok_or(wrong)? {
            HashAlgorithm::Sha256 => "sha256:",
            HashAlgorithm::Sha384 => "sha384:",
            HashAlgorithm::Sha512 => "sha512:",
        };
        let mut trace = name.to_owned();
        hex_onto(&decode(&self.digest, kind, "digest")?, &mut trace);
        Ok(trace)
    }
}

/// `dev.sigstore.rekor.v2.Signature`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
    #[serde(borrow)]
    verifier: Verifier<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier<'a> {
    #[serde(borrow)]
    key_details: Cow<'a, str>,
    #[serde(borrow)]
    public_key: Option<RawBytes<'a>>,
    #[serde(rename = "x509Certificate", borrow)]
    certificate: Option<RawBytes<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytes<'a> {
    #[serde(borrow)]
    raw_bytes: Cow<'a, str>,
}

impl Signature<'_> {
    /// What its key is found by.
    pub(super) fn trace(
        &self,
        kind: &'static str,
        keys: &mut KeyCache,
    ) -> Result<Arc<KeyTraces>, DescribeError> {
        let Verifier { public_key, certificate, .. } = &self.verifier;
        match (public_key, certificate) {
            (Some(key), None) => keys.key(KeyForm::Spki, &key.raw_bytes, kind),
            (None, Some(leaf)) => keys.key(KeyForm::Certificate, &leaf.raw_bytes, kind),
            _ => Err(no_verifier(kind)),
        }
    }

    pub(super) fn facts(self, kind: &'static str) -> Result<FactsSignature, DescribeError> {
        let bytes = decode(&self.content, kind, "signature")?;
        let Verifier { key_details, public_key, certificate } = self.verifier;
        let material = match (public_key, certificate) {
            (Some(key), None) => Material::PublicKey(decode(&key.raw_bytes, kind, "publicKey")?),
            (None, Some(leaf)) => Material::Certificate(decode(&leaf.raw_bytes, kind, "x509Certificate")?),
            _ => return Err(no_verifier(kind)),
        };
        Ok(FactsSignature { bytes, material, key_details: key_details.into_owned() })
    }
}

fn no_verifier(kind: &'static str) -> DescribeError {
    DescribeError::Value { kind, field: "verifier", expected: "one publicKey or x509Certificate" }
}

pub(super) fn decode(text: &str, kind: &'static str, field: &'static str) -> Result<Vec<u8>, DescribeError> {
    STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty()).ok_or(DescribeError::Value {
        kind,
        field,
        expected: "padded standard base64 of at least one byte",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_canonical_form_and_as_long_as_it_says(
            digest in proptest::collection::vec(any::<u8>(), 0..70),
            signature in proptest::collection::vec(any::<u8>(), 0..600),
            raw in proptest::collection::vec(any::<u8>(), 0..2000),
            details in proptest::sample::select(PublicKeyDetails::ALL),
            certificate: bool,
        ) {
            let material = if certificate { Material::Certificate(raw) } else { Material::PublicKey(raw) };
            let (digest, signature, material) = (&digest, &signature, &material);
            let body = HashedRekordBody { algorithm: "SHA2_512", digest, signature, details, material };
            let written = body.write();
            prop_assert_eq!(written.len(), body.len());
            let value: serde_json::Value = serde_json::from_slice(&written).expect("it is JSON");
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&value).expect("it has a canonical form"), written);
        }
    }
}
