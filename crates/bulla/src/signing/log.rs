//! Logs a signature, with v1 or v2, and believes the answer once it is proved under the keys of the trusted root: the body is
//! what was proposed, it is in the tree, the tree's head is signed, and with v1 the promise too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_claims::attestation::{REVOCATION, Statement, encoding};
use bulla_claims::keys::{pem, public_key_pem};
use bulla_claims::pki::x509::{KeyType, PublicKey};
use bulla_claims::{HashAlgorithm, Material, Verifier};
use bulla_rekor::client::v1::{
    Created, DEFAULT_KIND, Entry, Materials, Options, Proposal, RekorV1, Retrieve, propose,
};
use bulla_rekor::client::v2::{self, RekorV2};
use bulla_tlog::Hash;
use serde_json::json;
use sigstore_types::{
    CanonicalizedBody, CheckpointData, DsseEnvelope, InclusionPromise, InclusionProof, KindVersion, LogId,
    LogIndex, LogKeyId, Sha256Hash, SignatureContent, SignedTimestamp, TransparencyLogEntry,
};

use super::signer::digest;
use super::trusted_log::{Api, Log};
use crate::command::Failure;
use crate::materials::{expected, name_of};
use crate::server::failure;
use crate::text::hex;

/// What may happen to an entry that the log does not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is added.
    Add,
    /// It is too late to add it: a certificate has ended.
    Leave,
}

/// Whether the log takes signatures of that key over that content; refused before anything is signed.
pub(crate) fn suits(log: &Log, spki: &[u8], is_statement: bool) -> Result<(), Failure> {
    let key = PublicKey::parse(public_key_pem(spki).as_bytes()).map_err(Failure::usage)?;
    let problem = match (key.key_type(), log.api, is_statement) {
        (KeyType::Ed25519, Api::V1, true) => return Ok(()),
        (KeyType::Ed25519, ..) => {
            "key is Ed25519, whose signatures over digests are others than over messages: sign with ECDSA or RSA"
        }
        (KeyType::P384 | KeyType::P521, Api::V1, true) => {
            "key is on P-384 or P-521, whose statements v1 logs do not take: pass --log-api v2, or sign with P-256"
        }
        _ => return Ok(()),
    };
    Err(Failure::usage(problem))
}

/// Logs it, or finds it in the log. None only if it is not there and may not be added.
pub(crate) async fn submit(
    log: &Log,
    material: &Material,
    content: &SignatureContent,
    absent: Absent,
) -> Result<Option<TransparencyLogEntry>, Failure> {
    match log.api {
        Api::V1 => v1(log, material, content, absent).await,
        Api::V2 => v2(log, material, content).await.map(Some),
    }
}

async fn v1(
    log: &Log,
    material: &Material,
    content: &SignatureContent,
    absent: Absent,
) -> Result<Option<TransparencyLogEntry>, Failure> {
    let key = match material {
        Material::Certificate(der) => pem("CERTIFICATE", der),
        Material::PublicKey(spki) => public_key_pem(spki),
    };
    let mut materials = Materials { public_keys: vec![key.into_bytes()], ..Materials::default() };
    let kind = match content {
        SignatureContent::MessageSignature(signed) => {
            let (hash, digest) = message_digest(signed)?;
            materials.artifact_hash = Some(format!("{}:{}", name_of(hash), hex(&digest)));
            materials.signature = Some(signed.signature.as_bytes().to_vec());
            DEFAULT_KIND
        }
        SignatureContent::DsseEnvelope(envelope) => {
            materials.artifact = Some(envelope_text(envelope).into_bytes());
            // Of this kind the log keeps the payload too: whoever finds a revocation must be able to read it.
            if is_revocation(envelope) { "intoto" } else { "dsse" }
        }
        _ => return Err(unknown_content()),
    };
    let proposals = propose(kind, None, &materials).map_err(Failure::usage)?;
    let Some(proposal) = proposals.first() else { return Err(unknown_content()) };
    let body = expected(proposal)?;
    let client = RekorV1::new(&log.url, &Options::default()).map_err(failure)?;
    let Some(entry) = find_or_add(&client, log, proposal, absent).await? else { return Ok(None) };
    let unsound = |error: &dyn std::fmt::Display| {
        Failure::check(format!("{} answered with an entry that is not believed: {error}", log.url))
    };
    if let Some(body) = body {
        entry.check_body(&body).map_err(|error| unsound(&error))?;
    }
    let key = log.key_v1(&entry.log_id)?;
    entry.check(None, &key).map_err(|error| unsound(&error))?;
    let kind = match kind {
        DEFAULT_KIND => KindVersion::HashedRekordV001,
        "intoto" => KindVersion::IntotoV002,
        _ => KindVersion::DsseV001,
    };
    described(&entry, kind, key.log_id()).map(Some).map_err(|error| unsound(&error))
}

async fn find_or_add(
    client: &RekorV1,
    log: &Log,
    proposal: &Proposal,
    absent: Absent,
) -> Result<Option<Entry>, Failure> {
    if absent == Absent::Leave {
        let query = Retrieve { entries: vec![&proposal.json], ..Retrieve::default() };
        return Ok(client.retrieve(&query).await.map_err(failure)?.pop());
    }
    match client.create(&proposal.json).await.map_err(failure)? {
        Created::New { entry, .. } => Ok(Some(*entry)),
        Created::Exists { id, .. } => {
            let entry = client.entry(&id).await.map_err(failure)?;
            let gone = || Failure::check(format!("{} says that it has entry {id}, and has it not", log.url));
            let entry = entry.ok_or_else(gone)?;
            entry.check_id(Some(&id)).map_err(Failure::check)?;
            Ok(Some(entry))
        }
    }
}

/// Whether it is one that verifiers look for in the log.
fn is_revocation(envelope: &DsseEnvelope) -> bool {
    Statement::parse(&envelope.payload_type, envelope.payload.as_bytes())
        .is_ok_and(|statement| statement.predicate_type == REVOCATION)
}

/// A v1 entry as bundles have it.
pub(super) fn described(
    entry: &Entry,
    kind: KindVersion,
    log_id: Hash,
) -> Result<TransparencyLogEntry, sigstore_types::Error> {
    let proof = proof(entry)?;
    let promise = SignedTimestamp::new(entry.verification.signed_entry_timestamp.clone());
    let time =
        i64::try_from(entry.integrated_time).ok().and_then(|time| jiff::Timestamp::from_second(time).ok());
    let described = TransparencyLogEntry::new(
        LogIndex::new(entry.log_index)?,
        LogId::new(LogKeyId::new(log_id.0.to_vec())),
        kind,
        CanonicalizedBody::new(entry.body.clone()),
    );
    // Times that no calendar has were not signed for by any log that a trusted root names.
    Ok(described
        .with_integrated_time(time.unwrap_or_default())
        .with_inclusion_promise(InclusionPromise::new(promise))
        .with_inclusion_proof(proof))
}

fn proof(entry: &Entry) -> Result<InclusionProof, sigstore_types::Error> {
    let proof = &entry.verification.inclusion_proof;
    Ok(InclusionProof::new(
        LogIndex::new(proof.log_index)?,
        proof.root_hash.0.into(),
        proof.tree_size,
        proof.hashes.iter().map(|hash| Sha256Hash::from(hash.0)).collect(),
        CheckpointData::new(proof.checkpoint.as_str())?,
    ))
}

/// The proof of an entry as bundles spell it, and as layers of before bundles carry it.
pub(crate) fn inclusion_proof(entry: &Entry) -> Result<String, String> {
    let proof = proof(entry).map_err(|error| error.to_string())?;
    serde_json::to_string(&proof).map_err(|error| error.to_string())
}

async fn v2(
    log: &Log,
    material: &Material,
    content: &SignatureContent,
) -> Result<TransparencyLogEntry, Failure> {
    let algorithm = material.key().map_err(Failure::usage)?.algorithm();
    let (digest, signature) = match content {
        SignatureContent::MessageSignature(signed) => {
            (message_digest(signed)?.1, signed.signature.as_bytes())
        }
        SignatureContent::DsseEnvelope(envelope) => {
            let message = encoding(&envelope.payload_type, envelope.payload.as_bytes());
            (digest(algorithm.hash(), &message), envelope.signature.sig.as_bytes())
        }
        _ => return Err(unknown_content()),
    };
    let verifier = Verifier { material: material.clone(), key_details: algorithm.details() as i32 };
    let refused = |problem| Failure::usage(format!("the log would refuse the entry: {problem}"));
    let proposal = v2::Proposal::new(&digest, signature, &verifier).map_err(refused)?;
    let client = RekorV2::new(&log.url, &Options::default()).map_err(failure)?;
    let proved = client.create(&proposal).await.map_err(failure)?;
    let unsound = |error: &dyn std::fmt::Display| {
        Failure::check(format!("{} answered with an entry that is not believed: {error}", log.url))
    };
    let sound = proved.check(&proposal.body, &log.keys_v2()).map_err(|error| unsound(&error))?;
    let described = || {
        let proof = InclusionProof::new(
            LogIndex::new(proved.index)?,
            sound.root.0.into(),
            sound.size,
            proved.hashes.iter().map(|hash| Sha256Hash::from(hash.0)).collect(),
            CheckpointData::new(proved.checkpoint.as_str())?,
        );
        let entry = TransparencyLogEntry::new(
            LogIndex::new(proved.index)?,
            LogId::new(LogKeyId::new(sound.log_id.0.to_vec())),
            KindVersion::HashedRekordV002,
            CanonicalizedBody::new(proposal.body.clone()),
        );
        Ok::<_, sigstore_types::Error>(entry.with_inclusion_proof(proof))
    };
    described().map_err(|error| unsound(&error))
}

/// The envelope as v1 logs are sent it; some verifiers hash it again in this order of members.
pub(crate) fn envelope_text(envelope: &DsseEnvelope) -> String {
    let (payload, signature) = (envelope.payload.as_bytes(), envelope.signature.sig.as_bytes());
    format!(
        r#"{{"payload":"{}","payloadType":{},"signatures":[{{"sig":"{}"}}]}}"#,
        STANDARD.encode(payload),
        json!(envelope.payload_type),
        STANDARD.encode(signature),
    )
}

fn message_digest(signed: &sigstore_types::MessageSignature) -> Result<(HashAlgorithm, Vec<u8>), Failure> {
    let digest = signed.message_digest.as_ref();
    let digest = digest.map(|digest| digest.digest.as_bytes().to_vec()).ok_or_else(unknown_content)?;
    let hash = match digest.len() {
        48 => HashAlgorithm::Sha384,
        64 => HashAlgorithm::Sha512,
        _ => HashAlgorithm::Sha256,
    };
    Ok((hash, digest))
}

/// The types allow for more than this program makes.
fn unknown_content() -> Failure {
    Failure::check("the bundle has neither an envelope nor a signature with its digest")
}
