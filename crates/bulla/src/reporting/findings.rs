//! A report as SARIF, for pages that show findings: each image that is not verified, each signature that is the reason, and each
//! log that contradicts itself. What is as it must be is no finding.

use std::io;

use serde_json::{Map, Value, json};

use super::file::Spool;
use super::row::{Kind, Row, Status, Validity};
use super::stock::Summary;
use crate::sarif::{Finding, Level, Rule, Run};
use crate::verification::{NOT_VERIFIED, SIGNATURE_NOT_ACCEPTED, UNDETERMINED};

/// There is no signature at all.
static UNSIGNED: Rule = Rule {
    id: "bulla/unsigned",
    name: "Unsigned",
    short: "Everything was read, and the image has no signature.",
    help: "Sign it where it is built, with `bulla sign`, or find out who put it there.",
};

/// A log says different things to different people.
static CONTRADICTION: Rule = Rule {
    id: "bulla/log-contradicts-itself",
    name: "LogContradictsItself",
    short: "A log signed two trees of one size with different roots: it shows different histories to different people.",
    help: "Keep the report: its evidence proves it. Trust nothing that only this log vouches for, and tell who runs it.",
};

/// The file.
pub(crate) fn findings(summary: &Summary, spool: &mut Spool) -> io::Result<String> {
    let mut run = Run {
        rules: vec![&UNSIGNED, &NOT_VERIFIED, &UNDETERMINED, &SIGNATURE_NOT_ACCEPTED, &CONTRADICTION],
        ..Run::default()
    };
    if let Ok(Value::Object(totals)) = serde_json::to_value(&summary.totals) {
        run.properties = totals;
    }
    for log in &summary.logs {
        let Some(problem) = &log.contradiction else { continue };
        let name = log.origin.clone().unwrap_or_else(|| log.log_id.clone());
        run.findings.push(Finding {
            rule: &CONTRADICTION,
            level: Level::Error,
            text: format!("{name}: {problem}"),
            subject: name,
            digest: None,
            apart: log.log_id.clone(),
            properties: Map::new(),
        });
    }
    spool.rows(|row| {
        if run.findings.len() < MOST {
            of_image(&row, &mut run.findings);
        }
        Ok(())
    })?;
    if run.findings.len() >= MOST {
        run.unread.push(format!("there are more than {MOST} findings, the rest is in the JSON report"));
    }
    Ok(run.document())
}

fn of_image(row: &Row, findings: &mut Vec<Finding>) {
    let rule = match row.status {
        Status::Verified => return,
        Status::NotVerified => &NOT_VERIFIED,
        Status::Unsigned => &UNSIGNED,
        Status::Undetermined => &UNDETERMINED,
    };
    let finding = |rule, text: String, apart: &str, properties: Value| Finding {
        rule,
        level: Level::Error,
        subject: row.image_ref.clone(),
        digest: row.digest.clone(),
        text,
        apart: apart.to_owned(),
        properties: if let Value::Object(properties) = properties { properties } else { Map::new() },
    };
    let reason = row.reason.as_deref().unwrap_or_default();
    let text = format!("{}: {}: {reason}", row.image_ref, row.status.name());
    findings.push(finding(rule, text, "", json!({ "uses": row.uses, "usedBy": row.used_by })));
    for entry in &row.entries {
        let is_signature = matches!(entry.kind, Kind::Signature | Kind::Unreadable);
        let problem = entry.problem.as_deref().filter(|_| is_signature && entry.status == Validity::Invalid);
        if let Some(problem) = problem {
            let text = format!("{}: not accepted: {problem}", entry.place);
            findings.push(finding(
                &SIGNATURE_NOT_ACCEPTED,
                text,
                &entry.place,
                json!({ "place": entry.place }),
            ));
        }
    }
}

/// More than any page shows.
const MOST: usize = 25_000;
