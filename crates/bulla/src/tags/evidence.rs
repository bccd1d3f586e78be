//! Whether one entry of a log is somebody's word about a tag. Everything that verifiers ask of a bundle is asked: the log, the
//! proof, the promise, the signature, the certificate if there is one. Nothing but the entry itself is read for it.

use bulla_claims::Material;
use bulla_claims::attestation::{Statement, WantedType};
use bulla_claims::describe;
use bulla_claims::judge::{Artifact, Content, Need, Policy, Signed, TrustedRoot, judge_bundle};
use bulla_claims::tag::{APPROVAL, Approval, Logged, RECORD, Record, Said, TagName, carried};
use bulla_rekor::client::v1::Entry;
use bulla_tlog::sha256;
use sigstore_types::KindVersion;

use super::roles::Roles;
use crate::home::unix_now;
use crate::signing::of_entry;

/// Somebody's word, that they may give.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    /// What it says and where it is.
    pub(crate) logged: Logged,
    /// Who gave it.
    pub(crate) signed: Signed,
}

/// Why a log's answer is not believed: this is no fault of whoever signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("entry {index}: {problem}")]
pub(crate) struct Unbelieved {
    /// Which entry.
    pub(crate) index: u64,
    /// Why.
    pub(crate) problem: String,
    /// Whether it is of a log that the trusted root does not have: a newer one may.
    pub(crate) log_is_unknown: bool,
}

/// Judges an entry as word about that tag. None if it is something else, or somebody's who may not.
pub(crate) fn judge(
    entry: &Entry,
    tag: &TagName,
    roles: &Roles,
    root: &TrustedRoot,
) -> Result<Option<Evidence>, Unbelieved> {
    let unbelieved =
        |problem: String, log_is_unknown| Unbelieved { index: entry.log_index, problem, log_is_unknown };
    entry.check_id(None).map_err(|error| unbelieved(error.to_string(), false))?;
    let Some((payload, statement)) = carried(&entry.body) else { return Ok(None) };
    let Some(said) = said(&statement).filter(|said| tag_of(said) == tag) else { return Ok(None) };
    let Ok(facts) = describe(&entry.body) else { return Ok(None) };
    let [signature] = facts.signatures.as_slice() else { return Ok(None) };
    let people = match &said {
        Said::Record(_) => &roles.recorders,
        Said::Approval(_) => &roles.approvers,
    };
    // Whose it says to be costs nothing to read, and most of what strangers log ends here.
    if !Signed::claimed(&signature.material).is_some_and(|claimed| people.has(&claimed)) {
        return Ok(None);
    }
    let kind = KindVersion::IntotoV002;
    let bundle = of_entry(entry, kind, &signature.material, &signature.bytes, &payload)
        .map_err(|problem| unbelieved(problem, false))?;
    let policy = Policy {
        keys: people.keys.clone(),
        identities: people.identities.clone(),
        content: Content::Attestation(WantedType::Exact(statement.predicate_type)),
        log: Need::Required,
        sct: Need::Required,
    };
    let judged =
        judge_bundle(bundle.as_bytes(), &Artifact::Sha256(tag.digest()), root, &policy, unix_now() + CLOCKS);
    if let Some(failed) = judged.failed() {
        let bulla_claims::judge::Outcome::Failed(problem) = &failed.outcome else { return Ok(None) };
        // No log takes what a key did not sign, so of entries by a key it is always the log that answers. With a certificate
        // anybody can come, of whatever authority: of that whoever signed answers.
        let is_by_key = matches!(signature.material, Material::PublicKey(_));
        if is_by_key || OF_THE_LOG.contains(&failed.name) {
            return Err(unbelieved(format!("{}: {problem}", failed.name), failed.name == "log"));
        }
        tracing::debug!(
            index = entry.log_index,
            check = failed.name,
            problem,
            "an entry about a tag does not hold"
        );
        return Ok(None);
    }
    let Some(signed) = judged.signed.filter(|signed| people.has(signed)) else { return Ok(None) };
    let at =
        i64::try_from(entry.integrated_time).map_err(|_| unbelieved("its time is none".to_owned(), false))?;
    let logged = Logged { index: entry.log_index, at, payload: sha256(&payload), said };
    Ok(Some(Evidence { logged, signed }))
}

/// Seconds by which the log's clock may be ahead of ours: what is just logged must not be of the future.
const CLOCKS: u64 = 300;
const OF_THE_LOG: [&str; 6] = ["shape", "log", "binding", "inclusion", "promise", "time"];

fn said(statement: &Statement) -> Option<Said> {
    match statement.predicate_type.as_str() {
        RECORD => Record::of(statement).ok().map(Said::Record),
        APPROVAL => Approval::of(statement).ok().map(Said::Approval),
        _ => None,
    }
}

fn tag_of(said: &Said) -> &TagName {
    match said {
        Said::Record(record) => &record.tag,
        Said::Approval(approval) => &approval.tag,
    }
}
