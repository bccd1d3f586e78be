//! The judgement of a report by somebody who believes neither it nor its maker: every signature in it is judged again under
//! the reader's own trusted root, and everything that the report says follows from them or is found out. No one is asked.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;

use bulla_claims::judge::TrustedRoot;
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::asked::{self, AskedFor, Revoked};
use super::contents::{Broken, Contents, HEAD, MOST_FINDINGS};
use super::controls::{ABOUT, pointers};
use super::lookup::{self, ListedEntry};
use super::members;
use super::row::{Entry, LoggedIn, Row};
use super::stock::{Consistency, LogMet, Stock, Summary};
use super::witnesses::Witnesses;
use super::{SCHEMA, consistency};
use crate::verification::{Asked, Revocations};

/// Something that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// Which part of the report.
    pub(crate) member: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

impl From<Broken> for Finding {
    fn from(Broken { member, problem }: Broken) -> Self {
        Self { member, problem }
    }
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Recheck {
    /// What does not hold; at most a thousand.
    pub(crate) findings: Vec<Finding>,
    /// When the report was made.
    pub(crate) generated_at: String,
    /// On which terms.
    pub(crate) terms: Vec<String>,
    /// How many images it is about.
    pub(crate) images: u64,
    /// Signatures and statements that were judged again.
    pub(crate) judged: u64,
    /// Those that the report does not carry along.
    pub(crate) without_evidence: u64,
    /// Images that are verified only by what the report does not carry along; at most a thousand.
    unseen: Vec<String>,
    /// What should be known besides.
    pub(crate) notes: Vec<String>,
    /// What it comes to.
    pub(crate) summary: Option<Summary>,
    /// Of each log what the witnesses saw whom the reader believes.
    pub(crate) witnessed: BTreeMap<String, Witnessed>,
    lists: bool,
    /// The entries, if they were to be listed.
    pub(crate) listed: Vec<ListedEntry>,
}

/// What witnesses saw of a log.
#[derive(Default)]
pub(crate) struct Witnessed {
    /// Entries that are proved.
    pub(crate) entries: u64,
    /// Those whose checkpoint enough witnesses cosigned.
    pub(crate) enough: u64,
    /// By witness.
    pub(crate) by: BTreeMap<String, u64>,
}

/// Who judges a report again, and what they know.
pub(crate) struct Reader<'a> {
    /// Whom they believe, and the bytes that say it.
    pub(crate) root: (TrustedRoot, Vec<u8>),
    /// What they know to be revoked.
    pub(crate) revocations: &'a Revocations,
    /// The witnesses that they believe.
    pub(crate) witnesses: Option<&'a Witnesses>,
    /// When a trusted clock saw the report's own signature.
    pub(crate) signed: Option<Timestamp>,
    /// Unix seconds.
    pub(crate) now: u64,
    /// Whether the entries are to be listed, for who looks them up.
    pub(crate) lists: bool,
}

/// Judges a report again, as if it were the time that it says it was made, which must not be after now.
///
/// Beside the revocations that the report carries along, those that the reader knows of count: what no clock saw counts as signed
/// now towards them, for a report may say of any time that it was made then. It must not have been made long before a trusted
/// clock saw its own signature.
pub(crate) fn recheck(contents: &Contents, reader: Reader<'_>) -> io::Result<Recheck> {
    let Reader { root: own, revocations, witnesses: believed, signed, now, lists } = reader;
    let mut recheck = Recheck { lists, ..Recheck::default() };
    let head = match contents.head()? {
        Ok(head) => head,
        Err(broken) => {
            recheck.findings.push(broken.into());
            return Ok(recheck);
        }
    };
    let member =
        |name: &str| HEAD.iter().position(|known| *known == name).map_or(&Value::Null, |at| &head[at]);
    if member("schema") != SCHEMA {
        recheck.found("schema", format!("is {}, {SCHEMA:?} was expected", member("schema")));
        return Ok(recheck);
    }
    member("generated_at").as_str().unwrap_or_default().clone_into(&mut recheck.generated_at);
    let made = recheck.generated_at.parse::<Timestamp>().ok();
    let made = made.and_then(|time| u64::try_from(time.as_second()).ok());
    let Some(made) = made.filter(|made| *made <= now) else {
        recheck.found(
            "generated_at",
            format!("is {}, a time that has been was expected", member("generated_at")),
        );
        return Ok(recheck);
    };
    if let Some(signed) = signed.filter(|signed| signed.as_second() > seconds(made).saturating_add(A_DAY)) {
        let problem =
            format!("is {}, the report was signed more than a day later, {signed}", member("generated_at"));
        recheck.found("generated_at", problem);
    }
    if *member("about") != ABOUT {
        recheck.found("about", "is not what a report says of itself");
    }
    recheck.roots(member("trusted_root"), &own.1);
    let asked =
        serde_json::from_value::<AskedFor>(member("asked").clone()).map_err(|error| error.to_string());
    let revoked = serde_json::from_value::<Vec<Revoked>>(member("revocations").clone());
    let revoked = revoked.map_err(|error| format!("revocations: {error}"));
    let asked = asked.and_then(|asked| {
        let witnesses = asked.witnesses()?;
        Ok((asked.lines(), witnesses, asked.asked(own, &revoked?, made)?))
    });
    let (witnesses, asked) = match asked {
        // What is said of the revocations follows from them.
        Ok((_, _, asked)) if json!(asked::revocations(&asked)) != *member("revocations") => {
            recheck.found("revocations", "are not what the signed statements in them say");
            return Ok(recheck);
        }
        Ok((lines, witnesses, asked)) => {
            recheck.terms = lines;
            let again = json!(AskedFor::of(&asked, witnesses.as_ref()));
            if let Some(problem) = difference(member("asked"), &again, "asked") {
                recheck.found("asked", problem);
            }
            (witnesses, asked)
        }
        Err(problem) => {
            recheck.found("asked", problem);
            return Ok(recheck);
        }
    };
    let known = [(&asked.revocations, time(made)), (revocations, time(now))];
    if witnesses.is_some() && believed.is_none() {
        let note = "witnesses are those whose keys the report names; name those that you believe with --witness-policy";
        recheck.notes.push(note.to_owned());
    }
    let terms = Terms { asked: &asked, witnesses: witnesses.as_ref(), believed, known, now: made };
    let mut stock = Stock::default();
    let mut waiting: Vec<(usize, Row)> = Vec::new();
    let mut bytes = 0;
    let mut names = HashSet::new();
    contents.rows(|at, len, row| {
        match row {
            Ok(row) => {
                if !names.insert(sha256(row.image_ref.as_bytes())) {
                    recheck.found(format!("images[{at}] ({})", row.image_ref), "is there twice");
                }
                if row.generated_at != recheck.generated_at {
                    let problem = format!("generated_at is {:?}, not that of the report", row.generated_at);
                    recheck.found(format!("images[{at}] ({})", row.image_ref), problem);
                }
                waiting.push((at, row));
            }
            Err(Broken { member, problem }) => recheck.found(member, problem),
        }
        bytes += len;
        if waiting.len() >= AT_ONCE || bytes >= BYTES_AT_ONCE {
            recheck.rows(&std::mem::take(&mut waiting), terms, &mut stock);
            bytes = 0;
        }
        if recheck.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    recheck.rows(&waiting, terms, &mut stock);
    // What only some of the rows come to says nothing.
    if !recheck.is_full() {
        recheck.summary(stock.summary(), member);
    }
    Ok(recheck)
}

impl Recheck {
    fn found(&mut self, member: impl Into<String>, problem: impl Into<String>) {
        if !self.is_full() {
            self.findings.push(Finding { member: member.into(), problem: problem.into() });
        }
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= MOST_FINDINGS
    }

    /// The trusted root that is in the report is what its maker believed. That says something, and is not believed.
    fn roots(&mut self, written: &Value, own: &[u8]) {
        let json = written["json"].as_str().unwrap_or_default();
        let hash = sha256(json.as_bytes()).to_string();
        if written["sha256"] != hash {
            self.found("trusted_root", format!("has the SHA-256 {hash}, it says {}", written["sha256"]));
        } else if json.as_bytes() != own {
            let note = "the report was made under another trusted root than yours; yours is the one that counts here";
            self.notes.push(note.to_owned());
        }
    }

    /// Judges some rows again, on all cores, and counts them.
    fn rows(&mut self, rows: &[(usize, Row)], terms: Terms<'_>, stock: &mut Stock) {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = rows.len().div_ceil(cores).max(1);
        let mut again = Vec::with_capacity(rows.len());
        std::thread::scope(|scope| {
            let workers: Vec<_> = rows
                .chunks(share)
                .map(|rows| {
                    scope.spawn(move || {
                        rows.iter().map(|(at, row)| (*at, judged_again(row, terms))).collect::<Vec<_>>()
                    })
                })
                .collect();
            // A thread that panicked has judged nothing, which is a finding below: its rows are missing from the totals.
            again.extend(workers.into_iter().filter_map(|worker| worker.join().ok()).flatten());
        });
        for (at, again) in again {
            self.judged += again.judged;
            self.without_evidence += again.without;
            if again.unseen && self.unseen.len() < MOST_FINDINGS {
                self.unseen.push(again.row.image_ref.clone());
            }
            for problem in again.problems {
                self.found(format!("images[{at}] ({})", again.row.image_ref), problem);
            }
            for log in again.believed {
                self.witnessed(&log);
            }
            if self.lists {
                self.list(&format!("images[{at}]"), &again.row);
            }
            stock.add(&again.row);
        }
    }

    /// Counts what witnesses saw whom the reader believes.
    fn witnessed(&mut self, log: &LoggedIn) {
        let (Some(origin), Some(is_enough)) = (&log.origin, log.witnesses_enough) else { return };
        if self.witnessed.len() >= MOST_FINDINGS && !self.witnessed.contains_key(origin) {
            return;
        }
        let seen = self.witnessed.entry(origin.clone()).or_default();
        seen.entries += 1;
        seen.enough += u64::from(is_enough);
        for name in &log.witnessed_by {
            *seen.by.entry(name.clone()).or_default() += 1;
        }
    }

    /// Lists the entries of an image, and of its members.
    fn list(&mut self, member: &str, row: &Row) {
        for (at, entry) in row.entries.iter().enumerate() {
            let Some(uuid) = entry.uuid.as_deref().and_then(lookup::uuid) else { continue };
            let member = format!("{member}.entries[{at}] ({})", row.image_ref);
            let log_ids = entry.logs.iter().map(|log| log.log_id.clone()).collect();
            self.listed.push(ListedEntry { uuid, member, log_ids });
        }
        for (at, row) in row.members.iter().enumerate() {
            self.list(&format!("{member}.members[{at}]"), row);
        }
    }

    /// Compares what the rows come to with what the report says that they do.
    fn summary<'a>(&mut self, summary: Summary, member: impl Fn(&str) -> &'a Value) {
        let value = |value: Result<Value, serde_json::Error>| value.unwrap_or_default();
        let differs = [
            ("totals", value(serde_json::to_value(&summary.totals))),
            ("signers", value(serde_json::to_value(&summary.signers))),
        ];
        for (name, again) in differs {
            if let Some(problem) = difference(member(name), &again, name) {
                self.found(name, problem);
            }
        }
        let written: Vec<LogMet> = serde_json::from_value(member("logs").clone()).unwrap_or_default();
        if json!(written) != *member("logs") {
            self.found("logs", "are not written as those of a report are");
        }
        let without = |log: &LogMet| LogMet { consistency: Consistency::default(), ..log.clone() };
        let same = written.iter().map(without).eq(summary.logs.iter().map(without));
        if !same {
            self.found("logs", "are not those that the entries in the images are of");
        }
        for (at, log) in written.iter().enumerate() {
            let name = log.origin.as_deref().unwrap_or(&log.log_id);
            if let Err(problem) = consistency::recheck(log) {
                self.found(format!("logs[{at}] ({name})"), format!("consistency: {problem}"));
            }
            if let Some(problem) = &log.contradiction {
                self.notes.push(format!("the log {name} contradicts itself: {problem}"));
            }
        }
        if !self.unseen.is_empty() {
            let images = self.unseen.join(", ");
            let note = "verified only as the report says, by signatures that it does not carry along";
            self.notes.push(format!("{note}: {images}"));
        }
        let pointers = json!(pointers(&summary));
        if let Some(problem) = difference(member("controls"), &pointers, "controls") {
            self.found("controls", problem);
        }
        self.images = summary.totals.images;
        self.summary = Some(Summary { logs: written, ..summary });
    }
}

/// On which terms, with which revocations, and as if it were which time.
#[derive(Clone, Copy)]
struct Terms<'a> {
    asked: &'a Asked,
    /// The witnesses that the report names.
    witnesses: Option<&'a Witnesses>,
    /// Those that the reader believes.
    believed: Option<&'a Witnesses>,
    /// Each with the time that counts for what no clock saw.
    known: [(&'a Revocations, Timestamp); 2],
    now: u64,
}

struct Again {
    row: Row,
    judged: u64,
    without: u64,
    /// Whether it is verified only by what is not carried along.
    unseen: bool,
    problems: Vec<String>,
    /// What witnesses saw whom the reader believes.
    believed: Vec<LoggedIn>,
}

/// The row as the evidence in it has it.
fn judged_again(written: &Row, terms: Terms<'_>) -> Again {
    let Terms { asked, witnesses, believed, known, now } = terms;
    let mut again = Again {
        row: Row { members: Vec::new(), index: None, ..written.clone() },
        judged: 0,
        without: 0,
        unseen: false,
        problems: Vec::new(),
        believed: Vec::new(),
    };
    let named = written.image_ref.rsplit_once("@sha256:").map(|(_, hex)| format!("sha256:{hex}"));
    if let (Some(named), Some(digest)) = (named, &written.digest)
        && named != *digest
    {
        again.problems.push(format!("digest is {digest}, and not that of its name"));
    }
    let mut seen = HashSet::new();
    let twice = written.entries.iter().position(|entry| {
        entry.evidence.as_ref().is_some_and(|evidence| !seen.insert(evidence.id(&entry.place)))
    });
    if let Some(at) = twice {
        again.problems.push(format!("entries[{at}] is there twice"));
    }
    let hash = written.digest.as_deref().and_then(|digest| Hash::from_hex(digest.strip_prefix("sha256:")?));
    let mut judged = Vec::with_capacity(written.entries.len());
    for (at, entry) in again.row.entries.iter_mut().enumerate() {
        let Some(evidence) = entry.evidence.take() else {
            again.without += 1;
            judged.push(None);
            continue;
        };
        let (Some(hash), Ok(form)) = (&hash, evidence.form()) else {
            again.problems.push(format!(
                "entries[{at}] cannot be judged: its evidence or the image's digest is not readable"
            ));
            judged.push(None);
            continue;
        };
        let mut found = form.judge(hash, asked, now);
        for (known, time) in known {
            found.weigh_revocations(&known.known(), time);
        }
        // What a log was asked is not in the report. It can only have made things worse, and stays as it was written.
        let searched =
            entry.problem.take().filter(|problem| problem.starts_with(REVOKED) && found.verified());
        if let Some(problem) = &searched {
            found.revocations_unknown(problem);
        }
        if let Some(believed) = believed {
            again.believed.extend(Entry::of(String::new(), &found, Some(believed)).logs);
        }
        *entry = Entry::of(std::mem::take(&mut entry.place), &found, witnesses);
        entry.problem = searched.or(entry.problem.take());
        again.judged += 1;
        judged.push(Some(found));
    }
    if written.digest.is_some() {
        again.row.weigh(&judged, asked);
        again.unseen = again.row.verified_unseen(written, &judged, asked.need);
    } else {
        // Of an image that could not be read nothing is known but why.
        let Row { image_ref, reason, generated_at, uses, used_by, platform, .. } = written.clone();
        let unknown = Row::unknown(image_ref, reason.unwrap_or_default(), &generated_at);
        again.row = Row { uses, used_by, platform, ..unknown };
    }
    if let Some(problem) = written.index.as_ref().and_then(|index| members::recheck(written, index).err()) {
        again.problems.push(problem);
    }
    let mut written = Row { index: None, ..written.clone() };
    for (at, member) in std::mem::take(&mut written.members).iter().enumerate() {
        if !member.members.is_empty() || member.generated_at != written.generated_at {
            again.problems.push(format!("members[{at}] is not as members are written"));
        }
        // A member of a member is none, so this goes no deeper.
        let came = judged_again(&Row { members: Vec::new(), ..member.clone() }, terms);
        again.problems.extend(came.problems.iter().map(|problem| format!("members[{at}].{problem}")));
        again.judged += came.judged;
        again.without += came.without;
        again.believed.extend(came.believed);
        again.row.members.push(came.row);
    }
    written.entries.iter_mut().for_each(|entry| entry.evidence = None);
    let members = std::mem::take(&mut again.row.members);
    if written != again.row {
        let values = [&written, &again.row].map(|row| serde_json::to_value(row).unwrap_or_default());
        again.problems.extend(difference(&values[0], &values[1], ""));
    }
    again.row.members = members;
    again
}

fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn time(seconds_since: u64) -> Timestamp {
    Timestamp::from_second(seconds(seconds_since)).unwrap_or(Timestamp::MAX)
}

/// Where two values differ first: what was written, and what comes out.
fn difference(written: &Value, again: &Value, at: &str) -> Option<String> {
    match (written, again) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                difference(&written[name], &again[name], &at)
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let both = one.iter().zip(other).enumerate();
            both.into_iter().find_map(|(n, (one, other))| difference(one, other, &format!("{at}[{n}]")))
        }
        (one, other) if one == other => None,
        (one, other) => Some(format!("{at} is {}, judged again it is {}", short(one), short(other))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 200 {
        text
    } else {
        format!("{}…", text.chars().take(200).collect::<String>())
    }
}

/// How the problem of something that was revoked begins.
const REVOKED: &str = "revocation: ";
const A_DAY: i64 = 24 * 60 * 60;
const AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let (one, two) = (json!({"a": [1, {"b": "x"}], "c": 1}), json!({"a": [1, {"b": "y"}], "c": 2}));
        assert_eq!(difference(&one, &two, "").as_deref(), Some("a[1].b is \"x\", judged again it is \"y\""));
        assert_eq!(
            difference(&one, &json!({"a": [1], "c": 1}), "").expect("differs"),
            "a is [1,{\"b\":\"x\"}], judged again it is [1]"
        );
        assert_eq!(difference(&one, &one, ""), None);
        assert_eq!(
            difference(&json!({}), &json!({"d": true}), "").as_deref(),
            Some("d is null, judged again it is true")
        );
    }
}
