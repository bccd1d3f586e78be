//! Reports that strangers wrote, as they are and with the digests made to fit: read or refused within bounds, and each image that is
//! read is written in one way only.
#![no_main]

use std::fs;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use bulla_fuzz::{Directory, seal_report};

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/reporting/contents.rs"]
mod contents;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/reporting/evidence.rs"]
mod evidence;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/reporting/row.rs"]
mod row;

/// What the evidence is of; its judgement has a target of its own.
mod verification {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    #[derive(Clone, PartialEq, Eq, Debug)]
    pub(crate) enum Form {
        Bundle(Bytes),
        Layer { media_type: String, payload: Bytes, annotations: BTreeMap<String, String> },
    }
}

const SCHEMA: &str = "bulla.report/v1";

static FOLDER: LazyLock<Directory> = LazyLock::new(Directory::empty);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&seal_report(bytes));
});

fn read(bytes: &[u8]) {
    let path = FOLDER.path().join("report.json");
    fs::write(&path, bytes).expect("is written");
    let contents = match contents::Contents::open(&path).expect("is read") {
        Ok(contents) => contents,
        Err(broken) => return assert!(!broken.is_empty(), "what is refused has a reason"),
    };
    if let Ok(head) = contents.head().expect("is read") {
        assert_eq!(head.len(), contents::HEAD.len());
    }
    let mut rows = 0;
    let each = |_: usize, len: usize, row: Result<row::Row, contents::Broken>| {
        rows += 1;
        if let Ok(row) = row {
            let text = serde_json::to_vec(&row).expect("JSON");
            assert!(text.len() == len || text.len() + 1 == len, "nothing else is in the line");
            for entry in &row.entries {
                let _ = entry.evidence.as_ref().map(evidence::Evidence::form);
            }
        }
        ControlFlow::Continue(())
    };
    contents.rows(each).expect("is read");
    assert_eq!(rows, contents.images);
}
