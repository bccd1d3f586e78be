//! A span: the terms of some thousand leaves that follow each other. While it grows it is open; closed, its rows are
//! sorted and never change.

use super::row::{self, Offsets};
use super::terms::Term;

/// A term and the offset in the span of a leaf that has it.
pub(crate) type Pair = (Term, u16);

/// The first bytes of the hash of a span's last leaf: rows that were grown from another log are known by it.
pub(crate) type Mark = [u8; 16];

/// The mark of a span that ends with this leaf.
pub(crate) fn mark(leaf: &[u8]) -> Mark {
    *bulla_tlog::leaf_hash(leaf).0.first_chunk().expect("a hash is longer")
}

/// A span whose leaves are all known.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) number: u32,
    pub(crate) mark: Mark,
    terms: Vec<Term>,
    /// Where the value of each term ends.
    ends: Vec<u32>,
    values: Vec<u8>,
}

impl Span {
    /// Closes a span of `leaves` leaves.
    pub(crate) fn new(number: u32, mut pairs: Vec<Pair>, leaves: usize, mark: Mark) -> Span {
        pairs.sort_unstable();
        // A leaf may name a thing twice.
        pairs.dedup();
        let mut span = Span { number, mark, terms: Vec::new(), ends: Vec::new(), values: Vec::new() };
        let mut offsets = Vec::new();
        for of_term in pairs.chunk_by(|a, b| a.0 == b.0) {
            offsets.clear();
            offsets.extend(of_term.iter().map(|pair| pair.1));
            row::write(&offsets, leaves, &mut span.values);
            span.terms.push(of_term[0].0);
            span.ends.push(span.values.len() as u32);
        }
        span.terms.shrink_to_fit();
        span.ends.shrink_to_fit();
        span.values.shrink_to_fit();
        span
    }

    /// The row at this place, in the order of terms.
    pub(crate) fn row(&self, at: usize) -> Option<(Term, &[u8])> {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some((*self.terms.get(at)?, &self.values[start as usize..self.ends[at] as usize]))
    }

    /// The value of a term.
    pub(crate) fn value(&self, term: Term) -> Option<&[u8]> {
        self.terms.binary_search(&term).ok().and_then(|at| self.row(at)).map(|(_, value)| value)
    }
}

/// The span that still grows: sorted pieces, so that adding a leaf does not sort what came before it again.
#[derive(Default, Debug)]
pub(crate) struct Open {
    pieces: Vec<Vec<Pair>>,
    pub(crate) leaves: u64,
}

/// A piece takes no more once it has so many pairs.
const PIECE: usize = 1024;

impl Open {
    /// Adds the pairs of leaves that follow, so many.
    pub(crate) fn extend(&mut self, pairs: Vec<Pair>, leaves: u64) {
        self.leaves += leaves;
        if self.pieces.last().is_none_or(|piece| piece.len() >= PIECE) {
            self.pieces.push(Vec::new());
        }
        let Some(piece) = self.pieces.last_mut() else { return };
        piece.extend(pairs);
        // Stable sorting is quick on what is two sorted runs already.
        piece.sort();
    }

    /// The leaves that have a term, if any.
    pub(crate) fn leaves_of(&self, term: Term) -> Option<Offsets> {
        let mut leaves = None;
        for piece in &self.pieces {
            let first = piece.partition_point(|pair| pair.0 < term);
            for (_, offset) in piece[first..].iter().take_while(|pair| pair.0 == term) {
                leaves.get_or_insert_with(Offsets::none).add(*offset);
            }
        }
        leaves
    }

    /// Everything in it.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        self.pieces.concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla_claims::traces::Door;

    #[test]
    fn a_span_answers_the_same_open_and_closed() {
        let term = |i: u16| Term::new(Door::V1, &i.to_string());
        let mut open = Open::default();
        for offset in 0..4096_u16 {
            // The kind twice, as a leaf may name a thing twice.
            let pairs = vec![(term(9999), offset), (term(offset / 3), offset), (term(9999), offset)];
            open.extend(pairs, 1);
        }
        assert_eq!(open.leaves, 4096);
        let span = Span::new(7, open.pairs(), 4096, [0; 16]);
        for i in (0..1366).chain([9999]) {
            let value = span.value(term(i)).expect("is there");
            assert_eq!(row::read(value, 4096), open.leaves_of(term(i)));
        }
        assert_eq!(open.leaves_of(term(9999)).map(|leaves| leaves.count()), Some(4096));
        assert_eq!(span.value(term(5000)), None);
        assert_eq!(open.leaves_of(term(5000)), None);
        let rows: Vec<Term> = (0..).map_while(|at| span.row(at)).map(|(term, _)| term).collect();
        assert_eq!(rows.len(), 1367);
        assert!(rows.is_sorted());
    }
}
