//! The whole log, read by `static_ct_api` and `tlog_tiles`: the checkpoint, every entry, the tree over them, the issuers.

use std::collections::BTreeSet;

use p256::ecdsa::VerifyingKey;
use p256::pkcs8::DecodePublicKey;
use reqwest::Url;
use sha2::{Digest, Sha256};
use signed_note::{Note, VerifierList};
use static_ct_api::{LogEntry, RFC6962Verifier, TILE_HEIGHT, TileIterator, tile_path};
use tlog_tiles::{
    Checkpoint, Error as TlogError, Hash, HashReader, Tile, record_hash, stored_hashes_for_record_hash,
    tree_hash,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::{Log, Outcome};

/// Hashes of the tree in the order in which they are stored.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, TlogError> {
        indexes
            .iter()
            .map(|index| self.0.get(*index as usize).copied().ok_or(TlogError::IndexesNotInTree))
            .collect()
    }
}

/// The leaf hashes of all entries, once the log has been read and agrees with itself.
pub async fn read(log: &Log, named: &Url) -> Outcome<Vec<[u8; 32]>> {
    let checkpoint = checkpoint(log, named).await?;
    println!("ok - static_ct_api: the checkpoint is signed by the log's key, as {}", checkpoint.origin());
    let (size, entries) = (checkpoint.size(), entries(log, checkpoint.size()).await?);
    println!(
        "ok - static_ct_api: {size} entries in data tiles, each at its index, none of them with bytes left over"
    );
    let hashes: Vec<Hash> = entries.iter().map(|entry| record_hash(&entry.merkle_tree_leaf())).collect();
    let mut stored = Stored(Vec::new());
    for (index, hash) in hashes.iter().enumerate() {
        let more = stored_hashes_for_record_hash(index as u64, *hash, &stored)?;
        stored.0.extend(more);
    }
    let root = tree_hash(size, &stored)?;
    if root != *checkpoint.hash() {
        return Err(
            format!("the entries make the tree {root}, the checkpoint says {}", checkpoint.hash()).into()
        );
    }
    println!("ok - tlog_tiles: the hashes of the entries make the root that was signed");
    let tiles = Tile::new_tiles(TILE_HEIGHT, 0, size);
    for tile in &tiles {
        let (kind, bytes) = log.fetch(&tile_path(tile)).await?;
        if bytes != tile.read_data(&stored)? || kind != "application/octet-stream" {
            return Err(format!("{} ({kind}) holds other hashes", tile_path(tile)).into());
        }
    }
    println!("ok - tlog_tiles: {} tiles of hashes hold what the entries make", tiles.len());
    let known = issuers(log, &entries).await?;
    println!(
        "ok - static_ct_api: {known} issuers are found by their fingerprints, and each entry's key is its issuer's"
    );
    Ok(hashes.into_iter().map(|hash| hash.0).collect())
}

async fn checkpoint(log: &Log, named: &Url) -> Outcome<Checkpoint> {
    let (kind, bytes) = log.fetch("checkpoint").await?;
    if kind != "text/plain; charset=utf-8" {
        return Err(format!("the checkpoint is {kind}").into());
    }
    // The name of a log is its submission prefix, without the scheme and without a slash at the end.
    let origin = named.as_str().split_once("://").ok_or("no scheme")?.1.trim_end_matches('/');
    let verifier = RFC6962Verifier::new(origin, &VerifyingKey::from_public_key_pem(&log.key)?)
        .map_err(|error| format!("{origin}: {error}"))?;
    let note = Note::from_bytes(&bytes)?;
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)]))?;
    if verified.len() != 1 {
        return Err(format!("{} signatures of the log", verified.len()).into());
    }
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin() != origin {
        return Err(format!("origin {}, expected {origin}", checkpoint.origin()).into());
    }
    Ok(checkpoint)
}

async fn entries(log: &Log, size: u64) -> Outcome<Vec<LogEntry>> {
    let mut entries = Vec::new();
    let lowest = Tile::new_tiles(TILE_HEIGHT, 0, size).into_iter().filter(|tile| tile.level() == 0);
    for mut tile in lowest {
        tile.set_is_data();
        let (path, width) = (tile_path(&tile), tile.width() as usize);
        let (kind, bytes) = log.fetch(&path).await?;
        if kind != "application/octet-stream" {
            return Err(format!("{path} is {kind}").into());
        }
        let mut again = Vec::new();
        for entry in TileIterator::new(bytes.clone(), width) {
            let entry = entry.map_err(|error| format!("{path}: {error}"))?;
            if entry.leaf_index != entries.len() as u64 {
                return Err(
                    format!("{path}: {} is the index of entry {}", entry.leaf_index, entries.len()).into()
                );
            }
            again.extend(entry.tile_leaf());
            entries.push(entry);
        }
        if again != bytes {
            return Err(format!("{path} is not what its {width} entries are written as").into());
        }
    }
    if entries.len() as u64 != size {
        return Err(format!("{} entries of {size}", entries.len()).into());
    }
    Ok(entries)
}

/// Fetches each issuer once. The one that follows an entry must have the key whose hash the entry holds.
async fn issuers(log: &Log, entries: &[LogEntry]) -> Outcome<usize> {
    let distinct: BTreeSet<_> =
        entries.iter().map(|entry| (entry.issuer_key_hash, entry.chain_fingerprints.clone())).collect();
    let mut known = BTreeSet::new();
    for (issuer_key_hash, fingerprints) in distinct {
        for (place, fingerprint) in fingerprints.iter().enumerate() {
            let hex: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
            let (kind, der) = log.fetch(&format!("issuer/{hex}")).await?;
            if kind != "application/pkix-cert" || Sha256::digest(&der)[..] != fingerprint[..] {
                return Err(format!("issuer/{hex} ({kind}) is another certificate").into());
            }
            let certificate = Certificate::from_der(&der)?;
            let key = x509_cert::der::Encode::to_der(&certificate.tbs_certificate.subject_public_key_info)?;
            if place == 0 && Sha256::digest(key)[..] != issuer_key_hash[..] {
                return Err(format!("issuer/{hex} has another key than its entries say").into());
            }
            known.insert(hex);
        }
        if fingerprints.is_empty() {
            return Err("an entry without issuers".into());
        }
    }
    if entries.iter().any(|entry| !entry.is_precert) {
        return Err("an entry that is no precertificate".into());
    }
    Ok(known.len())
}
