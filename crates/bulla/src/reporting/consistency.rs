//! Whether the checkpoints of a log that were met are of one history: the log is asked for the proof from the smallest to the
//! largest, and the proof is kept, so that nobody has to ask again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::judge::TrustedRoot;
use bulla_tlog::{Hash, verify_consistency};

use super::stock::{Consistency, Head, LogMet};
use crate::verification::{proof, tree_number};

/// Asks each log of which two trees were met. Where it is says the trusted root.
pub(crate) async fn prove(logs: &mut [LogMet], root: &TrustedRoot) {
    for log in logs {
        let (Some(from), Some(to), None) = (&log.from, &log.to, &log.contradiction) else { continue };
        if from.tree_size == to.tree_size {
            continue;
        }
        let (status, proof, problem) = match asked(log, from, to, root).await {
            Ok(proof) => (PROVED, proof.iter().map(Hash::to_base64).collect(), None),
            Err(problem) => (NOT_PROVED, Vec::new(), Some(problem)),
        };
        log.consistency = Consistency { status: status.to_owned(), proof, problem };
    }
}

async fn asked(log: &LogMet, from: &Head, to: &Head, root: &TrustedRoot) -> Result<Vec<Hash>, String> {
    let id = STANDARD.decode(&log.log_id).unwrap_or_default();
    let url = root.log_url(&id).ok_or("the trusted root does not say where it is")?;
    let proof = proof(url, tree_number(&log.origin), from.tree_size, to.tree_size).await?;
    holds(from, to, &proof)?;
    Ok(proof)
}

fn holds(from: &Head, to: &Head, proof: &[Hash]) -> Result<(), String> {
    let root = |head: &Head| {
        let bytes = STANDARD.decode(&head.root_hash).ok();
        bytes.and_then(|bytes| Hash::from_slice(&bytes)).ok_or("a root is no SHA-256 in base64")
    };
    verify_consistency(from.tree_size, to.tree_size, &root(from)?, &root(to)?, proof)
        .map_err(|error| format!("the log gave a proof that does not hold: {error}"))
}

/// Judges what a report says of it: a proof that is said to hold must, and what else is said must fit the trees.
pub(super) fn recheck(log: &LogMet) -> Result<(), String> {
    let Consistency { status, proof, problem } = &log.consistency;
    let trees = (&log.from, &log.to);
    let expected: &[&str] = match (&log.contradiction, trees) {
        (Some(_), _) => &["contradicted"],
        (None, (None, _) | (_, None)) => &["promised only"],
        (None, (Some(from), Some(to))) if from.tree_size == to.tree_size => &["one checkpoint"],
        (None, _) => &[PROVED, NOT_PROVED, "not asked"],
    };
    if !expected.contains(&status.as_str()) {
        return Err(format!("is {status:?}, {} was expected", expected.join(" or ")));
    }
    if problem.is_some() != (status == NOT_PROVED) {
        return Err(format!("is {status:?}, which does not fit its problem"));
    }
    let (PROVED, (Some(from), Some(to))) = (status.as_str(), trees) else {
        return if proof.is_empty() { Ok(()) } else { Err(format!("is {status:?}, and has a proof")) };
    };
    let hash = |text: &String| STANDARD.decode(text).ok().and_then(|bytes| Hash::from_slice(&bytes));
    let proof: Option<Vec<_>> = proof.iter().map(hash).collect();
    holds(from, to, &proof.ok_or("its hashes are not base64")?)
}

const PROVED: &str = "proved";
const NOT_PROVED: &str = "not proved";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bulla_tlog::{leaf_hash, node_hash};

    use super::super::stock::{Consistency, Head};
    use super::*;

    #[test]
    fn a_proof_in_a_report_is_followed_and_not_believed() {
        let (one, two) = (leaf_hash(b"1"), leaf_hash(b"2"));
        let head = |tree_size, root: &Hash| Some(Head { tree_size, root_hash: root.to_base64() });
        let log = |proof: &Hash| LogMet {
            log_id: "l".to_owned(),
            origin: Some("o".to_owned()),
            entries: 2,
            from: head(1, &one),
            to: head(2, &node_hash(&one, &two)),
            checkpoints: 2,
            contradiction: None,
            witnessed_by: BTreeMap::new(),
            witnessed_entries: None,
            forged: BTreeMap::new(),
            not_checked: BTreeMap::new(),
            consistency: Consistency {
                status: PROVED.to_owned(),
                proof: vec![proof.to_base64()],
                problem: None,
            },
        };
        assert_eq!(recheck(&log(&two)), Ok(()));
        assert!(
            recheck(&log(&one))
                .expect_err("does not hold")
                .starts_with("the log gave a proof that does not hold")
        );
        let mut cut = log(&two);
        cut.consistency.proof.clear();
        assert!(recheck(&cut).is_err());
        cut.consistency.status = "not asked".to_owned();
        assert_eq!(recheck(&cut), Ok(()), "nothing is claimed");
        for status in ["proved and witnessed by everybody", "one checkpoint", "contradicted", NOT_PROVED] {
            cut.consistency.status = status.to_owned();
            assert!(recheck(&cut).expect_err("does not fit").starts_with("is \""), "{status}");
        }
    }
}
