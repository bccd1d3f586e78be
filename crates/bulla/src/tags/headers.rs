//! The record of a tag and the proof that it is logged, in the headers of an answer: enough for whoever has the log's key and the
//! proxy's to check it without a connection.
//!
//! | header | what it has |
//! |---|---|
//! | `Tlog-Uuid`, `Tlog-Logindex`, `Tlog-Integratedtime` | the entry's ID, its index across all shards, its time (RFC 3339) |
//! | `Tlog-First-Seen` | `true` if this very pull was recorded |
//! | `Tlog-Checkpoint` | the signed head, base64 |
//! | `Tlog-Proof` | index in the tree, a colon, the hashes from the leaf to the root, base64 |
//! | `Tlog-Record` | the leaf, base64: what was signed, the signature and the key |
//! | `Tlog-Promise` | the log's signature over leaf, time, log and index, base64 |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_rekor::client::v1::{Entry, EntryId, InclusionProof, LogKey, Verification};
use bulla_tlog::{Hash, leaf_hash};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

const UUID: HeaderName = HeaderName::from_static("tlog-uuid");
const INDEX: HeaderName = HeaderName::from_static("tlog-logindex");
const INTEGRATED: HeaderName = HeaderName::from_static("tlog-integratedtime");
pub(crate) const FIRST_SEEN: HeaderName = HeaderName::from_static("tlog-first-seen");
const CHECKPOINT: HeaderName = HeaderName::from_static("tlog-checkpoint");
const PROOF: HeaderName = HeaderName::from_static("tlog-proof");
const RECORD: HeaderName = HeaderName::from_static("tlog-record");
const PROMISE: HeaderName = HeaderName::from_static("tlog-promise");

/// The headers of an entry.
pub(crate) fn headers(entry: &Entry) -> HeaderMap {
    let proof = &entry.verification.inclusion_proof;
    let hashes: Vec<u8> = proof.hashes.iter().flat_map(|hash| hash.0).collect();
    let at = i64::try_from(entry.integrated_time).ok().and_then(|at| Timestamp::from_second(at).ok());
    let all = [
        (UUID, entry.id.to_string()),
        (INDEX, entry.log_index.to_string()),
        (INTEGRATED, at.unwrap_or_default().to_string()),
        (CHECKPOINT, STANDARD.encode(&proof.checkpoint)),
        (PROOF, format!("{}:{}", proof.log_index, STANDARD.encode(hashes))),
        (RECORD, entry.body_base64.clone()),
        (PROMISE, STANDARD.encode(&entry.verification.signed_entry_timestamp)),
    ];
    // Digits, base64 and dashes fit into headers.
    all.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// The entry in headers that were kept in a file, as `curl -D FILE` writes them: lines of `Name: value`, others are passed over.
/// That the log has the entry is verified, by whichever of the keys signed the head; the promise and the record are not.
pub(crate) fn read_headers(text: &str, keys: &[LogKey]) -> Result<Entry, String> {
    let value = |name: &HeaderName| {
        let mut values = text.lines().filter_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.trim().eq_ignore_ascii_case(name.as_str()).then(|| value.trim())
        });
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => {
                Err(format!("{name} is missing: keep all headers of the answer, as with curl -D FILE"))
            }
            (Some(_), Some(_)) => Err(format!("{name} is there twice: keep the headers of one answer")),
        }
    };
    let bytes = |name: &HeaderName, text: &str| {
        STANDARD.decode(text).map_err(|_| format!("{name} is {:?}, base64 was expected", shortened(text)))
    };
    let id = value(&UUID)?;
    let id = EntryId::parse(id).map_err(|problem| format!("{UUID} has {problem}"))?;
    let number = |name: &HeaderName, text: &str| {
        let number = text.parse::<u64>();
        number.map_err(|_| format!("{name} is {:?}, a number was expected", shortened(text)))
    };
    let log_index = number(&INDEX, value(&INDEX)?)?;
    let at = value(&INTEGRATED)?;
    let at: Timestamp = at
        .parse()
        .map_err(|_| format!("{INTEGRATED} is {:?}, a time of RFC 3339 was expected", shortened(at)))?;
    let checkpoint = bytes(&CHECKPOINT, value(&CHECKPOINT)?)?;
    let checkpoint = String::from_utf8(checkpoint).map_err(|_| format!("{CHECKPOINT} is no text"))?;
    let proof = value(&PROOF)?;
    let (index, hashes) =
        proof.split_once(':').ok_or_else(|| format!("{PROOF} has no colon, INDEX:HASHES was expected"))?;
    let hashes = bytes(&PROOF, hashes)?;
    let (hashes, []) = hashes.as_chunks::<32>() else {
        return Err(format!("{PROOF} has {} bytes of hashes, 32 each were expected", hashes.len()));
    };
    let body = value(&RECORD)?;
    let (key, head) =
        keys.iter().find_map(|key| Some((key, key.open(&checkpoint).ok()?))).ok_or_else(|| {
            format!("{CHECKPOINT} is signed by none of the {} logs of the trusted root", keys.len())
        })?;
    let decoded = bytes(&RECORD, body)?;
    if leaf_hash(&decoded) != id.uuid {
        return Err(format!("{RECORD} is not the entry that {UUID} names"));
    }
    let entry = Entry {
        id,
        body: decoded,
        body_base64: body.to_owned(),
        integrated_time: u64::try_from(at.as_second()).map_err(|_| format!("{INTEGRATED} is before 1970"))?,
        log_id: key.log_id().to_string(),
        log_index,
        verification: Verification {
            inclusion_proof: InclusionProof {
                checkpoint,
                hashes: hashes.iter().map(|hash| Hash(*hash)).collect(),
                log_index: number(&PROOF, index)?,
                root_hash: head.root,
                tree_size: head.size,
            },
            signed_entry_timestamp: bytes(&PROMISE, value(&PROMISE)?)?,
        },
        attestation: None,
    };
    entry.check_inclusion().map_err(|error| {
        format!("{PROOF} does not lead from {RECORD} to the root in {CHECKPOINT}: {error}")
    })?;
    entry
        .check_checkpoint(key)
        .map_err(|error| format!("{UUID} is not of the tree of {CHECKPOINT}: {error}"))?;
    Ok(entry)
}

/// The headers that the log's promise is about, and the promise.
pub(crate) const PROMISED: [HeaderName; 4] = [RECORD, INTEGRATED, INDEX, PROMISE];

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
