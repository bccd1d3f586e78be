//! RFC 6962 tree heads as note signatures (C2SP static-ct-api, "Checkpoints"): what a certificate transparency log puts under
//! its checkpoint, so that one signature serves the clients of both its APIs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::note::{SignError, Signer, Verifier, VkeyError};

/// Makes an ECDSA P-256 signature in DER over the SHA-256 of a message.
pub type SignEcdsa = dyn Fn(&[u8]) -> Result<Vec<u8>, SignError> + Send + Sync;
/// Tells the time in Unix milliseconds.
pub type ClockMillis = dyn Fn() -> u64 + Send + Sync;

/// Signs checkpoints as RFC 6962 tree heads. The times that it says never go back, whatever the clock does.
pub struct TreeHeadSigner {
    verifier: Verifier,
    sign: Box<SignEcdsa>,
    clock: Box<ClockMillis>,
    last: AtomicU64,
}

impl TreeHeadSigner {
    /// For a log of that name, which is its submission prefix without scheme, and an ECDSA P-256 key whose public half is
    /// `spki`.
    pub fn new(
        name: &str,
        spki: &[u8],
        sign: impl Fn(&[u8]) -> Result<Vec<u8>, SignError> + Send + Sync + 'static,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, VkeyError> {
        let verifier = Verifier::of_tree_heads(name, spki)?;
        Ok(Self { verifier, sign: Box::new(sign), clock: Box::new(clock), last: AtomicU64::new(0) })
    }

    /// What verifies its signatures.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl Signer for TreeHeadSigner {
    fn name(&self) -> &str {
        self.verifier.name()
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier.key_id()
    }

    /// Refuses what a tree head cannot say: a text that is no checkpoint, and one with extension lines.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        let checkpoint = checkpoint(text)
            .ok_or_else(|| SignError::new("an RFC 6962 tree head is a checkpoint without extension lines"))?;
        let now = (self.clock)();
        let timestamp = self.last.fetch_max(now, Ordering::SeqCst).max(now);
        let signature = (self.sign)(&tree_head(timestamp, checkpoint.size, &checkpoint.root))?;
        let signature = digitally_signed(&signature)
            .ok_or_else(|| SignError::new("an ECDSA signature is shorter than 64 KiB"))?;
        Ok([timestamp.to_be_bytes().as_slice(), &signature].concat())
    }

    fn not_before(&self, unix_millis: u64) {
        self.last.fetch_max(unix_millis, Ordering::SeqCst);
    }
}

impl fmt::Debug for TreeHeadSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHeadSigner({})", self.verifier.vkey())
    }
}

/// What is signed (RFC 6962 §3.5): version, type, time in Unix milliseconds, size, root.
pub fn tree_head(timestamp: u64, size: u64, root: &Hash) -> Vec<u8> {
    [&[V1, TREE_HASH], timestamp.to_be_bytes().as_slice(), &size.to_be_bytes(), &root.0].concat()
}

/// A `digitally-signed` struct (RFC 5246 §4.7) of an ECDSA signature over SHA-256; `None` when its length does not fit.
pub fn digitally_signed(ecdsa: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(ecdsa.len()).ok()?.to_be_bytes();
    Some([&SHA256_ECDSA, len.as_slice(), ecdsa].concat())
}

/// The signature in a `digitally-signed` struct that fills the bytes; `None` when it is not ECDSA over SHA-256.
pub fn ecdsa(digitally_signed: &[u8]) -> Option<&[u8]> {
    let (len, signature) = digitally_signed.strip_prefix(&SHA256_ECDSA)?.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*len)) == signature.len()).then_some(signature)
}

/// The time in Unix milliseconds and the `digitally-signed` struct of a note signature.
pub fn parts(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signed) = signature.split_first_chunk::<8>()?;
    ecdsa(signed)?;
    Some((u64::from_be_bytes(*time), signed))
}

/// The message and the signature over it that a note with that text and signature stands for.
pub(crate) fn signed<'a>(text: &[u8], signature: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let checkpoint = checkpoint(text)?;
    let (timestamp, signed) = parts(signature)?;
    Some((tree_head(timestamp, checkpoint.size, &checkpoint.root), ecdsa(signed)?))
}

/// Extension lines are no part of what is signed, so there may be none.
fn checkpoint(text: &[u8]) -> Option<Checkpoint> {
    let checkpoint = Checkpoint::parse(std::str::from_utf8(text).ok()?).ok()?;
    checkpoint.extensions.is_empty().then_some(checkpoint)
}

const V1: u8 = 0;
const TREE_HASH: u8 = 1;
const SHA256_ECDSA: [u8; 2] = [4, 3];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::hash::{leaf_hash, sha256};
    use crate::note::{Note, Signature};

    /// A checkpoint and key of Let's Encrypt's Willow 2025h1b, with the two signatures of other kinds that it has.
    const WILLOW: &str = "willow.ct.letsencrypt.org/2025h1b
1237717073
pT/KC9MSHoRK2rHkeyfTSXfxolR2ja4JqhdymK9pnlo=

— grease.invalid 6PiRCcvuZmG719Q08yWtEVT7C6ncT1s8R1xtzvX/reoSPKtuXROhW7Se59Kiwa7i98c/AM8tH4EElmqOQnJcF4cxRlbI9FY=
— willow.ct.letsencrypt.org/2025h1b kgUpF33pGg==
— willow.ct.letsencrypt.org/2025h1b ilIWIZPYgLHq/TqbHb14ff7ydbJ3VTODZcRE5VVYXTc3RduKQdVTwHV+Uv6NAEq9qBmjeXXw5QePKXNfDK747p2VOgo=
— willow.ct.letsencrypt.org/2025h1b GYcbuAAAAZSU2PMJBAMASDBGAiEAhNc5t31Sx4HmBDN4bh366ApPb1Ag1S1zn1XN02ibJNYCIQCKGun1fU1tcgMpWPu3918Rk6OBuoSjt7wdBag1cKsQ+g==
";
    const WILLOW_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEbNmWXyYsF2pohGOAiNELea6UL4/XioI3w6ChE5Udlos0HUqM7KOHIP9qBuWCVs6VAdtDXrvanmxKq52Whh2+2w==";

    fn key() -> (Arc<EcdsaKeyPair>, Vec<u8>) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki = key.public_key().as_der().unwrap().as_ref().to_vec();
        (Arc::new(key), spki)
    }

    fn signer(clock: &Arc<AtomicU64>) -> TreeHeadSigner {
        let (key, spki) = key();
        let sign = move |message: &[u8]| {
            let signature = key.sign(&SystemRandom::new(), message).map_err(SignError::new)?;
            Ok(signature.as_ref().to_vec())
        };
        let clock = clock.clone();
        TreeHeadSigner::new("log.example.org/2026", &spki, sign, move || clock.load(Ordering::SeqCst))
            .unwrap()
    }

    fn head(size: u64) -> Checkpoint {
        let origin = "log.example.org/2026".to_owned();
        Checkpoint { origin, size, root: leaf_hash(b""), extensions: vec![] }
    }

    #[test]
    fn a_public_log_is_verified() {
        let spki = STANDARD.decode(WILLOW_KEY).unwrap();
        let verifier = Verifier::of_tree_heads("willow.ct.letsencrypt.org/2025h1b", &spki).unwrap();
        assert_eq!(verifier.key_id(), [0x19, 0x87, 0x1b, 0xb8]);
        let (checkpoint, note) = Checkpoint::open(WILLOW, &verifier).unwrap();
        assert_eq!(checkpoint.size, 1_237_717_073);
        assert_eq!(verifier.signed_at(&note), Some(1_737_664_033_545));
        let vkey = verifier.vkey();
        assert_eq!(vkey, format!("willow.ct.letsencrypt.org/2025h1b+19871bb8+BT{}", &WILLOW_VKEY_KEY));
        assert_eq!(Verifier::from_vkey(&vkey).unwrap().vkey(), vkey);
        let other = WILLOW.replace("1237717073", "1237717074");
        assert!(Checkpoint::open(&other, &verifier).is_err());
    }
    /// The type byte moves every base64 digit of the key.
    const WILLOW_VKEY_KEY: &str = "BZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGzZll8mLBdqaIRjgIjRC3mulC+P14qCN8OgoROVHZaLNB1KjOyjhyD/agblglbOlQHbQ1672p5sSqudloYdvts=";

    #[test]
    fn times_do_not_go_back() {
        let clock = Arc::new(AtomicU64::new(1_000));
        let signer = signer(&clock);
        let at = |size| signer.verifier().signed_at(&head(size).sign(&signer).unwrap());
        assert_eq!(at(0), Some(1_000));
        clock.store(900, Ordering::SeqCst);
        assert_eq!(at(1), Some(1_000));
        signer.not_before(2_000);
        signer.not_before(1_500);
        assert_eq!(at(2), Some(2_000));
        clock.store(2_001, Ordering::SeqCst);
        assert_eq!(at(3), Some(2_001));
    }

    #[test]
    fn a_signature_covers_time_size_and_root() {
        let signer = signer(&Arc::new(AtomicU64::new(7)));
        let verifier = Verifier::from_vkey(&signer.verifier().vkey()).unwrap();
        assert_eq!((verifier.key_id(), verifier.spki()), (signer.key_id(), signer.verifier().spki()));
        let id = [b"log.example.org/2026\n\x05".as_slice(), &sha256(verifier.spki()).0].concat();
        assert_eq!(verifier.key_id(), sha256(&id).0[..4]);
        let note = head(3).sign(&signer).unwrap();
        assert_eq!(Checkpoint::open(&note.to_string(), &verifier).unwrap().0, head(3));
        let good = |text: &str, bytes: &[u8]| verifier.verify(text.as_bytes(), bytes);
        let bytes = &note.signatures[0].bytes;
        assert!(good(&note.text, bytes));
        assert!(!good(&head(4).text(), bytes));
        assert!(!good(&Checkpoint { root: leaf_hash(b"x"), ..head(3) }.text(), bytes));
        assert!(!good(&Checkpoint { extensions: vec!["x".to_owned()], ..head(3) }.text(), bytes));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!good(&note.text, &changed), "byte {at}");
            assert!(!good(&note.text, &bytes[..at]), "{at} bytes");
        }
        assert!(!good(&note.text, &[bytes.as_slice(), &[0]].concat()));
        // The same key under a plain signature is another verifier.
        let plain = Verifier::from_spki(verifier.name(), verifier.spki()).unwrap();
        assert_ne!(plain.key_id(), verifier.key_id());
        assert_eq!(plain.signed_at(&note), None);
        let spoiled = Signature { bytes: vec![0; 90], ..note.signatures[0].clone() };
        let spoiled = Note { signatures: vec![note.signatures[0].clone(), spoiled], ..note };
        assert!(!spoiled.verified_by(&verifier));
        assert_eq!(verifier.signed_at(&spoiled), None);
    }

    #[test]
    fn what_no_tree_head_says_is_not_signed() {
        let signer = signer(&Arc::new(AtomicU64::new(7)));
        let refused = "cannot sign: an RFC 6962 tree head is a checkpoint without extension lines";
        assert_eq!(head(3).freeze(1).sign(&signer).unwrap_err().to_string(), refused);
        assert_eq!(signer.sign(b"text\n").unwrap_err().to_string(), refused);
        assert_eq!(digitally_signed(&vec![0; 65_536]), None);
        assert_eq!(ecdsa(&digitally_signed(&[7; 70]).unwrap()), Some(&[7; 70][..]));
    }

    #[test]
    fn only_p256_keys_sign_tree_heads() {
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let refused =
            Verifier::of_tree_heads("log", p384.public_key().as_der().unwrap().as_ref()).unwrap_err();
        assert_eq!(refused.to_string(), "key of \"log\" is not DER of an ECDSA P-256 public key");
        assert!(Verifier::of_tree_heads("a b", &key().1).is_err());
    }
}
