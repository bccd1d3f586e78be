//! Whom a certificate names, and patterns of names: a pattern on the first line, what it is matched with below.
#![no_main]

use bulla_claims::identity::{Identity, MAX_NAME, Pattern};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(identity) = Identity::from_certificate(bytes) {
        assert!(identity.subject.len() <= MAX_NAME && identity.issuer.len() <= MAX_NAME);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, value) = text.split_once('\n').unwrap_or((text, ""));
    for pattern in
        [Pattern::exact(pattern), Pattern::glob(pattern), Pattern::regex(pattern)].into_iter().flatten()
    {
        pattern.matches(value);
        assert!(!pattern.to_string().is_empty());
    }
});
