//! The root by which a trust repository is believed first: any bytes are taken or refused, and what is taken is a root.
#![no_main]

use serde_json::Value;

#[path = "../../crates/bulla/src/trust/root.rs"]
mod root;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match root::check(bytes) {
        Ok(()) => {
            let file: Value = serde_json::from_slice(bytes).expect("is JSON");
            assert_eq!(file["signed"]["_type"], "root");
            assert!(file["signatures"].as_array().is_some_and(|signatures| !signatures.is_empty()));
        }
        Err(problem) => assert!(problem.starts_with("is ") || problem.starts_with("has "), "{problem}"),
    }
});
