//! Signed certificate timestamps: what a log promises (RFC 6962 §3.2), in TLS encoding and as its API writes it (§4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_tlog::note::Verifier;
use bulla_tlog::{Hash, rfc6962, sha256};
use serde::{Deserialize, Serialize};

use super::leaf::TimestampedEntry;
use super::wire::{Input, WireError, push_vector};

/// A promise of version 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sct {
    /// SHA-256 of the log's `SubjectPublicKeyInfo`.
    pub log_id: Hash,
    /// Unix milliseconds.
    pub timestamp: u64,
    /// `CtExtensions`, without their length.
    pub extensions: Vec<u8>,
    /// The `digitally-signed` struct: algorithms, length, ECDSA signature in DER.
    pub signature: Vec<u8>,
}

impl Sct {
    /// Its TLS encoding. Refused are extensions that are too long.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut out = vec![V1];
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        push_vector(&mut out, 2, &self.extensions, "extensions")?;
        out.extend_from_slice(&self.signature);
        Ok(out)
    }

    /// Reads what [`Sct::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut input = Input::new(bytes);
        version(input.number(1, "version")?)?;
        let log_id = hash(input.take(32, "log ID")?)?;
        let timestamp = input.number(8, "timestamp")?;
        let extensions = input.vector(2, "extensions")?.to_vec();
        let mut signature = input.take(2, "signature algorithm")?.to_vec();
        let ecdsa = input.vector(2, "signature")?;
        push_vector(&mut signature, 2, ecdsa, "signature")?;
        input.end("timestamp")?;
        Self { log_id, timestamp, extensions, signature }.checked()
    }

    /// Whether it is a promise of the log with this key, an ECDSA P-256 `SubjectPublicKeyInfo`, to have such an entry; its
    /// time and extensions are those of the timestamp.
    pub fn verifies(&self, entry: &TimestampedEntry, spki: &[u8]) -> bool {
        let entry = TimestampedEntry {
            timestamp: self.timestamp,
            extensions: self.extensions.clone(),
            entry: entry.entry.clone(),
        };
        let (Ok(message), Some(signature)) = (entry.leaf(), rfc6962::ecdsa(&self.signature)) else {
            return false;
        };
        // The name plays no part in a plain signature.
        let key = Verifier::from_spki("ct", spki);
        self.log_id == sha256(spki) && key.is_ok_and(|key| key.verify(&message, signature))
    }

    fn checked(self) -> Result<Self, WireError> {
        if rfc6962::ecdsa(&self.signature).is_none() {
            return Err(WireError::new("signature is not one of ECDSA over SHA-256"));
        }
        Ok(self)
    }
}

/// The answer to `add-chain` and `add-pre-chain`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddChainResponse {
    sct_version: u64,
    id: String,
    timestamp: u64,
    extensions: String,
    signature: String,
}

impl From<&Sct> for AddChainResponse {
    fn from(sct: &Sct) -> Self {
        Self {
            sct_version: V1.into(),
            id: sct.log_id.to_base64(),
            timestamp: sct.timestamp,
            extensions: STANDARD.encode(&sct.extensions),
            signature: STANDARD.encode(&sct.signature),
        }
    }
}

impl TryFrom<&AddChainResponse> for Sct {
    type Error = WireError;

    fn try_from(response: &AddChainResponse) -> Result<Self, WireError> {
        version(response.sct_version)?;
        let decoded = |field: &str, text: &str| {
            STANDARD.decode(text).map_err(|_| WireError::new(format!("{field} is not standard base64")))
        };
        let sct = Self {
            log_id: hash(&decoded("id", &response.id)?)?,
            timestamp: response.timestamp,
            extensions: decoded("extensions", &response.extensions)?,
            signature: decoded("signature", &response.signature)?,
        };
        sct.checked()
    }
}

fn version(version: u64) -> Result<(), WireError> {
    if version == u64::from(V1) {
        return Ok(());
    }
    Err(WireError::new(format!("version is {version}, 0 was expected")))
}

fn hash(bytes: &[u8]) -> Result<Hash, WireError> {
    Hash::from_slice(bytes)
        .ok_or_else(|| WireError::new(format!("log ID is {} bytes, 32 were expected", bytes.len())))
}

const V1: u8 = 0;

#[cfg(test)]
mod tests {
    use bulla_claims::SigningKey;

    use super::super::leaf::{Entry, extensions};
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pem(&SigningKey::generate_ecdsa_p256_pem(), None).expect("a key")
    }

    fn entry() -> TimestampedEntry {
        let entry = Entry::Precert { issuer_key_hash: sha256(b"key"), tbs: b"tbs".to_vec() };
        TimestampedEntry { timestamp: 7, entry, extensions: extensions(9) }
    }

    fn promise(key: &SigningKey) -> Sct {
        let signature = key.sign(&entry().leaf().expect("fits")).expect("signs");
        let signature = rfc6962::digitally_signed(&signature).expect("fits");
        Sct { log_id: sha256(key.spki()), timestamp: 7, extensions: extensions(9), signature }
    }

    #[test]
    fn a_promise_is_of_its_key_and_entry() {
        let key = key();
        let sct = promise(&key);
        assert!(sct.verifies(&entry(), key.spki()));
        assert!(!sct.verifies(&entry(), self::key().spki()));
        let tbs = b"tbt".to_vec();
        let other = Entry::Precert { issuer_key_hash: sha256(b"key"), tbs };
        assert!(!sct.verifies(&TimestampedEntry { entry: other, ..entry() }, key.spki()));
        for changed in [
            Sct { timestamp: 8, ..sct.clone() },
            Sct { extensions: extensions(8), ..sct.clone() },
            Sct { log_id: sha256(b""), ..sct.clone() },
        ] {
            assert!(!changed.verifies(&entry(), key.spki()));
        }
    }

    #[test]
    fn both_encodings_are_read_back_and_no_part_of_them() {
        let sct = promise(&key());
        let bytes = sct.encode().expect("fits");
        assert_eq!(Sct::parse(&bytes).expect("reads"), sct);
        for len in 0..bytes.len() {
            assert!(Sct::parse(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(Sct::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
        let response = AddChainResponse::from(&sct);
        let json = serde_json::to_string(&response).expect("JSON");
        let read: AddChainResponse = serde_json::from_str(&json).expect("JSON");
        assert_eq!(Sct::try_from(&read).expect("reads"), sct);
        let said = |change: &dyn Fn(&mut AddChainResponse)| {
            let mut changed = response.clone();
            change(&mut changed);
            Sct::try_from(&changed).expect_err("is refused").to_string()
        };
        assert_eq!(said(&|r| r.sct_version = 1), "version is 1, 0 was expected");
        assert_eq!(said(&|r| r.id = "AAAA".to_owned()), "log ID is 3 bytes, 32 were expected");
        assert_eq!(said(&|r| r.extensions = "?".to_owned()), "extensions is not standard base64");
        assert_eq!(said(&|r| r.signature.truncate(8)), "signature is not one of ECDSA over SHA-256");
    }
}
