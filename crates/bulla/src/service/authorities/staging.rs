//! Making keys that are to follow others, and laying them where the server finds them. Done by whoever holds the keys of the
//! roots, in a process of their own: the server never reads those.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulla_authority::ca::Facts;
use jiff::Timestamp;

use super::files::{CA, Hierarchy, Role, TSA, root};
use super::staged::{CHAIN, Plan};
use super::{ct, named_key, tuf};
use crate::command::Failure;
use crate::home::read_key;

/// Whose key is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Rotated {
    /// the certificate authority's; needs the root's key
    Ca,
    /// the timestamp authority's; needs the root's key
    Tsa,
    /// the root's, and with it both authorities'
    Root,
    /// the certificate transparency log's: a new log follows the old one
    Ct,
    /// the one that signs the trust repository from day to day; needs the key of the repository's root
    Tuf,
}

impl Rotated {
    /// Whose keys signs something else afterwards, as `rotate --list` names them.
    pub(crate) fn authorities(self) -> &'static [&'static str] {
        match self {
            Self::Ca => &["ca"],
            Self::Tsa => &["tsa"],
            Self::Root => &["root", "ca", "tsa"],
            Self::Ct => &["ct"],
            Self::Tuf => &["tuf"],
        }
    }
}

/// With what.
pub(crate) struct Means<'a> {
    /// The data directory.
    pub(crate) data: &'a Path,
    /// Files with keys of the root, if they were taken elsewhere.
    pub(crate) root_keys: &'a [PathBuf],
    /// Their password, if they have one.
    pub(crate) password: Option<&'a [u8]>,
    /// How long clients have to learn of the new key; unless somebody wants otherwise, [`OVERLAP`].
    pub(crate) overlap: Option<Duration>,
}

/// Whoever lays keys, alone until it is dropped.
pub(crate) struct Alone(#[expect(dead_code, reason = "holds the lock as long as it is open")] File);

/// Two at a time would mix what they lay; and what one user lays, the server of another cannot put in force.
pub(crate) fn alone(data: &Path) -> Result<Alone, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{}: {error}", data.display()));
    let (owner, we) = (data.metadata().map_err(failed)?.uid(), rustix::process::geteuid().as_raw());
    if owner != we {
        return Err(Failure::usage(format!(
            "{} belongs to the user {owner}, and this is {we}: what is laid there would not be theirs, so do this as they do, \
             for example with `sudo -u '#{owner}'`",
            data.display()
        )));
    }
    let lock = File::open(data).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Alone(lock)),
        Err(TryLockError::WouldBlock) => Err(Failure::unavailable(format!(
            "another rotation is at work in {}: try again when it has ended",
            data.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Longer than clients keep a list of the trust repository.
const OVERLAP: Duration = Duration::from_hours(3 * 24);

/// Makes a new key and lays it beside the one in force.
pub(crate) async fn stage(whose: Rotated, means: &Means<'_>, now: Timestamp) -> Result<(), Failure> {
    let Means { data, root_keys, password, overlap } = means;
    let refuse = |option: &str, why: &str| Err(Failure::usage(format!("{option} says nothing here: {why}")));
    match whose {
        Rotated::Root if !root_keys.is_empty() => {
            return refuse("--root-key", "a new root is signed by itself");
        }
        Rotated::Ct if !root_keys.is_empty() => {
            return refuse("--root-key", "no root certifies the log's key");
        }
        Rotated::Tuf if overlap.is_some() => {
            return refuse(
                "--overlap",
                "clients find the new key by the roots that name it, and are never without one",
            );
        }
        Rotated::Ca | Rotated::Tsa if root_keys.len() > 1 => {
            return refuse("a second --root-key", "one root certifies the authority");
        }
        _ => {}
    }
    let overlap = overlap.unwrap_or(OVERLAP);
    let overlap_seconds = overlap.as_secs() + u64::from(overlap.subsec_nanos() > 0);
    let replaces_root = whose == Rotated::Root;
    let plan = Plan { staged: now, overlap_seconds, published: None, replaces_root };
    match whose {
        Rotated::Ct => return ct::stage(data, &plan).map(|_| ()),
        Rotated::Tuf => {
            let own = [data.join("offline/tuf-root.key")];
            let files = if root_keys.is_empty() { &own } else { *root_keys };
            if let Some(absent) = files.iter().find(|file| !file.exists()) {
                let problem =
                    "is needed to name a new key: put it back for this time, or pass --root-key FILE";
                return Err(Failure::usage(format!(
                    "the trust repository's root key {} {problem}",
                    absent.display()
                )));
            }
            let keys = files.iter().map(|file| read_key(file, *password)).collect::<Result<Vec<_>, _>>()?;
            return tuf::stage(data, &keys, &plan, now).await;
        }
        _ => {}
    }
    let has = |role: &Role| data.join(role.dir).join(CHAIN).exists();
    let roles = match whose {
        Rotated::Ca => vec![&CA],
        Rotated::Tsa => vec![&TSA],
        _ => [&CA, &TSA].into_iter().filter(|role| has(role)).collect(),
    };
    if roles.is_empty() || !roles.iter().all(|role| has(role)) {
        let whose = whose.authorities()[0];
        return Err(Failure::usage(format!("{} has no authority to rotate: {whose}", data.display())));
    }
    for role in &roles {
        let home = data.join(role.dir);
        named_key::judge_own(role.dir, &home.join(role.key), &home.join(CHAIN))?;
    }
    let organization = organization(data)?;
    let hierarchy = Hierarchy {
        root_key: root_keys.first().map(PathBuf::as_path),
        root_key_option: "--root-key",
        root_key_password: *password,
        ..Hierarchy::new(data, &organization)
    };
    match roles.as_slice() {
        [role] if !replaces_root => hierarchy.stage(role, &plan, now).await,
        roles => hierarchy.stage_root(roles, &plan, now).await,
    }
}

/// As the certificates have it so far.
fn organization(data: &Path) -> Result<String, Failure> {
    let root = root(data)?.swap_remove(0);
    let named = Facts::of(&root).map_err(Failure::usage)?.organization;
    match named {
        Some(named) => Ok(named),
        None => Err(Failure::usage(format!("{} names no organization", data.join("root.pem").display()))),
    }
}
