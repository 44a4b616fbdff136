//! docs/metrics.md, and the dictionary it is generated from, against the documents that are sent.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use perfwatch::config::Roots;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::dictionary::{self, Export, Path};
use perfwatch::snapshot::source::Tick;
use perfwatch::{collectors, probes};
use serde_json::Value;
use time::macros::datetime;

fn reference() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         <!-- Written by perfwatch/tests/documentation/metrics.rs from the dictionary of fields. -->\n\n\
         Every snapshot carries one JSON document per metric type; the live stream, history and exports show the same\n\
         fields. A field is `null` where this machine does not offer it, and where the document has a `reason` or an\n\
         `error` beside it, that says why. Rates cover the last interval: they are `null` in the first snapshot and\n\
         after a counter started anew, and never negative. Each document also has `_timestamp`, and `_error`, which is\n\
         `null` unless its source failed; then nothing else is in it.\n\n\
         In paths, `[]` is every entry of a list and `{}` every value of a map. The column Prometheus has the name\n\
         under which `/metrics` gives the field, always in base units (seconds, bytes, ratios from 0 to 1); what has\n\
         none is said by other fields, is text, or would need a label for each process. Counters of intervals\n\
         (`perfwatch_perf_…_total`) and histograms begin at the first scrape.\n",
    );
    for metric_type in MetricType::ALL {
        let fields = dictionary::fields(metric_type);
        if fields.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {}\n\nFrom {}.\n\n| field | unit | meaning | Prometheus |\n|---|---|---|---|\n",
            metric_type.as_str(),
            dictionary::source(metric_type)
        );
        for field in fields {
            let exported = match field.export {
                Export::None => String::new(),
                export => format!("`perfwatch_{}`", prometheus_name(export, field.path)),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {exported} |",
                bare(field.path),
                field.unit,
                field.help.replace('|', "\\|")
            );
        }
    }
    text
}

/// Without the names of labels.
fn bare(path: &str) -> String {
    let parts = path.split('.').map(|part| {
        let begin = part.find(['[', '{']).map_or(part.len(), |at| at + 1);
        let (name, inside) = part.split_at(begin);
        match inside.chars().last() {
            // A place in a list stays.
            Some(end) if !inside.starts_with(|c: char| c.is_ascii_digit()) => format!("{name}{end}"),
            _ => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(".")
}

/// With all labels: the constant one's value, and the names of the others.
fn prometheus_name(export: Export, path: &'static str) -> String {
    let name = export.name().unwrap_or_default();
    let (family, constant) = name.split_once('{').unwrap_or((name, ""));
    let constant = constant.trim_end_matches('}');
    let labels = Path::parse(path).unwrap().labels();
    let labels: Vec<&str> = (!constant.is_empty()).then_some(constant).into_iter().chain(labels).collect();
    if labels.is_empty() { family.to_owned() } else { format!("{family}{{{}}}", labels.join(",")) }
}

#[test]
fn every_metric_is_documented() {
    super::check("docs/metrics.md", &reference());
}

#[test]
fn paths_are_shown_without_labels() {
    assert_eq!(bare("a[0].b[#cpu].c[x=y,z].d{e!f}.g"), "a[0].b[].c[].d{}.g");
}

/// What this machine's sources send at a second tick.
pub(super) fn sent() -> Vec<(MetricType, Value)> {
    let mut sources = collectors::all(&Roots::default());
    sources.extend(probes::all(&Roots::default(), probes::Options::UNLIMITED));
    let tick = Tick::new(datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1));
    let mut documents = Vec::new();
    for source in &mut sources {
        let _first = source.sample(&tick);
        let reading = source.sample(&tick).unwrap_or_else(|error| panic!("{}: {error}", source.name()));
        documents.push((reading.metric_type, serde_json::from_slice(&reading.json()).unwrap()));
    }
    documents
}

/// The paths of all numbers and texts below `value`, by their addresses.
fn leaves(value: &Value, path: &str, found: &mut Vec<(*const Value, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter().filter(|(key, _)| !key.starts_with('_')) {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| leaves(item, &format!("{path}/{at}"), found));
        }
        _ => found.push((std::ptr::from_ref(value), path.to_owned())),
    }
}

#[test]
fn whatever_is_sent_is_in_the_dictionary() {
    for (metric_type, document) in sent() {
        let mut known = BTreeSet::new();
        let mut lists = Vec::new();
        for field in dictionary::fields(metric_type) {
            for place in Path::parse(field.path).unwrap().places(&document, usize::MAX) {
                let mut below = Vec::new();
                leaves(place.value, "", &mut below);
                known.extend(below.into_iter().map(|(address, _)| address));
            }
            // If a list is `null`, its entries' fields are represented by it; a group of fields likewise.
            lists.push(format!("/{}", field.path.split(['[', '{', '.']).next().unwrap()));
            if let Some((group, _)) = field.path.rsplit_once('.') {
                let groups = Path::parse(group).unwrap().places(&document, usize::MAX);
                known.extend(
                    groups.iter().filter(|place| place.value.is_null()).map(|p| std::ptr::from_ref(p.value)),
                );
            }
        }
        let mut all = Vec::new();
        leaves(&document, "", &mut all);
        for (address, path) in all {
            let is_absent_list = document.pointer(&path).is_some_and(Value::is_null) && lists.contains(&path);
            assert!(
                known.contains(&address) || is_absent_list,
                "{metric_type:?} {path} is not in the dictionary"
            );
        }
    }
}

#[test]
fn whatever_is_in_the_dictionary_is_sent() {
    for (metric_type, document) in sent() {
        for field in dictionary::fields(metric_type) {
            let (parent, name) = match field.path.rsplit_once('.') {
                Some((parent, name)) => (Some(parent), name),
                None => (None, field.path),
            };
            let name = name.split(['[', '{']).next().unwrap();
            let parents: Vec<&Value> = match parent {
                Some(parent) => Path::parse(parent)
                    .unwrap()
                    .places(&document, usize::MAX)
                    .iter()
                    .map(|place| place.value)
                    .collect(),
                None => vec![&document],
            };
            for parent in parents.into_iter().filter(|parent| parent.is_object()) {
                assert!(parent.get(name).is_some(), "{metric_type:?} {} is not sent", field.path);
            }
        }
    }
}
