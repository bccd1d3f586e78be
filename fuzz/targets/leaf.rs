//! Leaves as they stand in other people's logs: readers describe them without trusting them.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Ok(facts) = bulla_claims::describe(body) {
        for signature in facts.signatures {
            let _any = signature.material.key();
        }
    }
});
