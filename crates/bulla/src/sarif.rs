//! Findings in SARIF 2.1.0, which code-scanning pages read
//! (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html>). What is found is of the commands; how it is
//! written is here, once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bulla_tlog::sha256;
use serde::Serialize;
use serde_json::{Map, Value};

/// One kind of thing that is looked for.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    /// How it is called for ever: `bulla/` and words of lower case.
    pub(crate) id: &'static str,
    /// The same as one word, in Pascal case.
    pub(crate) name: &'static str,
    /// What it means that it was found, in a sentence.
    pub(crate) short: &'static str,
    /// What to do about it, in a sentence or two.
    pub(crate) help: &'static str,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    /// It was looked for and is not there: all is well.
    Pass,
    /// Worth knowing.
    Note,
    /// To be looked at.
    Warning,
    /// Not as it must be.
    Error,
}

/// One thing that was found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What was found.
    pub(crate) rule: &'static Rule,
    pub(crate) level: Level,
    /// The file or image that it is about, as it was named.
    pub(crate) subject: String,
    /// The digest of that, with the name of the hash.
    pub(crate) digest: Option<String>,
    /// What was found, for a person; a sentence.
    pub(crate) text: String,
    /// What tells it from others of the same rule and subject, today and tomorrow.
    pub(crate) apart: String,
    /// Whatever else there is to say.
    pub(crate) properties: Map<String, Value>,
}

/// Everything that one run found.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// What was looked for, whether or not it was found.
    pub(crate) rules: Vec<&'static Rule>,
    pub(crate) findings: Vec<Finding>,
    /// What could not be looked at, a sentence each. With any of them the run is no success.
    pub(crate) unread: Vec<String>,
    /// Whatever else there is to say.
    pub(crate) properties: Map<String, Value>,
}

impl Run {
    /// The file.
    pub(crate) fn document(&self) -> String {
        let mut rules = self.rules.clone();
        for finding in &self.findings {
            if !rules.contains(&finding.rule) {
                rules.push(finding.rule);
            }
        }
        let at: BTreeMap<_, _> = rules.iter().enumerate().map(|(at, rule)| (rule.id, at)).collect();
        let results = self.findings.iter().map(|finding| result(finding, at[finding.rule.id]));
        let unread = self.unread.iter().map(|text| Notification { level: "error", message: text.into() });
        let run = Written {
            tool: Tool {
                driver: Driver {
                    name: "bulla",
                    version: env!("CARGO_PKG_VERSION"),
                    semantic_version: env!("CARGO_PKG_VERSION"),
                    rules: rules.iter().map(|rule| described(rule)).collect(),
                },
            },
            invocations: [Invocation {
                execution_successful: self.unread.is_empty(),
                tool_execution_notifications: unread.collect(),
            }],
            results: results.collect(),
            column_kind: "unicodeCodePoints",
            properties: &self.properties,
        };
        let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
        // Text, numbers and maps with text as keys: there is nothing that JSON could not say.
        let mut text = serde_json::to_string_pretty(&log).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn described(rule: &'static Rule) -> Described {
    Described {
        id: rule.id,
        name: rule.name,
        short_description: rule.short.into(),
        full_description: rule.short.into(),
        help: rule.help.into(),
        default_configuration: Configuration { level: "error" },
    }
}

fn result(finding: &Finding, rule_index: usize) -> Found<'_> {
    let (kind, level) = match finding.level {
        Level::Pass => ("pass", "none"),
        Level::Note => ("fail", "note"),
        Level::Warning => ("fail", "warning"),
        Level::Error => ("fail", "error"),
    };
    let named = finding.digest.as_ref().map_or_else(
        || finding.subject.clone(),
        |digest| format!("{}@{digest}", finding.subject.trim_end_matches(&format!("@{digest}"))),
    );
    let same = format!("{}\n{}\n{}", finding.rule.id, finding.subject, finding.apart);
    Found {
        rule_id: finding.rule.id,
        rule_index,
        kind,
        level,
        message: finding.text.as_str().into(),
        locations: [Location {
            physical_location: Physical { artifact_location: Artifact { uri: uri(&finding.subject) } },
            logical_locations: [Logical { fully_qualified_name: named, kind: "resource" }],
        }],
        partial_fingerprints: BTreeMap::from([("bulla/v1", sha256(same.as_bytes()).to_string())]),
        properties: &finding.properties,
    }
}

/// A name as a relative URI reference, and a path from the root as a URI, whatever is in them.
fn uri(name: &str) -> String {
    let mut uri = String::from(if name.starts_with('/') { "file://" } else { "" });
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(uri, "%{byte:02X}").unwrap_or_default();
        }
    }
    uri
}

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log<'r> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Written<'r>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'r> {
    tool: Tool,
    invocations: [Invocation<'r>; 1],
    results: Vec<Found<'r>>,
    column_kind: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: &'r Map<String, Value>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    semantic_version: &'static str,
    rules: Vec<Described>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    id: &'static str,
    name: &'static str,
    short_description: Message<'static>,
    full_description: Message<'static>,
    help: Message<'static>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'r> {
    execution_successful: bool,
    tool_execution_notifications: Vec<Notification<'r>>,
}

#[derive(Serialize)]
struct Notification<'r> {
    level: &'static str,
    message: Message<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'r> {
    rule_id: &'static str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Message<'r>,
    locations: [Location; 1],
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: &'r Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Physical,
    logical_locations: [Logical; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
    kind: &'static str,
}

#[derive(Serialize)]
struct Message<'r> {
    text: &'r str,
}

impl<'r> From<&'r str> for Message<'r> {
    fn from(text: &'r str) -> Self {
        Self { text }
    }
}

impl<'r> From<&'r String> for Message<'r> {
    fn from(text: &'r String) -> Self {
        Self { text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static RULE: Rule = Rule { id: "bulla/a", name: "A", short: "It is a.", help: "Make it b." };
    static OTHER: Rule = Rule { id: "bulla/b", name: "B", short: "It is b.", help: "Make it a." };

    fn finding(subject: &str, level: Level) -> Finding {
        Finding {
            rule: &RULE,
            level,
            subject: subject.to_owned(),
            digest: Some("sha256:00".to_owned()),
            text: "it is a".to_owned(),
            apart: "1".to_owned(),
            properties: Map::new(),
        }
    }

    fn written(run: &Run) -> Value {
        serde_json::from_str(&run.document()).expect("is JSON")
    }

    #[test]
    fn a_finding_points_at_its_rule_and_is_known_again() {
        let run = Run { rules: vec![&OTHER], findings: vec![finding("a:1", Level::Error)], ..Run::default() };
        let document = written(&run);
        let result = &document["runs"][0]["results"][0];
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("fits");
        let rules = &document["runs"][0]["tool"]["driver"]["rules"];
        assert_eq!((&result["ruleId"], &rules[index]["id"]), (&"bulla/a".into(), &"bulla/a".into()));
        assert_eq!(
            result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "a:1@sha256:00",
            "the digest is said once"
        );
        let fingerprint = &result["partialFingerprints"]["bulla/v1"];
        let again = Finding { text: "other words".to_owned(), ..finding("a:1", Level::Note) };
        let other = Finding { apart: "2".to_owned(), ..finding("a:1", Level::Error) };
        let of = |finding| {
            let document = written(&Run { findings: vec![finding], ..Run::default() });
            document["runs"][0]["results"][0]["partialFingerprints"]["bulla/v1"].clone()
        };
        assert_eq!(fingerprint, &of(again));
        assert_ne!(fingerprint, &of(other));
    }

    #[test]
    fn what_could_not_be_looked_at_is_no_success() {
        let run = Run { unread: vec!["busy".to_owned()], ..Run::default() };
        let invocation = &written(&run)["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        assert_eq!(invocation["toolExecutionNotifications"][0]["message"]["text"], "busy");
        assert_eq!(written(&Run::default())["runs"][0]["invocations"][0]["executionSuccessful"], true);
    }

    #[test]
    fn only_what_fails_has_a_level() {
        for (level, kind, said) in [
            (Level::Pass, "pass", "none"),
            (Level::Note, "fail", "note"),
            (Level::Warning, "fail", "warning"),
            (Level::Error, "fail", "error"),
        ] {
            let document = written(&Run { findings: vec![finding("a", level)], ..Run::default() });
            let result = &document["runs"][0]["results"][0];
            assert_eq!((&result["kind"], &result["level"]), (&kind.into(), &said.into()));
        }
    }

    #[test]
    fn any_name_is_a_uri() {
        assert_eq!(uri("ghcr.io/org/app:1.2"), "ghcr.io/org/app%3A1.2");
        assert_eq!(uri("localhost:5000/a"), "localhost%3A5000/a");
        assert_eq!(uri("/tmp/a b#\u{e9}"), "file:///tmp/a%20b%23%C3%A9");
    }
}
