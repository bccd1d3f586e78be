//! A logged entry proposed once more: with the artifact in place of what the log has only the hash of, so that the signature
//! is verified by the very code that a log admits entries with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::entry::v1::{Proposed, Rules, admit};
use serde_json::{Value, json};

/// What the body of a logged entry can be judged by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signed {
    /// It is signed over this digest, which it has with the key: the signature holds.
    Digest {
        /// Such as `sha256`.
        algorithm: String,
        /// Its hexadecimal digits.
        digits: String,
    },
    /// It is what the log makes of that artifact with its signature: the signature holds.
    Artifact,
    /// Nothing can be said without the artifact.
    Unjudged {
        /// What the artifact is.
        artifact: &'static str,
    },
    /// This program does not know the kind.
    Unknown {
        /// The kind and its version.
        kind: String,
    },
}

/// Judges the signature in a body; `artifact` is what was proposed, or what was signed.
pub fn proposed_again(body: &[u8], artifact: Option<&[u8]>, aad: Option<&[u8]>) -> Result<Signed, String> {
    let body_error = |error: serde_json::Error| format!("the body is not JSON: {error}");
    let document: Value = serde_json::from_slice(body).map_err(body_error)?;
    let (kind, version) = (text(&document, "/kind"), text(&document, "/apiVersion"));
    let spec = document.get("spec").filter(|spec| spec.is_object()).cloned();
    let spec = spec.ok_or_else(|| "the body has no object spec".to_owned())?;
    let what = match (kind, version) {
        ("hashedrekord", "0.0.1") => {
            judge(kind, version, &spec, body)?;
            let algorithm = text(&spec, "/data/hash/algorithm").to_owned();
            let digits = text(&spec, "/data/hash/value").to_ascii_lowercase();
            return Ok(Signed::Digest { algorithm, digits });
        }
        ("dsse", "0.0.1") | ("intoto", "0.0.1" | "0.0.2") => "the DSSE envelope",
        ("cose", "0.0.1") => "the COSE_Sign1 message",
        ("helm", "0.0.1") => "the provenance file",
        ("rekord" | "jar" | "rpm" | "alpine", "0.0.1") => "the artifact",
        // These hold all that was signed.
        ("rfc3161" | "tuf", "0.0.1") => {
            judge(kind, version, &spec, body)?;
            let content = STANDARD.decode(text(&spec, "/tsr/content")).unwrap_or_default();
            if kind == "rfc3161" && artifact.is_some_and(|artifact| artifact != content) {
                return Err("the artifact is not the timestamp response in the log".to_owned());
            }
            return Ok(Signed::Artifact);
        }
        _ => return Ok(Signed::Unknown { kind: format!("{kind} {version}") }),
    };
    let Some(artifact) = artifact else { return Ok(Signed::Unjudged { artifact: what }) };
    let content = STANDARD.encode(artifact);
    let key = spec.get("publicKey").cloned().unwrap_or_default();
    let envelope = || std::str::from_utf8(artifact).map_err(|_| format!("the artifact is not {what}"));
    let spec = match (kind, version) {
        ("rekord", _) => {
            let mut spec = spec;
            spec["data"] = json!({ "content": content });
            spec
        }
        ("dsse", _) => {
            let signatures = spec.get("signatures").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut verifiers: Vec<_> =
                signatures.iter().filter_map(|signature| signature.get("verifier").cloned()).collect();
            verifiers.dedup();
            json!({ "proposedContent": { "envelope": envelope()?, "verifiers": verifiers } })
        }
        ("intoto", "0.0.1") => json!({ "content": { "envelope": envelope()? }, "publicKey": key }),
        ("intoto", _) => {
            let given: Value = serde_json::from_str(envelope()?)
                .map_err(|error| format!("the artifact is not {what}: {error}"))?;
            let mut spec = spec;
            let payload = given.get("payload").and_then(Value::as_str).unwrap_or_default();
            if let Some(envelope) = spec.pointer_mut("/content/envelope").and_then(Value::as_object_mut) {
                envelope.insert("payload".to_owned(), STANDARD.encode(payload).into());
            }
            spec
        }
        ("cose", _) => {
            let aad = aad.map(|aad| STANDARD.encode(aad));
            let data = aad.map_or_else(|| json!({}), |aad| json!({ "aad": aad }));
            json!({ "message": content, "publicKey": key, "data": data })
        }
        ("helm", _) => json!({ "publicKey": key, "chart": { "provenance": { "content": content } } }),
        ("jar", _) => json!({ "archive": { "content": content } }),
        _ => json!({ "publicKey": key, "package": { "content": content } }),
    };
    judge(kind, version, &spec, body)?;
    Ok(Signed::Artifact)
}

/// Whether the log would admit that, and would have this body for it.
fn judge(kind: &str, version: &str, spec: &Value, body: &[u8]) -> Result<(), String> {
    let spec = serde_json::value::to_raw_value(spec).map_err(|error| error.to_string())?;
    let proposed = Proposed { kind, api_version: version, spec: &spec };
    let admitted = admit(&proposed, &Rules::default()).map_err(|refusal| refusal.to_string())?;
    if admitted.body == body { Ok(()) } else { Err("the log has another entry for this artifact".to_owned()) }
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Entry;
    use super::*;

    const ENTRY: &str = include_str!("../../../tests/captured_v1/entry.json");
    const DSSE: &str = include_str!("../../../tests/captured_v1/dsse.json");
    const ENVELOPE: &[u8] = include_bytes!("../../../tests/captured_v1/envelope.json");

    fn body(answer: &str) -> Vec<u8> {
        serde_json::from_str::<Entry>(answer).expect("an entry").body
    }

    #[test]
    fn a_digest_is_enough_for_a_hashedrekord() {
        let body = body(ENTRY);
        let digits = "a6415e36e332794d85e2e06d9c276901f28b74a22f01741a695b6fed0a9e545e".to_owned();
        let signed = Signed::Digest { algorithm: "sha256".to_owned(), digits: digits.clone() };
        assert_eq!(proposed_again(&body, None, None), Ok(signed));
        let other = String::from_utf8(body).expect("text").replace(&digits, &"00".repeat(32));
        assert!(proposed_again(other.as_bytes(), None, None).is_err());
    }

    #[test]
    fn an_envelope_must_be_the_one_that_was_logged() {
        let body = body(DSSE);
        assert_eq!(proposed_again(&body, None, None), Ok(Signed::Unjudged { artifact: "the DSSE envelope" }));
        assert_eq!(proposed_again(&body, Some(ENVELOPE), None), Ok(Signed::Artifact));
        let spaced = [ENVELOPE, b"\n"].concat();
        let refused = proposed_again(&body, Some(&spaced), None);
        assert_eq!(refused, Err("the log has another entry for this artifact".to_owned()));
        assert!(proposed_again(&body, Some(b"{}"), None).is_err());
    }

    #[test]
    fn what_is_not_known_is_said() {
        let v2 = br#"{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}"#;
        assert_eq!(
            proposed_again(v2, None, None),
            Ok(Signed::Unknown { kind: "hashedrekord 0.0.2".to_owned() })
        );
        for kind in ["rekord", "dsse", "intoto", "cose", "helm", "jar", "rpm", "alpine", "rfc3161", "tuf"] {
            for spec in ["[]", "\"x\"", "null", "{}", r#"{"content":[],"signatures":{},"publicKey":1}"#] {
                let body = format!(r#"{{"apiVersion":"0.0.1","kind":"{kind}","spec":{spec}}}"#);
                assert!(proposed_again(body.as_bytes(), Some(b"{}"), None).is_err(), "{body}");
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(at in any::<prop::sample::Index>(), with: u8, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            for (answer, artifact) in [(ENTRY, &noise[..]), (DSSE, ENVELOPE), (DSSE, &noise)] {
                let mut changed = body(answer);
                let place = at.index(changed.len());
                changed[place] ^= with;
                drop(proposed_again(&changed, Some(artifact), None));
                let mut text = answer.as_bytes().to_vec();
                let place = at.index(text.len());
                text[place] ^= with;
                drop(serde_json::from_slice::<Entry>(&text));
            }
            drop(proposed_again(&noise, None, None));
        }
    }
}
