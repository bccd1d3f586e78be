//! PEM (RFC 7468), as OpenSSL writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// PEM of DER bytes: lines of 64 characters, one newline at the end.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

/// PEM of a public key, DER `SubjectPublicKeyInfo`.
pub fn public_key_pem(spki: &[u8]) -> String {
    pem("PUBLIC KEY", spki)
}
