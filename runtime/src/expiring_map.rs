//! A map whose entries expire.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Values by key, each of which is forgotten some time after it was inserted.
///
/// Tasks share it by reference.
#[derive(Debug)]
pub struct ExpiringMap<V = ()> {
    lifetime: Duration,
    entries: Mutex<HashMap<String, Entry<V>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    inserted: Instant,
    value: V,
}

impl<V: Copy> ExpiringMap<V> {
    /// Makes an empty map whose entries expire after `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, entries: Mutex::default() }
    }

    /// Inserts or replaces an entry, and removes those that have expired.
    pub fn insert(&self, key: &str, value: V) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.inserted.elapsed() < self.lifetime);
        entries.insert(key.to_owned(), Entry { inserted: Instant::now(), value });
    }

    /// Returns the value of an entry that has not expired.
    pub fn get(&self, key: &str) -> Option<V> {
        self.entry(key).map(|entry| entry.value)
    }

    /// Returns the time since an entry was inserted, if it has not expired.
    pub fn age(&self, key: &str) -> Option<Duration> {
        self.entry(key).map(|entry| entry.inserted.elapsed())
    }

    fn entry(&self, key: &str) -> Option<Entry<V>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| entry.inserted.elapsed() < self.lifetime).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_until_it_expires() {
        let map = ExpiringMap::new(Duration::from_secs(60));
        assert_eq!(map.age("a"), None);
        map.insert("a", 1);
        assert!(map.age("a").is_some() && map.age("b").is_none());
        assert_eq!((map.get("a"), map.get("b")), (Some(1), None));
        let expired = ExpiringMap::new(Duration::ZERO);
        expired.insert("a", 1);
        assert_eq!((expired.age("a"), expired.get("a")), (None, None));
    }

    #[test]
    fn expired_entries_are_removed() {
        let map = ExpiringMap::new(Duration::ZERO);
        map.insert("a", ());
        map.insert("b", ());
        assert_eq!(map.entries.lock().unwrap().len(), 1);
    }
}
