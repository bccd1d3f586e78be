//! Who holds the lock on a file, by what the system says of all locks (`proc_locks(5)`). To have the file open is not to hold it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, major, minor, statx};

/// A file as lines about locks name it.
#[derive(Clone, Copy)]
struct Place {
    major: u32,
    minor: u32,
    inode: u64,
}

/// The processes that hold a lock on a file, by number and name, as far as this one can see; None where nobody says.
pub(super) fn holders(file: &Path) -> Option<Vec<(u32, String)>> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let Ok(metadata) = fs::metadata(file) else { return Some(Vec::new()) };
    // btrfs and overlays say another device of a file than of its locks: that of the mount.
    let (major, minor) = mounted_from(file).unwrap_or_else(|| (major(metadata.dev()), minor(metadata.dev())));
    let mut pids = holding(&locks, Place { major, minor, inode: metadata.ino() });
    pids.sort_unstable();
    pids.dedup();
    let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    Some(pids.into_iter().map(|pid| (pid, name(pid))).collect())
}

/// The device under the mount that a file is in.
fn mounted_from(file: &Path) -> Option<(u32, u32)> {
    let stat = statx(CWD, file, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    if stat.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return None;
    }
    device_of(&fs::read_to_string("/proc/self/mountinfo").ok()?, stat.stx_mnt_id)
}

/// A line is `MOUNT PARENT MAJOR:MINOR …`, all of them decimal.
fn device_of(mounts: &str, mount: u64) -> Option<(u32, u32)> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (id, device) = (words.next()?, words.nth(1)?);
        let (major, minor) = device.split_once(':')?;
        (id.parse() == Ok(mount)).then(|| Some((major.parse().ok()?, minor.parse().ok()?)))?
    })
}

/// A line is `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`, the device hexadecimal, and has an arrow after its number for
/// those who wait.
fn holding(locks: &str, place: Place) -> Vec<u32> {
    let Place { major, minor, inode } = place;
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let holder = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, kind, _, _, pid, at, ..] = words[..] else { return None };
        (kind != "->" && at == place).then(|| pid.parse().ok())?
    };
    locks.lines().filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_a_lock_counts() {
        let locks = "1: FLOCK  ADVISORY  WRITE 1204 08:01:77 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 1300 08:01:77 0 EOF\n\
            2: POSIX  ADVISORY  READ 9 08:01:7 0 EOF\n3: FLOCK  ADVISORY  WRITE 1301 08:01:77 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 5 fd:1a:77 0 EOF\n5: OFDLCK ADVISORY  READ  -1 08:01:77 0 EOF\nodd\n";
        let holding = |major, minor| holding(locks, Place { major, minor, inode: 77 });
        assert_eq!(holding(8, 1), [1204, 1301]);
        assert_eq!(holding(0xfd, 0x1a), [5]);
        assert_eq!(holding(8, 2), [] as [u32; 0]);
    }

    #[test]
    fn the_device_of_a_lock_is_that_of_the_mount() {
        let mounts = "22 27 0:21 / /proc rw - proc proc rw\n2 1 0:9 / /old rw - tmpfs tmpfs rw\nodd\n\
            27 1 254:26 /@home /home rw - btrfs /dev/vda rw\n";
        assert_eq!(device_of(mounts, 27), Some((254, 26)));
        assert_eq!(device_of(mounts, 7), None);
    }

    /// What this process holds is seen, and what it only has open is not.
    #[test]
    fn our_own_lock_is_seen() {
        let held = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(holders(held.path()).as_deref(), Some(&[][..]));
        held.as_file().lock().expect("is locked");
        let pids: Vec<_> = holders(held.path()).into_iter().flatten().map(|(pid, _)| pid).collect();
        assert_eq!(pids, [std::process::id()]);
    }
}
