//! Image signatures of cosign before bundles: the payload that is signed, in the format "simple signing"
//! (<https://github.com/containers/image/blob/main/docs/containers-signature.5.md>). What verifies is the bytes as they were
//! fetched, so a payload that was read cannot be written again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::attestation::shape::At;
use crate::entry::Refusal;
use crate::json;

/// The media type of the layer that has such a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What cosign writes as type.
const COSIGN: &str = "cosign container image signature";
/// What others do: podman, skopeo, the makers of the format.
const ATOMIC: &str = "atomic container signature";
/// The longest reference and the longest key or value of an annotation, in bytes.
const MAX_FIELD: usize = 4096;
/// The most annotations.
const MAX_ANNOTATIONS: usize = 256;

/// The payload for an image: cosign's bytes, order of members and escapes included. `reference` is its repository without a
/// tag, `digest` that of its manifest.
pub fn payload(
    reference: &str,
    digest: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Refusal> {
    let mut text = String::from(r#"{"critical":{"identity":{"docker-reference":"#);
    string(&mut text, bounded("docker-reference", reference)?);
    text.push_str(r#"},"image":{"docker-manifest-digest":"#);
    let value = Value::from(digest);
    string(&mut text, manifest_digest(&At::new(&value, "docker-manifest-digest"))?);
    text.push_str(r#"},"type":"#);
    string(&mut text, COSIGN);
    text.push_str(r#"},"optional":"#);
    if annotations.len() > MAX_ANNOTATIONS {
        let problem =
            format!("has {} annotations, at most {MAX_ANNOTATIONS} were expected", annotations.len());
        return Err(Refusal::new("optional", problem));
    }
    for (n, (key, value)) in annotations.iter().enumerate() {
        text.push(if n == 0 { '{' } else { ',' });
        string(&mut text, bounded("optional", key)?);
        text.push(':');
        string(&mut text, bounded("optional", value)?);
    }
    text.push_str(if annotations.is_empty() { "null}" } else { "}}" });
    Ok(text.into_bytes())
}

/// A payload that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimpleSigning {
    /// What the signer called the image. Whoever copies an image copies its signatures, so it need not be where it was found.
    pub reference: String,
    /// The digest of the manifest: `sha256:` or `sha512:` and lower-case hex.
    pub digest: String,
    /// What else the signer said.
    annotations: Map<String, Value>,
}

impl SimpleSigning {
    /// Reads the bytes whose signature was verified. Members that are there twice are refused, and in `critical` those that are
    /// not known.
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        let value = json::read(payload, "payload")?;
        let root = At::new(&value, "payload");
        let critical = root.member("critical")?;
        critical.nothing_but(&["identity", "image", "type"])?;
        critical.member("type")?.one_of(&[COSIGN, ATOMIC])?;
        let digest =
            manifest_digest(&critical.member("image")?.member("docker-manifest-digest")?)?.to_owned();
        let reference = critical.member("identity")?.member("docker-reference")?.any_text()?.to_owned();
        let optional = root.optional("optional")?;
        let annotations = optional.map_or_else(|| Ok(Map::new()), |optional| optional.object().cloned())?;
        Ok(Self { reference, digest, annotations })
    }

    /// The text of an annotation; one that is no text is none.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key)?.as_str()
    }

    /// The first of these annotations that the signer did not make, if there is one.
    pub fn lacks<'a>(&self, wanted: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let mut wanted = wanted.iter();
        wanted.find(|(key, value)| self.annotation(key) != Some(value)).map(|(key, _)| key.as_str())
    }
}

fn manifest_digest<'a>(at: &At<'a>) -> Result<&'a str, Refusal> {
    let is_hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_digest = |text: &&str| match text.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    };
    let found = at.value.as_str().filter(is_digest);
    found.ok_or_else(|| at.refuse("sha256: and 64, or sha512: and 128 digits of lower-case hexadecimal"))
}

fn bounded<'a>(field: &str, text: &'a str) -> Result<&'a str, Refusal> {
    match text.len() {
        len if len > MAX_FIELD => {
            Err(Refusal::new(field, format!("is {len} bytes, at most {MAX_FIELD} were expected")))
        }
        _ => Ok(text),
    }
}

/// A string as Go's `encoding/json` writes it, which escapes what HTML and JavaScript would trip over.
fn string(to: &mut String, text: &str) {
    to.push('"');
    for c in text.chars() {
        match c {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\u{8}' => to.push_str("\\b"),
            '\u{c}' => to.push_str("\\f"),
            // Writing to a string cannot fail.
            c if c < ' ' || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                write!(to, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => to.push(c),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:89333bc71f02c647533ab52e592ad22c609728f12eabff6fda0920109db40401";

    #[test]
    fn the_payload_is_that_of_cosign_to_the_byte() {
        let payload = payload("registry.test/team/app", DIGEST, &BTreeMap::new()).expect("is one");
        assert_eq!(payload.len(), 238);
        let expected = "1454b7ff66a540e1e2f0a604ec420a2c2427c200277875645c1cf939b93ad27b";
        assert_eq!(bulla_tlog::sha256(&payload).to_string(), expected);
        let read = SimpleSigning::parse(&payload).expect("is read");
        assert_eq!((read.reference.as_str(), read.digest.as_str()), ("registry.test/team/app", DIGEST));
        assert_eq!(read.annotation("a"), None);
    }

    #[test]
    fn annotations_are_sorted_and_escaped_as_go_does() {
        let annotations = [
            ("b", "<a href=\"x\">&</a>"),
            ("a\n", "\u{1}\u{7f}\u{2028}\u{2029}\u{e9}\u{8}\u{c}\t\r\\/"),
            ("B", ""),
        ];
        let annotations: BTreeMap<_, _> =
            annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let written = payload("r", DIGEST, &annotations).expect("is one");
        let text = String::from_utf8(written.clone()).expect("text");
        let optional = text.split_once(r#""optional":"#).expect("is there").1;
        assert_eq!(
            optional,
            concat!(
                r#"{"B":"","a\n":"\u0001"#,
                "\u{7f}",
                r"\u2028\u2029",
                "\u{e9}",
                r#"\b\f\t\r\\/","b":"\u003ca href=\"x\"\u003e\u0026\u003c/a\u003e"}}"#
            )
        );
        let read = SimpleSigning::parse(&written).expect("is read");
        assert_eq!(read.lacks(&annotations), None);
        assert_eq!(read.lacks(&BTreeMap::from([("B".to_owned(), "x".to_owned())])), Some("B"));
        assert_eq!(read.lacks(&BTreeMap::from([("c".to_owned(), String::new())])), Some("c"));
    }

    #[test]
    fn what_others_wrote_is_read_and_what_is_not_understood_is_refused() {
        let with = |critical: &str, optional: &str| {
            format!(r#"{{"critical":{{{critical}}},"optional":{optional}}}"#)
        };
        let podman = format!(
            r#""type":"atomic container signature","image":{{"docker-manifest-digest":"{DIGEST}"}},"identity":{{"docker-reference":"a:1"}}"#
        );
        let read = SimpleSigning::parse(with(&podman, r#"{"creator":"podman","timestamp":1}"#).as_bytes())
            .expect("is read");
        assert_eq!((read.annotation("creator"), read.annotation("timestamp")), (Some("podman"), None));
        let refused =
            |payload: &str| SimpleSigning::parse(payload.as_bytes()).expect_err(payload).to_string();
        for (payload, expected) in [
            ("[]".to_owned(), "payload: a list of 0 was found, an object was expected"),
            ("{}".to_owned(), "payload.critical: is missing, it is required"),
            (with(&podman, "5"), "payload.optional: 5 was found, an object was expected"),
            (
                with(&format!("{podman},\"expires\":1"), "null"),
                "payload.critical.expires: is not known, identity, image, type were expected",
            ),
            (
                with(&podman.replace("atomic", "another"), "null"),
                "payload.critical.type: \"another container signature\" was found, one of cosign container image signature, atomic container signature was expected",
            ),
            (
                with(&podman.replace(DIGEST, "sha256:89"), "null"),
                "payload.critical.image.docker-manifest-digest: \"sha256:89\" was found, sha256: and 64, or sha512: and 128 digits of lower-case hexadecimal was expected",
            ),
        ] {
            assert_eq!(refused(&payload), expected);
        }
        let twice = with(&podman, r#"{"a":"1","a":"2"}"#);
        assert!(refused(&twice).contains("member \"a\" is there twice"), "{}", refused(&twice));
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let none = BTreeMap::new();
        assert!(payload("r", "sha256:AB", &none).is_err());
        assert_eq!(
            payload(&"r".repeat(4097), DIGEST, &none).expect_err("too long").to_string(),
            "docker-reference: is 4097 bytes, at most 4096 were expected"
        );
        let many = (0..257).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(
            payload("r", DIGEST, &many).expect_err("too many").to_string(),
            "optional: has 257 annotations, at most 256 were expected"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(reference: String, annotations in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4)) {
            let written = payload(&reference, DIGEST, &annotations).expect("is one");
            let read = SimpleSigning::parse(&written).expect("is read");
            prop_assert_eq!(&read.reference, &reference);
            prop_assert_eq!(read.lacks(&annotations), None);
        }
    }
}
