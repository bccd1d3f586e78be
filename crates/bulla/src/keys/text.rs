//! The text of a key: from a file or a variable, bounded, and with a name for errors.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bulla_claims::pki::x509::PublicKey;
use bulla_claims::{KeyFileError, SigningKey};

use super::Passwords;
use crate::command::Failure;

/// No key is longer, in bytes.
const LARGEST: u64 = 64 << 10;

/// A text that should have a key in it.
pub(crate) struct KeyText {
    /// Where it is, for errors: `key file bulla.key`.
    name: String,
    text: String,
    /// The permissions of its file, if others have some.
    open_to_others: Option<u32>,
}

impl KeyText {
    /// Reads a file.
    pub(crate) fn in_file(path: &Path) -> Result<Self, Failure> {
        let name = format!("key file {}", path.display());
        let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{name}: {problem}"));
        let metadata = fs::metadata(path).map_err(|error| failed(&error))?;
        let mut text = String::new();
        let file = File::open(path).map_err(|error| failed(&error))?;
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
        if text.len() as u64 > LARGEST {
            return Err(failed(&format!("is more than {LARGEST} bytes, a key was expected")));
        }
        let mode = metadata.permissions().mode() & 0o777;
        let open_to_others = Some(mode).filter(|mode| mode & 0o077 != 0);
        Ok(Self { name, text, open_to_others })
    }

    /// Reads a variable of the environment.
    pub(crate) fn in_variable(variable: &str) -> Result<Self, Failure> {
        let name = format!("key env://{variable}");
        let failed = |problem: &str| Failure::usage(format!("{name}: {problem}"));
        if variable.is_empty() {
            return Err(failed("names no variable, env://NAME was expected"));
        }
        let text = std::env::var_os(variable)
            .ok_or_else(|| failed("the variable is not set, set it to the text of the key"))?;
        let text = text
            .into_string()
            .map_err(|_| failed("the variable is no UTF-8 text, the text of a key was expected"))?;
        Ok(Self { name, text, open_to_others: None })
    }

    /// Whether it has a private key.
    pub(crate) fn is_private(&self) -> bool {
        let begins = |line: &str| line.starts_with("-----BEGIN ") && line.ends_with("PRIVATE KEY-----");
        self.text.lines().any(|line| begins(line.trim()))
    }

    /// The private key.
    pub(crate) fn private(&self, password: Option<&[u8]>) -> Result<SigningKey, Failure> {
        self.opened(password).map_err(|error| self.failure(error))
    }

    /// The same; a password is asked for if it has one.
    pub(crate) fn private_or_ask(&self, passwords: &Passwords) -> Result<SigningKey, Failure> {
        match self.opened(None) {
            Err(KeyFileError::NoPassword) => self.private(Some(&passwords.old(&self.name)?)),
            other => other.map_err(|error| self.failure(error)),
        }
    }

    /// The public key, or that of a certificate.
    pub(crate) fn public(&self) -> Result<PublicKey, Failure> {
        PublicKey::parse(self.text.as_bytes()).map_err(|error| self.failure(error.problem))
    }

    fn opened(&self, password: Option<&[u8]>) -> Result<SigningKey, KeyFileError> {
        let key = SigningKey::from_pem(&self.text, password)?;
        if let Some(mode) = self.open_to_others {
            let file = self.name.trim_start_matches("key file ");
            tracing::warn!(%file, "others can read the key file (mode {mode:03o}): run chmod 600 {file}");
        }
        Ok(key)
    }

    fn failure(&self, problem: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: {problem}", self.name))
    }
}
