//! Whether a signature was taken back. A revocation is a signed statement and is judged as one, by the same steps; then it is
//! asked whom it is about, since when, and whether who says so may.
//!
//! Everybody may take back what is theirs: what the same key signed, or the same identity. Others only if they are named.

use jiff::Timestamp;

use super::check::{CERTIFICATE, CONTENT, IDENTITY, PROFILE, REVOCATION, SCT, SHAPE};
use super::{
    Artifact, Check, Content, Judged, Need, Outcome, Policy, Signed, TrustedRoot, judge_bundle, shape,
};
use crate::attestation::{REVOCATION as PREDICATE, Statement, WantedType};
use crate::identity::{IdentityPattern, Pattern, Signer, Who};
use crate::revocation::Revocation;
use bulla_tlog::Hash;
use sigstore_verify::types::SignatureContent;

/// A revocation whose signature holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRevocation {
    /// What it says.
    pub revocation: Revocation,
    /// Who says it.
    pub by: Signed,
    /// Where it is from, for people.
    pub place: String,
}

/// Why something is no revocation that holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{check}: {problem}")]
pub struct NoRevocation {
    /// The check that failed, one of [`Check::NAMES`].
    pub check: &'static str,
    /// Why.
    pub problem: String,
}

/// What is known of revocations, and who else than the signer may revoke.
#[derive(Clone, Copy, Debug)]
pub struct Revocations<'a> {
    /// Those that hold.
    pub signed: &'a [SignedRevocation],
    /// Who may revoke what is not theirs.
    pub named: &'a [Who],
    /// Where they were looked for besides, for people.
    pub searched: Option<&'a str>,
}

impl SignedRevocation {
    /// Judges the bundle of a revocation: an attestation whose subject is what it revokes, by one of these keys (DER
    /// `SubjectPublicKeyInfo`) or with any certificate, and logged. Whether whoever signed it may revoke that is asked later.
    pub fn judge(
        bundle: &[u8],
        place: &str,
        keys: &[Vec<u8>],
        root: &TrustedRoot,
        sct: Need,
        now: u64,
    ) -> Result<Self, NoRevocation> {
        let judged = judged(bundle, keys, root, sct, now);
        if let Some(Check { name, outcome: Outcome::Failed(problem), .. }) = judged.failed() {
            return Err(NoRevocation { check: name, problem: problem.clone() });
        }
        let refused = |problem: String| NoRevocation { check: CONTENT, problem };
        let (Some(by), Some(statement)) = (judged.signed, judged.statement) else {
            return Err(refused("it says nothing".to_owned()));
        };
        let revocation = Revocation::of(&statement).map_err(|refusal| refused(refusal.to_string()))?;
        Ok(Self { revocation, by, place: place.to_owned() })
    }

    /// Whether a bundle, whatever is in its envelope, has a certificate by which nobody could have signed: anybody can make
    /// one with anybody's name, and a log takes it.
    pub fn is_by_nobody(bundle: &[u8], root: &TrustedRoot, sct: Need, now: u64) -> bool {
        let judged = judged(bundle, &[], root, sct, now);
        [SHAPE, IDENTITY, PROFILE, CERTIFICATE, SCT]
            .iter()
            .any(|name| judged.check(name).is_some_and(|check| matches!(check.outcome, Outcome::Failed(_))))
    }

    /// Whether it is about that signature.
    fn concerns(&self, one: &Signed) -> bool {
        let entries = one.entry.iter().chain(&one.more_entries).map(|entry| Some(*entry));
        let signer = one.signer();
        entries.chain([None]).any(|entry| self.revocation.concerns(&Signer { entry, ..signer }))
    }
}

impl Revocations<'_> {
    /// Whether somebody may revoke that signature.
    pub fn may(&self, by: &Signed, signed: &Signed) -> bool {
        is_theirs(by, signed) || self.named.iter().any(|who| who.matches(&by.signer()))
    }
}

/// Whether two signatures are by one and the same.
fn is_theirs(one: &Signed, other: &Signed) -> bool {
    one.spki == other.spki || (one.identity.is_some() && one.identity == other.identity)
}

impl Judged {
    /// Notes whether somebody who may has revoked a signature that is verified. It counts as signed when the first trusted
    /// clock saw it, and if none did, `now`, for whoever has a stolen key can say of any time that it was then.
    pub fn weigh_revocations(&mut self, known: &Revocations<'_>, now: Timestamp) {
        let Some(signed) = self.signed.as_ref().filter(|_| self.verified()) else { return };
        let time = self.times.iter().min().copied();
        let mut evidence = vec![("revocations", known.signed.len().to_string())];
        evidence.extend(known.searched.map(|place| ("searched", place.to_owned())));
        let mut outcome = Outcome::Passed;
        for found in known.signed.iter().filter(|found| found.concerns(signed)) {
            let said = &found.revocation;
            if !known.may(&found.by, signed) {
                let by = &found.by;
                evidence
                    .push(("not honoured", format!("{}: {by} is neither who signed nor named", found.place)));
            } else if said.holds_at(time.unwrap_or(now)) {
                let when = time.map_or_else(
                    || "no clock saw when it was signed".to_owned(),
                    |time| format!("it was signed at {time}"),
                );
                let (revoked, since, reason, by) = (&said.revoked, said.from, &said.reason, &found.by);
                outcome = Outcome::Failed(format!(
                    "{revoked} is revoked since {since} by {by}, {reason:?}; {when}"
                ));
                evidence.push(("revocation", found.place.clone()));
                evidence.push(("revoked", revoked.to_string()));
                evidence.push(("since", since.to_string()));
                evidence.push(("by", by.to_string()));
                evidence.push(("reason", reason.clone()));
                break;
            } else {
                evidence.push(("revoked only since", said.from.to_string()));
            }
        }
        self.put(Check { name: REVOCATION, outcome, evidence });
    }

    /// Notes that it is not known whether a signature is revoked, which is no reason to believe it.
    pub fn revocations_unknown(&mut self, problem: &str) {
        let outcome = Outcome::Failed(format!("it is not known whether it is revoked: {problem}"));
        self.put(Check { name: REVOCATION, outcome, evidence: Vec::new() });
    }
}

fn judged(bundle: &[u8], keys: &[Vec<u8>], root: &TrustedRoot, sct: Need, now: u64) -> Judged {
    let content = WantedType::Exact(PREDICATE.to_owned());
    let policy = Policy {
        keys: keys.to_vec(),
        identities: anybody(),
        content: Content::Attestation(content),
        log: Need::Required,
        sct,
    };
    // Believed by nobody yet: if it is another subject, the judgement finds that out.
    let about = claimed(bundle).unwrap_or(Hash([0; 32]));
    judge_bundle(bundle, &Artifact::Sha256(about), root, &policy, now)
}

fn anybody() -> Vec<IdentityPattern> {
    let any = || Pattern::glob("**").ok();
    any().zip(any()).map(|(issuer, subject)| IdentityPattern { issuer, subject }).into_iter().collect()
}

/// What a bundle says that it is about.
fn claimed(bundle: &[u8]) -> Option<Hash> {
    let bundle = shape::read(bundle, Need::NotRequired, shape::Shown::Proof).ok()?;
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else { return None };
    let statement = Statement::parse(&envelope.payload_type, envelope.payload.as_bytes()).ok()?;
    Hash::from_hex(statement.subjects.first()?.digest.get("sha256")?)
}
