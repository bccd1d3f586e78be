//! A report as a table for spreadsheets: CSV (RFC 4180), a row for each image, and for each member of an index.

use std::io::{self, Write};

use csv::{Terminator, WriterBuilder};
use jiff::Timestamp;

use super::file::Spool;
use super::row::{Row, Validity};
use crate::text::printable;

const COLUMNS: [&str; 20] = [
    "image_ref",
    "digest",
    "status",
    "reason",
    "signed",
    "provenance",
    "sbom",
    "vex",
    "vulnerability_scan",
    "total_entries",
    "valid_entries",
    "invalid_entries",
    "signers",
    "first_signed",
    "last_signed",
    "not_read",
    "uses",
    "generated_at",
    "member_of",
    "platform",
];

/// Writes the table.
pub(crate) fn table(out: &mut impl Write, spool: &mut Spool) -> io::Result<()> {
    let mut table = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    table.write_record(COLUMNS)?;
    spool.rows(|row| {
        // An index, and its members beneath it.
        for (row, index) in
            [(&row, "")].into_iter().chain(row.members.iter().map(|member| (member, &*row.image_ref)))
        {
            table.write_record(record(row, index).iter().map(|cell| harmless(cell)))?;
        }
        Ok(())
    })?;
    table.flush()
}

fn record(row: &Row, index: &str) -> [String; COLUMNS.len()] {
    let known = |has: &Option<bool>| match has {
        Some(true) => "yes",
        Some(false) => "no",
        None => "undetermined",
    };
    let coverage = &row.coverage;
    let valid: Vec<_> = row.entries.iter().filter(|entry| entry.status == Validity::Valid).collect();
    let mut signers: Vec<_> = valid
        .iter()
        .filter_map(|entry| entry.signer.as_ref())
        .map(|signer| signer.subject.clone().unwrap_or_else(|| format!("key {}", signer.key_sha256)))
        .collect();
    signers.sort_unstable();
    signers.dedup();
    let times = || valid.iter().filter_map(|entry| entry.timestamp.as_deref()?.parse::<Timestamp>().ok());
    let shown = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    [
        row.image_ref.clone(),
        row.digest.clone().unwrap_or_default(),
        row.status.name().to_owned(),
        row.reason.clone().unwrap_or_default(),
        known(&coverage.signed).to_owned(),
        known(&coverage.provenance).to_owned(),
        known(&coverage.sbom).to_owned(),
        known(&coverage.vex).to_owned(),
        known(&coverage.vulnerability_scan).to_owned(),
        row.total_entries.to_string(),
        row.valid_entries.to_string(),
        row.invalid_entries.to_string(),
        signers.join("; "),
        shown(times().min()),
        shown(times().max()),
        row.unread.len().to_string(),
        row.uses.to_string(),
        row.generated_at.clone(),
        index.to_owned(),
        row.platform.clone().unwrap_or_default(),
    ]
}

/// A cell that no spreadsheet takes for a formula: names and reasons are what strangers wrote.
fn harmless(cell: &str) -> String {
    let cell = printable(cell);
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_is_made_a_text() {
        for (cell, expected) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-1", "'-1"),
            ("\t=1", "\u{fffd}=1"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(harmless(cell), expected);
        }
    }
}
