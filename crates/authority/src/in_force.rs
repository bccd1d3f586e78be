//! What is used until something else takes its place, without anybody having to stop.

use std::sync::{Arc, PoisonError, RwLock};

/// One of a kind, which can be replaced while it is used: whoever took it before ends with it.
pub struct InForce<T>(RwLock<Arc<T>>);

impl<T> InForce<T> {
    /// The first.
    pub fn new(first: T) -> Self {
        Self(RwLock::new(Arc::new(first)))
    }

    /// The one in force.
    pub fn now(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in force, and returns the one before. It is still in use as long as others hold it.
    pub fn replace(&self, next: T) -> Arc<T> {
        std::mem::replace(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), Arc::new(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_the_old_one_ends_with_it() {
        let number = InForce::new(1);
        let taken = number.now();
        let before = number.replace(2);
        assert_eq!((*taken, *number.now(), Arc::strong_count(&before)), (1, 2, 2));
    }
}
