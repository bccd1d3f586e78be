//! Keys and signatures in the forms that people publish them, beside the bare ones of [`crate::keys`]. A format is a file.

mod certificate;
pub(crate) mod pem;
pub mod x509;
/// shim
pub fn fingerprint(_format: &str, content: &[u8]) -> Result<String, String> {
    x509::PublicKey::parse(content).map(|k| k.traces().fingerprints[0].clone()).map_err(|e| e.problem)
}
