//! The value of a row: which leaves of a span have a term. Few leaves are a list of offsets, two bytes each, big-endian
//! and ascending; many are a bitmap with a bit for each leaf of the span, the lowest offset in the lowest bit. Whichever
//! is shorter is written, the bitmap if they are equal, so the length says which it is.

/// The most leaves that a span can have.
pub const MAX_LEAVES: usize = 4096;

const WORDS: usize = MAX_LEAVES / 64;

/// A set of leaves of one span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offsets {
    words: [u64; WORDS],
}

impl Offsets {
    /// No leaf.
    pub fn none() -> Self {
        Offsets { words: [0; WORDS] }
    }

    /// Every leaf.
    pub fn all() -> Self {
        Offsets { words: [u64::MAX; WORDS] }
    }

    /// Adds the leaf at this offset, below [`MAX_LEAVES`].
    pub fn add(&mut self, offset: u16) {
        self.words[usize::from(offset) / 64] |= 1 << (offset % 64);
    }

    /// Adds what another has.
    pub fn unite(&mut self, other: &Offsets) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Offsets only what another has too.
    pub fn intersect(&mut self, other: &Offsets) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Offsets only offsets from `low` and below `high`.
    pub fn clip(&mut self, low: u64, high: u64) {
        for (word, first) in self.words.iter_mut().zip((0..).step_by(64)) {
            *word &= below(high, first) & !below(low, first);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Their offsets, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.words.iter().zip((0_u16..).step_by(64)).flat_map(|(word, first)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as u16;
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    first + bit
                })
            })
        })
    }
}

/// The bits of a word whose offsets, the lowest being `first`, are below `limit`.
fn below(limit: u64, first: u64) -> u64 {
    match limit.saturating_sub(first) {
        64.. => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

/// Writes a row of a span of so many leaves, a multiple of eight; the offsets are ascending, and there is at least one.
pub fn write(offsets: &[u16], span: usize, value: &mut Vec<u8>) {
    if offsets.len() * 2 < span / 8 {
        value.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        return;
    }
    let start = value.len();
    value.resize(start + span / 8, 0);
    for offset in offsets {
        value[start + usize::from(offset / 8)] |= 1 << (offset % 8);
    }
}

/// Reads a row of a span of so many leaves; `None` if nothing could have written it.
pub fn read(value: &[u8], span: usize) -> Option<Offsets> {
    let mut leaves = Offsets::none();
    if span > MAX_LEAVES || value.len() > span / 8 || value.is_empty() {
        return None;
    }
    if value.len() == span / 8 {
        for (word, bytes) in leaves.words.iter_mut().zip(value.chunks(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        // Fewer would have been a list.
        return (leaves.count() * 2 >= span as u64 / 8).then_some(leaves);
    }
    let (pairs, rest) = value.as_chunks();
    let mut least = 0;
    for pair in pairs {
        let offset = u16::from_be_bytes(*pair);
        if usize::from(offset) < least || usize::from(offset) >= span {
            return None;
        }
        leaves.add(offset);
        least = usize::from(offset) + 1;
    }
    rest.is_empty().then_some(leaves)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(offsets: &[u16], span: usize) -> Vec<u8> {
        let mut value = Vec::new();
        write(offsets, span, &mut value);
        value
    }

    #[test]
    fn few_leaves_are_a_list_and_many_a_bitmap() {
        assert_eq!(written(&[1, 4095], 4096), [0, 1, 0x0f, 0xff]);
        let offsets: Vec<u16> = (0..256).collect();
        assert_eq!(written(&offsets[..255], 4096).len(), 510);
        assert_eq!(written(&offsets, 4096), [vec![0xff; 32], vec![0; 480]].concat());
        let all: Vec<u16> = (0..4096).collect();
        assert_eq!(written(&all, 4096), [0xff; 512]);
    }

    #[test]
    fn what_nothing_wrote_is_refused() {
        let descending = [0, 2, 0, 1];
        let twice = [0, 1, 0, 1];
        for value in [&[][..], &[0], &[0, 1, 2], &descending, &twice, &[0x10, 0x00], &[0; 514], &[0; 512]] {
            assert_eq!(read(value, 4096), None, "{value:?}");
        }
        assert_eq!(read(&[0, 1], 8192), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            mut offsets in prop::collection::vec(0_u16..4096, 1..600),
            size in prop::sample::select(vec![16_usize, 64, 256, 4096]),
        ) {
            for offset in &mut offsets {
                *offset %= size as u16;
            }
            offsets.sort_unstable();
            offsets.dedup();
            let leaves = read(&written(&offsets, size), size).expect("is read");
            prop_assert_eq!(leaves.count(), offsets.len() as u64);
            prop_assert_eq!(leaves.iter().collect::<Vec<_>>(), offsets);
        }

        #[test]
        fn clipping_keeps_what_is_between(
            offsets in prop::collection::btree_set(0_u16..4096, 0..200), low in 0_u64..5000, high in 0_u64..5000,
        ) {
            let mut leaves = Offsets::none();
            for offset in &offsets {
                leaves.add(*offset);
            }
            leaves.clip(low, high);
            let kept: Vec<u16> =
                offsets.into_iter().filter(|offset| (low..high).contains(&u64::from(*offset))).collect();
            prop_assert_eq!(leaves.iter().collect::<Vec<_>>(), kept);
        }

        #[test]
        fn any_bytes_are_refused_or_written_the_same(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(leaves) = read(&value, 256) {
                prop_assert_eq!(written(&leaves.iter().collect::<Vec<_>>(), 256), value);
            }
        }
    }
}
