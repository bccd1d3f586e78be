//! The promises in certificates, judged and proved by `luct`.

use std::sync::Arc;

use chrono::Utc;
use luct_client::reqwest::ReqwestClient;
use luct_core::store::{Hashable, MemoryStore, async_adapter::AsyncAdapter};
use luct_core::v1::SignedTreeHead;
use luct_core::{CertificateChain, CtLog, CtLogConfig, Fingerprint};
use luct_scanner::{Report, Scanner, ScannerConfig, ScannerImpl, Validated};
use reqwest::Url;
use serde_json::{Value, json};

use crate::{Log, Outcome};

fn described(log: &Log, named: &Url) -> Outcome<CtLog> {
    let key: String = log.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let config = json!({"description": "ours", "key": key, "url": named.as_str(), "tile_url": log.url.as_str(), "mmd": 60});
    Ok(CtLog::new(serde_json::from_value::<CtLogConfig>(config)?))
}

/// Each certificate holds one promise, the log's key signed it, and at the index that it names is the entry that it is about: the
/// hash that one team makes of the certificate is the hash that the other made of the data tile.
pub fn judged(log: &Log, named: &Url, chains: &[(String, CertificateChain)], leaves: &[[u8; 32]]) -> Outcome {
    let log = described(log, named)?;
    for (name, chain) in chains {
        let promises = chain.cert().extract_scts_v1()?;
        let [promise] = &promises[..] else {
            return Err(format!("{name}: {} promises", promises.len()).into());
        };
        log.validate_sct_v1(chain, promise, true).map_err(|error| format!("{name}: {error}"))?;
        let index = *promise.leaf_index().ok_or_else(|| format!("{name}: a promise without an index"))?;
        let leaf = chain.as_leaf_v1(promise, true).map_err(|error| format!("{name}: {error}"))?;
        if leaves.get(index as usize) != Some(&leaf.hash()) {
            return Err(format!("{name}: entry {index} is not about this certificate").into());
        }
    }
    println!(
        "ok - luct-core: {} certificates are at the index that their signed promise names",
        chains.len()
    );
    Ok(())
}

/// Nothing is kept between runs.
struct InMemory;

impl ScannerImpl for InMemory {
    type Client = ReqwestClient;
    type ReportStore = AsyncAdapter<MemoryStore<Fingerprint, Report>>;
    type SthStore = AsyncAdapter<MemoryStore<u64, Validated<SignedTreeHead>>>;
}

/// The whole way of luct: it fetches the checkpoint and the tiles itself, and proves that the entry is in the tree.
pub async fn proved(log: &Log, named: &Url, chains: &[(String, CertificateChain)]) -> Outcome {
    let config = ScannerConfig::builder().validate_cert_chain(true).build()?;
    let mut scanner = Scanner::<InMemory>::new(
        config,
        AsyncAdapter::new(MemoryStore::default()),
        ReqwestClient::new("luct"),
        Utc::now,
    );
    scanner.add_log(&described(log, named)?, AsyncAdapter::new(MemoryStore::default()));
    for (name, chain) in chains {
        chain.verify_chain().map_err(|error| format!("{name}: {error}"))?;
        // As a whole it misses a second log, which browsers ask for; what it says about ours is what counts.
        let report = serde_json::to_value(scanner.collect_report(Arc::new(chain.clone())).await?)?;
        let promise = &report["scts"][0];
        if promise["error_description"] != Value::Null
            || promise["inclusion_proof"] == Value::Null
            || promise["index"] == Value::Null
        {
            return Err(format!("{name}: {promise}").into());
        }
    }
    println!(
        "ok - luct-scanner: proves {} certificates from checkpoint and tiles that it fetches itself",
        chains.len()
    );
    Ok(())
}
