//! With which command a signature would have been accepted: the shortest one, which can be pasted as it stands. What only
//! refuses more is not in it: how many must sign, policies, revocations, checkpoints and witnesses.

use bulla_claims::attestation::COSIGN_SIGN;
use bulla_claims::judge::{Judged, Outcome};
use bulla_claims::policy;

use crate::text::{Options, printable, shell_word};

/// The command line that was typed, as far as a shorter one needs it.
pub(crate) struct Explain<'a> {
    /// What was verified, as it was named.
    pub(super) subject: &'a str,
    /// What signatures are found and believed by.
    pub(super) options: Options,
    /// Public keys, and what was said to name them.
    pub(super) keys: Vec<(&'a Vec<u8>, &'a String)>,
}

impl Explain<'_> {
    /// With which options it would have been accepted. What is wrong with the signature itself no option mends.
    pub(super) fn of(&self, judged: &Judged) -> String {
        let failed = judged.checks.iter().find_map(|check| match &check.outcome {
            Outcome::Failed(problem)
                if !["key", "identity", "content", policy::CHECK].contains(&check.name) =>
            {
                Some((check.name, problem))
            }
            _ => None,
        });
        if let Some((name, problem)) = failed {
            return format!("no options accept it: {name}: {problem}");
        }
        if judged.verified() {
            return "it is accepted".to_owned();
        }
        if judged.failed().is_some_and(|check| check.name == policy::CHECK) {
            return "it is verified, and accepted without the policy that denies it".to_owned();
        }
        let Some(signed) = &judged.signed else {
            return "the public key that signed it is needed: --key REF".to_owned();
        };
        let mut options = self.options.clone();
        let command = match judged.statement.as_ref().map(|statement| statement.predicate_type.as_str()) {
            None | Some(COSIGN_SIGN) => "verify",
            Some(predicate) => {
                options.add("--type", Some(predicate));
                "verify-attestation"
            }
        };
        if let Some(identity) = &signed.identity {
            options.add("--certificate-identity", Some(&identity.subject));
            options.add("--certificate-oidc-issuer", Some(&identity.issuer));
        } else if let Some((_, reference)) = self.keys.iter().find(|(spki, _)| **spki == signed.spki) {
            options.add("--key", Some(reference));
        }
        let subject = shell_word(self.subject);
        // What looks like an option is taken for a name only at the end.
        printable(&if subject.starts_with('-') {
            format!("bulla {command}{options} -- {subject}")
        } else {
            format!("bulla {command} {subject}{options}")
        })
    }
}
