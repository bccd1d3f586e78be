//! What entries are looked up by, as the index keeps it: a door and a text, sixteen bytes of their hash. And the one
//! place that turns what an entry says of itself into such terms.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bulla_claims::DescribeError;
use bulla_claims::traces::{Door, KeyCache, KeyTraces, Traces, traces};
use bulla_tlog::sha256;

/// A text that entries of one door are found by. Sixteen bytes of a SHA-256: two texts share them by an attack of 2^64
/// work, not by chance, and whoever makes that pair has only put an entry of theirs beside another of theirs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u128);

impl Term {
    /// Bytes of a term.
    pub(crate) const LEN: usize = 16;

    /// The term of a text: `sha256:<hex>`, a bare fingerprint, an identity. Case does not count.
    pub fn new(door: Door, text: &str) -> Term {
        Term::of(door, 0, text)
    }

    /// A text under a first byte that no other sort of text has: what an entry names must not pass for what it is.
    fn of(door: Door, sort: u8, text: &str) -> Term {
        let door = match door {
            Door::V1 => 1,
            Door::V2 => 2,
        };
        let mut bytes = Vec::with_capacity(1 + text.len());
        bytes.push(2 * sort + door);
        if text.chars().any(char::is_uppercase) {
            bytes.extend_from_slice(text.to_lowercase().as_bytes());
        } else {
            bytes.extend_from_slice(text.as_bytes());
        }
        let hash = sha256(&bytes);
        Term(hash.0[..Term::LEN].iter().fold(0, |term, byte| term << 8 | u128::from(*byte)))
    }

    /// The term of entries whose identity was vouched for by this OIDC issuer.
    pub fn issuer(door: Door, issuer: &str) -> Term {
        Term::of(door, 1, issuer)
    }

    /// The term of entries of this kind, such as `dsse`.
    pub fn kind(door: Door, kind: &str) -> Term {
        Term::of(door, 2, kind)
    }

    /// As a row begins.
    pub(crate) fn bytes(self) -> [u8; Term::LEN] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Reads the terms of a leaf and its aside. Each thread that fills the index has its own, for it remembers keys.
pub type ReadTerms = Box<dyn FnMut(&[u8], &[u8], &mut Vec<Term>) -> Result<(), DescribeError> + Send>;

/// The terms of the entries that this program knows.
pub fn of_entries() -> ReadTerms {
    let mut keys = KeyCache::new();
    let mut known = Known::default();
    Box::new(move |leaf, aside, terms| {
        known.collect(&traces(leaf, &mut keys)?, aside, terms);
        Ok(())
    })
}

/// Terms of what comes again and again; hashing them for every entry would cost more than reading it.
#[derive(Default)]
struct Known {
    kinds: HashMap<(u8, &'static str), Term>,
    /// By the address of the traces, which cannot be another's as long as they are held here.
    keys: HashMap<(u8, usize), (Arc<KeyTraces>, Vec<Term>)>,
}

/// Keys whose terms are remembered; when there are more, all are forgotten.
const MAX_KEYS: usize = 1024;

impl Known {
    fn collect(&mut self, traces: &Traces, aside: &[u8], terms: &mut Vec<Term>) {
        let door = traces.door;
        let kind =
            self.kinds.entry((door as u8, traces.kind)).or_insert_with(|| Term::kind(door, traces.kind));
        terms.push(*kind);
        terms.extend(traces.digests.iter().map(|digest| Term::new(door, digest)));
        // Lines that admission wrote; one that is no text finds nothing.
        let lines = aside.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        terms.extend(lines.filter(|line| !line.is_empty()).map(|line| Term::new(door, line)));
        for key in &traces.keys {
            if self.keys.len() >= MAX_KEYS {
                self.keys.clear();
            }
            let (_, of_key) = self
                .keys
                .entry((door as u8, Arc::as_ptr(key) as usize))
                .or_insert_with(|| (key.clone(), of_key(door, key)));
            terms.extend_from_slice(of_key);
        }
    }
}

fn of_key(door: Door, key: &KeyTraces) -> Vec<Term> {
    let texts = key.fingerprints.iter().chain(&key.identities).map(|text| Term::new(door, text));
    texts.chain(key.issuer.iter().map(|issuer| Term::issuer(door, issuer))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(identity: &str) -> Arc<KeyTraces> {
        Arc::new(KeyTraces {
            fingerprints: vec!["ab".repeat(32), format!("sha256:{}", "ab".repeat(32))],
            identities: vec![identity.to_owned()],
            issuer: Some("https://issuer.example.org".to_owned()),
        })
    }

    #[test]
    fn a_term_is_the_hash_of_a_door_and_a_lower_case_text() {
        let term = Term::new(Door::V1, "Alice@Example.org");
        assert_eq!(term, Term::new(Door::V1, "alice@example.org"));
        assert_eq!(term.bytes(), sha256(b"\x01alice@example.org").0[..16]);
        assert_ne!(term, Term::new(Door::V2, "alice@example.org"));
        assert_ne!(Term::kind(Door::V1, "dsse"), Term::new(Door::V1, "kind:dsse"));
        assert_ne!(Term::issuer(Door::V1, "dsse"), Term::kind(Door::V1, "dsse"));
        assert_eq!(Term::kind(Door::V2, "dsse").bytes(), sha256(b"\x06dsse").0[..16]);
    }

    #[test]
    fn all_that_an_entry_says_becomes_terms_also_the_second_time() {
        let traces = Traces {
            door: Door::V1,
            kind: "dsse",
            digests: vec!["sha256:00".to_owned()],
            keys: vec![named("alice@example.org"), named("bob@example.org")],
        };
        let texts = |name: &str| {
            let fingerprint = "ab".repeat(32);
            let prefixed = format!("sha256:{fingerprint}");
            let texts = [fingerprint, prefixed, name.to_owned()].map(|text| Term::new(Door::V1, &text));
            [texts.to_vec(), vec![Term::issuer(Door::V1, "https://issuer.example.org")]].concat()
        };
        let mut expected = vec![Term::kind(Door::V1, "dsse")];
        expected.extend(["sha256:00", "sha256:11", "sha256:22"].map(|text| Term::new(Door::V1, text)));
        expected.extend(texts("alice@example.org"));
        expected.extend(texts("bob@example.org"));
        let mut known = Known::default();
        for _ in 0..2 {
            let mut terms = Vec::new();
            known.collect(&traces, b"sha256:11\n\xff\nsha256:22\n", &mut terms);
            assert_eq!(terms, expected);
        }
    }

    #[test]
    fn keys_that_are_remembered_are_bounded() {
        let mut known = Known::default();
        for i in 0..3 * MAX_KEYS {
            let keys = vec![named(&format!("{i}@example.org"))];
            let traces = Traces { door: Door::V2, kind: "dsse", digests: Vec::new(), keys };
            let mut terms = Vec::new();
            known.collect(&traces, b"", &mut terms);
            assert!(terms.contains(&Term::new(Door::V2, &format!("{i}@example.org"))));
            assert!(known.keys.len() <= MAX_KEYS);
        }
    }
}
