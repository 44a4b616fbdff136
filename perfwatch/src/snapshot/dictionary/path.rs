//! Paths into documents.

use serde_json::Value;

/// Names separated by dots, each optionally followed by one of these:
///
/// - `load_avg[0]`: one position of a list
/// - `per_core[#cpu]`: every position, which becomes the label `cpu`
/// - `interfaces[interface=name]`: every object of a list; its field `name` becomes the label `interface`
/// - `partitions[device,mountpoint]`: the same, with labels named like their fields
/// - `devices{device}`: every value of a map; its key becomes the label
/// - `events{event!cpu-clock}`: the same, except for that key
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// A step on the path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Name(&'static str),
    At(usize),
    EachPlace(&'static str),
    /// Label and field.
    EachObject(Vec<(&'static str, &'static str)>),
    EachKey {
        label: &'static str,
        except: Option<&'static str>,
    },
}

/// One of the values that a path leads to.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    pub value: &'a Value,
    pub labels: Vec<(&'static str, String)>,
}

impl Path {
    /// `None` if the notation is invalid.
    pub fn parse(text: &'static str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let end = part.find(['[', '{']).unwrap_or(part.len());
            let (name, into) = part.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Name(name));
            if let Some(inside) = into.strip_prefix('[') {
                let inside = inside.strip_suffix(']')?;
                steps.push(match (inside.strip_prefix('#'), inside.parse()) {
                    (Some(label), _) => Step::EachPlace(label),
                    (None, Ok(at)) => Step::At(at),
                    (None, Err(_)) => {
                        let pair = |pair: &'static str| pair.split_once('=').unwrap_or((pair, pair));
                        Step::EachObject(inside.split(',').map(pair).collect())
                    }
                });
            } else if let Some(inside) = into.strip_prefix('{') {
                let inside = inside.strip_suffix('}')?;
                let (label, except) = match inside.split_once('!') {
                    Some((label, except)) => (label, Some(except)),
                    None => (inside, None),
                };
                steps.push(Step::EachKey { label, except });
            }
        }
        Some(Self(steps))
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The label names, from left to right.
    pub fn labels(&self) -> Vec<&'static str> {
        self.0.iter().flat_map(Step::labels).collect()
    }

    /// Every value in `document` that the path leads to, including `null`. Only the first `most` entries of each list
    /// and map are visited.
    pub fn places<'a>(&self, document: &'a Value, most: usize) -> Vec<Place<'a>> {
        let mut places = vec![Place { value: document, labels: Vec::new() }];
        for step in &self.0 {
            places = places.into_iter().flat_map(|place| step.into(place, most)).collect();
        }
        places
    }
}

impl Step {
    pub fn labels(&self) -> Vec<&'static str> {
        match self {
            Self::EachPlace(label) | Self::EachKey { label, .. } => vec![*label],
            Self::EachObject(labels) => labels.iter().map(|(label, _)| *label).collect(),
            Self::Name(_) | Self::At(_) => Vec::new(),
        }
    }

    fn into<'a>(&self, place: Place<'a>, most: usize) -> Vec<Place<'a>> {
        let labelled = |value: &'a Value, labels: &[(&'static str, String)]| Place {
            value,
            labels: [&place.labels[..], labels].concat(),
        };
        let items = || place.value.as_array().into_iter().flatten().take(most);
        match self {
            Self::Name(name) => place.value.get(name).map(|value| labelled(value, &[])).into_iter().collect(),
            Self::At(at) => place.value.get(at).map(|value| labelled(value, &[])).into_iter().collect(),
            Self::EachPlace(label) => {
                items().enumerate().map(|(at, item)| labelled(item, &[(label, at.to_string())])).collect()
            }
            Self::EachObject(fields) => items()
                .map(|item| {
                    let label = |(label, field): &(&'static str, &'static str)| (*label, text(&item[*field]));
                    labelled(item, &fields.iter().map(label).collect::<Vec<_>>())
                })
                .collect(),
            Self::EachKey { label, except } => {
                let entries = place.value.as_object().into_iter().flatten();
                entries
                    .filter(|(key, _)| Some(key.as_str()) != *except)
                    .take(most)
                    .map(|(key, value)| labelled(value, &[(label, key.clone())]))
                    .collect()
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(path: &'static str, document: &Value) -> Vec<(String, String)> {
        let places = Path::parse(path).unwrap().places(document, 2);
        let labels = |place: &Place<'_>| {
            place.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        places.iter().map(|place| (labels(place), place.value.to_string())).collect()
    }

    #[test]
    fn every_way_in() {
        let document = json!({
            "load": [0.5, 1.5], "cores": [1, null, 3],
            "links": [{"name": "lo", "up": true}, {"name": "eth0"}],
            "disks": {"sda": {"io": 1}, "sdb": {"io": 2}},
        });
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>()
        };
        assert_eq!(found("load[1]", &document), pairs(&[("", "1.5")]));
        // At most two entries per list or map here.
        assert_eq!(found("cores[#cpu]", &document), pairs(&[("cpu=0", "1"), ("cpu=1", "null")]));
        assert_eq!(found("links[link=name].up", &document), pairs(&[("link=lo", "true")]));
        assert_eq!(found("disks{disk}.io", &document), pairs(&[("disk=sda", "1"), ("disk=sdb", "2")]));
        assert_eq!(found("disks{disk!sda}.io", &document), pairs(&[("disk=sdb", "2")]));
        assert_eq!(found("nothing.at[0].all", &document), []);
    }

    #[test]
    fn wrong_notation_is_refused() {
        for wrong in ["", "a..b", "a[", "a{x", "[0]"] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }
}
