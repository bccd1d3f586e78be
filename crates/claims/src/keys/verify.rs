//! Verification from a digest: the log never sees the artifact (reference rekor-v2 §1.4.1 item 10).

use std::borrow::Cow;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::ParsedPublicKey;
use ed25519_dalek::ed25519::signature::digest::{
    FixedOutput, HashMarker, Output, OutputSizeUser, Update, consts::U64,
};
use ed25519_dalek::{Signature, VerifyingKey};

use super::HashAlgorithm;

/// RSA PKCS#1 v1.5 over SHA-256.
pub(super) fn rsa(key: &ParsedPublicKey, digest: &[u8], signature: &[u8]) -> bool {
    digest_signature(key, HashAlgorithm::Sha256, digest, signature)
}

/// ECDSA. A signature that has the form of DER is read as such, any other as two halves `r‖s` (IEEE P1363).
pub(super) fn ecdsa(key: &ParsedPublicKey, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
    der_of(signature).is_some_and(|signature| digest_signature(key, hash, digest, &signature))
}

/// An ECDSA signature in DER, if it is in one of the two forms.
pub(crate) fn der_of(signature: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_der(signature) { Some(signature.into()) } else { der_of_halves(signature).map(Cow::Owned) }
}

/// Ed25519ph with an empty context (RFC 8032 §5.1).
pub(crate) fn ed25519ph(key: &VerifyingKey, digest: &[u8], signature: &[u8]) -> bool {
    let (Ok(digest), Ok(signature)) = (digest.try_into(), Signature::from_slice(signature)) else {
        return false;
    };
    key.verify_prehashed(Prehashed(digest), None, &signature).is_ok()
}

fn digest_signature(key: &ParsedPublicKey, hash: HashAlgorithm, digest: &[u8], signature: &[u8]) -> bool {
    Digest::import_less_safe(digest, hash.function())
        .is_ok_and(|digest| key.verify_digest_sig(&digest, signature).is_ok())
}

/// Whether the bytes are a SEQUENCE of two INTEGERs to the last one. Whether those are minimal is for the verifier.
fn is_der(signature: &[u8]) -> bool {
    let content = match signature {
        // 0x81 is needed from 128 bytes on: P-521.
        [0x30, 0x81, len, content @ ..] | [0x30, len @ 0..=0x7f, content @ ..]
            if content.len() == usize::from(*len) =>
        {
            content
        }
        _ => return false,
    };
    integer(content).and_then(integer).is_some_and(<[u8]>::is_empty)
}

/// What follows a DER INTEGER of under 128 bytes.
fn integer(input: &[u8]) -> Option<&[u8]> {
    match input {
        [2, len @ 1..=0x7f, rest @ ..] => rest.get(usize::from(*len)..),
        _ => None,
    }
}

/// The DER of a signature that came as two halves.
pub(crate) fn der_of_halves(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.len() > MAX_HALVES || !signature.len().is_multiple_of(2) {
        return None;
    }
    let mut content = Vec::with_capacity(signature.len() + 6);
    let (r, s) = signature.split_at(signature.len() / 2);
    for half in [r, s] {
        let first = half.iter().position(|byte| *byte != 0)?;
        let number = &half[first..];
        // A set top bit would make it negative.
        let sign = usize::from(number[0] >> 7);
        content.extend([2, (number.len() + sign) as u8]);
        content.extend(&[0][..sign]);
        content.extend(number);
    }
    let mut der = Vec::with_capacity(content.len() + 3);
    der.push(0x30);
    if content.len() > 0x7f {
        der.push(0x81);
    }
    der.push(content.len() as u8);
    der.append(&mut content);
    Some(der)
}

/// Two halves of P-521; upstream takes no longer ones.
const MAX_HALVES: usize = 132;

/// A hash function that already ran: the signature library asks for one and takes its output.
struct Prehashed([u8; 64]);

impl OutputSizeUser for Prehashed {
    type OutputSize = U64;
}

impl FixedOutput for Prehashed {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

// The three that follow are what the trait asks for beside the output; verification calls none of them.
impl Update for Prehashed {
    fn update(&mut self, _: &[u8]) {}
}

impl Default for Prehashed {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl HashMarker for Prehashed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_minimal_der() {
        assert_eq!(der_of_halves(&[0, 1, 0x80, 0]), Some(vec![0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 0]));
        assert_eq!(der_of_halves(&[0, 0, 1, 1]), None);
        assert_eq!(der_of_halves(&[]), None);
        assert_eq!(der_of_halves(&[1, 2, 3]), None);
        assert_eq!(der_of_halves(&[1; 134]), None);
        let longest = der_of_halves(&[0xff; 132]).expect("132 bytes are fine");
        assert_eq!((longest.len(), &longest[..5]), (141, &[0x30, 0x81, 138, 2, 67][..]));
        assert!(is_der(&longest));
    }

    #[test]
    fn der_is_told_from_halves() {
        assert!(is_der(&[0x30, 6, 2, 1, 1, 2, 1, 1]));
        for other in [
            &[][..],
            &[0x30],
            &[0x30, 6, 2, 1, 1, 2, 1],
            &[0x30, 7, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 6, 2, 4, 1, 2, 1, 1],
        ] {
            assert!(!is_der(other));
        }
    }
}
