//! A signature as it is carried along in a report: the bytes that were judged, as they were fetched, so that anybody can judge
//! them again, with this program or another.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::{Hash, sha256};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::verification::Form;

/// One signature: a Sigstore bundle, or a layer of before bundles.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Evidence {
    /// The bundle. As text it can be taken out and given to any client as it is.
    Bundle(Blob),
    /// The layer.
    Layer(Layer),
}

/// A layer, which has its signature beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Layer {
    media_type: String,
    payload: Blob,
    annotations: BTreeMap<String, String>,
}

/// Bytes: as the text that they are, or else in base64.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Blob {
    /// Text.
    Text(String),
    /// What is no text.
    Bytes {
        /// The bytes.
        base64: String,
    },
}

impl Evidence {
    /// What was fetched.
    pub(super) fn of(form: &Form) -> Self {
        match form {
            Form::Bundle(bytes) => Self::Bundle(Blob::of(bytes)),
            Form::Layer { media_type, payload, annotations } => Self::Layer(Layer {
                media_type: media_type.clone(),
                payload: Blob::of(payload),
                annotations: annotations.clone(),
            }),
        }
    }

    /// One value for each signature at each place.
    pub(super) fn id(&self, place: &str) -> Hash {
        sha256(json!([place, self]).to_string().as_bytes())
    }

    /// As it was fetched.
    pub(super) fn form(&self) -> Result<Form, String> {
        Ok(match self {
            Self::Bundle(blob) => Form::Bundle(blob.bytes()?),
            Self::Layer(Layer { media_type, payload, annotations }) => Form::Layer {
                media_type: media_type.clone(),
                payload: payload.bytes()?,
                annotations: annotations.clone(),
            },
        })
    }
}

impl Blob {
    /// What was fetched.
    pub(super) fn of(bytes: &Bytes) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: STANDARD.encode(bytes) },
        }
    }

    /// As it was fetched.
    pub(super) fn bytes(&self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Bytes { base64 } => {
                STANDARD.decode(base64).map(Bytes::from).map_err(|_| "evidence is not base64".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_carried_along_byte_by_byte() {
        for bytes in [&b"{\"a\":\"\\u0000\"}\n"[..], b"\xff\xfe", b""] {
            let bytes = Bytes::copy_from_slice(bytes);
            let layer = Form::Layer {
                media_type: "m".to_owned(),
                payload: bytes.clone(),
                annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            };
            for form in [Form::Bundle(bytes.clone()), layer] {
                let text = serde_json::to_string(&Evidence::of(&form)).expect("JSON");
                let read: Evidence = serde_json::from_str(&text).expect("reads");
                assert_eq!(read.form().expect("is one"), form);
            }
        }
        let wrong: Evidence = serde_json::from_str(r#"{"bundle":{"base64":"?"}}"#).expect("reads");
        assert_eq!(wrong.form(), Err("evidence is not base64".to_owned()));
    }
}
