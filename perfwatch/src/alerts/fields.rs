//! The dictionary's fields by the names that rules use: metric type and dotted path, without labels.

use std::sync::OnceLock;

use crate::snapshot::MetricType;
use crate::snapshot::dictionary::Kind;
use crate::snapshot::layout::{Layout, Place};

/// A field that a rule can name.
#[derive(Debug)]
pub struct Named {
    /// `disk.partitions.usage_percent`.
    pub name: String,
    pub metric_type: MetricType,
    pub place: &'static Place,
    pub column: usize,
}

impl Named {
    pub fn labels(&self) -> &'static [&'static str] {
        &Layout::of(self.metric_type).tables[self.place.table].labels
    }

    pub const fn kind(&self) -> Kind {
        self.place.field.kind
    }
}

/// Every field that has a value of its own. The accounts of every process (`usage`) are for history's questions only;
/// `presence` is for rules only.
pub fn all() -> &'static [Named] {
    static ALL: OnceLock<Vec<Named>> = OnceLock::new();
    ALL.get_or_init(|| {
        let shown = MetricType::ALL.into_iter().filter(|of| of.is_shown() || *of == MetricType::Presence);
        let places = shown.flat_map(|of| Layout::of(of).places.iter().map(move |place| (of, place)));
        let named = places.filter_map(|(metric_type, place)| {
            let column = place.column?;
            let name = format!("{}.{}", metric_type.as_str(), dotted(place.field.path));
            Some(Named { name, metric_type, place, column })
        });
        named.collect()
    })
}

/// `partitions[device,mountpoint].used_bytes` as `partitions.used_bytes`, `load_avg[0]` as `load_avg.0`.
fn dotted(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find(['[', '{']) {
        name.push_str(&rest[..open]);
        let close = rest.find([']', '}']).unwrap_or(rest.len() - 1);
        let inside = &rest[open + 1..close];
        if inside.bytes().all(|byte| byte.is_ascii_digit()) {
            name.push('.');
            name.push_str(inside);
        }
        rest = &rest[close + 1..];
    }
    name.push_str(rest);
    name
}

/// The field with this name, or a sentence that says which one may be meant.
pub fn find(name: &str) -> Result<&'static Named, String> {
    if let Some(found) = all().iter().find(|field| field.name == name) {
        return Ok(found);
    }
    let shown: String = name.chars().take(100).collect();
    if is_without_value(name) {
        return Err(format!("{shown} is a label or a list; use a field with a number"));
    }
    Err(match nearest(&shown, all().iter().map(|field| field.name.as_str())) {
        Some(near) => format!("there is no field {shown}; did you mean {near}?"),
        None => {
            format!("there is no field {shown}; docs/metrics.md lists them, such as pressure.cpu.some.avg60")
        }
    })
}

/// Whether the dictionary has it, but not as a value: labels, and lists of events.
fn is_without_value(name: &str) -> bool {
    let Some((metric_type, path)) = name.split_once('.') else { return false };
    let places = MetricType::parse(metric_type).map(|of| Layout::of(of).places.as_slice());
    places.unwrap_or_default().iter().any(|place| place.column.is_none() && dotted(place.field.path) == path)
}

/// The most similar name, unless none is similar.
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(unknown, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.85)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_field_has_a_name_of_its_own() {
        let names: HashSet<&str> = all().iter().map(|field| field.name.as_str()).collect();
        // One value of `events` is described apart from the others, under the same name.
        assert!(names.len() + 1 >= all().len(), "{} of {}", names.len(), all().len());
        for name in ["cpu.load_avg.0", "disk.partitions.used_bytes", "block_io.devices.read.histogram"] {
            assert!(names.contains(name), "{name}");
        }
        assert!(!names.iter().any(|name| name.contains(['[', '{'])), "{names:?}");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_nearest() {
        let error = find("pressure.cpu.some.avg6").unwrap_err();
        assert!(error.contains("did you mean pressure.cpu.some.avg60?"), "{error}");
        let error = find("xyz").unwrap_err();
        assert!(error.contains("docs/metrics.md"), "{error}");
        assert!(find(&"x".repeat(10_000)).unwrap_err().len() < 300);
    }
}
