//! Labels of hosts, such as `role=web,site=fra`, and selections of hosts by them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Of one host, or wanted by a selection.
pub const MAX_LABELS: usize = 16;
/// Characters of a name or a value.
pub const MAX_LABEL: usize = 63;

/// Why labels can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    #[error("expected labels such as role=web,site=fra, but found {0:?}")]
    NotALabel(String),
    #[error("{0:?} must have 1 to {MAX_LABEL} letters, digits and -_.:/@")]
    Characters(String),
    #[error("{0} is given twice")]
    Twice(String),
    #[error("more than {MAX_LABELS} labels")]
    TooMany,
}

/// What is said of a host, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    pub fn new(labels: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if labels.len() > MAX_LABELS {
            return Err(LabelError::TooMany);
        }
        let unusable = labels.iter().flat_map(|(name, value)| [name, value]).find(|text| !is_plain(text));
        match unusable.cloned() {
            Some(text) => Err(LabelError::Characters(text)),
            None => Ok(Self(labels)),
        }
    }

    /// With those of another, which win.
    pub fn under(&self, other: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(other.0.clone());
        Self(all)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl FromStr for Labels {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let mut labels = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| LabelError::NotALabel(part.chars().take(80).collect()))?;
            if labels.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
                return Err(LabelError::Twice(name.trim().to_owned()));
            }
        }
        Self::new(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Hosts that have all of these labels; without any, all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Labels);

impl Selector {
    pub fn selects(&self, labels: &Labels) -> bool {
        self.0.0.iter().all(|(name, value)| labels.0.get(name) == Some(value))
    }

    pub fn selects_all(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Selector {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_plain(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "-_.:/@".contains(c);
    (1..=MAX_LABEL).contains(&text.chars().count()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let labels: Labels = " site=fra , role=web,".parse().unwrap();
        assert_eq!(labels.to_string(), "role=web,site=fra");
        assert_eq!(labels.to_string().parse(), Ok(labels));
        assert!("".parse::<Labels>().unwrap().is_empty());
        for bad in ["web", "=web", "role=", "role=a b", "role=web,role=db", "role==web", "r\u{202e}=x"] {
            assert!(bad.parse::<Labels>().is_err(), "{bad}");
        }
        let many = (0..17).map(|n| format!("a{n}=x")).collect::<Vec<_>>().join(",");
        assert_eq!(many.parse::<Labels>(), Err(LabelError::TooMany));
    }

    #[test]
    fn a_selection_wants_all_of_its_labels() {
        let web: Labels = "role=web,site=fra".parse().unwrap();
        let selects = |text: &str, labels: &Labels| text.parse::<Selector>().unwrap().selects(labels);
        assert!(selects("", &web) && selects("", &Labels::default()));
        assert!(selects("role=web", &web) && selects("site=fra,role=web", &web));
        assert!(!selects("role=db", &web) && !selects("role=web,env=test", &web));
        assert!(!selects("role=web", &Labels::default()));
    }

    #[test]
    fn what_is_put_over_others_wins() {
        let own: Labels = "role=web,site=fra".parse().unwrap();
        assert_eq!(own.under(&"role=db,x=y".parse().unwrap()).to_string(), "role=db,site=fra,x=y");
    }
}
