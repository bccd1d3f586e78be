//! Where lists go on: any header is read to its end, and a target is a part of it.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/link.rs"]
mod link;

libfuzzer_sys::fuzz_target!(|lines: &str| {
    if let Ok(Some(target)) = link::next(lines.split('\n')) {
        assert!(lines.contains(&format!("<{target}>")));
    }
});
