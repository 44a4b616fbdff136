//! Things and their numbers.

use std::hash::Hash;

use indexmap::IndexSet;

/// Things by number, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Numbered<T>(IndexSet<T>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(IndexSet::new())
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub fn number(&mut self, thing: &T) -> u32 {
        let known = self.0.get_index_of(thing);
        let number = known.unwrap_or_else(|| self.0.insert_full(thing.clone()).0);
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn things(&self) -> Vec<T> {
        self.0.iter().cloned().collect()
    }
}
