//! The same question, asked once at a time: whoever comes while it is on its way gets the same answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// See the module.
pub(crate) struct Flights<K, T> {
    open: Mutex<HashMap<K, Arc<OnceCell<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// The answer, by this work or by that of somebody who came before. If they went away, this work is done.
    pub(crate) async fn join(&self, key: K, work: impl Future<Output = T>) -> T {
        let cell = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(open.entry(key.clone()).or_default())
        };
        let landed = Landed { flights: self, key, cell };
        landed.cell.get_or_init(|| work).await.clone()
    }
}

/// Takes the flight off the list when the first of those who waited is done, or when all went away.
struct Landed<'a, K: Eq + Hash, T> {
    flights: &'a Flights<K, T>,
    key: K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Eq + Hash, T> Drop for Landed<'_, K, T> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = open.get(&self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // Two hold it without anybody else: the list and this one.
        if is_this && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn one_asks_and_all_hear() {
        let (flights, asked, go) = (Flights::<u8, usize>::default(), AtomicUsize::new(0), Semaphore::new(0));
        let ask = || async {
            let _go = go.acquire().await.expect("is open");
            asked.fetch_add(1, Ordering::Relaxed)
        };
        let all = join_all((0..50).map(|_| flights.join(1, ask())));
        let (heard, ()) = tokio::join!(all, async { go.add_permits(1) });
        assert_eq!((heard, asked.load(Ordering::Relaxed)), (vec![0; 50], 1));
        assert_eq!(flights.join(1, ask()).await, 1, "the next question is asked anew");
        assert!(flights.open.lock().expect("is whole").is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_question_to_the_next() {
        let flights = Flights::<u8, u8>::default();
        let never = flights.join(1, std::future::pending());
        assert!(tokio::time::timeout(std::time::Duration::ZERO, never).await.is_err());
        assert!(flights.open.lock().expect("is whole").is_empty());
        assert_eq!(flights.join(1, async { 7 }).await, 7);
    }
}
