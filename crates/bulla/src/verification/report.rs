//! What is said of what was judged: to a person in lines, to a program as JSON (`bulla.verify/v1`, docs/reference-verify.md).

use std::fmt::Write as _;

use bulla_claims::judge::{Check, Content, Outcome, Signed, Verdict};
use bulla_tlog::sha256;
use serde_json::{Map, Value, json};

use super::explain::Explain;
use super::{Candidate, Found};
use crate::registry::Listed;
use crate::text::{line, printable};

/// Everything there is to say.
pub(crate) struct Report<'a> {
    /// What was verified, as it was named.
    pub(crate) subject: &'a str,
    /// Its digest, with the name of the hash. Of an image that could not be read it is not known.
    pub(crate) digest: Option<String>,
    pub(crate) content: &'a Content,
    pub(crate) need: usize,
    pub(crate) verdict: Verdict,
    pub(crate) found: &'a Found,
    /// What else should be known.
    pub(crate) notes: Vec<String>,
    /// Says with which options a signature would have been accepted, if that is to be said.
    pub(crate) explain: Option<Explain<'a>>,
}

impl Report<'_> {
    /// For a person.
    pub(crate) fn human(&self) -> String {
        let mut text = String::new();
        line(&mut text, self.verdict(), printable(self.subject));
        if let Some(digest) = &self.digest {
            line(&mut text, "digest", digest);
        }
        for Candidate { place, judged, .. } in &self.found.candidates {
            line(&mut text, "signature", place);
            if let Some(signed) = judged.signed.as_ref().filter(|_| judged.verified()) {
                line(&mut text, "signed by", signer(signed));
            }
            for check in &judged.checks {
                checked(&mut text, check);
            }
            if let Some(explain) = self.explain.as_ref().filter(|_| !judged.verified()) {
                line(&mut text, "explain", explain.of(judged));
            }
        }
        for unread in &self.found.unread {
            line(&mut text, "not read", format_args!("{}: {}", unread.place, printable(&unread.problem)));
        }
        for note in &self.notes {
            line(&mut text, "note", printable(note));
        }
        text
    }

    /// For a program.
    pub(crate) fn machine(&self) -> String {
        let unread = self.found.unread.iter();
        let document = json!({
            "schema": "bulla.verify/v1",
            "verdict": self.verdict(),
            "subject": self.subject,
            "digest": self.digest,
            "required": self.need,
            "signatures": self.found.candidates.iter().map(|candidate| self.signature(candidate)).collect::<Vec<_>>(),
            "unread": unread.map(|unread| json!({ "place": unread.place, "problem": unread.problem })).collect::<Vec<_>>(),
            "listedBy": self.found.listed.map(|listed| match listed {
                Listed::Api => "api",
                Listed::Tag => "tag",
                Listed::Search => "search",
            }),
            "notes": self.notes,
        });
        format!("{document:#}\n")
    }

    /// Why it did not succeed, in one line.
    pub(crate) fn problem(&self) -> String {
        let what = self.content;
        let first = self.found.unread.first();
        match (self.verdict, first, self.found.candidates.as_slice()) {
            (Verdict::Undetermined, Some(unread), _) => {
                format!("{}: undetermined: {}: {}", self.subject, unread.place, unread.problem)
            }
            (_, _, []) => {
                format!("{}: not verified: it has no signatures, {what} was expected", self.subject)
            }
            (_, _, [only]) => match only.judged.failed() {
                Some(Check { name, outcome: Outcome::Failed(problem), .. }) => {
                    format!("{}: not verified: {name}: {problem}", self.subject)
                }
                _ => self.too_few(),
            },
            _ => self.too_few(),
        }
    }

    fn too_few(&self) -> String {
        let all = &self.found.candidates;
        let good = all.iter().filter(|candidate| candidate.judged.verified()).count();
        let need = self.need;
        format!(
            "{}: not verified: {good} of {} signatures hold, those of {need} different signers were expected",
            self.subject,
            all.len()
        )
    }

    fn verdict(&self) -> &'static str {
        match self.verdict {
            Verdict::Verified => "verified",
            Verdict::NotVerified => "not-verified",
            Verdict::Undetermined => "undetermined",
        }
    }

    fn signature(&self, candidate: &Candidate) -> Value {
        let mut described = signature(candidate, self.content);
        if let (Value::Object(members), Some(explain)) = (&mut described, &self.explain) {
            members.insert("explain".to_owned(), json!(explain.of(&candidate.judged)));
        }
        described
    }
}

/// A signature for a program. The predicate of an attestation is shown if it was asked for and is verified.
pub(super) fn signature(Candidate { place, judged, .. }: &Candidate, content: &Content) -> Value {
    let signed = judged.signed.as_ref();
    let statement = judged.statement.as_ref();
    let shown = statement.filter(|_| judged.verified() && *content != Content::Signature);
    json!({
        "place": place,
        "verified": judged.verified(),
        "signer": signed.map(|signed| json!({
            "keySha256": sha256(&signed.spki).to_string(),
            "subject": signed.identity.as_ref().map(|identity| &identity.subject),
            "issuer": signed.identity.as_ref().map(|identity| &identity.issuer),
        })),
        "predicateType": statement.map(|statement| &statement.predicate_type),
        "predicate": shown.map(|statement| &statement.predicate),
        "checks": judged.checks.iter().map(described).collect::<Vec<_>>(),
    })
}

fn checked(text: &mut String, check: &Check) {
    let evidence: Vec<_> = check.evidence.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let (mark, said) = match &check.outcome {
        Outcome::Passed => ("ok", evidence.join(", ")),
        Outcome::Failed(problem) => ("FAILED", problem.clone()),
        Outcome::Skipped(why) => ("-", why.clone()),
    };
    let told = format!("  {:<11} {mark:<6} {}", check.name, printable(&said));
    // Writing to a string cannot fail.
    writeln!(text, "{}", told.trim_end()).unwrap_or_default();
}

fn described(check: &Check) -> Value {
    let (outcome, reason) = match &check.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(problem) => ("failed", Some(problem)),
        Outcome::Skipped(why) => ("skipped", Some(why)),
    };
    let mut evidence: Map<String, Value> = Map::new();
    for (name, value) in &check.evidence {
        let values = evidence.entry((*name).to_owned()).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(value));
        }
    }
    json!({ "name": check.name, "outcome": outcome, "reason": reason, "evidence": evidence })
}

fn signer(signed: &Signed) -> String {
    let key = sha256(&signed.spki);
    match &signed.identity {
        Some(identity) => printable(&identity.to_string()),
        None => format!("the key of sha256 {key}"),
    }
}
