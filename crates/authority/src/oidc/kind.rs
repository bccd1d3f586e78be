//! The contract of an issuer type: from the claims of its tokens to whom they are about. The members are in `kinds`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reqwest::Url;

use super::claims::Claims;
use super::error::{TokenError, quoted};
use super::identity::{Extensions, Name};

/// What an issuer's tokens are about.
pub(super) trait Kind: Send + Sync + std::fmt::Debug {
    /// Whom a token is about. The issuer and the subject are already among the extensions.
    fn identify(&self, claims: &Claims, extensions: &mut Extensions) -> Result<Name, TokenError>;

    /// The claim that is signed as proof of possession, unless the issuer is configured to use another.
    fn challenge_claim(&self) -> &'static str {
        "sub"
    }

    /// What the names of its subjects are within.
    fn subject_domain(&self) -> Option<&str> {
        None
    }

    /// The trust domain of its subjects.
    fn spiffe_trust_domain(&self) -> Option<&str> {
        None
    }
}

/// What an entry of the issuers file says to the type of the issuer; each takes what is its own.
#[derive(Default, Debug)]
pub(super) struct Settings {
    pub(super) texts: BTreeMap<&'static str, String>,
    pub(super) skip_email_verified: Option<bool>,
    pub(super) extensions: Option<BTreeMap<String, String>>,
}

impl Settings {
    /// Takes a setting that the type cannot do without.
    pub(super) fn required(&mut self, key: &'static str, example: &str) -> Result<String, String> {
        self.texts.remove(key).ok_or_else(|| format!("{key} is missing: set it, such as {example:?}"))
    }
}

/// Reads a URI that is to be in a certificate. What cannot stand in one is escaped, as the names of branches in it may be
/// anybody's.
pub(crate) fn uri(text: &str, claim: &str) -> Result<Name, TokenError> {
    let wrong = |problem: &str| {
        TokenError::claim(
            claim,
            format!("makes {}, which is no URI for a certificate: {problem}", quoted(text)),
        )
    };
    if text.len() > LONGEST_URI {
        return Err(wrong("it is longer than 2,048 bytes"));
    }
    let mut escaped = String::with_capacity(text.len());
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            0..=0x1f | 0x7f => return Err(wrong("it has control characters")),
            b'%' => {
                let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
                let rest = bytes.as_slice();
                if !hex(rest.first()) || !hex(rest.get(1)) {
                    return Err(wrong("it has a % without two digits"));
                }
                escaped.push('%');
            }
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                let _infallible = write!(escaped, "%{byte:02X}");
            }
            _ => escaped.push(char::from(byte)),
        }
    }
    match Url::parse(&escaped) {
        Ok(_) => Ok(Name::Uri(escaped)),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

/// Reads an e-mail address that is to be in a certificate.
pub(super) fn email(text: &str, claim: &str) -> Result<Name, TokenError> {
    if is_email(text) {
        return Ok(Name::Email(text.to_owned()));
    }
    Err(TokenError::claim(claim, format!("is {}, an ASCII e-mail address was expected", quoted(text))))
}

/// Whether it is an e-mail address that a certificate can hold (RFC 5280 §4.2.1.6: ASCII, neither name nor comment).
pub(crate) fn is_email(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"()<>[]:;,\\\"".contains(&byte);
    let Some((local, domain)) = text.split_once('@') else { return false };
    let whole = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
    text.len() <= LONGEST_EMAIL
        && text.bytes().all(plain)
        && whole(local)
        && whole(domain)
        && !domain.contains('@')
        && !domain.contains("..")
}

const LONGEST_URI: usize = 2048;
/// RFC 5321: 64 characters, one, and 255.
const LONGEST_EMAIL: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_escaped_where_a_certificate_cannot_hold_them() {
        let name = |text: &str| uri(text, "ref").map_err(|error| error.to_string());
        assert_eq!(name("https://a/ü x@1%20"), Ok(Name::Uri("https://a/%C3%BC%20x@1%20".to_owned())));
        for wrong in [
            "https://a/\n",
            "https://a/%2",
            "https://a/%zz",
            "a/b",
            "",
            &format!("https://a/{}", "a".repeat(2048)),
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_plain() {
        for right in ["a@b", "a.b+c@example.org", "o'neil@x.example"] {
            assert!(is_email(right), "{right}");
        }
        for wrong in [
            "", "a", "@", "a@", "@b", "a@b@c", "a b@c", "A <a@b>", "a@b,c@d", "ü@b", "a@b\n", "a\0@b",
            ".a@b", "a@b..c",
        ] {
            assert!(!is_email(wrong), "{wrong}");
        }
    }
}
