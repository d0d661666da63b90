//! A map that never has more than so many entries: what was not asked for lately makes room.
//!
//! Two generations: once the young one is half of the whole, it becomes the old one, and what was the old one is dropped.
//! What is found in the old one moves to the young one. Each step costs the same however full it is.

use std::{
    collections::HashMap,
    hash::Hash,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(super) struct Aging<K, V> {
    generations: Mutex<Generations<K, V>>,
    half: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Aging<K, V> {
    pub(super) fn new(most: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations), half: (most / 2).max(1) }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = generations.old.remove_entry(key)?;
        self.put(&mut generations, key, value.clone());
        Some(value)
    }

    /// What is there, or else what is made now.
    pub(super) fn get_or_insert(&self, key: K, make: impl FnOnce() -> V) -> V {
        let mut generations = self.lock();
        if let Some(value) = generations.young.get(&key) {
            return value.clone();
        }
        let value = generations.old.remove(&key).unwrap_or_else(make);
        self.put(&mut generations, key, value.clone());
        value
    }

    pub(super) fn insert(&self, key: K, value: V) {
        let mut generations = self.lock();
        generations.old.remove(&key);
        self.put(&mut generations, key, value);
    }

    pub(super) fn remove(&self, key: &K) {
        let mut generations = self.lock();
        generations.young.remove(key);
        generations.old.remove(key);
    }

    fn put(&self, generations: &mut Generations<K, V>, key: K, value: V) {
        if generations.young.len() >= self.half {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(key, value);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        // Whole after every statement.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_there_is_never_more_than_allowed() {
        let map = Aging::new(100);
        map.insert(0, 0);
        for key in 1..10_000 {
            map.insert(key, key);
            assert_eq!(map.get(&0), Some(0), "at {key}");
            let generations = map.lock();
            assert!(generations.young.len() + generations.old.len() <= 100);
        }
        assert_eq!((map.get(&9_999), map.get(&5)), (Some(9_999), None));
        map.remove(&0);
        assert_eq!(map.get(&0), None);
        assert_eq!([map.get_or_insert(7, || 1), map.get_or_insert(7, || 2)], [1, 1]);
    }
}
