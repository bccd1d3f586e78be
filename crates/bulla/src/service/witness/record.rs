//! What a witness remembers of a log: the checkpoint it cosigned last, in one file that is replaced as a whole. The file
//! is that note, with the log's signature and the cosignature, so that a damaged or foreign one cannot pass for it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulla_tlog::cosignature::CosignatureVerifier;
use bulla_tlog::note::{Note, Signature};
use bulla_tlog::{Checkpoint, Hash, sha256};
use bytes::Bytes;

use super::home::OpenError;

/// The checkpoint that was cosigned last.
pub(super) struct Last {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) note: Bytes,
}

impl Last {
    fn new(checkpoint: &Checkpoint, note: &Note) -> Self {
        Self { size: checkpoint.size, root: checkpoint.root, note: note.to_string().into() }
    }

    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.note)
    }
}

/// One log's file, and what it says.
pub(super) struct Record {
    dir: PathBuf,
    name: String,
    last: Mutex<Option<Arc<Last>>>,
    /// Held from judging to replacing. Readers need not wait for the disk.
    turn: Mutex<()>,
}

impl Record {
    /// Reads the record of a log, which may not be there yet.
    pub(super) fn open(dir: &Path, origin: &str, own: &CosignatureVerifier) -> Result<Self, OpenError> {
        let name = sha256(origin.as_bytes()).to_string();
        let path = dir.join(&name);
        let last = match fs::read_to_string(&path) {
            Ok(text) => Some(Arc::new(read(&text, origin, own).map_err(|problem| {
                // Starting over from nothing would be cosigning whatever comes.
                OpenError::Record { path, problem }
            })?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(OpenError::Record { path, problem: error.to_string() }),
        };
        Ok(Self { dir: dir.to_owned(), name, last: Mutex::new(last), turn: Mutex::new(()) })
    }

    /// What was cosigned last.
    pub(super) fn last(&self) -> Option<Arc<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until nobody else is about to replace the record.
    pub(super) fn turn(&self) -> Turn<'_> {
        // A panic between the steps of `replace` leaves the old record in force, as a crash does.
        Turn { record: self, _turn: self.turn.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The right to replace a record.
pub(super) struct Turn<'a> {
    record: &'a Record,
    _turn: MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Puts a checkpoint in the place of the last one. When this returns it survives a crash; when it fails, either may
    /// be found after one, so the cosignature must not leave.
    pub(super) fn replace(
        &mut self,
        checkpoint: &Checkpoint,
        mut note: Note,
        cosignature: Signature,
    ) -> io::Result<()> {
        note.signatures.push(cosignature);
        let last = Last::new(checkpoint, &note);
        let (dir, name) = (&self.record.dir, &self.record.name);
        let unfinished = dir.join(format!("{name}.new"));
        let mut file = File::create(&unfinished)?;
        file.write_all(&last.note)?;
        file.sync_all()?;
        fs::rename(&unfinished, dir.join(name))?;
        File::open(dir)?.sync_all()?;
        *self.record.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(last));
        Ok(())
    }
}

fn read(text: &str, origin: &str, own: &CosignatureVerifier) -> Result<Last, String> {
    let note = Note::parse(text).map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?;
    if checkpoint.origin != origin {
        return Err(format!("it is of log {:?}, {origin:?} was expected", checkpoint.origin));
    }
    if own.cosigned(&checkpoint, &note.signatures).is_none() {
        return Err(format!("it is not cosigned by {}", own.vkey()));
    }
    Ok(Last::new(&checkpoint, &note))
}
