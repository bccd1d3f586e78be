//! What each authority signs with, since when and until when, and what is staged. Reads public files only.

use std::fs;
use std::path::Path;

use bulla_authority::ca::Facts;
use bulla_authority::tuf::{ceremony, key_id};
use bulla_claims::pki::x509::PublicKey;
use bulla_tlog::sha256;
use jiff::Timestamp;
use serde::Serialize;

use super::files::{self, CA, Role, TSA};
use super::staged::{self, CHAIN, Plan, SINCE};
use super::{ct, expiry, tuf};
use crate::command::Failure;
use crate::home::read_format;

/// What is known of an authority's key.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Signing {
    /// `root`, `ca`, `tsa`, `ct` or `tuf`.
    pub(crate) authority: &'static str,
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`); for `tuf`, the ID that its root names.
    #[serde(rename = "keyID")]
    pub(crate) key_id: String,
    /// Since when it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// Until when it can be believed: when the first of its certificates ends, or the root that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// The key that is to follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) staged: Option<Staged>,
}

/// A key that is to follow another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Staged {
    /// As of the one in force.
    #[serde(rename = "keyID")]
    pub(crate) key_id: String,
    /// When clients were told; not yet if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<Timestamp>,
    /// From when it signs, once clients were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Timestamp>,
}

impl Staged {
    fn of(key_id: String, plan: Option<&Plan>) -> Self {
        Self { key_id, published: plan.and_then(|plan| plan.published), from: plan.and_then(Plan::from) }
    }
}

/// All that a data directory has.
pub(crate) fn read(data: &Path) -> Result<Vec<Signing>, Failure> {
    let mut all = Vec::new();
    let ends = expiry::all(data)?;
    let until = |name: &str| ends.iter().find(|expiry| expiry.authority == name).map(|expiry| expiry.ends);
    if data.join("root.pem").exists() {
        let facts = facts(&data.join("root.pem"))?;
        let mut staged = None;
        for place in [&CA, &TSA].map(|role| staged::place(data, role)) {
            let plan = Plan::read(&place)?.filter(|plan| plan.replaces_root && place.join(CHAIN).exists());
            if let (Some(plan), None) = (plan, &staged) {
                let root = files::certificates(&place.join(CHAIN))?.pop().unwrap_or_default();
                let spki = Facts::of(&root).map_err(Failure::usage)?.spki;
                staged = Some(Staged::of(sha256(&spki).to_string(), Some(&plan)));
            }
        }
        let key_id = sha256(&facts.spki).to_string();
        all.push(Signing {
            authority: "root",
            key_id,
            since: Some(facts.begins),
            until: until("root"),
            staged,
        });
    }
    for role in [&CA, &TSA] {
        all.extend(certified(data, role, until(role.dir))?);
    }
    let logs = ct::Place::all(data)?;
    if let (Some(active), next) = ct::Place::active(&logs) {
        let key =
            |place: &ct::Place| Ok::<_, Failure>(sha256(&public(&place.dir.join("ct.pub"))?).to_string());
        let before = logs.iter().rev().find_map(|place| place.ended);
        let created = read_format(&active.dir)?.and_then(|format| i64::try_from(format.created).ok());
        let since = before.or(created.and_then(|created| Timestamp::from_second(created).ok()));
        let staged =
            next.map(|next| Ok::<_, Failure>(Staged::of(key(next)?, next.plan.as_ref()))).transpose()?;
        all.push(Signing { authority: "ct", key_id: key(active)?, since, until: None, staged });
    }
    if let Some(root) = ceremony::current(&data.join("tuf/repository")).map_err(Failure::usage)? {
        let next = data.join("tuf/next");
        let staged = match Plan::read(&next)? {
            Some(plan) => {
                let key = public(&next.join(tuf::PUBLIC))?;
                Some(Staged::of(key_id(&key).map_err(Failure::usage)?, Some(&plan)))
            }
            None => None,
        };
        let key_id = root.online_keys.join(" ");
        all.push(Signing {
            authority: "tuf",
            key_id,
            since: since(&data.join("tuf")),
            until: until("tuf-root"),
            staged,
        });
    }
    Ok(all)
}

fn certified(data: &Path, role: &Role, until: Option<Timestamp>) -> Result<Option<Signing>, Failure> {
    let home = data.join(role.dir);
    if !home.join(CHAIN).exists() {
        return Ok(None);
    }
    let in_force = facts(&home.join(CHAIN))?;
    let place = staged::place(data, role);
    let staged = if place.join(CHAIN).exists() {
        let next = facts(&place.join(CHAIN))?;
        Some(Staged::of(sha256(&next.spki).to_string(), Plan::read(&place)?.as_ref()))
    } else {
        None
    };
    let since = since(&home).unwrap_or(in_force.begins);
    let key_id = sha256(&in_force.spki).to_string();
    Ok(Some(Signing { authority: role.dir, key_id, since: Some(since), until, staged }))
}

/// The public key in a file, DER.
fn public(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |problem: &dyn std::fmt::Display| Failure::usage(format!("{}: {problem}", path.display()));
    let text = fs::read(path).map_err(|error| failed(&error))?;
    let key = PublicKey::parse(&text).map_err(|error| failed(&error.problem))?;
    Ok(key.spki().to_vec())
}

fn since(home: &Path) -> Option<Timestamp> {
    fs::read_to_string(home.join(SINCE)).ok()?.trim().parse().ok()
}

/// Of the first certificate in a file.
fn facts(path: &Path) -> Result<Facts, Failure> {
    let failed = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
    let first = files::certificates(path)?.swap_remove(0);
    Facts::of(&first).map_err(failed)
}
