//! Which thing: its labels, and their text, which is its name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::compile::Compiled;
use super::pattern::Pattern;
use crate::history::questions::changes::rank::Series;
use crate::snapshot::layout::Layout;
use crate::snapshot::value::Label;

pub type Labels = BTreeMap<String, String>;

/// The past of each thing, by its name.
pub type Pasts = HashMap<Arc<str>, Series>;

/// The labels of a row.
pub fn labels_of(compiled: &Compiled, key: &[Label]) -> Labels {
    let names = &Layout::of(compiled.metric_type).tables[compiled.table].labels;
    names.iter().zip(key).map(|(name, label)| ((*name).to_owned(), label.to_string())).collect()
}

/// The labels as JSON, the same over restarts.
pub fn name_of(labels: &Labels) -> Arc<str> {
    serde_json::to_string(labels).unwrap_or_default().into()
}

/// The host that an alert is about.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    pub id: &'a str,
    /// What people call it.
    pub name: &'a str,
}

impl Whose<'_> {
    /// Whether patterns by label fit a thing of this host. The label `host` is its ID or name, unless the thing has one of its
    /// own. Labels that hosts themselves have belong here as well.
    pub fn fits(&self, patterns: &Labels, labels: &Labels) -> bool {
        patterns.iter().all(|(label, pattern)| {
            let pattern = Pattern::new(pattern);
            match labels.get(label) {
                Some(value) => pattern.has(value),
                None if label == "host" => pattern.has_any(&[self.id, self.name]),
                None => false,
            }
        })
    }
}
