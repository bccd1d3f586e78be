//! Identity tokens that variables hold or name, and whether a certificate authority will take the one that signing would use.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use super::authorities::{accepted, entry_of};
use super::seen::Seen;
use super::{Check, Said};

pub(super) const CHECKS: &[Check] = &[Check {
    name: "audience",
    why: "the certificate authority refuses tokens that are meant for others, or are over",
    look: token,
}];

/// The token itself; taken before the other.
const HELD: &str = "SIGSTORE_ID_TOKEN";
/// The token, or the name of a file that has it.
const HELD_OR_FILE: &str = "COSIGN_IDENTITY_TOKEN";

/// What a variable has for a token. Its text is never shown.
pub(super) struct Token {
    pub(super) variable: &'static str,
    pub(super) text: Result<String, Unread>,
}

/// Why a file that is there was not read.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// This user may not.
    Denied(String),
    /// It is a directory, or what can be read only once.
    Special(String),
    /// Too large for a token, or the disk failed.
    Broken(String),
}

impl Token {
    /// Those that there are; of one variable, cosign and what signs here take the token, or the name of a file that has it.
    pub(super) fn look(environment: &BTreeMap<String, String>) -> Vec<Self> {
        let set = |name| environment.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let held = set(HELD).map(|text| Self { variable: HELD, text: Ok(text.to_owned()) });
        let named = set(HELD_OR_FILE).map(|text| Self { variable: HELD_OR_FILE, text: in_file(text) });
        held.into_iter().chain(named).collect()
    }
}

fn in_file(text: &str) -> Result<String, Unread> {
    let path = Path::new(text);
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Unread::Special(text.to_owned())),
        // A token has no slash, and is never shown.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && text.contains('/') => {
            return Err(Unread::Denied(text.to_owned()));
        }
        // No file: what the variable has is to be the token itself.
        Err(_) => return Ok(text.to_owned()),
    }
    match std::fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Unread::Denied(text.to_owned())),
        _ => match crate::target::read_small(path, LARGEST) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(failure) => Err(Unread::Broken(failure.to_string())),
        },
    }
}

impl Unread {
    fn judged(&self, name: &str) -> Said {
        let fix = "name a file that has a token, or set the variable to the token itself";
        match self {
            Self::Denied(path) => {
                let seen = format!("{name} names {path}, which this user may not read");
                Said::unknown(seen, "ask again as whoever signs, who must be able to read it")
            }
            Self::Special(path) => {
                let seen = format!("{name} names {path}, which is no plain file and was left unread");
                Said::unknown(seen, fix)
            }
            Self::Broken(problem) => Said::problem(format!("{name}: {problem}"), fix),
        }
    }
}

/// The token that signing would use. Nothing of it is shown but what it is about.
fn token(seen: &Seen) -> Vec<Said> {
    let Some(Token { variable: name, text }) = seen.tokens.first() else { return Vec::new() };
    let text = match text {
        Ok(text) => text,
        Err(unread) => return vec![unread.judged(name)],
    };
    let payload =
        text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let Some(claims) = payload.and_then(|json| serde_json::from_slice::<Value>(&json).ok()) else {
        return vec![match *name {
            HELD_OR_FILE => Said::problem(
                format!("{name} has no signed token, and names no file that has one"),
                format!("unset {name}, or set it to a token, or to the name of a file that has one"),
            ),
            _ => Said::problem(
                format!("{name} is no signed token"),
                format!("unset {name}, or set it to the token itself, not to the name of a file"),
            ),
        }];
    };
    let issuer = claims["iss"].as_str().unwrap_or_default();
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let ends = claims["exp"].as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
    if let Some(ends) = ends.filter(|ends| *ends <= seen.now) {
        return vec![Said::problem(
            format!("{name}: the token was good until {ends}, now is {:.0}", seen.now),
            format!("unset {name} # and get a new token"),
        )];
    }
    let accepted = accepted(seen);
    let Some(entry) = entry_of(&accepted, issuer) else {
        if accepted.is_empty() {
            return Vec::new();
        }
        let known: Vec<_> = accepted.iter().filter_map(|entry| entry["issuerUrl"].as_str()).collect();
        let seen_here = format!(
            "{name}: the token is of {issuer:?}, the certificate authority accepts {}",
            known.join(", ")
        );
        return vec![Said::problem(
            seen_here,
            format!(
                "start the certificate authority with --oidc-issuer {issuer}, or get a token from one of these"
            ),
        )];
    };
    let wanted = entry["audience"].as_str().unwrap_or("sigstore");
    if audiences.contains(&wanted) {
        return vec![Said::well(format!("{name}: the token of {issuer} is meant for {wanted}"))];
    }
    let seen_here = format!(
        "{name}: the token is meant for {audiences:?}, the certificate authority takes those for {wanted:?}"
    );
    vec![Said::problem(
        seen_here,
        format!("ask the issuer for a token with the audience {wanted}, and set {name} to it"),
    )]
}

const LARGEST: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;

    #[test]
    fn a_file_that_may_not_be_read_is_not_known() {
        for (unread, standing) in [
            (Unread::Denied("/run/token".to_owned()), Standing::Unknown),
            (Unread::Special("/dev/fd/9".to_owned()), Standing::Unknown),
            (Unread::Broken("token: has more than 9 bytes".to_owned()), Standing::Problem),
        ] {
            assert_eq!(unread.judged(HELD_OR_FILE).standing, standing, "{unread:?}");
        }
    }

    #[test]
    fn a_variable_has_a_token_or_names_its_file() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("token").display().to_string();
        std::fs::write(&file, "e30.e30.c2ln\n").expect("is written");
        let text = |name: &str, value: &str| {
            let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            Token::look(&environment).pop().map(|token| (token.variable, token.text))
        };
        assert_eq!(text(HELD_OR_FILE, &file), Some((HELD_OR_FILE, Ok("e30.e30.c2ln".to_owned()))));
        assert_eq!(text(HELD_OR_FILE, " e30.e30.a \n"), Some((HELD_OR_FILE, Ok("e30.e30.a".to_owned()))));
        let folder = folder.path().display().to_string();
        assert_eq!(text(HELD_OR_FILE, &folder), Some((HELD_OR_FILE, Err(Unread::Special(folder.clone())))));
        // The other variable is the token, whatever lies there.
        assert_eq!(text(HELD, &file), Some((HELD, Ok(file.clone()))));
        assert_eq!(text(HELD, " "), None);
    }
}
