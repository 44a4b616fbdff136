//! Rules as rules of Prometheus, over what `/metrics` exports. What cannot be said there is told in comments.

use std::fmt::Write as _;

use super::fields::{self, Named};
use super::rule::{Function, Level, Rule, Severity};
use crate::snapshot::dictionary::{Export, Kind};

/// Histograms are exported in seconds.
const SECONDS_PER_NS: f64 = 1e-9;

/// A file of rules. `rules` are those that can be used.
pub fn file<'a>(rules: impl Iterator<Item = &'a Rule>) -> String {
    let (mut said, mut unsaid) = (String::new(), String::new());
    for rule in rules {
        match Said::new(rule) {
            Ok(found) => found.write(rule, &mut said),
            Err(reason) => {
                let _ = writeln!(unsaid, "#   {}: {reason}", rule.name);
            }
        }
    }
    let mut text = String::from("# Rules of PerfWatch for Prometheus, which must scrape its /metrics.\n");
    text.push_str(
        "# Prometheus clears an alert at the level at which it raises it, and does not detect flapping.\n",
    );
    if !unsaid.is_empty() {
        let _ = write!(text, "# What cannot be said here:\n{unsaid}");
    }
    if said.is_empty() {
        text.push_str("groups: []\n");
    } else {
        let _ = write!(text, "groups:\n  - name: perfwatch\n    rules:\n{said}");
    }
    text
}

/// A rule's value in PromQL, and the factor from the rule's unit to that of Prometheus.
struct Said {
    value: String,
    scale: f64,
    /// Another condition.
    only: Option<String>,
}

/// A field as Prometheus has it.
struct Series {
    selector: String,
    scale: f64,
    export: Export,
    /// The labels in its exported name.
    constant: Vec<String>,
}

impl Said {
    fn new(rule: &Rule) -> Result<Self, String> {
        if let Some(past) = rule.against {
            return Err(format!("compares the distribution with that of {}", past.as_str()));
        }
        if rule.is.is_some() {
            return Err("compares a text, which is not exported".to_owned());
        }
        let field = fields::find(&rule.field)?;
        let series = Series::new(field, rule, "")?;
        let window = rule.window;
        if matches!(series.export, Export::Histogram(_)) {
            let buckets = Series::new(field, rule, "_bucket")?.selector;
            let rates = format!("rate({buckets}[{window}])");
            let rates = if rule.sum { format!("sum by (le) ({rates})") } else { rates };
            let quantile = rule.quantile.unwrap_or(0.5);
            let value = format!("histogram_quantile({quantile}, {rates})");
            return Ok(Self { value, scale: SECONDS_PER_NS, only: only(rule, &series) });
        }
        if matches!(series.export, Export::Interval(..)) && rule.function != Function::Rate {
            return Err(
                "its field is a count of each interval, of which Prometheus has only the rate".to_owned()
            );
        }
        let (base, scale, is_plain) = base(rule, &series)?;
        let range = if is_plain { format!("{base}[{window}]") } else { format!("({base})[{window}:]") };
        let (value, scale) = match rule.function {
            Function::Last => (base, scale),
            Function::Average => (format!("avg_over_time({range})"), scale),
            Function::Min => (format!("min_over_time({range})"), scale),
            Function::Max => (format!("max_over_time({range})"), scale),
            Function::Quantile => {
                (format!("quantile_over_time({}, {range})", rule.quantile.unwrap_or(0.5)), scale)
            }
            Function::Rate if field.kind() == Kind::Counter || field.kind() == Kind::Interval => {
                let rate = format!("rate({}[{window}])", series.selector);
                if rule.of.is_some() {
                    return Err("the growth of a percentage of a counter has no expression there".to_owned());
                }
                (if rule.sum { format!("sum({rate})") } else { rate }, scale)
            }
            Function::Rate => (format!("deriv({range})"), scale),
            Function::ShareAbove => {
                let level = number(rule.level.unwrap_or_default() * scale);
                (format!("100 * avg_over_time((({base}) > bool {level})[{window}:])"), 1.0)
            }
            Function::Forecast => {
                let line = number(rule.line.unwrap_or(100.0) * scale);
                (format!("({line} - {base}) / (deriv({range}) > 0)"), 1.0)
            }
        };
        Ok(Self { value, scale, only: only(rule, &series) })
    }

    fn write(&self, rule: &Rule, out: &mut String) {
        for severity in Severity::ALL {
            let level = match severity {
                Severity::Warning => rule.warning,
                Severity::Critical => rule.critical,
            };
            let Some((sign, limit)) = level.and_then(|level| condition(&level)) else { continue };
            let mut expression = format!("{} {sign} {}", self.value, number(limit * self.scale));
            if let Some(only) = &self.only {
                expression = format!("({expression}) and {only}");
            }
            let _ = writeln!(out, "      - alert: {}", quoted(&rule.name));
            let _ = writeln!(out, "        expr: {}", quoted(&expression));
            if !rule.hold.is_zero() {
                let _ = writeln!(out, "        for: {}", rule.hold);
            }
            if !rule.keep_firing_for.is_zero() {
                let _ = writeln!(out, "        keep_firing_for: {}", rule.keep_firing_for);
            }
            let _ = writeln!(out, "        labels:\n          severity: {}", severity.as_str());
            let summary = if rule.summary.is_empty() { &rule.name } else { &rule.summary };
            let _ = writeln!(out, "        annotations:\n          summary: {}", quoted(&template(summary)));
            if !rule.runbook.is_empty() {
                let _ = writeln!(out, "          runbook: {}", quoted(&literal(&rule.runbook)));
            }
        }
    }
}

impl Series {
    fn new(field: &Named, rule: &Rule, suffix: &str) -> Result<Self, String> {
        let export = field.place.field.export;
        let (name, scale) = match export {
            Export::None => return Err(format!("{} is not in /metrics", field.name)),
            Export::Gauge(name, scale) | Export::Counter(name, scale) | Export::Interval(name, scale) => {
                (name, scale)
            }
            Export::Histogram(name) => (name, SECONDS_PER_NS),
        };
        let (family, fixed) =
            name.split_once('{').map_or((name, ""), |(family, rest)| (family, rest.trim_end_matches('}')));
        let constant = fixed.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned())).collect();
        let mut labels: Vec<String> = if fixed.is_empty() { Vec::new() } else { vec![fixed.to_owned()] };
        labels.extend(rule.labels.iter().map(|(label, pattern)| matcher(label, pattern)));
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        Ok(Self { selector: format!("perfwatch_{family}{suffix}{braces}"), scale, export, constant })
    }
}

/// What the function is applied to, the factor to its unit, and whether it is a selector.
fn base(rule: &Rule, series: &Series) -> Result<(String, f64, bool), String> {
    let Some(of) = &rule.of else {
        return Ok(match rule.sum {
            true => (format!("sum({})", series.selector), series.scale, false),
            false => (series.selector.clone(), series.scale, true),
        });
    };
    let whole = Series::new(fields::find(of)?, rule, "")?;
    let mut other: Vec<&str> = series.constant.iter().chain(&whole.constant).map(String::as_str).collect();
    other.sort_unstable();
    other.dedup();
    let ignoring = if other.is_empty() { String::new() } else { format!(" ignoring ({})", other.join(", ")) };
    let (part, all) = match rule.sum {
        true => (format!("sum({})", series.selector), format!("sum({})", whole.selector)),
        false => (series.selector.clone(), whole.selector),
    };
    let factor = 100.0 * whole.scale / series.scale;
    let joint = if rule.sum { String::new() } else { ignoring };
    Ok((format!("{} * {part} /{joint} {all}", number(factor)), 1.0, false))
}

fn only(rule: &Rule, series: &Series) -> Option<String> {
    let level = number(rule.only_above? * series.scale);
    Some(format!("({} > {level})", series.selector))
}

fn condition(level: &Level) -> Option<(char, f64)> {
    let above = level.above.map(|limit| ('>', limit.0));
    above.or_else(|| level.below.map(|limit| ('<', limit.0)))
}

/// Without the noise of binary fractions.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.12e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// A pattern of ours as a matcher of theirs.
fn matcher(label: &str, pattern: &str) -> String {
    let (sign, rest) = pattern.strip_prefix('!').map_or(("=~", pattern), |rest| ("!~", rest));
    let mut regex = String::new();
    for (n, alternative) in rest.split('|').enumerate() {
        if n > 0 {
            regex.push('|');
        }
        for letter in alternative.trim().chars() {
            match letter {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                _ if "\\.+()[]{}^$|".contains(letter) => {
                    regex.push('\\');
                    regex.push(letter);
                }
                _ => regex.push(letter),
            }
        }
    }
    format!("{label}{sign}{}", quoted(&regex))
}

/// In double quotes, as JSON, YAML and PromQL agree on.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// Our placeholders in theirs.
fn template(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let name = behind.split_once('}').filter(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
        match name {
            Some(("value", after)) => {
                out.push_str("{{ $value | humanize }}");
                rest = after;
            }
            Some((label, after)) => {
                let _ = write!(out, "{{{{ $labels.{label} }}}}");
                rest = after;
            }
            None => {
                out.push_str("{{ \"{\" }}");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::period::Period;
    use crate::alerts::stock;

    fn of(text: &str) -> String {
        let rule: Rule =
            toml::from_str(&format!("name = \"r\"\nwarning = {{ above = 50 }}\n{text}")).unwrap();
        Said::new(&rule).map_or_else(|why| format!("# {why}"), |said| said.value)
    }

    #[test]
    fn functions_and_labels_are_said_in_promql() {
        for (rule, value) in [
            ("field = \"cpu.usage_percent\"", "perfwatch_cpu_usage_ratio"),
            (
                "field = \"cpu.user\"\nfunction = \"average\"\nwindow = \"5m\"",
                "avg_over_time(perfwatch_cpu_time_ratio{mode=\"user\"}[5m])",
            ),
            (
                "field = \"disk.partitions.used_bytes\"\nof = \"disk.partitions.total_bytes\"\nlabels = { mountpoint = \"/var*|/\" }",
                "100 * perfwatch_filesystem_used_bytes{mountpoint=~\"/var.*|/\"} / perfwatch_filesystem_size_bytes{mountpoint=~\"/var.*|/\"}",
            ),
            (
                "field = \"cpu.interrupts\"\nfunction = \"rate\"\nwindow = \"1m\"",
                "rate(perfwatch_interrupts_total[1m])",
            ),
            (
                "field = \"cpu.usage_percent\"\nfunction = \"share_above\"\nlevel = 80\nwindow = \"1h\"",
                "100 * avg_over_time(((perfwatch_cpu_usage_ratio) > bool 0.8)[1h:])",
            ),
            (
                "field = \"cpu.usage_percent\"\nagainst = \"last_week\"",
                "# compares the distribution with that of last week",
            ),
        ] {
            assert_eq!(of(rule), value);
        }
    }

    #[test]
    fn what_cannot_be_said_is_a_comment_and_texts_stay_texts() {
        let stock = stock::file(Period::seconds(30 * 86_400));
        let text = file(stock.rules.iter().map(|rule| &rule.what));
        assert!(
            text.contains("#   disk-latency: compares the distribution with that of last week"),
            "{text}"
        );
        assert!(text.contains("alert: \"file-system-full\""), "{text}");
        assert!(
            text.contains("summary: \"{{ $labels.mountpoint }} will be full in {{ $value | humanize }}\"")
        );
        assert_eq!(template("{ {a b} {{x"), "{{ \"{\" }} {{ \"{\" }}a b} {{ \"{\" }}{{ \"{\" }}x");
        assert_eq!(literal("{{x}}"), "{{ \"{{\" }}x}}");
        assert_eq!(file(std::iter::empty()).lines().last(), Some("groups: []"));
    }
}
