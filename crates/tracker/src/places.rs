//! How many of something each key has at once, with a cap.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Places by key; keys without one are forgotten.
#[derive(Debug, Clone)]
pub(crate) struct Places<K> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    max: usize,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place<K: Hash + Eq>(Arc<Mutex<HashMap<K, usize>>>, K);

impl<K: Hash + Eq + Copy> Places<K> {
    /// At most `max` for each key.
    pub(crate) fn new(max: usize) -> Self {
        Self { taken: Arc::default(), max }
    }

    pub(crate) fn take(&self, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place(Arc::clone(&self.taken), key))
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}
