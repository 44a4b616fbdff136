//! frontend/src/api/dictionary.ts: what the web page knows of fields and of the documents' form.

use std::collections::BTreeSet;
use std::fmt::Write;

use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::dictionary::{self, Field, Kind};
use perfwatch::snapshot::layout::{Form, Layout, Member, Node};
use serde_json::Value;

const FILE: &str = "frontend/src/api/dictionary.ts";

fn kind(field: &Field) -> &'static str {
    match field.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Interval => "interval",
        Kind::Histogram => "histogram",
        Kind::State => "state",
        Kind::Events => "events",
        Kind::Text | Kind::Gate => panic!("{} is no field", field.path),
    }
}

/// The shape of a document or of a part of it. Everything may be `null`, except names of things.
#[derive(Debug)]
enum Shape {
    Number,
    Text,
    Truth,
    Histogram,
    Event,
    /// With whether a member always has a value.
    Object(Vec<(&'static str, bool, Self)>),
    List(Box<Self>),
    Fixed(Vec<Self>),
    Map(Box<Self>),
}

/// States that are not text.
const TRUTHS: &[&str] = &["available", "hardware_available", "top[pid].exited"];
const NUMBERS: &[&str] = &["top[pid].uid"];
/// Labels that are numbers.
const NUMBERED: &[&str] = &["cpu", "pid"];
/// Things that need not have a name.
const NAMELESS: &[&str] = &["cgroups"];
/// What things have besides, always.
const SURE: &[&str] = &["top[pid].comm", "groups[cgroup].kind", "groups[cgroup].name"];

impl Shape {
    fn of(metric_type: MetricType) -> Self {
        let layout = Layout::of(metric_type);
        Self::node(layout, 0, &layout.root)
    }

    fn node(layout: &Layout, table: usize, node: &Node) -> Self {
        let of = &layout.tables[table];
        match node {
            Node::Leaf { column } => Self::leaf(of.columns[*column].field.unwrap()),
            Node::Label { index } if NUMBERED.contains(&of.labels[*index]) => Self::Number,
            Node::Label { .. } => Self::Text,
            Node::Object { members, .. } => {
                let member = |Member { name, node: inside, .. }: &Member| {
                    let is_sure = match inside {
                        Node::Label { .. } => !NAMELESS.contains(&&of.path[..]),
                        Node::Leaf { column } => {
                            of.columns[*column].field.is_some_and(|field| SURE.contains(&field.path))
                        }
                        _ => false,
                    };
                    (*name, is_sure, Self::node(layout, table, inside))
                };
                Self::Object(members.iter().map(member).collect())
            }
            Node::Fixed { items, .. } => {
                Self::Fixed(items.iter().map(|item| Self::node(layout, table, item)).collect())
            }
            Node::Table { table, form, row, .. } => {
                let row = Box::new(Self::node(layout, *table, row));
                if *form == Form::Map { Self::Map(row) } else { Self::List(row) }
            }
        }
    }

    fn leaf(field: &Field) -> Self {
        // A list that is kept whole.
        if field.path.ends_with("[#n]") {
            return Self::List(Box::new(if field.kind == Kind::Events { Self::Event } else { Self::Text }));
        }
        match field.kind {
            Kind::Histogram => Self::Histogram,
            Kind::State if TRUTHS.contains(&field.path) => Self::Truth,
            Kind::State if !NUMBERS.contains(&field.path) => Self::Text,
            _ => Self::Number,
        }
    }

    fn write(&self, indent: usize, out: &mut String) {
        match self {
            Self::Number => out.push_str("number"),
            Self::Text => out.push_str("string"),
            Self::Truth => out.push_str("boolean"),
            Self::Histogram => out.push_str("Histogram"),
            Self::Event => out.push_str("MachineEvent"),
            Self::Object(members) => {
                out.push_str("{\n");
                for (name, is_sure, inside) in members {
                    let _ = write!(out, "{:1$}{name}{2}: ", "", indent + 2, if *is_sure { "" } else { "?" });
                    inside.write(indent + 2, out);
                    out.push_str(if *is_sure { ";\n" } else { " | null;\n" });
                }
                let _ = write!(out, "{:indent$}}}", "");
            }
            Self::List(item) => match &**item {
                Self::Number => out.push_str("(number | null)[]"),
                item => {
                    item.write(indent, out);
                    out.push_str("[]");
                }
            },
            Self::Fixed(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.write(indent, out);
                    out.push_str(" | null");
                }
                out.push(']');
            }
            Self::Map(value) => {
                out.push_str("Record<string, ");
                value.write(indent, out);
                let may_be_null = !matches!(**value, Self::Object(_));
                out.push_str(if may_be_null { " | null>" } else { ">" });
            }
        }
    }

    /// Where a value does not have this shape.
    fn misfits(&self, value: &Value, path: &str, found: &mut Vec<String>) {
        let fits = match self {
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::Truth => value.is_boolean(),
            Self::Histogram => value.get("buckets").is_some_and(Value::is_array),
            Self::Event => value.get("kind").is_some_and(Value::is_string),
            Self::Object(members) => {
                for (name, is_sure, inside) in members {
                    match value.get(*name) {
                        None | Some(Value::Null) if !is_sure => {}
                        None => found.push(format!("{path}.{name}")),
                        Some(value) => inside.misfits(value, &format!("{path}.{name}"), found),
                    }
                }
                value.is_object()
            }
            Self::List(item) => {
                for value in value.as_array().into_iter().flatten() {
                    if !value.is_null() || !matches!(**item, Self::Number) {
                        item.misfits(value, &format!("{path}[]"), found);
                    }
                }
                value.is_array()
            }
            Self::Fixed(items) => {
                let values = value.as_array().into_iter().flatten();
                for (item, value) in items.iter().zip(values).filter(|(_, value)| !value.is_null()) {
                    item.misfits(value, &format!("{path}[]"), found);
                }
                value.as_array().is_some_and(|values| values.len() == items.len())
            }
            Self::Map(of) => {
                for value in value.as_object().into_iter().flat_map(serde_json::Map::values) {
                    if !value.is_null() || matches!(**of, Self::Object(_)) {
                        of.misfits(value, &format!("{path}{{}}"), found);
                    }
                }
                value.is_object()
            }
        };
        if !fits {
            found.push(path.to_owned());
        }
    }
}

fn interface(metric_type: MetricType) -> String {
    let words = metric_type.as_str().split('_');
    let capitalised = words.map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..]));
    format!("{}Document", capitalised.collect::<String>())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The documents that the page gets.
fn shown() -> impl Iterator<Item = MetricType> {
    MetricType::ALL.into_iter().filter(|of| of.is_shown())
}

fn module() -> String {
    let units: BTreeSet<&str> = shown().flat_map(dictionary::fields).map(|field| field.unit).collect();
    let units: Vec<String> = units.into_iter().map(quoted).collect();
    let mut text = format!(
        "/**\n \
         * Every field of every document, and the documents' types.\n \
         * Written by perfwatch/tests/documentation/page.rs from the dictionary of fields.\n \
         */\n\
         import type {{ Histogram, MachineEvent }} from './types';\n\n\
         export type FieldUnit =\n  | {};\n\n\
         export type FieldKind = 'gauge' | 'counter' | 'interval' | 'histogram' | 'state' | 'events';\n\n\
         /** The path is in the notation of perfwatch/src/snapshot/dictionary/path.rs. */\n\
         export type FieldEntry = readonly [path: string, unit: FieldUnit, kind: FieldKind, help: string];\n\n\
         export const dictionary: Record<keyof Documents, readonly FieldEntry[]> = {{\n",
        units.join("\n  | ")
    );
    // Writing to a String cannot fail.
    for metric_type in shown() {
        let _ = writeln!(text, "  {}: [", metric_type.as_str());
        for field in dictionary::fields(metric_type) {
            let [path, unit, kind, help] = [field.path, field.unit, kind(field), field.help].map(quoted);
            let _ = writeln!(text, "    [{path}, {unit}, {kind}, {help}],");
        }
        text.push_str("  ],\n");
    }
    text.push_str(
        "};\n\n\
         interface DocumentBase {\n  _timestamp?: string;\n  \
         /** `null` unless its source failed; then nothing else is in it. */\n  _error?: string | null;\n}\n",
    );
    for metric_type in shown() {
        let _ = write!(text, "\nexport interface {} extends DocumentBase ", interface(metric_type));
        Shape::of(metric_type).write(0, &mut text);
        text.push('\n');
    }
    text.push_str("\n/** Documents of one tick, by metric type. */\nexport interface Documents {\n");
    for metric_type in shown() {
        let _ = writeln!(text, "  {}?: {};", metric_type.as_str(), interface(metric_type));
    }
    text.push_str("}\n");
    text
}

#[test]
fn the_page_has_the_dictionary() {
    super::check(FILE, &module());
}

#[test]
fn what_is_sent_has_the_form_that_the_page_expects() {
    for (metric_type, document) in super::metrics::sent().into_iter().filter(|(of, _)| of.is_shown()) {
        let mut found = Vec::new();
        Shape::of(metric_type).misfits(&document, metric_type.as_str(), &mut found);
        assert_eq!(found, [""; 0], "{document}");
    }
}

#[test]
fn a_misfit_is_noticed() {
    let misfits = |metric_type: MetricType, document: &str| {
        let mut found = Vec::new();
        Shape::of(metric_type).misfits(&serde_json::from_str(document).unwrap(), "", &mut found);
        found
    };
    let nothing = [""; 0];
    assert_eq!(misfits(MetricType::Cpu, r#"{"per_core":[1,null],"load_avg":[1,2,3],"user":null}"#), nothing);
    assert_eq!(
        misfits(MetricType::Cpu, r#"{"per_core":[true],"load_avg":[1,2],"user":"x"}"#),
        [".per_core[]", ".user", ".load_avg"]
    );
    assert_eq!(
        misfits(MetricType::Network, r#"{"interfaces":[{"name":"lo"},{"name":null}]}"#),
        [".interfaces[].name"]
    );
    assert_eq!(
        misfits(
            MetricType::Processes,
            r#"{"cgroups":[{"cgroup":null}],"top":[{"pid":1,"comm":"a","exited":1}]}"#
        ),
        [".top[].exited"]
    );
}
