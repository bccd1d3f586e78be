//! Keys and signatures in the formats of the v1 door: a letter for the format, and the file. What is stored of one reads as
//! the same again.
#![no_main]

use bulla_claims::pki::{fingerprint, minisign, pgp, pkcs7, ssh, tuf, x509};

macro_rules! again {
    ($type:ty, $bytes:expr) => {
        if let Ok(read) = <$type>::parse($bytes) {
            let stored = read.canonical().to_vec();
            let again = <$type>::parse(&stored).expect("what is stored can be read");
            assert_eq!(again.canonical().to_vec(), stored);
        }
    };
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((letter, bytes)) = input.split_first() else { return };
    match letter {
        b'a' => again!(pgp::PublicKey, bytes),
        b'b' => again!(x509::PublicKey, bytes),
        b'c' => again!(minisign::PublicKey, bytes),
        b'd' => again!(ssh::PublicKey, bytes),
        b'e' => again!(tuf::Metadata, bytes),
        b'f' => again!(pgp::Signature, bytes),
        b'g' => again!(minisign::Signature, bytes),
        b'h' => again!(ssh::Signature, bytes),
        b'i' => again!(pkcs7::Signed, bytes),
        b'j' => drop(pgp::Cleartext::parse(bytes)),
        _ => {
            for format in ["pgp", "x509", "minisign", "ssh", "tuf"] {
                let _found = fingerprint(format, bytes);
            }
        }
    }
});
