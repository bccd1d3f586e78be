//! What becomes of a pull by tag. A tag that is known is served while it points where its record says; else, and before anything
//! is served of a tag that is not known, the log is asked, and the answer is recorded there first. Of several proxies on one log
//! all come to the same record, because the log takes the first alone and the rule of histories is the same for all.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bulla_claims::tag::{Finding, History, Logged, Record, Rule, Said, TagName, is_made_of_digest};
use bulla_rekor::client::v1::Entry;
use bulla_rekor::guard::Allowance;
use bulla_tlog::Hash;
use http::HeaderMap;
use jiff::Timestamp;
use quick_cache::sync::Cache;

use super::args::Unknown;
use super::flights::Flights;
use super::known::{Kept, Known, Store, StoreError};
use super::manifests::Manifests;
use super::policy::TagPolicy;
use super::refusal::{Moved, Refusal};
use super::seen::{Seen, What};
use super::upstream::{Upstream, canonical};
use crate::registry::{Digest, Manifest, Name, Repository, Tag, Whose};
use crate::tags::{self, Added, Look, Propose, TagLog, TagLogError};

/// See the module.
pub(crate) struct Keeper {
    pub(crate) upstream: Upstream,
    pub(crate) policy: TagPolicy,
    pub(crate) log: TagLog,
    pub(crate) log_url: String,
    pub(crate) propose: Propose,
    pub(crate) store: Store,
    pub(crate) manifests: Manifests,
    pub(crate) seen: Seen,
    pub(crate) unknown: Unknown,
    pub(crate) recheck: Duration,
    pub(crate) new_tags: Option<Allowance>,
    pub(crate) state: State,
}

/// What is on its way, and what was said a moment ago.
pub(crate) struct State {
    claims: Flights<Question, Result<Option<Digest>, Refusal>>,
    pulls: Flights<Question, Result<Pulled, Refusal>>,
    /// What was refused a moment ago: the log is not asked about it again at once.
    refused: Cache<(TagName, Digest), (Instant, Arc<Moved>)>,
    /// Tags whose records are being looked at, so that this is done once.
    rechecking: Mutex<std::collections::HashSet<TagName>>,
}

/// What is asked of a registry, and as whom: who may see something hears what those hear who may see it.
type Question = (TagName, Option<Vec<u8>>);

/// A pull by tag.
#[derive(Clone)]
pub(crate) struct Pull {
    /// Of which repository.
    pub(crate) repository: Repository,
    /// Which tag.
    pub(crate) tag: Tag,
    /// As whom.
    pub(crate) whose: Whose,
    /// Who asks.
    pub(crate) from: Option<IpAddr>,
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Pulled {
    /// What the tag points to.
    pub(crate) manifest: Arc<Manifest>,
    /// Its record, if one is kept.
    pub(crate) known: Option<Arc<Known>>,
    /// Whether this pull was the first.
    pub(crate) is_first: bool,
    /// What the client should be told.
    pub(crate) warning: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            claims: Flights::default(),
            pulls: Flights::default(),
            refused: Cache::new(REFUSED),
            rechecking: Mutex::default(),
        }
    }
}

impl Keeper {
    /// What is to be served, by the rule for the tag.
    pub(crate) async fn pull(self: &Arc<Self>, pull: Pull) -> Result<Pulled, Refusal> {
        let name = tags::name_of(&pull.repository, &pull.tag).map_err(Refusal::Tag)?;
        let question = (name.clone(), shown(&pull.whose));
        let Some(rule) = self.policy.rule(&name) else {
            let fetched = || async {
                let manifest = self.fetch(&pull).await?;
                Ok(Pulled { manifest, known: None, is_first: false, warning: None })
            };
            return self.state.pulls.join(question, fetched()).await;
        };
        if let Some(known) = self.known(&name).await? {
            match self.as_recorded(&pull, &known, &question).await {
                Ok(Some(manifest)) => {
                    self.recheck(&known);
                    return Ok(Pulled { manifest, known: Some(known), is_first: false, warning: None });
                }
                Ok(None) => {}
                Err(refusal) if refusal.is_for_now() => {
                    let repository = pull.repository.to_string();
                    // Whoever shows something of their own has to be known by the registry first.
                    let kept = match &pull.whose {
                        Whose::Ours => self.manifests.find(&repository, &known.digest),
                        Whose::Theirs(_) => None,
                    };
                    let Some(manifest) = kept else { return Err(refusal) };
                    metrics::counter!("bulla_proxy_stale_total").increment(1);
                    let warning = Some(format!(
                        "the registry gives no answer, this is what tag {name} pointed to: {refusal}"
                    ));
                    return Ok(Pulled { manifest, known: Some(known), is_first: false, warning });
                }
                Err(refusal) => return Err(refusal),
            }
        }
        let mut is_mine = false;
        let work = async {
            is_mine = true;
            self.fetched(&pull, &name, rule).await
        };
        // Few pulls come here, and all would carry the room that this takes.
        let mut pulled = Box::pin(self.state.pulls.join(question, work)).await;
        if !is_mine && matches!(pulled, Err(Refusal::NewTags { .. })) {
            // What somebody else has used up is theirs.
            is_mine = true;
            pulled = Box::pin(self.fetched(&pull, &name, rule)).await;
        }
        let pulled = pulled?;
        // Those who waited for the same answer did not record it.
        Ok(Pulled { is_first: pulled.is_first && is_mine, ..pulled })
    }

    /// What is to be served of what a tag points to now.
    async fn fetched(&self, pull: &Pull, name: &TagName, rule: Rule) -> Result<Pulled, Refusal> {
        let manifest = self.fetch(pull).await?;
        self.settle(pull, name, rule, manifest).await
    }

    /// The manifest of a known tag, if the registry says that it still points there.
    async fn as_recorded(
        &self,
        pull: &Pull,
        known: &Known,
        question: &Question,
    ) -> Result<Option<Arc<Manifest>>, Refusal> {
        let name = Name::Tag(pull.tag.clone());
        let claimed = self.upstream.claimed(&pull.repository, &name, pull.whose.clone());
        let claimed = self.state.claims.join(question.clone(), claimed).await?;
        // What is claimed may be a lie. If it is the digest of the record, that is what is served, whatever it was.
        if claimed.as_ref() != Some(&known.digest) {
            return Ok(None);
        }
        let repository = pull.repository.to_string();
        if let Some(manifest) = self.manifests.find(&repository, &known.digest) {
            return Ok(Some(manifest));
        }
        let name = Name::Digest(known.digest.clone());
        let manifest =
            self.upstream.manifest(&pull.repository, &name, canonical(), pull.whose.clone()).await?;
        self.manifests.keep(&repository, &manifest);
        Ok(Some(manifest))
    }

    /// What a tag points to now, read and hashed.
    async fn fetch(&self, pull: &Pull) -> Result<Arc<Manifest>, Refusal> {
        let name = Name::Tag(pull.tag.clone());
        let manifest =
            self.upstream.manifest(&pull.repository, &name, canonical(), pull.whose.clone()).await?;
        self.manifests.keep(&pull.repository.to_string(), &manifest);
        Ok(manifest)
    }

    /// The verified record of a tag. What is on the disk counts once it holds.
    async fn known(&self, tag: &TagName) -> Result<Option<Arc<Known>>, Refusal> {
        if let Some(known) = self.store.recent(tag) {
            return Ok(Some(known));
        }
        let corrupt = |cause: String| self.alarm(tag, cause);
        let kept = match self.store.read(tag).await {
            Ok(kept) => kept,
            Err(error @ StoreError::Garbled(_)) => return Err(corrupt(error.to_string())),
            // What cannot be read here is asked of the log.
            Err(StoreError::Unavailable(problem)) => {
                metrics::counter!("bulla_proxy_unkept_total").increment(1);
                tracing::error!(%tag, problem, "what is kept of a tag cannot be read");
                None
            }
        };
        let Some(Kept { first_seen, entry }) = kept else { return Ok(None) };
        let evidence = self.log.judge(&entry, tag).await.map_err(|error| corrupt(error.to_string()))?;
        let Some(Logged { said: Said::Record(record), .. }) = evidence.map(|evidence| evidence.logged) else {
            return Err(corrupt(
                "what is kept of it is not signed by a proxy whose records count".to_owned(),
            ));
        };
        let known = Arc::new(Known::new(record, &entry, first_seen, None));
        self.store.remember(&known);
        Ok(Some(known))
    }

    /// Brings what a tag points to now and what is recorded of it together.
    async fn settle(
        &self,
        pull: &Pull,
        tag: &TagName,
        rule: Rule,
        manifest: Arc<Manifest>,
    ) -> Result<Pulled, Refusal> {
        let known = self.known(tag).await?;
        if let Some(known) = known.as_ref().filter(|known| known.digest == manifest.digest) {
            return Ok(Pulled { manifest, known: Some(Arc::clone(known)), is_first: false, warning: None });
        }
        if let Some((since, moved)) = self.state.refused.get(&(tag.clone(), manifest.digest.clone()))
            && since.elapsed() < REFUSED_FOR
        {
            return Err(Refusal::Moved(Box::new(Moved::clone(&moved))));
        }
        // Whoever chooses what a registry answers could write to the log for ever. An approval is limit enough.
        if (known.is_none() || rule != Rule::Enforce)
            && let (Some(allowance), Some(from)) = (&self.new_tags, pull.from)
            && let Some(seconds) = allowance.take(from)
        {
            if known.is_none() {
                return Err(Refusal::NewTags { seconds });
            }
            let warning =
                format!("tag {tag} points to {}, which is not recorded: it moves too often", manifest.digest);
            return Ok(Pulled { manifest, known: None, is_first: false, warning: Some(warning) });
        }
        match self.recorded(tag, rule, &manifest, known.as_deref(), &pull.repository).await {
            Ok(settled) => self.settled(tag, manifest, settled, known.as_deref(), rule),
            Err(Unsettled::Refused(refusal)) => Err(refusal),
            Err(Unsettled::Log(TagLogError::Unbelieved(cause))) => Err(self.alarm(tag, cause)),
            Err(Unsettled::Log(error)) => self.without_log(tag, rule, manifest, known, &error.to_string()),
        }
    }

    /// What is done while the log cannot be asked.
    fn without_log(
        &self,
        tag: &TagName,
        rule: Rule,
        manifest: Arc<Manifest>,
        known: Option<Arc<Known>>,
        cause: &str,
    ) -> Result<Pulled, Refusal> {
        metrics::counter!("bulla_proxy_log_unreached_total").increment(1);
        tracing::warn!(%tag, cause, "the log cannot be asked");
        match (known, rule, self.unknown) {
            (Some(known), Rule::Enforce, _) => {
                Err(self.refuse(&known, &manifest.digest, Some(cause.to_owned())))
            }
            (None, _, Unknown::Refuse) => {
                Err(Refusal::Unrecorded { tag: tag.clone(), cause: cause.to_owned() })
            }
            // It moves by its rule, or may be served unrecorded: the next pull records it.
            (..) => {
                let warning = format!(
                    "tag {tag} points to {}, which is not recorded: the log cannot be asked",
                    manifest.digest
                );
                Ok(Pulled { manifest, known: None, is_first: false, warning: Some(warning) })
            }
        }
    }

    /// What is served of what is recorded now.
    fn settled(
        &self,
        tag: &TagName,
        manifest: Arc<Manifest>,
        settled: Settled,
        before: Option<&Known>,
        rule: Rule,
    ) -> Result<Pulled, Refusal> {
        let Settled { known, is_ours } = settled;
        if known.digest != manifest.digest {
            // Somebody else recorded another first; what we hold is not what the tag is to be.
            return Err(self.refuse(&known, &manifest.digest, None));
        }
        let digest = manifest.digest.to_string();
        let moved = before.filter(|before| before.digest != known.digest);
        let warning = moved
            .filter(|_| rule == Rule::Warn && known.record.approval.is_none())
            .map(|before| format!("tag {tag} moved from {} to {digest}, and nobody approved", before.digest));
        if is_ours {
            let (what, note) = match (known.record.previous, known.record.approval) {
                (None, _) => (What::FirstSeen, format!("record {}", known.index)),
                (Some(_), Some(by)) => (What::Approved, format!("record {}, approval {by}", known.index)),
                (Some(_), None) => {
                    (What::Moved, format!("record {}, rule {}", known.index, known.record.rule))
                }
            };
            // Tags of signatures move all the time, and nobody is told.
            if !(what == What::Moved && is_made_of_digest(tag.tag())) {
                self.seen.note(what, tag.as_str(), &digest, &note);
            }
        }
        let is_first = is_ours && known.record.previous.is_none();
        Ok(Pulled { manifest, known: Some(known), is_first, warning })
    }

    /// Asks the log what it has of a tag, and records where it points now if that may be recorded.
    async fn recorded(
        &self,
        tag: &TagName,
        rule: Rule,
        manifest: &Manifest,
        known: Option<&Known>,
        repository: &Repository,
    ) -> Result<Settled, Unsettled> {
        let digest = sha256_of(&manifest.digest)?;
        // Records that the log took without saying whether another came first, and need not show yet.
        let mut ours: Vec<(Logged, Entry)> = Vec::new();
        let mut seen = None;
        for _ in 0..ATTEMPTS {
            let look = match seen.take() {
                Some(look) => look,
                None => self.look(tag, known, &ours).await?,
            };
            let current = look.history.current().map(|(index, record)| (index, record.clone()));
            let (previous, approval) = match &current {
                Some((index, record)) if record.digest == digest => {
                    let is_ours = ours.iter().any(|(logged, _)| logged.index == *index);
                    return Ok(Settled { known: self.keep(tag, &look).await?, is_ours });
                }
                None => (None, None),
                Some((index, _)) if rule != Rule::Enforce => (Some(*index), None),
                Some((index, _)) => {
                    let by = look.history.approval_for(&digest, Timestamp::now().as_second());
                    let Some(by) = by else {
                        let known = self.keep(tag, &look).await?;
                        return Err(Unsettled::Refused(self.refuse(&known, &manifest.digest, None)));
                    };
                    (Some(*index), Some(by))
                }
            };
            let record = Record {
                tag: tag.clone(),
                digest,
                media_type: manifest.media_type.clone(),
                seen: Timestamp::now(),
                upstream: format!("https://{}", repository.host().api()),
                rule,
                previous,
                approval,
            };
            let statement =
                record.statement().map_err(|refusal| TagLogError::Refused(refusal.to_string()))?;
            let (entry, is_next) = match self.log.add(&self.propose, tag, &statement, look.since).await? {
                Added::Other => continue,
                Added::Ours(entry) => (entry, true),
                Added::Perhaps(entry) => (entry, false),
            };
            let evidence = self.log.judge(&entry, tag).await.map_err(TagLogError::from)?;
            let evidence = evidence.ok_or_else(|| {
                TagLogError::Refused(
                    "the proxy's own key is none whose records count: name it with --recorder-key".to_owned(),
                )
            })?;
            ours.push((evidence.logged, *entry));
            // Where nothing came between, what was seen before and our record are all there is.
            seen = is_next.then(|| with(look, &ours));
        }
        Err(TagLogError::Unavailable(format!("the log has a new entry about {tag} whenever it is asked"))
            .into())
    }

    /// What the log shows of a tag, with what we put there. A log that does not show what it has shown hides it.
    async fn look(
        &self,
        tag: &TagName,
        known: Option<&Known>,
        ours: &[(Logged, Entry)],
    ) -> Result<Look, Unsettled> {
        let look = with(self.log.look(tag).await?, ours);
        if let Some(known) = known
            && !look.entries.contains_key(&known.index)
        {
            if look.complete.is_some_and(|complete| complete <= known.index) {
                let cause = "the log's search is behind its entries".to_owned();
                return Err(TagLogError::Unavailable(cause).into());
            }
            let cause = format!("the log does not show record {} any more, which it had", known.index);
            return Err(TagLogError::Unbelieved(cause).into());
        }
        for step in look.history.steps() {
            if let Finding::Forked(_) | Finding::NotApproved = step.finding
                && step.logged.at > Timestamp::now().as_second() - TOLD_FOR
            {
                let note = format!("entry {} is void: {:?}", step.logged.index, step.finding);
                self.seen.note(What::Alarm, tag.as_str(), "", &note);
            }
        }
        Ok(look)
    }

    /// Keeps the record that holds.
    async fn keep(&self, tag: &TagName, look: &Look) -> Result<Arc<Known>, Unsettled> {
        let missing = || TagLogError::Unbelieved("the log shows no record".to_owned());
        let (index, record) = look.history.current().ok_or_else(missing)?;
        let entry = look.entries.get(&index).ok_or_else(missing)?;
        let first = look.history.first().map_or(record.seen, |(_, first)| first.seen);
        let known = Arc::new(Known::new(record.clone(), entry, first, Some(Instant::now())));
        match self.store.recent(tag) {
            // Somebody looked later, and was faster.
            Some(later) if later.index > index => return Ok(later),
            Some(same) if same.index == index => {
                self.store.remember(&known);
                return Ok(known);
            }
            _ => {}
        }
        if let Err(problem) = self.store.put(Arc::clone(&known), entry).await {
            // It is in the log, where it is found again.
            metrics::counter!("bulla_proxy_unkept_total").increment(1);
            tracing::error!(%tag, %problem, "a record cannot be kept");
        }
        Ok(known)
    }

    /// Has the log looked at, beside the pull, when that was long ago: another proxy may have recorded an approved move.
    fn recheck(self: &Arc<Self>, known: &Arc<Known>) {
        if known.looked.is_some_and(|looked| looked.elapsed() < self.recheck) {
            return;
        }
        {
            let mut rechecking = self.state.rechecking.lock().unwrap_or_else(PoisonError::into_inner);
            if rechecking.len() >= RECHECKED || !rechecking.insert(known.tag.clone()) {
                return;
            }
        }
        let (keeper, known) = (Arc::clone(self), Arc::clone(known));
        tokio::spawn(async move {
            let tag = &known.tag;
            match keeper.look(tag, Some(&known), &[]).await {
                Ok(look) => drop(keeper.keep(tag, &look).await),
                Err(Unsettled::Log(TagLogError::Unbelieved(cause))) => drop(keeper.alarm(tag, cause)),
                // It is asked again when the tag is.
                Err(_) => {}
            }
            keeper.state.rechecking.lock().unwrap_or_else(PoisonError::into_inner).remove(tag);
        });
    }

    fn refuse(&self, known: &Known, got: &Digest, unasked: Option<String>) -> Refusal {
        let look = format!(
            "{}/api/v1/log/entries/{}, bulla tag history {}",
            self.log_url.trim_end_matches('/'),
            known.uuid,
            known.tag
        );
        let moved = Moved {
            tag: known.tag.clone(),
            got: got.clone(),
            want: known.digest.clone(),
            first_seen: known.first_seen,
            index: known.index,
            uuid: known.uuid.clone(),
            look,
            unasked,
        };
        let note = format!("record {} has {}", known.index, known.digest);
        self.seen.note(What::Refused, known.tag.as_str(), &got.to_string(), &note);
        tracing::warn!(tag = %known.tag, %got, want = %known.digest, "a tag moved and is refused");
        if moved.unasked.is_none() {
            let key = (known.tag.clone(), got.clone());
            self.state.refused.insert(key, (Instant::now(), Arc::new(moved.clone())));
        }
        Refusal::Moved(Box::new(moved))
    }

    fn alarm(&self, tag: &TagName, cause: String) -> Refusal {
        metrics::counter!("bulla_proxy_alarms_total", "why" => "record").increment(1);
        tracing::error!(%tag, cause, "what is written down of a tag is not believed");
        self.seen.note(What::Alarm, tag.as_str(), "", &cause);
        Refusal::Corrupt { tag: tag.clone(), cause }
    }

    /// A manifest as a client wants it that does not take what the tag points to: one of those that the index lists, and no other.
    pub(crate) async fn member(
        &self,
        pull: &Pull,
        pulled: &Pulled,
        accept: HeaderMap,
    ) -> Result<Arc<Manifest>, Refusal> {
        let index = &pulled.manifest;
        let name = Name::Tag(pull.tag.clone());
        let manifest = self.upstream.manifest(&pull.repository, &name, accept, pull.whose.clone()).await?;
        let listed = index.manifests().iter().any(|member| member.digest == manifest.digest);
        if manifest.digest == index.digest || listed {
            return Ok(manifest);
        }
        Err(Refusal::NotAccepted {
            image: format!("{}:{}", pull.repository, pull.tag),
            media_type: index.media_type.clone(),
        })
    }
}

/// What a log shows, and what we know besides that it has.
fn with(mut look: Look, ours: &[(Logged, Entry)]) -> Look {
    let mut all: Vec<Logged> = look.history.steps().iter().map(|step| step.logged.clone()).collect();
    for (logged, entry) in ours {
        look.since = look.since.max(logged.index + 1);
        look.entries.insert(logged.index, entry.clone());
        all.push(logged.clone());
    }
    look.history = History::of(all);
    look
}

/// A record that holds.
struct Settled {
    known: Arc<Known>,
    /// Whether it was made just now.
    is_ours: bool,
}

/// Why none does.
enum Unsettled {
    Refused(Refusal),
    Log(TagLogError),
}

impl From<TagLogError> for Unsettled {
    fn from(error: TagLogError) -> Self {
        Self::Log(error)
    }
}

fn sha256_of(digest: &Digest) -> Result<Hash, TagLogError> {
    let hash = digest.to_string().strip_prefix("sha256:").and_then(Hash::from_hex);
    hash.ok_or_else(|| TagLogError::Refused(format!("{digest} is no SHA-256")))
}

/// What somebody shows to a registry.
fn shown(whose: &Whose) -> Option<Vec<u8>> {
    match whose {
        Whose::Ours => None,
        Whose::Theirs(shown) => Some(shown.as_ref().map_or_else(Vec::new, |shown| shown.as_bytes().to_vec())),
    }
}

/// How often something may come between before it is given up.
const ATTEMPTS: usize = 8;
/// How long a refusal is repeated without asking the log again: an approval may have come.
const REFUSED_FOR: Duration = Duration::from_secs(1);
const REFUSED: usize = 4096;
/// The most tags that are looked at again at once.
const RECHECKED: usize = 16;
/// Seconds for which what is void in a log is news.
const TOLD_FOR: i64 = 24 * 3600;
