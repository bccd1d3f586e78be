//! Attestations: statements about artifacts, and the shapes of what is stated (<https://github.com/in-toto/attestation>).
//!
//! A type of predicate is one file in `predicate/` and a line in its list. Known types are judged by the members that their
//! specifications require; a type that is not known may say anything.

mod encoding;
mod predicate;
pub(crate) mod shape;
mod statement;

use serde_json::Value;

pub use encoding::{encoding, encoding_head};
pub use predicate::custom::predicate as custom_predicate;
pub use predicate::{PredicateType, REVOCATION};
pub use statement::{PAYLOAD_TYPE, Statement, StatementType, Subject};

use crate::entry::Refusal;
use shape::At;

/// The predicate type of an image signature in a bundle: the statement says no more than which image.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// Which predicate type somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WantedType {
    /// By a short name: its URI, and those of its versions below it.
    Family(&'static PredicateType),
    /// By a URI: that one alone.
    Exact(String),
}

impl WantedType {
    /// Reads a short name of [`PredicateType::all`], or a URI of at most 1024 bytes.
    pub fn parse(text: &str) -> Result<Self, UnknownType> {
        if let Some(known) = PredicateType::named(text) {
            return Ok(Self::Family(known));
        }
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let is_uri = text.len() <= MAX_URI
            && text.bytes().all(|byte| byte.is_ascii_graphic())
            && text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
        if is_uri {
            Ok(Self::Exact(text.to_owned()))
        } else {
            Err(UnknownType { text: shape::shown(&text.into()) })
        }
    }

    /// The URI that is written into a new statement.
    pub fn uri(&self) -> &str {
        match self {
            Self::Family(known) => known.uri,
            Self::Exact(uri) => uri,
        }
    }

    /// Whether a statement of that type is one of those.
    pub fn matches(&self, uri: &str) -> bool {
        match self {
            Self::Family(known) => known.covers(uri),
            Self::Exact(wanted) => wanted == uri,
        }
    }
}

/// A predicate type that is no name of one and no URI.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("predicate type {text} is not known, {} or a URI was expected", PredicateType::all().flat_map(|known| known.names).copied().collect::<Vec<_>>().join(", "))]
pub struct UnknownType {
    /// What was given, as JSON and not longer than a line.
    pub text: String,
}

/// Judges a predicate by the type that its statement gives it: whether the members that the type's specification requires are
/// there and of their kind. The error names the path from `predicate`, the value and what was expected. What is of a type that
/// is not known is not judged.
pub fn judge(predicate_type: &str, predicate: &Value) -> Result<(), Refusal> {
    match PredicateType::all().find(|known| known.covers(predicate_type)) {
        Some(known) => (known.judge)(&At::root(predicate)),
        None => Ok(()),
    }
}

/// Longer than any type.
const MAX_URI: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_uris_are_turned_into_each_other() {
        for (name, uri) in [
            ("custom", "https://cosign.sigstore.dev/attestation/v1"),
            ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
            ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
            ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
            ("spdx", "https://spdx.dev/Document"),
            ("spdxjson", "https://spdx.dev/Document"),
            ("cyclonedx", "https://cyclonedx.org/bom"),
            ("link", "https://in-toto.io/Link/v1"),
            ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
            ("openvex", "https://openvex.dev/ns"),
            ("revocation", "urn:bulla:revocation:v1"),
        ] {
            assert_eq!(WantedType::parse(name).expect("is known").uri(), uri);
            assert!(PredicateType::of(uri).expect("is known").names.contains(&name));
        }
        assert_eq!(PredicateType::of("https://example.org/other"), None);
    }

    #[test]
    fn a_name_means_the_family_and_a_uri_itself() {
        let wanted = |text| WantedType::parse(text).expect("is one");
        for (text, uri, expected) in [
            ("spdx", "https://spdx.dev/Document", true),
            ("spdx", "https://spdx.dev/Document/v2.3", true),
            ("spdx", "https://spdx.dev/Document/v3.0.1", false),
            ("spdx", "https://spdx.dev/Documents", false),
            ("spdx", "https://spdx.dev/Doc", false),
            ("openvex", "https://openvex.dev/ns/v0.2.0", true),
            ("slsaprovenance", "https://slsa.dev/provenance/v0.2", true),
            ("slsaprovenance", "https://slsa.dev/provenance/v0.20", false),
            ("slsaprovenance", "https://slsa.dev/provenance/v1", false),
            ("custom", "https://cosign.sigstore.dev/attestation/vuln/v1", false),
            ("https://spdx.dev/Document", "https://spdx.dev/Document", true),
            ("https://spdx.dev/Document", "https://spdx.dev/Document/v2.3", false),
            ("urn:example:x", "urn:example:x", true),
        ] {
            assert_eq!(wanted(text).matches(uri), expected, "{text} {uri}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused_with_the_names_there_are() {
        let long = format!("https://example.org/{}", "a".repeat(1024));
        for text in ["", "sbom", "https:", ":x", "1a:x", "https://example.org/a b", "a\u{e9}:x", &long] {
            let error = WantedType::parse(text).expect_err(text).to_string();
            assert!(error.starts_with("predicate type \"") && error.len() < 300, "{error}");
        }
        assert_eq!(
            WantedType::parse("sbom").expect_err("unknown").to_string(),
            "predicate type \"sbom\" is not known, custom, slsaprovenance, slsaprovenance02, slsaprovenance1, spdx, \
             spdxjson, cyclonedx, link, vuln, openvex, revocation or a URI was expected"
        );
    }

    #[test]
    fn a_type_that_is_not_known_may_say_anything() {
        for value in [Value::Null, "text".into(), serde_json::json!({ "a": 1 })] {
            assert_eq!(judge("https://example.org/other/v1", &value), Ok(()));
        }
    }
}
