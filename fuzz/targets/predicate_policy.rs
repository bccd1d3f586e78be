//! Policies that somebody wrote, over statements that somebody else wrote: the text of a policy, a byte zero, and a predicate.
//! What the engines panic at is no crash: they run in a room of their own, and that is an answer too.
#![no_main]

use std::sync::LazyLock;

use bulla_claims::attestation::{PAYLOAD_TYPE, Statement};
use bulla_claims::policy::{PredicatePolicy, Ruling};
use serde_json::{Value, json};

static ROOM: LazyLock<()> = LazyLock::new(|| {
    let found = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() != Some("policy") {
            found(panic);
        }
    }));
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    LazyLock::force(&ROOM);
    let Some(at) = input.iter().position(|byte| *byte == 0) else { return };
    let (Ok(text), predicate) = (std::str::from_utf8(&input[..at]), &input[at + 1..]) else { return };
    let Ok(predicate) = serde_json::from_slice::<Value>(predicate) else { return };
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://example.org/fuzzed",
        "predicate": predicate, "subject": [{ "digest": { "sha256": "00".repeat(32) } }],
    });
    let Ok(statement) = Statement::parse(PAYLOAD_TYPE, statement.to_string().as_bytes()) else { return };
    let name = if text.contains("package") { "a.rego" } else { "a.cel" };
    let policy = match PredicatePolicy::from_file(name, text.as_bytes()) {
        Ok(policy) => policy,
        Err(error) => return assert!(!error.problem.is_empty()),
    };
    match policy.rule(&statement, 1_795_229_400) {
        Ruling::Allowed => {}
        Ruling::Denied(reasons) => assert!(!reasons.is_empty()),
        Ruling::Failed(problem) => assert!(!problem.is_empty()),
    }
});
