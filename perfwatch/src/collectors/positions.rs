//! Positions of names in a list whose members come and go.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

/// An index that is built when a list is first searched: most entries keep their positions.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions(OnceCell<HashMap<Arc<str>, usize>>);

impl Positions {
    /// Call this when the list has changed.
    pub(super) fn clear(&mut self) {
        self.0.take();
    }

    /// The position of `name` in `list`, most likely `guess`.
    pub(super) fn find<T>(
        &self,
        list: &[T],
        name_of: fn(&T) -> &Arc<str>,
        name: &str,
        guess: usize,
    ) -> Option<usize> {
        if list.get(guess).is_some_and(|item| **name_of(item) == *name) {
            return Some(guess);
        }
        let index = self.0.get_or_init(|| {
            // With duplicate names the first counts.
            list.iter().enumerate().rev().map(|(at, item)| (Arc::clone(name_of(item)), at)).collect()
        });
        index.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let list: Vec<Arc<str>> = ["a", "b", "c", "b"].map(Arc::from).to_vec();
        let mut positions = Positions::default();
        let find = |positions: &Positions, list: &[Arc<str>], name: &str, guess| {
            positions.find(list, |item| item, name, guess)
        };
        assert_eq!(find(&positions, &list, "b", 1), Some(1));
        assert_eq!(find(&positions, &list, "b", 3), Some(3), "the guess");
        assert_eq!(find(&positions, &list, "b", 9), Some(1), "the first");
        assert_eq!(find(&positions, &list, "d", 0), None);
        positions.clear();
        assert_eq!(find(&positions, &list[2..], "b", 0), Some(1));
    }
}
