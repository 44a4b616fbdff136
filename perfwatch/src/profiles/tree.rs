//! Stacks added up: a tree from the outermost function inwards, whose nodes have counts.

use std::collections::HashMap;

/// The root, which has no frame.
pub const ROOT: u32 = 0;

/// Nodes of which each is one step inwards from its parent. Parents come before their children.
#[derive(Debug, Clone)]
pub struct Tree<F> {
    nodes: Vec<Node<F>>,
    children: HashMap<(u32, F), u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<F> {
    pub parent: u32,
    /// `None` at the root only.
    pub frame: Option<F>,
    /// Of stacks that end here.
    pub count: u64,
}

impl<F: Clone + Eq + std::hash::Hash> Default for Tree<F> {
    fn default() -> Self {
        Self { nodes: vec![Node { parent: ROOT, frame: None, count: 0 }], children: HashMap::new() }
    }
}

impl<F: Clone + Eq + std::hash::Hash> Tree<F> {
    /// All nodes, the root first.
    pub fn nodes(&self) -> &[Node<F>] {
        &self.nodes
    }

    /// The node of a frame that `parent` calls.
    pub fn child(&mut self, parent: u32, frame: F) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = *self.children.entry((parent, frame.clone())).or_insert(next);
        if node == next {
            self.nodes.push(Node { parent, frame: Some(frame), count: 0 });
        }
        node
    }

    /// Counts a stack, whose frames come the outermost first. Returns the node where it ends.
    pub fn add(&mut self, stack: impl IntoIterator<Item = F>, count: u64) -> u32 {
        let end = stack.into_iter().fold(ROOT, |parent, frame| self.child(parent, frame));
        self.count(end, count);
        end
    }

    /// Counts stacks that end at a node.
    pub fn count(&mut self, node: u32, count: u64) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.count += count;
        }
    }

    pub fn total(&self) -> u64 {
        self.nodes.iter().map(|node| node.count).sum()
    }

    /// By node, the count of itself and all that it calls.
    pub fn totals(&self) -> Vec<u64> {
        let mut totals: Vec<u64> = self.nodes.iter().map(|node| node.count).collect();
        for n in (1..self.nodes.len()).rev() {
            totals[self.nodes[n].parent as usize] += totals[n];
        }
        totals
    }

    /// Adds another tree, whose frames have other names here.
    pub fn merge<G: Copy>(&mut self, other: &[Node<G>], name: impl Fn(G) -> F) {
        let mut here = Vec::with_capacity(other.len());
        for node in other {
            let place = match node.frame {
                Some(frame) => {
                    self.child(here.get(node.parent as usize).copied().unwrap_or(ROOT), name(frame))
                }
                None => ROOT,
            };
            here.push(place);
            self.count(place, node.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_added_up() {
        let mut tree = Tree::default();
        tree.add("ab".chars(), 2);
        tree.add("abc".chars(), 3);
        tree.add("ad".chars(), 5);
        tree.add("".chars(), 1);
        assert_eq!(tree.nodes().len(), 5);
        assert_eq!(tree.total(), 11);
        assert_eq!(tree.totals(), [11, 10, 5, 3, 5]);
    }

    #[test]
    fn merged_trees_are_as_if_all_had_been_added_to_one() {
        let [mut one, mut two, mut both]: [Tree<char>; 3] = Default::default();
        for (stack, count) in [("ab", 1), ("ac", 2)] {
            one.add(stack.chars(), count);
            both.add(stack.chars(), count);
        }
        for (stack, count) in [("ac", 3), ("acd", 4), ("x", 5)] {
            two.add(stack.chars(), count);
            both.add(stack.chars(), count);
        }
        one.merge(two.nodes(), |frame| frame);
        assert_eq!(one.nodes(), both.nodes());
    }
}
