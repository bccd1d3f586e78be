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

/// How long after a failure a rotation goes on.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Running {
    dir: PathBuf,
    how: How,
    shards: Arc<Shards>,
    identities: Mutex<Vec<Identity>>,
    followers: Mutex<Vec<JoinHandle<()>>>,
    stop_following: watch::Sender<bool>,
    /// Held while one shard follows another. Here the next one waits, started, until the active one has ended.
    coming: tokio::sync::Mutex<Option<Coming>>,
}

/// A shard that is about to follow.
struct Coming {
    next: Next,
    identity: Identity,
    shard: Shard,
    follower: Option<JoinHandle<()>>,
}

impl Running {
    /// Opens and starts every shard in a directory, and ends what an interrupted rotation began.
    pub(crate) async fn start(home: Home, in_use: &str, how: How) -> Result<Self, Failure> {
        let dir = home.dir().to_owned();
        let next = home.next();
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
            coming: tokio::sync::Mutex::default(),
        };
        let list = List { next: next.clone(), ..running.list() };
        let unlisted = unlisted(&running.dir, &list);
        if let Some(unlisted) = unlisted.filter(|_| running.active().status().frozen) {
            let (active, unlisted) = (running.identity().tree, unlisted.display());
            let problem = format!(
                "shard {active} has ended, and shards.json does not say that {unlisted} followed it: restore shards.json from \
                 a newer copy"
            );
            return Err(Failure::check(problem));
        }
        if let Some(next) = next.filter(|_| !running.how.read_only) {
            tracing::warn!(tree = %next.tree, "a rotation was interrupted: ending it");
            let mut coming = Some(running.begin(next).await?);
            running.turn_to(&mut coming).await.map_err(start_failure)?;
        }
        Ok(running)
    }

    /// The data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a shard lies.
    pub(crate) fn place(&self, tree: TreeId) -> PathBuf {
        place(&self.dir, &self.list(), tree)
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
        let mut waiting = self.coming.lock().await;
        let ended = self.identity();
        if self.active().status().frozen {
            return Err(Failure::usage(
                "the log is frozen: it has ended for good and is followed by no shard",
            ));
        }
        let named = origin.is_some();
        let origin = origin.unwrap_or_else(|| ended.verifier.name().to_owned());
        if self.how.cosigners.is_some() && origin == ended.verifier.name() {
            let problem = "witnesses know a log by its name and would refuse a new tree under the old one: \
                           pass --next-origin NAME with a name that no shard had";
            return Err(Failure::usage(problem));
        }
        if named && self.identities().iter().any(|one| one.verifier.name() == origin) {
            return Err(Failure::usage(format!(
                "--next-origin \"{origin}\" was a shard's before: pass a new name, or none"
            )));
        }
        // Of an attempt that failed before the active shard was touched.
        let coming = match waiting.take() {
            Some(coming) if coming.next.origin == origin => coming,
            _ => {
                let next = Next { tree: new_tree()?, origin };
                // The keys are made first: what can fail should fail while the old shard goes on.
                Tree::next(&self.dir, &next)?;
                self.begin(next).await?
            }
        };
        let list = List { next: Some(coming.next.clone()), ..self.list() };
        if let Err(failure) = list.write(&self.dir) {
            *waiting = Some(coming);
            return Err(failure);
        }
        *waiting = Some(coming);
        // The active shard takes nothing from here on, so there is no way back. Entries are told to come again meanwhile.
        while let Err(error) = self.turn_to(&mut waiting).await {
            if let StartError::Checkpoint(_) | StartError::Storage(StorageError::Corrupt(_)) = error {
                return Err(start_failure(error));
            }
            if !self.active().status().stopping {
                // Nothing was touched: the old shard goes on.
                self.list().write(&self.dir)?;
                return Err(start_failure(error));
            }
            tracing::error!(%error, "the active shard cannot be ended; trying again");
            tokio::time::sleep(RETRY).await;
        }
        let begun = self.identity();
        let ended = self.identities().into_iter().find(|one| one.tree == ended.tree).unwrap_or(ended);
        Ok((ended, begun))
    }

    /// Opens and starts the shard that is to follow.
    async fn begin(&self, next: Next) -> Result<Coming, Failure> {
        let opened = Tree::next(&self.dir, &next)?.open("stop that one first")?;
        let identity = opened.tree.identity();
        let (shard, follower) = started(opened, &self.how, &self.stop_following.subscribe()).await?;
        Ok(Coming { next, identity, shard, follower })
    }

    /// Ends the active shard and puts the next in its place, which is listed as next until that is done. If it fails, the
    /// next shard waits in `coming` to be put there later; the active one may have stopped by then.
    async fn turn_to(&self, coming: &mut Option<Coming>) -> Result<(), StartError> {
        let Some(next) = coming.take() else { return Ok(()) };
        let turned = self.shards.rotate(async |active| {
            let now = unix_now();
            if let Err(error) = active.log().freeze(now).await {
                *coming = Some(next);
                return Err(error);
            }
            let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(identity) = identities.last_mut() {
                identity.ended = Some(now);
                identity.url = Identity::url(&self.dir);
            }
            identities.push(next.identity);
            self.followers.lock().unwrap_or_else(PoisonError::into_inner).extend(next.follower);
            Ok(next.shard)
        });
        turned.await?;
        // Until it can be written, the list on the disk says that this rotation is to be ended, which is no less true.
        if let Err(failure) = self.list().write(&self.dir) {
            tracing::warn!(%failure, "the list of shards cannot be written; the next start or rotation writes it");
        }
        Ok(())
    }

    /// The list of the shards that are running.
    fn list(&self) -> List {
        let listed = |one: &Identity| Listed { tree: one.tree, ended: one.ended, url: one.url.clone() };
        List { shards: self.identities().iter().map(listed).collect(), next: None }
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
    Ok((Shard::new(id, log, verifier, v1_key, search), follower))
}

/// Why a log does not start, as a command ends with it.
pub(crate) fn start_failure(error: StartError) -> Failure {
    match error {
        StartError::Checkpoint(_) | StartError::Storage(StorageError::Corrupt(_)) => Failure::check(error),
        other => Failure::unavailable(other),
    }
}
