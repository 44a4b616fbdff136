//! Things and their numbers.

use std::collections::HashMap;
use std::hash::Hash;

/// Things by number, in the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Numbered<T> {
    pub things: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { things: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    pub fn number(&mut self, thing: &T) -> u32 {
        if let Some(number) = self.numbers.get(thing) {
            return *number;
        }
        let number = u32::try_from(self.things.len()).unwrap_or(u32::MAX);
        self.things.push(thing.clone());
        self.numbers.insert(thing.clone(), number);
        number
    }
}
