//! A log of v1 that is searched for a tag, and takes a record of it if nothing came between. Its search is believed in what it
//! shows, for that is proved; what it does not show is another matter, see [`super::walk()`].

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bulla_claims::judge::TrustedRoot;
use bulla_claims::tag::{History, TagName, carrying};
use bulla_rekor::client::v1::{
    ClientError, CreatedOnce, Entry, EntryId, Materials, Options, RekorV1, Retrieve, Search, expected_body,
    propose,
};
use bulla_tlog::leaf_hash;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};

use super::evidence::{Evidence, Unbelieved, judge};
use super::roles::Roles;
use crate::command::Failure;
use crate::signing::{self, Prefer, Signing};

/// See the module.
pub(crate) struct TagLog {
    pub(crate) client: RekorV1,
    roles: Roles,
    root: RwLock<Arc<TrustedRoot>>,
    /// When newer trust was last asked for; held while it is.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// Where a newer one is had, if it can be.
    root_from: Option<signing::Args>,
}

/// What a log shows of a tag.
pub(crate) struct Look {
    /// What it comes to.
    pub(crate) history: History,
    /// The entries that it is made of, by index.
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Every entry found, of whomever, has a smaller index.
    pub(crate) since: u64,
    /// Every entry of a smaller index was looked at, if the log says so.
    pub(crate) complete: Option<u64>,
}

/// What became of a record.
pub(crate) enum Added {
    /// It is in the log, and nothing came between.
    Ours(Box<Entry>),
    /// It is in the log, which does not say whether something came between.
    Perhaps(Box<Entry>),
    /// It is not: something came between.
    Other,
}

/// Why a log does not say, or does not do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum TagLogError {
    /// It cannot be asked now.
    #[error("{0}")]
    Unavailable(String),
    /// Its answer is not believed.
    #[error("{0}")]
    Unbelieved(String),
    /// It, or whoever signs for us, does not do what it is asked.
    #[error("{0}")]
    Refused(String),
}

/// Who signs statements about tags. What it signs with is opened when it is first needed, and again when it has ended.
pub(crate) struct Propose {
    args: signing::Args,
    open: tokio::sync::Mutex<Option<Signing>>,
}

impl From<ClientError> for TagLogError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            ClientError::Refused { status, .. } if status.is_server_error() => {
                Self::Unavailable(error.to_string())
            }
            ClientError::Answer { .. } => Self::Unbelieved(error.to_string()),
            ClientError::Url { .. } | ClientError::Refused { .. } => Self::Refused(error.to_string()),
        }
    }
}

impl From<Unbelieved> for TagLogError {
    fn from(error: Unbelieved) -> Self {
        Self::Unbelieved(error.to_string())
    }
}

impl From<TagLogError> for Failure {
    fn from(error: TagLogError) -> Self {
        match error {
            TagLogError::Unavailable(_) => Self::unavailable(error),
            TagLogError::Unbelieved(_) => Self::check(error),
            TagLogError::Refused(_) => Self::usage(error),
        }
    }
}

impl TagLog {
    /// The log at that address. `root_from` says where newer trust is had, when the log has begun another shard.
    pub(crate) fn new(
        url: &str,
        roles: Roles,
        root: Arc<TrustedRoot>,
        root_from: Option<signing::Args>,
    ) -> Result<Self, Failure> {
        Self::with_token(url, roles, root, root_from, None)
    }

    /// The same, of a log that wants to know who writes.
    pub(crate) fn with_token(
        url: &str,
        roles: Roles,
        root: Arc<TrustedRoot>,
        root_from: Option<signing::Args>,
        token: Option<String>,
    ) -> Result<Self, Failure> {
        let options = Options { timeout: PATIENCE, retries: 1, token, ..Options::default() };
        let client = RekorV1::new(url, &options).map_err(crate::server::failure)?;
        let root = RwLock::new(root);
        Ok(Self { client, roles, root, asked: tokio::sync::Mutex::default(), root_from })
    }

    /// Everything that the log shows of a tag.
    pub(crate) async fn look(&self, tag: &TagName) -> Result<Look, TagLogError> {
        let hash = Some(format!("sha256:{}", tag.digest()));
        let (mut ids, complete) = self.client.search_below(&Search { hash, ..Search::default() }).await?;
        ids.sort_by_key(|id| (id.tree, id.uuid.0));
        ids.dedup();
        if ids.len() > MOST_ENTRIES {
            let problem = format!(
                "the log has {} entries about {tag}, at most {MOST_ENTRIES} are read: somebody floods it",
                ids.len()
            );
            return Err(TagLogError::Refused(problem));
        }
        let batches: Vec<Vec<EntryId>> = ids.chunks(A_BATCH).map(<[_]>::to_vec).collect();
        let fetched = iter(batches).map(|batch| self.entries(batch)).buffered(AT_ONCE);
        let found: Vec<Vec<Entry>> = fetched.try_collect().await?;
        let (mut entries, mut logged, mut since) = (BTreeMap::new(), Vec::new(), 0);
        for entry in found.into_iter().flatten() {
            since = since.max(entry.log_index.saturating_add(1));
            if let Some(evidence) = self.judge(&entry, tag).await? {
                logged.push(evidence.logged);
                entries.insert(entry.log_index, entry);
            }
        }
        Ok(Look { history: History::of(logged), entries, since, complete })
    }

    /// The entries of those names, all of them.
    async fn entries(&self, ids: Vec<EntryId>) -> Result<Vec<Entry>, TagLogError> {
        let query = Retrieve { ids: ids.iter().map(ToString::to_string).collect(), ..Retrieve::default() };
        let found = self.client.retrieve(&query).await?;
        match ids.iter().find(|id| !found.iter().any(|entry| id.is_answered_by(&entry.id))) {
            Some(missing) => Err(TagLogError::Unbelieved(format!(
                "the log's search names entry {missing}, which the log does not show"
            ))),
            None => Ok(found),
        }
    }

    /// What an entry says about that tag, if it is somebody's who may; newer trust is had if the log is a new one.
    pub(crate) async fn judge(&self, entry: &Entry, tag: &TagName) -> Result<Option<Evidence>, Unbelieved> {
        let root = self.root();
        match judge(entry, tag, &self.roles, &root) {
            Err(error) if error.log_is_unknown => match self.newer_than(&root).await {
                Some(newer) => judge(entry, tag, &self.roles, &newer),
                None => Err(error),
            },
            judged => judged,
        }
    }

    /// Whom to believe.
    pub(crate) fn root(&self) -> Arc<TrustedRoot> {
        Arc::clone(&self.root.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Newer trust than that, if there is any: somebody else may have had it meanwhile, and it is not asked for all the time.
    async fn newer_than(&self, root: &Arc<TrustedRoot>) -> Option<Arc<TrustedRoot>> {
        let args = self.root_from.as_ref()?;
        let mut asked = self.asked.lock().await;
        let now = self.root();
        if !Arc::ptr_eq(&now, root) {
            return Some(now);
        }
        if asked.is_some_and(|asked| asked.elapsed() < RENEWED_AFTER) {
            return None;
        }
        *asked = Some(Instant::now());
        match args.root().await {
            Ok(newer) => {
                *self.root.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newer);
                tracing::info!("the log is one that was not known: the trusted root was read again");
                Some(newer)
            }
            Err(failure) => {
                tracing::warn!(%failure, "the log is one that is not known, and the trusted root cannot be read again");
                None
            }
        }
    }

    /// Logs a statement about a tag, if the log has no entry about it from `since` on.
    pub(crate) async fn add(
        &self,
        by: &Propose,
        tag: &TagName,
        statement: &[u8],
        since: u64,
    ) -> Result<Added, TagLogError> {
        let envelope = by.sign(statement).await?;
        let materials = Materials {
            artifact: Some(envelope.text),
            public_keys: vec![envelope.key],
            ..Materials::default()
        };
        let refused = |problem: &dyn std::fmt::Display| TagLogError::Refused(problem.to_string());
        let proposals = propose("intoto", Some("0.0.2"), &materials).map_err(|error| refused(&error))?;
        let Some(proposal) = proposals.first() else { return Err(refused(&"there is nothing to propose")) };
        let body = expected_body(proposal).map_err(|fault| refused(&fault.to_string()))?;
        let ours = body.map(|body| leaf_hash(&body));
        let created = self.client.create_once(&proposal.json, &tag.digest(), since).await?;
        let id = match created {
            CreatedOnce::New { entry, honoured: true, .. } => return Ok(Added::Ours(entry)),
            CreatedOnce::New { entry, honoured: false, .. } => return Ok(Added::Perhaps(entry)),
            CreatedOnce::Exists { id, .. } | CreatedOnce::Other { id, .. } => id,
        };
        if ours != Some(id.uuid) {
            return Ok(Added::Other);
        }
        // An attempt of before, whose answer was lost.
        match self.client.entry(&id).await? {
            Some(entry) => Ok(Added::Perhaps(Box::new(entry))),
            None => Err(TagLogError::Unbelieved(format!("the log names entry {id}, which it does not show"))),
        }
    }
}

impl Propose {
    /// Whoever these options name, opened already.
    pub(crate) fn new(args: signing::Args, open: Signing) -> Self {
        Self { args, open: tokio::sync::Mutex::new(Some(open)) }
    }

    async fn sign(&self, statement: &[u8]) -> Result<signing::Envelope, TagLogError> {
        let mut open = self.open.lock().await;
        let key_id = carrying(statement);
        if let Some(signing) = open.as_mut() {
            match signing.envelope(statement, &key_id).await {
                Ok(envelope) => return Ok(envelope),
                // Tokens end; whoever gave this one may have another by now.
                Err(failure) => tracing::debug!(%failure, "what signs is opened again"),
            }
        }
        *open = None;
        let cannot = |failure: Failure| {
            let said = format!("cannot sign: {failure}");
            if failure.is_unavailable() { TagLogError::Unavailable(said) } else { TagLogError::Refused(said) }
        };
        let mut signing = self.args.open(Prefer::Searchable).await.map_err(cannot)?;
        let envelope = signing.envelope(statement, &key_id).await.map_err(cannot)?;
        *open = Some(signing);
        Ok(envelope)
    }
}

/// For one answer of the log.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most entries about one tag that are read.
const MOST_ENTRIES: usize = 10_000;
/// How many are asked for at once: a reference server gives no more.
const A_BATCH: usize = 10;
const AT_ONCE: usize = 4;
/// How often newer trust is asked for.
const RENEWED_AFTER: Duration = Duration::from_secs(10);
