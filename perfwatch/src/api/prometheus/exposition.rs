//! The text format: families with their help and type, and samples with escaped labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

/// Labels with names from the machine, such as mount points, are cut after this many characters.
const MAX_LABEL_LENGTH: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// The response to one scrape.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: BTreeMap<&'static str, Family>,
    /// Samples dropped because their labels were already used.
    duplicates: usize,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: &'static str,
    samples: String,
    /// Label sets in use; a second sample with the same labels would make the whole scrape invalid.
    series: BTreeSet<String>,
}

/// A label's name and value.
pub(super) type Label = (&'static str, String);

/// A family's name without `perfwatch_`, with one sample's constant labels: `cpu_time_ratio{mode="user"}`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) family: &'static str,
    /// As written between the braces.
    constant: &'static str,
}

impl Name {
    pub(super) fn new(name: &'static str) -> Self {
        let (family, constant) = name.split_once('{').unwrap_or((name, ""));
        Self { family, constant: constant.trim_end_matches('}') }
    }

    /// All labels as written between the braces.
    pub(super) fn series(self, labels: &[Label]) -> String {
        let mut text = self.constant.to_owned();
        for (label, value) in labels {
            push_label(&mut text, label, value);
        }
        text
    }
}

fn push_label(text: &mut String, label: &str, value: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(label);
    text.push_str("=\"");
    for character in value.chars().take(MAX_LABEL_LENGTH) {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

impl Exposition {
    pub(super) fn add(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        labels: &[Label],
        value: impl Display,
    ) {
        let name = Name::new(name);
        self.add_series(name.family, kind, help, name.series(labels), value);
    }

    pub(super) fn add_series(
        &mut self,
        family: &'static str,
        kind: Kind,
        help: &'static str,
        series: String,
        value: impl Display,
    ) {
        if let Some(samples) = self.samples(family, kind, help, &series) {
            push_sample(samples, family, "", &series, value);
        }
    }

    /// `buckets` are cumulative, with their upper bounds; `+Inf` is added here.
    pub(super) fn add_histogram(
        &mut self,
        family: &'static str,
        help: &'static str,
        series: &str,
        buckets: &[(f64, u64)],
        count: u64,
        sum: impl Display,
    ) {
        let Some(samples) = self.samples(family, Kind::Histogram, help, series) else { return };
        let bounds = buckets.iter().map(|(bound, count)| (bound.to_string(), *count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), count)]) {
            let mut series = series.to_owned();
            push_label(&mut series, "le", &bound);
            push_sample(samples, family, "_bucket", &series, count);
        }
        push_sample(samples, family, "_sum", series, sum);
        push_sample(samples, family, "_count", series, count);
    }

    /// Where to write the samples; `None` if the labels are already used.
    fn samples(
        &mut self,
        family: &'static str,
        kind: Kind,
        help: &'static str,
        series: &str,
    ) -> Option<&mut String> {
        let family = self.families.entry(family).or_insert_with(|| Family {
            kind,
            help,
            samples: String::new(),
            series: BTreeSet::new(),
        });
        if family.series.insert(series.to_owned()) {
            Some(&mut family.samples)
        } else {
            self.duplicates += 1;
            None
        }
    }

    pub(super) fn finish(mut self) -> String {
        let duplicates = self.duplicates;
        self.add(
            "duplicates_left_out",
            Kind::Gauge,
            "Samples left out because another has the same labels, of which 128 characters are kept.",
            &[],
            duplicates,
        );
        let mut text = String::with_capacity(16 * 1024);
        for (name, family) in self.families {
            let kind = match family.kind {
                Kind::Gauge => "gauge",
                Kind::Counter => "counter",
                Kind::Histogram => "histogram",
            };
            let help = family.help.replace('\\', "\\\\");
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP perfwatch_{name} {help}\n# TYPE perfwatch_{name} {kind}");
            text.push_str(&family.samples);
        }
        text
    }
}

fn push_sample(text: &mut String, family: &str, suffix: &str, series: &str, value: impl Display) {
    let _ = match series {
        "" => writeln!(text, "perfwatch_{family}{suffix} {value}"),
        _ => writeln!(text, "perfwatch_{family}{suffix}{{{series}}} {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_labels_stay_in_their_quotes() {
        let mut exposition = Exposition::default();
        let hostile = "a\"} 1\nevil{x=\"\\".to_owned();
        exposition.add("x{a=\"b\"}", Kind::Gauge, "Help.", &[("name", hostile)], 1.5);
        let text = exposition.finish();
        assert!(
            text.ends_with(
                "# HELP perfwatch_x Help.\n# TYPE perfwatch_x gauge\n\
             perfwatch_x{a=\"b\",name=\"a\\\"} 1\\nevil{x=\\\"\\\\\"} 1.5\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_series_is_told_once_even_where_its_label_was_cut() {
        let mut exposition = Exposition::default();
        for end in ["one", "two"] {
            let name = "x".repeat(MAX_LABEL_LENGTH) + end;
            exposition.add("n", Kind::Counter, "Help.", &[("name", name)], 1);
        }
        let text = exposition.finish();
        assert_eq!(text.lines().filter(|line| line.starts_with("perfwatch_n{")).count(), 1, "{text}");
        assert!(text.contains("\nperfwatch_duplicates_left_out 1\n"), "{text}");
    }

    #[test]
    fn a_histogram_ends_with_all_values() {
        let mut exposition = Exposition::default();
        exposition.add_histogram("h", "Help.", "cpu=\"0\"", &[(0.5, 3), (1.0, 4)], 6, 7.25);
        let text = exposition.finish();
        let samples: Vec<&str> = text.lines().filter(|line| line.starts_with("perfwatch_h_")).collect();
        assert_eq!(
            samples,
            [
                "perfwatch_h_bucket{cpu=\"0\",le=\"0.5\"} 3",
                "perfwatch_h_bucket{cpu=\"0\",le=\"1\"} 4",
                "perfwatch_h_bucket{cpu=\"0\",le=\"+Inf\"} 6",
                "perfwatch_h_sum{cpu=\"0\"} 7.25",
                "perfwatch_h_count{cpu=\"0\"} 6",
            ]
        );
    }
}
