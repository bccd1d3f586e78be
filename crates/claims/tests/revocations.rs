//! Who may take back what, and from when on: with signatures that are made here.

mod made;

use bulla_claims::attestation::Statement;
use bulla_claims::identity::{Identity, LoggedAs, Who};
use bulla_claims::judge::{
    Artifact, Content, Judged, Need, Outcome, Policy, Revocations, SignedRevocation, TrustedRoot,
    judge_bundle,
};
use bulla_claims::revocation::{Revocation, Revoked};
use bulla_tlog::sha256;
use jiff::Timestamp;
use made::{Maker, SIGNED_AT};
use serde_json::Value;

const NOW: u64 = SIGNED_AT + 1000;

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(second).expect("fits")).expect("a time")
}

fn root(maker: &Maker) -> TrustedRoot {
    TrustedRoot::parse(maker.trusted_root(&[]).as_bytes()).expect("a trusted root")
}

fn judged(maker: &Maker, bundle: &Value) -> Judged {
    let keys = vec![maker.key.spki().to_vec()];
    let policy = Policy {
        keys,
        identities: Vec::new(),
        content: Content::Signature,
        log: Need::Required,
        sct: Need::Required,
    };
    judge_bundle(bundle.to_string().as_bytes(), &Artifact::Bytes(b"artifact"), &root(maker), &policy, NOW)
}

fn revocation(revoked: Revoked, from: u64) -> Revocation {
    Revocation { revoked, from: at(from), reason: "lost".to_owned() }
}

/// A revocation that the maker signed.
fn signed(maker: &Maker, revocation: &Revocation) -> SignedRevocation {
    let statement = revocation.statement().expect("is written");
    let bundle = maker.envelope("application/vnd.in-toto+json", &statement).to_string();
    let keys = [maker.key.spki().to_vec()];
    SignedRevocation::judge(bundle.as_bytes(), "here", &keys, &root(maker), Need::Required, NOW)
        .expect("holds")
}

fn outcome(judged: &Judged, signed: &[SignedRevocation], named: &[Who]) -> Outcome {
    let mut judged = judged.clone();
    judged.weigh_revocations(&Revocations { signed, named, searched: None }, at(NOW));
    judged.check("revocation").expect("is there").outcome.clone()
}

fn holds(judged: &Judged, signed: &[SignedRevocation], named: &[Who]) -> bool {
    matches!(outcome(judged, signed, named), Outcome::Failed(_))
}

#[test]
fn it_counts_when_the_first_trusted_clock_saw_the_signature() {
    let maker = Maker::new();
    let good = judged(&maker, &maker.message(b"artifact"));
    assert_eq!(good.times, [at(SIGNED_AT)]);
    let key = || Revoked::Key(sha256(maker.key.spki()));
    assert!(holds(&good, &[signed(&maker, &revocation(key(), SIGNED_AT))], &[]));
    assert!(!holds(&good, &[signed(&maker, &revocation(key(), SIGNED_AT + 1))], &[]));
    // Without any clock, as v2 logs have none, it is as if it were signed now.
    let untimed = Judged { times: Vec::new(), ..good };
    assert!(holds(&untimed, &[signed(&maker, &revocation(key(), SIGNED_AT + 1))], &[]));
    assert!(!holds(&untimed, &[signed(&maker, &revocation(key(), NOW + 1))], &[]));
    let Outcome::Failed(said) = outcome(&untimed, &[signed(&maker, &revocation(key(), 0))], &[]) else {
        panic!("it is revoked")
    };
    let key = sha256(maker.key.spki());
    assert_eq!(
        said,
        format!(
            "the key of sha256 {key} is revoked since 1970-01-01T00:00:00Z by the key of sha256 {key}, \"lost\"; no clock saw when it was signed"
        )
    );
}

#[test]
fn everybody_revokes_their_own_and_others_only_if_they_are_named() {
    let (alice, mallory) = (Maker::new(), Maker::new());
    let good = judged(&alice, &alice.message(b"artifact"));
    let by_mallory = [signed(&mallory, &revocation(Revoked::Key(sha256(alice.key.spki())), 0))];
    assert!(!holds(&good, &by_mallory, &[]));
    let mallory = Who::Key(sha256(mallory.key.spki()));
    assert!(holds(&good, &by_mallory, &[mallory]));
    assert!(!holds(&good, &by_mallory, &[Who::Key(sha256(b"another"))]));
    // Who holds the key and no certificate is no identity.
    let nobody = Identity { issuer: "https://issuer.example".to_owned(), subject: "alice".to_owned() };
    assert!(!holds(&good, &[signed(&alice, &revocation(Revoked::Identity(nobody), 0))], &[]));
}

#[test]
fn each_entry_of_a_signature_can_be_revoked() {
    let maker = Maker::new();
    let mut good = judged(&maker, &maker.message(b"artifact"));
    let of = |entry| [signed(&maker, &revocation(Revoked::Entry(entry), 0))];
    let first = good.signed.as_ref().and_then(|signed| signed.entry).expect("an entry");
    let second = LoggedAs { leaf_hash: sha256(b"second"), ..first };
    assert!(holds(&good, &of(first), &[]));
    assert!(!holds(&good, &of(second), &[]));
    good.signed.as_mut().expect("is signed").more_entries.push(second);
    assert!(holds(&good, &of(second), &[]));
}

#[test]
fn what_is_not_verified_stays_as_it_was() {
    let maker = Maker::new();
    let mut bad = judged(&maker, &Maker::new().message(b"artifact"));
    let before = bad.clone();
    bad.weigh_revocations(&Revocations { signed: &[], named: &[], searched: None }, at(NOW));
    bad.revocations_unknown("nobody answers");
    assert_eq!(bad, before);
    let mut good = judged(&maker, &maker.message(b"artifact"));
    good.revocations_unknown("nobody answers");
    assert!(!good.verified(), "not to know is not to believe");
}

#[test]
fn a_statement_about_something_else_is_no_revocation() {
    let maker = Maker::new();
    let judge = |payload: &[u8]| {
        let bundle = maker.envelope("application/vnd.in-toto+json", payload).to_string();
        let keys = [maker.key.spki().to_vec()];
        let judged =
            SignedRevocation::judge(bundle.as_bytes(), "here", &keys, &root(&maker), Need::Required, NOW);
        judged.expect_err("is none").to_string()
    };
    let statement = revocation(Revoked::Key(sha256(b"key")), 0).statement().expect("is written");
    let statement: Value = serde_json::from_slice(&statement).expect("JSON");
    let mut other = statement.clone();
    other["predicateType"] = "https://example.org/other".into();
    let said = judge(other.to_string().as_bytes());
    assert!(said.starts_with("content: it is an attestation of type https://example.org/other"), "{said}");
    // Its subject is what it is found by, and must be what it revokes.
    let mut other = statement;
    other["subject"][0]["digest"]["sha256"] = "ab".repeat(32).into();
    let said = judge(other.to_string().as_bytes());
    assert!(said.starts_with("content: payload.subject: is not what the predicate revokes"), "{said}");
    assert!(Statement::parse("application/vnd.in-toto+json", other.to_string().as_bytes()).is_ok());
}
