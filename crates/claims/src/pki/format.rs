//! The formats of keys that an entry can name, and what is alike in all of them.

use super::{minisign, pgp, ssh, x509};
use crate::keys::KeyError;
use crate::traces::KeyTraces;

/// A format of keys and of signatures beside their artifact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    X509,
    Pgp,
    Minisign,
    Ssh,
}

impl Format {
    /// The names, as a refusal tells them.
    pub(crate) const NAMES: &str = "pgp, minisign, x509 or ssh";

    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "x509" => Some(Self::X509),
            "pgp" => Some(Self::Pgp),
            "minisign" => Some(Self::Minisign),
            "ssh" => Some(Self::Ssh),
            _ => None,
        }
    }

    /// Reads a key.
    pub(crate) fn key(self, bytes: &[u8]) -> Result<PublicKey, KeyError> {
        Ok(match self {
            Self::X509 => PublicKey::X509(x509::PublicKey::parse(bytes)?),
            Self::Pgp => PublicKey::Pgp(pgp::PublicKey::parse(bytes)?),
            Self::Minisign => PublicKey::Minisign(minisign::PublicKey::parse(bytes)?),
            Self::Ssh => PublicKey::Ssh(ssh::PublicKey::parse(bytes)?),
        })
    }

    /// What the key of an entry can be found by, at least its bytes if they say nothing here.
    pub(crate) fn traces(self, bytes: &[u8]) -> KeyTraces {
        let mut traces = self.key(bytes).map(|key| key.traces()).unwrap_or_default();
        for fingerprint in KeyTraces::fingerprints_of(bytes) {
            if !traces.fingerprints.contains(&fingerprint) {
                traces.fingerprints.push(fingerprint);
            }
        }
        traces
    }
}

/// A key of any format.
pub(crate) enum PublicKey {
    X509(x509::PublicKey),
    Pgp(pgp::PublicKey),
    Minisign(minisign::PublicKey),
    Ssh(ssh::PublicKey),
}

impl PublicKey {
    /// The form that is stored.
    pub(crate) fn canonical(&self) -> &[u8] {
        match self {
            Self::X509(key) => key.canonical(),
            Self::Pgp(key) => key.canonical(),
            Self::Minisign(key) => key.canonical(),
            Self::Ssh(key) => key.canonical(),
        }
    }

    /// What it can be found by.
    pub(crate) fn traces(&self) -> KeyTraces {
        match self {
            Self::X509(key) => key.traces(),
            Self::Pgp(key) => key.traces(),
            Self::Minisign(key) => key.traces(),
            Self::Ssh(key) => key.traces(),
        }
    }

    /// Verifies a signature over the message, and gives the form of it that is stored.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::X509(key) => {
                key.judge_chain()?;
                if !key.verify_message(message, signature) {
                    let key_type = key.key_type();
                    let over = match key_type {
                        x509::KeyType::Ed25519 => "the artifact itself",
                        _ => "SHA-256 of the artifact",
                    };
                    let problem = format!("signature is not the {key_type} key's over {over}");
                    return Err(KeyError::new(problem));
                }
                Ok(signature.to_vec())
            }
            Self::Pgp(key) => {
                let signature = pgp::Signature::parse(signature)?;
                key.verify(message, &signature)?;
                Ok(signature.canonical())
            }
            Self::Minisign(key) => {
                let signature = minisign::Signature::parse(signature)?;
                key.verify(message, &signature)?;
                Ok(signature.canonical())
            }
            Self::Ssh(key) => {
                let signature = ssh::Signature::parse(signature)?;
                key.verify(message, &signature)?;
                Ok(signature.canonical())
            }
        }
    }
}
