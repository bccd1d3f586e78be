//! Who certifies servers. The authorities of the system are read once, when a server first shows a certificate: it takes
//! longer than most of our commands take, and plain HTTP never needs them.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

/// Certificates of authorities that are believed besides those of the system.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// All certificates of a PEM file. Fails on a file without any, and on one that nobody could believe.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let read = read.map_err(|error| error.to_string())?;
        if read.is_empty() {
            return Err("has no certificate in PEM".to_owned());
        }
        let mut store = RootCertStore::empty();
        for (at, certificate) in read.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|error| format!("certificate {} of {}: {error}", at + 1, read.len()))?;
        }
        Ok(Self(read))
    }

    /// Whether there are none besides those of the system.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The verifier of the platform, made when there is something to verify.
#[derive(Debug)]
pub(crate) struct WhenAsked {
    authorities: Authorities,
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Verifier, rustls::Error>>,
}

impl WhenAsked {
    pub(crate) fn new(authorities: Authorities, provider: Arc<CryptoProvider>) -> Self {
        Self { authorities, provider, verifier: OnceLock::new() }
    }

    fn verifier(&self) -> Result<&Verifier, rustls::Error> {
        let made = self.verifier.get_or_init(|| {
            Verifier::new_with_extra_roots(self.authorities.0.iter().cloned(), Arc::clone(&self.provider))
        });
        made.as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for WhenAsked {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    // Asked before a server says anything, so it is answered without reading the authorities.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_hold_no_authority_are_refused() {
        for (pem, why) in [
            (&b""[..], "no certificate"),
            (b"garbage", "no certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 of 1"),
            (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", ""),
        ] {
            let error = Authorities::from_pem(pem).expect_err("nobody could believe it");
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn nothing_is_read_before_a_certificate_is_shown() {
        let verifier = WhenAsked::new(Authorities::default(), crate::provider());
        assert!(!verifier.supported_verify_schemes().is_empty());
        assert!(verifier.verifier.get().is_none());
    }
}
