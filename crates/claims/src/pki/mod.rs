//! Keys and signatures in the forms that people publish them, beside the bare ones of [`crate::keys`]. A format is a file.

mod certificate;
mod pem;
pub mod x509;
