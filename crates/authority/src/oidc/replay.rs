//! Which tokens were used, by which key, for those who want a token to serve one key only. What is kept is bounded: of very
//! many tokens the oldest are forgotten before they expire.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// Tokens that were used and have not expired.
#[derive(Default, Debug)]
pub struct Replay(Mutex<Used>);

#[derive(Default, Debug)]
struct Used {
    keys: HashMap<[u8; 32], ([u8; 32], Timestamp)>,
    /// In the order of first use.
    order: VecDeque<[u8; 32]>,
}

/// The token was used before, with another key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("token was used before with another public key: ask its issuer for a new one")]
pub struct Replayed;

impl Replay {
    /// Nothing used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a token ([`token_hash`](super::token_hash)) is used with a key (a hash of its `SubjectPublicKeyInfo`), or
    /// refuses it if it was used with another. Call it with tokens that are believed and keys that are proven, else
    /// strangers fill it. At most 100,000 tokens are remembered.
    pub fn seen(
        &self,
        token: [u8; 32],
        key: [u8; 32],
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), Replayed> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match used.keys.get(&token) {
            Some((other, until)) if *until > now && *other != key => return Err(Replayed),
            Some(_) => return Ok(()),
            None => {}
        }
        while let Some(oldest) = used.order.front().copied() {
            let over = used.keys.get(&oldest).is_none_or(|(_, until)| *until <= now);
            if !over && used.order.len() < MOST {
                break;
            }
            used.order.pop_front();
            used.keys.remove(&oldest);
        }
        used.keys.insert(token, (key, expires));
        used.order.push_back(token);
        Ok(())
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn hash(number: u64) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn a_token_serves_one_key() {
        let replay = Replay::new();
        assert_eq!(replay.seen(hash(1), hash(7), at(100), at(1)), Ok(()));
        assert_eq!(replay.seen(hash(1), hash(7), at(100), at(2)), Ok(()));
        assert_eq!(replay.seen(hash(1), hash(8), at(100), at(99)), Err(Replayed));
        assert_eq!(replay.seen(hash(2), hash(8), at(100), at(99)), Ok(()));
    }

    #[test]
    fn expired_tokens_are_forgotten_and_of_many_the_oldest() {
        let replay = Replay::new();
        for number in 0..100 {
            assert_eq!(replay.seen(hash(number), hash(7), at(100), at(1)), Ok(()));
        }
        assert_eq!(replay.seen(hash(100), hash(7), at(200), at(100)), Ok(()));
        assert_eq!(replay.len(), 1);
        for number in 200..200 + MOST as u64 {
            assert_eq!(replay.seen(hash(number), hash(7), at(1000), at(150)), Ok(()));
        }
        assert_eq!(replay.len(), MOST);
        assert_eq!(replay.seen(hash(100), hash(8), at(200), at(150)), Ok(()), "the oldest was forgotten");
        assert_eq!(replay.seen(hash(100 + MOST as u64), hash(8), at(1000), at(150)), Err(Replayed));
    }

    #[test]
    fn a_signature_written_otherwise_makes_no_other_token() {
        use crate::oidc::token_hash;
        assert_eq!(token_hash("a.b.c"), token_hash("a.b.d"));
        assert_ne!(token_hash("a.b.c"), token_hash("a.c.c"));
    }
}
