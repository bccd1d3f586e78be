//! The issuers file: what is read can be described.
#![no_main]

use bulla_authority::oidc::Issuers;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(issuers) = Issuers::parse(text) {
        assert_eq!(issuers.descriptions().len(), issuers.len());
    }
});
