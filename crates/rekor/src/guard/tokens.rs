//! Write tokens: secrets that writers send as `Authorization: Bearer TOKEN` (RFC 6750). Only their hashes are kept, and
//! each is compared in constant time, so that neither memory nor clock tells what a token is.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bulla_tlog::{Hash, sha256};
use http::HeaderValue;

use super::Denied;

/// The tokens that a log knows.
pub struct Tokens {
    known: Vec<Token>,
}

struct Token {
    name: String,
    hash: Hash,
}

const MAX_TOKENS: usize = 1_000;
const MAX_TOKEN: usize = 1_024;
const MAX_NAME: usize = 64;

impl Tokens {
    /// Reads a file of tokens: one a line as `token` or `name:token`, empty lines and lines that begin with `#` aside. What
    /// is wrong is said by the line's number, never by what is there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut known: Vec<Token> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, token) = match line.split_once(':') {
                Some((name, token)) => (name.trim().to_owned(), token.trim()),
                None => (format!("line {number}"), line),
            };
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(format!("line {number} has a name that is not 1 to {MAX_NAME} characters"));
            }
            if !(1..=MAX_TOKEN).contains(&token.len()) || !token.bytes().all(is_token_character) {
                return Err(format!(
                    "line {number} has no token that can be sent: 1 to {MAX_TOKEN} letters, digits and -._~+/= were expected"
                ));
            }
            let hash = sha256(token.as_bytes());
            if let Some(earlier) = known.iter().find(|earlier| earlier.hash == hash) {
                return Err(format!("line {number} has the token of \"{}\" again", earlier.name));
            }
            if known.len() == MAX_TOKENS {
                return Err(format!("has more than {MAX_TOKENS} tokens"));
            }
            known.push(Token { name, hash });
        }
        if known.is_empty() {
            return Err("has no token: write one a line, such as `openssl rand -hex 32` makes".to_owned());
        }
        Ok(Self { known })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// The name of the token in an `Authorization` header.
    pub(super) fn bearer(&self, authorization: Option<&HeaderValue>) -> Result<&str, Denied> {
        let given = authorization.and_then(|value| value.to_str().ok()).ok_or(Denied::NoToken)?;
        let (scheme, token) = given.trim().split_once(' ').ok_or(Denied::NoToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::NoToken);
        }
        let hash = sha256(token.trim_start().as_bytes());
        // All of them are looked at, whichever it is.
        let found = self.known.iter().fold(None, |found, token| {
            let is_same = verify_slices_are_equal(&token.hash.0, &hash.0).is_ok();
            if is_same { Some(token) } else { found }
        });
        found.map(|token| token.name.as_str()).ok_or(Denied::Token)
    }
}

/// What RFC 6750 §2.1 lets a token be made of.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_line_or_name() {
        let tokens = Tokens::parse("# CI\nci: s3cret-of-ci\n\n  plain-token==\n").expect("good");
        assert_eq!(tokens.count(), 2);
        let bearer = |value: &'static str| tokens.bearer(Some(&HeaderValue::from_static(value)));
        assert_eq!(bearer("Bearer s3cret-of-ci"), Ok("ci"));
        assert_eq!(bearer("bearer   plain-token=="), Ok("line 4"));
        for wrong in ["Bearer s3cret-of-c", "Bearer s3cret-of-cix", "Bearer ci:s3cret-of-ci", "Bearer \t"] {
            assert_eq!(
                bearer(wrong),
                Err(if wrong == "Bearer \t" { Denied::NoToken } else { Denied::Token }),
                "{wrong}"
            );
        }
        for none in ["", "Bearer", "Basic s3cret-of-ci", "s3cret-of-ci"] {
            assert_eq!(bearer(none), Err(Denied::NoToken), "{none}");
        }
        assert_eq!(tokens.bearer(None), Err(Denied::NoToken));
    }

    #[test]
    fn a_file_that_cannot_be_followed_is_refused_by_line_and_without_the_secret() {
        let long = "x".repeat(MAX_TOKEN + 1);
        let many = (0..=MAX_TOKENS).map(|n| format!("token-{n}")).collect::<Vec<_>>().join("\n");
        for (text, problem) in [
            ("", "has no token: write one a line, such as `openssl rand -hex 32` makes"),
            ("# nothing\n", "has no token: write one a line, such as `openssl rand -hex 32` makes"),
            (
                "good\nhush hush\n",
                "line 2 has no token that can be sent: 1 to 1024 letters, digits and -._~+/= were expected",
            ),
            (
                "ci:\n",
                "line 1 has no token that can be sent: 1 to 1024 letters, digits and -._~+/= were expected",
            ),
            (
                &long,
                "line 1 has no token that can be sent: 1 to 1024 letters, digits and -._~+/= were expected",
            ),
            (":hush\n", "line 1 has a name that is not 1 to 64 characters"),
            ("a:hush\nb:hush\n", "line 2 has the token of \"a\" again"),
            (&many, "has more than 1000 tokens"),
        ] {
            assert_eq!(Tokens::parse(text).err().as_deref(), Some(problem));
        }
    }
}
