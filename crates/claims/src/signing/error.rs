//! What can be wrong with a key file, for the person who chose it.

/// A key file without a key that can sign here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Longer than any key.
    #[error("key file is {len} bytes, at most {most} were expected")]
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many are read.
        most: usize,
    },
    /// No PEM block, or a broken one.
    #[error("not a key in PEM: {problem}")]
    Pem {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// PEM of something else.
    #[error(
        "PEM block {label:?} is not a private key of a kind that is read here, \"PRIVATE KEY\" was expected"
    )]
    Label {
        /// Its label.
        label: String,
    },
    /// Encrypted, and no password was given.
    #[error("key is encrypted, its password was expected")]
    NoPassword,
    /// The password does not open it.
    #[error("password is wrong, or the key file is damaged")]
    WrongPassword,
    /// Encrypted in a way that is not known here.
    #[error("encryption of the key is not supported: {problem}")]
    Encryption {
        /// What it is and what was expected.
        problem: String,
    },
    /// Not a key, or not of a supported type.
    #[error("not a key that can sign here: {problem}")]
    Key {
        /// What it is and what was expected.
        problem: String,
    },
}
