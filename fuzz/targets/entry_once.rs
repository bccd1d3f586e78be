//! The condition in the header `Entry-Once`: what is read is written in its one spelling, and read from that as it was.
#![no_main]

use bulla_rekor::wire::v1::once::Once;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(once) = text.parse::<Once>() else { return };
    let written = once.to_string();
    assert_eq!(written.parse(), Ok(once));
    assert!(written.starts_with(&once.term()) && text.to_ascii_lowercase().contains(&once.term()));
});
