//! Canonical bodies of the v1 door (RFC 8785): members in order of their names, nothing absent is written, and of numbers
//! and exotic names there are none.

use std::borrow::Cow;

use aws_lc_rs::digest::{self, SHA256};
use serde::{Deserialize, Serialize};

use crate::entry::{DescribeError, FactsDigest, FactsSignature, body};
use crate::pki::x509::{Document, PublicKey};
use crate::traces::hex;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    spec: &'a S,
}

/// The body of an entry.
pub(super) fn write<S: Serialize>(kind: &'static str, api_version: &'static str, spec: &S) -> Vec<u8> {
    serde_json::to_vec(&Written { api_version, kind, spec }).expect("texts and lists of them are always JSON")
}

#[derive(Deserialize)]
struct Read<S> {
    spec: S,
}

/// The `spec` of a body.
pub(super) fn read<'a, S: Deserialize<'a>>(body: &'a [u8]) -> Result<S, DescribeError> {
    body::parse::<Read<S>>(body).map(|read| read.spec)
}

/// A hash: its function, and hex.
#[derive(Serialize, Deserialize, Clone)]
pub(super) struct Hash<'a> {
    #[serde(borrow)]
    pub(super) algorithm: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) value: Cow<'a, str>,
}

impl Hash<'static> {
    /// SHA-256 of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { algorithm: "sha256".into(), value: hex(digest::digest(&SHA256, bytes).as_ref()).into() }
    }
}

impl Hash<'_> {
    /// What an entry is found by.
    pub(super) fn trace(&self) -> String {
        let mut text = String::with_capacity(self.algorithm.len() + 1 + self.value.len());
        text.push_str(&self.algorithm);
        text.push(':');
        text.push_str(&self.value);
        text.make_ascii_lowercase();
        text
    }

    pub(super) fn facts(&self, kind: &'static str) -> Result<FactsDigest, DescribeError> {
        let bytes = crate::traces::unhex(&self.value);
        let bytes = bytes.ok_or(DescribeError::Value { kind, field: "value", expected: "hex" })?;
        Ok(FactsDigest { algorithm: self.algorithm.clone().into_owned(), bytes })
    }
}

/// A signature and its key as a person is told of them. The v1 door has no labels for keys, so what stands there is what
/// the key itself says.
pub(super) fn facts_of(
    kind: &'static str,
    signature: Vec<u8>,
    pem_base64: &str,
) -> Result<FactsSignature, DescribeError> {
    let pem = body::decode(pem_base64, kind, "publicKey")?;
    let wrong =
        |_| DescribeError::Value { kind, field: "publicKey", expected: "a public key or certificate in PEM" };
    let material = Document::read(&pem).map_err(wrong)?.into_material();
    let key_details =
        PublicKey::parse(&pem).map_or_else(|_| "unknown".to_owned(), |key| key.key_type().to_string());
    Ok(FactsSignature { bytes: signature, material, key_details })
}
