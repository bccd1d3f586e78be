//! Questions to the index and how they are answered: span by span, so memory is bounded whatever matches, and a span
//! where some word of the question has no row is passed over unread.

use std::ops::Range;
use std::sync::Arc;

use super::SearchError;
use super::row::{self, Offsets};
use super::span::Span;
use super::store::{Rows, Store};
use super::terms::Term;

/// What is asked: leaves of a range that have a term of every group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A leaf must have at least one term of each of these. Without groups every leaf is meant.
    pub groups: Vec<Vec<Term>>,
    /// Only these leaves.
    pub range: Range<u64>,
}

impl Query {
    /// Every leaf.
    pub fn everything() -> Query {
        Query { groups: Vec::new(), range: 0..u64::MAX }
    }

    /// Leaves with at least one of these terms.
    pub fn any(terms: impl IntoIterator<Item = Term>) -> Query {
        Query { groups: vec![terms.into_iter().collect()], range: 0..u64::MAX }
    }

    /// Leaves with all of these terms.
    pub fn all(terms: impl IntoIterator<Item = Term>) -> Query {
        Query { groups: terms.into_iter().map(|term| vec![term]).collect(), range: 0..u64::MAX }
    }

    /// Of those only leaves that also have one of these terms.
    #[must_use]
    pub fn and_any(mut self, terms: impl IntoIterator<Item = Term>) -> Query {
        self.groups.push(terms.into_iter().collect());
        self
    }

    /// Of those only leaves in this range.
    #[must_use]
    pub fn within(mut self, range: Range<u64>) -> Query {
        self.range = range.start.max(self.range.start)..range.end.min(self.range.end);
        self
    }
}

/// Where an answer begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At this leaf, or the next that matches.
    At(u64),
    /// After so many matches. They are counted and not read.
    Skip(u64),
}

/// The index at one moment.
pub(crate) struct Snapshot {
    pub(crate) leaves_per_span: usize,
    pub(crate) complete: u64,
    pub(crate) store: Option<Arc<Store>>,
    /// Spans in the store that count; the closed ones follow them.
    pub(crate) stored: u32,
    pub(crate) closed: Vec<Arc<Span>>,
}

/// The matches of a query, span after span.
pub(crate) struct Matches<'a> {
    snapshot: &'a Snapshot,
    groups: Vec<Vec<Cursor<'a>>>,
    range: Range<u64>,
    /// The next span to look at.
    span: u32,
}

impl<'a> Matches<'a> {
    /// `open` says which leaves of the open span have each term.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        query: &Query,
        from: u64,
        open: &[Vec<Option<Offsets>>],
    ) -> Self {
        let range = query.range.start.max(from)..query.range.end.min(snapshot.complete);
        let cursor = |(term, open): (&Term, &Option<Offsets>)| Cursor {
            term: *term,
            snapshot,
            rows: None,
            open: open.clone(),
            head: Head::Unread,
        };
        let group =
            |(terms, open): (&Vec<Term>, &Vec<Option<Offsets>>)| terms.iter().zip(open).map(cursor).collect();
        let groups = query.groups.iter().zip(open).map(group).collect();
        let span = (range.start.min(snapshot.complete) / snapshot.leaves_per_span as u64) as u32;
        Matches { snapshot, groups, range, span }
    }

    /// The next span with matches: its first leaf, and which of its leaves match.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Offsets)>, SearchError> {
        let leaves_per_span = self.snapshot.leaves_per_span as u64;
        loop {
            let Some(span) = self.agree()? else { return Ok(None) };
            let first = u64::from(span) * leaves_per_span;
            if first >= self.range.end {
                return Ok(None);
            }
            let mut matching: Option<Offsets> = None;
            for group in &self.groups {
                let mut of_group = Offsets::none();
                for cursor in group {
                    if let Head::At(at, leaves) = &cursor.head
                        && *at == span
                    {
                        of_group.unite(leaves);
                    }
                }
                match &mut matching {
                    Some(matching) => matching.intersect(&of_group),
                    None => matching = Some(of_group),
                }
            }
            let mut matching = matching.unwrap_or_else(Offsets::all);
            let end = (self.range.end - first).min(leaves_per_span);
            matching.clip(self.range.start.saturating_sub(first), end);
            self.span = span + 1;
            if matching.count() > 0 {
                return Ok(Some((first, matching)));
            }
        }
    }

    /// The next span where every group has a row; the cursors then stand on or behind it.
    fn agree(&mut self) -> Result<Option<u32>, SearchError> {
        let mut span = self.span;
        'again: loop {
            for group in &mut self.groups {
                let mut nearest = None;
                for cursor in group {
                    let at = cursor.seek(span)?;
                    nearest = nearest.into_iter().chain(at).min();
                }
                match nearest {
                    Some(nearest) if nearest == span => {}
                    Some(nearest) => {
                        span = nearest;
                        continue 'again;
                    }
                    None => return Ok(None),
                }
            }
            return Ok(Some(span));
        }
    }
}

/// Walks over the spans that have a row of one term: those in the store, the closed ones, the open one.
struct Cursor<'a> {
    term: Term,
    snapshot: &'a Snapshot,
    rows: Option<Rows>,
    open: Option<Offsets>,
    head: Head,
}

enum Head {
    Unread,
    At(u32, Box<Offsets>),
    End,
}

/// So many rows are passed over one by one before it is cheaper to search for the right one.
const STEPS: usize = 16;

impl Cursor<'_> {
    /// Goes to the first row in `span` or behind it, and says in which span that is.
    fn seek(&mut self, span: u32) -> Result<Option<u32>, SearchError> {
        match self.head {
            Head::At(at, _) if at >= span => return Ok(Some(at)),
            Head::End => return Ok(None),
            _ => {}
        }
        self.head = match self.read(span)? {
            Some((at, leaves)) => Head::At(at, Box::new(leaves)),
            None => Head::End,
        };
        Ok(match self.head {
            Head::At(at, _) => Some(at),
            _ => None,
        })
    }

    fn read(&mut self, span: u32) -> Result<Option<(u32, Offsets)>, SearchError> {
        let Snapshot { stored, closed, leaves_per_span, .. } = self.snapshot;
        let damaged = || SearchError::Damaged("a row is none".to_owned());
        if span < *stored
            && let Some(found) = self.read_stored(span)?
        {
            return Ok(Some(found));
        }
        for closed in closed.iter().skip(span.saturating_sub(*stored) as usize) {
            if let Some(value) = closed.value(self.term) {
                let leaves = row::read(value, *leaves_per_span).ok_or_else(damaged)?;
                return Ok(Some((closed.number, leaves)));
            }
        }
        let open = stored + closed.len() as u32;
        Ok(self.open.take().filter(|_| span <= open).map(|leaves| (open, leaves)))
    }

    fn read_stored(&mut self, span: u32) -> Result<Option<(u32, Offsets)>, SearchError> {
        let Snapshot { stored, store, leaves_per_span, .. } = self.snapshot;
        let Some(store) = store else { return Ok(None) };
        let mut steps = if self.rows.is_some() { STEPS } else { 0 };
        loop {
            let rows = match &mut self.rows {
                Some(rows) if steps > 0 => rows,
                rows => rows.insert(store.rows(self.term, span, *stored)?),
            };
            steps = steps.saturating_sub(1);
            match rows.next()? {
                None => return Ok(None),
                Some((at, _)) if at < span => {}
                Some((at, value)) => {
                    let leaves = row::read(&value, *leaves_per_span)
                        .ok_or_else(|| SearchError::Damaged("a row is none".to_owned()))?;
                    return Ok(Some((at, leaves)));
                }
            }
        }
    }
}
