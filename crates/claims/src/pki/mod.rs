//! Keys and signatures in the forms that people publish them, beside the bare ones of [`crate::keys`]. A format is a file.

mod armour;
pub(crate) mod certificate;
mod email;
mod fingerprint;
mod format;
pub mod minisign;
pub mod pem;
pub mod pgp;
pub mod pkcs7;
pub mod ssh;
pub mod tuf;
pub mod x509;

pub use fingerprint::{Problem, fingerprint};
pub(crate) use format::Format;
