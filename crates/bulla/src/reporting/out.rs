//! Files that appear whole under their name or not at all, however long it takes to write them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use bulla_tlog::Hash;

/// Writes a file, which then replaces the one of that name.
pub(crate) fn atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = (|| {
        let mut out = BufWriter::new(File::create(&unfinished)?);
        write(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&unfinished, path)
    })();
    if written.is_err() {
        // The error that is told is the first one.
        let _gone = fs::remove_file(&unfinished);
    }
    written
}

/// The SHA-256 of a file, read in pieces.
pub(crate) fn sha256_file(path: &Path) -> io::Result<Hash> {
    let mut hashing = Hashing(Context::new(&SHA256));
    io::copy(&mut File::open(path)?, &mut hashing)?;
    let mut hash = Hash([0; 32]);
    hash.0.copy_from_slice(hashing.0.finish().as_ref());
    Ok(hash)
}

struct Hashing(Context);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
