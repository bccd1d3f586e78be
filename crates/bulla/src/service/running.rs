//! A log that runs: its shards with their ledgers and search indexes, and how one shard follows another. Commands that work on
//! one's own log start it through this, and end it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulla_claims::keys::PublicKeyDetails;
use bulla_ledger::cosigners::Cosigners;
use bulla_ledger::storage::StorageError;
use bulla_ledger::{IndexAt, Log, Options, StartError};
use bulla_rekor::search::Search;
use bulla_rekor::wire::v1::id::TreeId;
use bulla_rekor::{Shard, Shards};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::command::Failure;
use crate::home::{Home, Identity, List, Listed, Next, OpenTree, Tree, new_tree, place, unix_now, unlisted};

/// How the shards of a log are run.
#[derive(Clone)]
pub(crate) struct How {
    /// Asks witnesses before publishing, if there is a policy.
    pub(crate) cosigners: Option<Arc<Cosigners>>,
    /// Entries that may wait for the writer.
    pub(crate) queue: usize,
    /// Entries in one commit.
    pub(crate) max_batch: usize,
    /// Bytes of tiles kept in memory.
    pub(crate) cache_bytes: u64,
    /// The history keeps at most one checkpoint in this time.
    pub(crate) history_interval: Duration,
    /// Take no entries.
    pub(crate) read_only: bool,
    /// Told while a deduplication index is rebuilt.
    pub(crate) progress: fn(u64, u64),
    /// Whether the search index follows.
    pub(crate) search: Following,
}

/// Whether the search index follows the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    /// It does.
    Yes,
    /// It does not, and nobody can search.
    No,
}

impl Default for How {
    /// For a command that has something to do with the log and ends.
    fn default() -> Self {
        Self {
            cosigners: None,
            queue: 4096,
            max_batch: 1024,
            cache_bytes: 16 << 20,
            history_interval: Duration::from_mins(1),
            read_only: false,
            progress: |_, _| {},
            search: Following::No,
        }
    }
}

/// See the module.
pub(crate) struct Running {
    dir: PathBuf,
    how: How,
    shards: Arc<Shards>,
    identities: Mutex<Vec<Identity>>,
    followers: Mutex<Vec<JoinHandle<()>>>,
    stop_following: watch::Sender<bool>,
    /// Held while one shard follows another.
    rotating: tokio::sync::Mutex<()>,
}

impl Running {
    /// Opens and starts every shard in a directory, and ends what an interrupted rotation began.
    pub(crate) async fn start(home: Home, in_use: &str, how: How) -> Result<Self, Failure> {
        let dir = home.dir().to_owned();
        let opened = home.open(in_use)?;
        let (stop_following, stopping) = watch::channel(false);
        let (mut shards, mut identities, mut followers) = (Vec::new(), Vec::new(), Vec::new());
        for opened in opened {
            identities.push(opened.tree.identity());
            let (shard, follower) = started(opened, &how, &stopping).await?;
            shards.push(shard);
            followers.extend(follower);
        }
        let running = Self {
            dir,
            how,
            shards: Arc::new(Shards::new(shards)),
            identities: Mutex::new(identities),
            followers: Mutex::new(followers),
            stop_following,
            rotating: tokio::sync::Mutex::new(()),
        };
        let list = running.list()?;
        let unlisted = unlisted(&running.dir, &list).filter(|_| running.active().status().frozen);
        if let Some(unlisted) = unlisted {
            let (active, unlisted) = (running.identity().tree, unlisted.display());
            let problem = format!(
                "shard {active} has ended, and shards.json does not say that {unlisted} followed it: restore shards.json from \
                 a newer copy"
            );
            return Err(Failure::check(problem));
        }
        if let Some(next) = list.next.clone().filter(|_| !running.how.read_only) {
            tracing::warn!(tree = %next.tree, "a rotation was interrupted: ending it");
            running.turn_to(&next).await?;
        }
        Ok(running)
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a shard lies.
    pub(crate) fn place(&self, tree: TreeId) -> Result<PathBuf, Failure> {
        Ok(place(&self.dir, &self.list()?, tree))
    }

    /// The shards.
    pub(crate) fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    /// The ledger that takes entries.
    pub(crate) fn active(&self) -> Log {
        self.shards.active().log().clone()
    }

    /// Who the shards are, oldest first.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who the active shard is.
    pub(crate) fn identity(&self) -> Identity {
        let mut all = self.identities();
        all.pop().expect("a running log has a shard")
    }

    /// Ends the active shard and begins the next, under a new name if one is given. Entries that arrive meanwhile wait.
    pub(crate) async fn rotate(&self, origin: Option<String>) -> Result<(Identity, Identity), Failure> {
        if self.how.read_only {
            return Err(Failure::usage("the log is served --read-only: its shard cannot be ended"));
        }
        let _alone = self.rotating.lock().await;
        let ended = self.identity();
        let named = origin.is_some();
        let origin = origin.unwrap_or_else(|| ended.verifier.name().to_owned());
        if self.how.cosigners.is_some() && origin == ended.verifier.name() {
            let problem = "witnesses know a log by its name and would refuse a new tree under the old one: \
                           pass --origin NAME with a name that no shard had";
            return Err(Failure::usage(problem));
        }
        if named && self.identities().iter().any(|one| one.verifier.name() == origin) {
            return Err(Failure::usage(format!(
                "--origin \"{origin}\" was a shard's before: pass a new name, or none"
            )));
        }
        let next = Next { tree: new_tree()?, origin };
        // The keys are made first: what can fail should fail while the old shard goes on.
        Tree::next(&self.dir, &next)?;
        let mut list = self.list()?;
        list.next = Some(next.clone());
        list.write(&self.dir)?;
        self.turn_to(&next).await?;
        let begun = self.identity();
        let ended = self.identities().into_iter().find(|one| one.tree == ended.tree).unwrap_or(ended);
        Ok((ended, begun))
    }

    /// Ends the active shard and puts the next in its place. What was listed as next stays so until it is done.
    async fn turn_to(&self, next: &Next) -> Result<(), Failure> {
        let opened = Tree::next(&self.dir, next)?.open("stop that one first")?;
        let identity = opened.tree.identity();
        let (shard, follower) = started(opened, &self.how, &self.stop_following.subscribe()).await?;
        self.shards
            .rotate(async |active| {
                let now = unix_now();
                active.log().freeze(now).await.map_err(start_failure)?;
                let mut list = self.list()?;
                for listed in &mut list.shards {
                    listed.ended.get_or_insert(now);
                }
                list.shards.push(Listed { tree: next.tree, ended: None });
                list.next = None;
                list.write(&self.dir)?;
                let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
                for identity in identities.iter_mut() {
                    identity.ended.get_or_insert(now);
                }
                identities.push(identity);
                Ok(shard)
            })
            .await?;
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).extend(follower);
        Ok(())
    }

    fn list(&self) -> Result<List, Failure> {
        List::read(&self.dir)?
            .ok_or_else(|| Failure::check("shards.json went away while the log was running"))
    }

    /// Stops every shard: answers what was accepted, settles, writes the indexes out.
    pub(crate) async fn stop(&self) -> Result<(), StorageError> {
        self.stop_following.send_replace(true);
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        for placed in self.shards.all().iter() {
            placed.log().stop().await?;
        }
        for follower in followers {
            // A search index that was not written out grows back.
            let _panicked = follower.await;
        }
        Ok(())
    }
}

/// Starts the ledger of a shard, and has its search index follow.
async fn started(
    opened: OpenTree,
    how: &How,
    stopping: &watch::Receiver<bool>,
) -> Result<(Shard, Option<JoinHandle<()>>), Failure> {
    let OpenTree { tree, storage } = opened;
    let (dir, id, ended) = (tree.dir().to_owned(), tree.id, tree.ended);
    let (signer, v1_key) = tree.into_signers();
    if v1_key.details() != PublicKeyDetails::PkixEcdsaP256Sha256 {
        tracing::warn!(key = %v1_key.details(), "most v1 clients verify promises of ECDSA P-256 keys only");
    }
    let verifier = signer.verifier().clone();
    let mut options = Options::new(Arc::new(signer), verifier.clone(), IndexAt::Dir(dir.join("index")));
    options.queue = how.queue;
    options.max_batch = how.max_batch;
    options.cache_bytes = how.cache_bytes;
    options.history_interval = how.history_interval;
    options.cosigners.clone_from(&how.cosigners);
    options.read_only = how.read_only;
    options.progress = how.progress;
    let log = Log::start(Arc::new(storage), options).await.map_err(start_failure)?;
    if ended.is_some() && !log.status().frozen {
        let problem = format!(
            "shard {id} is listed as ended, but its log is not frozen: restore {} from a copy",
            dir.display()
        );
        return Err(Failure::check(problem));
    }
    let (search, follower) = match how.search {
        Following::No => (None, None),
        Following::Yes => {
            let search = Search::open(&dir.join("search")).map_err(Failure::unavailable)?;
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let follower = search.follow(log.reader().clone(), threads, stopping.clone());
            (Some(Arc::new(search)), Some(follower))
        }
    };
    let (log_id, origin) = (verifier.log_id(), verifier.name().to_owned());
    Ok((Shard::new(id, log, log_id, origin, v1_key, search), follower))
}

/// Why a log does not start, as a command ends with it.
pub(crate) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Checkpoint(_) | StartError::Storage(StorageError::Corrupt(_)) => Failure::check(error),
        other => Failure::unavailable(other),
    }
}
