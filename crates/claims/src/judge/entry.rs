//! What is asked of the entries of logs beside the mathematics: that their log is trusted and its own key signed their
//! checkpoint, and that they are about this signature and no other. An entry for something else, or by another key, is as
//! good as none; verifiers that forgot to look were fooled (GHSA-whqx-f9j3-ch6m, GHSA-fx35-mq7g-6g98).

use bulla_tlog::checkpoint::Checkpoint;
use bulla_tlog::note::{Note, Verifier};
use bulla_tlog::{Hash, leaf_hash, sha256};
use sigstore_verify::types::{Bundle, KindVersion, SignatureContent, TransparencyLogEntry};

use super::check::LogHead;
use super::trust::TrustedRoot;
use crate::entry::describe;
use crate::identity::LoggedAs;
use crate::keys::Material;

/// By what a signature is verified.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// A certificate, and the key in it.
    Certificate { der: &'a [u8], spki: &'a [u8] },
    /// A key that was given.
    Key(&'a [u8]),
}

/// Where an entry is.
pub(super) fn logged_as(entry: &TransparencyLogEntry) -> Option<LoggedAs> {
    let log_id = Hash(entry.log_id.key_id.as_bytes().try_into().ok()?);
    Some(LoggedAs { log_id, leaf_hash: leaf_hash(entry.canonicalized_body.as_bytes()) })
}

/// Whether the entry names a trusted log, and that log signed the checkpoint under its own name.
pub(super) fn of_trusted_log(
    entry: &TransparencyLogEntry,
    root: &TrustedRoot,
) -> Result<Vec<(&'static str, String)>, String> {
    let id = entry.log_id.key_id.as_bytes();
    if !root.logs.contains_key(id) {
        let (log, of) = (&entry.log_id.key_id, root.logs.len());
        return Err(format!("log {log} is not in the trusted root, which has {of}"));
    }
    let mut evidence =
        vec![("log id", entry.log_id.key_id.to_string()), ("log index", entry.log_index.to_string())];
    let envelope = entry.inclusion_proof.as_ref().map_or("", |proof| proof.checkpoint.envelope());
    if envelope.is_empty() {
        return Ok(evidence);
    }
    let head = head_of(entry, root)?.ok_or("checkpoint is missing")?;
    evidence.push(("origin", head.origin));
    evidence.push(("tree size", head.size.to_string()));
    evidence.push(("root hash", head.root.to_base64()));
    Ok(evidence)
}

/// The head that the log of an entry signed, if the entry has one.
pub(super) fn head_of(entry: &TransparencyLogEntry, root: &TrustedRoot) -> Result<Option<LogHead>, String> {
    let id = entry.log_id.key_id.as_bytes();
    let (Some(spki), Some(proof)) = (root.logs.get(id), &entry.inclusion_proof) else { return Ok(None) };
    let note = Note::parse(proof.checkpoint.envelope()).map_err(|error| format!("checkpoint: {error}"))?;
    let is_v2 = entry.kind_version == KindVersion::HashedRekordV002;
    let head = signed_by(&note, proof.checkpoint.envelope(), id, spki, is_v2).ok_or_else(|| {
        format!("checkpoint is not signed by the log {} that the entry names", entry.log_id.key_id)
    })?;
    Ok(Some(head))
}

/// The head in a note, if a log signed it under its own name. In the second version of logs the ID is made of the name too.
fn signed_by(parsed: &Note, note: &str, id: &[u8], spki: &[u8], is_v2: bool) -> Option<LogHead> {
    let (checkpoint, _) = parsed.signatures.iter().find_map(|line| {
        let verifier = Verifier::from_spki(&line.name, spki).ok()?;
        let is_its_name = !is_v2 || verifier.log_id().0.as_slice() == id;
        Checkpoint::open(note, &verifier).ok().filter(|_| is_its_name)
    })?;
    let Checkpoint { origin, size, root, .. } = checkpoint;
    Some(LogHead { log_id: id.to_vec(), origin, size, root, note: note.to_owned() })
}

impl TrustedRoot {
    /// Reads a checkpoint of one of the trusted logs.
    pub fn head(&self, note: &str) -> Result<LogHead, String> {
        let parsed = Note::parse(note).map_err(|error| format!("checkpoint: {error}"))?;
        let head = |(id, spki): (&Vec<u8>, &Vec<u8>)| {
            // The ID of a log of the first version is the hash of its key, of which its notes have the beginning.
            let is_v2 = sha256(spki).0.as_slice() != id.as_slice();
            signed_by(&parsed, note, id, spki, is_v2)
        };
        let of = self.logs.len();
        self.logs
            .iter()
            .find_map(head)
            .ok_or_else(|| format!("checkpoint is signed by none of the {of} trusted logs"))
    }

    /// The address at which a trusted log can be asked.
    pub fn log_url(&self, log_id: &[u8]) -> Option<&str> {
        self.urls.get(log_id).map(String::as_str)
    }
}

/// Whether the entry has this signature, by this key, over this content, and nothing else. `signed` is the SHA-256 of what a
/// message signature is over.
pub(super) fn bound(
    entry: &TransparencyLogEntry,
    bundle: &Bundle,
    by: By<'_>,
    signed: &Hash,
) -> Result<Vec<(&'static str, String)>, String> {
    let facts = describe(entry.canonicalized_body.as_bytes()).map_err(|error| error.to_string())?;
    let (kind, version) = (entry.kind_version.kind(), entry.kind_version.version());
    if (facts.kind.as_str(), facts.version.as_str()) != (kind, version) {
        return Err(format!("entry is {}/{}, the bundle says {kind}/{version}", facts.kind, facts.version));
    }
    let (signature, digest) = match (&bundle.content, entry.kind_version) {
        (
            SignatureContent::MessageSignature(message),
            KindVersion::HashedRekordV001 | KindVersion::HashedRekordV002,
        ) => (&message.signature, *signed),
        (SignatureContent::DsseEnvelope(envelope), KindVersion::HashedRekordV002) => {
            (&envelope.signature.sig, sha256(&envelope.pae()))
        }
        (SignatureContent::DsseEnvelope(envelope), KindVersion::DsseV001 | KindVersion::IntotoV002) => {
            (&envelope.signature.sig, sha256(envelope.payload.as_bytes()))
        }
        _ => return Err(format!("an entry {kind}/{version} does not go with what the bundle has")),
    };
    let logged = facts.digest.filter(|logged| ["sha256", "SHA2_256"].contains(&logged.algorithm.as_str()));
    let logged = logged.ok_or("entry has no SHA-256 of what was signed")?;
    if logged.bytes != digest.0 {
        let logged =
            Hash::from_slice(&logged.bytes).map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        return Err(format!("entry is about another artifact, sha256 {logged}, {digest} was expected"));
    }
    let [only] = facts.signatures.as_slice() else {
        return Err(format!("entry has {} signatures, one was expected", facts.signatures.len()));
    };
    if only.bytes != signature.as_bytes() {
        return Err("entry has another signature than the bundle".to_owned());
    }
    let same = match (&only.material, by) {
        (Material::Certificate(logged), By::Certificate { der, .. }) => logged == der,
        // This kind keeps the key of a certificate, or the certificate.
        (Material::PublicKey(logged), By::Certificate { spki, .. }) => {
            entry.kind_version == KindVersion::IntotoV002 && logged == spki
        }
        (Material::PublicKey(logged), By::Key(spki)) => logged == spki,
        (Material::Certificate(_), By::Key(_)) => false,
    };
    if !same {
        return Err("entry has another key or certificate than the one that signed".to_owned());
    }
    Ok(vec![("kind", format!("{kind}/{version}"))])
}
