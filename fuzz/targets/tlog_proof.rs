//! Proof files (C2SP tlog-proof): what is read is written again the same, and arbitrary hashes prove nothing.
#![no_main]

use bulla_tlog::tlog_proof::TlogProof;
use bulla_tlog::{Hash, verify_consistency, verify_inclusion};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(proof) = TlogProof::parse(text) {
        assert_eq!(proof.to_string(), text);
        let (one, other) = (Hash([1; 32]), Hash([2; 32]));
        for size in [proof.index.saturating_add(1), u64::MAX, 1 << (proof.hashes.len() % 64)] {
            assert!(verify_inclusion(&one, proof.index, size, &proof.hashes, &other).is_err());
            assert!(
                verify_consistency(proof.index, size, &one, &other, &proof.hashes).is_err()
                    || proof.index == 0
            );
        }
    }
});
