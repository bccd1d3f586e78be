//! Policies in Rego, the language of Open Policy Agent (<https://www.openpolicyagent.org/docs/policy-language>), in the dialect
//! that cosign reads: a package `signature`, whose rule `allow` must be true.
//!
//! The functions that could make a lot of a little are ours: they count what they make.

use std::num::{NonZeroU32, NonZeroUsize};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, PolicyLengthConfig, Value};
use serde_json::Value as Json;

use super::functions::add_functions;
use super::{LONGEST, MAX_REGO, Ruling, calls, meter};

/// How the text is called in messages of the engine.
const FILE: &str = "policy.rego";
const ALLOW: &str = "data.signature.allow";
const DENY: &str = "data.signature.deny";
/// How many steps are made between looks at the time.
const STEPS: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// The longest line, in characters.
const LONGEST_LINE: NonZeroU32 = NonZeroU32::new(16 << 10).unwrap();
const LONGEST_TEXT: NonZeroUsize = NonZeroUsize::new(MAX_REGO).unwrap();

/// How deep lists and objects may stand in each other: the engine tries each of them in two ways, so that every level doubles
/// the time that reading takes.
const DEEPEST: usize = 10;

/// Compiled rules.
pub(super) struct Rules {
    engine: Engine,
    allows: bool,
    denies: bool,
}

impl Rules {
    /// Reads them in the new dialect, or else in the old one, as cosign does. What is in neither is told as of the one that it
    /// looks like; and what looks new is not tried as old, which the engine would have a lot to say of on standard error.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let deepest = nesting(text);
        if deepest > DEEPEST {
            return Err(format!("has brackets {deepest} deep, at most {DEEPEST} were expected"));
        }
        match Self::read(text, false) {
            Ok(rules) => Ok(rules),
            Err(new) if looks_new(text) => Err(new),
            Err(_) => Self::read(text, true),
        }
    }

    fn read(text: &str, old: bool) -> Result<Self, String> {
        let mut engine = Engine::new();
        engine.set_rego_v0(old);
        engine.set_strict_builtin_errors(true);
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: LONGEST, check_interval: STEPS });
        engine.set_policy_length_config(PolicyLengthConfig {
            max_col: LONGEST_LINE,
            max_file_bytes: LONGEST_TEXT,
            ..PolicyLengthConfig::default()
        });
        let failed = |error| problem(&error);
        add_functions(&mut engine).map_err(|error| problem(&error))?;
        let package = engine.add_policy(FILE.to_owned(), text.to_owned()).map_err(failed)?;
        if package != "data.signature" {
            let package = package.trim_start_matches("data.");
            return Err(format!("package is {package:?}, signature was expected"));
        }
        let declared = |rule| engine.has_declared_rule_rooted_at(FILE, rule).map_err(failed);
        let (allows, denies) = (declared("allow")?, declared("deny")?);
        if !allows && !denies {
            return Err("has neither a rule allow nor a rule deny, one was expected".to_owned());
        }
        engine.get_modules().iter().try_for_each(|module| calls::check(module))?;
        // Whatever can be found wrong without an input is found now.
        let entry = if allows { ALLOW } else { DENY };
        engine.compile_with_entrypoint(&entry.into()).map_err(failed)?;
        Ok(Self { engine, allows, denies })
    }

    /// Asks with a statement as input.
    pub(super) fn rule(&self, input: Json) -> Ruling {
        match self.asked(input) {
            Ok(ruling) => ruling,
            Err(problem) => Ruling::Failed(problem),
        }
    }

    fn asked(&self, input: Json) -> Result<Ruling, String> {
        let mut engine = self.engine.clone();
        engine.set_input(Value::from(input));
        let mut ask = |rule: &str| {
            let answer = engine.eval_rule(rule.to_owned());
            // Whatever the engine says of it, and whether or not it says it.
            meter::passed().map_err(|error| error.to_string())?;
            answer.map_err(|error| problem(&error))
        };
        let mut reasons = Vec::new();
        if self.denies {
            reasons = match ask(DENY)? {
                Value::Undefined | Value::Bool(false) => Vec::new(),
                Value::Bool(true) => vec!["deny is true".to_owned()],
                Value::Set(all) => all.iter().map(said).collect(),
                Value::Array(all) => all.iter().map(said).collect(),
                other => vec![said(&other)],
            };
        }
        if reasons.is_empty() && self.allows {
            match ask(ALLOW)? {
                Value::Bool(true) => {}
                Value::Undefined => reasons.push("allow is undefined, true was expected".to_owned()),
                other => reasons.push(format!("allow is {}, true was expected", said(&other))),
            }
        }
        Ok(if reasons.is_empty() { Ruling::Allowed } else { Ruling::Denied(reasons) })
    }
}

/// A reason, in its own words if it is text.
fn said(value: &Value) -> String {
    match value.as_string() {
        Ok(text) => text.to_string(),
        Err(_) => value.to_json_str().unwrap_or_else(|_| "something that is no JSON".to_owned()),
    }
}

/// What went wrong, in one line.
fn problem(error: &(impl std::fmt::Display + ?Sized)) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('|'));
    lines.collect::<Vec<_>>().join(" ")
}

/// Whether there are keywords that only the new dialect has, unless they were imported into the old one.
fn looks_new(text: &str) -> bool {
    let code = code(text);
    if code.contains("rego.v1") || code.contains("future.keywords") {
        return code.contains("rego.v1");
    }
    let is_part = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '.');
    let mut rest = code.as_str();
    while let Some(at) = rest.find(is_part) {
        let (word, after) =
            rest[at..].split_at(rest[at..].find(|one| !is_part(one)).unwrap_or(rest.len() - at));
        // Names of variables and of the function too.
        let named = after.trim_start_matches([' ', '\t']).starts_with([':', '=', ',', ')', ']']);
        if !named && (word == "if" || word == "contains" && !after.starts_with('(')) {
            return true;
        }
        rest = after;
    }
    false
}

/// The text with nothing in its texts and comments.
fn code(text: &str) -> String {
    let mut code = Vec::with_capacity(text.len());
    walk(text, |byte| code.push(byte));
    String::from_utf8_lossy(&code).into_owned()
}

/// How deep brackets stand in each other, in what is neither text nor comment.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    walk(text, |byte| match byte {
        b'[' | b'{' => {
            depth += 1;
            deepest = deepest.max(depth);
        }
        b']' | b'}' => depth = depth.saturating_sub(1),
        _ => {}
    });
    deepest
}

/// Goes over what is neither text nor comment.
fn walk(text: &str, mut seen: impl FnMut(u8)) {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| *byte != b'"') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'`' => while bytes.next().is_some_and(|byte| byte != b'`') {},
            b'#' => {
                while bytes.next().is_some_and(|byte| byte != b'\n') {}
                seen(b'\n');
            }
            byte => seen(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_where_they_are_brackets() {
        for (text, expected) in [
            ("", 0),
            ("a { [1, {2}] }", 3),
            ("{}[]{}", 1),
            (r#"a { "[[[\"[[" } # [[[["#, 1),
            ("a { `[[\\` }\n# \"\n[[", 2),
            ("]]]}[", 1),
        ] {
            assert_eq!(nesting(text), expected, "{text}");
        }
    }

    #[test]
    fn what_looks_new_is_not_read_as_old() {
        for text in ["allow if input.a", "allow if {\n", "deny contains m if { m := 1 }", "import rego.v1"] {
            assert!(looks_new(text), "{text}");
        }
        for text in [
            "allow { contains(input.a, \"if x\") } # if",
            "import future.keywords.if\nallow if { true }",
            "allow { input.if; input.contains }",
            "contains := 1",
        ] {
            assert!(!looks_new(text), "{text}");
        }
    }
}
