//! Templates of messages: `{{ name }}` or `{{ name | filter }}` is replaced, and nothing else happens.
//!
//! There are no loops, conditions or includes, so a template ends, and what it makes is not read again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// The longest template.
pub const MAX_TEMPLATE: usize = 16 << 10;
/// The longest text that is made of one, bytes.
pub const MAX_MADE: usize = 256 << 10;

/// What names stand for.
pub type Variables = BTreeMap<&'static str, Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filter {
    /// As JSON, with its quotes.
    Json,
    /// `&`, `<`, `>` and quotes as entities.
    Html,
    /// `&`, `<` and `>` as entities, which is what Slack wants.
    Angle,
    /// Percent-encoded, as one segment of a path.
    Path,
}

const FILTERS: [(&str, Filter); 4] =
    [("json", Filter::Json), ("html", Filter::Html), ("angle", Filter::Angle), ("path", Filter::Path)];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String, Vec<Filter>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

impl Template {
    /// Reads a template; the error says what to write instead.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE {
            return Err(format!("it is longer than {MAX_TEMPLATE} bytes; shorten it"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            parts.push(Part::Text(before.to_owned()));
            let Some((inside, after)) = behind.split_once("}}") else {
                return Err("{{ without }}; close it".to_owned());
            };
            let mut words = inside.split('|').map(str::trim);
            let name = words.next().unwrap_or_default();
            if !known.contains(&name) {
                let shown: String = name.chars().take(40).collect();
                return Err(format!("there is no {{{{ {shown} }}}}; known are {}", known.join(", ")));
            }
            let filter = |word: &str| {
                let found = FILTERS.iter().find(|(name, _)| *name == word).map(|(_, filter)| *filter);
                let shown: String = word.chars().take(40).collect();
                found.ok_or_else(|| format!("there is no filter {shown}; known are json, html, angle, path"))
            };
            let filters = words.map(filter).collect::<Result<_, _>>()?;
            parts.push(Part::Name(name.to_owned(), filters));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// The text with everything put in; `None` if it is longer than [`MAX_MADE`].
    pub fn render(&self, variables: &Variables) -> Option<String> {
        let mut made = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Name(name, filters) => {
                    made.push_str(&put_in(variables.get(name.as_str()).unwrap_or(&Value::Null), filters));
                }
            }
            if made.len() > MAX_MADE {
                return None;
            }
        }
        Some(made)
    }
}

fn put_in(value: &Value, filters: &[Filter]) -> String {
    let plain = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let Some((first, others)) = filters.split_first() else { return plain(value) };
    let start = match first {
        Filter::Json => value.to_string(),
        filter => escaped(&plain(value), *filter),
    };
    others.iter().fold(start, |text, filter| escaped(&text, *filter))
}

fn escaped(text: &str, filter: Filter) -> String {
    let mut out = String::with_capacity(text.len());
    match filter {
        Filter::Json => return Value::from(text).to_string(),
        Filter::Path => {
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
        Filter::Html | Filter::Angle => {
            for c in text.chars() {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' if filter == Filter::Html => out.push_str("&quot;"),
                    '\'' if filter == Filter::Html => out.push_str("&#39;"),
                    c => out.push(c),
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KNOWN: [&str; 3] = ["title", "text", "alerts"];

    fn variables() -> Variables {
        Variables::from([
            ("title", json!("<b> & \"{{ text }}\"")),
            ("text", json!("two\nlines")),
            ("alerts", json!([{"a": 1}])),
        ])
    }

    fn made(text: &str) -> String {
        Template::parse(text, &KNOWN).unwrap().render(&variables()).unwrap()
    }

    #[test]
    fn names_are_put_in_once_and_escaped_as_asked() {
        assert_eq!(made("{{title}}"), "<b> & \"{{ text }}\"", "what was put in is not read again");
        assert_eq!(made("{{ title | html }}"), "&lt;b&gt; &amp; &quot;{{ text }}&quot;");
        assert_eq!(made("{{ title | angle | json }}"), r#""&lt;b&gt; &amp; \"{{ text }}\"""#);
        assert_eq!(
            made(r#"{"t": {{ text | json }}, "a": {{ alerts }}}"#),
            "{\"t\": \"two\\nlines\", \"a\": [{\"a\":1}]}"
        );
        assert_eq!(made("/{{ title | path }}"), "/%3Cb%3E%20%26%20%22%7B%7B%20text%20%7D%7D%22");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |text: &str| Template::parse(text, &KNOWN).unwrap_err();
        assert!(wrong("{{ titel }}").contains("known are title, text, alerts"));
        assert!(wrong("{{ title | upper }}").contains("known are json, html, angle, path"));
        assert!(wrong("{{ title").contains("close it"));
        assert!(wrong(&"x".repeat(MAX_TEMPLATE + 1)).contains("shorten it"));
        assert!(wrong("{% for a in alerts %}{{ a }}").contains("there is no {{ a }}"));
    }

    #[test]
    fn what_gets_too_long_is_not_made() {
        let template = Template::parse(&"{{ text }}".repeat(1000), &KNOWN).unwrap();
        let long = Variables::from([("text", json!("x".repeat(1 << 20)))]);
        assert_eq!(template.render(&long), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_refused(text in ".{0,60}", inside in "[a-z |]{0,12}") {
            for text in [text.clone(), format!("{text}{{{{{inside}}}}}")] {
                if let Ok(template) = Template::parse(&text, &KNOWN) {
                    let made = template.render(&variables()).unwrap();
                    prop_assert!(text.contains("{{") || made == text);
                }
            }
        }
    }
}
