//! What follows from the judgement of signatures: the entries of a row, and what the image comes to. It is made so when a report
//! is made, and so again when it is judged.

use bulla_claims::attestation::{COSIGN_SIGN, PredicateType};
use bulla_claims::judge::{Judged, Outcome, Verdict, verdict};
use bulla_tlog::sha256;

use super::row::{Coverage, Entry, Kind, LoggedIn, NotRead, Row, SignedBy, Status, Validity};
use super::witnesses::{Cosigned, Witnesses, cosigned};
use crate::verification::{Asked, Unread};

impl From<&Unread> for NotRead {
    fn from(unread: &Unread) -> Self {
        Self { place: unread.place.clone(), problem: unread.problem.clone() }
    }
}

impl Row {
    /// Weighs what was judged. The entries and what was not read are in the row; counts and what it comes to follow from them.
    ///
    /// Of an entry that nobody can judge here counts what is said of it, except towards who signed the image.
    pub(super) fn weigh(&mut self, judged: &[Option<Judged>], asked: &Asked) {
        let valid = |entry: &&Entry| entry.status == Validity::Valid;
        self.total_entries = self.entries.len();
        self.valid_entries = self.entries.iter().filter(valid).count();
        self.invalid_entries = self.total_entries - self.valid_entries;
        let both = self.entries.iter().zip(judged).filter(|(entry, _)| entry.kind.is_signature());
        let signatures = both.filter_map(|(_, judged)| judged.as_ref());
        let came = verdict(&asked.requires, signatures, self.unread.len());
        let is_signed = self.entries.iter().any(|entry| entry.kind.is_signature());
        self.status = match came {
            Verdict::Verified => Status::Verified,
            Verdict::Undetermined => Status::Undetermined,
            Verdict::NotVerified if !is_signed => Status::Unsigned,
            Verdict::NotVerified => Status::NotVerified,
        };
        let known = |has: bool| if has { Some(true) } else { self.unread.is_empty().then_some(false) };
        let has = |kind| known(self.entries.iter().filter(valid).any(|entry| entry.kind == kind));
        self.coverage = Coverage {
            signed: known(came == Verdict::Verified),
            provenance: has(Kind::Provenance),
            sbom: has(Kind::Sbom),
            vex: has(Kind::Vex),
            vulnerability_scan: has(Kind::VulnerabilityScan),
        };
        self.reason = match self.status {
            Status::Verified => None,
            Status::Unsigned => Some("it has no signatures".to_owned()),
            Status::Undetermined => {
                self.unread.first().map(|unread| format!("{}: {}", unread.place, unread.problem))
            }
            Status::NotVerified => {
                let mut failed = self.entries.iter().filter(|entry| entry.kind.is_signature());
                let first = failed.find_map(|entry| entry.problem.clone());
                Some(first.unwrap_or_else(|| format!("{} different signers must have signed", asked.need)))
            }
        };
    }
}

impl Row {
    /// Takes the word of the report that it is verified, if signatures that hold and are not carried along can make it so.
    pub(super) fn verified_unseen(&mut self, written: &Self, judged: &[Option<Judged>], need: usize) -> bool {
        let signs = |entry: &Entry| entry.kind == Kind::Signature && entry.status == Validity::Valid;
        let unseen = self.entries.iter().zip(judged).any(|(entry, judged)| judged.is_none() && signs(entry));
        let enough = self.entries.iter().filter(|entry| signs(entry)).count() >= need;
        let taken = written.status == Status::Verified && self.status != Status::Verified && unseen && enough;
        if taken {
            (self.status, self.reason, self.coverage.signed) = (Status::Verified, None, Some(true));
        }
        taken
    }
}

impl Entry {
    /// What was judged of something at a place.
    pub(super) fn of(place: String, judged: &Judged, witnesses: Option<&Witnesses>) -> Self {
        let signed = judged.signed.as_ref();
        let problem = judged.failed().map(|check| match &check.outcome {
            Outcome::Failed(problem) => format!("{}: {problem}", check.name),
            Outcome::Passed | Outcome::Skipped(_) => check.name.to_owned(),
        });
        Self {
            uuid: signed.and_then(|signed| signed.entry).map(|entry| entry.leaf_hash.to_string()),
            timestamp: evidence(judged, "time").first().map(|(_, value)| value.clone()),
            status: if problem.is_none() { Validity::Valid } else { Validity::Invalid },
            problem,
            kind: kind(judged),
            predicate_type: judged.statement.as_ref().map(|statement| statement.predicate_type.clone()),
            signer: signed.map(|signed| SignedBy {
                subject: signed.identity.as_ref().map(|identity| identity.subject.clone()),
                issuer: signed.identity.as_ref().map(|identity| identity.issuer.clone()),
                key_sha256: sha256(&signed.spki).to_string(),
            }),
            logs: logged_in(judged, witnesses),
            place,
            evidence: None,
        }
    }
}

fn kind(judged: &Judged) -> Kind {
    let failed = |name| matches!(judged.check(name).map(|check| &check.outcome), Some(Outcome::Failed(_)));
    let Some(statement) = &judged.statement else {
        return if failed("shape") || failed("content") { Kind::Unreadable } else { Kind::Signature };
    };
    if statement.predicate_type == COSIGN_SIGN {
        return Kind::Signature;
    }
    let known = PredicateType::of(&statement.predicate_type);
    match known.and_then(|known| known.names.first()).copied() {
        Some("slsaprovenance" | "slsaprovenance02" | "slsaprovenance1") => Kind::Provenance,
        Some("spdx" | "spdxjson" | "cyclonedx") => Kind::Sbom,
        Some("openvex") => Kind::Vex,
        Some("vuln") => Kind::VulnerabilityScan,
        _ => Kind::Other,
    }
}

/// What a check saw, if it passed.
fn evidence<'j>(judged: &'j Judged, name: &str) -> &'j [(&'static str, String)] {
    let passed = judged.check(name).filter(|check| check.outcome == Outcome::Passed);
    passed.map_or(&[], |check| &check.evidence)
}

/// The entries of logs. One whose proof does not hold says nothing about its log.
fn logged_in(judged: &Judged, witnesses: Option<&Witnesses>) -> Vec<LoggedIn> {
    let inclusion = judged.check("inclusion").map(|check| &check.outcome);
    if matches!(inclusion, Some(Outcome::Failed(_)) | None) {
        return Vec::new();
    }
    let mut logs: Vec<LoggedIn> = Vec::new();
    for (name, value) in evidence(judged, "log") {
        if *name == "log id" {
            logs.push(LoggedIn { log_id: value.clone(), ..LoggedIn::default() });
        }
        let Some(log) = logs.last_mut() else { continue };
        match *name {
            "log index" => log.log_index.clone_from(value),
            "origin" => log.origin = Some(value.clone()),
            "tree size" => log.tree_size = value.parse().ok(),
            "root hash" => log.root_hash = Some(value.clone()),
            _ => {}
        }
    }
    // A proof that was not reached is none.
    if !matches!(inclusion, Some(Outcome::Passed)) {
        for log in &mut logs {
            (log.origin, log.tree_size, log.root_hash) = (None, None, None);
        }
        return logs;
    }
    // The heads are those of the entries that have one, in their order.
    for (log, head) in logs.iter_mut().filter(|log| log.origin.is_some()).zip(&judged.heads) {
        let Cosigned { witnessed_by, is_enough, forged, not_checked } = cosigned(head, witnesses);
        (log.witnessed_by, log.witnesses_enough) = (witnessed_by, is_enough);
        (log.forged, log.not_checked) = (forged, not_checked);
    }
    logs
}
