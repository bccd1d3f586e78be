//! The bytes of a leaf: JSON in the canonical form of RFC 8785 (reference rekor-v2 §1.5). Every name is fixed and every value
//! is ASCII, so the order and the escapes are known when this is written; a serializer would only repeat them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{DescribeError, FactsDigest, FactsSignature};
use crate::keys::{Material, PublicKeyDetails};

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
pub(super) struct Head {
    pub(super) kind: String,
    pub(super) api_version: String,
}

impl Head {
    pub(super) fn parse(body: &[u8]) -> Result<Self, DescribeError> {
        parse(body)
    }
}

/// A whole body of one kind, by the type of its `spec`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry<S> {
    pub(super) kind: String,
    pub(super) api_version: String,
    pub(super) spec: S,
}

/// Reads a body as JSON of that type.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, DescribeError> {
    serde_json::from_slice(body).map_err(|error| DescribeError::Shape { problem: error.to_string() })
}

/// `dev.sigstore.common.v1.HashOutput`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HashOutput {
    algorithm: String,
    digest: String,
}

impl HashOutput {
    pub(super) fn facts(self, kind: &'static str) -> Result<FactsDigest, DescribeError> {
        Ok(FactsDigest { algorithm: self.algorithm, bytes: decode(&self.digest, kind, "digest")? })
    }
}

/// `dev.sigstore.rekor.v2.Signature`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    content: String,
    verifier: Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Verifier {
    key_details: String,
    public_key: Option<RawBytes>,
    #[serde(rename = "x509Certificate")]
    certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawBytes {
    raw_bytes: String,
}

impl Signature {
    pub(super) fn facts(self, kind: &'static str) -> Result<FactsSignature, DescribeError> {
        let bytes = decode(&self.content, kind, "signature")?;
        let Verifier { key_details, public_key, certificate } = self.verifier;
        let material = match (public_key, certificate) {
            (Some(key), None) => Material::PublicKey(decode(&key.raw_bytes, kind, "publicKey")?),
            (None, Some(leaf)) => Material::Certificate(decode(&leaf.raw_bytes, kind, "x509Certificate")?),
            _ => {
                let expected = "one publicKey or x509Certificate";
                return Err(DescribeError::Value { kind, field: "verifier", expected });
            }
        };
        Ok(FactsSignature { bytes, material, key_details })
    }
}

fn decode(text: &str, kind: &'static str, field: &'static str) -> Result<Vec<u8>, DescribeError> {
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
