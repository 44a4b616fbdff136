//! Stacks as a tree from the outermost frame inwards.

use std::collections::HashMap;
use std::hash::Hash;

/// The root, which has no frame.
pub const ROOT: u32 = 0;

/// Nodes of which each is one step inwards from its parent. Parents come before their children.
#[derive(Debug, Clone)]
pub struct Tree<F> {
    nodes: Vec<Node<F>>,
    children: HashMap<(u32, F), u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<F> {
    pub parent: u32,
    /// `None` at the root only.
    pub frame: Option<F>,
}

impl<F: Clone + Eq + Hash> Default for Tree<F> {
    fn default() -> Self {
        Self { nodes: vec![Node { parent: ROOT, frame: None }], children: HashMap::new() }
    }
}

impl<F: Clone + Eq + Hash> Tree<F> {
    /// All nodes, the root first.
    pub fn nodes(&self) -> &[Node<F>] {
        &self.nodes
    }

    /// The node of a frame that `parent` calls.
    pub fn child(&mut self, parent: u32, frame: F) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = *self.children.entry((parent, frame.clone())).or_insert(next);
        if node == next {
            self.nodes.push(Node { parent, frame: Some(frame) });
        }
        node
    }

    /// The node where a stack ends, whose frames come the outermost first.
    pub fn node(&mut self, stack: impl IntoIterator<Item = F>) -> u32 {
        stack.into_iter().fold(ROOT, |parent, frame| self.child(parent, frame))
    }
}

/// By node, its own value and those of all that it calls.
pub fn totals<F>(nodes: &[Node<F>], own: &[u64]) -> Vec<u64> {
    let mut totals = own.to_vec();
    for n in (1..nodes.len()).rev() {
        totals[nodes[n].parent as usize] += totals[n];
    }
    totals
}

/// Whether each node is among the `most` with the largest totals. None is without its parent.
pub fn largest_nodes<F>(nodes: &[Node<F>], own: &[u64], most: usize) -> Vec<bool> {
    let totals = totals(nodes, own);
    let mut order: Vec<usize> = (1..nodes.len()).filter(|node| totals[*node] > 0).collect();
    // A node is at most as large as its parent, which comes first.
    order.sort_by_key(|node| std::cmp::Reverse(totals[*node]));
    let mut are_kept = vec![false; nodes.len()];
    are_kept[ROOT as usize] = true;
    for node in order.into_iter().take(most) {
        are_kept[node] = true;
    }
    are_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_share_their_outer_frames() {
        let mut tree = Tree::default();
        let ends = ["ab", "abc", "ad", "", "ab"].map(|stack| tree.node(stack.chars()));
        assert_eq!(ends, [2, 3, 4, 0, 2]);
        assert_eq!(totals(tree.nodes(), &[1, 0, 2, 3, 5]), [11, 10, 5, 3, 5]);
    }
}
