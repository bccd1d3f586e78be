//! The journal: where a batch becomes durable, by one append and one `fdatasync`.
//!
//! Two files of fixed size take turns. They are filled with zeros once and never grow, so an append
//! changes no file-system metadata, and each record starts on a block of its own, so no committed
//! byte is ever written again. Where the file system allows, appends bypass the page cache: a lone
//! entry then costs the disk its own blocks and not a whole page.
//!
//! A file is used again under a new generation and a new random nonce once all its records are
//! settled. A record counts only if its checksum, keyed with that nonce, is right, so neither a torn
//! write, nor what an earlier generation left, nor a leaf crafted to look like a record is read as one.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bulla_tlog::{Hash, sha256};
use bytes::Bytes;

use crate::beside::Addition;
use crate::storage::{Head, Staged, StorageError};

/// Bytes of each of the two files.
pub(super) const SLOT_BYTES: u64 = 16 << 20;
/// Records start at multiples of this or of a larger block that direct writes need.
const MIN_BLOCK: usize = 512;
const MAX_BLOCK: usize = 4096;

const FILE_MAGIC: &[u8; 8] = b"BULLAJNL";
const FILE_VERSION: u32 = 2;
const RECORD_MAGIC: &[u8; 4] = b"BREC";
const RECORD_HEADER: usize = 4 + 8 + 8 + 8 + 4 + 4 + 32 + 32;

/// The two files and where the next record goes.
pub(super) struct Journal {
    slots: [Slot; 2],
    active: usize,
    head: Head,
    settled: u64,
    /// Of each unsettled record: the tree size after it, and its bytes.
    unsettled: VecDeque<(u64, u64)>,
    unsettled_bytes: u64,
    buffer: AlignedBuffer,
}

struct Slot {
    path: PathBuf,
    file: File,
    direct: bool,
    generation: u64,
    nonce: [u8; 16],
    block: usize,
    write_at: u64,
    /// The tree size after the last record.
    end: u64,
    /// A write reaches the file and is reported as failed.
    #[cfg(test)]
    fails: bool,
}

/// What a file holds, as read at start.
struct Scanned {
    generation: u64,
    nonce: [u8; 16],
    block: usize,
    write_at: u64,
    batches: Vec<(Staged, u64)>,
}

/// Which way a journal is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// For the one writer.
    Write,
    /// To look at: nothing is changed.
    Read,
}

impl Journal {
    /// Opens the journal in `dir` on top of the settled head and returns the batches committed since.
    pub(super) fn open(
        dir: &Path,
        settled: Head,
        access: Access,
    ) -> Result<(Journal, Vec<Staged>), StorageError> {
        let mut slots = Vec::with_capacity(2);
        let mut scans = Vec::with_capacity(2);
        for name in ["0", "1"] {
            let path = dir.join(name);
            let (slot, scanned) = Slot::open(path, access)?;
            slots.push(slot);
            scans.push(scanned);
        }
        let [first, second] = <[Slot; 2]>::try_from(slots)
            .map_err(|_| StorageError::Corrupt("a journal has two files".to_owned()))?;
        let active = usize::from(second.generation > first.generation);
        scans.sort_by_key(|scanned| scanned.generation);

        // A later record on an earlier base replaces what it was written over: a commit whose failure
        // was reported, and which a later one of a new generation superseded.
        let mut staged: Vec<(Staged, u64)> = Vec::new();
        for (batch, bytes) in scans.into_iter().flat_map(|scanned| scanned.batches) {
            while staged.last().is_some_and(|(last, _)| last.head.size > batch.base) {
                staged.pop();
            }
            staged.push((batch, bytes));
        }
        // Only now: what replaced a failed commit may itself be settled.
        staged.retain(|(batch, _)| batch.head.size > settled.size);
        let mut at = settled;
        for (batch, _) in &staged {
            if batch.base != at.size {
                return Err(StorageError::Corrupt(format!(
                    "the journal in {} continues at entry {} where entry {} was expected",
                    dir.display(),
                    batch.base,
                    at.size
                )));
            }
            at = batch.head;
        }
        let unsettled: VecDeque<_> = staged.iter().map(|(batch, bytes)| (batch.head.size, *bytes)).collect();
        let unsettled_bytes = unsettled.iter().map(|(_, bytes)| bytes).sum();
        let journal = Journal {
            slots: [first, second],
            active,
            head: at,
            settled: settled.size,
            unsettled,
            unsettled_bytes,
            buffer: AlignedBuffer::default(),
        };
        Ok((journal, staged.into_iter().map(|(batch, _)| batch).collect()))
    }

    /// The head after the last committed batch.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Bytes of records that are not settled.
    pub(super) fn unsettled_bytes(&self) -> u64 {
        self.unsettled_bytes
    }

    fn appended(&mut self, end: u64, bytes: u64) {
        self.unsettled.push_back((end, bytes));
        self.unsettled_bytes += bytes;
    }

    /// Appends a batch and waits for the disk.
    pub(super) fn commit(&mut self, batch: &Staged) -> Result<(), StorageError> {
        if batch.base != self.head.size {
            return Err(StorageError::Conflict { expected: batch.base, actual: self.head.size });
        }
        let record = record_len(batch);
        let slot = &self.slots[self.active];
        if slot.write_at > 0 && slot.write_at + padded(record, slot.block) as u64 <= SLOT_BYTES {
            self.append(batch, record)?;
        } else {
            self.start_generation(batch, record)?;
        }
        self.head = batch.head;
        Ok(())
    }

    fn append(&mut self, batch: &Staged, record: usize) -> Result<(), StorageError> {
        let slot = &mut self.slots[self.active];
        let out = self.buffer.cleared(padded(record, slot.block));
        write_record(&mut out[..record], batch, slot.generation, &slot.nonce);
        slot.write(out, slot.write_at)?;
        let bytes = out.len() as u64;
        slot.write_at += bytes;
        slot.end = batch.head.size;
        self.appended(batch.head.size, bytes);
        Ok(())
    }

    /// Turns to the other file, if all its records are settled; they are older than any in this one.
    fn start_generation(&mut self, batch: &Staged, record: usize) -> Result<(), StorageError> {
        let next = 1 - self.active;
        if self.slots[next].end > self.settled {
            return Err(StorageError::Full);
        }
        let generation = self.slots[self.active].generation.max(self.slots[next].generation) + 1;
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce)
            .map_err(|_| StorageError::Unavailable("the system gives no random bytes".to_owned()))?;

        let slot = &mut self.slots[next];
        let (block, direct) = slot.reopen_for_writing()?;
        let bytes = block + padded(record, block);
        if bytes as u64 > SLOT_BYTES {
            return Err(StorageError::Unavailable(format!(
                "a batch of {record} bytes does not fit a journal file of {SLOT_BYTES}"
            )));
        }
        let out = self.buffer.cleared(bytes);
        write_file_header(&mut out[..block], generation, block, &nonce);
        write_record(&mut out[block..block + record], batch, generation, &nonce);
        slot.direct = direct;
        if let Err(error) = slot.write(out, 0) {
            // The file may begin a new generation all the same, which would replace whatever were still
            // appended to the old one: the next batch turns again.
            self.slots[self.active].write_at = SLOT_BYTES;
            return Err(error);
        }
        (slot.generation, slot.nonce, slot.block) = (generation, nonce, block);
        slot.write_at = bytes as u64;
        slot.end = batch.head.size;
        self.active = next;
        self.appended(batch.head.size, bytes as u64);
        Ok(())
    }

    /// Lets go of the records up to `size`, which the caller made durable elsewhere.
    pub(super) fn settle(&mut self, size: u64) {
        self.settled = size;
        while let Some((_, bytes)) = self.unsettled.pop_front_if(|(end, _)| *end <= size) {
            self.unsettled_bytes -= bytes;
        }
    }
}

impl Slot {
    fn open(path: PathBuf, access: Access) -> Result<(Slot, Scanned), StorageError> {
        let io = |e: &io::Error| StorageError::io(path.display(), e);
        // The files are made before the log is and never grow: one that is gone or short has lost entries.
        let contents = match std::fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(lost(&path, "is missing")),
            other => other.map_err(|e| io(&e))?,
        };
        if contents.len() as u64 != SLOT_BYTES {
            return Err(lost(&path, &format!("is {} bytes, {SLOT_BYTES} were expected", contents.len())));
        }
        let scanned = scan(&path, &contents)?;
        let file = match access {
            Access::Write => OpenOptions::new().write(true).open(&path),
            Access::Read => File::open("/dev/null"),
        }
        .map_err(|e| io(&e))?;
        let mut slot = Slot {
            path,
            file,
            direct: false,
            generation: scanned.generation,
            nonce: scanned.nonce,
            block: scanned.block,
            write_at: scanned.write_at,
            end: scanned.batches.last().map_or(0, |(batch, _)| batch.head.size),
            #[cfg(test)]
            fails: false,
        };
        if access == Access::Write && scanned.write_at > 0 {
            // Go on in this file; directly only if its records lie on blocks large enough.
            let block = slot.block;
            let (needed, direct) = slot.reopen_for_writing()?;
            if !direct || needed > block {
                slot.file = OpenOptions::new()
                    .write(true)
                    .open(&slot.path)
                    .map_err(|e| StorageError::io("journal", &e))?;
            }
            slot.direct = direct && needed <= block;
        }
        Ok((slot, scanned))
    }

    /// Opens the file bypassing the page cache if the file system can, and returns the block that
    /// writes need.
    fn reopen_for_writing(&mut self) -> Result<(usize, bool), StorageError> {
        let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap_or(0);
        let opened = OpenOptions::new().read(true).write(true).custom_flags(direct).open(&self.path);
        if let Ok(file) = opened {
            let mut probe = AlignedBuffer::default();
            for block in [MIN_BLOCK, MAX_BLOCK] {
                if file.read_exact_at(probe.cleared(block), 0).is_ok() {
                    self.file = file;
                    return Ok((block, true));
                }
            }
        }
        self.file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .map_err(|e| StorageError::io(self.path.display(), &e))?;
        Ok((MIN_BLOCK, false))
    }

    fn write(&self, bytes: &[u8], at: u64) -> Result<(), StorageError> {
        let written = self.file.write_all_at(bytes, at).and_then(|()| self.file.sync_data());
        #[cfg(test)]
        let written = if self.fails { Err(io::Error::other("reported as failed")) } else { written };
        written.map_err(|e| StorageError::io(self.path.display(), &e))
    }
}

fn lost(path: &Path, how: &str) -> StorageError {
    StorageError::Corrupt(format!("the journal file {} {how}: restore it from a copy", path.display()))
}

/// Makes the two files of a log that is about to begin.
pub(super) fn make(dir: &Path) -> Result<(), StorageError> {
    for name in ["0", "1"] {
        let path = dir.join(name);
        if !path.exists() {
            make_slot_file(dir, &path).map_err(|e| StorageError::io(path.display(), &e))?;
        }
    }
    Ok(())
}

/// Whether something was ever written to the files, so that they are not to be taken for new.
pub(super) fn is_used(dir: &Path) -> bool {
    ["0", "1"].iter().any(|name| {
        let mut start = [0; 8];
        File::open(dir.join(name))
            .is_ok_and(|file| file.read_exact_at(&mut start, 0).is_ok() && start != [0; 8])
    })
}

/// A file of zeros, durable together with its name. It gets its name last, so a crash leaves either
/// no file or a whole one.
fn make_slot_file(dir: &Path, path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    let unfinished = path.with_extension("new");
    let file = File::create(&unfinished)?;
    let zeros = vec![0_u8; 1 << 20];
    for at in (0..SLOT_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(dir)?.sync_all()
}

/// Reads the records of one file, up to the first that is not one.
fn scan(path: &Path, contents: &[u8]) -> Result<Scanned, StorageError> {
    let nothing =
        Scanned { generation: 0, nonce: [0; 16], block: MIN_BLOCK, write_at: 0, batches: Vec::new() };
    let Some((generation, block, nonce)) = read_file_header(contents) else {
        // Zeros were never written to. A header lies in one sector, so no crash leaves half of one.
        return if contents.iter().all(|byte| *byte == 0) {
            Ok(nothing)
        } else {
            Err(lost(path, "has a damaged header"))
        };
    };
    let mut at = block;
    let mut batches = Vec::new();
    while let Some((batch, len)) = contents.get(at..).and_then(|rest| read_record(rest, generation, &nonce)) {
        let bytes = padded(len, block);
        batches.push((batch, bytes as u64));
        at += bytes;
    }
    // Records are written one after another, each after the one before was durable: an intact one
    // behind a broken one means that the disk lost what it had acknowledged.
    for later in (at..contents.len()).step_by(block) {
        if read_record(&contents[later..], generation, &nonce).is_some() {
            return Err(StorageError::Corrupt(format!(
                "the journal record at byte {at} of {} is damaged, and a whole one follows at byte {later}: \
                 restore the file from a copy",
                path.display()
            )));
        }
    }
    Ok(Scanned { generation, nonce, block, write_at: at as u64, batches })
}

fn write_file_header(out: &mut [u8], generation: u64, block: usize, nonce: &[u8; 16]) {
    let mut header = Vec::with_capacity(72);
    header.extend_from_slice(FILE_MAGIC);
    header.extend_from_slice(&FILE_VERSION.to_be_bytes());
    header.extend_from_slice(&(block as u32).to_be_bytes());
    header.extend_from_slice(&generation.to_be_bytes());
    header.extend_from_slice(nonce);
    let sum = sha256(&header);
    header.extend_from_slice(sum.as_ref());
    out[..header.len()].copy_from_slice(&header);
}

fn read_file_header(contents: &[u8]) -> Option<(u64, usize, [u8; 16])> {
    let (header, sum) = contents.get(..72)?.split_at(40);
    if !header.starts_with(FILE_MAGIC) || sha256(header).as_ref() != sum {
        return None;
    }
    let block = u32_at(header, 12)? as usize;
    let known = u32_at(header, 8)? == FILE_VERSION && [MIN_BLOCK, MAX_BLOCK].contains(&block);
    known.then_some((u64_at(header, 16)?, block, header[24..40].try_into().ok()?))
}

fn record_len(batch: &Staged) -> usize {
    RECORD_HEADER
        + batch.leaves.iter().map(|added| 2 + added.leaf.len() + 4 + added.aside.len()).sum::<usize>()
}

fn padded(len: usize, block: usize) -> usize {
    len.next_multiple_of(block)
}

/// Layout: magic 4, generation 8, base 8, time 8, count 4, payload length 4, root 32, checksum 32, payload
/// (each leaf after its length in two bytes, and its aside after its length in four). Integers are big-endian.
fn write_record(out: &mut [u8], batch: &Staged, generation: u64, nonce: &[u8; 16]) {
    let payload_len = out.len() - RECORD_HEADER;
    let (header, payload) = out.split_at_mut(RECORD_HEADER);
    header[..4].copy_from_slice(RECORD_MAGIC);
    header[4..12].copy_from_slice(&generation.to_be_bytes());
    header[12..20].copy_from_slice(&batch.base.to_be_bytes());
    header[20..28].copy_from_slice(&batch.at.to_be_bytes());
    header[28..32].copy_from_slice(&(batch.leaves.len() as u32).to_be_bytes());
    header[32..36].copy_from_slice(&(payload_len as u32).to_be_bytes());
    header[36..68].copy_from_slice(batch.head.root.as_ref());
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        payload[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    for Addition { leaf, aside } in &batch.leaves {
        put(&(leaf.len() as u16).to_be_bytes());
        put(leaf);
        put(&(aside.len() as u32).to_be_bytes());
        put(aside);
    }
    let sum = checksum(nonce, &header[..68], payload);
    header[68..100].copy_from_slice(sum.as_ref());
}

/// The record at the start of `bytes` and its unpadded length, if there is one.
fn read_record(bytes: &[u8], generation: u64, nonce: &[u8; 16]) -> Option<(Staged, usize)> {
    let header = bytes.get(..RECORD_HEADER)?;
    if &header[..4] != RECORD_MAGIC || u64_at(header, 4)? != generation {
        return None;
    }
    let (base, at, count) = (u64_at(header, 12)?, u64_at(header, 20)?, u32_at(header, 28)?);
    let len = RECORD_HEADER + u32_at(header, 32)? as usize;
    let payload = bytes.get(RECORD_HEADER..len)?;
    if checksum(nonce, &header[..68], payload).as_ref() != &header[68..100] {
        return None;
    }
    let mut payload = Bytes::copy_from_slice(payload);
    let mut take = |len: usize| (len <= payload.len()).then(|| payload.split_to(len));
    // Each leaf has its lengths beside it, so a count that the record cannot hold reserves nothing.
    let mut leaves = Vec::with_capacity((count as usize).min(len / 6));
    for _ in 0..count {
        let leaf_len = usize::from(u16::from_be_bytes(take(2)?.as_ref().try_into().ok()?));
        let leaf = take(leaf_len)?;
        let aside_len = u32_at(&take(4)?, 0)? as usize;
        leaves.push(Addition { leaf, aside: take(aside_len)? });
    }
    let head = Head { size: base.checked_add(u64::from(count))?, root: Hash::from_slice(&header[36..68])? };
    Some((Staged { base, at, leaves, head }, len))
}

fn checksum(nonce: &[u8; 16], header: &[u8], payload: &[u8]) -> Hash {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(nonce);
    context.update(header);
    context.update(payload);
    Hash::from_slice(context.finish().as_ref()).unwrap_or(Hash([0; 32]))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A buffer whose start lies on a block, as direct writes demand.
#[derive(Default)]
struct AlignedBuffer {
    bytes: Vec<u8>,
}

impl AlignedBuffer {
    /// `len` zero bytes, aligned.
    fn cleared(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < len + MAX_BLOCK {
            self.bytes = vec![0; len + MAX_BLOCK];
        }
        let start = self.bytes.as_ptr().align_offset(MAX_BLOCK);
        let aligned = &mut self.bytes[start..start + len];
        aligned.fill(0);
        aligned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::batch;
    use bulla_tlog::Edge;

    fn journal(dir: &Path, settled: Head) -> (Journal, Vec<Staged>) {
        make(dir).expect("makes");
        Journal::open(dir, settled, Access::Write).expect("opens")
    }

    /// Every prefix of a record that a crash may leave is either the whole record or nothing.
    #[test]
    fn torn_record_is_no_record() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut edge = Edge::new();
        let (mut first, _) = journal(dir.path(), Head::empty());
        let (a, b) = (batch(&mut edge, 2, 300), batch(&mut edge, 3, 500));
        first.commit(&a).expect("commits");
        let start = first.slots[first.active].write_at;
        first.commit(&b).expect("commits");
        let (path, end) = (first.slots[first.active].path.clone(), first.slots[first.active].write_at);
        drop(first);
        let whole = std::fs::read(&path).expect("reads");
        for cut in (start..end).step_by(97) {
            let mut torn = whole.clone();
            torn[cut as usize..end as usize].fill(0);
            std::fs::write(&path, &torn).expect("writes");
            let (_, staged) = journal(dir.path(), Head::empty());
            assert!(staged == [a.clone()] || torn == whole, "cut at {cut}");
        }
    }

    /// Its checksum may be right: whoever wrote the file knows the nonce.
    #[test]
    fn record_that_counts_more_leaves_than_it_has_is_no_record() {
        let nonce = [7; 16];
        let one = batch(&mut Edge::new(), 1, 100);
        let mut record = vec![0; record_len(&one)];
        write_record(&mut record, &one, 1, &nonce);
        assert!(read_record(&record, 1, &nonce).is_some());
        record[20..24].copy_from_slice(&u32::MAX.to_be_bytes());
        let sum = checksum(&nonce, &record[..60], &record[RECORD_HEADER..]);
        record[60..92].copy_from_slice(sum.as_ref());
        assert!(read_record(&record, 1, &nonce).is_none());
    }

    #[test]
    fn damage_before_an_intact_record_is_loud() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut edge = Edge::new();
        let (mut first, _) = journal(dir.path(), Head::empty());
        for _ in 0..3 {
            first.commit(&batch(&mut edge, 1, 100)).expect("commits");
        }
        let path = first.slots[first.active].path.clone();
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes[2 * 512 + 100] ^= 1;
        std::fs::write(&path, bytes).expect("writes");
        let opened = Journal::open(dir.path(), Head::empty(), Access::Write);
        let error = opened.err().expect("is refused").to_string();
        assert!(error.contains("journal record at byte 1024"), "{error}");
    }

    /// A journal whose active file has room for little more, and the batch that filled it.
    fn nearly_full(dir: &Path, edge: &mut Edge) -> (Journal, Staged) {
        let (mut journal, _) = journal(dir, Head::empty());
        let fill = batch(edge, 254, 65_535);
        journal.commit(&fill).expect("commits");
        (journal, fill)
    }

    /// What was published may be in the journal alone: a damaged file must not pass for an empty one.
    #[test]
    fn lost_file_is_not_an_empty_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut first, _) = journal(dir.path(), Head::empty());
        first.commit(&batch(&mut Edge::new(), 3, 100)).expect("commits");
        let path = first.slots[first.active].path.clone();
        drop(first);
        let whole = std::fs::read(&path).expect("reads");
        let refused = |how: &str| {
            let error = Journal::open(dir.path(), Head::empty(), Access::Write).err().expect("is refused");
            assert!(error.to_string().contains(how), "{error}");
        };
        for at in [0, 10, 20, 30, 50] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).expect("writes");
            refused("has a damaged header");
        }
        let mut zeroed = whole.clone();
        zeroed[..512].fill(0);
        std::fs::write(&path, zeroed).expect("writes");
        refused("has a damaged header");
        std::fs::write(&path, &whole[..5000]).expect("writes");
        refused("is 5000 bytes");
        std::fs::remove_file(&path).expect("removes");
        refused("is missing");
    }

    /// A commit that was reported as failed but reached the disk is replaced by the next one, also when
    /// that is settled already.
    #[test]
    fn later_generation_replaces_a_failed_commit() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut edge = Edge::new();
        let (mut first, fill) = nearly_full(dir.path(), &mut edge);
        let active = first.active;
        first.slots[active].fails = true;
        first
            .commit(&batch(&mut edge.clone(), 8, 100))
            .expect_err("reaches the disk and is reported as failed");
        first.slots[active].fails = false;
        let next = batch(&mut edge, 3, 65_535);
        first.commit(&next).expect("commits in the other file");
        assert_ne!(first.active, active);
        drop(first);
        let (_, staged) = journal(dir.path(), next.head);
        assert_eq!(staged, []);
        let (_, staged) = journal(dir.path(), Head::empty());
        assert_eq!(staged, [fill, next]);
    }

    /// A turn to the other file that was reported as failed but reached the disk replaces nothing that
    /// was committed after it.
    #[test]
    fn failed_turn_replaces_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut edge = Edge::new();
        let (mut first, fill) = nearly_full(dir.path(), &mut edge);
        let other = 1 - first.active;
        first.slots[other].fails = true;
        let large = batch(&mut edge.clone(), 3, 65_535);
        first.commit(&large).expect_err("reaches the disk and is reported as failed");
        first.slots[other].fails = false;
        let small = batch(&mut edge, 1, 100);
        first.commit(&small).expect("commits what would have fitted the first file");
        drop(first);
        let (_, staged) = journal(dir.path(), Head::empty());
        assert_eq!(staged, [fill, small]);
    }
}
