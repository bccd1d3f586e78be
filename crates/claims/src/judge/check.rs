//! What was checked and what came of it.

use std::fmt;

use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;

use crate::attestation::Statement;
use crate::identity::{Identity, LoggedAs, Signer};
use crate::keys::{Material, pem, public_key_pem};
use crate::pki::x509::PublicKey;

/// One step of a judgement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Which, one of [`Check::NAMES`].
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// What was seen: names and values, for people and for records.
    pub evidence: Vec<(&'static str, String)>,
}

/// What came of a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not, and why.
    Failed(String),
    /// It was not made, and why.
    Skipped(String),
}

impl Check {
    /// All checks, in the order in which they are told.
    pub const NAMES: [&'static str; 16] = [
        SHAPE,
        KEY,
        CONTENT,
        IDENTITY,
        PROFILE,
        LOG,
        BINDING,
        TIME,
        CERTIFICATE,
        SCT,
        INCLUSION,
        PROMISE,
        SIGNATURE,
        ARTIFACT,
        CONSISTENCY,
        REVOCATION,
    ];
}

/// Sizes, JSON, versions, counts: whether it can be read in one way only.
pub(super) const SHAPE: &str = "shape";
/// Whether there is a key or a certificate of the kind that was asked for.
pub(super) const KEY: &str = "key";
/// Whether what is signed says what was asked for.
pub(super) const CONTENT: &str = "content";
/// Whether the certificate names who was asked for.
pub(super) const IDENTITY: &str = "identity";
/// Whether the certificate is for signing code, and is no authority's.
pub(super) const PROFILE: &str = "profile";
/// Whether each entry is of a trusted log, whose own key signed its checkpoint.
pub(super) const LOG: &str = "log";
/// Whether each entry is about this signature, by this key, over this content.
pub(super) const BINDING: &str = "binding";
/// Whether a trusted clock saw the signature, and none saw it outside its time.
pub(super) const TIME: &str = "time";
/// Whether the certificate was issued by a trusted authority and valid at each of these times.
pub(super) const CERTIFICATE: &str = "certificate";
/// Whether the certificate is promised to a trusted certificate transparency log.
pub(super) const SCT: &str = "sct";
/// Whether each entry is in the tree of its checkpoint.
pub(super) const INCLUSION: &str = "inclusion";
/// Whether the promises of logs that take an entry at a time are theirs.
pub(super) const PROMISE: &str = "promise";
/// Whether the signature is that key's.
pub(super) const SIGNATURE: &str = "signature";
/// Whether it is over the artifact.
pub(super) const ARTIFACT: &str = "artifact";

/// Whether the log that has each entry keeps to what else is known of its past.
pub(super) const CONSISTENCY: &str = "consistency";
/// Whether somebody who may took it back.
pub(super) const REVOCATION: &str = "revocation";

/// What was judged of one signature.
#[derive(Clone, PartialEq, Debug)]
pub struct Judged {
    /// All of [`Check::NAMES`], in that order.
    pub checks: Vec<Check>,
    /// Who signed. Of a signature that is not verified this is what it claims.
    pub signed: Option<Signed>,
    /// The statement that is signed, if it is one.
    pub statement: Option<Statement>,
    /// When trusted clocks saw the signature. None if no clock did, or if it was not reached.
    pub times: Vec<Timestamp>,
    /// The heads of logs that its entries are proved in.
    pub heads: Vec<LogHead>,
}

/// The head of a log's tree, signed by the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogHead {
    /// The log's ID.
    pub log_id: Vec<u8>,
    /// What the log calls the tree.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The note that says so.
    pub note: String,
}

/// By whom something was signed, and where that is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signed {
    /// The public key, DER `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// Whom the certificate names.
    pub identity: Option<Identity>,
    /// The first entry of a log.
    pub entry: Option<LoggedAs>,
    /// The entries after it.
    pub more_entries: Vec<LoggedAs>,
}

impl Signed {
    /// The same, lent.
    pub fn signer(&self) -> Signer<'_> {
        Signer { spki: &self.spki, identity: self.identity.as_ref(), entry: self.entry }
    }
}

impl Signed {
    /// Who a signature would be by, if it holds: what its certificate or key says, judged by nobody.
    pub fn claimed(material: &Material) -> Option<Self> {
        let (pem, identity) = match material {
            Material::Certificate(der) => (pem("CERTIFICATE", der), Identity::from_certificate(der).ok()),
            Material::PublicKey(spki) => (public_key_pem(spki), None),
        };
        let key = PublicKey::parse(pem.as_bytes()).ok()?;
        Some(Self { spki: key.spki().to_vec(), identity, entry: None, more_entries: Vec::new() })
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.identity {
            Some(identity) => identity.fmt(f),
            None => write!(f, "the key of sha256 {}", sha256(&self.spki)),
        }
    }
}

impl Judged {
    /// Whether everything that had to hold does.
    pub fn verified(&self) -> bool {
        self.checks.iter().all(|check| !matches!(check.outcome, Outcome::Failed(_)))
    }

    /// The check that failed first.
    pub fn failed(&self) -> Option<&Check> {
        self.checks.iter().find(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// Notes what came of comparing the heads with what else is known of their logs.
    pub fn weigh_consistency(&mut self, outcome: Outcome, evidence: Vec<(&'static str, String)>) {
        self.put(Check { name: CONSISTENCY, outcome, evidence });
    }

    /// Notes that an entry is not in the tree, or that this is not known.
    pub fn weigh_inclusion(&mut self, outcome: Outcome) {
        self.put(Check { name: INCLUSION, outcome, evidence: Vec::new() });
    }

    /// Puts what came of one of the checks that are made after the others. A signature that is not verified stays as it was.
    pub(super) fn put(&mut self, check: Check) {
        if self.verified()
            && let Some(made) = self.checks.iter_mut().find(|made| made.name == check.name)
        {
            *made = check;
        }
    }

    /// What came of one check.
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// Checks as they are made. One that nobody made is skipped, and the first failure is why.
#[derive(Default)]
pub(super) struct Checks {
    made: Vec<Check>,
}

impl Checks {
    /// Notes what came of a check. A failure stays one, whatever is noted later.
    pub(super) fn note(&mut self, name: &'static str, came: Result<Vec<(&'static str, String)>, String>) {
        let (outcome, evidence) = match came {
            Ok(evidence) => (Outcome::Passed, evidence),
            Err(problem) => (Outcome::Failed(problem), Vec::new()),
        };
        self.put(Check { name, outcome, evidence });
    }

    /// Notes that a check does not apply.
    pub(super) fn skip(&mut self, name: &'static str, why: &str) {
        self.put(Check { name, outcome: Outcome::Skipped(why.to_owned()), evidence: Vec::new() });
    }

    fn put(&mut self, check: Check) {
        match self.made.iter_mut().find(|made| made.name == check.name) {
            Some(made) if matches!(made.outcome, Outcome::Failed(_)) => {}
            Some(made) => {
                let mut evidence = std::mem::take(&mut made.evidence);
                evidence.extend(check.evidence);
                *made = Check { evidence, ..check };
            }
            None => self.made.push(check),
        }
    }

    /// All of them, in their order. If a check is missing and none failed, nothing was judged, which is a failure.
    pub(super) fn finish(mut self, signed: Option<Signed>, statement: Option<Statement>) -> Judged {
        let first = Check::NAMES.iter().find(|name| {
            self.made.iter().any(|check| check.name == **name && matches!(check.outcome, Outcome::Failed(_)))
        });
        let checks = Check::NAMES.iter().map(|name| {
            let made =
                self.made.iter().position(|check| check.name == *name).map(|at| self.made.swap_remove(at));
            made.unwrap_or_else(|| Check {
                name,
                outcome: match first {
                    Some(first) => Outcome::Skipped(format!("not reached, {first} failed")),
                    None if *name == CONSISTENCY => {
                        Outcome::Skipped("nothing else is known of the log".to_owned())
                    }
                    None if *name == REVOCATION => {
                        Outcome::Skipped("no revocations were looked at".to_owned())
                    }
                    None => Outcome::Failed("was not made".to_owned()),
                },
                evidence: Vec::new(),
            })
        });
        Judged { checks: checks.collect(), signed, statement, times: Vec::new(), heads: Vec::new() }
    }
}
