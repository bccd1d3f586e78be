//! Throwing away what no client can be sent to any more: lists that were replaced longer ago than any list holds, and targets that
//! no list is left for. Roots stay for ever: clients follow them one by one.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use tough::schema::{Signed, Targets};

use super::files::read_json;
use super::keys::hex;
use super::repository::RepositoryError;

/// Throws away what was replaced longer than `longest` ago. `reached` are the versions of targets and snapshot in force.
/// Returns how many files that were.
pub(super) fn old(
    dir: &Path,
    reached: [NonZeroU64; 2],
    longest: SignedDuration,
    now: Timestamp,
) -> Result<usize, RepositoryError> {
    let failed = |error: io::Error| RepositoryError::Write(format!("{}: {error}", dir.display()));
    let end = UNIX_EPOCH + Duration::try_from((now - longest).as_duration()).unwrap_or_default();
    let mut thrown = 0;
    for (role, current) in ["targets", "snapshot"].into_iter().zip(reached) {
        let mut versions = versions(dir, role).map_err(failed)?;
        versions.retain(|version| *version <= current.get());
        versions.sort_unstable();
        let name = |version: u64| dir.join(format!("{version}.{role}.json"));
        // A list was replaced when the next one was written.
        for pair in versions.windows(2) {
            if is_before(&name(pair[1]), end).map_err(failed)? {
                fs::remove_file(name(pair[0])).map_err(failed)?;
                thrown += 1;
            }
        }
    }
    Ok(thrown + targets(dir, end)?)
}

/// Throws away the targets that no list names and that were there before.
fn targets(dir: &Path, end: SystemTime) -> Result<usize, RepositoryError> {
    let failed = |error: io::Error| RepositoryError::Write(format!("{}: {error}", dir.display()));
    let mut named = HashSet::new();
    for version in versions(dir, "targets").map_err(failed)? {
        let list: Option<Signed<Targets>> = read_json(&dir.join(format!("{version}.targets.json")))?;
        for (name, target) in list.into_iter().flat_map(|list| list.signed.targets) {
            named.insert(format!("{}.{}", hex(&target.hashes.sha256), name.raw()));
        }
    }
    let mut thrown = 0;
    for entry in fs::read_dir(dir.join("targets")).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_digested = name.split_once('.').is_some_and(|(digest, _)| digest.len() == DIGEST);
        if is_digested && !named.contains(&name) && is_before(&entry.path(), end).map_err(failed)? {
            fs::remove_file(entry.path()).map_err(failed)?;
            thrown += 1;
        }
    }
    Ok(thrown)
}

fn versions(dir: &Path, role: &str) -> io::Result<Vec<u64>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name.strip_suffix(".json").and_then(|name| name.strip_suffix(role)?.strip_suffix('.'));
        versions.extend(version.and_then(|version| version.parse::<u64>().ok()));
    }
    Ok(versions)
}

fn is_before(path: &Path, end: SystemTime) -> io::Result<bool> {
    Ok(fs::metadata(path)?.modified()? < end)
}

/// Hexadecimal digits of a SHA-256.
const DIGEST: usize = 64;
