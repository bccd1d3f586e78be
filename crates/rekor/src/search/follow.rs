//! How the index grows: whole spans read side by side while it is far behind, bundle after bundle when it is not. There
//! is one way from leaves to rows, taken by the follower, by the first start and by a rebuild.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bulla_ledger::{ReadError, Reader};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::row::MAX_LEAVES;
use super::span::{self, Pair, Span};
use super::store::Store;
use super::terms::{ReadTerms, Term};
use super::{Mark, ReadTermsOf, Search, SearchError, Shared, State};

/// The log that an index follows.
pub trait Leaves: Send + Sync {
    /// The published leaves from that index to the end of its entry bundle, each with its aside.
    fn leaves_from(&self, index: u64) -> impl Future<Output = Result<Vec<(Bytes, Bytes)>, ReadError>> + Send;

    /// The published size.
    fn published(&self) -> watch::Receiver<u64>;
}

impl Leaves for Reader {
    async fn leaves_from(&self, index: u64) -> Result<Vec<(Bytes, Bytes)>, ReadError> {
        let leaves = Reader::leaves_from(self, index).await?;
        Ok(leaves.into_iter().map(|(leaf, beside)| (leaf, beside.aside)).collect())
    }

    fn published(&self) -> watch::Receiver<u64> {
        self.watch()
    }
}

/// Why the index does not grow for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    #[error(transparent)]
    Index(#[from] SearchError),
    #[error("the log cannot be read: {0:?}")]
    Log(ReadError),
    /// A reader met damage, and the index was begun again meanwhile.
    #[error("the search index was given up")]
    GivenUp,
}

impl GrowError {
    /// For whoever asked for the index to grow.
    fn told(self) -> SearchError {
        match self {
            GrowError::Index(error) => error,
            other => SearchError::Unavailable(other.to_string()),
        }
    }
}

/// A failure is tried again after this time, then after twice that, up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// So many times larger are the runs written while many leaves are missing: fewer of them cost less to merge.
const CATCHING_UP: usize = 4;
/// Spans that a thread may have read ahead of the writer.
const AHEAD: usize = 2;

impl Search {
    /// Starts the writer, which keeps up with the published size until it is told to stop; then what is in memory is
    /// written out and the task ends. With many leaves missing it reads them in so many threads.
    ///
    /// It is called inside a runtime. Of two followers the second begins when the first has ended.
    pub fn follow<L: Leaves + 'static>(
        &self,
        leaves: L,
        threads: usize,
        stop: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let shared = self.shared.clone();
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let _alone = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let published = leaves.published();
            let growth =
                Growth { shared: &shared, leaves: &leaves, runtime, threads, stop, progress: &|_, _| {} };
            growth.follow(published);
        })
    }

    /// Deletes the index in a directory and grows it again up to the published size. It takes its time, so it is called
    /// on a thread that may wait, inside a runtime; progress is told as leaves done and leaves in all.
    pub fn rebuild<L: Leaves>(
        dir: &Path,
        leaves: &L,
        threads: usize,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Search, SearchError> {
        Search::rebuild_reading(dir, super::of_entries, leaves, threads, progress)
    }

    /// The same for a log whose leaves are read in another way.
    pub fn rebuild_reading<L: Leaves>(
        dir: &Path,
        read_terms: ReadTermsOf,
        leaves: &L,
        threads: usize,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Search, SearchError> {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SearchError::Unavailable(format!(
                    "{} cannot be removed: {error}",
                    dir.display()
                )));
            }
            _ => {}
        }
        let search = Search::open_reading(dir, read_terms)?;
        search.grow_now(leaves, threads, &progress)?;
        search.shared.write_out(1).map_err(GrowError::told)?;
        Ok(search)
    }

    /// Grows up to the size that is published now.
    pub(super) fn grow_now<L: Leaves>(
        &self,
        leaves: &L,
        threads: usize,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), SearchError> {
        let _alone = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (_never, stop) = watch::channel(false);
        let size = *leaves.published().borrow();
        let growth =
            Growth { shared: &self.shared, leaves, runtime: Handle::current(), threads, stop, progress };
        growth.grow(size, &mut Kept::new(&self.shared)).map_err(GrowError::told)
    }
}

/// One writer at work.
struct Growth<'a, L> {
    shared: &'a Shared,
    leaves: &'a L,
    runtime: Handle,
    threads: usize,
    stop: watch::Receiver<bool>,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What a writer keeps from one growth to the next.
struct Kept {
    read_terms: ReadTerms,
    /// Is known to be of this log.
    checked: Weak<Store>,
}

impl Kept {
    fn new(shared: &Shared) -> Kept {
        Kept { read_terms: (shared.read_terms)(), checked: Weak::new() }
    }
}

impl<L: Leaves> Growth<'_, L> {
    fn follow(&self, mut published: watch::Receiver<u64>) {
        let mut retry = FIRST_RETRY;
        let mut failing = false;
        let mut kept = Kept::new(self.shared);
        while !self.stopped() {
            let size = *published.borrow_and_update();
            match self.grow(size, &mut kept) {
                Ok(()) => {
                    if failing {
                        tracing::info!("search index grows again");
                    }
                    (failing, retry) = (false, FIRST_RETRY);
                    let mut complete = self.shared.complete.subscribe();
                    let work = async {
                        tokio::select! {
                            more = published.changed() => more.is_ok(),
                            // A reader met damage.
                            less = complete.wait_for(|complete| *complete < size) => less.is_ok(),
                        }
                    };
                    if !self.wait(work) {
                        break;
                    }
                }
                Err(error) => {
                    // What was given up was spoken of when it was.
                    if !failing && !matches!(error, GrowError::GivenUp) {
                        tracing::error!(%error, "search index does not grow; trying again");
                        failing = true;
                    }
                    let pause = async {
                        tokio::time::sleep(retry).await;
                        true
                    };
                    if !self.wait(pause) {
                        break;
                    }
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
        if let Err(error) = self.shared.write_out(1) {
            tracing::warn!(%error, "what the search index had in memory is read again at the next start");
        }
    }

    /// Waits for something or for the end, whichever comes first; whether it was something.
    fn wait(&self, something: impl Future<Output = bool>) -> bool {
        let mut stop = self.stop.clone();
        self.runtime.block_on(async {
            tokio::select! {
                // Also when nobody is left who could say it.
                _ = stop.wait_for(|stop| *stop) => false,
                is_something = something => is_something,
            }
        })
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Takes leaves until there are as many as published, or it is told to stop.
    fn grow(&self, published: u64, kept: &mut Kept) -> Result<(), GrowError> {
        self.ready(published, &mut kept.checked)?;
        let leaves_per_span = self.shared.shape.leaves_per_span as u64;
        while !self.stopped() {
            // If the disk refused them, they come first.
            self.shared.write_out(self.shared.shape.spans_per_run)?;
            let complete = *self.shared.complete.borrow();
            (self.progress)(complete.min(published), published);
            if complete >= published {
                return Ok(());
            }
            let whole = (complete / leaves_per_span) as u32..(published / leaves_per_span) as u32;
            if complete.is_multiple_of(leaves_per_span) && !whole.is_empty() {
                self.grow_by_spans(whole, published)?;
            } else {
                self.grow_by_leaves(complete, &mut kept.read_terms)?;
            }
        }
        Ok(())
    }

    /// Sees to it that there is a store if there should be one, and that it was grown from this log.
    fn ready(&self, published: u64, checked: &mut Weak<Store>) -> Result<(), GrowError> {
        let Shared { dir, shape, .. } = self.shared;
        let (store, stored) = {
            let state = self.shared.read();
            (state.store.clone(), state.stored)
        };
        let Some(dir) = dir else { return Ok(()) };
        let Some(store) = store else {
            let (store, stored) = Store::open(dir, shape.leaves_per_span)?;
            self.shared
                .change(|state| *state = State { store: Some(Arc::new(store)), stored, ..State::default() });
            return self.ready(published, checked);
        };
        let size = u64::from(stored.spans) * shape.leaves_per_span as u64;
        if std::ptr::eq(checked.as_ptr(), Arc::as_ptr(&store)) {
            return Ok(());
        }
        let same = size == 0
            || size <= published && {
                let leaves = self.leaves_from(size - 1)?;
                leaves.first().is_some_and(|(leaf, _)| span::mark(leaf) == stored.mark)
            };
        if !same {
            self.shared.give_up(Some(&store), "was grown from another log");
            return self.ready(published, checked);
        }
        *checked = Arc::downgrade(&store);
        Ok(())
    }

    fn leaves_from(&self, index: u64) -> Result<Vec<(Bytes, Bytes)>, GrowError> {
        self.runtime.block_on(self.leaves.leaves_from(index)).map_err(GrowError::Log)
    }

    /// Adds leaves from `complete` to the end of their bundle or span, whichever comes first.
    fn grow_by_leaves(&self, complete: u64, read_terms: &mut ReadTerms) -> Result<(), GrowError> {
        let leaves_per_span = self.shared.shape.leaves_per_span as u64;
        let offset = complete % leaves_per_span;
        let mut new = self.leaves_from(complete)?;
        new.truncate((leaves_per_span - offset) as usize);
        if new.is_empty() {
            return Err(missing(complete));
        }
        let mut pairs = Vec::new();
        self.pairs(&new, offset as u16, read_terms, &mut pairs);
        let full = offset + new.len() as u64 == leaves_per_span;
        let at = complete / leaves_per_span;
        self.shared.change(|state| {
            if state.complete(self.shared.shape) != complete {
                return Err(GrowError::GivenUp);
            }
            state.open.extend(pairs, new.len() as u64);
            Ok(())
        })?;
        if let Some((last, _)) = new.last().filter(|_| full) {
            // Sorted while readers still see it open; nobody else changes it meanwhile but to give it up.
            let pairs = self.shared.read().open.pairs();
            let closed = Span::new(at as u32, pairs, self.shared.shape.leaves_per_span, span::mark(last));
            self.push(closed, complete + new.len() as u64)?;
        }
        Ok(())
    }

    /// Puts a closed span in the place of the open one, which has grown up to `complete`.
    fn push(&self, span: Span, complete: u64) -> Result<(), GrowError> {
        self.shared.change(|state| {
            if state.complete(self.shared.shape) != complete {
                return Err(GrowError::GivenUp);
            }
            state.open = super::Open::default();
            state.closed.push(Arc::new(span));
            Ok(())
        })
    }

    /// Reads whole spans, side by side, and adds them one after the other.
    fn grow_by_spans(&self, spans: Range<u32>, published: u64) -> Result<(), GrowError> {
        let threads = self.threads.clamp(1, spans.len());
        let leaves_per_span = self.shared.shape.leaves_per_span as u64;
        std::thread::scope(|scope| {
            let mut workers: Vec<Receiver<Result<Span, GrowError>>> = Vec::new();
            for first in 0..threads {
                let (done, result) = sync_channel(AHEAD);
                workers.push(result);
                let spans = spans.clone().skip(first).step_by(threads);
                scope.spawn(move || self.read_spans(spans, &done));
            }
            // In turn, as the work was given out. An end drops the receivers, and with them the workers.
            for (number, worker) in spans.clone().zip((0..threads).cycle()) {
                if self.stopped() {
                    return Ok(());
                }
                let Ok(span) = workers[worker].recv() else { return Err(GrowError::GivenUp) };
                self.push(span?, u64::from(number) * leaves_per_span)?;
                self.shared.write_out(self.shared.shape.spans_per_run * CATCHING_UP)?;
                (self.progress)(u64::from(number + 1) * leaves_per_span, published);
            }
            Ok(())
        })
    }

    fn read_spans(&self, spans: impl Iterator<Item = u32>, done: &SyncSender<Result<Span, GrowError>>) {
        let mut read_terms = (self.shared.read_terms)();
        for number in spans {
            let span = self.read_span(number, &mut read_terms);
            let failed = span.is_err();
            if done.send(span).is_err() || failed {
                return;
            }
        }
    }

    fn read_span(&self, number: u32, read_terms: &mut ReadTerms) -> Result<Span, GrowError> {
        let leaves_per_span = self.shared.shape.leaves_per_span;
        let first = u64::from(number) * leaves_per_span as u64;
        let mut pairs: Vec<Pair> = Vec::with_capacity(leaves_per_span * 6);
        let mut offset = 0;
        let mut mark = Mark::default();
        while offset < leaves_per_span {
            let next = first + offset as u64;
            let mut leaves = self.leaves_from(next)?;
            leaves.truncate(leaves_per_span - offset);
            let (last, _) = leaves.last().ok_or_else(|| missing(next))?;
            mark = span::mark(last);
            self.pairs(&leaves, offset as u16, read_terms, &mut pairs);
            offset += leaves.len();
        }
        Ok(Span::new(number, pairs, leaves_per_span, mark))
    }

    /// The terms of leaves of one span, the first at this offset.
    fn pairs(
        &self,
        leaves: &[(Bytes, Bytes)],
        offset: u16,
        read_terms: &mut ReadTerms,
        pairs: &mut Vec<Pair>,
    ) {
        let mut terms: Vec<Term> = Vec::new();
        for ((leaf, aside), offset) in leaves.iter().zip(offset..MAX_LEAVES as u16) {
            terms.clear();
            if let Err(error) = read_terms(leaf, aside, &mut terms) {
                // It is in the log and found by its hash; what it says is for nobody to find.
                metrics::counter!("bulla_search_unread_total").increment(1);
                if !self.shared.told_of_unread.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "a leaf is no entry that can be searched for; more are only counted");
                }
                continue;
            }
            pairs.extend(terms.iter().map(|term| (*term, offset)));
        }
    }
}

impl Shared {
    /// Writes closed spans to the store if there are at least so many.
    pub(super) fn write_out(&self, least: usize) -> Result<(), GrowError> {
        let (store, spans) = {
            let state = self.read();
            match &state.store {
                Some(store) if state.closed.len() >= least => (store.clone(), state.closed.clone()),
                None if self.dir.is_some() => return Err(GrowError::GivenUp),
                _ => return Ok(()),
            }
        };
        match store.append(&spans) {
            Ok(()) => {}
            Err(SearchError::Damaged(cause)) => {
                self.give_up(Some(&store), &format!("is damaged ({cause})"));
                return Err(GrowError::GivenUp);
            }
            Err(error) => return Err(error.into()),
        }
        self.change(|state| {
            let same = state.store.as_ref().is_some_and(|now| Arc::ptr_eq(now, &store));
            if same && let Some(last) = spans.last() {
                state.stored = super::Cursor { spans: last.number + 1, mark: last.mark };
                state.closed.drain(..spans.len());
            }
        });
        Ok(())
    }
}

fn missing(leaf: u64) -> GrowError {
    GrowError::Log(ReadError::corrupt(format!("leaf {leaf} is published and missing")))
}
