//! What a signed payload is about: the subjects and materials of an in-toto statement
//! (<https://github.com/in-toto/attestation>), the image of a cosign signature. The search finds entries by these digests.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Fault;
pub(super) use crate::attestation::PAYLOAD_TYPE as IN_TOTO;

/// The most bytes of all digests that one entry names, a line each.
const MAX_NAMED: usize = 1 << 20;
/// The longest digest that is looked up.
const MAX_DIGEST: usize = 512;

/// Digests, `<algorithm>:<value>` in lower case, that a payload names: a statement if its type says so, an image if it is
/// a cosign payload, whatever type it has or none. One that cannot be read names none. `field` is where it stands.
pub(in crate::entry) fn named(
    payload_type: Option<&str>,
    payload: &[u8],
    field: &str,
) -> Result<Vec<String>, Fault> {
    let mut names = Names::default();
    if payload_type == Some(IN_TOTO) {
        statement(payload, &mut names);
    }
    image(payload, &mut names);
    names.finish(field)
}

#[derive(Default)]
struct Names {
    names: BTreeSet<String>,
    /// Of all of them, joined by newlines.
    len: usize,
}

impl Names {
    /// Adds a digest, unless it is none that could be written on a line and looked up. A URL is somebody's identity, and
    /// who signed is not for a payload to say.
    fn add(&mut self, name: &str) {
        if name.len() > MAX_DIGEST
            || name.contains("://")
            || !name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return;
        }
        let len = name.len() + 1;
        if self.names.insert(name.to_ascii_lowercase()) {
            self.len += len;
        }
    }

    fn finish(self, field: &str) -> Result<Vec<String>, Fault> {
        let Self { names, len } = self;
        let len = len.saturating_sub(1);
        if len > MAX_NAMED {
            let problem = format!(
                "payload names {} digests in {len} bytes, at most {MAX_NAMED} bytes can be searched for: \
                 split the statement",
                names.len()
            );
            return Err(Fault::new(field, problem));
        }
        Ok(names.into_iter().collect())
    }
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow)]
    subject: Option<Vec<Resource<'a>>>,
}

#[derive(Deserialize)]
struct Provenance<'a> {
    #[serde(borrow)]
    predicate: Option<Predicate<'a>>,
}

/// Provenance of SLSA 0.1 and 0.2 has materials, that of SLSA 1 has resolved dependencies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    #[serde(borrow)]
    materials: Option<Vec<Resource<'a>>>,
    #[serde(borrow)]
    build_definition: Option<BuildDefinition<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    #[serde(borrow)]
    resolved_dependencies: Option<Vec<Resource<'a>>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    digest: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// Subjects and predicate are read apart: a predicate of another kind may use the same names for other things.
fn statement(payload: &[u8], names: &mut Names) {
    let Ok(Statement { subject }) = serde_json::from_slice(payload) else { return };
    let predicate = serde_json::from_slice(payload).ok().and_then(|Provenance { predicate }| predicate);
    let (materials, build) =
        predicate.map_or((None, None), |predicate| (predicate.materials, predicate.build_definition));
    let resolved = build.and_then(|build| build.resolved_dependencies);
    let mut name = String::new();
    for resource in [subject, materials, resolved].into_iter().flatten().flatten() {
        for (algorithm, value) in resource.digest.into_iter().flatten() {
            if algorithm.is_empty() || value.is_empty() {
                continue;
            }
            name.clear();
            name.extend([algorithm.as_ref(), ":", value.as_ref()]);
            names.add(&name);
        }
    }
}

#[derive(Deserialize)]
struct SimpleSigning<'a> {
    #[serde(borrow)]
    critical: Critical<'a>,
}

#[derive(Deserialize)]
struct Critical<'a> {
    #[serde(rename = "type", borrow)]
    type_: Cow<'a, str>,
    #[serde(borrow)]
    image: Image<'a>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(rename = "docker-manifest-digest", borrow)]
    digest: Cow<'a, str>,
}

/// The image of a payload in the format "simple signing" (containers/image), which cosign signs.
fn image(payload: &[u8], names: &mut Names) {
    let Ok(SimpleSigning { critical: Critical { type_, image } }) = serde_json::from_slice(payload) else {
        return;
    };
    let is_known = matches!(&*type_, "cosign container image signature" | "atomic container signature");
    let is_digest =
        image.digest.split_once(':').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
    if is_known && is_digest {
        names.add(&image.digest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn names(payload: &serde_json::Value) -> Vec<String> {
        named(Some(IN_TOTO), payload.to_string().as_bytes(), "payload").expect("few")
    }

    #[test]
    fn subjects_and_materials_of_every_slsa_version_are_named_once() {
        let sha = |digit: &str| digit.repeat(64);
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                { "name": "a", "digest": { "sha256": sha("B"), "sha512": "0c", "gitCommit": "AbC" } },
                { "name": "the same", "digest": { "sha256": sha("b") } },
                { "name": "of no digest" }, { "digest": null }
            ],
            "predicate": {
                "materials": [{ "uri": "git+https://example.org", "digest": { "sha1": "d1" } }],
                "buildDefinition": { "resolvedDependencies": [{ "digest": { "sha256": sha("a") } }] }
            }
        });
        let expected = [
            "gitcommit:abc".to_owned(),
            "sha1:d1".into(),
            format!("sha256:{}", sha("a")),
            format!("sha256:{}", sha("b")),
            "sha512:0c".into(),
        ];
        assert_eq!(names(&statement), expected);
        // Of another type it is no statement.
        let text = statement.to_string();
        assert_eq!(named(Some("application/json"), text.as_bytes(), "payload"), Ok(vec![]));
        assert_eq!(named(None, text.as_bytes(), "payload"), Ok(vec![]));
    }

    #[test]
    fn a_predicate_of_another_kind_hides_no_subject() {
        let statement = json!({
            "subject": [{ "digest": { "sha256": "aa" } }],
            "predicate": { "materials": { "uri": "an object, in some link formats" } }
        });
        assert_eq!(names(&statement), ["sha256:aa"]);
        assert_eq!(
            names(&json!({ "subject": [{ "digest": { "sha256": "aa" } }], "predicate": "text" })),
            ["sha256:aa"]
        );
    }

    #[test]
    fn what_is_no_statement_names_nothing() {
        for payload in
            [json!(5), json!({}), json!({ "subject": null }), json!({ "subject": [{ "digest": 5 }] })]
        {
            assert_eq!(names(&payload), [""; 0]);
        }
        assert_eq!(named(Some(IN_TOTO), b"\xff{", "payload"), Ok(vec![]));
        // None of these could be looked up, and a line break would be two names.
        let odd = json!({ "subject": [{ "digest": { "": "aa", "sha256": "", "a": "b\nsha256:cc", "b": "x".repeat(600),
            "https": "//github.com/example/.github/workflows/release.yml" } }] });
        assert_eq!(names(&odd), [""; 0]);
    }

    #[test]
    fn the_image_of_a_cosign_payload_is_named() {
        let payload = |type_: &str, digest: &str| {
            json!({ "critical": {
                "identity": { "docker-reference": "example.org/image" },
                "image": { "docker-manifest-digest": digest }, "type": type_
            }, "optional": null })
            .to_string()
        };
        let digest = format!("sha256:{}", "AB".repeat(32));
        for type_ in ["cosign container image signature", "atomic container signature"] {
            let payload = payload(type_, &digest);
            for payload_type in
                [None, Some(IN_TOTO), Some("application/vnd.dev.cosign.simplesigning.v1+json")]
            {
                let names = named(payload_type, payload.as_bytes(), "payload").expect("one");
                assert_eq!(names, [digest.to_lowercase()]);
            }
        }
        for (type_, digest) in
            [("another signature", digest.as_str()), ("atomic container signature", "abcd")]
        {
            assert_eq!(named(None, payload(type_, digest).as_bytes(), "data"), Ok(vec![]));
        }
    }

    #[test]
    fn more_than_can_be_kept_is_refused_with_its_number() {
        let subjects = |count: usize| {
            let subjects: Vec<_> =
                (0..count).map(|n| json!({ "digest": { "sha256": format!("{n:064x}") } })).collect();
            json!({ "subject": subjects }).to_string()
        };
        // Each is 71 bytes and a newline.
        let most = (MAX_NAMED + 1) / 72;
        assert_eq!(named(Some(IN_TOTO), subjects(most).as_bytes(), "p").expect("they fit").len(), most);
        let error = named(Some(IN_TOTO), subjects(most + 1).as_bytes(), "p").expect_err("one more than fits");
        assert_eq!(
            error.to_string(),
            "p: payload names 14564 digests in 1048607 bytes, at most 1048576 bytes can be searched for: \
             split the statement"
        );
    }

    proptest! {
        #[test]
        fn names_are_sorted_lines(payload in "\\PC{0,200}", algorithm in "\\PC{0,9}", value in "\\PC{0,9}") {
            drop(named(Some(IN_TOTO), payload.as_bytes(), "payload"));
            let names = names(&json!({ "subject": [{ "digest": { algorithm: value } }] }));
            prop_assert!(names.iter().all(|name| !name.contains(char::is_whitespace) && *name == name.to_lowercase()));
        }
    }
}
