//! The storage engine's files, before the engine reads them. It verifies what they say by checksums, but asks for as much
//! memory as a table of contents names before it has: for a garbled one that may be a hundred gigabytes, and a process that is
//! refused memory ends with no error. So what is counted there is compared with the size of the file first.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// At the end of a file: magic, version, kind of checksum, checksum, where the table of contents is, its length.
const TRAILER: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// Before a table's entries: magic, their number.
const HEAD: usize = 4 + 4;
/// The least that an entry takes: position, length, length of its name.
const ENTRY: usize = 8 + 8 + 2;
/// The sections of a list of tables that count what nothing here has: values in files of their own.
const NONE: [&[u8]; 2] = [b"blob_files", b"blob_gc_stats"];
/// Sections are few.
const LARGEST: u64 = 64 << 10;

/// Whether every file below a directory of the storage engine has what its table of contents counts. What is no such file,
/// or is damaged so that the engine says it, passes.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for a file that does not, which the message names; any other if one cannot be read.
pub fn check_files(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() {
            check_files(&path)?;
        } else if kind.is_file() && !counts_hold(&mut File::open(&path)?)? {
            let problem = format!("{}: its table of contents is damaged", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
    }
    Ok(())
}

/// Whether the sections that a file counts are there. Magic that is not there is an error of the engine's.
fn counts_hold(file: &mut File) -> io::Result<bool> {
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(true) };
    let mut trailer = [0; TRAILER];
    read_at(file, end, &mut trailer)?;
    if !trailer.starts_with(b"SFA!") {
        return Ok(true);
    }
    let at = trailer.split_last_chunk::<16>().and_then(|(_, lengths)| lengths.first_chunk());
    let at = at.map_or(u64::MAX, |at| u64::from_le_bytes(*at));
    let Some(len) = end.checked_sub(at).filter(|len| *len >= HEAD as u64) else { return Ok(true) };
    let mut table = vec![0; len.min(LARGEST) as usize];
    read_at(file, at, &mut table)?;
    let mut rest = table.as_slice();
    let (Some(b"TOC!"), Some(count)) = (take(&mut rest, 4), number(&mut rest, 4)) else { return Ok(true) };
    if count.checked_mul(ENTRY as u64).is_none_or(|least| least > rest.len() as u64) {
        return Ok(false);
    }
    for _ in 0..count {
        let (position, length) = (number(&mut rest, 8), number(&mut rest, 8));
        let name = number(&mut rest, 2).and_then(|len| take(&mut rest, len as usize));
        let (Some(position), Some(length), Some(name)) = (position, length, name) else { return Ok(false) };
        if NONE.contains(&name) {
            let mut count = [1; 4];
            if length == 4 && position.checked_add(4).is_some_and(|behind| behind <= end) {
                read_at(file, position, &mut count)?;
            }
            if count != [0; 4] {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn read_at(file: &mut File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

/// A number of so many bytes, the least significant first.
fn number(rest: &mut &[u8], len: usize) -> Option<u64> {
    let bytes = take(rest, len)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use lsm_tree::{AbstractTree as _, Config, SequenceNumberCounter};

    use super::*;

    fn open(dir: &Path) -> lsm_tree::Result<lsm_tree::AnyTree> {
        let versions = SequenceNumberCounter::default();
        Config::new(dir, versions, SequenceNumberCounter::default()).open()
    }

    #[test]
    fn no_garbled_byte_makes_the_engine_ask_for_more_than_there_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (sound, copy) = (dir.path().join("sound"), dir.path().join("copy"));
        let tree = open(&sound).expect("opens");
        for n in 0..100_u64 {
            tree.insert(n.to_be_bytes(), b"value", n);
        }
        tree.flush_active_memtable(100).expect("is written");
        drop(tree);
        check_files(&sound).expect("is whole");
        let listed = |folder: &str| {
            let names = fs::read_dir(sound.join(folder)).expect("is listed");
            names.map(|name| Path::new(folder).join(name.expect("is listed").file_name())).collect::<Vec<_>>()
        };
        let mut files = [listed(""), listed("tables")].concat();
        files.retain(|name| sound.join(name).is_file());
        let mut noticed = 0;
        for name in &files {
            let whole = fs::read(sound.join(name)).expect("is read");
            // The table of contents is at the end.
            for at in whole.len().saturating_sub(250)..whole.len() {
                // The engine may remove what a garbled list does not name.
                let _new = fs::remove_dir_all(&copy);
                fs::create_dir_all(copy.join("tables")).expect("is made");
                for name in &files {
                    fs::copy(sound.join(name), copy.join(name)).expect("is copied");
                }
                let mut garbled = whole.clone();
                garbled[at] = garbled[at].wrapping_add(0x7f);
                fs::write(copy.join(name), &garbled).expect("is written");
                match check_files(&copy) {
                    // It is not shown to the engine, which might end the test.
                    Err(error) => noticed += usize::from(error.kind() == io::ErrorKind::InvalidData),
                    Ok(()) => drop(std::panic::catch_unwind(|| open(&copy).is_ok())),
                }
            }
        }
        assert!(noticed > 10, "{noticed}");
        check_files(&dir.path().join("missing")).expect("nothing is there");
    }
}
