//! Values kept up to a total weight; the ones that were used least recently go first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// By last use.
    order: BTreeMap<u64, K>,
    uses: u64,
    weight: usize,
    limit: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// Holds up to `limit`, and always the newest value.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), order: BTreeMap::new(), uses: 0, weight: 0, limit }
    }

    /// A value, which counts as a use.
    pub(crate) fn get(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.order.remove(&entry.used) {
            self.order.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&entry.value)
    }

    /// Adds or replaces a value; returns those that had to go for it.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) -> Vec<(K, V)> {
        self.remove(&key);
        self.uses += 1;
        self.order.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, weight, used: self.uses });
        self.weight += weight;
        let mut gone = Vec::new();
        while self.weight > self.limit && self.entries.len() > 1 {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.weight -= entry.weight;
                gone.push((oldest, entry.value));
            }
        }
        gone
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.weight -= entry.weight;
        Some(entry.value)
    }

    /// A value, which does not count as a use.
    #[cfg(test)]
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_go_first_and_the_newest_always_stays() {
        let mut recent = Recent::new(10);
        assert!(recent.insert("a", 1, 4).is_empty() && recent.insert("b", 2, 4).is_empty());
        assert_eq!(recent.get(&"a"), Some(&1));
        assert_eq!(recent.insert("c", 3, 4), [("b", 2)]);
        assert!(recent.insert("a", 5, 1).is_empty(), "a replaced value weighs once");
        assert_eq!(recent.insert("d", 4, 99), [("c", 3), ("a", 5)]);
        assert_eq!(recent.get(&"d"), Some(&4));
        assert_eq!((recent.weight, recent.order.len()), (99, 1));
        assert_eq!(recent.remove(&"d"), Some(4));
        assert_eq!((recent.weight, recent.contains(&"d")), (0, false));
    }
}
