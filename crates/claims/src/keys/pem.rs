//! PEM (RFC 7468), as OpenSSL writes it.

/// PEM of DER bytes: lines of 64 characters, one newline at the end.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut pem = String::with_capacity(der.len() * 4 / 3 + 2 * label.len() + 80);
    crate::pki::pem::write(label, der, &mut pem);
    pem
}

/// PEM of a public key, DER `SubjectPublicKeyInfo`.
pub fn public_key_pem(spki: &[u8]) -> String {
    pem("PUBLIC KEY", spki)
}
