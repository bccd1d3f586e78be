//! What a key is looked up by: clients send it in the form they have, the index knows its canonical one.

use super::{Format, tuf};
use crate::traces::KeyTraces;

/// Why a key cannot be looked up.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// Keys of this format are not searched for.
    #[error(
        "the PKI format requested is not supported by this server: {format:?}, pgp, x509, minisign, ssh or tuf was expected"
    )]
    Unsupported {
        /// The format.
        format: String,
    },
    /// It is no key of its format.
    #[error("public key provided could not be parsed: {problem}")]
    Unreadable {
        /// What it is, and what was expected.
        problem: String,
    },
}

/// Lower-case hex SHA-256 of the canonical form of a key.
pub fn fingerprint(format: &str, content: &[u8]) -> Result<String, Problem> {
    let unreadable = |problem| Problem::Unreadable { problem };
    let canonical = if format == "tuf" {
        tuf::Root::parse(content).map_err(|error| unreadable(error.problem))?.canonical().to_vec()
    } else {
        let Some(format) = Format::named(format) else {
            return Err(Problem::Unsupported { format: format.to_owned() });
        };
        let key = format.key(content).map_err(|error| unreadable(error.problem))?;
        key.canonical().to_vec()
    };
    let [bare, _] = <[String; 2]>::try_from(KeyTraces::fingerprints_of(&canonical))
        .expect("a fingerprint comes bare and with its algorithm");
    Ok(bare)
}
