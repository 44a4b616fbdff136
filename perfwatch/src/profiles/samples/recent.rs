//! What was met lately, within a bound.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, in two generations: what is met is in the younger one, or moves there. Once that is full it becomes the
/// older one, whose rest is forgotten. So what is met often stays, and never is all forgotten at once.
#[derive(Debug)]
pub struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// `most` are in a generation after [`Self::age`].
    pub fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    /// Begins another generation if the younger one is full.
    pub fn age(&mut self) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Its value, which stays for at least one more generation.
    pub fn meet<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Its value, which is new unless it is known.
    pub fn meet_or_insert(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let Self { young, old, .. } = self;
        let known = old.remove(&key);
        young.entry(key).or_insert_with(|| known.unwrap_or_default())
    }

    /// Its value, as if nobody had looked.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_stays_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(10);
        recent.insert(0, "met");
        recent.insert(1, "not met");
        for n in 2..100 {
            assert_eq!(recent.meet(&0), Some(&mut "met"), "{n}");
            recent.age();
            recent.insert(n, "");
            let known = (0..=n).filter(|n| recent.get(n).is_some()).count();
            assert!(known <= 20, "{known}");
            assert!(known >= 10.min(n), "never all at once: {known}");
        }
        assert_eq!(recent.get(&1), None);
    }

    #[test]
    fn a_key_has_one_value() {
        let mut recent = Recent::new(1);
        recent.insert(1, "first");
        recent.age();
        recent.insert(1, "second");
        assert_eq!(recent.remove(&1), Some("second"));
        assert_eq!(recent.get(&1), None);
    }
}
