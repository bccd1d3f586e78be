//! The trusted root: whose logs, authorities for certificates and authorities for timestamps are believed, and when
//! (<https://github.com/sigstore/protobuf-specs>, `sigstore_trustroot.proto`).

use std::collections::BTreeMap;

use sigstore_verify::Verifier;
use sigstore_verify::trust_root::TrustedRoot as Parsed;

use crate::json;

/// The longest trusted root, in bytes.
pub const MAX_TRUSTED_ROOT: usize = 4 << 20;
/// The most logs or authorities of one kind.
const MAX_EACH: usize = 256;
/// What it may call itself.
const MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// A trusted root whose keys and certificates were all read.
pub struct TrustedRoot {
    pub(super) verifier: Verifier,
    /// The key of each log, DER `SubjectPublicKeyInfo`, by the log's ID.
    pub(super) logs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where each log is.
    pub(super) urls: BTreeMap<Vec<u8>, String>,
}

/// A trusted root that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("trusted root: {problem}")]
pub struct TrustError {
    /// What is wrong with it.
    pub problem: String,
}

impl TrustedRoot {
    /// The public keys of the logs, DER `SubjectPublicKeyInfo`.
    pub fn log_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.logs.values().map(Vec::as_slice)
    }

    /// Reads a trusted root of at most [`MAX_TRUSTED_ROOT`] bytes. Members that are there twice, keys that cannot be read, and
    /// logs without the time from which their keys hold are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let refused = |problem: String| TrustError { problem };
        if bytes.len() > MAX_TRUSTED_ROOT {
            return Err(refused(format!(
                "is {} bytes, at most {MAX_TRUSTED_ROOT} were expected",
                bytes.len()
            )));
        }
        let value = json::read(bytes, "trustedRoot").map_err(|error| refused(error.to_string()))?;
        let media_type = value["mediaType"].as_str().unwrap_or_default();
        if !MEDIA_TYPES.contains(&media_type) {
            let expected = MEDIA_TYPES[0];
            return Err(refused(format!("mediaType is {media_type:?}, {expected:?} was expected")));
        }
        for list in ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"] {
            let len = value[list].as_array().map_or(0, Vec::len);
            if len > MAX_EACH {
                return Err(refused(format!("{list} has {len} members, at most {MAX_EACH} were expected")));
            }
        }
        let parsed: Parsed = serde_json::from_value(value).map_err(|error| refused(error.to_string()))?;
        for log in &parsed.tlogs {
            if log.public_key.valid_for.is_none() {
                let url = &log.base_url;
                return Err(refused(format!(
                    "the log {url:?} has no publicKey.validFor.start, from which its key holds"
                )));
            }
        }
        let verifier = Verifier::new(&parsed).map_err(|error| refused(error.to_string()))?;
        let logs = parsed.tlogs.iter();
        let logs = logs.map(|log| {
            let (id, key) = (log.log_id.key_id.as_bytes(), log.public_key.raw_bytes.as_bytes());
            (id.to_vec(), key.to_vec())
        });
        let logs = logs.collect();
        let urls = parsed.tlogs.iter();
        let urls = urls.map(|log| (log.log_id.key_id.as_bytes().to_vec(), log.base_url.clone())).collect();
        Ok(Self { verifier, logs, urls })
    }
}
