//! Why a token is not believed: whose fault it is, and which claim or header member says so. What a stranger wrote is
//! quoted cut and escaped, the token itself never.

use std::fmt::Write as _;

/// Why a token vouches for nobody.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is longer than any token.
    #[error("token is {bytes} bytes, at most {limit} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// It is no signed token in compact form.
    #[error("token is not a signed JWT: {0}")]
    Malformed(String),
    /// A member of its header is not what it must be.
    #[error("token's header member {member:?} {problem}")]
    Header {
        /// The member.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A claim is missing or not what it must be.
    #[error("token's {claim:?} {problem}")]
    Claim {
        /// The claim, or the path to it.
        claim: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The issuer has no such key.
    #[error("token's header member \"kid\" {problem}")]
    UnknownKey {
        /// Which key it names, and whose keys were searched.
        problem: String,
    },
    /// The signature does not hold.
    #[error("token's signature is not by the key of {issuer} that its header names")]
    Signature {
        /// The issuer.
        issuer: String,
    },
    /// The keys of the issuer cannot be had now.
    #[error("keys of {issuer} are not to be had: {cause}")]
    Unreachable {
        /// The issuer.
        issuer: String,
        /// What happened.
        cause: String,
    },
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The client's: the same token will be refused again.
    Client,
    /// The world's: it may be believed later.
    World,
}

impl TokenError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. } => Fault::World,
            Self::TooLong { .. }
            | Self::Malformed(_)
            | Self::Header { .. }
            | Self::Claim { .. }
            | Self::UnknownKey { .. }
            | Self::Signature { .. } => Fault::Client,
        }
    }

    pub(super) fn claim(claim: &str, problem: impl Into<String>) -> Self {
        Self::Claim { claim: cut(claim), problem: problem.into() }
    }
}

/// What a stranger wrote, in quotes: at most [`LONGEST_QUOTE`] characters, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

fn cut(text: &str) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST_QUOTE {
            shown.push('…');
            break;
        }
        // Also escapes what reverses the direction of text or shows as nothing.
        let _infallible = write!(shown, "{}", character.escape_debug());
    }
    shown
}

/// Characters of a claim that are repeated in an error.
const LONGEST_QUOTE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_is_cut_and_escaped() {
        assert_eq!(quoted("a\nb\"\u{1b}[31m\u{202e}"), r#""a\nb\"\u{1b}[31m\u{202e}""#);
        assert_eq!(quoted(&"é".repeat(81)), format!("\"{}…\"", "é".repeat(80)));
        assert_eq!(quoted(&"é".repeat(80)), format!("\"{}\"", "é".repeat(80)));
    }
}
