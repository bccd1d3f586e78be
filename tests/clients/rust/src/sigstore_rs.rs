//! sigstore-rs (the `sigstore` crate), whose client cuts answers at fixed places and refuses members it does not know.

use std::{error::Error, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sigstore::crypto::{CosignVerificationKey, SigningScheme};
use sigstore::rekor::apis::configuration::Configuration;
use sigstore::rekor::apis::{entries_api, index_api, pubkey_api, tlog_api};
use sigstore::rekor::models::hashedrekord::{AlgorithmKind, Data, Hash, PublicKey, Signature, Spec};
use sigstore::rekor::models::search_index_public_key::Format;
use sigstore::rekor::models::{
    LogEntry, LogInfo, ProposedEntry, SearchIndex, SearchIndexPublicKey, SearchLogQuery,
};
use sigstore_crypto::{KeyPair, sha256};

use crate::{Outcome, Tap, services};

/// Everything its client does.
pub async fn all(folder: &Path, tap: &mut Tap) {
    let outcome = entries(folder).await;
    tap.line(
        "sigstore-rs 0.14: create, 409, get by index and UUID, retrieve, search by hash and key",
        outcome,
    );
    let outcome = heads(folder).await;
    tap.line("sigstore-rs 0.14: log info, public key, inclusion and consistency verified", outcome);
}

fn configuration(folder: &Path) -> Result<Configuration, Box<dyn Error>> {
    let base_path = services(folder, "signing_config_v1.json")?.rekor_url().trim_end_matches('/').to_owned();
    Ok(Configuration { base_path, ..Configuration::default() })
}

/// A key and an entry for an artifact.
fn proposed(artifact: &[u8]) -> Result<(String, ProposedEntry), Box<dyn Error>> {
    let key = KeyPair::generate_ecdsa_p256()?;
    let der = STANDARD.encode(key.public_key_der()?.as_bytes());
    let (first, rest) = der.split_at(64);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n");
    let signature = STANDARD.encode(key.sign(artifact)?.as_bytes());
    let key = STANDARD.encode(pem);
    let spec = Spec::new(
        Signature::new(signature, PublicKey::new(key.clone())),
        Data::new(Hash::new(AlgorithmKind::sha256, sha256(artifact).to_hex())),
    );
    Ok((key, ProposedEntry::Hashedrekord { api_version: "0.0.1".to_owned(), spec }))
}

fn same(what: &str, entry: &LogEntry, other: &LogEntry) -> Outcome {
    if (&entry.uuid, &entry.body, entry.log_index) == (&other.uuid, &other.body, other.log_index) {
        return Ok(());
    }
    Err(format!("{what}: {other:?} is not {entry:?}").into())
}

async fn entries(folder: &Path) -> Outcome {
    let log = configuration(folder)?;
    let artifact = b"logged by sigstore-rs";
    let (key, entry) = proposed(artifact)?;
    let logged = entries_api::create_log_entry(&log, entry.clone()).await?;
    let uuid = logged.uuid.clone().ok_or("no UUID")?;
    match entries_api::create_log_entry(&log, entry.clone()).await {
        Err(error) if format!("{error:?}").contains("409") => {}
        other => return Err(format!("the same again: {other:?}").into()),
    }
    let by_index = entries_api::get_log_entry_by_index(&log, i32::try_from(logged.log_index)?).await?;
    same("by index", &logged, &by_index)?;
    for name in [&uuid, &uuid[16..].to_owned()] {
        same("by UUID", &logged, &entries_api::get_log_entry_by_uuid(&log, name).await?)?;
    }
    let query = SearchLogQuery { entries: Some(vec![entry]), ..SearchLogQuery::new() };
    let retrieved = entries_api::search_log_query(&log, query).await?;
    if !retrieved.contains(&uuid) {
        return Err(format!("retrieve: {retrieved}").into());
    }
    let hash = format!("sha256:{}", sha256(artifact).to_hex());
    let by_hash = SearchIndex { hash: Some(hash), ..SearchIndex::new() };
    let public_key = SearchIndexPublicKey { content: Some(key), ..SearchIndexPublicKey::new(Format::X509) };
    let by_key = SearchIndex { public_key: Some(public_key), ..SearchIndex::new() };
    for query in [by_hash, by_key] {
        let found = index_api::search_index(&log, query).await?;
        if !found.contains(&uuid) {
            return Err(format!("{uuid} is not in {found:?}").into());
        }
    }
    Ok(())
}

async fn heads(folder: &Path) -> Outcome {
    let log = configuration(folder)?;
    let pem = pubkey_api::get_public_key(&log, None).await?;
    let key = CosignVerificationKey::from_pem(pem.as_bytes(), &SigningScheme::ECDSA_P256_SHA256_ASN1)?;
    let before: LogInfo = tlog_api::get_log_info(&log).await?;
    let (_, entry) = proposed(b"the log grows")?;
    let logged = entries_api::create_log_entry(&log, entry).await?;
    logged.verify_inclusion(&key)?;
    let after = tlog_api::get_log_info(&log).await?;
    let (first, last) = (before.tree_size.to_string(), i32::try_from(after.tree_size)?);
    let proof = tlog_api::get_log_proof(&log, last, Some(&first), after.tree_id.as_deref()).await?;
    after.verify_consistency(before.tree_size, &before.root_hash, &proof, &key)?;
    let newest = entries_api::get_log_entry_by_index(&log, last - 1).await?;
    newest.verify_inclusion(&key)?;
    Ok(())
}
