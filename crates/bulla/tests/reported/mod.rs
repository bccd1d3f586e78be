//! Reports as tests make them of a layout, judge them again, and lie in them.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::fs;
use std::process::Command;

use bulla_tlog::sha256;
use serde_json::{Value, json};

use crate::common::{bulla, run};
use crate::layout::Layout;

pub(crate) fn report(layout: &Layout, more: &[&str]) -> Command {
    let mut command = bulla();
    command
        .current_dir(layout.path())
        .args(["report", "--trusted-root", "root.json", "--key", "key.pub"])
        .args(more);
    command
}

pub(crate) fn recheck(layout: &Layout, file: &str, more: &[&str]) -> (i32, String, String) {
    let mut command = bulla();
    command
        .current_dir(layout.path())
        .args(["report", "verify", file, "--trusted-root", "root.json"])
        .args(more);
    run(&mut command)
}

/// The report on all images of the layout, in `report.json` too.
pub(crate) fn made(layout: &Layout, more: &[&str]) -> Value {
    let (code, said, errors) =
        run(report(layout, &["oci:images", "--offline", "--out", "report.json"]).args(more));
    assert_eq!(code, 0, "{said}{errors}");
    serde_json::from_slice(&fs::read(layout.file("report.json")).expect("is there")).expect("JSON")
}

/// The lines of `report.json`.
pub(crate) fn lines(layout: &Layout) -> Vec<String> {
    let whole = fs::read_to_string(layout.file("report.json")).expect("is there");
    whole.lines().map(str::to_owned).collect()
}

/// What somebody writes who knows how a report is made: with digests and a seal that fit.
pub(crate) fn resealed(lines: &[String]) -> String {
    let body = &lines[..lines.len() - 3];
    let digests: Vec<_> = body.iter().map(|line| sha256(line.as_bytes()).to_string()).collect();
    let digests = format!("\"digests\":{},", json!(digests));
    let seal = format!("\"seal\":\"{}\"", sha256(digests.as_bytes()));
    [&body.join("\n"), &digests, &seal, "}", ""].join("\n")
}

/// What is said of a report of these lines, made whole again by whoever changed them; and the exit code.
pub(crate) fn lie(layout: &Layout, lines: &[String]) -> (i32, String) {
    fs::write(layout.file("lie.json"), resealed(lines)).expect("writes");
    let (code, said, _) = recheck(layout, "lie.json", &["--skip-signature-unsafe"]);
    (code, said)
}
