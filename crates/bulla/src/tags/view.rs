//! A history for people, and for programs.

use std::fmt::Write as _;

use bulla_claims::tag::{Finding, History, Logged, Moving, Said, Step, TagName};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::text::printable;

/// A history and what it is judged by.
pub(crate) struct View<'a> {
    pub(crate) tag: &'a TagName,
    pub(crate) history: &'a History,
    pub(crate) moving: &'a Moving,
    /// How many leaves were read, if all were.
    pub(crate) walked: Option<u64>,
}

impl View<'_> {
    /// Lines.
    pub(crate) fn human(&self) -> String {
        let mut lines = format!("{}\n", self.tag);
        for step in self.history.steps() {
            lines.push_str(&line(step));
        }
        let known = match (self.history.current(), self.walked) {
            (Some((index, record)), _) => {
                format!("It points to sha256:{}, by record {index}.", record.digest)
            }
            (None, Some(_)) => "It was never recorded.".to_owned(),
            (None, None) => {
                "The log's search shows no record of it; --all does not believe the search.".to_owned()
            }
        };
        writeln!(lines, "{known}").unwrap_or_default();
        if let Some(leaves) = self.walked {
            writeln!(lines, "All {leaves} leaves under the heads that the log shows were read.")
                .unwrap_or_default();
        }
        let faults = self.history.faults(self.moving).count();
        if faults > 0 {
            let what = if faults == 1 { "entry is" } else { "entries are" };
            writeln!(lines, "{faults} {what} not of one history in which the tag moved by approval.")
                .unwrap_or_default();
        }
        lines
    }

    /// One object.
    pub(crate) fn machine(&self) -> Value {
        let current = self
            .history
            .current()
            .map(|(index, record)| json!({ "index": index, "digest": format!("sha256:{}", record.digest) }));
        let first = self.history.first().map(|(index, record)| {
            json!({ "index": index, "digest": format!("sha256:{}", record.digest), "seen": record.seen.to_string() })
        });
        json!({
            "tag": self.tag.as_str(),
            "current": current,
            "first": first,
            "sound": self.history.is_sound(self.moving),
            "leavesRead": self.walked,
            "steps": self.history.steps().iter().map(|step| machine(step, self.moving, self.history)).collect::<Vec<_>>(),
        })
    }
}

fn time(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn line(step: &Step) -> String {
    let Logged { index, at, said, .. } = &step.logged;
    let what = match said {
        Said::Record(record) => format!("sha256:{}  {}", record.digest, found(step.finding)),
        Said::Approval(approval) => {
            let state = found(step.finding);
            format!(
                "sha256:{}  {state}, until {}: {}",
                approval.to,
                approval.until,
                printable(&approval.reason)
            )
        }
    };
    format!("  {index:>8}  {}  {what}\n", time(*at))
}

fn found(finding: Finding) -> String {
    match finding {
        Finding::First => "first seen".to_owned(),
        Finding::Same => "seen again".to_owned(),
        Finding::Approved(by) => format!("moved, approved by entry {by}"),
        Finding::Unapproved(rule) => format!("moved, not approved (rule {rule})"),
        Finding::NotApproved => "VOID: no approval allows this move".to_owned(),
        Finding::Forked(current) => format!("VOID: a second history beside record {current}"),
        Finding::Beside(current) => format!("said by record {current} already"),
        Finding::Copy(first) => format!("a copy of entry {first}"),
        Finding::Unused => "may be moved to".to_owned(),
        Finding::Used(by) => format!("was moved to by record {by}"),
    }
}

fn machine(step: &Step, moving: &Moving, history: &History) -> Value {
    let (name, other) = match step.finding {
        Finding::First => ("first", None),
        Finding::Same => ("same", None),
        Finding::Approved(by) => ("approved", Some(by)),
        Finding::Unapproved(_) => ("unapproved", None),
        Finding::NotApproved => ("not-approved", None),
        Finding::Forked(current) => ("forked", Some(current)),
        Finding::Beside(current) => ("beside", Some(current)),
        Finding::Copy(first) => ("copy", Some(first)),
        Finding::Unused => ("unused", None),
        Finding::Used(by) => ("used", Some(by)),
    };
    let is_fault = history.faults(moving).any(|fault| fault.logged.index == step.logged.index);
    let mut value = json!({
        "index": step.logged.index, "time": time(step.logged.at), "finding": name, "entry": other, "fault": is_fault,
    });
    let said = match &step.logged.said {
        Said::Record(record) => json!({
            "kind": "record", "digest": format!("sha256:{}", record.digest), "mediaType": record.media_type,
            "seen": record.seen.to_string(), "upstream": record.upstream, "rule": record.rule.name(),
            "previous": record.previous, "approval": record.approval,
        }),
        Said::Approval(approval) => json!({
            "kind": "approval", "digest": format!("sha256:{}", approval.to), "after": approval.after,
            "reason": approval.reason, "until": approval.until.to_string(),
        }),
    };
    if let (Value::Object(value), Value::Object(said)) = (&mut value, said) {
        value.extend(said);
    }
    value
}
