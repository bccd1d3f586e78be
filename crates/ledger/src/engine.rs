//! The storage engine's files, before the engine reads them. It asks for as much memory as a list or a table of contents names
//! before it has verified it, or without: for a garbled one that may be a hundred gigabytes, and a process that is refused
//! memory ends with no error. So the checksums that it writes of them are verified here first.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// Whether the list of tables in a directory of the engine's, and the table of contents of each, are as they were written.
/// Nothing of a directory that is not there is damaged.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] with the name of a file that is not; any other if one cannot be read.
pub fn check_files(dir: &Path) -> io::Result<()> {
    let damaged = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{what} is damaged"));
    let Some(current) = there(fs::read(dir.join("current")))? else { return Ok(()) };
    // A number, the checksum of the list of that number, and which checksum that is.
    let parts = current.split_first_chunk().and_then(|(number, rest)| {
        let (checksum, [0]) = rest.split_first_chunk()? else { return None };
        Some((u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)))
    });
    let (number, checksum) = parts.ok_or_else(|| damaged("the name of the list of tables".to_owned()))?;
    let list = there(fs::read(dir.join(format!("v{number}"))))?;
    if list.is_none_or(|list| xxh3_128(&list) != checksum) {
        return Err(damaged(format!("the list of tables, v{number},")));
    }
    let Some(tables) = there(fs::read_dir(dir.join("tables")))? else { return Ok(()) };
    for table in tables {
        let table = table?;
        if table.file_type()?.is_file() && !contents_hold(&mut File::open(table.path())?)? {
            return Err(damaged(format!("table {}", table.file_name().display())));
        }
    }
    Ok(())
}

/// Whether the table of contents of a file is as it was written. A file that does not end as they do is the engine's to refuse,
/// or to remove if it is no longer, or not yet, one of the tables.
fn contents_hold(file: &mut File) -> io::Result<bool> {
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER as u64) else { return Ok(true) };
    let mut trailer = [0; TRAILER];
    read_at(file, end, &mut trailer)?;
    let parts = trailer.strip_prefix(MAGIC).and_then(|rest| {
        let (checksum, rest) = rest.split_first_chunk()?;
        Some((u128::from_le_bytes(*checksum), u64::from_le_bytes(*rest.first_chunk()?)))
    });
    let Some((checksum, at)) = parts else { return Ok(true) };
    let Some(len) = end.checked_sub(at).filter(|len| *len <= LARGEST) else { return Ok(false) };
    let mut contents = vec![0; len as usize];
    read_at(file, at, &mut contents)?;
    Ok(xxh3_128(&contents) == checksum)
}

fn read_at(file: &mut File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

fn there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// At the end of a table: magic, version and kind of checksum; the checksum of its table of contents; where that is; a length.
const TRAILER: usize = MAGIC.len() + 16 + 8 + 8;
const MAGIC: &[u8] = b"SFA!\x01\x00";
/// A table of contents names a few sections.
const LARGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use lsm_tree::{AbstractTree as _, Config, SequenceNumberCounter};

    use super::*;

    fn open(dir: &Path) -> lsm_tree::Result<lsm_tree::AnyTree> {
        let versions = SequenceNumberCounter::default();
        Config::new(dir, versions, SequenceNumberCounter::default()).open()
    }

    #[test]
    fn no_garbled_byte_makes_the_engine_ask_for_all_memory() {
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
        assert!(noticed > 400, "{noticed}");
        check_files(&dir.path().join("missing")).expect("nothing is there");
    }
}
