//! What registries ask for: any header is read to its end.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/challenge.rs"]
mod challenge;

libfuzzer_sys::fuzz_target!(|lines: &[u8]| {
    let chosen = challenge::choose(lines.split(|byte| *byte == b'\n'));
    if let Ok(Some(challenge::Challenge::Bearer { realm, .. })) = chosen {
        assert!(realm.len() <= lines.len());
    }
});
