//! Small stories of one tag, six bytes an entry: what holds is one chain in which an enforced tag moves by approval alone, in
//! whatever order the entries come, and whoever logs them again changes nothing.
#![no_main]

use bulla_claims::tag::{Approval, Finding, History, Logged, Moving, Record, Rule, Said, TagName};
use bulla_tlog::sha256;
use jiff::Timestamp;

const RULES: [Rule; 4] = [Rule::Enforce, Rule::Warn, Rule::Observe, Rule::Moving];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (entries, _) = bytes.as_chunks::<6>();
    let story: Vec<Logged> = entries.iter().take(24).enumerate().map(|(n, entry)| read(n, entry)).collect();
    let history = History::of(story.clone());
    assert_eq!(history.steps().len(), story.len());
    chain(&history);

    let mut turned = story.clone();
    turned.reverse();
    assert_eq!(History::of(turned), history);

    let again = story.iter().map(|one| Logged { index: one.index + 1000, ..one.clone() });
    let twice = History::of(story.iter().cloned().chain(again).collect());
    assert_eq!(twice.current(), history.current());
    assert_eq!(&twice.steps()[..story.len()], history.steps());
    assert!(twice.steps()[story.len()..].iter().all(|step| matches!(step.finding, Finding::Copy(_))));
});

/// Told anew: each record that holds names the last one that did.
fn chain(history: &History) {
    let moving = Moving::new([]).expect("no patterns");
    let mut last: Option<(u64, &Record)> = None;
    for step in history.steps() {
        let Said::Record(record) = &step.logged.said else {
            assert!(!step.finding.holds());
            continue;
        };
        let is_fault = history.faults(&moving).any(|fault| fault.logged.index == step.logged.index);
        if step.finding.holds() {
            assert_eq!(record.previous, last.map(|(index, _)| index));
            let moved = last.is_some_and(|(_, before)| before.digest != record.digest);
            match step.finding {
                Finding::First => assert!(last.is_none()),
                Finding::Same => assert!(!moved),
                Finding::Approved(by) => {
                    assert!(moved && record.approval == Some(by) && by < step.logged.index);
                    let approval = history.steps().iter().find(|step| step.logged.index == by);
                    let approval = approval.expect("is there");
                    assert_eq!(approval.finding, Finding::Used(step.logged.index));
                    let Said::Approval(approval) = &approval.logged.said else { panic!("it is none") };
                    assert!(approval.allows(record.previous, &record.digest, step.logged.at));
                }
                Finding::Unapproved(rule) => assert!(moved && rule != Rule::Enforce && is_fault),
                _ => panic!("it does not hold"),
            }
            last = Some((step.logged.index, record));
        } else if let Some((_, current)) = last.filter(|(_, current)| current.digest != record.digest) {
            let is_copy = matches!(step.finding, Finding::Copy(_));
            assert!(is_copy || is_fault, "{:?} beside {}", step.finding, current.digest);
        }
    }
    assert_eq!(history.current(), last);
}

/// What, where to, after which, by which approval, by which rule or how long, and by whose clock.
fn read(n: usize, [what, to, previous, approval, rule, seen]: &[u8; 6]) -> Logged {
    let tag = TagName::parse("docker.io/library/alpine:3.20").expect("a name");
    let (to, at) = (sha256(&[to % 4]), 1000 + n as i64);
    let index = |byte: u8| (byte < 32).then_some(u64::from(byte));
    let said = if what % 2 == 0 {
        Said::Record(Record {
            tag,
            digest: to,
            media_type: "m".to_owned(),
            seen: Timestamp::from_second(i64::from(*seen)).expect("a time"),
            upstream: "u".to_owned(),
            rule: RULES[usize::from(rule % 4)],
            previous: index(*previous),
            approval: index(*approval),
        })
    } else {
        let until = Timestamp::from_second(990 + i64::from(rule % 64)).expect("a time");
        let reason = format!("reason {seen}");
        Said::Approval(Approval { tag, to, after: index(*previous), reason, until })
    };
    let statement = match &said {
        Said::Record(record) => record.statement(),
        Said::Approval(approval) => approval.statement(),
    };
    Logged { index: n as u64, at, payload: sha256(&statement.expect("is written")), said }
}
