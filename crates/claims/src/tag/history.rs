//! Which of the records of a tag hold. The log gives them their order, and each names the one before it, so the rule is short:
//!
//! - a record holds if it names the record that holds when it comes; the first names none;
//! - it may point to another digest if it names an approval that allows that, or says by its rule that nobody was asked;
//! - any other is void, whoever signed it: a second history beside the first, or a move that nobody approved.
//!
//! Whoever applies the rule to the same log comes to the same history, whichever proxy recorded what. That a log shows all of its
//! records is another question: only who reads every leaf knows it.

use bulla_tlog::Hash;

use super::{Approval, Moving, Record, Rule, SECONDS_LEFT};

/// What somebody who may said about a tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A proxy saw it.
    Record(Record),
    /// It may move.
    Approval(Approval),
}

/// The same, and where it is in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    /// Its index, across all shards.
    pub index: u64,
    /// When it was integrated, in Unix seconds.
    pub at: i64,
    /// SHA-256 of what was signed: the same statement can be in a log more than once, whoever put it there.
    pub payload: Hash,
    /// What it says.
    pub said: Said,
}

/// An entry and what comes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The entry.
    pub logged: Logged,
    /// What comes of it.
    pub finding: Finding,
}

/// What an entry of a tag comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The first record.
    First,
    /// It says again what the record before said.
    Same,
    /// The tag moved, as the approval at that index allows.
    Approved(u64),
    /// The tag moved and nobody was asked, as the rule in the record has it.
    Unapproved(Rule),
    /// Void: the tag moved, and no approval that there is allows that.
    NotApproved,
    /// Void: it does not follow the record that held, which is at that index, and points elsewhere.
    Forked(u64),
    /// Void, and harmless: it does not follow the record that held, but says the same.
    Beside(u64),
    /// The very statement that is at that index already.
    Copy(u64),
    /// An approval that no record has used yet.
    Unused,
    /// An approval that the record at that index used.
    Used(u64),
}

impl Finding {
    /// Whether the record holds.
    pub fn holds(self) -> bool {
        matches!(self, Self::First | Self::Same | Self::Approved(_) | Self::Unapproved(_))
    }
}

/// Everything of one tag that those who may have said, in the order of the log.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct History {
    steps: Vec<Step>,
    current: Option<usize>,
}

impl History {
    /// Judges what was logged of one tag. It may come in any order.
    pub fn of(mut logged: Vec<Logged>) -> Self {
        logged.sort_by_key(|logged| logged.index);
        logged.dedup_by_key(|logged| logged.index);
        let mut history = Self::default();
        for logged in logged {
            let finding = history.judge(&logged);
            if let Finding::Approved(by) = finding
                && let Some(approval) = history.steps.iter_mut().find(|step| step.logged.index == by)
            {
                approval.finding = Finding::Used(logged.index);
            }
            if finding.holds() {
                history.current = Some(history.steps.len());
            }
            history.steps.push(Step { logged, finding });
        }
        history
    }

    fn judge(&self, logged: &Logged) -> Finding {
        if let Some(first) = self.steps.iter().find(|step| step.logged.payload == logged.payload) {
            return Finding::Copy(first.logged.index);
        }
        let record = match &logged.said {
            Said::Approval(_) => return Finding::Unused,
            Said::Record(record) => record,
        };
        let Some((index, current)) = self.current() else {
            // Before there is a record there is nothing that one could follow.
            return if record.previous.is_none() { Finding::First } else { Finding::NotApproved };
        };
        let same = record.digest == current.digest;
        if record.previous != Some(index) {
            return if same { Finding::Beside(index) } else { Finding::Forked(index) };
        }
        if same {
            return Finding::Same;
        }
        match (record.approval, record.rule) {
            (Some(by), _) if self.allows(by, record, logged.at) => Finding::Approved(by),
            (Some(_), _) | (None, Rule::Enforce) => Finding::NotApproved,
            (None, rule) => Finding::Unapproved(rule),
        }
    }

    /// Whether the approval at that index allows a record that was logged then. Approvals come before what they allow.
    fn allows(&self, index: u64, record: &Record, at: i64) -> bool {
        self.approvals()
            .any(|(of, approval)| of == index && approval.allows(record.previous, &record.digest, at))
    }

    fn approvals(&self) -> impl Iterator<Item = (u64, &Approval)> {
        self.steps.iter().filter_map(|step| match &step.logged.said {
            Said::Approval(approval) if !matches!(step.finding, Finding::Copy(_)) => {
                Some((step.logged.index, approval))
            }
            _ => None,
        })
    }

    /// Everything, in the order of the log.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The record that holds, and its index.
    pub fn current(&self) -> Option<(u64, &Record)> {
        self.current.and_then(|at| self.record(at))
    }

    /// The first record, and its index.
    pub fn first(&self) -> Option<(u64, &Record)> {
        self.steps.iter().position(|step| step.finding == Finding::First).and_then(|at| self.record(at))
    }

    fn record(&self, at: usize) -> Option<(u64, &Record)> {
        let Logged { index, said: Said::Record(record), .. } = &self.steps.get(at)?.logged else {
            return None;
        };
        Some((*index, record))
    }

    /// The approval that allows the tag to move there now (Unix seconds), with time enough left for the record to be logged. One
    /// that a record has named in vain is not named again: whoever asks has another clock than the log.
    pub fn approval_for(&self, to: &Hash, now: i64) -> Option<u64> {
        let after = self.current().map(|(index, _)| index);
        let in_vain = |index: u64| {
            self.steps.iter().any(|step| match &step.logged.said {
                Said::Record(record) => {
                    record.approval == Some(index) && step.finding == Finding::NotApproved
                }
                Said::Approval(_) => false,
            })
        };
        self.approvals()
            .filter(|(_, approval)| approval.allows(after, to, now.saturating_add(SECONDS_LEFT)))
            .map(|(index, _)| index)
            .find(|index| !in_vain(*index))
    }

    /// Whether everything that was logged is of one history in which the tag moved by approval, or by design.
    pub fn is_sound(&self, moving: &Moving) -> bool {
        self.faults(moving).next().is_none()
    }

    /// What is not.
    pub fn faults<'a>(&'a self, moving: &'a Moving) -> impl Iterator<Item = &'a Step> {
        self.steps.iter().filter(|step| match (&step.logged.said, step.finding) {
            (_, Finding::NotApproved | Finding::Forked(_)) => true,
            (Said::Record(record), Finding::Unapproved(_)) => !moving.has(record.tag.tag()),
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use bulla_tlog::sha256;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::TagName;
    use super::*;

    fn tag() -> TagName {
        TagName::parse("docker.io/library/alpine:3.20").expect("a name")
    }

    fn record(digest: &[u8], previous: Option<u64>) -> Record {
        Record {
            tag: tag(),
            digest: sha256(digest),
            media_type: "application/json".to_owned(),
            seen: Timestamp::UNIX_EPOCH,
            upstream: "https://r.example".to_owned(),
            rule: Rule::Enforce,
            previous,
            approval: None,
        }
    }

    fn approval(to: &[u8], after: Option<u64>, until: i64) -> Approval {
        let until = Timestamp::from_second(until).expect("a time");
        Approval { tag: tag(), to: sha256(to), after, reason: "x".to_owned(), until }
    }

    /// At its place in the list, a second later each.
    fn logged(said: Vec<Said>) -> Vec<Logged> {
        let one = |(index, said): (u64, Said)| {
            let payload = match &said {
                Said::Record(record) => record.statement(),
                Said::Approval(approval) => approval.statement(),
            };
            let payload = sha256(&payload.expect("is written"));
            Logged { index, at: 1000 + index.cast_signed(), payload, said }
        };
        (0..).zip(said).map(one).collect()
    }

    fn findings(said: Vec<Said>) -> Vec<Finding> {
        History::of(logged(said)).steps().iter().map(|step| step.finding).collect()
    }

    fn seen(digest: &[u8], previous: Option<u64>) -> Said {
        Said::Record(record(digest, previous))
    }

    fn by(digest: &[u8], previous: u64, approval: u64) -> Said {
        Said::Record(Record { approval: Some(approval), ..record(digest, Some(previous)) })
    }

    #[test]
    fn a_tag_moves_by_approval_and_each_serves_once() {
        use Finding::{Approved, First, NotApproved, Unused, Used};
        let to = |to: &[u8], after| Said::Approval(approval(to, Some(after), 5000));
        let story = vec![seen(b"a", None), to(b"b", 0), by(b"b", 0, 1), to(b"a", 2), by(b"a", 2, 3)];
        assert_eq!(findings(story.clone()), [First, Used(2), Approved(1), Used(4), Approved(3)]);
        // Back at the first digest, the first approval does not serve again.
        let again = [story, vec![by(b"b", 4, 1)]].concat();
        assert_eq!(findings(again)[5], NotApproved);
        assert_eq!(
            findings(vec![seen(b"a", None), by(b"b", 0, 2), to(b"b", 0)]),
            [First, NotApproved, Unused]
        );
        let late = Said::Approval(approval(b"b", Some(0), 1001));
        assert_eq!(
            findings(vec![seen(b"a", None), late, by(b"b", 0, 1)])[2],
            NotApproved,
            "a second too late"
        );
        assert_eq!(
            findings(vec![seen(b"a", None), to(b"c", 0), by(b"b", 0, 1)])[2],
            NotApproved,
            "elsewhere"
        );
        assert_eq!(findings(vec![seen(b"a", None), seen(b"b", Some(0))])[1], NotApproved, "without any");
    }

    #[test]
    fn a_second_history_is_void_and_shows() {
        use Finding::{Beside, First, Forked, NotApproved, Same};
        assert_eq!(findings(vec![seen(b"a", None), seen(b"b", None)]), [First, Forked(0)]);
        let later = Record { seen: Timestamp::MAX, ..record(b"a", None) };
        assert_eq!(findings(vec![seen(b"a", None), Said::Record(later.clone())]), [First, Beside(0)]);
        let later = Said::Record(Record { previous: Some(0), ..later });
        let story = vec![seen(b"a", None), later, seen(b"b", Some(0))];
        assert_eq!(findings(story), [First, Same, Forked(1)]);
        assert_eq!(findings(vec![seen(b"a", Some(7))]), [NotApproved], "what it follows is not there");
    }

    #[test]
    fn who_logs_again_what_others_signed_changes_nothing() {
        let said = vec![seen(b"a", None), Said::Approval(approval(b"b", Some(0), 5000)), by(b"b", 0, 1)];
        let mut all = logged(said);
        let copies: Vec<_> = all.iter().map(|one| Logged { index: one.index + 10, ..one.clone() }).collect();
        let before = History::of(all.clone()).current().map(|(index, _)| index);
        all.extend(copies);
        all.reverse();
        let history = History::of(all);
        assert_eq!(history.current().map(|(index, _)| index), before);
        let copies: Vec<_> = history.steps()[3..].iter().map(|step| step.finding).collect();
        assert_eq!(copies, [Finding::Copy(0), Finding::Copy(1), Finding::Copy(2)]);
        let moving = Moving::new([]).expect("patterns");
        assert!(history.is_sound(&moving));
        assert_eq!(
            history.approval_for(&sha256(b"b"), 0),
            None,
            "the copy of an approval serves no more than it"
        );
    }

    #[test]
    fn a_move_that_nobody_approved_is_a_fault_unless_the_tag_moves_by_design() {
        let moved = Said::Record(Record { rule: Rule::Moving, ..record(b"b", Some(0)) });
        let history = History::of(logged(vec![seen(b"a", None), moved]));
        assert_eq!(history.steps()[1].finding, Finding::Unapproved(Rule::Moving));
        assert_eq!(history.current().expect("one").0, 1);
        // What the proxy calls moving is not what whoever checks does.
        assert!(!history.is_sound(&Moving::new(Moving::DEFAULT).expect("patterns")));
        assert!(history.is_sound(&Moving::new(["3.*"]).expect("patterns")));
        assert_eq!(history.first().expect("one").0, 0);
    }

    #[test]
    fn an_approval_is_taken_with_time_to_spare() {
        let until = 5000;
        let said = vec![seen(b"a", None), Said::Approval(approval(b"b", Some(0), until))];
        let history = History::of(logged(said));
        let b = sha256(b"b");
        assert_eq!(history.approval_for(&b, until - SECONDS_LEFT), Some(1));
        assert_eq!(history.approval_for(&b, until - SECONDS_LEFT + 1), None);
        assert_eq!(history.approval_for(&sha256(b"c"), 0), None);
        let late = vec![seen(b"a", None), Said::Approval(approval(b"b", Some(0), 1001)), by(b"b", 0, 1)];
        assert_eq!(History::of(logged(late)).approval_for(&b, 0), None, "it was named in vain");
        let ahead = History::of(logged(vec![Said::Approval(approval(b"b", None, until))]));
        assert_eq!(ahead.approval_for(&b, 0), Some(0), "before there is a record");
    }

    fn any_said() -> impl Strategy<Value = Said> {
        let index = proptest::option::of(0..8_u64);
        let record = (0..3_u8, index.clone(), index.clone(), 0..4_usize, 0..5_i64).prop_map(
            |(digest, previous, approval, rule, seen)| {
                let seen = Timestamp::from_second(seen).expect("a time");
                Said::Record(Record { approval, rule: Rule::ALL[rule], seen, ..record(&[digest], previous) })
            },
        );
        let approval = (0..3_u8, index, 995..1012_i64)
            .prop_map(|(to, after, until)| Said::Approval(approval(&[to], after, until)));
        prop_oneof![record, approval]
    }

    proptest! {
        /// Told anew and slowly: each record that holds follows the last that did.
        #[test]
        fn what_holds_is_one_chain(said in proptest::collection::vec(any_said(), 0..9)) {
            let history = History::of(logged(said));
            let mut last: Option<(u64, Record)> = None;
            for step in history.steps() {
                let Said::Record(record) = &step.logged.said else { continue };
                if !step.finding.holds() { continue }
                prop_assert_eq!(record.previous, last.as_ref().map(|(index, _)| *index));
                if let Some((_, before)) = &last && before.digest != record.digest && record.rule == Rule::Enforce {
                    let by = record.approval.expect("it names one");
                    let approval = history.steps().iter().find(|step| step.logged.index == by).expect("is there");
                    let Said::Approval(approval) = &approval.logged.said else { panic!("it is none") };
                    prop_assert!(by < step.logged.index && approval.to == record.digest);
                    prop_assert!(step.logged.at <= approval.until.as_second());
                }
                last = Some((step.logged.index, record.clone()));
            }
            prop_assert_eq!(history.current().map(|(index, _)| index), last.map(|(index, _)| index));
        }
    }
}
