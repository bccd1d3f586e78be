//! Predicates from anyone, judged as each type that is known: the first byte says as which.
#![no_main]

use bulla_claims::attestation::{PredicateType, judge};
use bulla_claims::json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, text)) = data.split_first() else { return };
    let types: Vec<_> = PredicateType::all().collect();
    let known = types[usize::from(*which) % types.len()];
    if let Ok(predicate) = json::read(text, "predicate")
        && let Err(refusal) = judge(known.uri, &predicate)
    {
        assert!(refusal.field.starts_with("predicate") && refusal.problem.len() < 2048);
    }
});
