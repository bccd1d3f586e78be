//! Certificate transparency: a log that every certificate is in before it is handed out.

mod submit;

pub use submit::{CtError, CtLog, Precertificate};
