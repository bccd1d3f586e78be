//! Keys that are about to follow others. Whoever holds the root's key makes them and lays them beside those in force; from then
//! on the server does the rest: it tells clients, waits until they know, and puts the new ones in the place of the old.
//!
//! ```text
//! DIR/ca/next/ca.key, chain.pem, plan.json   the certificate authority that is to follow
//! DIR/tsa/next/tsa.key, …                    the timestamp authority
//! DIR/ct-2/ct.key, ct.pub, plan.json         the certificate transparency log that follows DIR/ct, beside its ledger
//! DIR/tuf/next/online.key, .pub, *.root.json the repository's key, and the roots that say so
//! ```
//!
//! What is staged comes to be under its name with all its files at once. It is put in force in steps that can each be done
//! again, so whoever comes after a crash goes on from the files that are there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bulla_authority::ca::Facts;
use bulla_claims::keys::pem;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::files::{Role, certificates};
use crate::command::Failure;
use crate::home::{make_directory, make_secret, not_writable, note, read_key};

/// When something staged is put in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// When it was made.
    pub(crate) staged: Timestamp,
    /// How long clients have to learn of it, in seconds.
    pub(crate) overlap_seconds: u64,
    /// When clients were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<Timestamp>,
    /// Whether its root becomes the root of the stack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) replaces_root: bool,
}

const PLAN: &str = "plan.json";
/// Where an authority with certificates is staged, in its directory.
const NEXT: &str = "next";

impl Plan {
    /// That in a directory, if it has one.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, Failure> {
        let path = dir.join(PLAN);
        let failed = |problem: &dyn std::fmt::Display| {
            Failure::usage(format!(
                "{}: {problem}: stop the server, take {} away and rotate again",
                path.display(),
                dir.display()
            ))
        };
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// From when it is in force, once clients were told.
    pub(super) fn from(&self) -> Option<Timestamp> {
        let overlap =
            i64::try_from(self.overlap_seconds).map_or(SignedDuration::MAX, SignedDuration::from_secs);
        self.published.map(|published| published.checked_add(overlap).unwrap_or(Timestamp::MAX))
    }

    /// Whether it is in force at that time.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.from().is_some_and(|from| from <= now)
    }

    /// Notes that clients were told.
    pub(super) fn publish(mut self, dir: &Path, now: Timestamp) -> Result<Self, Failure> {
        self.published = Some(now);
        note(dir, PLAN, &self.text())?;
        Ok(self)
    }

    fn text(&self) -> String {
        // Times and numbers always serialize.
        format!("{}\n", serde_json::to_string_pretty(self).unwrap_or_default())
    }
}

/// Lays files at a place where nothing is, all at once: secret ones and public ones, by name. Refused when something is there.
pub(super) fn lay(
    place: &Path,
    plan: Option<&Plan>,
    secret: &[(&str, &str)],
    public: &[(&str, &str)],
) -> Result<(), Failure> {
    let (parent, name) = (place.parent().unwrap_or(place), place.file_name().unwrap_or_default());
    let unfinished = parent.join(format!("{}.new", name.to_string_lossy()));
    let failed = |error: io::Error| not_writable(&unfinished, &error);
    // Of an attempt that was interrupted: nobody ever saw it.
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    make_directory(&unfinished)?;
    for (name, text) in secret {
        make_secret(&unfinished, name, text).map_err(failed)?;
    }
    for (name, text) in public {
        note(&unfinished, name, text)?;
    }
    if let Some(plan) = plan {
        note(&unfinished, PLAN, &plan.text())?;
    }
    settle(&unfinished)?;
    match fs::rename(&unfinished, place) {
        Ok(()) => settle(parent),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
        {
            fs::remove_dir_all(&unfinished).map_err(failed)?;
            Err(staged_already(place))
        }
        Err(error) => Err(failed(error)),
    }
}

/// What is said to whoever stages a second one.
pub(super) fn staged_already(place: &Path) -> Failure {
    let place = place.display();
    Failure::usage(format!(
        "{place} is staged already: wait until it is in force (bulla trust rotate --list says when), or stop the server and \
         take {place} away"
    ))
}

/// Where the authority of a role that is to follow is staged.
pub(super) fn place(data: &Path, role: &Role) -> PathBuf {
    data.join(role.dir).join(NEXT)
}

/// Puts the staged authority in force, or goes on with that. The old chain is believed as before, the old key is no more.
pub(super) fn turn(data: &Path, role: &Role) -> Result<(), Failure> {
    if place(data, role).join(CHAIN).exists() {
        judge(&place(data, role), role)?;
    }
    STEPS.iter().try_for_each(|step| step(data, role))
}

/// Refuses what is damaged, before anything makes room for it: the staged key must be the one that its chain certifies.
fn judge(place: &Path, role: &Role) -> Result<(), Failure> {
    let failed = |problem: &dyn std::fmt::Display| {
        let place = place.display();
        Failure::usage(format!("{place} is damaged, take it away and rotate again: {problem}"))
    };
    let chain = certificates(&place.join(CHAIN)).map_err(|failure| failed(&failure))?;
    let key = read_key(&place.join(role.key), None).map_err(|failure| failed(&failure))?;
    let first = chain.first().ok_or_else(|| failed(&"its chain is empty"))?;
    let certified = Facts::of(first).map_err(|problem| failed(&problem))?;
    if certified.spki != key.spki() {
        return Err(failed(&"its chain certifies another key"));
    }
    Ok(())
}

type Step = fn(&Path, &Role) -> Result<(), Failure>;

/// In this order. Each says by what it leaves behind that it was done.
const STEPS: [Step; 6] = [keep_old_chain, take_chain, take_key, take_root, note_beginning, clear];

/// Whether it was begun: then nothing may be signed before it is ended.
pub(super) fn is_begun(data: &Path, role: &Role) -> bool {
    let next = place(data, role);
    next.exists() && !next.join(CHAIN).exists()
}

fn keep_old_chain(data: &Path, role: &Role) -> Result<(), Failure> {
    let home = data.join(role.dir);
    if !place(data, role).join(CHAIN).exists() {
        return Ok(());
    }
    let path = home.join(CHAIN);
    let old =
        fs::read_to_string(&path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let other = home.join(OTHER);
    make_directory(&other)?;
    let is_old = |path: &PathBuf| fs::read(path).is_ok_and(|text| text == old.as_bytes());
    // Of an attempt that was interrupted, after which the old key may have gone on.
    let kept = others(&home)?.into_iter().find(is_old);
    let name = match kept.as_deref().and_then(Path::file_name) {
        Some(kept) => kept.to_string_lossy().into_owned(),
        None => free_name(&other, |number| format!("{number}.pem"))?,
    };
    let end = Timestamp::now().checked_add(LAST_SIGNATURES).unwrap_or(Timestamp::MAX);
    note(&other, &Path::new(&name).with_extension(ENDED).to_string_lossy(), &format!("{end}\n"))?;
    note(&other, &name, &old)?;
    settle(&other)?;
    settle(&home)
}

fn take_chain(data: &Path, role: &Role) -> Result<(), Failure> {
    take(&place(data, role), &data.join(role.dir), CHAIN)
}

/// In the place of the old one, which must never sign again.
fn take_key(data: &Path, role: &Role) -> Result<(), Failure> {
    take(&place(data, role), &data.join(role.dir), role.key)
}

fn take_root(data: &Path, role: &Role) -> Result<(), Failure> {
    if !Plan::read(&place(data, role))?.is_some_and(|plan| plan.replaces_root) {
        return Ok(());
    }
    let chain = certificates(&data.join(role.dir).join(CHAIN))?;
    let Some(root) = chain.last() else { return Ok(()) };
    note(data, "root.pem", &pem("CERTIFICATE", root))?;
    settle(data)
}

fn note_beginning(data: &Path, role: &Role) -> Result<(), Failure> {
    let from = Plan::read(&place(data, role))?.and_then(|plan| plan.from());
    from.map_or(Ok(()), |from| note(&data.join(role.dir), SINCE, &format!("{from}\n")))
}

fn clear(data: &Path, role: &Role) -> Result<(), Failure> {
    remove(&place(data, role))
}

/// Takes away what is left of a staged one.
pub(super) fn remove(place: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_writable(place, &error)),
        _ => settle(place.parent().unwrap_or(place)),
    }
}

/// The first of these names that no file in a directory has.
pub(super) fn free_name(dir: &Path, name: impl Fn(u32) -> String) -> Result<String, Failure> {
    let free = (1..=MOST).map(name).find(|name| !dir.join(name).exists());
    free.ok_or_else(|| {
        Failure::usage(format!("{} has {MOST} old keys or chains: take some away", dir.display()))
    })
}

/// Takes a file away, if there is one.
pub(super) fn forget(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_writable(path, &error)),
        _ => Ok(()),
    }
}

/// Moves a file over the one of its name, unless it was moved before.
pub(super) fn take(from: &Path, to: &Path, name: &str) -> Result<(), Failure> {
    match fs::rename(from.join(name), to.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(not_writable(to, &error)),
        Ok(()) => settle(to).and_then(|()| settle(from)),
    }
}

/// The chains that are believed beside the one in force.
pub(super) fn others(home: &Path) -> Result<Vec<PathBuf>, Failure> {
    let other = home.join(OTHER);
    let failed = |error: io::Error| Failure::usage(format!("{}: {error}", other.display()));
    match fs::read_dir(&other) {
        Ok(entries) => {
            let mut all: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            all.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
            all.sort();
            Ok(all)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Until when what a chain signs is believed, if that was noted beside it.
pub(super) fn end(chain: &Path) -> Result<Option<Timestamp>, Failure> {
    let path = chain.with_extension(ENDED);
    let failed = |problem: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "{}: {problem}: a time such as 2026-11-21T00:00:00Z was expected, or no file",
            path.display()
        ))
    };
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| failed(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// The chain in force, those that are believed beside it, and the one that is to follow.
pub(super) fn chains(home: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut all = vec![home.join(CHAIN)];
    all.append(&mut others(home)?);
    let next = home.join(NEXT).join(CHAIN);
    if next.exists() {
        match certificates(&next) {
            Ok(_) => all.push(next),
            // Nobody relies on it yet, so everything else goes on.
            Err(failure) => {
                tracing::error!(%failure, "what is staged is damaged: take it away and rotate again");
            }
        }
    }
    Ok(all)
}

/// Has the names in a directory survive a loss of power.
fn settle(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| not_writable(dir, &error))
}

pub(super) const CHAIN: &str = "chain.pem";
/// Since when a key that followed another signs.
pub(super) const SINCE: &str = "since";
/// Of one authority that was rotated every day, three years.
const MOST: u32 = 1000;
const OTHER: &str = "other";
const ENDED: &str = "ended";
/// A request in flight is answered by the old key, and a certificate that it signed last is used until it ends, which is after a
/// day at most.
const LAST_SIGNATURES: SignedDuration = SignedDuration::from_hours(25);

#[cfg(test)]
mod tests {
    use super::super::files::{CA, Hierarchy};
    use super::*;

    /// Whatever the moment of a crash, the next start ends where an undisturbed one does.
    #[tokio::test]
    async fn a_crash_between_any_two_steps_is_gone_on_from() {
        let now = Timestamp::now();
        for done in 0..=STEPS.len() {
            let folder = tempfile::tempdir().expect("a directory");
            let data = folder.path();
            let hierarchy = Hierarchy::new(data, "Corp");
            let old = hierarchy.open(&CA, now).await.expect("made");
            let plan = Plan { staged: now, overlap_seconds: 0, published: Some(now), replaces_root: true };
            hierarchy.stage_root(&[&CA], &plan, now).await.expect("staged");
            assert!(!is_begun(data, &CA));
            let new = fs::read_to_string(data.join("ca/next/chain.pem")).expect("staged");
            let new_key = fs::read(data.join("ca/next/ca.key")).expect("staged");
            for step in &STEPS[..done] {
                step(data, &CA).expect("works");
            }
            assert_eq!(is_begun(data, &CA), (2..STEPS.len()).contains(&done), "after {done}");
            turn(data, &CA).expect("works");
            turn(data, &CA).expect("has nothing to do");
            assert_eq!(fs::read_to_string(data.join("ca/chain.pem")).expect("there"), new);
            assert_eq!(fs::read(data.join("ca/ca.key")).expect("there"), new_key);
            assert_eq!(fs::read_to_string(data.join("ca/other/1.pem")).expect("there"), old.chain);
            assert_eq!(others(&data.join("ca")).expect("listed").len(), 1, "after {done}");
            let ended = end(&data.join("ca/other/1.pem")).expect("readable").expect("there");
            assert!((now + LAST_SIGNATURES..=Timestamp::now() + LAST_SIGNATURES).contains(&ended), "{ended}");
            assert_eq!(end(&data.join("ca/chain.pem")).expect("readable"), None);
            assert!(!data.join("ca/next").exists());
            let root = fs::read_to_string(data.join("root.pem")).expect("there");
            assert!(new.ends_with(&root), "after {done}");
        }
    }

    /// What is damaged is not put in force, and takes nothing with it.
    #[tokio::test]
    async fn damaged_ones_stay_where_they_are() {
        let now = Timestamp::now();
        let folder = tempfile::tempdir().expect("a directory");
        let data = folder.path();
        let hierarchy = Hierarchy::new(data, "Corp");
        hierarchy.open(&CA, now).await.expect("made");
        let plan = Plan { staged: now, overlap_seconds: 0, published: Some(now), replaces_root: false };
        hierarchy.stage(&CA, &plan, now).await.expect("staged");
        let (chain, key) = (data.join("ca/next/chain.pem"), data.join("ca/next/ca.key"));
        let (whole_chain, whole_key) = (fs::read(&chain).expect("there"), fs::read(&key).expect("there"));
        let old = fs::read(data.join("ca/ca.key")).expect("there");
        for (path, damaged) in
            [(&key, &b""[..]), (&key, &old[..]), (&chain, b""), (&chain, b"-----BEGIN CERTIFICATE-----\n")]
        {
            fs::write(path, damaged).expect("written");
            let refused = turn(data, &CA).expect_err("refused").to_string();
            assert!(refused.contains("ca/next is damaged, take it away and rotate again: "), "{refused}");
            assert_eq!(fs::read(data.join("ca/ca.key")).expect("there"), old);
            assert!(others(&data.join("ca")).expect("listed").is_empty());
            fs::write(&chain, &whole_chain).expect("written");
            fs::write(&key, &whole_key).expect("written");
        }
        fs::remove_file(&key).expect("removed");
        assert!(turn(data, &CA).is_err());
        fs::write(&key, &whole_key).expect("written");
        turn(data, &CA).expect("works");
        assert_eq!(fs::read(data.join("ca/ca.key")).expect("there"), whole_key);
    }

    #[test]
    fn what_is_staged_is_whole_and_alone() {
        let folder = tempfile::tempdir().expect("a directory");
        let place = folder.path().join("next");
        // Of an attempt that was killed.
        fs::create_dir(folder.path().join("next.new")).expect("made");
        fs::write(folder.path().join("next.new/ca.key"), "half a k").expect("written");
        lay(&place, None, &[("ca.key", "a key")], &[("chain.pem", "a chain")]).expect("laid");
        let refused = lay(&place, None, &[("ca.key", "another")], &[]).expect_err("one is there");
        assert!(refused.to_string().contains("next is staged already"), "{refused}");
        assert_eq!(fs::read(place.join("ca.key")).expect("there"), b"a key");
        assert!(!folder.path().join("next.new").exists());
    }

    #[test]
    fn the_overlap_begins_when_clients_are_told() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let plan = Plan {
            staged: at("2026-01-01T00:00:00Z"),
            overlap_seconds: 60,
            published: None,
            replaces_root: false,
        };
        assert!(!plan.is_due(at("2030-01-01T00:00:00Z")));
        let plan = Plan { published: Some(at("2026-01-02T00:00:00Z")), ..plan };
        assert!(!plan.is_due(at("2026-01-02T00:00:59Z")));
        assert!(plan.is_due(at("2026-01-02T00:01:00Z")));
        assert_eq!(Plan { overlap_seconds: u64::MAX, ..plan }.from(), Some(Timestamp::MAX));
    }
}
