//! What is said of one image: every signature and statement that it has, and what they come to.

use std::collections::BTreeSet;

use bulla_claims::attestation::{COSIGN_SIGN, PredicateType};
use bulla_claims::judge::{Judged, Outcome, Verdict, verdict};
use bulla_tlog::note::Note;
use bulla_tlog::sha256;
use serde::{Deserialize, Serialize};
use sigstore_types::Bundle;

use super::evidence::Evidence;
use crate::verification::{Asked, Form, Unread};

/// One image. The first members of it and of [`Entry`] are those that were asked for by name; the others stand beside them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// As it was named.
    pub(crate) image_ref: String,
    /// What it was then; none if it could not be read.
    pub(crate) digest: Option<String>,
    /// Signatures and statements that were found.
    pub(crate) total_entries: usize,
    /// Those that hold.
    pub(crate) valid_entries: usize,
    /// Those that do not.
    pub(crate) invalid_entries: usize,
    /// Each of them.
    pub(crate) entries: Vec<Entry>,
    /// When they were judged.
    pub(crate) generated_at: String,
    /// What the signatures come to.
    pub(crate) status: Status,
    /// Why it is nothing better.
    pub(crate) reason: Option<String>,
    /// What it has.
    pub(crate) coverage: Coverage<Option<bool>>,
    /// What could not be read.
    pub(crate) unread: Vec<NotRead>,
    /// Who says what refers to the image: `api`, `tag`, `search`.
    pub(crate) listed_by: Option<String>,
    /// How many containers run it, and where the first of them are.
    pub(crate) uses: u64,
    /// `namespace/pod/container`.
    pub(crate) used_by: Vec<String>,
}

/// What all signatures of an image come to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Enough of those who must have signed did.
    Verified,
    /// There are signatures, and they are not enough.
    NotVerified,
    /// There is none.
    Unsigned,
    /// Nobody knows: not everything could be read.
    Undetermined,
}

impl Status {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NotVerified => "not-verified",
            Self::Unsigned => "unsigned",
            Self::Undetermined => "undetermined",
        }
    }
}

/// Something for each thing that an image should have.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Coverage<T> {
    /// Signed by enough of those who must have.
    pub(crate) signed: T,
    /// A statement of how it was built.
    pub(crate) provenance: T,
    /// A bill of materials.
    pub(crate) sbom: T,
    /// A statement of which vulnerabilities matter.
    pub(crate) vex: T,
    /// The result of a scan for vulnerabilities.
    pub(crate) vulnerability_scan: T,
}

impl<T> Coverage<T> {
    /// Each with its name for a person.
    pub(crate) fn each(&self) -> [(&'static str, &T); 5] {
        [
            ("signed", &self.signed),
            ("provenance", &self.provenance),
            ("SBOM", &self.sbom),
            ("VEX", &self.vex),
            ("vulnerability scan", &self.vulnerability_scan),
        ]
    }

    /// The same, to be changed.
    pub(crate) fn each_mut(&mut self) -> [&mut T; 5] {
        [&mut self.signed, &mut self.provenance, &mut self.sbom, &mut self.vex, &mut self.vulnerability_scan]
    }
}

/// One signature or statement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What a log finds it by: the hash of its leaf. None if it is in no log.
    pub(crate) uuid: Option<String>,
    /// When it was made, as a log or a timestamp authority saw it.
    pub(crate) timestamp: Option<String>,
    /// Whether it holds.
    pub(crate) status: Validity,
    /// Which check failed, and why.
    pub(crate) problem: Option<String>,
    /// What it is.
    pub(crate) kind: Kind,
    /// Of which type, if it is a statement.
    pub(crate) predicate_type: Option<String>,
    /// Who made it; of what does not hold it is a claim.
    pub(crate) signer: Option<SignedBy>,
    /// The logs that prove to have it.
    pub(crate) logs: Vec<LoggedIn>,
    /// Where it lies.
    pub(crate) place: String,
    /// What was judged. None if it was not wanted, or would have been too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Evidence>,
}

/// Whether something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Validity {
    /// Every check passed.
    Valid,
    /// One did not.
    Invalid,
}

/// What something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A signature of the image.
    Signature,
    /// SLSA provenance.
    Provenance,
    /// SPDX or `CycloneDX`.
    Sbom,
    /// `OpenVEX`.
    Vex,
    /// What a scanner found.
    VulnerabilityScan,
    /// Another statement.
    Other,
    /// It cannot be read.
    Unreadable,
}

impl Kind {
    /// Whether it is a signature of the image, or might be one.
    fn is_signature(self) -> bool {
        matches!(self, Self::Signature | Self::Unreadable)
    }
}

/// Who made a signature.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct SignedBy {
    /// The name in the certificate, and who vouched for it.
    pub(crate) subject: Option<String>,
    /// The URL of who vouched.
    pub(crate) issuer: Option<String>,
    /// The SHA-256 of the key.
    pub(crate) key_sha256: String,
}

/// An entry of a log, in whose tree it was proved to be.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LoggedIn {
    /// The log's ID.
    pub(crate) log_id: String,
    /// Where it is in the log.
    pub(crate) log_index: String,
    /// The first line of the checkpoint. None of these if the log only promised.
    pub(crate) origin: Option<String>,
    /// The size of the tree.
    pub(crate) tree_size: Option<u64>,
    /// Its root, base64.
    pub(crate) root_hash: Option<String>,
    /// Who else signed the checkpoint: names of witnesses, whose keys nobody here knows.
    pub(crate) cosigned_by: Vec<String>,
}

/// What could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NotRead {
    /// Where it would be.
    pub(crate) place: String,
    /// Why.
    pub(crate) problem: String,
}

impl From<&Unread> for NotRead {
    fn from(unread: &Unread) -> Self {
        Self { place: unread.place.clone(), problem: unread.problem.clone() }
    }
}

impl Row {
    /// Nothing is known of it but its name, and why.
    pub(super) fn unknown(image_ref: String, reason: String, generated_at: &str) -> Self {
        Self {
            image_ref,
            digest: None,
            total_entries: 0,
            valid_entries: 0,
            invalid_entries: 0,
            entries: Vec::new(),
            generated_at: generated_at.to_owned(),
            status: Status::Undetermined,
            reason: Some(reason),
            coverage: Coverage::default(),
            unread: Vec::new(),
            listed_by: None,
            uses: 0,
            used_by: Vec::new(),
        }
    }

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
    pub(super) fn of(place: String, judged: &Judged, form: &Form) -> Self {
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
            logs: logged_in(judged, form),
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
fn logged_in(judged: &Judged, form: &Form) -> Vec<LoggedIn> {
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
    for (log, cosigners) in logs.iter_mut().zip(cosigners(form)) {
        log.cosigned_by = cosigners;
    }
    logs
}

/// Who beside the log signed the checkpoint of each entry of a bundle.
fn cosigners(form: &Form) -> Vec<Vec<String>> {
    let Form::Bundle(bytes) = form else { return Vec::new() };
    let Ok(bundle) =
        std::str::from_utf8(bytes).map_err(drop).and_then(|text| Bundle::from_json(text).map_err(drop))
    else {
        return Vec::new();
    };
    let of_entry = |envelope: &str| {
        let Ok(note) = Note::parse(envelope) else { return Vec::new() };
        let origin = note.text.lines().next().unwrap_or_default();
        let own = origin.split_once(" - ").map_or(origin, |(host, _)| host);
        let others =
            note.signatures.iter().map(|line| &line.name).filter(|name| *name != own && *name != origin);
        others.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    };
    let entries = bundle.verification_material.tlog_entries.iter();
    let envelope = |entry: &sigstore_types::TransparencyLogEntry| {
        entry.inclusion_proof.as_ref().map(|proof| of_entry(proof.checkpoint.envelope()))
    };
    entries.map(|entry| envelope(entry).unwrap_or_default()).collect()
}
