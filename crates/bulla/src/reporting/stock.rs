//! What all rows come to: how many images have what, who signed and when, and which logs were met. Small however many rows
//! there are.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::row::{Coverage, LoggedIn, Row, SignedBy, Status, Validity};

/// Everything that is counted, row by row.
#[derive(Default)]
pub(crate) struct Stock {
    totals: Totals,
    signers: BTreeMap<Who, Seen>,
    logs: BTreeMap<(String, Option<String>), Met>,
}

/// How many.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Totals {
    /// Of images.
    pub(crate) images: u64,
    /// By what their signatures come to.
    pub(crate) verified: u64,
    /// Likewise.
    pub(crate) not_verified: u64,
    /// Likewise.
    pub(crate) unsigned: u64,
    /// Likewise.
    pub(crate) undetermined: u64,
    /// Of signatures and statements.
    pub(crate) total_entries: u64,
    /// Those that hold.
    pub(crate) valid_entries: u64,
    /// Those that do not.
    pub(crate) invalid_entries: u64,
    /// Images that have each thing. An index has what is about itself; what its members have is no part of it.
    pub(crate) coverage: Coverage<Having>,
    /// What the members of indexes come to, none of which is counted above.
    pub(crate) members: MemberTotals,
    /// Signers that are not listed, because there are too many.
    pub(crate) signers_not_listed: u64,
}

/// How many members of indexes there are, and what they come to.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct MemberTotals {
    /// Those that were looked at.
    pub(crate) images: u64,
    /// By what their signatures come to.
    pub(crate) verified: u64,
    /// Likewise.
    pub(crate) not_verified: u64,
    /// Likewise.
    pub(crate) unsigned: u64,
    /// Likewise.
    pub(crate) undetermined: u64,
    /// Signatures and statements about them.
    pub(crate) total_entries: u64,
    /// Those that hold.
    pub(crate) valid_entries: u64,
    /// Those that do not.
    pub(crate) invalid_entries: u64,
}

/// Images that have something.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Having {
    /// They have it.
    pub(crate) yes: u64,
    /// They do not.
    pub(crate) no: u64,
    /// Nobody knows.
    pub(crate) undetermined: u64,
}

/// Somebody who signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct SignerSeen {
    /// The name in the certificates. None if a key signed.
    pub(crate) subject: Option<String>,
    /// Who vouched for it.
    pub(crate) issuer: Option<String>,
    /// The SHA-256 of the key, if a key signed: with certificates there is one for each signature.
    pub(crate) key_sha256: Option<String>,
    /// Signatures and statements that hold.
    pub(crate) valid_entries: u64,
    /// Images that have them, members of indexes among them.
    pub(crate) images: u64,
    /// When the first was made, as logs and timestamp authorities saw it.
    pub(crate) first_seen: Option<Timestamp>,
    /// The last.
    pub(crate) last_seen: Option<Timestamp>,
}

/// A log that was met.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogMet {
    /// Its ID.
    pub(crate) log_id: String,
    /// What it calls itself. None if it only promised.
    pub(crate) origin: Option<String>,
    /// Entries that were proved or promised.
    pub(crate) entries: u64,
    /// The smallest tree that was met.
    pub(crate) from: Option<Head>,
    /// The largest.
    pub(crate) to: Option<Head>,
    /// Different checkpoints that were met.
    pub(crate) checkpoints: usize,
    /// Two trees of one size with different roots: the log says different things to different people.
    pub(crate) contradiction: Option<String>,
    /// Witnesses whose cosignatures hold, and under how many of the entries.
    pub(crate) witnessed_by: BTreeMap<String, u64>,
    /// Entries whose checkpoint enough witnesses cosigned. None if nobody named witnesses.
    pub(crate) witnessed_entries: Option<u64>,
    /// Witnesses in whose name there are cosignatures that do not hold, and under how many of the entries.
    pub(crate) forged: BTreeMap<String, u64>,
    /// Other names on checkpoints, which are no witnesses that anybody named.
    pub(crate) not_checked: BTreeMap<String, u64>,
    /// Whether the largest tree continues the smallest; with the proof, which anybody can follow.
    #[serde(default)]
    pub(crate) consistency: Consistency,
}

/// A tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    /// How many entries it has.
    pub(crate) tree_size: u64,
    /// Its root, base64.
    pub(crate) root_hash: String,
}

/// Whether one tree continues another.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Consistency {
    /// `proved`, `one checkpoint`, `not asked`, `not proved`, `contradicted`.
    pub(crate) status: String,
    /// Hashes, base64.
    pub(crate) proof: Vec<String>,
    /// Why it is not proved.
    pub(crate) problem: Option<String>,
}

/// What there is to say when all rows are counted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) totals: Totals,
    pub(crate) signers: Vec<SignerSeen>,
    pub(crate) logs: Vec<LogMet>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Identity(String, String),
    Key(String),
}

#[derive(Default)]
struct Seen {
    entries: u64,
    images: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

#[derive(Default)]
struct Met {
    entries: u64,
    roots: BTreeMap<u64, String>,
    contradiction: Option<String>,
    witnessed_by: BTreeMap<String, u64>,
    witnessed_entries: Option<u64>,
    forged: BTreeMap<String, u64>,
    not_checked: BTreeMap<String, u64>,
}

impl Stock {
    /// Counts a row.
    pub(crate) fn add(&mut self, row: &Row) {
        let totals = &mut self.totals;
        totals.images += 1;
        *match row.status {
            Status::Verified => &mut totals.verified,
            Status::NotVerified => &mut totals.not_verified,
            Status::Unsigned => &mut totals.unsigned,
            Status::Undetermined => &mut totals.undetermined,
        } += 1;
        totals.total_entries += row.total_entries as u64;
        totals.valid_entries += row.valid_entries as u64;
        totals.invalid_entries += row.invalid_entries as u64;
        for (having, (_, has)) in totals.coverage.each_mut().into_iter().zip(row.coverage.each()) {
            *match has {
                Some(true) => &mut having.yes,
                Some(false) => &mut having.no,
                None => &mut having.undetermined,
            } += 1;
        }
        self.inventory(row);
        for member in &row.members {
            self.member(member);
        }
    }

    /// Counts a member of an index.
    fn member(&mut self, row: &Row) {
        let totals = &mut self.totals.members;
        totals.images += 1;
        *match row.status {
            Status::Verified => &mut totals.verified,
            Status::NotVerified => &mut totals.not_verified,
            Status::Unsigned => &mut totals.unsigned,
            Status::Undetermined => &mut totals.undetermined,
        } += 1;
        totals.total_entries += row.total_entries as u64;
        totals.valid_entries += row.valid_entries as u64;
        totals.invalid_entries += row.invalid_entries as u64;
        self.inventory(row);
    }

    /// Who signed, and which logs have it.
    fn inventory(&mut self, row: &Row) {
        let mut of_image = BTreeSet::new();
        for entry in &row.entries {
            entry.logs.iter().for_each(|log| self.met(log));
            let Some(signer) = entry.signer.as_ref().filter(|_| entry.status == Validity::Valid) else {
                continue;
            };
            self.signed(signer, entry.timestamp.as_deref(), of_image.insert(signer));
        }
    }

    fn signed(&mut self, signer: &SignedBy, timestamp: Option<&str>, is_first: bool) {
        let who = match (&signer.subject, &signer.issuer) {
            (Some(subject), Some(issuer)) => Who::Identity(subject.clone(), issuer.clone()),
            _ => Who::Key(signer.key_sha256.clone()),
        };
        if self.signers.len() >= MOST_SIGNERS && !self.signers.contains_key(&who) {
            self.totals.signers_not_listed += 1;
            return;
        }
        let seen = self.signers.entry(who).or_default();
        seen.entries += 1;
        seen.images += u64::from(is_first);
        if let Some(time) = timestamp.and_then(|text| text.parse().ok()) {
            seen.first = Some(seen.first.map_or(time, |first| first.min(time)));
            seen.last = Some(seen.last.map_or(time, |last| last.max(time)));
        }
    }

    fn met(&mut self, log: &LoggedIn) {
        let met = self.logs.entry((log.log_id.clone(), log.origin.clone())).or_default();
        met.entries += 1;
        for (names, counted) in [
            (&log.witnessed_by, &mut met.witnessed_by),
            (&log.forged, &mut met.forged),
            (&log.not_checked, &mut met.not_checked),
        ] {
            for name in names {
                if counted.len() < MOST_WITNESSES || counted.contains_key(name) {
                    *counted.entry(name.clone()).or_default() += 1;
                }
            }
        }
        if let Some(is_enough) = log.witnesses_enough {
            *met.witnessed_entries.get_or_insert_default() += u64::from(is_enough);
        }
        let (Some(size), Some(root)) = (log.tree_size, &log.root_hash) else { return };
        match met.roots.get(&size) {
            Some(known) if known != root => {
                let problem = format!("its tree of size {size} has the root {known}, and the root {root}");
                met.contradiction.get_or_insert(problem);
            }
            Some(_) => {}
            None => {
                met.roots.insert(size, root.clone());
                if met.roots.len() > MOST_CHECKPOINTS {
                    // The ends are what is told; one of those between is given up.
                    let between = met.roots.keys().nth(met.roots.len() / 2).copied();
                    between.map(|size| met.roots.remove(&size));
                }
            }
        }
    }

    /// What it all comes to.
    pub(crate) fn summary(self) -> Summary {
        let signers = self.signers.into_iter().map(|(who, seen)| {
            let (subject, issuer, key_sha256) = match who {
                Who::Identity(subject, issuer) => (Some(subject), Some(issuer), None),
                Who::Key(key) => (None, None, Some(key)),
            };
            SignerSeen {
                subject,
                issuer,
                key_sha256,
                valid_entries: seen.entries,
                images: seen.images,
                first_seen: seen.first,
                last_seen: seen.last,
            }
        });
        let logs = self.logs.into_iter().map(|((log_id, origin), met)| {
            let head = |(size, root): (&u64, &String)| Head { tree_size: *size, root_hash: root.clone() };
            let (from, to) = (met.roots.first_key_value().map(head), met.roots.last_key_value().map(head));
            let status = match (&met.contradiction, met.roots.len()) {
                (Some(_), _) => "contradicted",
                (None, 0) => "promised only",
                (None, 1) => "one checkpoint",
                (None, _) => "not asked",
            };
            LogMet {
                log_id,
                origin,
                entries: met.entries,
                from,
                to,
                checkpoints: met.roots.len(),
                contradiction: met.contradiction,
                witnessed_by: met.witnessed_by,
                witnessed_entries: met.witnessed_entries,
                forged: met.forged,
                not_checked: met.not_checked,
                consistency: Consistency { status: status.to_owned(), ..Consistency::default() },
            }
        });
        Summary { totals: self.totals, signers: signers.collect(), logs: logs.collect() }
    }
}

impl SignerSeen {
    /// For a person.
    pub(crate) fn name(&self) -> String {
        match (&self.subject, &self.issuer, &self.key_sha256) {
            (Some(subject), Some(issuer), _) => format!("{subject} ({issuer})"),
            (_, _, Some(key)) => format!("key {}", key.get(..16).unwrap_or(key)),
            _ => "unknown".to_owned(),
        }
    }
}

const MOST_SIGNERS: usize = 10_000;
const MOST_WITNESSES: usize = 100;
const MOST_CHECKPOINTS: usize = 100_000;
