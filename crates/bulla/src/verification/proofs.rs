//! The proofs that layers of before bundles have no place for. Where a log may be asked it is, and its answer becomes a part of
//! the layer, as it is of those that `bulla sign` writes: so a layer is judged as a bundle is, and its proof is carried along.

use std::collections::BTreeMap;
use std::time::Duration;

use bulla_claims::identity::LoggedAs;
use bulla_claims::judge::{LAYER_PROOF, Outcome, TrustedRoot};
use bulla_rekor::client::v1::{EntryId, Options, RekorV1};
use bulla_tlog::Hash;

use super::Asked;
use super::found::{Candidate, Form, Found, Unread};
use crate::signing::inclusion_proof;

/// Which logs may be asked, and where. By default each where the trusted root says that it is.
#[derive(Default)]
pub(crate) struct Logs {
    /// None may be.
    pub(crate) offline: bool,
    /// All are there.
    pub(crate) url: Option<String>,
}

impl Logs {
    /// Where a log can be asked, if it may be.
    pub(super) fn url<'a>(&'a self, root: &'a TrustedRoot, log_id: &[u8]) -> Option<&'a str> {
        self.url.as_deref().or_else(|| root.log_url(log_id)).filter(|_| !self.offline)
    }
}

impl Found {
    /// Has the entries of layers proved that a log only promised. What a log does not answer is not known, what it does not
    /// have is not signed as it says. Of copies of a layer one is asked for, and a log that was not heard is not asked again.
    pub(super) async fn prove(&mut self, image: &Hash, asked: &Asked, now: u64) {
        let mut proofs: BTreeMap<[u8; 32], Option<String>> = BTreeMap::new();
        let mut silent: BTreeMap<String, String> = BTreeMap::new();
        for Candidate { place, judged, form } in &mut self.candidates {
            let Form::Layer { annotations, .. } = form else { continue };
            let entry = judged.signed.as_ref().and_then(|signed| signed.entry);
            let Some(entry) = entry.filter(|_| judged.verified() && !annotations.contains_key(LAYER_PROOF))
            else {
                continue;
            };
            let Some(url) = asked.logs.url(&asked.root, &entry.log_id.0) else { continue };
            let answer = match (proofs.get(&entry.leaf_hash.0), silent.get(url)) {
                (Some(known), _) => Ok(known.clone()),
                (None, Some(problem)) => Err(problem.clone()),
                (None, None) => proof(url, &entry).await,
            };
            match &answer {
                Ok(known) => drop(proofs.insert(entry.leaf_hash.0, known.clone())),
                Err(problem) => drop(silent.insert(url.to_owned(), problem.clone())),
            }
            match answer {
                Ok(Some(proof)) => {
                    annotations.insert(LAYER_PROOF.to_owned(), proof);
                    *judged = form.judge(image, asked, now);
                }
                Ok(None) => {
                    let problem = format!("{url} promised entry {} and has it not", entry.leaf_hash);
                    judged.weigh_inclusion(Outcome::Failed(problem));
                }
                Err(problem) => {
                    let problem = format!(
                        "the log only promised its entry, and was not heard: {problem}; --offline takes the promise for enough"
                    );
                    self.unread.push(Unread { place: place.clone(), problem: problem.clone() });
                    judged.weigh_inclusion(Outcome::Failed(problem));
                }
            }
        }
    }
}

/// What the log says to prove that it has an entry; it is yet to be judged.
async fn proof(url: &str, entry: &LoggedAs) -> Result<Option<String>, String> {
    let options = Options { timeout: PATIENCE, retries: 1, ..Options::default() };
    let client = RekorV1::new(url, &options).map_err(|error| error.to_string())?;
    let id = EntryId { tree: None, uuid: entry.leaf_hash };
    let found = client.entry(&id).await.map_err(|error| error.to_string())?;
    let proof = found.map(|found| inclusion_proof(&found).map_err(|error| format!("{url}: {error}")));
    proof.transpose()
}

/// For an answer. Whoever verifies waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
