//! Public keys and signatures put together from the numbers that keepers hand out, where certificates want DER.
#![cfg_attr(
    not(all(feature = "pkcs11", feature = "kms")),
    allow(dead_code, reason = "each keeper uses the part it needs")
)]

use der::asn1::{AnyRef, BitString, ObjectIdentifier, UintRef};
use der::{Any, Encode as _, Sequence};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// `SubjectPublicKeyInfo` of an uncompressed point on a curve.
pub(super) fn ec_spki(curve: ObjectIdentifier, point: &[u8]) -> der::Result<Vec<u8>> {
    spki(EC, Some(Any::encode_from(&curve)?), point)
}

/// `SubjectPublicKeyInfo` of a modulus and an exponent.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> der::Result<Vec<u8>> {
    let numbers = Numbers { first: UintRef::new(modulus)?, second: UintRef::new(exponent)? };
    spki(RSA, Some(Any::encode_from(&AnyRef::NULL)?), &numbers.to_der()?)
}

/// `SubjectPublicKeyInfo` of a point on Ed25519 (RFC 8410).
pub(super) fn ed25519_spki(point: &[u8]) -> der::Result<Vec<u8>> {
    spki(ED25519, None, point)
}

fn spki(oid: ObjectIdentifier, parameters: Option<Any>, key: &[u8]) -> der::Result<Vec<u8>> {
    let algorithm = AlgorithmIdentifierOwned { oid, parameters };
    SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(key)? }.to_der()
}

/// An ECDSA signature of two halves of the same length, in DER.
pub(super) fn ecdsa_der(halves: &[u8]) -> der::Result<Vec<u8>> {
    let (r, s) = halves.split_at(halves.len() / 2);
    Numbers { first: UintRef::new(r)?, second: UintRef::new(s)? }.to_der()
}

/// Two numbers: an ECDSA signature, or an RSA public key.
#[derive(Sequence)]
struct Numbers<'a> {
    first: UintRef<'a>,
    second: UintRef<'a>,
}

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(super) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
