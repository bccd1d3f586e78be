//! Whether of two heads of a log the larger continues the smaller: at once where the sizes are the same, else by a proof that
//! the log is asked for, through whichever of its APIs signed the heads.

use std::time::Duration;

use bulla_claims::judge::LogHead;
use bulla_ledger::fsck::Objects;
use bulla_rekor::client::Remote;
use bulla_rekor::client::v1::{Options, RekorV1};
use bulla_tlog::note::Note;
use bulla_tlog::{Checkpoint, Hash, Plan, verify_consistency};

/// Where a log can be asked, if it may be.
pub(super) struct Log<'a> {
    pub(super) url: Option<&'a str>,
}

/// What is known of two heads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Continuity {
    /// The larger continues the smaller.
    Holds,
    /// It does not: the log signed two pasts.
    Broken(String),
    /// Nobody could be asked, or had an answer.
    Unproved(String),
}

/// Compares two heads.
pub(super) async fn continuity(one: &LogHead, other: &LogHead, log: &Log<'_>) -> Continuity {
    let (old, new) = if one.size < other.size { (one, other) } else { (other, one) };
    if old.size == new.size {
        return if old.root == new.root {
            Continuity::Holds
        } else {
            let (a, b) = (one.root.to_base64(), other.root.to_base64());
            Continuity::Broken(format!("the roots are {a} and {b}"))
        };
    }
    if old.size == 0 {
        return Continuity::Holds;
    }
    let Some(url) = log.url else { return Continuity::Unproved("for nobody was asked".to_owned()) };
    match proof(url, tree_number([&old.origin, &new.origin]), old.size, new.size).await {
        Err(problem) => Continuity::Unproved(problem),
        Ok(proof) => match verify_consistency(old.size, new.size, &old.root, &new.root, &proof) {
            Ok(()) => Continuity::Holds,
            Err(error) => Continuity::Broken(format!("the proof of {url} does not hold: {error}")),
        },
    }
}

/// Which tree of a v1 log heads with these origins are of; none are through tiles.
pub(crate) fn tree_number<'a>(origins: impl IntoIterator<Item = &'a String>) -> Option<u64> {
    origins.into_iter().find_map(|origin| origin.rsplit_once(" - ")?.1.parse().ok())
}

/// The log's proof that its tree of `new` entries continues that of `old`: by its v1 API if the tree has a number there, else
/// from its tiles. It is yet to be verified.
pub(crate) async fn proof(url: &str, tree: Option<u64>, old: u64, new: u64) -> Result<Vec<Hash>, String> {
    let proof = tokio::time::timeout(PATIENCE, ask(url, tree, old, new)).await;
    proof.unwrap_or_else(|_| Err(format!("{url}: no answer in {} s", PATIENCE.as_secs())))
}

async fn ask(url: &str, tree: Option<u64>, old: u64, new: u64) -> Result<Vec<Hash>, String> {
    if tree.is_some() {
        let options = Options { timeout: PATIENCE, retries: 0, ..Options::default() };
        let client = RekorV1::new(url, &options).map_err(|error| error.to_string())?;
        let proof = client.proof(old, new, tree).await;
        return proof.map(|proof| proof.hashes).map_err(|error| error.to_string());
    }
    let plan = Plan::consistency(old, new).ok_or("sizes of no proof")?;
    let log = Remote::open(url).await.map_err(|error| error.to_string())?;
    let objects = Objects::new(&log);
    let current = objects.checkpoint().await.map_err(|error| error.to_string())?;
    let current = Note::parse(&current).ok().and_then(|note| Checkpoint::parse(&note.text).ok());
    // By its size the tiles are found; what they say is proved by the roots alone.
    let size = current.filter(|head| head.size >= new).map(|head| head.size);
    let size = size.ok_or_else(|| format!("{url} has a smaller tree than it signed"))?;
    objects.proof(&plan, size).await.map_err(|error| error.to_string())
}

/// For an answer. Whoever verifies waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
