//! `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7). All that precedes the point of an ECDSA or Ed25519 key is fixed, so those are
//! told apart by comparing a prefix; the general parser runs for the words of a refusal only.

use std::fmt;

use bulla_tlog::der;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, Key, KeyError};

/// Which key a `SubjectPublicKeyInfo` holds, and its numbers: a point, or DER `RSAPublicKey`.
pub(crate) enum Spki<'a> {
    /// The point is in the uncompressed form, and not known to be on the curve.
    Ecdsa(Curve, &'a [u8]),
    Ed25519(&'a [u8; 32]),
    Rsa(&'a [u8]),
}

/// A curve of ECDSA.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        })
    }
}

/// Reads a key. `what` is the subject of the error.
pub(super) fn parse(raw: &[u8], what: &str) -> Result<Key, KeyError> {
    match read(raw, what)? {
        Spki::Ecdsa(curve, point) => {
            let algorithm = match curve {
                Curve::P256 => Algorithm::EcdsaP256,
                Curve::P384 => Algorithm::EcdsaP384,
                Curve::P521 => Algorithm::EcdsaP521,
            };
            Key::ecdsa(algorithm, point).ok_or_else(|| no_point(curve, what))
        }
        Spki::Ed25519(point) => {
            Key::ed25519(point).ok_or_else(|| KeyError::new(format!("{what} is not a point on Ed25519")))
        }
        Spki::Rsa(der) => Key::rsa(der, what),
    }
}

/// Tells what key it is. `what` is the subject of the error.
pub(crate) fn read<'a>(raw: &'a [u8], what: &str) -> Result<Spki<'a>, KeyError> {
    for (curve, prefix, len) in [(Curve::P256, P256, 65), (Curve::P384, P384, 97), (Curve::P521, P521, 133)] {
        let Some(point) = fixed(raw, prefix, len) else { continue };
        // 4 is the uncompressed form; 6 and 7 spell the same point once more.
        if point[0] != 4 {
            return Err(no_point(curve, what));
        }
        return Ok(Spki::Ecdsa(curve, point));
    }
    if let Some(point) = fixed(raw, ED25519, 32).and_then(|point| point.try_into().ok()) {
        return Ok(Spki::Ed25519(point));
    }
    rsa(raw).map(Spki::Rsa).ok_or_else(|| refuse(raw, what))
}

fn fixed<'a>(raw: &'a [u8], prefix: &[u8], len: usize) -> Option<&'a [u8]> {
    raw.strip_prefix(prefix).filter(|point| point.len() == len)
}

fn no_point(curve: Curve, what: &str) -> KeyError {
    KeyError::new(format!("{what} is not an uncompressed point on {curve}"))
}

/// The `RSAPublicKey` in a `SubjectPublicKeyInfo` that is DER to the byte.
fn rsa(raw: &[u8]) -> Option<&[u8]> {
    der::content(0x03, der::content(0x30, raw)?.strip_prefix(RSA)?)?.strip_prefix(&[0])
}

/// Why these bytes are none of the keys above.
fn refuse(raw: &[u8], what: &str) -> KeyError {
    let Ok((rest, info)) = SubjectPublicKeyInfo::from_der(raw) else {
        if X509Certificate::from_der(raw).is_ok() {
            return KeyError::new(format!("{what} is a certificate, send it as x509Certificate"));
        }
        return KeyError::not_der(raw, what, "DER SubjectPublicKeyInfo");
    };
    if !rest.is_empty() {
        return KeyError::new(format!("{what} has {} bytes after its end, none were expected", rest.len()));
    }
    let oid = info.algorithm.algorithm.to_id_string();
    let parameter = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let problem = match (oid.as_str(), parameter.map(|oid| oid.to_id_string())) {
        (EC_PUBLIC_KEY, Some(curve)) if CURVES.contains(&curve.as_str()) => {
            format!("{what} is not an uncompressed point on its curve {curve}")
        }
        (EC_PUBLIC_KEY, Some(curve)) => {
            format!("{what} is on curve {curve}, P-256, P-384 or P-521 was expected")
        }
        (EC_PUBLIC_KEY, None) => {
            format!("{what} does not name its curve, P-256, P-384 or P-521 was expected")
        }
        (RSA_ENCRYPTION | ED25519_OID, _) => format!("{what} is not canonical DER"),
        (oid, _) => format!("{what} is of algorithm {oid}, ECDSA, RSA or Ed25519 was expected"),
    };
    KeyError::new(problem)
}

const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const ED25519_OID: &str = "1.3.101.112";
/// P-256, P-384, P-521.
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];

/// SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING of 65 bytes }
pub(super) const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// SEQUENCE { SEQUENCE { ecPublicKey, secp384r1 }, BIT STRING of 97 bytes }
const P384: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
/// SEQUENCE { SEQUENCE { ecPublicKey, secp521r1 }, BIT STRING of 133 bytes }
const P521: &[u8] =
    b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
/// SEQUENCE { SEQUENCE { Ed25519 }, BIT STRING of 32 bytes }
pub(super) const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// SEQUENCE { rsaEncryption, NULL }
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    fn refused(raw: &[u8]) -> String {
        parse(raw, "public key").expect_err("this is no key").to_string()
    }

    fn p256() -> Vec<u8> {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        pair.public_key().as_der().expect("DER").as_ref().to_vec()
    }

    #[test]
    fn reads_what_the_library_writes() {
        for (signing, algorithm) in [
            (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, Algorithm::EcdsaP256),
            (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, Algorithm::EcdsaP384),
            (&signature::ECDSA_P521_SHA512_ASN1_SIGNING, Algorithm::EcdsaP521),
        ] {
            let pair = EcdsaKeyPair::generate(signing).expect("a key");
            let raw = pair.public_key().as_der().expect("DER");
            assert_eq!(parse(raw.as_ref(), "public key").expect("it is a key").algorithm(), algorithm);
        }
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let raw = pair.public_key().as_der().expect("DER");
        assert_eq!(parse(raw.as_ref(), "public key").expect("it is a key").algorithm(), Algorithm::Rsa2048);
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let key = p256();
        let trailing = [key.as_slice(), b"abc"].concat();
        assert_eq!(refused(&trailing), "public key has 3 bytes after its end, none were expected");
        assert_eq!(
            refused(b"-----BEGIN PUBLIC KEY-----\n"),
            "public key is PEM, DER was expected: send the bytes that the lines between the dashes encode"
        );
        assert_eq!(
            refused(b"MFkwEwYHKoZIzj0CAQ"),
            "public key is base64 twice, DER SubjectPublicKeyInfo was expected"
        );
        assert_eq!(refused(b""), "public key is not DER SubjectPublicKeyInfo");
        assert_eq!(refused(&key[..90]), "public key is not DER SubjectPublicKeyInfo");

        let mut off_curve = key.clone();
        off_curve[90] ^= 1;
        assert_eq!(refused(&off_curve), "public key is not an uncompressed point on P-256");
        let mut hybrid = key.clone();
        hybrid[26] = 6 + (key[90] & 1);
        assert_eq!(refused(&hybrid), "public key is not an uncompressed point on P-256");

        let mut compressed = key[..59].to_vec();
        (compressed[1], compressed[24], compressed[26]) = (57, 34, 2 + (key[90] & 1));
        assert_eq!(
            refused(&compressed),
            "public key is not an uncompressed point on its curve 1.2.840.10045.3.1.7"
        );
        let mut curve = key.clone();
        curve[22] = 6;
        assert_eq!(
            refused(&curve),
            "public key is on curve 1.2.840.10045.3.1.6, P-256, P-384 or P-521 was expected"
        );
        // A bit that is said to be unused must be zero.
        let mut unused_bits = key;
        (unused_bits[25], unused_bits[90]) = (1, unused_bits[90] | 1);
        assert_eq!(refused(&unused_bits), "public key is not DER SubjectPublicKeyInfo");
    }

    #[test]
    fn other_algorithms_and_sizes_are_refused_by_name() {
        let ed448 = [b"\x30\x43\x30\x05\x06\x03\x2b\x65\x71\x03\x3a\x00".as_slice(), &[7; 57]].concat();
        assert_eq!(
            refused(&ed448),
            "public key is of algorithm 1.3.101.113, ECDSA, RSA or Ed25519 was expected"
        );
        // y = 2 is on no point of the curve.
        let mut off_curve = [ED25519, &[0; 32]].concat();
        off_curve[12] = 2;
        assert_eq!(refused(&off_curve), "public key is not a point on Ed25519");

        // Not real keys: bits of a modulus and an exponent are all that is looked at.
        let rsa = |modulus: &[u8]| {
            let element = |tag: u8, content: &[u8]| {
                let len = (content.len() as u16).to_be_bytes();
                [&[tag, 0x82, len[0], len[1]], content].concat()
            };
            let key = [element(2, modulus), b"\x02\x03\x01\x00\x01".to_vec()].concat();
            element(0x30, &[RSA, &element(3, &[&[0], element(0x30, &key).as_slice()].concat())].concat())
        };
        let modulus = |len: usize, first: u8| {
            let mut modulus = vec![0x5a; len];
            (modulus[0], modulus[len - 1]) = (first, 1);
            modulus
        };
        let padded = |len: usize| [&[0], modulus(len, 0xc5).as_slice()].concat();
        for (len, algorithm) in
            [(256, Algorithm::Rsa2048), (384, Algorithm::Rsa3072), (512, Algorithm::Rsa4096)]
        {
            assert_eq!(parse(&rsa(&padded(len)), "").expect("a key").algorithm(), algorithm);
        }
        // 2041 bits are 256 bytes too.
        assert_eq!(parse(&rsa(&modulus(256, 1)), "").expect("a key").algorithm(), Algorithm::Rsa2048);
        assert_eq!(
            refused(&rsa(&padded(320))),
            "public key is RSA of 2560 bits, 2048, 3072 or 4096 was expected"
        );
        let mut even = padded(256);
        even[256] = 2;
        assert_eq!(refused(&rsa(&even)), "public key is not an RSA key: its modulus or exponent is no good");
        let no_null = rsa(&padded(256));
        let no_null = [&[0x30, 0x82, 1, 0x20, 0x30, 0x0b], &no_null[6..17], &no_null[19..]].concat();
        assert_eq!(refused(&no_null), "public key is not canonical DER");
    }

    proptest! {
        #[test]
        fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..200), flip in 0_usize..91, with: u8) {
            drop(parse(&raw, "public key"));
            let mut key = p256();
            key[flip] ^= with;
            drop(parse(&key, "public key"));
            drop(parse(&[P256, &raw].concat(), "public key"));
        }
    }
}
