//! How a document's values are arranged: in tables, derived from the dictionary's paths.
//!
//! The document itself is a table with one row. Each list or map in it is a table with a row for each item, whose key
//! is its labels; the item's fields are the table's columns. A list or map inside an item is also a table, whose rows'
//! keys have the labels of both.

use std::sync::OnceLock;

use super::MetricType;
use super::dictionary::{self, Field, Kind, Step};
use super::latency::Statistic;
use super::value::Label;

/// The layout of one metric type.
#[derive(Debug)]
pub struct Layout {
    pub root: Node,
    pub tables: Vec<TableLayout>,
    /// Where the dictionary's fields are, in dictionary order.
    pub places: Vec<Place>,
}

#[derive(Debug)]
pub struct TableLayout {
    /// Dotted, without labels; empty for the document itself.
    pub path: String,
    /// The enclosing table, and this table's name within it.
    pub parent: usize,
    pub name: String,
    pub form: Form,
    /// The names of the labels, the enclosing table's first.
    pub labels: Vec<&'static str>,
    /// In a list of objects, the members that are labels.
    pub label_fields: Vec<&'static str>,
    /// Number of labels inherited from the enclosing table.
    pub inherited: usize,
    pub columns: Vec<ColumnLayout>,
}

#[derive(Debug)]
pub struct ColumnLayout {
    /// Dotted, within the row; empty if the row is a single value.
    pub name: String,
    pub kind: Kind,
    /// `None` if it only records whether an object, list or map is present.
    pub field: Option<&'static Field>,
    /// The statistic of a histogram in the same row that this is; it can be recomputed and need not be stored.
    pub derived: Option<Derived>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    /// The histogram's column.
    pub histogram: usize,
    pub statistic: Statistic,
}

/// A part of a document.
#[derive(Debug, Clone)]
pub enum Node {
    Leaf {
        column: usize,
    },
    /// A member that is the label with this index.
    Label {
        index: usize,
    },
    /// The document itself and the items of a list are always present and have no gate.
    Object {
        gate: Option<usize>,
        members: Vec<Member>,
    },
    /// A list of fixed length, with a meaning for each position.
    Fixed {
        gate: usize,
        items: Vec<Self>,
    },
    Table {
        gate: usize,
        table: usize,
        form: Form,
        row: Box<Self>,
    },
}

/// How a member starts in JSON: `"name":`. A name of usual length is copied with what is behind
/// it, since a copy of fixed length takes no call.
#[derive(Debug, Clone)]
pub(super) struct MemberStart {
    text: [u8; 32],
    /// Above 32 for a longer name.
    length: usize,
}

impl MemberStart {
    fn new(name: &'static str) -> Self {
        let whole = format!("\"{name}\":");
        let mut text = [0; 32];
        let copied = whole.len().min(text.len());
        text[..copied].copy_from_slice(&whole.as_bytes()[..copied]);
        Self { text, length: whole.len() }
    }

    #[inline]
    pub fn write(&self, name: &str, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.text);
        if self.length <= self.text.len() {
            out.truncate(start + self.length);
        } else {
            out.extend_from_slice(&name.as_bytes()[self.text.len() - 1..]);
            out.extend_from_slice(b"\":");
        }
    }
}

/// A member of an object.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: &'static str,
    /// How it starts in JSON.
    pub(super) start: MemberStart,
    pub node: Node,
}

impl Member {
    fn new(name: &'static str, node: Node) -> Self {
        Self { name, start: MemberStart::new(name), node }
    }

    /// The same member with less in it.
    pub(super) fn with(&self, node: Node) -> Self {
        Self { name: self.name, start: self.start.clone(), node }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Objects that contain their labels.
    List,
    /// Values identified by their position.
    Positions,
    Map,
}

/// Where a field of the dictionary is.
#[derive(Debug)]
pub struct Place {
    pub field: &'static Field,
    pub table: usize,
    /// `None` for a field that is a label.
    pub column: Option<usize>,
    /// Value of the table's last label: only this one, or all but this one.
    pub only: Option<&'static str>,
    pub except: Option<&'static str>,
}

impl Place {
    /// Whether a row with this key is included.
    pub fn has(&self, key: &[Label]) -> bool {
        if self.only.is_none() && self.except.is_none() {
            return true;
        }
        let Some(Label::Text(name)) = key.last() else { return false };
        self.only.is_none_or(|only| **name == *only) && self.except.is_none_or(|except| **name != *except)
    }
}

impl Layout {
    pub fn of(metric_type: MetricType) -> &'static Self {
        static ALL: OnceLock<Vec<Layout>> = OnceLock::new();
        let all = ALL.get_or_init(|| MetricType::ALL.into_iter().map(Self::build).collect());
        &all[metric_type as usize]
    }

    fn build(metric_type: MetricType) -> Self {
        let document = TableLayout {
            path: String::new(),
            parent: 0,
            name: String::new(),
            form: Form::Map,
            labels: Vec::new(),
            label_fields: Vec::new(),
            inherited: 0,
            columns: Vec::new(),
        };
        let mut tables = vec![document];
        let mut root = Node::Object { gate: None, members: Vec::new() };
        let mut places = Vec::new();
        for field in dictionary::fields(metric_type) {
            // A test of the dictionary parses every path.
            let Some(path) = dictionary::Path::parse(field.path) else { continue };
            let mut builder = Builder { tables: &mut tables, field, table: 0, only: None, except: None };
            let column = builder.insert(&mut root, path.steps(), "", "");
            let Builder { table, only, except, .. } = builder;
            places.push(Place { field, table, column, only, except });
        }
        for table in &mut tables {
            table.find_derived();
            // Members that the dictionary does not describe are kept as text.
            table.columns.push(ColumnLayout {
                name: EXTRA.into(),
                kind: Kind::Text,
                field: None,
                derived: None,
            });
        }
        Self { root, tables, places }
    }

    /// The name of a field as in a query's `fields`: dotted, with the labels of rows.
    pub fn full_name(&self, table: usize, key: &[Label], column: &str) -> String {
        let mut name = String::new();
        self.push_thing(table, key, &mut name);
        if !column.is_empty() {
            push_dotted(&mut name, column);
        }
        name
    }

    fn push_thing(&self, table: usize, key: &[Label], name: &mut String) {
        if table == 0 {
            return;
        }
        let of = &self.tables[table];
        self.push_thing(of.parent, &key[..of.inherited], name);
        push_dotted(name, &of.name);
        for label in &key[of.inherited..] {
            push_dotted(name, &label.to_string());
        }
    }

    /// The column of a table with what the dictionary does not describe, as the inside of a JSON object.
    pub fn extra(&self, table: usize) -> usize {
        self.tables[table].columns.len() - 1
    }
}

impl TableLayout {
    fn find_derived(&mut self) {
        const HISTOGRAM: &str = "histogram";
        for histogram in 0..self.columns.len() {
            let column = &self.columns[histogram];
            let Some(beside) = column.name.strip_suffix(HISTOGRAM).map(str::to_owned) else { continue };
            for statistic in Statistic::ALL {
                let name = format!("{beside}{}", statistic.name());
                if let Some(column) = self.columns.iter_mut().find(|column| column.name == name) {
                    column.derived = Some(Derived { histogram, statistic });
                }
            }
        }
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// The name of the column for undescribed members.
const EXTRA: &str = "*";

struct Builder<'a> {
    tables: &'a mut Vec<TableLayout>,
    field: &'static Field,
    table: usize,
    only: Option<&'static str>,
    except: Option<&'static str>,
}

impl Builder<'_> {
    /// Adds the field below `node`; `within` is the name so far within the row, `path` that of the table.
    fn insert(&mut self, node: &mut Node, steps: &[Step], within: &str, path: &str) -> Option<usize> {
        match (node, steps) {
            (Node::Leaf { column }, []) => Some(*column),
            (Node::Label { .. }, _) => None,
            (Node::Object { members, .. }, [Step::Name(name), rest @ ..]) => {
                let within = joined(within, name);
                let path = joined(path, name);
                let at = match members.iter().position(|member| member.name == *name) {
                    Some(at) => at,
                    None => {
                        let node = self.new_node(rest, &within, &path);
                        members.push(Member::new(name, node));
                        members.len() - 1
                    }
                };
                self.insert(&mut members[at].node, rest, &within, &path)
            }
            (Node::Fixed { items, .. }, [Step::At(at), rest @ ..]) => {
                let within = joined(within, &at.to_string());
                if *at == items.len() {
                    let node = self.new_node(rest, &within, path);
                    items.push(node);
                }
                self.insert(items.get_mut(*at)?, rest, &within, path)
            }
            (Node::Table { table, row, .. }, [step, rest @ ..]) => {
                self.table = *table;
                match step {
                    // One entry of a map, by name.
                    Step::Name(name) => self.only = Some(name),
                    Step::EachKey { except, .. } => self.except = *except,
                    _ => {}
                }
                self.insert(row, rest, "", path)
            }
            _ => None,
        }
    }

    /// Creates the part of a document that `steps` lead into.
    fn new_node(&mut self, steps: &[Step], within: &str, path: &str) -> Node {
        match steps {
            [] => self.leaf(within),
            [Step::Name(_), ..] => Node::Object { gate: Some(self.gate(within)), members: Vec::new() },
            [Step::At(_), ..] => Node::Fixed { gate: self.gate(within), items: Vec::new() },
            [step, rest @ ..] => {
                // A list that is kept as a single value.
                if matches!(step, Step::EachPlace("n")) {
                    return self.leaf(within);
                }
                let gate = self.gate(within);
                let enclosing = &self.tables[self.table];
                let inherited = enclosing.labels.len();
                let mut labels = enclosing.labels.clone();
                labels.extend(step.labels());
                let table = self.tables.len();
                let form = match step {
                    Step::EachPlace(_) => Form::Positions,
                    Step::EachObject(_) => Form::List,
                    _ => Form::Map,
                };
                self.tables.push(TableLayout {
                    path: path.to_owned(),
                    parent: self.table,
                    name: within.to_owned(),
                    form,
                    labels,
                    label_fields: match step {
                        Step::EachObject(labels) => labels.iter().map(|(_, field)| *field).collect(),
                        _ => Vec::new(),
                    },
                    inherited,
                    columns: Vec::new(),
                });
                let outer = std::mem::replace(&mut self.table, table);
                let row = match (step, rest) {
                    (Step::EachObject(labels), _) => {
                        let label = |(at, (_, field)): (usize, &(&'static str, &'static str))| {
                            Member::new(field, Node::Label { index: inherited + at })
                        };
                        Node::Object { gate: None, members: labels.iter().enumerate().map(label).collect() }
                    }
                    (_, []) => self.leaf(""),
                    (_, _) => Node::Object { gate: None, members: Vec::new() },
                };
                self.table = outer;
                Node::Table { gate, table, form, row: Box::new(row) }
            }
        }
    }

    fn leaf(&mut self, within: &str) -> Node {
        self.column(ColumnLayout {
            name: within.to_owned(),
            kind: self.field.kind,
            field: Some(self.field),
            derived: None,
        })
    }

    fn column(&mut self, column: ColumnLayout) -> Node {
        let columns = &mut self.tables[self.table].columns;
        columns.push(column);
        Node::Leaf { column: columns.len() - 1 }
    }

    fn gate(&mut self, within: &str) -> usize {
        let columns = &mut self.tables[self.table].columns;
        columns.push(ColumnLayout {
            name: format!("{within}?"),
            kind: Kind::Gate,
            field: None,
            derived: None,
        });
        columns.len() - 1
    }
}

fn push_dotted(name: &mut String, part: &str) {
    if !name.is_empty() {
        name.push('.');
    }
    name.push_str(part);
}

/// Joins a path and a name; either may be empty.
pub fn joined(path: &str, name: &str) -> String {
    match (path, name) {
        ("", only) | (only, "") => only.to_owned(),
        (path, name) => format!("{path}.{name}"),
    }
}
