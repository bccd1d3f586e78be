//! Witness policies: a policy that everyone in it cosigned for is satisfied, unless it asks for nobody.
#![no_main]

use bulla_tlog::policy::Policy;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(policy) = Policy::parse(text) {
        let everyone: Vec<&str> = policy.witnesses.iter().map(|witness| witness.name.as_str()).collect();
        if policy.satisfied::<&str>(&[]) {
            assert!(policy.satisfied(&everyone), "more cosignatures cannot satisfy less");
        }
    }
});
