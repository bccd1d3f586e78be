//! Rows on disk: a log-structured tree without a journal. A key is a term and the number of a span, so the rows of a term
//! follow each other; a value is what `row` writes. Rows are added in sorted runs of whole spans, and the cursor, which
//! says how many spans are there, appears in the same moment as they do: there is nothing to repair after a crash.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use bulla_ledger::engine;
use lsm_tree::compaction::Leveled;
use lsm_tree::config::{BlockSizePolicy, FilterPolicy, PinningPolicy};
use lsm_tree::{AbstractTree, AnyTree, Cache, Guard, SeqNo, SequenceNumberCounter, Slice};

use super::SearchError;
use super::span::{Mark, Span};
use super::terms::Term;

/// Where the rows end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    /// Every span below this one is there.
    pub(crate) spans: u32,
    /// Of the last of them.
    pub(crate) mark: Mark,
}

/// See the module.
pub(crate) struct Store {
    dir: PathBuf,
    leaves_per_span: usize,
    tree: AnyTree,
    compactor: Option<JoinHandle<()>>,
    added: Option<SyncSender<()>>,
}

const KEY_LEN: usize = Term::LEN + 4;
/// Before every row, and no row's.
const CURSOR: &[u8] = &[0];
/// Of the cursor: another layout of rows has another number, and the index is grown again.
const LAYOUT: u8 = 1;
const CURSOR_LEN: usize = 23;
/// Blocks read. Where blocks are is kept besides, about a byte for eight rows.
const CACHE_BYTES: u64 = 4 << 20;
const BLOCK_BYTES: u32 = 8 << 10;
/// The extension of a generation that was given up.
const ASIDE: &str = "aside";
/// With this many unmerged runs adding waits for the compactor.
const MAX_RUNS: usize = 16;

impl Store {
    /// Opens the rows kept in a directory. What is damaged is removed, with a warning, and begun again.
    pub(crate) fn open(dir: &Path, leaves_per_span: usize) -> Result<(Store, Cursor), SearchError> {
        let failed = |error: &io::Error| SearchError::Unavailable(format!("{}: {error}", dir.display()));
        fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        let mut generations = Vec::new();
        for entry in fs::read_dir(dir).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            match entry.file_name().to_str().map(str::parse::<u32>) {
                Some(Ok(generation)) => generations.push(generation),
                _ if entry.path().extension().is_some_and(|extension| extension == ASIDE) => {
                    remove(&entry.path());
                }
                _ => {}
            }
        }
        generations.sort_unstable();
        let newest = generations.pop();
        for old in generations {
            remove(&dir.join(old.to_string()));
        }
        let generation = dir.join(newest.unwrap_or(0).to_string());
        match Store::open_generation(&generation, leaves_per_span) {
            Err(SearchError::Damaged(cause)) => {
                tracing::warn!(dir = %generation.display(), cause, "search index is damaged and is grown again");
                remove(&generation);
                let next = newest.unwrap_or(0).wrapping_add(1);
                Store::open_generation(&dir.join(next.to_string()), leaves_per_span)
            }
            opened => opened,
        }
    }

    /// A generation has a directory of its own: rows that were given up cannot come between those that follow.
    fn open_generation(dir: &Path, leaves_per_span: usize) -> Result<(Store, Cursor), SearchError> {
        engine::check_files(dir).map_err(|error| classed(&error.into()))?;
        let versions = SequenceNumberCounter::default();
        // Blocks of filters would be of no use: a lookup is a scan of all rows of a term.
        let tree = guarded(|| {
            lsm_tree::Config::new(dir, versions.clone(), SequenceNumberCounter::default())
                .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)))
                .filter_policy(FilterPolicy::disabled())
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
                .index_block_pinning_policy(PinningPolicy::all(true))
                .index_block_partitioning_policy(PinningPolicy::all(false))
                .filter_block_partitioning_policy(PinningPolicy::all(false))
                .open()
        })?;
        versions.fetch_max(tree.get_highest_seqno().map_or(0, |newest| newest + 1));
        let cursor = match guarded(|| tree.get(CURSOR, SeqNo::MAX))? {
            Some(value) => read_cursor(&value, leaves_per_span)
                .ok_or_else(|| SearchError::Damaged("its cursor is of another layout".to_owned()))?,
            // Without its list of tables the engine begins a new tree between the old ones.
            None if tree.table_count() == 0 && !has_entries(&dir.join("tables")) => Cursor::default(),
            None => return Err(SearchError::Damaged("its cursor is missing".to_owned())),
        };
        let (added, work) = std::sync::mpsc::sync_channel(1);
        let compactor = {
            let tree = tree.clone();
            std::thread::Builder::new().name("search-compactor".to_owned()).spawn(move || {
                while work.recv().is_ok() {
                    compact(&tree, &versions);
                }
            })
        };
        let compactor = compactor
            .map_err(|error| SearchError::Unavailable(format!("a thread cannot be started: {error}")))?;
        let store = Store {
            dir: dir.to_owned(),
            leaves_per_span,
            tree,
            compactor: Some(compactor),
            added: Some(added),
        };
        Ok((store, cursor))
    }

    /// Adds the rows of spans that follow each other, all or none, durably.
    pub(crate) fn append(&self, spans: &[Arc<Span>]) -> Result<(), SearchError> {
        let Some(last) = spans.last() else { return Ok(()) };
        while self.tree.l0_run_count() >= MAX_RUNS && self.compactor_lives() {
            std::thread::sleep(Duration::from_millis(10));
        }
        guarded(|| {
            let mut run = self.tree.ingestion()?;
            let cursor = Cursor { spans: last.number + 1, mark: last.mark };
            run.write(CURSOR, write_cursor(cursor, self.leaves_per_span))?;
            let mut key = [0; KEY_LEN];
            for (term, number, value) in merged(spans) {
                key[..Term::LEN].copy_from_slice(&term.bytes());
                key[Term::LEN..].copy_from_slice(&number.to_be_bytes());
                run.write(&key[..], value)?;
            }
            run.finish()
        })?;
        if let Some(added) = &self.added {
            // A full channel means that the compactor is at work and will look again.
            let _busy = added.try_send(());
        }
        Ok(())
    }

    /// The rows of a term in spans from `first` and below `end`, ascending.
    pub(crate) fn rows(&self, term: Term, first: u32, end: u32) -> Result<Rows, SearchError> {
        let key = |span: u32| [&term.bytes()[..], &span.to_be_bytes()].concat();
        let rows = guarded(|| Ok(self.tree.range(key(first)..key(end), SeqNo::MAX, None)))?;
        Ok(Rows { rows })
    }

    /// Takes the rows out of the way of those that follow; returns where they are, for whoever removes them. Who still
    /// reads them may be told that they are damaged, and nothing worse.
    pub(crate) fn set_aside(&self) -> PathBuf {
        let aside = self.dir.with_extension(ASIDE);
        match fs::rename(&self.dir, &aside) {
            Ok(()) => aside,
            // Something was set aside before and is not gone yet: then they are removed where they are.
            Err(_) => self.dir.clone(),
        }
    }

    fn compactor_lives(&self) -> bool {
        self.compactor.as_ref().is_some_and(|compactor| !compactor.is_finished())
    }
}

impl Drop for Store {
    /// The directory may be opened again once this is gone.
    fn drop(&mut self) {
        self.added = None;
        if let Some(compactor) = self.compactor.take() {
            let _panicked = compactor.join();
        }
    }
}

/// Rows of a term.
pub(crate) struct Rows {
    rows: Box<dyn Iterator<Item = lsm_tree::IterGuardImpl> + Send>,
}

impl Rows {
    /// The next one: its span and its value.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Slice)>, SearchError> {
        let Some((key, value)) = guarded(|| self.rows.next().map(Guard::into_inner).transpose())? else {
            return Ok(None);
        };
        let span = key.get(Term::LEN..).and_then(|span| span.try_into().ok()).map(u32::from_be_bytes);
        span.map(|span| Some((span, value)))
            .ok_or_else(|| SearchError::Damaged("a key is too short".to_owned()))
    }
}

/// All rows of some spans in the order of keys: term, then span.
fn merged(spans: &[Arc<Span>]) -> impl Iterator<Item = (Term, u32, &[u8])> {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::collections::binary_heap::PeekMut;

    // The next row of each span: term, which span, which row of it.
    let first = |(which, span): (usize, &Arc<Span>)| Some(Reverse((span.row(0)?.0, which as u32, 0_u32)));
    let mut heads: BinaryHeap<_> = spans.iter().enumerate().filter_map(first).collect();
    std::iter::from_fn(move || {
        let mut head = heads.peek_mut()?;
        let Reverse((term, which, at)) = *head;
        let span = &spans[which as usize];
        let (_, value) = span.row(at as usize)?;
        match span.row(at as usize + 1) {
            Some((next, _)) => *head = Reverse((next, which, at + 1)),
            None => drop(PeekMut::pop(head)),
        }
        Some((term, span.number, value))
    })
}

fn write_cursor(cursor: Cursor, leaves_per_span: usize) -> Vec<u8> {
    let mut value = vec![LAYOUT];
    value.extend((leaves_per_span as u16).to_be_bytes());
    value.extend(cursor.spans.to_be_bytes());
    value.extend(cursor.mark);
    value
}

fn read_cursor(value: &[u8], leaves_per_span: usize) -> Option<Cursor> {
    let value: &[u8; CURSOR_LEN] = value.try_into().ok()?;
    let (head, mark) = value.split_last_chunk()?;
    let (head, spans) = head.split_last_chunk()?;
    let cursor = Cursor { spans: u32::from_be_bytes(*spans), mark: *mark };
    (head[0] == LAYOUT && head[1..] == (leaves_per_span as u16).to_be_bytes()).then_some(cursor)
}

/// Merges runs until there is nothing to merge.
fn compact(tree: &AnyTree, versions: &SequenceNumberCounter) {
    loop {
        let before = tree.current_version().id();
        // What is damaged is noticed again, and answered for, by whoever reads it.
        if let Err(error) = guarded(|| tree.compact(Arc::new(Leveled::default()), versions.get())) {
            tracing::warn!(%error, "search index cannot be compacted");
            return;
        }
        if tree.current_version().id() == before {
            return;
        }
    }
}

/// The storage engine checks its blocks, yet takes some things for granted of files that it wrote itself. Whatever it
/// meets in them, the index can be grown again, so a panic there is damage and not the end of the server.
fn guarded<T>(work: impl FnOnce() -> lsm_tree::Result<T>) -> Result<T, SearchError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| classed(&error)),
        Err(_panic) => Err(SearchError::Damaged("the storage engine found its files impossible".to_owned())),
    }
}

fn classed(error: &lsm_tree::Error) -> SearchError {
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    match error {
        lsm_tree::Error::Io(io)
            if !matches!(io.kind(), InvalidData | InvalidInput | NotFound | UnexpectedEof) =>
        {
            SearchError::Unavailable(io.to_string())
        }
        damage => SearchError::Damaged(damage.to_string()),
    }
}

fn has_entries(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

/// Removes a directory as far as it goes; what is left is met again at the next start.
pub(super) fn remove(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "old rows of the search index cannot be removed");
        }
        _ => {}
    }
}
