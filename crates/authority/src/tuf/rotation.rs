//! Replacing the key that signs from day to day. Whoever holds the root keys makes two roots beforehand: one that names both
//! keys, and one that names the new one alone. With them the repository turns over by itself: the first root, everything
//! signed by the new key, the second root. Clients at any version can follow, and the root keys never meet the server.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tough::schema::{RoleType, Root, Signed};

use super::ceremony::{drop_online, install, name_online, next_root};
use super::files::json;
use super::keys::{named, signed};
use super::repository::{Expiries, Repository, RepositoryError, current_root, next, verify};
use crate::PrivateKey;

/// Two roots that replace the online key, as files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnlineRotation {
    /// The next root: it names the old keys and the new one.
    pub both: Vec<u8>,
    /// The one after it: it names the new key alone.
    pub alone: Vec<u8>,
}

impl OnlineRotation {
    /// Makes the roots that let the key of `online`, DER `SubjectPublicKeyInfo`, follow the online keys of a repository. They
    /// hold for `life` from now on. Refused unless `root_keys` are enough to sign them.
    pub async fn prepare(
        dir: &Path,
        online: &[u8],
        root_keys: &[&dyn PrivateKey],
        now: Timestamp,
        life: SignedDuration,
    ) -> Result<Self, RepositoryError> {
        let old = current_root(dir)?.ok_or_else(|| RepositoryError::NoRoot(dir.to_owned()))?.signed;
        let mut both = next_root(dir, now, life)?;
        name_online(&mut both, online)?;
        let mut alone = both.clone();
        alone.version = next(Some(both.version))?;
        let (id, _) = named(online)?;
        let before = both.roles.get(&RoleType::Timestamp).map_or(Vec::new(), |role| role.keyids.clone());
        for old in before.iter().filter(|old| **old != id) {
            drop_online(&mut alone, old)?;
        }
        let both = signed(both, root_keys).await?;
        verify(&old, &both)?;
        Ok(Self { both: json(&both)?, alone: json(&signed(alone, root_keys).await?)? })
    }

    /// Turns the repository over to the new key. What was done already, by an attempt that was interrupted, is not done again.
    /// Nobody else may write the repository meanwhile, and nobody signs it with an old key afterwards.
    pub async fn carry_out(
        &self,
        dir: &Path,
        online: Arc<dyn PrivateKey>,
        expiries: Expiries,
        now: Timestamp,
    ) -> Result<Repository, RepositoryError> {
        put(dir, &self.both, now)?;
        let repository = Repository::open(dir, online, expiries)?;
        repository.refresh(now).await?;
        put(dir, &self.alone, now)?;
        Ok(repository)
    }
}

/// Installs a root, unless the repository is past it.
fn put(dir: &Path, root: &[u8], now: Timestamp) -> Result<(), RepositoryError> {
    let wrong = |problem: String| RepositoryError::Role { role: RoleType::Root, problem };
    let root: Signed<Root> = serde_json::from_slice(root).map_err(|error| wrong(error.to_string()))?;
    if current_root(dir)?.is_some_and(|current| current.signed.version >= root.signed.version) {
        return Ok(());
    }
    install(dir, root, now).map(|_| ())
}
