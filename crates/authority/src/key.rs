//! A private key of an authority, wherever it is kept.

use std::future::Future;
use std::pin::Pin;

use bulla_claims::{PublicKeyDetails, SigningKey};
use bulla_tlog::note::SignError;

/// A future that is sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A private key: in a file, in a token, or in somebody's service.
pub trait PrivateKey: Send + Sync {
    /// Its public half, DER `SubjectPublicKeyInfo`.
    fn spki(&self) -> &[u8];

    /// What it signs with.
    fn details(&self) -> PublicKeyDetails;

    /// Signs a message: ECDSA in DER over the hash as long as the curve, RSA PKCS#1 v1.5 over SHA-256, Ed25519.
    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>>;
}

impl PrivateKey for SigningKey {
    fn spki(&self) -> &[u8] {
        self.spki()
    }

    fn details(&self) -> PublicKeyDetails {
        self.details()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SignError>> {
        Box::pin(std::future::ready(self.sign(message)))
    }
}
