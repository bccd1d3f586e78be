//! The search index: which leaves have a digest, a key, an identity, a kind. It follows the log, so it may be deleted and
//! grows back, and it says up to which tree size it is complete. Why it is so: `docs/design/search.md`.

mod follow;
mod query;
pub mod row;
mod span;
mod store;
mod terms;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bulla_claims::DescribeError;
use tokio::sync::watch;

pub use follow::Leaves;
pub use query::{Query, Start};
pub use terms::{ReadTerms, Term, of_entries};

use query::{Matches, Snapshot};
use span::{Mark, Open, Span};
use store::{Cursor, Store};

/// Why the index does not answer. The log is unharmed by either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// The disk's fault: another try may succeed.
    #[error("search index is unavailable: {0}")]
    Unavailable(String),
    /// What is stored cannot be what was written. It is removed and grows back.
    #[error("search index is damaged: {0}")]
    Damaged(String),
}

/// Makes a reader of terms for each thread that needs one.
pub type ReadTermsOf = fn() -> ReadTerms;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The indexes of leaves that match, ascending.
    pub leaves: Vec<u64>,
    /// Every leaf below this was asked about.
    pub complete: u64,
}

/// The index of one log; clones share everything. It has one writer, started by [`Search::follow`].
#[derive(Clone)]
pub struct Search {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where rows are kept; without, in memory.
    dir: Option<PathBuf>,
    shape: Shape,
    read_terms: ReadTermsOf,
    state: RwLock<State>,
    /// How many leaves are in `state`.
    complete: watch::Sender<u64>,
    /// Held by whoever makes the index grow.
    writer: Mutex<()>,
    /// Whether somebody was told of a leaf that could not be read.
    told_of_unread: AtomicBool,
}

/// How large things are; other sizes make small tests.
#[derive(Clone, Copy)]
struct Shape {
    /// A power of two.
    leaves_per_span: usize,
    /// So many closed spans are written out together.
    spans_per_run: usize,
}

const SHAPE: Shape = Shape { leaves_per_span: row::MAX_LEAVES, spans_per_run: 32 };

/// What is indexed: spans in the store, then closed ones in memory, then the open one.
#[derive(Default)]
struct State {
    /// Missing when there is no directory, and after damage until the writer has opened it again.
    store: Option<Arc<Store>>,
    stored: Cursor,
    closed: Vec<Arc<Span>>,
    open: Open,
}

impl State {
    fn complete(&self, shape: Shape) -> u64 {
        u64::from(self.next_span()) * shape.leaves_per_span as u64 + self.open.leaves
    }

    /// The number of the open span.
    fn next_span(&self) -> u32 {
        self.stored.spans + self.closed.len() as u32
    }
}

impl Search {
    /// Opens the index kept in a directory of its own, making it when it is not there.
    pub fn open(dir: &Path) -> Result<Search, SearchError> {
        Search::open_reading(dir, of_entries)
    }

    /// The same for a log whose leaves are read in another way.
    pub fn open_reading(dir: &Path, read_terms: ReadTermsOf) -> Result<Search, SearchError> {
        Search::shaped(Some(dir), read_terms, SHAPE)
    }

    /// An index in memory, for logs in memory.
    pub fn memory() -> Search {
        Search::memory_reading(of_entries)
    }

    /// The same for a log whose leaves are read in another way.
    pub fn memory_reading(read_terms: ReadTermsOf) -> Search {
        Search::of_state(None, read_terms, SHAPE, State::default())
    }

    fn shaped(dir: Option<&Path>, read_terms: ReadTermsOf, shape: Shape) -> Result<Search, SearchError> {
        let mut state = State::default();
        if let Some(dir) = dir {
            let (store, cursor) = Store::open(dir, shape.leaves_per_span)?;
            state = State { store: Some(Arc::new(store)), stored: cursor, ..state };
        }
        Ok(Search::of_state(dir.map(Path::to_owned), read_terms, shape, state))
    }

    fn of_state(dir: Option<PathBuf>, read_terms: ReadTermsOf, shape: Shape, state: State) -> Search {
        let complete = watch::Sender::new(state.complete(shape));
        let state = RwLock::new(state);
        let (writer, told_of_unread) = (Mutex::new(()), AtomicBool::new(false));
        let shared = Shared { dir, shape, read_terms, state, complete, writer, told_of_unread };
        Search { shared: Arc::new(shared) }
    }

    /// What a leaf would be found by, and what is kept beside it.
    pub fn terms(&self, leaf: &[u8], aside: &[u8]) -> Result<Vec<Term>, DescribeError> {
        let mut terms = Vec::new();
        (self.shared.read_terms)()(leaf, aside, &mut terms)?;
        Ok(terms)
    }

    /// Every leaf below this index can be found. After damage it may be less than before.
    pub fn complete(&self) -> u64 {
        *self.shared.complete.borrow()
    }

    /// Waits until every leaf below `size` can be found, but no longer than `within`; says what is complete then.
    pub async fn wait_for(&self, size: u64, within: Duration) -> u64 {
        let mut complete = self.shared.complete.subscribe();
        let reached = tokio::time::timeout(within, complete.wait_for(|complete| *complete >= size)).await;
        match reached {
            Ok(Ok(complete)) => *complete,
            _late => self.complete(),
        }
    }

    /// Leaves that match, ascending, from `start` and at most `limit`. It reads the disk, for microseconds when few
    /// spans match, and does not wait for the writer.
    pub fn find(&self, query: &Query, start: Start, limit: usize) -> Result<Found, SearchError> {
        self.answered(|snapshot, open| snapshot.find(query, start, limit, open), query)
    }

    /// How many leaves match, of how many that were asked about.
    pub fn count(&self, query: &Query) -> Result<(u64, u64), SearchError> {
        self.answered(|snapshot, open| snapshot.count(query, open), query)
    }

    /// Asks the index as it is now. If it turns out to be damaged it is given up, and what is left of it is asked, which is
    /// complete up to a smaller size and still right.
    fn answered<T>(
        &self,
        ask: impl Fn(&Snapshot, &[Vec<Option<row::Offsets>>]) -> Result<T, SearchError>,
        query: &Query,
    ) -> Result<T, SearchError> {
        loop {
            let (snapshot, open) = self.shared.snapshot(query);
            match ask(&snapshot, &open) {
                Err(SearchError::Damaged(cause)) if snapshot.store.is_some() => {
                    self.shared.give_up(snapshot.store.as_ref(), &format!("is damaged ({cause})"));
                }
                answer => return answer,
            }
        }
    }
}

impl Snapshot {
    fn find(
        &self,
        query: &Query,
        start: Start,
        limit: usize,
        open: &[Vec<Option<row::Offsets>>],
    ) -> Result<Found, SearchError> {
        let mut leaves = Vec::new();
        let (mut from, mut skip) = match start {
            Start::At(leaf) => (leaf, 0),
            Start::Skip(matches) => (query.range.start, matches),
        };
        if query.groups.is_empty() {
            // Every leaf matches: nothing to count.
            from = from.max(query.range.start).saturating_add(skip);
            skip = 0;
        }
        let mut matches = Matches::new(self, query, from, open);
        while leaves.len() < limit
            && let Some((first, matching)) = matches.next()?
        {
            let count = matching.count();
            if skip >= count {
                skip -= count;
                continue;
            }
            let room = limit - leaves.len();
            leaves.extend(
                matching.iter().skip(skip as usize).take(room).map(|offset| first + u64::from(offset)),
            );
            skip = 0;
        }
        Ok(Found { leaves, complete: self.complete })
    }

    fn count(&self, query: &Query, open: &[Vec<Option<row::Offsets>>]) -> Result<(u64, u64), SearchError> {
        if query.groups.is_empty() {
            let end = query.range.end.min(self.complete);
            return Ok((end.saturating_sub(query.range.start), self.complete));
        }
        let mut matches = Matches::new(self, query, 0, open);
        let mut count = 0;
        while let Some((_, matching)) = matches.next()? {
            count += matching.count();
        }
        Ok((count, self.complete))
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index now, and which leaves of the open span have the terms of a query.
    fn snapshot(&self, query: &Query) -> (Snapshot, Vec<Vec<Option<row::Offsets>>>) {
        let state = self.read();
        let snapshot = Snapshot {
            leaves_per_span: self.shape.leaves_per_span,
            complete: state.complete(self.shape),
            store: state.store.clone(),
            stored: state.stored.spans,
            closed: state.closed.clone(),
        };
        let of_group = |group: &Vec<Term>| group.iter().map(|term| state.open.leaves_of(*term)).collect();
        (snapshot, query.groups.iter().map(of_group).collect())
    }

    /// Changes the state and tells how far it goes now.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.write();
        let result = change(&mut state);
        let complete = state.complete(self.shape);
        self.complete.send_replace(complete);
        metrics::gauge!("bulla_search_size").set(complete as f64);
        result
    }

    /// Throws away what is indexed, unless somebody has done so since the store was seen.
    fn give_up(&self, store: Option<&Arc<Store>>, why: &str) {
        let given_up = self.change(|state| {
            let same = match (&state.store, store) {
                (Some(now), Some(seen)) => Arc::ptr_eq(now, seen),
                (None, None) => true,
                _ => false,
            };
            // Out of the way before anybody sees that there is none: the next store has the same directory.
            same.then(|| (std::mem::take(state), store.map(|store| store.set_aside())))
        });
        if let Some((_state, aside)) = given_up {
            tracing::warn!("search index {why}; it is grown again from the log");
            if let Some(aside) = aside {
                store::remove(&aside);
            }
        }
    }
}
