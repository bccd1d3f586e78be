//! A log to sign with: how it is spoken with, and the keys that its answers are believed by, as a trusted root has them
//! (sigstore protobuf-specs, `TrustedRoot`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::keys::public_key_pem;
use bulla_rekor::client::v1::LogKey;
use bulla_tlog::note::Verifier;
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde::Deserialize;

use super::signing_config::Validity;
use crate::command::Failure;

/// Which API a log is spoken with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub(crate) enum Api {
    /// promises, and the time that the log says
    V1,
    /// tiles, and the time that a timestamp authority says
    V2,
}

/// A log, and whom to believe about it.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// Without `/api/…`.
    pub(crate) url: String,
    /// How it is spoken with.
    pub(crate) api: Api,
    trusted: Vec<Trusted>,
}

/// The key of a log as a trusted root has it.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    host: String,
    spki: Vec<u8>,
}

/// The logs of a trusted root.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Root {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    tlogs: Vec<Tlog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tlog {
    base_url: String,
    public_key: TlogKey,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TlogKey {
    raw_bytes: String,
    #[serde(default)]
    valid_for: Validity,
}

impl Api {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

impl Root {
    /// The keys of the logs that take entries then.
    pub(super) fn trusted(self, now: Timestamp) -> Result<Vec<Trusted>, String> {
        if !self.media_type.starts_with(TRUSTED_ROOT) {
            return Err(format!("mediaType is {:?}, {TRUSTED_ROOT:?}… was expected", self.media_type));
        }
        let current = self.tlogs.into_iter().filter(|log| log.public_key.valid_for.holds(now));
        let trusted: Vec<_> = current
            .map(|log| {
                let host =
                    url::Url::parse(&log.base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
                let host = host.ok_or_else(|| format!("baseUrl {:?} has no host", log.base_url))?;
                let spki = STANDARD.decode(&log.public_key.raw_bytes);
                let spki = spki.map_err(|_| format!("the key of {host} is not base64"))?;
                Ok(Trusted { host, spki })
            })
            .collect::<Result<_, String>>()?;
        if trusted.is_empty() { Err("it has no log that is valid now".to_owned()) } else { Ok(trusted) }
    }
}

impl Log {
    /// One at that address, believed by these keys.
    pub(super) fn new(url: String, api: Api, trusted: Vec<Trusted>) -> Self {
        Self { url, api, trusted }
    }

    /// The key of the v1 log that an entry says to be of.
    pub(crate) fn key_v1(&self, log_id: &str) -> Result<LogKey, Failure> {
        let trusted = self.trusted.iter().find(|log| sha256(&log.spki).to_string() == log_id);
        let trusted = trusted.ok_or_else(|| {
            let ids: Vec<_> = self.trusted.iter().map(|log| sha256(&log.spki).to_string()).collect();
            let (url, ids) = (&self.url, ids.join(", "));
            Failure::check(format!("{url} answers as log {log_id}, the trusted root has {ids}"))
        })?;
        LogKey::from_pem(&public_key_pem(&trusted.spki))
            .map_err(|problem| Failure::usage(format!("trusted root: the key of log {log_id} {problem}")))
    }

    /// The logs of v2 that are believed. What cannot sign a checkpoint is passed over.
    pub(crate) fn keys_v2(&self) -> Vec<Verifier> {
        self.trusted.iter().filter_map(|log| Verifier::from_spki(&log.host, &log.spki).ok()).collect()
    }
}

/// A key as logs of v1 name it.
pub(crate) fn key_hint(spki: &[u8]) -> String {
    let Hash(hash) = sha256(spki);
    STANDARD.encode(hash)
}

const TRUSTED_ROOT: &str = "application/vnd.dev.sigstore.trustedroot";
