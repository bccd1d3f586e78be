//! The directory of a server: who may read its keys, what it lies on, and who else writes there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_ledger::storage::file::{DataDir, Format};

use super::access::Closed;
use super::locks::holders;
use super::seen::Seen;
use super::trust::log_keys;
use super::{Check, Said};
use crate::text::shell_word;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "data",
        why: "without its directory a server begins a new log, with new keys that nobody believes",
        look: is_one,
    },
    Check {
        name: "key-permissions",
        why: "whoever reads a key signs as the log, or certifies whom they like",
        look: permissions,
    },
    Check {
        name: "file-system",
        why: "a log on it is gone after a restart, or two machines write to it at once",
        look: file_system,
    },
    Check { name: "disk-space", why: "a log takes no entries when its disk is full", look: space },
    Check {
        name: "one-server",
        why: "two servers on one directory sign two logs under one name, which nobody believes again",
        look: one_server,
    },
    Check {
        name: "data-keys",
        why: "clients that have other keys than the server refuse everything that it signs",
        look: keys,
    },
];

/// A directory, and what it lies on.
pub(super) struct Directory {
    pub(super) dir: PathBuf,
    /// Why this user cannot look into it.
    closed: Option<Closed>,
    /// Whether it holds a log; if so, why this program cannot read it. None where there is no log.
    format: Option<Result<(), String>>,
    /// Keys that others than their owner may read, with their permissions.
    readable: Vec<(PathBuf, u32)>,
    /// What the system calls the file system's type.
    kind: Option<i64>,
    free: Option<u64>,
    reserve: u64,
    /// Processes that hold the lock, by number and name; None where the system does not say.
    holders: Option<Vec<(u32, String)>>,
}

impl Directory {
    pub(super) fn look(dir: PathBuf, reserve: u64) -> Self {
        let closed = Closed::look(&dir, "format");
        let format =
            DataDir::is_one(&dir).then(|| Format::read(&dir).map(drop).map_err(|error| error.to_string()));
        let mut readable = Vec::new();
        keys_below(&dir, 4, &mut readable);
        let kind = rustix::fs::statfs(&dir).ok().map(|stat| stat.f_type);
        let free = rustix::fs::statvfs(&dir).ok().map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let holders = holders(&dir.join("lock"));
        Self { dir, closed, format, readable, kind, free, reserve, holders }
    }

    /// Whether it holds a log that this program can read.
    pub(super) fn holds_log(&self) -> bool {
        matches!(self.format, Some(Ok(())))
    }
}

/// The directory, if it can be looked at.
fn open(seen: &Seen) -> Option<&Directory> {
    seen.data.as_ref().filter(|data| data.closed.is_none())
}

/// Private keys lie in files whose names end so.
fn keys_below(dir: &Path, depth: usize, found: &mut Vec<(PathBuf, u32)>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten().take(MOST_FILES) {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            keys_below(&path, depth - 1, found);
        } else if path.extension().is_some_and(|extension| extension == "key")
            && let Ok(metadata) = fs::metadata(&path)
            && metadata.permissions().mode() & 0o077 != 0
        {
            found.push((path, metadata.permissions().mode() & 0o777));
        }
    }
}

fn is_one(seen: &Seen) -> Vec<Said> {
    let Some(Directory { dir, closed, format, .. }) = &seen.data else { return Vec::new() };
    if let Some(closed) = closed {
        return vec![Said::unknown(closed.seen(dir), closed.fix())];
    }
    let name = dir.display();
    let seen_here = match format {
        Some(Ok(())) => return vec![Said::well(format!("{name} holds a log"))],
        Some(Err(problem)) => problem.clone(),
        None if dir.is_dir() => format!("{name} holds no log"),
        None => format!("{name} is no directory that can be read"),
    };
    vec![Said::problem(seen_here, "name the directory that the server was started with: --data DIR")]
}

fn permissions(seen: &Seen) -> Vec<Said> {
    let Some(Directory { dir, readable, .. }) = open(seen).filter(|data| data.dir.is_dir()) else {
        return Vec::new();
    };
    let said = readable.iter().map(|(path, mode)| {
        let path = path.display().to_string();
        Said::problem(
            format!("{path} has the permissions {mode:o}, 600 was expected"),
            format!("chmod 600 {}", shell_word(&path)),
        )
    });
    Said::or_well(said.collect(), || format!("no key below {} can be read by others", dir.display()))
}

fn file_system(seen: &Seen) -> Vec<Said> {
    let Some(Directory { dir, kind: Some(kind), .. }) = open(seen) else { return Vec::new() };
    let dir = dir.display();
    match unfit(*kind) {
        None => vec![Said::well(format!("{dir} lies on a local disk"))],
        Some((name, why)) => {
            let seen_here = format!("{dir} lies on {name}: {why}");
            vec![Said::problem(
                seen_here,
                "stop the server, copy the directory to a local disk, and start it with --data there: cp -a DIR /var/lib/bulla",
            )]
        }
    }
}

/// Types of file systems that hold no log, by the numbers of `statfs(2)`.
fn unfit(kind: i64) -> Option<(&'static str, &'static str)> {
    const MEMORY: &str = "it is gone when the machine or the container is";
    const REMOTE: &str = "locks and flushes do not hold there as they do on a disk";
    match kind & 0xffff_ffff {
        0x0102_1994 => Some(("tmpfs", MEMORY)),
        0x8584_58f6 => Some(("ramfs", MEMORY)),
        0x6969 => Some(("NFS", REMOTE)),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some(("SMB", REMOTE)),
        0x0102_1997 => Some(("9P", REMOTE)),
        _ => None,
    }
}

fn space(seen: &Seen) -> Vec<Said> {
    let Some(Directory { dir, free: Some(free), reserve, .. }) = open(seen) else { return Vec::new() };
    let (dir, mebibytes) = (dir.display(), free >> 20);
    if free >= reserve {
        return vec![Said::well(format!("{mebibytes} MiB are free below {dir}"))];
    }
    let seen_here = format!("{mebibytes} MiB are free below {dir}, the server wants {} MiB", reserve >> 20);
    vec![Said::problem(
        seen_here,
        "make room on the disk, or say --disk-reserve BYTES to the server and to this command",
    )]
}

fn one_server(seen: &Seen) -> Vec<Said> {
    let Some(Directory { dir, holders: Some(holders), .. }) = open(seen).filter(|data| data.holds_log())
    else {
        return Vec::new();
    };
    let name = dir.display();
    let all: Vec<_> = holders.iter().map(|(pid, comm)| format!("{comm}, process {pid}")).collect();
    match all.as_slice() {
        [] => vec![Said::well(format!("no server that can be seen from here writes to {name}"))],
        [one] => vec![Said::well(format!("one server has {name} locked: {one}"))],
        // Which is the one that is meant, no program knows.
        several => vec![Said::problem(
            format!("{name} is locked by several: {}", several.join("; ")),
            "find out which of them is meant to write there, and stop the others in the way in which they were started",
        )],
    }
}

/// The keys in the directory beside those that clients have.
fn keys(seen: &Seen) -> Vec<Said> {
    let (Some(Directory { dir, .. }), Some(root)) = (open(seen), &seen.root) else { return Vec::new() };
    let known: Vec<_> = log_keys(root).map(|(.., spki)| spki).collect();
    let own = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        let base64: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        Some((dir.join(name), STANDARD.decode(base64).ok()?))
    };
    let own: Vec<_> = ["log.pub", "v1.pub"].into_iter().filter_map(own).collect();
    let strangers = own.iter().filter(|(_, spki)| !known.contains(spki));
    let said = strangers.map(|(path, _)| {
        let seen_here = format!(
            "the key {} is not in {}: another directory, or another server at the URL",
            path.display(),
            root.name
        );
        let fix = format!(
            "name the directory and the address of one server; or ask its owner before {} is replaced",
            root.name
        );
        Said::problem(seen_here, fix)
    });
    let said: Vec<_> = said.collect();
    if own.is_empty() {
        said
    } else {
        Said::or_well(said, || format!("the keys in {} are in {}", dir.display(), root.name))
    }
}

/// In one directory.
const MOST_FILES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_fit_and_memory_and_networks_are_not() {
        for (kind, name) in
            [(0x0102_1994, "tmpfs"), (0x6969, "NFS"), (0xff53_4d42, "SMB"), (-11_317_950, "SMB")]
        {
            assert_eq!(unfit(kind).map(|(name, _)| name), Some(name), "{kind:x}");
        }
        // ext4, XFS, btrfs, overlay.
        for kind in [0xef53, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(unfit(kind), None, "{kind:x}");
        }
    }
}
