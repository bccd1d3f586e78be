//! Where a signing client gets an identity token: from the place that it runs in, or from a person who signs in. The token
//! is not judged here; that is for the authority that is shown it.

mod ambient;
mod signin;

use std::fmt;

pub use ambient::{Surroundings, Variable, ambient, ambient_in};
pub use signin::SignIn;

/// An identity token, and where it comes from. Shown, it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    source: &'static str,
}

impl Token {
    /// Its text, a secret until it expires.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it comes from, for people.
    pub fn source(&self) -> &'static str {
        self.source
    }

    fn new(text: &str, source: &'static str) -> Result<Self, SourceError> {
        let text = text.trim();
        let wrong = |problem: &str| Err(SourceError { source_name: source, problem: problem.to_owned() });
        if text.len() > LONGEST {
            return wrong("gave a token of more than 16 KiB");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
        if text.matches('.').count() != 2 || !text.bytes().all(plain) {
            return wrong("gave something that is no signed token");
        }
        Ok(Self { text: text.to_owned(), source })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A source that should have a token has none: which, why, and what would help if that is known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("identity token from {source_name}: {problem}")]
pub struct SourceError {
    source_name: &'static str,
    problem: String,
}

/// Bytes of a token.
const LONGEST: usize = 16 << 10;
