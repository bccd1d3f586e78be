//! Text with claims in it: `{sha}`, `{kubernetes.io.namespace}`; `{environment?}` is empty where the claim is missing.
//! Two braces are one.

use super::claims::Claims;
use super::error::TokenError;

/// A text to be filled from claims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Claim { path: String, optional: bool },
}

impl Template {
    /// Reads a template: at most 1,024 characters, at least one claim in it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is {} characters long, at most {LONGEST} are read", text.len()));
        }
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let claim = rest.split_once('}').filter(|(path, _)| brace == "{" && !path.contains('{'));
            let Some((path, after)) = claim else {
                return Err(format!(
                    "{text:?} has a brace without its other: write {{claim}}, or two for one"
                ));
            };
            let (path, optional) = path.strip_suffix('?').map_or((path, false), |path| (path, true));
            if path.trim() != path || path.is_empty() {
                return Err(format!("{text:?} has braces without a claim's name in them"));
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Claim { path: path.to_owned(), optional });
            rest = after;
        }
        if pieces.is_empty() {
            return Err(format!("{text:?} has no claim in it: write {{claim}}"));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Fills it. Empty if all that is in it are claims that may be missing and are.
    pub(super) fn fill(&self, claims: &Claims) -> Result<String, TokenError> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Claim { path, optional: true } => {
                    filled.push_str(&claims.text_if_any(path)?.unwrap_or_default());
                }
                Piece::Claim { path, optional: false } => filled.push_str(&claims.text(path)?),
            }
        }
        Ok(filled)
    }
}

const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String, String> {
        let claims = Claims::read(br#"{"a": "x{b}", "b": {"c": 7}}"#).expect("claims");
        Template::parse(template)?.fill(&claims).map_err(|error| error.to_string())
    }

    #[test]
    fn claims_stand_in_for_their_names() {
        assert_eq!(filled("https://{a}/{b.c}#").as_deref(), Ok("https://x{b}/7#"));
        assert_eq!(filled("{{{a}}}").as_deref(), Ok("{x{b}}"));
        assert_eq!(filled("{none?}").as_deref(), Ok(""));
        assert_eq!(filled("{none}"), Err(r#"token's "none" is missing, a string was expected"#.to_owned()));
    }

    #[test]
    fn templates_that_say_nothing_are_refused() {
        for wrong in ["", "a", "{{a}}", "{}", "{?}", "{a", "a}", "{a{b}}", "{ a}", "{a}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Template::parse(&format!("{{a}}{}", "a".repeat(1022))).is_err());
    }
}
