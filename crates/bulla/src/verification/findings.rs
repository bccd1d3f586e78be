//! What verification says as SARIF: what is wrong with each signature that was not accepted, and what the verdict is.

use bulla_claims::judge::{Check, Outcome, Verdict};
use serde_json::{Map, Value, json};

use super::report::signature;
use super::{Candidate, Report};
use crate::sarif::{Finding, Level, Rule, Run};

/// Who must have signed did. A finding of this rule passes.
pub(crate) static VERIFIED: Rule = Rule {
    id: "bulla/verified",
    name: "Verified",
    short: "Those who must have signed did, and each of their signatures holds.",
    help: "There is nothing to do.",
};

/// Everything was read, and it is not enough.
pub(crate) static NOT_VERIFIED: Rule = Rule {
    id: "bulla/not-verified",
    name: "NotVerified",
    short: "Not enough of those who must have signed did, so it is not to be used.",
    help: "Have it signed by those who must sign it, or find out who replaced it. The findings about its signatures say why each was not accepted.",
};

/// Not everything could be read.
pub(crate) static UNDETERMINED: Rule = Rule {
    id: "bulla/undetermined",
    name: "Undetermined",
    short: "Not everything could be read, and what was read is not enough. It may or may not be signed.",
    help: "Look again when the registry answers. Until then it counts as not verified.",
};

/// One signature was not accepted.
pub(crate) static SIGNATURE_NOT_ACCEPTED: Rule = Rule {
    id: "bulla/signature-not-accepted",
    name: "SignatureNotAccepted",
    short: "A signature was not accepted.",
    help: "The message names the check that failed first. If enough other signatures hold this is no problem, and the finding is a note.",
};

/// The name is not as it seems.
pub(crate) static MOVED: Rule = Rule {
    id: "bulla/moved",
    name: "Moved",
    short: "The tag beside a digest stands for another image by now, or for none.",
    help: "The digest counts. Name it with its new tag, or with none.",
};

/// All rules of verification.
pub(crate) static RULES: [&Rule; 5] =
    [&VERIFIED, &NOT_VERIFIED, &UNDETERMINED, &SIGNATURE_NOT_ACCEPTED, &MOVED];

impl Report<'_> {
    /// For a page that shows findings.
    pub(crate) fn sarif(&self) -> String {
        let unread = self.found.unread.iter();
        let run = Run {
            rules: RULES.to_vec(),
            findings: self.findings(),
            unread: unread.map(|unread| format!("{}: {}", unread.place, unread.problem)).collect(),
            properties: Map::new(),
        };
        run.document()
    }

    /// The verdict, and each signature that was not accepted.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let (rule, level, text) = match self.verdict {
            Verdict::Verified => {
                (&VERIFIED, Level::Pass, format!("{}: verified: {}", self.subject, self.content))
            }
            Verdict::NotVerified => (&NOT_VERIFIED, Level::Error, self.problem()),
            Verdict::Undetermined => (&UNDETERMINED, Level::Error, self.problem()),
        };
        let all = &self.found.candidates;
        let signatures: Vec<Value> = all.iter().map(|candidate| signature(candidate, self.content)).collect();
        let mut findings = vec![self.finding(rule, level, text, "", json!({ "signatures": signatures }))];
        let refused = all.iter().filter_map(|candidate| Some((candidate, candidate.judged.failed()?)));
        for (Candidate { place, judged, .. }, Check { name, outcome, .. }) in refused {
            let Outcome::Failed(problem) = outcome else { continue };
            let level = if self.verdict == Verdict::Verified { Level::Note } else { Level::Error };
            let text = format!("{place}: not accepted: {name}: {problem}");
            let failed = judged.checks.iter();
            let failed = failed.filter(|check| matches!(check.outcome, Outcome::Failed(_)));
            let failed: Vec<_> = failed.map(|check| check.name).collect();
            let properties = json!({ "place": place, "failedChecks": failed });
            findings.push(self.finding(&SIGNATURE_NOT_ACCEPTED, level, text, place, properties));
        }
        let moved = self.notes.iter();
        findings
            .extend(moved.map(|note| self.finding(&MOVED, Level::Warning, note.clone(), "", Value::Null)));
        findings
    }

    fn finding(
        &self,
        rule: &'static Rule,
        level: Level,
        text: String,
        apart: &str,
        properties: Value,
    ) -> Finding {
        let properties = match properties {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        Finding {
            rule,
            level,
            subject: self.subject.to_owned(),
            digest: self.digest.clone(),
            text,
            apart: apart.to_owned(),
            properties,
        }
    }
}
