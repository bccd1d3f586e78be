//! A repository in a directory: four roles, the targets they speak for, and what keeps them fresh.
//!
//! Everything is a static file. Clients find roots by number and the rest from `timestamp.json`, through names that have a
//! version or a digest in them, so the repository changes at one moment: when `timestamp.json` is replaced, last. What was
//! written before that and is not reached from it is nobody's, and is written over the next time. The plain names beside
//! the numbered ones are for people and for clients of the old kind.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tough::TargetName;
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{
    Hashes, Metafile, Role, RoleType, Root, Signed, Snapshot, Target, Targets, Timestamp as Stamp,
};

use super::ceremony;
use super::files::{MAX_FILE_BYTES, is_target_name, json, read, read_json, write};
use super::keys::{KeyIdError, hex, named, signed};
use super::prune;
use crate::PrivateKey;

/// How long what is signed holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expiries {
    /// Of a root that is made here. Nothing renews it but a ceremony.
    pub root: SignedDuration,
    /// Of the list of targets.
    pub targets: SignedDuration,
    /// Of the list of lists.
    pub snapshot: SignedDuration,
    /// Of the statement that this list is the newest.
    pub timestamp: SignedDuration,
}

impl Default for Expiries {
    /// A year, three months, fourteen days, two days.
    fn default() -> Self {
        Self {
            root: SignedDuration::from_hours(365 * 24),
            targets: SignedDuration::from_hours(91 * 24),
            snapshot: SignedDuration::from_hours(14 * 24),
            timestamp: SignedDuration::from_hours(48),
        }
    }
}

/// A repository that this process keeps fresh. One at a time.
pub struct Repository {
    dir: PathBuf,
    online: Arc<dyn PrivateKey>,
    expiries: Expiries,
    /// Held while anything is written.
    writing: Mutex<()>,
}

/// What a look at a repository led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refreshed {
    /// Whether anything was signed anew.
    pub written: bool,
    /// When the root stops being believed. Nothing renews it but a ceremony.
    pub root_expires: Timestamp,
    /// When clients stop believing what is there unless it is signed anew.
    pub timestamp_expires: Timestamp,
}

/// What is wrong with a repository, or with what is to become of it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RepositoryError {
    /// There is no root to begin with.
    #[error("{0} has no root.json: begin a trust repository with a root")]
    NoRoot(PathBuf),
    /// There is one already.
    #[error("{0} is a trust repository already")]
    Exists(PathBuf),
    /// A file that cannot be read, or does not say what it should.
    #[error("trust repository file {0}: {1}")]
    Read(PathBuf, String),
    /// A file that cannot be written.
    #[error("trust repository is not written: {0}")]
    Write(String),
    /// A name that a target cannot have.
    #[error("target name is {0:?}, letters, digits, `-`, `_` and single dots inside were expected")]
    TargetName(String),
    /// More than clients take.
    #[error("target {name} is {length} bytes, at most {limit} were expected")]
    TargetLength {
        /// Which.
        name: String,
        /// Bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A key of a kind that clients do not read, or not a key.
    #[error(transparent)]
    Kind(#[from] KeyIdError),
    /// A key that the root does not name for a role.
    #[error("root version {root} does not name key {key} for {role}: add it in a ceremony")]
    NotNamed {
        /// The root's version.
        root: u64,
        /// The ID of the key.
        key: String,
        /// Which role.
        role: RoleType,
    },
    /// A root that would leave the one who signs every day unnamed.
    #[error("draft does not name key {key} for {role}, and it is the only one that signs now")]
    DropsOnline {
        /// The ID of the key.
        key: String,
        /// Which role.
        role: RoleType,
    },
    /// Not enough signatures of those who are named.
    #[error("{role} has {valid} of {threshold} signatures that root version {root} asks for")]
    Threshold {
        /// Which role.
        role: RoleType,
        /// Signatures that hold.
        valid: u64,
        /// Signatures needed.
        threshold: u64,
        /// Who asks.
        root: u64,
    },
    /// A role that is not as it should be.
    #[error("{role}: {problem}")]
    Role {
        /// Which role.
        role: RoleType,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The key did not sign.
    #[error("trust repository key: {0}")]
    Key(String),
}

/// What a repository says now, as far as clients can see.
struct Current {
    root: Signed<Root>,
    targets: Option<Held<Targets>>,
    snapshot: Option<Held<Snapshot>>,
    timestamp: Option<Held<Stamp>>,
}

/// A role, and the bytes that it is or will be on disk: others list their digest.
struct Held<T> {
    role: Signed<T>,
    bytes: Vec<u8>,
}

impl Repository {
    /// Begins a repository with a root that is signed here: as many of the root keys as there are must sign, from now on.
    /// For a root whose keys are elsewhere, see [`ceremony::init`] and then [`Repository::open`] and [`Repository::publish`].
    pub async fn create(
        dir: &Path,
        root_keys: &[&dyn PrivateKey],
        online: Arc<dyn PrivateKey>,
        targets: &BTreeMap<String, Vec<u8>>,
        now: Timestamp,
        expiries: Expiries,
    ) -> Result<Self, RepositoryError> {
        if current_root(dir)?.is_some() {
            return Err(RepositoryError::Exists(dir.to_owned()));
        }
        let root_spkis: Vec<&[u8]> = root_keys.iter().map(|key| key.spki()).collect();
        let threshold = root_keys.len() as u64;
        let root = ceremony::first_root(&root_spkis, online.spki(), threshold, now, expiries.root)?;
        let root = signed(root, root_keys).await?;
        ceremony::install(dir, root, now)?;
        let repository = Self::open(dir, online, expiries)?;
        repository.publish(targets, now).await?;
        Ok(repository)
    }

    /// A repository that has a root which names this key for the other three roles.
    pub fn open(
        dir: &Path,
        online: Arc<dyn PrivateKey>,
        expiries: Expiries,
    ) -> Result<Self, RepositoryError> {
        let root = current_root(dir)?.ok_or_else(|| RepositoryError::NoRoot(dir.to_owned()))?;
        for role in ONLINE {
            check_named(&root.signed, role, &*online)?;
        }
        Ok(Self { dir: dir.to_owned(), online, expiries, writing: Mutex::new(()) })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes these the targets, all others are no more. Nothing is signed that has not changed or become stale.
    pub async fn publish(
        &self,
        targets: &BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<Refreshed, RepositoryError> {
        let _writing = self.writing.lock().await;
        let mut listed = HashMap::new();
        for (name, bytes) in targets {
            if !is_target_name(name) {
                return Err(RepositoryError::TargetName(name.clone()));
            }
            let (length, limit) = (bytes.len(), MAX_FILE_BYTES);
            if length > limit {
                return Err(RepositoryError::TargetLength { name: name.clone(), length, limit });
            }
            let target = Target {
                length: length as u64,
                hashes: hashes(bytes),
                custom: HashMap::new(),
                _extra: HashMap::new(),
            };
            let sha256 = hex(&target.hashes.sha256);
            write(&self.dir.join(format!("targets/{sha256}.{name}")), bytes)?;
            let wrong = |_| RepositoryError::TargetName(name.clone());
            listed.insert(TargetName::new(name.as_str()).map_err(wrong)?, target);
        }
        let refreshed = self.advance(Some(listed), now).await?;
        for (name, bytes) in targets {
            write(&self.dir.join("targets").join(name), bytes)?;
        }
        Ok(refreshed)
    }

    /// Signs anew what has less than half its life left, or was signed by a key that is no longer ours.
    pub async fn refresh(&self, now: Timestamp) -> Result<Refreshed, RepositoryError> {
        let _writing = self.writing.lock().await;
        self.advance(None, now).await
    }

    async fn advance(
        &self,
        listed: Option<HashMap<TargetName, Target>>,
        now: Timestamp,
    ) -> Result<Refreshed, RepositoryError> {
        let Current { root, targets, snapshot, timestamp } = self.current()?;
        let root = &root.signed;
        // At each look: the root may have changed under us.
        ONLINE.into_iter().try_for_each(|role| check_named(root, role, &*self.online))?;
        let life = self.expiries;
        let same = |targets: &Targets| listed.as_ref().is_none_or(|listed| *listed == targets.targets);

        let (targets, new_targets) = match targets {
            Some(held) if same(&held.role.signed) && self.holds(&held.role, root, now, life.targets) => {
                (held, false)
            }
            old => {
                let version = next(old.as_ref().map(|held| held.role.signed.version))?;
                let mut new = Targets::new(SPECIFICATION.to_owned(), version, ahead(now, life.targets));
                new.delegations = None;
                new.targets = listed.or_else(|| old.map(|held| held.role.signed.targets)).unwrap_or_default();
                (self.sign(new).await?, true)
            }
        };
        let (snapshot, new_snapshot) = match snapshot {
            Some(held) if !new_targets && self.holds(&held.role, root, now, life.snapshot) => (held, false),
            old => {
                let version = next(old.map(|held| held.role.signed.version))?;
                let mut new = Snapshot::new(SPECIFICATION.to_owned(), version, ahead(now, life.snapshot));
                new.meta.insert("targets.json".to_owned(), targets.listing());
                (self.sign(new).await?, true)
            }
        };
        let (timestamp, new_timestamp) = match timestamp {
            Some(held) if !new_snapshot && self.holds(&held.role, root, now, life.timestamp) => (held, false),
            old => {
                let version = next(old.map(|held| held.role.signed.version))?;
                let mut new = Stamp::new(SPECIFICATION.to_owned(), version, ahead(now, life.timestamp));
                new.meta.insert("snapshot.json".to_owned(), snapshot.listing());
                (self.sign(new).await?, true)
            }
        };

        if new_targets {
            self.write_both(&targets)?;
        }
        if new_snapshot {
            self.write_both(&snapshot)?;
        }
        if new_timestamp {
            write(&self.dir.join("timestamp.json"), &timestamp.bytes)?;
        }
        if new_timestamp {
            let reached = [targets.role.signed.version, snapshot.role.signed.version];
            let longest = life.targets.max(life.snapshot).max(life.timestamp);
            // What is not thrown away now is so the next time.
            if let Err(error) = prune::old(&self.dir, reached, longest, now) {
                tracing::warn!(%error, "old files of the trust repository are not thrown away");
            }
        }
        let timestamp_expires = timestamp.role.signed.expires;
        Ok(Refreshed { written: new_timestamp, root_expires: root.expires, timestamp_expires })
    }

    async fn sign<T: Role>(&self, role: T) -> Result<Held<T>, RepositoryError> {
        let role = signed(role, &[&*self.online]).await?;
        let bytes = json(&role)?;
        Ok(Held { role, bytes })
    }

    /// Whether a role needs no new signature: it has half its life before it, our key signed it, and the root is content.
    fn holds<T: Role>(&self, role: &Signed<T>, root: &Root, now: Timestamp, life: SignedDuration) -> bool {
        let id = named(self.online.spki()).map(|(id, _)| id);
        id.is_ok_and(|id| role.signatures.iter().any(|signature| signature.keyid == id))
            && (life / 2..=life).contains(&role.signed.expires().duration_since(now))
            && root.verify_role(role).is_ok()
    }

    /// Under the name with the version, which clients follow, and then under the plain one.
    fn write_both<T: Role>(&self, held: &Held<T>) -> Result<(), RepositoryError> {
        write(&self.dir.join(held.role.signed.filename(true)), &held.bytes)?;
        write(&self.dir.join(held.role.signed.filename(false)), &held.bytes)
    }

    /// As clients find it: from `timestamp.json` on.
    fn current(&self) -> Result<Current, RepositoryError> {
        let root = current_root(&self.dir)?.ok_or_else(|| RepositoryError::NoRoot(self.dir.clone()))?;
        let mut current = Current { root, targets: None, snapshot: None, timestamp: None };
        let Some(timestamp) = self.held::<Stamp>("timestamp.json")? else { return Ok(current) };
        let listed = &timestamp.role.signed.meta;
        let version = listed_version(listed, "snapshot.json", RoleType::Timestamp)?;
        let snapshot: Held<Snapshot> = self.needed(&format!("{version}.snapshot.json"))?;
        let version = listed_version(&snapshot.role.signed.meta, "targets.json", RoleType::Snapshot)?;
        current.targets = Some(self.needed(&format!("{version}.targets.json"))?);
        current.snapshot = Some(snapshot);
        current.timestamp = Some(timestamp);
        Ok(current)
    }

    fn held<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Held<T>>, RepositoryError> {
        let path = self.dir.join(name);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let role = serde_json::from_slice(&bytes);
        role.map(|role| Some(Held { role, bytes }))
            .map_err(|error| RepositoryError::Read(path, error.to_string()))
    }

    fn needed<T: DeserializeOwned>(&self, name: &str) -> Result<Held<T>, RepositoryError> {
        let missing = || RepositoryError::Read(self.dir.join(name), "it is missing".to_owned());
        self.held(name)?.ok_or_else(missing)
    }
}

impl<T: Role> Held<T> {
    /// How the role above names this one.
    fn listing(&self) -> Metafile {
        let (length, hashes) = (Some(self.bytes.len() as u64), Some(hashes(&self.bytes)));
        Metafile { length, hashes, version: self.role.signed.version(), _extra: HashMap::new() }
    }
}

/// The newest root: of those that are numbered without a gap, as clients follow them.
pub(super) fn current_root(dir: &Path) -> Result<Option<Signed<Root>>, RepositoryError> {
    let numbered = |version: u64| dir.join(format!("{version}.root.json"));
    // From the plain one on, which is written after the numbered one.
    let plain: Option<Signed<Root>> = read_json(&dir.join("root.json"))?;
    let mut newest = match plain {
        Some(plain) => Some(plain),
        None => read_json(&numbered(1))?,
    };
    while let Some(root) = &newest {
        let Some(next) = read_json::<Signed<Root>>(&numbered(root.signed.version.get().saturating_add(1)))?
        else {
            break;
        };
        newest = Some(next);
    }
    Ok(newest)
}

/// Whether a root is content with the signatures of a role, and how many are missing if not.
pub(super) fn verify<T: Role>(root: &Root, role: &Signed<T>) -> Result<(), RepositoryError> {
    use tough::schema::Error;
    root.verify_role(role).map_err(|error| match error {
        Error::SignatureThreshold { role, threshold, valid, .. } => {
            RepositoryError::Threshold { role, valid, threshold, root: root.version.get() }
        }
        other => RepositoryError::Role { role: T::TYPE, problem: other.to_string() },
    })
}

fn check_named(root: &Root, role: RoleType, key: &dyn PrivateKey) -> Result<(), RepositoryError> {
    let (id, _) = named(key.spki())?;
    let is_named = root.roles.get(&role).is_some_and(|role| role.keyids.contains(&id));
    if is_named {
        return Ok(());
    }
    Err(RepositoryError::NotNamed { root: root.version.get(), key: hex(&id), role })
}

fn listed_version(
    meta: &HashMap<String, Metafile>,
    name: &str,
    role: RoleType,
) -> Result<NonZeroU64, RepositoryError> {
    let listed = meta.get(name).map(|file| file.version);
    listed.ok_or_else(|| RepositoryError::Role { role, problem: format!("it does not list {name}") })
}

fn hashes(bytes: &[u8]) -> Hashes {
    let sha256: Decoded<Hex> = digest(&SHA256, bytes).as_ref().to_vec().into();
    Hashes { sha256, _extra: HashMap::new() }
}

/// The version after this one.
pub(super) fn next(version: Option<NonZeroU64>) -> Result<NonZeroU64, RepositoryError> {
    let next = version.map_or(Some(NonZeroU64::MIN), |version| version.checked_add(1));
    next.ok_or_else(|| RepositoryError::Write("there is no version after this one".to_owned()))
}

/// A time from now, in whole seconds: clients read no other.
pub(super) fn ahead(now: Timestamp, life: SignedDuration) -> Timestamp {
    let seconds = now.as_second().saturating_add(life.as_secs());
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// The roles whose key is at hand all the time.
pub(super) const ONLINE: [RoleType; 3] = [RoleType::Targets, RoleType::Snapshot, RoleType::Timestamp];
/// The version of the specification, as every client takes it.
pub(super) const SPECIFICATION: &str = "1.0.0";
