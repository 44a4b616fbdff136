//! One tree of all that ran in a range, or in each of two.

use std::collections::HashMap;
use std::sync::Arc;

use super::function::{Function, OTHER, PROCESS, Stacks, Who};
use super::numbered::Numbered;
use super::table::{Count, Table};
use super::tree::{Node, ROOT, Tree, largest_nodes};

/// Entries of each list of whose code it was.
const MAX_LISTED: usize = 100;

/// Whose stacks to look at; all by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub process: Option<String>,
    pub thread: Option<String>,
    /// A cgroup's path, with those below it.
    pub cgroup: Option<String>,
    pub pid: Option<u32>,
}

impl Filter {
    fn admits(&self, who: &Who) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        let is_below = |group: &str| {
            who.cgroup
                .strip_prefix(group.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is(&self.process, &who.process)
            && is(&self.thread, &who.thread)
            && self.cgroup.as_deref().is_none_or(is_below)
            && self.pid.is_none_or(|pid| pid == who.pid)
    }
}

/// One of two ranges that are compared; the first where there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Current = 0,
    Comparison = 1,
}

/// What one name adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Arc<str>,
    pub count: Count,
    pub stacks: Stacks,
}

#[derive(Debug, Default)]
struct Listing(HashMap<Arc<str>, (Count, Stacks)>);

impl Listing {
    fn add(&mut self, name: &Arc<str>, count: Count, stacks: &Stacks) {
        let entry = self.0.entry(Arc::clone(name)).or_default();
        entry.0.add(count);
        entry.1.add(stacks);
    }

    /// Largest first.
    fn finish(self) -> Vec<Listed> {
        let mut all: Vec<Listed> =
            self.0.into_iter().map(|(name, (count, stacks))| Listed { name, count, stacks }).collect();
        all.sort_by(|a, b| b.count.value.cmp(&a.count.value).then_with(|| a.name.cmp(&b.name)));
        all.truncate(MAX_LISTED);
        all
    }
}

/// Adds up tables.
#[derive(Debug, Default)]
pub struct Adding {
    functions: Numbered<Function>,
    tree: Tree<u32>,
    own: Vec<[Count; 2]>,
    processes: Listing,
    threads: Listing,
    cgroups: Listing,
    stacks: Stacks,
    lost: u64,
    /// Of the squares of single samples' values.
    squares: [f64; 2],
}

/// Both ranges in one tree.
#[derive(Debug)]
pub struct Flame {
    pub functions: Vec<Function>,
    /// The root first; those below it are processes.
    pub nodes: Vec<Node<u32>>,
    /// By node and side, what ended there.
    pub own: Vec<[Count; 2]>,
    pub processes: Vec<Listed>,
    pub threads: Vec<Listed>,
    pub cgroups: Vec<Listed>,
    pub stacks: Stacks,
    pub lost: u64,
    /// By side, how many samples of equal size tell as much.
    pub effective: [f64; 2],
}

impl Adding {
    /// Adds what a table has of `from..to`.
    pub fn add(&mut self, side: Side, table: &Table, filter: &Filter, (from, to): (i64, i64)) {
        let functions: Vec<u32> =
            table.functions.iter().map(|function| self.functions.number(function)).collect();
        let admitted: Vec<bool> = table.who.iter().map(|who| filter.admits(who)).collect();
        let mut here = Here { of: u32::MAX, nodes: vec![u32::MAX; table.nodes.len()], known: Vec::new() };
        let within = |time: i64| from <= time && time < to;
        for row in table.rows.iter().filter(|row| admitted[row.who as usize] && within(row.time)) {
            let who = &table.who[row.who as usize];
            let process =
                self.functions.number(&Function { name: Arc::clone(&who.process), module: PROCESS.into() });
            let root = self.tree.child(ROOT, process);
            here.below(root);
            let node = here.node(row.node, table, &functions, &mut self.tree);
            self.own.resize(self.tree.nodes().len(), [Count::default(); 2]);
            self.own[node as usize][side as usize].add(row.count);
            let each = row.count.value as f64 / row.count.samples.max(1) as f64;
            self.squares[side as usize] += each * each * row.count.samples as f64;
            self.list(side, who, row.count, &Stacks::default());
        }
        for row in table.stacks.iter().filter(|row| admitted[row.who as usize] && within(row.time)) {
            self.list(side, &table.who[row.who as usize], Count::default(), &row.stacks);
            if side == Side::Current {
                self.stacks.add(&row.stacks);
            }
        }
        if side == Side::Current {
            self.lost +=
                table.lost.iter().filter(|(time, _)| within(*time)).map(|(_, lost)| lost).sum::<u64>();
        }
    }

    fn list(&mut self, side: Side, who: &Who, count: Count, stacks: &Stacks) {
        if side == Side::Current {
            self.processes.add(&who.process, count, stacks);
            self.threads.add(&who.thread, count, stacks);
            self.cgroups.add(&who.cgroup, count, stacks);
        }
    }

    /// The tree, of which the `most` largest nodes stay apart.
    pub fn finish(mut self, most: usize) -> Flame {
        self.own.resize(self.tree.nodes().len(), [Count::default(); 2]);
        let total = |side: usize| self.own.iter().map(|own| own[side].value).sum::<u64>();
        let totals = [total(0), total(1)];
        let effective = [0, 1].map(|side| {
            let total = totals[side] as f64;
            if self.squares[side] > 0.0 { total * total / self.squares[side] } else { 0.0 }
        });
        if self.tree.nodes().len() > most {
            self.shrink(most, totals);
        }
        Flame {
            functions: self.functions.things(),
            nodes: self.tree.nodes().to_vec(),
            own: self.own,
            processes: self.processes.finish(),
            threads: self.threads.finish(),
            cgroups: self.cgroups.finish(),
            stacks: self.stacks,
            lost: self.lost,
            effective,
        }
    }

    fn shrink(&mut self, most: usize, totals: [u64; 2]) {
        // By share, so that a short range is not lost beside a long one.
        let weight = |own: &[Count; 2]| {
            let share = |side: usize| (u128::from(own[side].value) << 40) / u128::from(totals[side].max(1));
            u64::try_from(share(0) + share(1)).unwrap_or(u64::MAX >> 1)
        };
        let weights: Vec<u64> = self.own.iter().map(weight).collect();
        let are_kept = largest_nodes(self.tree.nodes(), &weights, most);
        let other = self.functions.number(&Function::new(OTHER, ""));
        let mut tree = Tree::default();
        let mut own: Vec<[Count; 2]> = Vec::new();
        // Where each node went: itself, or the rest of the nearest that was kept.
        let mut here: Vec<(u32, bool)> = Vec::with_capacity(are_kept.len());
        for (n, node) in self.tree.nodes().iter().enumerate() {
            let (parent, parent_is_kept) = here.get(node.parent as usize).copied().unwrap_or((ROOT, true));
            let place = match node.frame {
                None => (ROOT, true),
                Some(frame) if are_kept[n] => (tree.child(parent, frame), true),
                Some(_) if parent_is_kept => (tree.child(parent, other), false),
                Some(_) => (parent, false),
            };
            own.resize(tree.nodes().len(), [Count::default(); 2]);
            for side in [0, 1] {
                own[place.0 as usize][side].add(self.own[n][side]);
            }
            here.push(place);
        }
        (self.tree, self.own) = (tree, own);
    }
}

/// Where a table's nodes are in the tree, below one process.
struct Here {
    of: u32,
    nodes: Vec<u32>,
    /// Those of `nodes` that are known.
    known: Vec<u32>,
}

impl Here {
    fn below(&mut self, process: u32) {
        if self.of != process {
            for node in self.known.drain(..) {
                self.nodes[node as usize] = u32::MAX;
            }
            self.of = process;
        }
    }

    fn node(&mut self, node: u32, table: &Table, functions: &[u32], tree: &mut Tree<u32>) -> u32 {
        let mut path = Vec::new();
        let mut at = node;
        let mut place = loop {
            if at == ROOT {
                break self.of;
            }
            let known = self.nodes[at as usize];
            if known != u32::MAX {
                break known;
            }
            path.push(at);
            at = table.nodes[at as usize].parent;
        };
        for at in path.into_iter().rev() {
            let function = table.nodes[at as usize].frame.unwrap_or_default();
            place = tree.child(place, functions[function as usize]);
            self.nodes[at as usize] = place;
            self.known.push(at);
        }
        place
    }
}

impl Flame {
    /// All samples of a side.
    pub fn total(&self, side: Side) -> Count {
        self.own.iter().fold(Count::default(), |mut sum, own| {
            sum.add(own[side as usize]);
            sum
        })
    }

    /// By node, what it and all that it calls add up to, ns.
    pub fn totals(&self, side: Side) -> Vec<u64> {
        let own: Vec<u64> = self.own.iter().map(|own| own[side as usize].value).collect();
        super::tree::totals(&self.nodes, &own)
    }

    /// Folded stacks, a line each, as flame graph tools read them: with the number of samples, or of µs.
    pub fn folded(&self, value: impl Fn(Count) -> u64) -> String {
        use std::fmt::Write as _;
        let mut stacks: Vec<String> = Vec::with_capacity(self.nodes.len());
        let mut lines = Vec::new();
        for (node, own) in self.nodes.iter().zip(&self.own) {
            let stack = match node.frame.map(|function| &self.functions[function as usize]) {
                Some(function) => match stacks[node.parent as usize].as_str() {
                    "" => function.folded(),
                    outer => format!("{outer};{}", function.folded()),
                },
                None => String::new(),
            };
            let value = value(own[0]);
            if value > 0 {
                lines.push((stack.clone(), value));
            }
            stacks.push(stack);
        }
        lines.sort_unstable();
        let mut text = String::new();
        for (stack, value) in lines {
            let _ = writeln!(text, "{stack} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::builder::Builder;
    use crate::profiles::testing::{count, functions, who};

    fn table() -> Table {
        let mut builder = Builder::default();
        builder.add(0, &who("p", 1), &functions("ab"), count(1));
        builder.add(0, &who("p", 2), &functions("ab"), count(2));
        builder.add(60, &who("q", 3), &functions("ab"), count(4));
        builder.add(60, &Who { thread: "t".into(), ..who("q", 3) }, &functions("ac"), count(8));
        builder.table()
    }

    fn folded(filter: &Filter, span: (i64, i64)) -> String {
        let mut adding = Adding::default();
        adding.add(Side::Current, &table(), filter, span);
        adding.finish(1000).folded(|count| count.samples)
    }

    #[test]
    fn filters_choose_whose_stacks_are_shown() {
        let all = (0, 120);
        assert_eq!(folded(&Filter::default(), all), "p;a;b 3\nq;a;b 4\nq;a;c 8\n");
        assert_eq!(folded(&Filter::default(), (0, 60)), "p;a;b 3\n");
        let of = |filter: Filter| folded(&filter, all);
        assert_eq!(of(Filter { pid: Some(2), ..Filter::default() }), "p;a;b 2\n");
        assert_eq!(of(Filter { process: Some("p".into()), ..Filter::default() }), "p;a;b 3\n");
        assert_eq!(of(Filter { thread: Some("t".into()), ..Filter::default() }), "q;a;c 8\n");
        let group = |path: &str| of(Filter { cgroup: Some(path.into()), ..Filter::default() });
        assert_eq!(group("/a.slice"), of(Filter::default()));
        assert_eq!(group("/"), of(Filter::default()));
        assert_eq!(group("/a.sli"), "");
    }

    #[test]
    fn small_stacks_are_added_up_where_they_begin() {
        let mut builder = Builder::default();
        builder.add(0, &who("p", 1), &functions("ab"), count(100));
        for letter in 'c'..'z' {
            builder.add(0, &who("p", 1), &functions(&format!("a{letter}x")), count(1));
        }
        let mut adding = Adding::default();
        adding.add(Side::Current, &builder.table(), &Filter::default(), (0, 1));
        let flame = adding.finish(3);
        assert_eq!(flame.folded(|count| count.samples), "p;a;[other] 23\np;a;b 100\n");
    }
}
