//! Revocations as a command learns of them: from files, and from a log that is searched by what they are about.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bulla_claims::identity::{IdentityPattern, Who};
use bulla_claims::judge::{
    Judged, MAX_BUNDLE, Need, Policy, Revocations as Known, Signed, SignedRevocation, TrustedRoot,
};
use bulla_rekor::client::v1::{Options, RekorV1};
use bulla_tlog::{Hash, sha256};
use jiff::Timestamp;

use super::asked::{exactly, public_key};
use super::found::{Candidate, Found, Unread};
use super::searched::{Searched, unseen};
use crate::command::Failure;
use crate::home::unix_now;
use crate::keys::Passwords;
use crate::server::failure;
use crate::target::read_small;

// What can be said.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Revocations to honour: a bundle that `bulla revoke` wrote, or a directory in which each *.json is one; repeat for
    /// more
    #[arg(long, value_name = "FILE|DIR", help_heading = "Revocations")]
    revocations: Vec<PathBuf>,
    /// Public key that may revoke what others signed; who signed may always revoke their own
    #[arg(long, value_name = "REF", help_heading = "Revocations")]
    revoked_by_key: Vec<String>,
    /// Name and issuer of who may revoke what others signed; the last = divides them
    #[arg(long, value_name = "SUBJECT=ISSUER", help_heading = "Revocations")]
    revoked_by_identity: Vec<String>,
    /// Log to search for revocations through its v1 API, and to ask whether it keeps to its past
    #[arg(long, value_name = "URL", conflicts_with = "offline", help_heading = "Revocations")]
    rekor_url: Option<String>,
}

/// The same, read: what is known, and who may say it.
pub(crate) struct Revocations {
    pub(super) signed: Vec<SignedRevocation>,
    pub(super) named: Vec<Who>,
    /// By whose keys one may be signed.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) sct: Need,
    log: Option<(String, RekorV1)>,
    /// Who may revoke what is not theirs, as it was said.
    pub(crate) revokers: Revokers,
    /// What was read, each with its place.
    pub(crate) bundles: Vec<(String, Vec<u8>)>,
}

/// Who may revoke what is not theirs.
#[derive(Clone, Default, Debug)]
pub(crate) struct Revokers {
    /// Their public keys, DER `SubjectPublicKeyInfo`.
    pub(crate) keys: Vec<Vec<u8>>,
    /// Whom certificates may name.
    pub(crate) identities: Vec<IdentityPattern>,
}

impl Args {
    /// The log that is asked.
    pub(super) fn rekor_url(&self) -> Option<&str> {
        self.rekor_url.as_deref()
    }

    /// Reads the files, each of which must be a revocation whose signature holds.
    pub(super) async fn read(
        &self,
        policy: &Policy,
        root: &TrustedRoot,
        offline: bool,
    ) -> Result<Revocations, Failure> {
        let passwords = Passwords::new(None);
        let mut revokers = Revokers::default();
        for reference in &self.revoked_by_key {
            revokers.keys.push(public_key("--revoked-by-key", reference, &passwords, offline).await?);
        }
        for text in &self.revoked_by_identity {
            let refused = |problem| Failure::usage(format!("--revoked-by-identity {text}: {problem}"));
            revokers.identities.push(exactly(text).map_err(refused)?);
        }
        let mut bundles = Vec::new();
        for file in files(&self.revocations)? {
            bundles.push((file.display().to_string(), read_small(&file, MAX_BUNDLE as u64)?));
        }
        let read = Revocations::judge(bundles, revokers, policy, root, unix_now());
        let read = read.map_err(|problem| {
            let fix = "take it out of --revocations, or name its key with --revoked-by-key";
            Failure::usage(format!("{problem}: {fix}"))
        })?;
        let log = self.rekor_url.as_ref().map(|url| {
            let options = Options { timeout: PATIENCE, retries: 1, ..Options::default() };
            Ok::<_, Failure>((url.clone(), RekorV1::new(url, &options).map_err(failure)?))
        });
        Ok(Revocations { log: log.transpose()?, ..read })
    }
}

impl Revocations {
    /// Judges bundles, each of which must be a revocation whose signature holds, as if it were `now` (Unix seconds).
    pub(crate) fn judge(
        bundles: Vec<(String, Vec<u8>)>,
        revokers: Revokers,
        policy: &Policy,
        root: &TrustedRoot,
        now: u64,
    ) -> Result<Self, String> {
        let keys: Vec<_> = policy.keys.iter().chain(&revokers.keys).cloned().collect();
        let mut signed = Vec::new();
        for (place, bytes) in &bundles {
            let judged = SignedRevocation::judge(bytes, place, &keys, root, policy.sct, now);
            signed.push(judged.map_err(|problem| format!("{place} is no revocation that holds: {problem}"))?);
        }
        let named = revokers.keys.iter().map(|key| Who::Key(sha256(key)));
        let named = named.chain(revokers.identities.iter().cloned().map(Who::Identity)).collect();
        Ok(Self { signed, named, keys, sct: policy.sct, log: None, revokers, bundles })
    }

    /// None that anybody knows of.
    pub(crate) fn none(policy: &Policy) -> Self {
        Self {
            signed: Vec::new(),
            named: Vec::new(),
            keys: policy.keys.clone(),
            sct: policy.sct,
            log: None,
            revokers: Revokers::default(),
            bundles: Vec::new(),
        }
    }

    /// Weighs every signature that is verified. What could not be asked makes it unknown, never good.
    /// `about` is the hash of what was signed: what the log has about it and is not shown is returned, for people to read.
    pub(crate) async fn weigh(
        &self,
        found: &mut Found,
        about: Option<Hash>,
        policy: &Policy,
        root: &TrustedRoot,
    ) -> Option<String> {
        if self.log.is_none() && self.signed.is_empty() {
            return None;
        }
        let now = Timestamp::now();
        let verified =
            found.candidates.iter().map(|candidate| &candidate.judged).filter(|one| one.verified());
        let signers: Vec<Signed> = verified.filter_map(|judged| judged.signed.clone()).collect();
        let searched = match &self.log {
            Some((url, log)) => Searched::new(log, url, &signers, self, root).await,
            None => Searched::default(),
        };
        let signed: Vec<_> = self.signed.iter().chain(&searched.signed).cloned().collect();
        let searched_at = self.log.as_ref().map(|(url, _)| url.as_str());
        let known = Known { signed: &signed, named: &self.named, searched: searched_at };
        for Candidate { place, judged, .. } in &mut found.candidates {
            judged.weigh_revocations(&known, now);
            if let Some(problem) = unknown(judged, &searched, &known) {
                judged.revocations_unknown(&problem);
                found.unread.push(Unread { place: format!("revocations of {place}"), problem });
            }
        }
        match (&self.log, about) {
            (Some((url, log)), Some(about)) => unseen(log, url, about, found, policy).await,
            _ => None,
        }
    }

    /// Who may revoke what.
    pub(crate) fn known(&self) -> Known<'_> {
        Known { signed: &self.signed, named: &self.named, searched: None }
    }
}

/// What could not be read and might revoke a signature that is verified so far.
fn unknown(judged: &Judged, searched: &Searched, known: &Known<'_>) -> Option<String> {
    let signed = judged.signed.as_ref().filter(|_| judged.verified())?;
    searched.problem(signed, known).map(str::to_owned)
}

/// The files that are named, and those in directories that are.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = BTreeSet::new();
    for path in named {
        if !path.is_dir() {
            files.insert(path.clone());
            continue;
        }
        let refused =
            |problem: String| Failure::usage(format!("--revocations {}: {problem}", path.display()));
        let failed = |error: std::io::Error| refused(error.to_string());
        let before = files.len();
        for file in std::fs::read_dir(path).map_err(failed)? {
            let file = file.map_err(failed)?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match file.extension() {
                Some(extension) if extension == "json" => drop(files.insert(file)),
                // Such as .gitignore.
                _ if name.starts_with('.') => {}
                _ => {
                    return Err(refused(format!(
                        "{name} is no *.json: what is not read could be a revocation"
                    )));
                }
            }
        }
        if files.len() == before {
            return Err(refused("has no *.json, each of which would be a revocation".to_owned()));
        }
    }
    if files.len() > MOST_FILES {
        let len = files.len();
        return Err(Failure::usage(format!("--revocations: {len} files, at most {MOST_FILES} are read")));
    }
    Ok(files.into_iter().collect())
}

const MOST_FILES: usize = 10_000;
/// For one request, of at most two, before a log counts as one that does not answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
