//! Cosignatures: what a witness puts under a checkpoint, with the time at which it was the latest it had seen (C2SP
//! tlog-cosignature). Ed25519 signs and verifies, ML-DSA-44 verifies.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_44, ParsedPublicKey};

use crate::checkpoint::Checkpoint;
use crate::note::{NameError, SignError, Signature, VkeyError};
use crate::spki::PublicKey;
use crate::vkey::{self, Vkey};

/// What an Ed25519 witness signs (`cosignature/v1`): two header lines, then the checkpoint's text.
pub fn ed25519_message(checkpoint: &Checkpoint, unix_seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {unix_seconds}\n{}", checkpoint.text()).into_bytes()
}

/// What an ML-DSA-44 witness signs (`subtree/v1`): of the checkpoint, origin, size and root, but no extension line.
///
/// `None` when a name is longer than its length byte can say.
pub fn ml_dsa_message(cosigner: &str, checkpoint: &Checkpoint, unix_seconds: u64) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    let text = |message: &mut Vec<u8>, text: &str| {
        message.push(u8::try_from(text.len()).ok()?);
        message.extend_from_slice(text.as_bytes());
        Some(())
    };
    text(&mut message, cosigner)?;
    message.extend_from_slice(&unix_seconds.to_be_bytes());
    text(&mut message, &checkpoint.origin)?;
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root.0);
    Some(message)
}

/// A witness's Ed25519 key.
pub struct CosignatureSigner {
    name: String,
    key: Ed25519KeyPair,
    key_id: [u8; 4],
}

impl CosignatureSigner {
    /// A key and the name it cosigns under.
    pub fn new(name: &str, key: Ed25519KeyPair) -> Result<Self, NameError> {
        vkey::valid_name(name)?;
        let key_id = vkey::key_id(&vkey::key_hash(name, KIND_ED25519, key.public_key().as_ref()));
        Ok(Self { name: name.to_owned(), key, key_id })
    }

    /// The name it cosigns under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key ID in its signature lines.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The public key as text, type 0x04.
    pub fn vkey(&self) -> String {
        vkey::write(&self.name, self.key_id, KIND_ED25519, self.key.public_key().as_ref())
    }

    /// The signature line for a checkpoint that was the latest of its log at that time.
    ///
    /// The caller has to be sure of that: this signs whatever it is given.
    pub fn cosign(&self, checkpoint: &Checkpoint, unix_seconds: u64) -> Result<Signature, SignError> {
        let message = ed25519_message(checkpoint, unix_seconds);
        let signature = self.key.try_sign(&message).map_err(SignError::new)?;
        let bytes = [unix_seconds.to_be_bytes().as_slice(), signature.as_ref()].concat();
        Ok(Signature { name: self.name.clone(), key_id: self.key_id, bytes })
    }
}

impl fmt::Debug for CosignatureSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosignatureSigner({})", self.vkey())
    }
}

/// A witness's public key.
#[derive(Clone)]
pub struct CosignatureVerifier {
    name: String,
    key_id: [u8; 4],
    key: Key,
}

#[derive(Clone)]
enum Key {
    Ed25519(PublicKey),
    MlDsa44(ParsedPublicKey),
}

impl CosignatureVerifier {
    /// Reads a vkey of type 0x04 (Ed25519) or 0x06 (ML-DSA-44). Type 0x01, a plain Ed25519 key, is taken for 0x04 of the
    /// same key, with the ID that it has then.
    pub fn from_vkey(text: &str) -> Result<Self, VkeyError> {
        let vkey = Vkey::parse(text)?;
        let name = vkey.name.to_owned();
        let refused = |expected| VkeyError::Key { name: name.clone(), expected };
        let (kind, key) = match vkey.kind {
            KIND_PLAIN_ED25519 | KIND_ED25519 => {
                let key = PublicKey::from_ed25519(&vkey.key)
                    .ok_or_else(|| refused("an Ed25519 key of 32 bytes"))?;
                (KIND_ED25519, Key::Ed25519(key))
            }
            KIND_ML_DSA_44 => {
                // The length tells the raw key from the DER that the parser would take as well.
                let key = Some(&vkey.key).filter(|key| key.len() == ML_DSA_44_KEY);
                let key = key.and_then(|key| ParsedPublicKey::new(&ML_DSA_44, key).ok());
                (KIND_ML_DSA_44, Key::MlDsa44(key.ok_or_else(|| refused("an ML-DSA-44 key of 1312 bytes"))?))
            }
            kind => {
                let expected = "a cosigner's (0x04 Ed25519, 0x06 ML-DSA-44) was expected";
                return Err(VkeyError::Type { name, kind, expected });
            }
        };
        vkey.expect_id(vkey::key_id(&vkey::key_hash(&name, vkey.kind, &vkey.key)))?;
        let key_id = vkey::key_id(&vkey::key_hash(&name, kind, &vkey.key));
        Ok(Self { name, key_id, key })
    }

    /// The name it cosigns under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key ID in its signature lines.
    pub fn key_id(&self) -> [u8; 4] {
        self.key_id
    }

    /// The key as text.
    pub fn vkey(&self) -> String {
        match &self.key {
            Key::Ed25519(key) => vkey::write(&self.name, self.key_id, KIND_ED25519, key.ed25519_bytes()),
            Key::MlDsa44(key) => vkey::write(&self.name, self.key_id, KIND_ML_DSA_44, key.as_ref()),
        }
    }

    /// Whether that line is this witness's good cosignature of the checkpoint: then the time it says, in Unix seconds.
    pub fn verify(&self, checkpoint: &Checkpoint, line: &Signature) -> Option<u64> {
        if line.name != self.name || line.key_id != self.key_id {
            return None;
        }
        let (time, signature) = line.bytes.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let good = match &self.key {
            Key::Ed25519(key) => key.verify(&ed25519_message(checkpoint, time), signature),
            Key::MlDsa44(key) => {
                key.verify_sig(&ml_dsa_message(&self.name, checkpoint, time)?, signature).is_ok()
            }
        };
        good.then_some(time)
    }

    /// The latest time at which one of the lines says that this witness cosigned the checkpoint.
    pub fn cosigned(&self, checkpoint: &Checkpoint, lines: &[Signature]) -> Option<u64> {
        lines.iter().filter_map(|line| self.verify(checkpoint, line)).max()
    }
}

impl fmt::Debug for CosignatureVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosignatureVerifier({})", self.vkey())
    }
}

const KIND_PLAIN_ED25519: u8 = 0x01;
const KIND_ED25519: u8 = 0x04;
const KIND_ML_DSA_44: u8 = 0x06;
const ML_DSA_44_KEY: usize = 1312;

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};

    use super::*;
    use crate::hash::leaf_hash;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "log".to_owned(),
            size: 3,
            root: leaf_hash(b""),
            extensions: vec!["ext".to_owned()],
        }
    }

    fn ed25519() -> CosignatureSigner {
        CosignatureSigner::new("w", Ed25519KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn an_ed25519_cosignature_covers_everything() {
        let signer = ed25519();
        let verifier = CosignatureVerifier::from_vkey(&signer.vkey()).unwrap();
        assert_eq!((verifier.name(), verifier.key_id()), (signer.name(), signer.key_id()));
        let line = signer.cosign(&checkpoint(), 7).unwrap();
        assert_eq!(verifier.verify(&checkpoint(), &line), Some(7));
        for other in [
            Checkpoint { origin: "lug".to_owned(), ..checkpoint() },
            Checkpoint { size: 4, ..checkpoint() },
            Checkpoint { root: leaf_hash(b"x"), ..checkpoint() },
            Checkpoint { extensions: vec![], ..checkpoint() },
        ] {
            assert_eq!(verifier.verify(&other, &line), None);
        }
        let mut later = line.clone();
        later.bytes[7] = 8;
        assert_eq!(verifier.verify(&checkpoint(), &later), None);
        for len in 0..line.bytes.len() {
            let cut = Signature { bytes: line.bytes[..len].to_vec(), ..line.clone() };
            assert_eq!(verifier.verify(&checkpoint(), &cut), None);
        }
        assert_eq!(verifier.verify(&checkpoint(), &Signature { name: "v".to_owned(), ..line.clone() }), None);
        assert_eq!(verifier.verify(&checkpoint(), &Signature { key_id: [0; 4], ..line.clone() }), None);

        let lines = [later, signer.cosign(&checkpoint(), 9).unwrap(), line];
        assert_eq!(verifier.cosigned(&checkpoint(), &lines), Some(9));
        assert_eq!(verifier.cosigned(&checkpoint(), &lines[..1]), None);
        assert!(CosignatureSigner::new("a b", Ed25519KeyPair::generate().unwrap()).is_err());
        assert_eq!(format!("{signer:?}"), format!("CosignatureSigner({})", signer.vkey()));
    }

    #[test]
    fn an_ml_dsa_cosignature_covers_the_head() {
        let key = PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).unwrap();
        let public = key.public_key().as_ref();
        let key_id = vkey::key_id(&vkey::key_hash("w", KIND_ML_DSA_44, public));
        let text = vkey::write("w", key_id, KIND_ML_DSA_44, public);
        let verifier = CosignatureVerifier::from_vkey(&text).unwrap();
        assert_eq!((verifier.vkey(), verifier.key_id()), (text, key_id));

        let mut bytes = 7_u64.to_be_bytes().to_vec();
        bytes.resize(8 + 2420, 0);
        key.sign(&ml_dsa_message("w", &checkpoint(), 7).unwrap(), &mut bytes[8..]).unwrap();
        let line = Signature { name: "w".to_owned(), key_id, bytes };
        assert_eq!(verifier.verify(&checkpoint(), &line), Some(7));
        assert_eq!(verifier.verify(&Checkpoint { extensions: vec![], ..checkpoint() }, &line), Some(7));
        assert_eq!(verifier.verify(&Checkpoint { size: 4, ..checkpoint() }, &line), None);
        assert_eq!(verifier.verify(&Checkpoint { origin: "o".repeat(256), ..checkpoint() }, &line), None);
        let mut changed = line.clone();
        changed.bytes[7] = 8;
        assert_eq!(verifier.verify(&checkpoint(), &changed), None);
        changed.bytes.truncate(8);
        assert_eq!(verifier.verify(&checkpoint(), &changed), None);
    }

    #[test]
    fn vkeys_that_are_refused() {
        let said = |kind, key: &[u8]| {
            let key_id = vkey::key_id(&vkey::key_hash("w", kind, key));
            CosignatureVerifier::from_vkey(&vkey::write("w", key_id, kind, key)).unwrap_err().to_string()
        };
        assert_eq!(said(1, &[1; 31]), "key of \"w\" is not an Ed25519 key of 32 bytes");
        assert_eq!(said(4, &[1; 33]), "key of \"w\" is not an Ed25519 key of 32 bytes");
        assert_eq!(said(6, &[1; 1311]), "key of \"w\" is not an ML-DSA-44 key of 1312 bytes");
        assert_eq!(
            said(2, &[1; 32]),
            "vkey \"w\" has type 0x02, a cosigner's (0x04 Ed25519, 0x06 ML-DSA-44) was expected"
        );
        let vkey = ed25519().vkey().replacen("w+", "v+", 1);
        assert!(matches!(CosignatureVerifier::from_vkey(&vkey), Err(VkeyError::KeyId { .. })));
    }
}
