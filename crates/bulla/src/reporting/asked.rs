//! On which terms a report was judged, written down in it: who may have signed, how many of them must have, and what may be
//! missing. With them and a trusted root anybody comes to the same verdicts.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::identity::{IdentityPattern, Pattern, Requires, Who};
use bulla_claims::judge::{Content, Need, Policy, TrustedRoot};
use bulla_tlog::sha256;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::witnesses::Witnesses;
use crate::verification::{Asked, Form, Heads, Logs, Revocations, Revokers};

/// The terms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AskedFor {
    /// Public keys that may have signed.
    keys: Vec<Key>,
    /// Whom certificates may name.
    identities: Vec<Identity>,
    /// How many different ones of them must have signed.
    require: usize,
    /// Whether an entry of a log was needed.
    log: Must,
    /// Whether a certificate transparency log had to have the certificate.
    sct: Must,
    /// Who may have revoked what others signed.
    revoked_by: Revoking,
    /// Whose cosignatures of checkpoints were verified. It decides about no image.
    witness_policy: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Revoking {
    keys: Vec<Key>,
    identities: Vec<Identity>,
}

/// A revocation that was honoured, as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Revoked {
    /// What is revoked.
    #[serde(rename = "revoked")]
    pub(super) what: String,
    /// Since when: what was signed before is not touched.
    pub(super) from: String,
    /// Why, as who revoked it says.
    pub(super) reason: String,
    /// Who that is.
    pub(super) by: String,
    /// Where it was read.
    place: String,
    /// The signed statement, to be judged again.
    evidence: Evidence,
}

/// All that were honoured.
pub(crate) fn revocations(asked: &Asked) -> Vec<Revoked> {
    let both = asked.revocations.known().signed.iter().zip(&asked.revocations.bundles);
    both.map(|(known, (place, bytes))| Revoked {
        what: known.revocation.revoked.to_string(),
        from: known.revocation.from.to_string(),
        reason: known.revocation.reason.clone(),
        by: known.by.to_string(),
        place: place.clone(),
        evidence: Evidence::of(&Form::Bundle(bytes.clone().into())),
    })
    .collect()
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Key {
    sha256: String,
    /// DER `SubjectPublicKeyInfo`, base64.
    spki: String,
}

/// Patterns, each with the name of its form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Identity {
    subject: BTreeMap<String, String>,
    issuer: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Must {
    Required,
    NotRequired,
}

impl AskedFor {
    /// Writes them down.
    pub(crate) fn of(asked: &Asked, witnesses: Option<&Witnesses>) -> Self {
        let pattern =
            |pattern: &Pattern| BTreeMap::from([(pattern.form().to_owned(), pattern.text().to_owned())]);
        let key = |spki: &Vec<u8>| Key { sha256: sha256(spki).to_string(), spki: STANDARD.encode(spki) };
        let identity = |identity: &IdentityPattern| Identity {
            subject: pattern(&identity.subject),
            issuer: pattern(&identity.issuer),
        };
        let must = |need| if need == Need::Required { Must::Required } else { Must::NotRequired };
        Self {
            keys: asked.policy.keys.iter().map(key).collect(),
            identities: asked.policy.identities.iter().map(identity).collect(),
            require: asked.need,
            log: must(asked.policy.log),
            sct: must(asked.policy.sct),
            revoked_by: Revoking {
                keys: asked.revocations.revokers.keys.iter().map(key).collect(),
                identities: asked.revocations.revokers.identities.iter().map(identity).collect(),
            },
            witness_policy: witnesses.map(|witnesses| witnesses.text().to_owned()),
        }
    }

    /// Reads the witnesses again.
    pub(super) fn witnesses(&self) -> Result<Option<Witnesses>, String> {
        let read = |text: &String| {
            Witnesses::parse(text.clone()).map_err(|problem| format!("asked.witness_policy: {problem}"))
        };
        self.witness_policy.as_ref().map(read).transpose()
    }

    /// Reads them again, with whom to believe and what was revoked, as if it were `now` (Unix seconds).
    pub(crate) fn asked(
        &self,
        (root, root_json): (TrustedRoot, Vec<u8>),
        revoked: &[Revoked],
        now: u64,
    ) -> Result<Asked, String> {
        let key = |key: &Key| {
            STANDARD.decode(&key.spki).map_err(|_| format!("asked.keys: {} is not base64", key.sha256))
        };
        let keys = |keys: &[Key]| keys.iter().map(key).collect::<Result<Vec<_>, _>>();
        let identity = |identity: &Identity| {
            Ok::<_, String>(IdentityPattern {
                issuer: pattern(&identity.issuer)?,
                subject: pattern(&identity.subject)?,
            })
        };
        let identities =
            |identities: &[Identity]| identities.iter().map(identity).collect::<Result<Vec<_>, _>>();
        let revokers = Revokers {
            keys: keys(&self.revoked_by.keys)?,
            identities: identities(&self.revoked_by.identities)?,
        };
        let (keys, identities) = (keys(&self.keys)?, identities(&self.identities)?);
        let who = keys.iter().map(|key| Who::Key(sha256(key)));
        let who = who.chain(identities.iter().cloned().map(Who::Identity)).collect();
        let requires = Requires::new(self.require, who).map_err(|error| format!("asked.require: {error}"))?;
        let need = |must| if must == Must::Required { Need::Required } else { Need::NotRequired };
        let policy =
            Policy { keys, identities, content: Content::Any, log: need(self.log), sct: need(self.sct) };
        let bundles = revoked.iter().enumerate().map(|(at, revoked)| match revoked.evidence.form()? {
            Form::Bundle(bytes) => Ok((revoked.place.clone(), bytes.to_vec())),
            Form::Layer { .. } => Err(format!("revocations[{at}]: a bundle was expected")),
        });
        let bundles = bundles.collect::<Result<Vec<_>, String>>()?;
        let revocations = Revocations::judge(bundles, revokers, &policy, &root, now)
            .map_err(|problem| format!("revocations: {problem}"))?;
        let (heads, notes, policies) = (Heads::default(), Vec::new(), Vec::new());
        let logs = Logs { offline: true, url: None };
        Ok(Asked {
            policy,
            requires,
            need: self.require,
            root,
            root_json,
            revocations,
            heads,
            logs,
            notes,
            policies,
        })
    }

    /// For a person, a line for each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|key| format!("the key of sha256 {}", key.sha256));
        let said = |patterns: &BTreeMap<String, String>| {
            let said = patterns.iter().map(|(form, text)| match form.as_str() {
                "exact" => text.clone(),
                form => format!("{form} {text}"),
            });
            said.collect::<Vec<_>>().join(", ")
        };
        let identities = self.identities.iter().map(|identity| {
            format!("{}, vouched for by {}", said(&identity.subject), said(&identity.issuer))
        });
        let without = [
            (self.log, "what no log has is accepted"),
            (self.sct, "certificates that no certificate transparency log has are accepted"),
        ];
        let without = without.into_iter().filter(|(must, _)| *must == Must::NotRequired);
        let mut lines: Vec<String> = keys.chain(identities).collect();
        if self.require > 1 {
            lines.push(format!("{} different ones of them must have signed", self.require));
        }
        let revokers = self.revoked_by.keys.len() + self.revoked_by.identities.len();
        if revokers > 0 {
            lines.push(format!("{revokers} others may revoke what they signed"));
        }
        lines.extend(without.map(|(_, text)| text.to_owned()));
        if let Ok(Some(witnesses)) = self.witnesses() {
            let names: Vec<_> = witnesses.names().collect();
            lines.push(format!("cosignatures of checkpoints were verified, those by {}", names.join(", ")));
        }
        lines
    }
}

fn pattern(patterns: &BTreeMap<String, String>) -> Result<Pattern, String> {
    let mut patterns = patterns.iter();
    let (Some((form, text)), None) = (patterns.next(), patterns.next()) else {
        return Err("asked.identities: one pattern was expected".to_owned());
    };
    let read = match form.as_str() {
        "exact" => Pattern::exact(text),
        "glob" => Pattern::glob(text),
        "regex" => Pattern::regex(text),
        other => return Err(format!("asked.identities: {other:?} is no form of a pattern")),
    };
    read.map_err(|error| format!("asked.identities: {error}"))
}
