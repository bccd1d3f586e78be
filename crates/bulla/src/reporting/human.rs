//! A report for a person at a terminal: what it comes to, and which images need somebody.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use super::file::Spool;
use super::row::{Row, Status};
use super::stock::{Having, LogMet, SignerSeen, Summary};
use crate::text::{line, printable};

/// The lines.
pub(crate) fn human(summary: &Summary, spool: &mut Spool) -> io::Result<String> {
    let mut text = String::new();
    let totals = &summary.totals;
    line(&mut text, "images", totals.images);
    for (name, count) in [
        ("verified", totals.verified),
        ("not-verified", totals.not_verified),
        ("unsigned", totals.unsigned),
        ("undetermined", totals.undetermined),
    ] {
        line(&mut text, &format!("  {name}"), count);
    }
    line(
        &mut text,
        "entries",
        format_args!(
            "{}, {} valid, {} invalid",
            totals.total_entries, totals.valid_entries, totals.invalid_entries
        ),
    );
    let members = &totals.members;
    if members.images > 0 {
        let (verified, entries) = (members.verified, count_entries(members.total_entries));
        line(
            &mut text,
            "members",
            format_args!(
                "{} of indexes, {verified} verified by themselves, {entries}; for information",
                members.images
            ),
        );
    }
    for (name, having) in totals.coverage.each() {
        line(&mut text, "coverage", format_args!("{name}: {}", share(having)));
    }
    for signer in summary.signers.iter().take(MOST_LINES) {
        line(&mut text, "signer", seen(signer));
    }
    for log in &summary.logs {
        line(&mut text, "log", health(log));
    }
    let mut told = 0;
    spool.rows(|row| {
        if row.status != Status::Verified {
            told += 1;
            if told <= MOST_LINES {
                line(&mut text, row.status.name(), why(&row));
            }
        }
        Ok(())
    })?;
    if told > MOST_LINES {
        line(&mut text, "…", format_args!("and {} more: --out report.csv has all", told - MOST_LINES));
    }
    Ok(text)
}

/// Such as `3 of 4 (75%), 1 undetermined`.
pub(super) fn share(having: &Having) -> String {
    let all = having.yes + having.no + having.undetermined;
    let percent = (having.yes * 100).checked_div(all).unwrap_or(0);
    let unknown = if having.undetermined > 0 {
        format!(", {} undetermined", having.undetermined)
    } else {
        String::new()
    };
    format!("{} of {all} ({percent}%){unknown}", having.yes)
}

/// So many of something.
pub(super) fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// So many entries.
fn count_entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// What an image is called, and why it is not verified.
fn why(row: &Row) -> String {
    printable(&format!("{}: {}", row.image_ref, row.reason.as_deref().unwrap_or_default()))
}

fn seen(signer: &SignerSeen) -> String {
    let time = |time: Option<jiff::Timestamp>| {
        time.map_or_else(|| "at no known time".to_owned(), |time| time.to_string())
    };
    let when = format!("{} to {}", time(signer.first_seen), time(signer.last_seen));
    let images = count(signer.images, "image");
    printable(&format!("{}: {} in {images}, {when}", signer.name(), signer.valid_entries))
}

/// What is known of a log, in a line.
pub(super) fn health(log: &LogMet) -> String {
    let name = log.origin.as_deref().unwrap_or(&log.log_id);
    let sizes = match (&log.from, &log.to) {
        (Some(from), Some(to)) if from.tree_size == to.tree_size => format!("tree of size {}", to.tree_size),
        (Some(from), Some(to)) => format!("trees of size {} to {}", from.tree_size, to.tree_size),
        _ => "promises only".to_owned(),
    };
    let state = match (&log.contradiction, &log.consistency.problem) {
        (Some(problem), _) => format!("CONTRADICTED: {problem}"),
        (None, Some(problem)) => format!("consistency {}: {problem}", log.consistency.status),
        (None, None) => format!("consistency {}", log.consistency.status),
    };
    let entries = count_entries(log.entries);
    printable(&format!("{name}: {entries}, {sizes}, {state}, {}", watched(log)))
}

/// Who watches a log, as far as that is known.
fn watched(log: &LogMet) -> String {
    let names = |names: &BTreeMap<String, u64>| names.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut said = match log.witnessed_entries {
        None => "no witnesses were named".to_owned(),
        Some(entries) => {
            let by = if log.witnessed_by.is_empty() { "nobody".to_owned() } else { names(&log.witnessed_by) };
            format!("witnessed by {by}, by enough of them for {entries} of {}", log.entries)
        }
    };
    if !log.forged.is_empty() {
        let _infallible = write!(said, ", FORGED in the name of {}", names(&log.forged));
    }
    if !log.not_checked.is_empty() {
        let _infallible = write!(said, ", not checked: {}", names(&log.not_checked));
    }
    said
}

const MOST_LINES: usize = 50;
