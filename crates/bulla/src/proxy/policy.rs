//! The rule for each tag, from a file that is read once:
//!
//! ```toml
//! moving = ["latest", "edge", "*-nightly"]      # of every repository, where no rule matches; those of signatures move anyway
//!
//! [[rule]]                                      # the first that matches counts
//! tags = "ghcr.io/org/**:dev-*"
//! rule = "warn"                                 # enforce, warn, observe, moving or off
//! ```

use std::path::Path;

use bulla_claims::identity::Pattern;
use bulla_claims::tag::{Moving, Rule, TagName, is_made_of_digest};
use serde::Deserialize;

use crate::command::Failure;
use crate::target::read_small;

/// See the module.
#[derive(Debug)]
pub(crate) struct TagPolicy {
    rules: Vec<(Pattern, Option<Rule>)>,
    moving: Moving,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    moving: Option<Vec<String>>,
    #[serde(default)]
    rule: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    tags: String,
    rule: Word,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Enforce,
    Warn,
    Observe,
    Moving,
    Off,
}

impl TagPolicy {
    /// Reads a file; without one every tag is enforced, but for those that move by design.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Self::parse("").map_err(Failure::usage) };
        let named = |problem: String| Failure::usage(format!("--tag-policy {}: {problem}", path.display()));
        let bytes = read_small(path, LARGEST)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| named("is no text".to_owned()))?;
        Self::parse(text).map_err(named)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let File { moving, rule } = toml::from_str(text).map_err(|error| error.to_string())?;
        if rule.len() > MOST {
            return Err(format!("has {} rules, at most {MOST} are read", rule.len()));
        }
        let patterns: Vec<&str> = match &moving {
            Some(moving) => moving.iter().map(String::as_str).collect(),
            None => Moving::DEFAULT.to_vec(),
        };
        let moving = Moving::new(patterns).map_err(|error| format!("moving: {error}"))?;
        if moving.is_too_long() {
            return Err("moving: has too many names, at most 256 are read".to_owned());
        }
        let rules = rule.into_iter().map(|Line { tags, rule }| {
            names_a_tag(&tags)?;
            let pattern = Pattern::glob(&tags).map_err(|error| format!("tags = {tags:?}: {error}"))?;
            let rule = match rule {
                Word::Enforce => Some(Rule::Enforce),
                Word::Warn => Some(Rule::Warn),
                Word::Observe => Some(Rule::Observe),
                Word::Moving => Some(Rule::Moving),
                Word::Off => None,
            };
            Ok::<_, String>((pattern, rule))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, moving })
    }

    /// The rule for a tag; none if nothing is recorded of it.
    pub(crate) fn rule(&self, tag: &TagName) -> Option<Rule> {
        let matching = self.rules.iter().find(|(pattern, _)| pattern.matches(tag.as_str()));
        let rule = matching.map_or(Some(Rule::Enforce), |(_, rule)| *rule)?;
        // A signature is added whenever somebody signs: to freeze its tag is to forbid that. Of other names that move a rule
        // that somebody wrote says more.
        let moves = is_made_of_digest(tag.tag()) || (matching.is_none() && self.moving.has(tag.tag()));
        Some(if moves { Rule::Moving } else { rule })
    }
}

/// Patterns are matched with whole names, in their one spelling.
fn names_a_tag(pattern: &str) -> Result<(), String> {
    names_a_registry(pattern, "tags")?;
    if pattern.split_once('/').is_some_and(|(_, rest)| !rest.contains([':', '*'])) {
        return Err(format!("tags = {pattern:?}: names no tag: {pattern}:* may be meant"));
    }
    Ok(())
}

/// The same of repositories.
pub(crate) fn names_a_repository(pattern: &str) -> Result<(), String> {
    names_a_registry(pattern, "images")
}

fn names_a_registry(pattern: &str, member: &str) -> Result<(), String> {
    let wrong = |fix: String| Err(format!("{member} = {pattern:?}: {fix}"));
    if pattern.starts_with("**") {
        return Ok(());
    }
    let Some((first, rest)) = pattern.split_once('/') else {
        return wrong(format!("names no registry: docker.io/library/{pattern} may be meant"));
    };
    if !first.contains(['.', ':', '*', '?', '[']) && first != "localhost" {
        return wrong(format!("names no registry: docker.io/{pattern} may be meant"));
    }
    if let "index.docker.io" | "registry-1.docker.io" = first {
        return wrong(format!("the one name of that registry is docker.io: docker.io/{rest}"));
    }
    if first == "docker.io" && !rest.contains('/') && !rest.starts_with('*') {
        return wrong(format!("docker.io/library/{rest} may be meant"));
    }
    if first.to_ascii_lowercase() != first {
        return wrong("names of registries are lower case".to_owned());
    }
    if let Some(host) = first.strip_suffix(":443").filter(|host| *host != "localhost") {
        return wrong(format!("names of registries have no :443: {host}/{rest}"));
    }
    Ok(())
}

const LARGEST: u64 = 1 << 20;
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> TagName {
        TagName::parse(text).expect(text)
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let policy = TagPolicy::parse(
            "moving = [\"main\"]\n\
             [[rule]]\ntags = \"ghcr.io/org/app:dev-*\"\nrule = \"warn\"\n\
             [[rule]]\ntags = \"ghcr.io/org/**\"\nrule = \"observe\"\n\
             [[rule]]\ntags = \"quay.io/**\"\nrule = \"moving\"\n\
             [[rule]]\ntags = \"docker.io/**\"\nrule = \"off\"\n",
        )
        .expect("a policy");
        let hex = "ab".repeat(32);
        for (tag, rule) in [
            ("ghcr.io/org/app:dev-1", Some(Rule::Warn)),
            ("ghcr.io/org/app:1", Some(Rule::Observe)),
            ("ghcr.io/org/app:main", Some(Rule::Observe)),
            ("quay.io/org/app:1", Some(Rule::Moving)),
            (&format!("ghcr.io/org/app:sha256-{hex}.sig"), Some(Rule::Moving)),
            ("ghcr.io/other/app:1", Some(Rule::Enforce)),
            ("ghcr.io/other/app:main", Some(Rule::Moving)),
            ("ghcr.io/other/app:latest", Some(Rule::Enforce)),
            ("docker.io/library/alpine:3.20", None),
            ("ghcr.io/org/app:dev-nightly", Some(Rule::Warn)),
        ] {
            assert_eq!(policy.rule(&name(tag)), rule, "{tag}");
        }
    }

    #[test]
    fn without_a_file_all_is_enforced_but_what_moves() {
        let policy = TagPolicy::open(None).expect("a policy");
        assert_eq!(policy.rule(&name("docker.io/library/alpine:3.20")), Some(Rule::Enforce));
        assert_eq!(policy.rule(&name("docker.io/library/alpine:latest")), Some(Rule::Moving));
        assert_eq!(policy.rule(&name("docker.io/library/alpine:v2-nightly")), Some(Rule::Moving));
    }

    #[test]
    fn what_would_never_match_is_refused_with_what_is_meant() {
        for (pattern, problem) in [
            ("alpine:*", "names no registry: docker.io/library/alpine:* may be meant"),
            ("org/app:*", "names no registry: docker.io/org/app:* may be meant"),
            ("docker.io/alpine:*", "docker.io/library/alpine:* may be meant"),
            ("index.docker.io/org/app:*", "the one name of that registry is docker.io: docker.io/org/app:*"),
            ("GHCR.io/org/app:*", "names of registries are lower case"),
            ("ghcr.io:443/org/app:*", "names of registries have no :443: ghcr.io/org/app:*"),
            ("ghcr.io/org/app", "names no tag: ghcr.io/org/app:* may be meant"),
        ] {
            let text = format!("[[rule]]\ntags = {pattern:?}\nrule = \"off\"\n");
            assert_eq!(TagPolicy::parse(&text).expect_err(pattern), format!("tags = {pattern:?}: {problem}"));
        }
        for (text, part) in [
            ("[[rule]]\ntags = \"a.b/**\"\nrule = \"block\"\n", "unknown variant `block`"),
            ("[[rule]]\ntags = \"a.b/**\"\n", "missing field `rule`"),
            ("movin = []\n", "unknown field `movin`"),
        ] {
            let problem = TagPolicy::parse(text).expect_err(text);
            assert!(problem.contains(part), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_an_end(text in "\\PC{0,60}|\\[\\[rule\\]\\]\ntags = \"[a-z./*:]{0,20}\"\nrule = \"[a-z]{0,8}\"") {
            let _any = TagPolicy::parse(&text);
        }
    }
}
