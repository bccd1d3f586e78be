//! Policies over what attestations state: an expression in CEL, or rules in Rego as cosign reads them, that say of a verified
//! statement whether it is good enough.
//!
//! A policy is compiled once and asked many times, by any number of threads. It can ask nobody: there is no network in it, no
//! file and no clock; the time is an argument. Who wrote the policy is believed, who wrote the statement is not: whatever is in
//! it, an answer comes after [`LONGEST`] and [`MOST_MADE`] at the latest. An answer that cannot be had is no consent.

mod calls;
mod cel;
mod functions;
mod meter;
mod rego;

use std::time::Duration;

use bulla_tlog::{Hash, sha256};
use serde_json::{Value, json};

use crate::attestation::{Statement, WantedType};
use crate::judge::{Check, Judged, Outcome};

/// The longest text of a policy in Rego, in bytes.
pub const MAX_REGO: usize = 256 << 10;
/// The longest text of a policy in CEL, in bytes.
pub const MAX_CEL: usize = 8 << 10;
/// The longest time that one evaluation takes.
pub const LONGEST: Duration = Duration::from_secs(1);
/// The most bytes of text and lists that one evaluation makes by joining, replacing and counting.
pub const MOST_MADE: usize = 64 << 20;
/// The name of the check.
pub const CHECK: &str = "policy";
/// The most reasons of one denial that are told, and the longest of them, in characters.
const MOST_REASONS: usize = 16;
const LONGEST_REASON: usize = 1024;

/// A policy that can be asked.
pub struct PredicatePolicy {
    name: String,
    sha256: Hash,
    dialect: Dialect,
}

enum Dialect {
    Cel(cel::Expression),
    Rego(Box<rego::Rules>),
}

/// What a policy says of a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It is good enough.
    Allowed,
    /// It is not, and why.
    Denied(Vec<String>),
    /// Nothing could be said, and why.
    Failed(String),
}

/// A text that is no policy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("policy {name}: {problem}")]
pub struct PolicyError {
    /// What it is called.
    pub name: String,
    /// What is wrong with it.
    pub problem: String,
}

impl PredicatePolicy {
    /// Reads the text of a file. What language it is in is what its name ends with: `.cel` or `.rego`.
    pub fn from_file(name: &str, text: &[u8]) -> Result<Self, PolicyError> {
        let refused = |problem: String| PolicyError { name: name.to_owned(), problem };
        let text = std::str::from_utf8(text)
            .map_err(|error| refused(format!("is no text: byte {} is not UTF-8", error.valid_up_to())))?;
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("cel") => Self::cel(name, text),
            Some("rego") => Self::rego(name, text),
            Some("cue") => {
                Err(refused("is in CUE, which is not read here: write it in CEL or Rego".to_owned()))
            }
            _ => Err(refused("a name that ends with .cel or .rego was expected".to_owned())),
        }
    }

    /// Reads an expression in CEL, at most [`MAX_CEL`] bytes. It must be true of `predicate`, `predicateType`, `subject` (a
    /// list), `statement` (all of it) and `now` (a timestamp).
    pub fn cel(name: &str, text: &str) -> Result<Self, PolicyError> {
        Self::read(name, text, MAX_CEL, |text| cel::Expression::compile(text).map(Dialect::Cel))
    }

    /// Reads rules in Rego, at most [`MAX_REGO`] bytes: a package `signature` with a rule `allow` that must be true, or with a
    /// rule `deny` that must be empty, or both. The statement is `input`. Both dialects are read, that from before version 1
    /// last.
    pub fn rego(name: &str, text: &str) -> Result<Self, PolicyError> {
        Self::read(name, text, MAX_REGO, |text| rego::Rules::compile(text).map(Box::new).map(Dialect::Rego))
    }

    fn read(
        name: &str,
        text: &str,
        most: usize,
        compile: impl FnOnce(&str) -> Result<Dialect, String> + Send,
    ) -> Result<Self, PolicyError> {
        let refused = |problem: String| PolicyError { name: name.to_owned(), problem: one_line(&problem) };
        if text.len() > most {
            return Err(refused(format!("is {} bytes, at most {most} were expected", text.len())));
        }
        let compiled = meter::metered(0, || compile(text)).and_then(|compiled| compiled);
        let dialect = compiled.map_err(refused)?;
        Ok(Self { name: name.to_owned(), sha256: sha256(text.as_bytes()), dialect })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of its text.
    pub fn sha256(&self) -> Hash {
        self.sha256
    }

    /// Asks about a statement that was verified. `now`, in Unix seconds, is the time that the policy may compare with.
    pub fn rule(&self, statement: &Statement, now: u64) -> Ruling {
        let input = document(statement);
        let ruling = meter::metered(now, || match &self.dialect {
            Dialect::Cel(expression) => expression.rule(&input, now),
            Dialect::Rego(rules) => rules.rule(input),
        });
        match ruling.unwrap_or_else(Ruling::Failed) {
            Ruling::Denied(reasons) => {
                Ruling::Denied(reasons.into_iter().take(MOST_REASONS).map(shortened).collect())
            }
            Ruling::Failed(problem) => Ruling::Failed(shortened(problem)),
            Ruling::Allowed => Ruling::Allowed,
        }
    }
}

/// Asks every policy about what was judged, and adds the check [`CHECK`]. Only what holds is asked about: a policy sees no
/// statement whose signature was not verified. Without policies nothing is added.
#[must_use]
pub fn apply(policies: &[PredicatePolicy], mut judged: Judged, now: u64) -> Judged {
    if policies.is_empty() {
        return judged;
    }
    let mut evidence = Vec::new();
    let outcome = match (judged.failed(), &judged.statement) {
        (Some(failed), _) => Outcome::Skipped(format!("not reached, {} failed", failed.name)),
        (None, None) => {
            Outcome::Failed("there is no statement that a policy could be asked about".to_owned())
        }
        (None, Some(statement)) => {
            let mut problems = Vec::new();
            for policy in policies {
                evidence.push(("policy", policy.name.clone()));
                evidence.push(("sha256", policy.sha256.to_string()));
                match policy.rule(statement, now) {
                    Ruling::Allowed => {}
                    Ruling::Denied(reasons) => {
                        problems.push(format!("{} denies it: {}", policy.name, reasons.join("; ")));
                    }
                    Ruling::Failed(problem) => {
                        problems.push(format!("{} cannot be evaluated: {problem}", policy.name));
                    }
                }
            }
            if problems.is_empty() { Outcome::Passed } else { Outcome::Failed(problems.join("; ")) }
        }
    };
    judged.checks.push(Check { name: CHECK, outcome, evidence });
    judged
}

/// The statement as its author wrote it, as far as it is known. What cosign puts into a custom predicate as text is JSON again
/// if it can be read as that.
fn document(statement: &Statement) -> Value {
    let mut predicate = statement.predicate.clone();
    if WantedType::parse("custom").is_ok_and(|custom| custom.matches(&statement.predicate_type))
        && let Some(data) = predicate.get_mut("Data")
        && let Some(Ok(read)) = data.as_str().map(|text| crate::json::read(text.as_bytes(), "Data"))
    {
        *data = read;
    }
    json!({
        "_type": statement.version.uri(),
        "subject": statement.subjects,
        "predicateType": statement.predicate_type,
        "predicate": predicate,
    })
}

/// Parsers show the line that they mean, below what they say of it.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn shortened(text: String) -> String {
    let text = if text.contains('\n') { one_line(&text) } else { text };
    match text.char_indices().nth(LONGEST_REASON) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
