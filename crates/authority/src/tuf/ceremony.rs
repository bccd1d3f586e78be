//! Roots and how they come to be: a draft in one file, which is changed, carried to who holds a key, signed, and installed.
//!
//! A draft is a `root.json` whose signatures are not complete yet. Whatever changes it drops the signatures it had.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tough::schema::decoded::{Decoded, Hex};
use tough::schema::{RoleKeys, RoleType, Root, Signed, Timestamp as Stamp};

use super::files::{json, read_json, write};
use super::keys::{add_signature, from_pem, hex, named};
use super::repository::{ONLINE, RepositoryError, SPECIFICATION, ahead, current_root, next, verify};
use crate::PrivateKey;

/// What a draft is, after a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The version it is to be.
    pub version: u64,
    /// Until when it would hold.
    pub expires: Timestamp,
    /// How many root keys must sign.
    pub threshold: u64,
    /// The IDs of the root keys.
    pub root_keys: Vec<String>,
    /// The IDs of the keys of the other roles.
    pub online_keys: Vec<String>,
    /// The IDs of those who signed; some may be root keys of the version before.
    pub signed_by: Vec<String>,
    /// How many root keys must be added before enough of them can sign.
    pub missing_keys: u64,
    /// How many of its own root keys must still sign it. Those of the version before may ask for more.
    pub missing_signatures: u64,
}

/// Writes the draft of the version after the newest in a repository, with its keys, or of version 1 where there is none.
/// `threshold` of the root keys must sign from then on.
pub fn init(
    repository: &Path,
    draft: &Path,
    threshold: u64,
    now: Timestamp,
    life: SignedDuration,
) -> Result<Draft, RepositoryError> {
    if read_json::<Signed<Root>>(draft)?.is_some() {
        return Err(RepositoryError::Exists(draft.to_owned()));
    }
    let mut root = match current_root(repository)? {
        Some(_) => next_root(repository, now, life)?,
        None => empty_root(ahead(now, life)),
    };
    role_of(&mut root, RoleType::Root).threshold = threshold_of(threshold)?;
    save(draft, &Signed { signed: root, signatures: Vec::new() })
}

/// Names a root key, PEM of a public key.
pub fn add_key(draft: &Path, pem: &str) -> Result<Draft, RepositoryError> {
    change(draft, |root| name(root, RoleType::Root, &from_pem(pem)?))
}

/// No longer names a root key, by its ID. It may still have to sign this version, as one of the version before.
pub fn remove_key(draft: &Path, id: &str) -> Result<Draft, RepositoryError> {
    change(draft, |root| drop_name(root, &[RoleType::Root], &key_of(root, id)?))
}

/// Names a key for the other three roles, PEM of a public key. To replace one without a gap, name the new one beside the
/// old, publish, let the repository be refreshed with the new one, and drop the old one in the next version.
pub fn add_online_key(draft: &Path, pem: &str) -> Result<Draft, RepositoryError> {
    change(draft, |root| name_online(root, &from_pem(pem)?))
}

/// No longer names a key for the other three roles, by its ID.
pub fn remove_online_key(draft: &Path, id: &str) -> Result<Draft, RepositoryError> {
    change(draft, |root| drop_online(root, &key_of(root, id)?))
}

/// Adds a signature. Needs nothing but this file, so it can be done wherever the key is.
pub async fn sign(draft: &Path, key: &dyn PrivateKey) -> Result<Draft, RepositoryError> {
    let mut root = load(draft)?;
    add_signature(&mut root, key).await?;
    save(draft, &root)
}

/// What a draft is.
pub fn show(draft: &Path) -> Result<Draft, RepositoryError> {
    Ok(describe(&load(draft)?))
}

/// The newest root of a repository, if it has one.
pub fn current(repository: &Path) -> Result<Option<Draft>, RepositoryError> {
    Ok(current_root(repository)?.map(|root| describe(&root)))
}

/// Installs a draft in the repository, if enough of those whom it names have signed, and enough of those whom the version
/// before names. The draft is left where it is.
pub fn publish(draft: &Path, repository: &Path, now: Timestamp) -> Result<Draft, RepositoryError> {
    let root = load(draft)?;
    keeps_signer(repository, &root.signed)?;
    install(repository, root, now)
}

/// Refuses a root that does not name whoever signs the repository from day to day: it could not be signed again.
fn keeps_signer(repository: &Path, root: &Root) -> Result<(), RepositoryError> {
    let (Some(old), Some(stamp)) =
        (current_root(repository)?, read_json::<Signed<Stamp>>(&repository.join("timestamp.json"))?)
    else {
        return Ok(());
    };
    let named = ids(&old.signed, RoleType::Timestamp);
    let signers = stamp.signatures.iter().map(|signature| &signature.keyid);
    let signers: Vec<_> = signers.filter(|signer| named.contains(signer)).collect();
    let Some(signer) = signers.first() else { return Ok(()) };
    let dropped = |role: &RoleType| !signers.iter().any(|signer| ids(root, *role).contains(signer));
    match ONLINE.into_iter().find(dropped) {
        Some(role) => Err(RepositoryError::DropsOnline { key: hex(signer), role }),
        None => Ok(()),
    }
}

/// Checks a root against itself and the one before, and writes it: first under its number, by which clients find it.
pub(super) fn install(dir: &Path, mut root: Signed<Root>, now: Timestamp) -> Result<Draft, RepositoryError> {
    let old = current_root(dir)?;
    let wrong = |problem: String| Err(RepositoryError::Role { role: RoleType::Root, problem });
    let expected = next(old.as_ref().map(|old| old.signed.version))?;
    if root.signed.version != expected {
        return wrong(format!("draft is version {}, {expected} was expected", root.signed.version));
    }
    if root.signed.expires <= now {
        return wrong(format!("draft expired at {}", root.signed.expires));
    }
    online_roles_agree(&root.signed)?;
    for role in ONLINE.into_iter().chain([RoleType::Root]) {
        let keys = root.signed.roles.get(&role);
        let (keys, threshold) = keys.map_or((0, 1), |keys| (keys.keyids.len() as u64, keys.threshold.get()));
        if keys < threshold {
            return wrong(format!("draft names {keys} of {threshold} keys that {role} needs: add keys"));
        }
    }
    verify(&root.signed, &root)?;
    let mut signers: Vec<Decoded<Hex>> = ids(&root.signed, RoleType::Root).to_vec();
    if let Some(old) = &old {
        verify(&old.signed, &root)?;
        signers.extend_from_slice(ids(&old.signed, RoleType::Root));
    }
    // A signature of somebody whom nobody named says nothing.
    root.signatures.retain(|signature| signers.contains(&signature.keyid));
    let bytes = json(&root)?;
    write(&dir.join(format!("{}.root.json", root.signed.version)), &bytes)?;
    write(&dir.join("root.json"), &bytes)?;
    Ok(describe(&root))
}

/// The version after the newest in a repository, the same but for its number and its end.
pub(super) fn next_root(dir: &Path, now: Timestamp, life: SignedDuration) -> Result<Root, RepositoryError> {
    let root = current_root(dir)?.ok_or_else(|| RepositoryError::NoRoot(dir.to_owned()))?;
    let mut root = root.signed;
    root.version = next(Some(root.version))?;
    root.expires = ahead(now, life);
    Ok(root)
}

/// Version 1, with these keys.
pub(super) fn first_root(
    root_keys: &[&[u8]],
    online: &[u8],
    threshold: u64,
    now: Timestamp,
    life: SignedDuration,
) -> Result<Root, RepositoryError> {
    let mut root = empty_root(ahead(now, life));
    for key in root_keys {
        name(&mut root, RoleType::Root, key)?;
    }
    name_online(&mut root, online)?;
    role_of(&mut root, RoleType::Root).threshold = threshold_of(threshold)?;
    Ok(root)
}

/// Names a key, DER `SubjectPublicKeyInfo`, for the three roles that are signed online.
pub(super) fn name_online(root: &mut Root, spki: &[u8]) -> Result<(), RepositoryError> {
    ONLINE.into_iter().try_for_each(|role| name(root, role, spki))
}

/// No longer names it.
pub(super) fn drop_online(root: &mut Root, id: &Decoded<Hex>) -> Result<(), RepositoryError> {
    drop_name(root, &ONLINE, id)
}

fn empty_root(expires: Timestamp) -> Root {
    Root {
        spec_version: SPECIFICATION.to_owned(),
        consistent_snapshot: true,
        version: NonZeroU64::MIN,
        expires,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    }
}

fn role_of(root: &mut Root, role: RoleType) -> &mut RoleKeys {
    let none = || RoleKeys { keyids: Vec::new(), threshold: NonZeroU64::MIN, _extra: HashMap::new() };
    root.roles.entry(role).or_insert_with(none)
}

fn name(root: &mut Root, role: RoleType, spki: &[u8]) -> Result<(), RepositoryError> {
    let (id, key) = named(spki)?;
    let keyids = &mut role_of(root, role).keyids;
    if !keyids.contains(&id) {
        keyids.push(id.clone());
    }
    if keyids.len() > MAX_KEYS {
        let problem = format!("more than {MAX_KEYS} keys");
        return Err(RepositoryError::Role { role, problem });
    }
    root.keys.insert(id, key);
    Ok(())
}

fn drop_name(root: &mut Root, roles: &[RoleType], id: &Decoded<Hex>) -> Result<(), RepositoryError> {
    for role in roles {
        let keyids = &mut role_of(root, *role).keyids;
        let before = keyids.len();
        keyids.retain(|named| named != id);
        if keyids.len() == before {
            return Err(RepositoryError::NotNamed { root: root.version.get(), key: hex(id), role: *role });
        }
    }
    if !root.roles.values().any(|role| role.keyids.contains(id)) {
        root.keys.remove(id);
    }
    Ok(())
}

/// The key of an ID, or of the beginning of one.
fn key_of(root: &Root, id: &str) -> Result<Decoded<Hex>, RepositoryError> {
    let mut found = root.keys.keys().filter(|key| !id.is_empty() && hex(key).starts_with(id));
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key.clone()),
        (first, _) => {
            let found =
                if first.is_some() { "more than one key of the draft" } else { "no key of the draft" };
            Err(RepositoryError::Role {
                role: RoleType::Root,
                problem: format!("key ID {id:?} is of {found}"),
            })
        }
    }
}

fn ids(root: &Root, role: RoleType) -> &[Decoded<Hex>] {
    root.roles.get(&role).map_or(&[], |role| &role.keyids)
}

fn root_threshold(root: &Root) -> u64 {
    root.roles.get(&RoleType::Root).map_or(1, |role| role.threshold.get())
}

fn threshold_of(threshold: u64) -> Result<NonZeroU64, RepositoryError> {
    let wrong = || RepositoryError::Role {
        role: RoleType::Root,
        problem: format!("threshold is {threshold}, 1 to {MAX_KEYS} was expected"),
    };
    NonZeroU64::new(threshold).filter(|threshold| threshold.get() <= MAX_KEYS as u64).ok_or_else(wrong)
}

fn change(
    draft: &Path,
    change: impl FnOnce(&mut Root) -> Result<(), RepositoryError>,
) -> Result<Draft, RepositoryError> {
    let mut root = load(draft)?;
    change(&mut root.signed)?;
    root.signatures.clear();
    save(draft, &root)
}

fn load(draft: &Path) -> Result<Signed<Root>, RepositoryError> {
    let missing = || RepositoryError::Read(draft.to_owned(), "it is missing: begin a draft".to_owned());
    let root: Signed<Root> = read_json(draft)?.ok_or_else(missing)?;
    online_roles_agree(&root.signed)?;
    Ok(root)
}

/// One server signs three roles, with one key at a time. A root that says otherwise of one of them is no root of ours, and what
/// is shown of the three would not be true of each.
pub(super) fn online_roles_agree(root: &Root) -> Result<(), RepositoryError> {
    let sorted = |role| {
        let mut ids: Vec<_> = ids(root, role).iter().map(|id| hex(id)).collect();
        ids.sort();
        ids
    };
    let expected = sorted(RoleType::Timestamp);
    for role in ONLINE {
        let asked = root.roles.get(&role).map_or(1, |keys| keys.threshold.get());
        let problem = match asked {
            1 if sorted(role) == expected => continue,
            1 => "names other keys than timestamp does".to_owned(),
            _ => format!("asks for {asked} signatures"),
        };
        let problem = format!("{problem}, and one server signs it with one key: begin the draft again");
        return Err(RepositoryError::Role { role, problem });
    }
    Ok(())
}

fn save(draft: &Path, root: &Signed<Root>) -> Result<Draft, RepositoryError> {
    write(draft, &json(root)?)?;
    Ok(describe(root))
}

fn describe(root: &Signed<Root>) -> Draft {
    let hexes = |ids: &[Decoded<Hex>]| ids.iter().map(|id| hex(id)).collect();
    let (keys, threshold) = (ids(&root.signed, RoleType::Root), root_threshold(&root.signed));
    let signed = root.signatures.iter().filter(|signature| keys.contains(&signature.keyid)).count() as u64;
    Draft {
        version: root.signed.version.get(),
        expires: root.signed.expires,
        threshold,
        missing_keys: threshold.saturating_sub(keys.len() as u64),
        missing_signatures: threshold.saturating_sub(signed),
        root_keys: hexes(ids(&root.signed, RoleType::Root)),
        online_keys: hexes(ids(&root.signed, RoleType::Timestamp)),
        signed_by: root.signatures.iter().map(|signature| hex(&signature.keyid)).collect(),
    }
}

/// Keys of one role.
const MAX_KEYS: usize = 32;
