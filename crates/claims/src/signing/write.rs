//! Private keys as files: what `bulla key` hands out and any client of Sigstore reads. Salts and nonces are random here and
//! nowhere below.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use pkcs8::der::zeroize::Zeroizing;

use super::{KeyFileError, Private, SigningKey, encrypted};
use crate::keys::pem;

impl SigningKey {
    /// The private key as DER of PKCS#8 (RFC 5208), the one form into which every other one is turned.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let failed = |_| KeyFileError::Key { problem: "it cannot be written as PKCS#8".to_owned() };
        let der = match &self.private {
            Private::Ed25519(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Private::Ecdsa(key) => key.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Private::Rsa(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
                der.as_ref().to_vec()
            }
        };
        Ok(Zeroizing::new(der))
    }

    /// A key file as cosign writes it, PEM of the label `ENCRYPTED SIGSTORE PRIVATE KEY`, with an scrypt derivation of
    /// N = 65536 (64 MiB, a tenth of a second). The empty password is one.
    pub fn to_sigstore_pem(&self, password: &[u8]) -> Result<String, KeyFileError> {
        let json = encrypted::seal_sigstore(&self.to_pkcs8()?, password, &random()?, &random()?)?;
        Ok(pem("ENCRYPTED SIGSTORE PRIVATE KEY", json.as_bytes()))
    }

    /// A key file as OpenSSL reads it, PEM of the label `ENCRYPTED PRIVATE KEY`: PBES2 with AES-256-CBC and 600,000
    /// iterations of PBKDF2 over HMAC-SHA-256.
    pub fn to_encrypted_pkcs8_pem(&self, password: &[u8]) -> Result<String, KeyFileError> {
        let der = encrypted::seal_pkcs8(&self.to_pkcs8()?, password, &random()?, &random()?)?;
        Ok(pem("ENCRYPTED PRIVATE KEY", &der))
    }
}

fn random<const N: usize>() -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| KeyFileError::Key { problem: "the system has no random bytes".to_owned() })?;
    Ok(bytes)
}
