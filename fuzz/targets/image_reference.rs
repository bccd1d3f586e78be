//! Names of images: what is read has one canonical form, which is read as the same.
#![no_main]

#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/digest.rs"]
mod digest;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../crates/bulla/src/registry/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<reference::Reference>() {
        let canonical = reference.to_string();
        assert_eq!(canonical.parse::<reference::Reference>().as_ref(), Ok(&reference), "{canonical}");
        let name = reference.name().to_string();
        assert_eq!(reference::Name::parse(&name), Ok(reference.name()));
        assert!(!reference.repository().name().contains(".."), "no path leads out of the repository");
    }
});
