//! Statements that somebody signed properly, and what they state: what is read can be written and read again.
#![no_main]

use bulla_claims::attestation::{PAYLOAD_TYPE, Statement, judge};
use bulla_claims::revocation::Revocation;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let Ok(statement) = Statement::parse(PAYLOAD_TYPE, payload) else { return };
    let judged = judge(&statement.predicate_type, &statement.predicate);
    let predicate = statement.predicate.to_string();
    let written =
        Statement::write(statement.version, &statement.subjects, &statement.predicate_type, &predicate);
    assert_eq!(written.is_ok(), judged.is_ok());
    if let Ok(written) = written {
        let again = Statement::parse(PAYLOAD_TYPE, &written).expect("was written");
        assert_eq!(
            (again.subjects, again.predicate_type),
            (statement.subjects.clone(), statement.predicate_type.clone())
        );
    }
    if let Ok(revocation) = Revocation::of(&statement) {
        let written = revocation.statement().expect("was read");
        let again = Statement::parse(PAYLOAD_TYPE, &written).expect("was written");
        assert_eq!(Revocation::of(&again), Ok(revocation));
    }
});
