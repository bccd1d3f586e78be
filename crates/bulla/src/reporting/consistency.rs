//! Whether the checkpoints of a log that were met are of one history: the log is asked for the proof from the smallest to the
//! largest, and the proof is kept, so that nobody has to ask again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_ledger::Source;
use bulla_ledger::fsck::Objects;
use bulla_rekor::client::Remote;
use bulla_rekor::client::v1::{Options, RekorV1};
use bulla_tlog::{Hash, Plan, verify_consistency};
use serde::Deserialize;

use super::stock::{Consistency, Head, LogMet};

#[derive(Deserialize)]
struct Root {
    #[serde(default)]
    tlogs: Vec<Tlog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tlog {
    base_url: String,
    log_id: LogId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

/// Asks each log of which two trees were met. Where it is says the trusted root.
pub(crate) async fn prove(logs: &mut [LogMet], trusted_root: &[u8]) {
    let root: Root = serde_json::from_slice(trusted_root).unwrap_or(Root { tlogs: Vec::new() });
    for log in logs {
        let (Some(from), Some(to), None) = (&log.from, &log.to, &log.contradiction) else { continue };
        if from.tree_size == to.tree_size {
            continue;
        }
        let known = root.tlogs.iter().find(|known| known.log_id.key_id == log.log_id);
        let asked = match known {
            Some(known) => tokio::time::timeout(PATIENCE, ask(&known.base_url, log, from, to)).await,
            None => Ok(Err("the trusted root does not say where it is".to_owned())),
        };
        log.consistency =
            match asked.unwrap_or_else(|_| Err(format!("no answer in {} s", PATIENCE.as_secs()))) {
                Ok(proof) => Consistency {
                    status: PROVED.to_owned(),
                    proof: proof.iter().map(Hash::to_base64).collect(),
                    problem: None,
                },
                Err(problem) => {
                    Consistency { status: "not proved".to_owned(), proof: Vec::new(), problem: Some(problem) }
                }
            };
    }
}

/// The proof, by tiles or by the older API, whichever holds.
async fn ask(url: &str, log: &LogMet, from: &Head, to: &Head) -> Result<Vec<Hash>, String> {
    let by_tiles = match Remote::open(url).await {
        Ok(source) => tiles(&source, from, to).await,
        Err(error) => Err(error.to_string()),
    };
    let problem = match by_tiles {
        Ok(proof) if holds(from, to, &proof).is_ok() => return Ok(proof),
        Ok(proof) => holds(from, to, &proof).err().unwrap_or_default(),
        Err(problem) => problem,
    };
    let tree = log.origin.as_deref().and_then(|origin| origin.rsplit_once(" - ")?.1.parse().ok());
    let Some(tree) = tree else { return Err(problem) };
    let client = RekorV1::new(url, &Options::default()).map_err(|error| error.to_string())?;
    let proof =
        client.proof(from.tree_size, to.tree_size, Some(tree)).await.map_err(|error| error.to_string())?;
    holds(from, to, &proof.hashes)?;
    Ok(proof.hashes)
}

async fn tiles(source: &dyn Source, from: &Head, to: &Head) -> Result<Vec<Hash>, String> {
    let plan =
        Plan::consistency(from.tree_size, to.tree_size).ok_or("there is no proof between these sizes")?;
    let read = Objects::new(source).proof(&plan, to.tree_size).await.map_err(|error| error.to_string())?;
    Ok(read)
}

fn holds(from: &Head, to: &Head, proof: &[Hash]) -> Result<(), String> {
    let root = |head: &Head| {
        let bytes = STANDARD.decode(&head.root_hash).ok();
        bytes.and_then(|bytes| Hash::from_slice(&bytes)).ok_or("a root is no SHA-256 in base64")
    };
    verify_consistency(from.tree_size, to.tree_size, &root(from)?, &root(to)?, proof)
        .map_err(|error| format!("the log gave a proof that does not hold: {error}"))
}

/// Judges what a report says of it: a proof that is said to hold must.
pub(super) fn recheck(log: &LogMet) -> Result<(), String> {
    if log.consistency.status != PROVED {
        return Ok(());
    }
    let (Some(from), Some(to)) = (&log.from, &log.to) else {
        return Err("there are no two trees".to_owned());
    };
    let hash = |text: &String| STANDARD.decode(text).ok().and_then(|bytes| Hash::from_slice(&bytes));
    let proof: Option<Vec<_>> = log.consistency.proof.iter().map(hash).collect();
    holds(from, to, &proof.ok_or("its hashes are not base64")?)
}

const PROVED: &str = "proved";
const PATIENCE: Duration = Duration::from_secs(20);

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
            witnesses: BTreeMap::new(),
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
    }
}
