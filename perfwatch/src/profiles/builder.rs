//! Adding up stacks of one kind, from samples or from what is stored.

use std::collections::HashMap;
use std::hash::Hash;

use super::function::{Function, OTHER, Stacks, Who};
use super::numbered::Numbered;
use super::table::{Count, Row, StackRow, Table};
use super::tree::{ROOT, Tree, largest_nodes};

/// How much a stored table may hold; the smallest stacks beyond are added up.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub nodes: usize,
    pub who: usize,
    /// Whether processes of one name are kept apart.
    pub pids: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Builder {
    functions: Numbered<Function>,
    who: Numbered<Who>,
    tree: Tree<u32>,
    rows: HashMap<(u32, u32, i64), Count>,
    stacks: HashMap<(u32, i64), Stacks>,
    lost: HashMap<i64, u64>,
}

impl Builder {
    pub fn nodes(&self) -> usize {
        self.tree.nodes().len()
    }

    /// Processes, threads and cgroups.
    pub fn who(&self) -> usize {
        self.who.len()
    }

    /// Counts a stack, its outermost function first, in the bucket that begins at `time` (µs).
    pub fn add<'f>(
        &mut self,
        time: i64,
        who: &Who,
        stack: impl IntoIterator<Item = &'f Function>,
        count: Count,
    ) {
        let who = self.who.number(who);
        let functions = &mut self.functions;
        let node = self.tree.node(stack.into_iter().map(|function| functions.number(function)));
        self.rows.entry((who, node, time)).or_default().add(count);
    }

    /// Counts the stacks of a tree, of which each node has what ends there, in the bucket that begins at `time` (µs).
    /// `functions` says what stands at a frame, the outermost first.
    pub fn add_tree<'f, F: Copy + Eq + Hash>(
        &mut self,
        time: i64,
        who: &Who,
        tree: &Tree<F>,
        own: &[Count],
        functions: impl Fn(F) -> &'f [Function],
    ) {
        let who = self.who.number(who);
        let mut nodes: Vec<u32> = Vec::with_capacity(tree.nodes().len());
        for (node, own) in tree.nodes().iter().zip(own) {
            let here = node.frame.map_or(ROOT, |frame| {
                functions(frame).iter().fold(nodes[node.parent as usize], |parent, function| {
                    self.tree.child(parent, self.functions.number(function))
                })
            });
            nodes.push(here);
            if *own != Count::default() {
                self.rows.entry((who, here, time)).or_default().add(*own);
            }
        }
    }

    pub fn add_stacks(&mut self, time: i64, who: &Who, stacks: &Stacks) {
        let who = self.who.number(who);
        self.stacks.entry((who, time)).or_default().add(stacks);
    }

    /// Notes samples that were lost.
    pub fn add_lost(&mut self, time: i64, lost: u64) {
        if lost > 0 {
            *self.lost.entry(time).or_default() += lost;
        }
    }

    /// Adds a table; `who` says under which name something counts, `time` in which bucket.
    pub fn merge(&mut self, table: &Table, who: impl Fn(&Who) -> Who, time: impl Fn(i64) -> i64) {
        let functions: Vec<u32> =
            table.functions.iter().map(|function| self.functions.number(function)).collect();
        let whose: Vec<u32> = table.who.iter().map(|one| self.who.number(&who(one))).collect();
        let mut nodes: Vec<u32> = Vec::with_capacity(table.nodes.len());
        for node in &table.nodes {
            let here = match node.frame {
                Some(function) => self.tree.child(nodes[node.parent as usize], functions[function as usize]),
                None => ROOT,
            };
            nodes.push(here);
        }
        for row in &table.rows {
            let key = (whose[row.who as usize], nodes[row.node as usize], time(row.time));
            self.rows.entry(key).or_default().add(row.count);
        }
        for row in &table.stacks {
            self.stacks.entry((whose[row.who as usize], time(row.time))).or_default().add(&row.stacks);
        }
        for (at, lost) in &table.lost {
            *self.lost.entry(time(*at)).or_default() += lost;
        }
    }

    /// What was added, in order.
    pub fn table(&self) -> Table {
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .map(|((who, node, time), count)| Row { who: *who, node: *node, time: *time, count: *count })
            .collect();
        rows.sort_unstable_by_key(|row| (row.who, row.node, row.time));
        let mut stacks: Vec<StackRow> = self
            .stacks
            .iter()
            .map(|((who, time), stacks)| StackRow { who: *who, time: *time, stacks: *stacks })
            .collect();
        stacks.sort_unstable_by_key(|row| (row.who, row.time));
        let mut lost: Vec<(i64, u64)> = self.lost.iter().map(|(time, lost)| (*time, *lost)).collect();
        lost.sort_unstable();
        Table {
            functions: self.functions.things(),
            nodes: self.tree.nodes().to_vec(),
            who: self.who.things(),
            rows,
            stacks,
            lost,
        }
    }
}

/// A table within bounds: the same sums, with the smallest stacks and the least busy processes added up.
pub fn bounded(table: &Table, bounds: Bounds) -> Table {
    let kept = Kept::of(table, bounds);
    let mut builder = Builder::default();
    let other = Function::new(OTHER, "");
    let who: Vec<u32> = kept.who.iter().map(|who| builder.who.number(who)).collect();
    // Where each node is now, or that of its nearest parent that stays apart.
    let mut nodes: Vec<u32> = Vec::with_capacity(table.nodes.len());
    for (node, is_kept) in table.nodes.iter().zip(&kept.nodes) {
        let parent = nodes.get(node.parent as usize).copied().unwrap_or(ROOT);
        let function = node.frame.filter(|_| *is_kept).and_then(|frame| table.functions.get(frame as usize));
        nodes.push(match function {
            Some(function) => builder.tree.child(parent, builder.functions.number(function)),
            None => parent,
        });
    }
    for row in &table.rows {
        let mut node = nodes[row.node as usize];
        if !kept.nodes[row.node as usize] {
            node = builder.tree.child(node, builder.functions.number(&other));
        }
        builder.rows.entry((who[row.who as usize], node, row.time)).or_default().add(row.count);
    }
    for row in &table.stacks {
        builder.add_stacks(row.time, &kept.who[row.who as usize], &row.stacks);
    }
    for (time, lost) in &table.lost {
        builder.add_lost(*time, *lost);
    }
    builder.table()
}

/// What remains apart.
struct Kept {
    nodes: Vec<bool>,
    who: Vec<Who>,
}

impl Kept {
    fn of(table: &Table, bounds: Bounds) -> Self {
        let mut own = vec![0; table.nodes.len()];
        let mut whose: HashMap<Who, u64> = HashMap::new();
        let without_pid = |who: &Who| Who { pid: 0, ..who.clone() };
        let first = |who: &Who| if bounds.pids { who.clone() } else { without_pid(who) };
        for row in &table.rows {
            own[row.node as usize] += row.count.value;
            *whose.entry(first(&table.who[row.who as usize])).or_default() += row.count.value;
        }
        let nodes = largest_nodes(&table.nodes, &own, bounds.nodes);
        // Processes first lose their pids, then their threads and cgroups, then their names.
        let apart = largest(&whose, bounds.who / 2);
        let mut merged: HashMap<Who, u64> = HashMap::new();
        for (who, value) in whose.iter().filter(|(who, _)| !apart.contains(*who)) {
            *merged.entry(without_pid(who)).or_default() += value;
        }
        let named = largest(&merged, bounds.who / 2);
        let other = Who { process: OTHER.into(), thread: OTHER.into(), cgroup: "".into(), pid: 0 };
        let who = table.who.iter().map(|who| {
            let (apart_as, named_as) = (first(who), without_pid(who));
            if apart.contains(&apart_as) {
                apart_as
            } else if named.contains(&named_as) {
                named_as
            } else {
                other.clone()
            }
        });
        let who = who.collect();
        Self { nodes, who }
    }
}

fn largest(values: &HashMap<Who, u64>, most: usize) -> std::collections::HashSet<Who> {
    let mut order: Vec<(&Who, &u64)> = values.iter().collect();
    order.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
    order.into_iter().take(most).map(|(who, _)| who.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::testing::{count, functions, who};

    fn sum(table: &Table) -> u64 {
        table.rows.iter().map(|row| row.count.value).sum()
    }

    /// The stacks and their values, in order.
    fn names(table: &Table) -> Vec<(String, u64)> {
        let mut rows: Vec<(String, u64)> = table
            .rows
            .iter()
            .map(|row| {
                let mut names = Vec::new();
                let mut at = row.node;
                while let Some(function) = table.function(at) {
                    names.push(function.name.to_string());
                    at = table.nodes[at as usize].parent;
                }
                (names.concat(), row.count.value)
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn what_is_merged_is_as_if_all_had_been_added_to_one() {
        let mut both = Builder::default();
        let mut parts = [Builder::default(), Builder::default()];
        for (n, stack) in ["ab", "ac", "ab", "acd", "x"].into_iter().enumerate() {
            let stack = functions(stack);
            both.add(60, &who("p", 7), &stack, count(n as u64 + 1));
            parts[n % 2].add(60, &who("p", 7), &stack, count(n as u64 + 1));
        }
        let mut merged = Builder::default();
        parts.iter().for_each(|part| merged.merge(&part.table(), Who::clone, |time| time));
        assert_eq!(names(&merged.table()), names(&both.table()));
        assert_eq!(names(&both.table()).len(), 4);
    }

    #[test]
    fn a_tree_counts_as_its_stacks_do() {
        let (mut at_once, mut one_by_one) = (Builder::default(), Builder::default());
        let (mut tree, mut own) = (Tree::default(), Vec::new());
        // What has no name is left out.
        let named: HashMap<char, Vec<Function>> =
            "abc".chars().map(|frame| (frame, functions(&format!("{frame}{frame}")))).collect();
        let functions = |frame: char| named.get(&frame).map(Vec::as_slice).unwrap_or_default();
        for (n, stack) in ["ab", "a?c", "abc", "?", "ab"].into_iter().enumerate() {
            let node = tree.node(stack.chars()) as usize;
            own.resize(tree.nodes().len(), Count::default());
            own[node].add(count(n as u64 + 1));
            one_by_one.add(60, &who("p", 7), stack.chars().flat_map(functions), count(n as u64 + 1));
        }
        at_once.add_tree(60, &who("p", 7), &tree, &own, functions);
        assert_eq!(names(&at_once.table()), names(&one_by_one.table()));
        assert_eq!(names(&at_once.table()).len(), 4);
    }

    #[test]
    fn within_bounds_the_sums_are_the_same_and_the_largest_stay() {
        let mut builder = Builder::default();
        for n in 0..500u64 {
            let stack = functions(&format!("a{}", char::from_u32(0x4e00 + n as u32).unwrap()));
            builder.add(0, &who("many", n as u32 + 1), &stack, count(1));
            builder.add_stacks(0, &who("many", n as u32 + 1), &Stacks { complete: 1, ..Stacks::default() });
        }
        builder.add(0, &who("large", 9999), &functions("abc"), count(1000));
        let table = builder.table();
        let small = bounded(&table, Bounds { nodes: 10, who: 4, pids: true });
        assert_eq!(sum(&small), sum(&table));
        assert_eq!(small.stacks.iter().map(|row| row.stacks.complete).sum::<u64>(), 500);
        assert!(small.nodes.len() <= 12 && small.who.len() <= 5, "{small:?}");
        assert!(small.who.contains(&who("large", 9999)) && small.who.contains(&who("many", 0)));
        assert!(small.functions.contains(&Function::new(OTHER, "")));
    }
}
