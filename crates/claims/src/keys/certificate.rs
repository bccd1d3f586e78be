//! The key in an X.509 certificate (RFC 5280). Upstream checks no chain, time, usage or name here, and neither do we: a
//! log records what was signed, verifiers judge by whom (reference rekor-v2 §1.4.1 item 5).

use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Key, KeyError, spki};

/// Reads the key of one DER certificate.
pub(super) fn parse(raw: &[u8]) -> Result<Key, KeyError> {
    // What the extensions say is no concern here, so they are only stepped over.
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let Ok((rest, certificate)) = parser.parse(raw) else {
        // What sigstore-js sends for a signer without certificate.
        if SubjectPublicKeyInfo::from_der(raw).is_ok() {
            return Err(KeyError::new("certificate is a bare public key, send it as publicKey".to_owned()));
        }
        return Err(KeyError::not_der(raw, "certificate", "one DER X.509 certificate"));
    };
    if !rest.is_empty() {
        return Err(KeyError::new(format!(
            "certificate has {} bytes after its end, none were expected: send the leaf alone",
            rest.len()
        )));
    }
    spki::parse(certificate.tbs_certificate.subject_pki.raw, "key of the certificate")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;
    use crate::keys::Algorithm;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(vec!["example.org".to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn reads_the_key_and_nothing_else() {
        let raw = certificate(&PKCS_ECDSA_P384_SHA384);
        assert_eq!(parse(&raw).expect("a key").algorithm(), Algorithm::EcdsaP384);
        assert_eq!(parse(&certificate(&PKCS_ED25519)).expect("a key").algorithm(), Algorithm::Ed25519Ph);
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        let raw = certificate(&PKCS_ED25519);
        let refused = |raw: &[u8]| parse(raw).expect_err("this is no certificate").to_string();
        assert_eq!(
            refused(&[raw.as_slice(), &raw].concat()),
            format!(
                "certificate has {} bytes after its end, none were expected: send the leaf alone",
                raw.len()
            )
        );
        assert_eq!(refused(&raw[..raw.len() - 1]), "certificate is not one DER X.509 certificate");
        assert_eq!(
            refused(b"-----BEGIN CERTIFICATE-----\nMII"),
            "certificate is PEM, DER was expected: send the bytes that the lines between the dashes encode"
        );
        assert_eq!(
            refused(b"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"),
            "certificate is base64 twice, one DER X.509 certificate was expected"
        );
        let bare = [spki::ED25519, &[7; 32]].concat();
        assert_eq!(refused(&bare), "certificate is a bare public key, send it as publicKey");
        assert_eq!(
            spki::parse(&raw, "public key").expect_err("it is a certificate").to_string(),
            "public key is a certificate, send it as x509Certificate"
        );
        let at = raw.windows(12).position(|window| window == spki::ED25519).expect("it has its key");
        let mut ed448 = raw;
        ed448[at + 8] = 0x71;
        assert_eq!(
            refused(&ed448),
            "key of the certificate is of algorithm 1.3.101.113, ECDSA, RSA or Ed25519 was expected"
        );
    }

    proptest! {
        #[test]
        fn never_panics(raw in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), with: u8) {
            drop(parse(&raw));
            let mut certificate = certificate(&PKCS_ED25519);
            let at = at.index(certificate.len());
            certificate[at] ^= with;
            drop(parse(&certificate));
        }
    }
}
