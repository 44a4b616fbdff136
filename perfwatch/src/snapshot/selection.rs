//! Which fields of a document to return: all of them, or those that a query names.

use std::sync::OnceLock;

use super::MetricType;
use super::dictionary::Kind;
use super::layout::{Layout, Node, TableLayout, joined};
use super::value::Label;

/// The fields of a document to write.
#[derive(Debug, Clone)]
pub struct Selection {
    fields: Vec<String>,
    /// By table and column.
    columns: Vec<Vec<Chosen>>,
    /// The parts of the document that contain selected fields; `None` for all.
    root: Option<Node>,
    /// Gates on the way to selected fields, by table and column.
    on_the_way: Vec<(usize, usize)>,
    pub(super) numbers_only: bool,
    /// Some columns are chosen for some rows only.
    pub(super) by_name: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    No,
    Yes,
    /// For some rows of the table.
    ByName,
}

impl Selection {
    /// The whole document.
    pub fn all(metric_type: MetricType) -> &'static Self {
        static ALL: OnceLock<Vec<Selection>> = OnceLock::new();
        let all = ALL.get_or_init(|| MetricType::ALL.map(|of| Self::of(Layout::of(of), &[])).into());
        &all[metric_type as usize]
    }

    /// `a,b.c` is the member `a` with everything in it, and the member `c` of `b`; items of lists and maps may be named
    /// or left out (`interfaces.eth0.bytes_recv`, `interfaces.bytes_recv`). An empty list selects everything.
    pub fn of(layout: &Layout, fields: &[String]) -> Self {
        let chosen = |table: usize, column: &str| {
            if fields.is_empty() {
                return Chosen::Yes;
            }
            let of = &layout.tables[table];
            let plain = joined(&of.path, column);
            if fields.iter().any(|field| is_within(&plain, field)) {
                return Chosen::Yes;
            }
            // A name with labels starts with the path of the outermost table.
            let outermost = outermost(layout, table);
            let named = table != 0
                && fields
                    .iter()
                    .any(|field| field.strip_prefix(outermost).is_some_and(|rest| rest.starts_with('.')));
            if named { Chosen::ByName } else { Chosen::No }
        };
        let columns = layout.tables.iter().enumerate().map(|(table, of)| {
            of.columns.iter().map(|column| chosen(table, column.name.trim_end_matches('?'))).collect()
        });
        let mut selection = Self {
            columns: columns.collect(),
            fields: fields.to_vec(),
            root: None,
            on_the_way: Vec::new(),
            numbers_only: false,
            by_name: false,
        };
        if !fields.is_empty() {
            selection.root = selection.pruned(&layout.root, 0);
            if let Some(root) = &selection.root {
                gates(root, 0, &mut selection.on_the_way);
            }
            selection.by_name = selection.columns.iter().flatten().any(|chosen| *chosen == Chosen::ByName);
        }
        selection
    }

    /// A part of the document, without branches where nothing is selected.
    fn pruned(&self, node: &Node, table: usize) -> Option<Node> {
        // If a list or an object is missing, its `null` may be part of the answer.
        let may_be_null = |gate: usize| self.needs(table, gate) && !self.numbers_only;
        match node {
            Node::Leaf { column } => self.needs(table, *column).then(|| node.clone()),
            Node::Label { .. } => Some(node.clone()),
            Node::Object { gate, members } => {
                let members: Vec<_> = members
                    .iter()
                    .filter_map(|member| Some(member.with(self.pruned(&member.node, table)?)))
                    .collect();
                let some = members.iter().any(|member| !matches!(member.node, Node::Label { .. }));
                // The document itself is always present.
                let is_root = table == 0 && gate.is_none();
                (some || is_root || gate.is_some_and(may_be_null))
                    .then_some(Node::Object { gate: *gate, members })
            }
            Node::Fixed { gate, items } => {
                let some = items.iter().any(|item| self.pruned(item, table).is_some());
                (some || may_be_null(*gate)).then(|| node.clone())
            }
            Node::Table { gate, table: child, form, row } => match self.pruned(row, *child) {
                Some(row) => Some(Node::Table { gate: *gate, table: *child, form: *form, row: row.into() }),
                None => may_be_null(*gate).then(|| node.clone()),
            },
        }
    }

    /// Whether a column has to be read to answer: it is selected, a selected one is derived from it, or it tells whether
    /// the object or list that contains a selected one is there.
    pub fn reads(&self, layout: &TableLayout, table: usize, column: usize) -> bool {
        self.needs(table, column)
            || self.on_the_way.contains(&(table, column))
            || layout.columns.iter().enumerate().any(|(other, of)| {
                of.derived.is_some_and(|derived| derived.histogram == column) && self.needs(table, other)
            })
    }

    pub(super) fn root<'a>(&'a self, layout: &'a Layout) -> &'a Node {
        self.root.as_ref().unwrap_or(&layout.root)
    }

    /// Keeps only values that have min and max.
    #[must_use]
    pub fn numbers(&self, layout: &Layout) -> Self {
        let mut numbers = self.clone();
        numbers.numbers_only = true;
        for (chosen, table) in numbers.columns.iter_mut().zip(&layout.tables) {
            for (chosen, column) in chosen.iter_mut().zip(&table.columns) {
                if !matches!(column.kind, Kind::Gauge | Kind::Counter | Kind::Interval | Kind::Gate) {
                    *chosen = Chosen::No;
                }
            }
        }
        numbers.root = numbers.pruned(&layout.root, 0);
        numbers
    }

    pub fn is_all(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_all() && !self.numbers_only
    }

    /// Whether a column is needed to answer.
    #[inline]
    pub fn needs(&self, table: usize, column: usize) -> bool {
        self.columns[table][column] != Chosen::No
    }

    /// Whether a field of a row is selected.
    pub fn has(&self, layout: &Layout, table: usize, key: &[Label], column: usize) -> bool {
        match self.columns[table][column] {
            Chosen::No => false,
            Chosen::Yes => true,
            Chosen::ByName => {
                let name = layout.full_name(table, key, &layout.tables[table].columns[column].name);
                self.fields.iter().any(|field| is_within(name.trim_end_matches('?'), field))
            }
        }
    }
}

/// Collects the gates of a part of the document.
fn gates(node: &Node, table: usize, out: &mut Vec<(usize, usize)>) {
    match node {
        Node::Leaf { .. } | Node::Label { .. } => {}
        Node::Object { gate, members } => {
            out.extend(gate.map(|gate| (table, gate)));
            members.iter().for_each(|member| gates(&member.node, table, out));
        }
        Node::Fixed { gate, items } => {
            out.push((table, *gate));
            items.iter().for_each(|item| gates(item, table, out));
        }
        Node::Table { gate, table: child, row, .. } => {
            out.push((table, *gate));
            gates(row, *child, out);
        }
    }
}

fn outermost(layout: &Layout, table: usize) -> &str {
    let of = &layout.tables[table];
    if of.parent == 0 { &of.path } else { outermost(layout, of.parent) }
}

fn is_within(name: &str, field: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
