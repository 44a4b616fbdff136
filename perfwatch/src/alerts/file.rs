//! Rules as code: TOML files with rules, tests of rules, and channels.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::channel::Channel;
use super::compile::Compiled;
use super::period::Period;
use super::rule::Rule;
use super::trial::Test;

/// A file of rules is text that people write.
const MAX_BYTES: u64 = 1 << 20;
/// Rules of all files.
pub const MAX_RULES: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Names of stock rules that are switched off.
    #[serde(default)]
    off: Vec<Spanned<String>>,
    #[serde(default)]
    rule: Vec<Spanned<Rule>>,
    #[serde(default)]
    test: Vec<Spanned<Test>>,
    #[serde(default)]
    channel: Vec<Spanned<Channel>>,
}

/// A rule or test and the line where it begins.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub line: usize,
    pub what: T,
}

/// What a file says.
#[derive(Debug, Clone, Default)]
pub struct File {
    pub path: PathBuf,
    pub off: Vec<At<String>>,
    pub rules: Vec<At<Rule>>,
    pub tests: Vec<At<Test>>,
    /// Checked by whoever reads their secrets.
    pub channels: Vec<At<Channel>>,
    /// One line each, with file and line.
    pub problems: Vec<String>,
}

impl File {
    /// Parses a file's text and checks its rules.
    pub fn parse(path: &Path, text: &str, retention: Period) -> Self {
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        let place = |at: usize| format!("{}:{}", path.display(), line_of(text, at));
        let document: Document = match toml::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                // Its own message may have several lines.
                let message = error.message().replace('\n', " ");
                file.problems.push(format!("{}: {message}", place(at)));
                return file;
            }
        };
        for rule in document.rule {
            let start = rule.span().start;
            let rule = rule.into_inner();
            if let Err(problems) = Compiled::new(&rule, retention) {
                for problem in problems {
                    let at = key_in(text, start, problem.key).unwrap_or(start);
                    let called = if rule.name.is_empty() { "a rule" } else { &rule.name };
                    file.problems.push(format!(
                        "{}: {called}: {}: {}",
                        place(at),
                        problem.key,
                        problem.message
                    ));
                }
            }
            if file.rules.iter().any(|known| known.what.name == rule.name) {
                let problem = "is defined twice; give one of them another name";
                file.problems.push(format!("{}: {} {problem}", place(start), rule.name));
            }
            file.rules.push(At { line: line_of(text, start), what: rule });
        }
        let at = |spanned: &std::ops::Range<usize>| line_of(text, spanned.start);
        file.tests = document
            .test
            .into_iter()
            .map(|test| At { line: at(&test.span()), what: test.into_inner() })
            .collect();
        for channel in document.channel {
            let start = channel.span().start;
            let channel = channel.into_inner();
            if file.channels.iter().any(|known| known.what.name == channel.name) {
                let problem = "is defined twice; give one of them another name";
                file.problems.push(format!("{}: {} {problem}", place(start), channel.name));
            }
            file.channels.push(At { line: line_of(text, start), what: channel });
        }
        file.off = document
            .off
            .into_iter()
            .map(|name| At { line: at(&name.span()), what: name.into_inner() })
            .collect();
        file
    }

    /// Reads all `*.toml` of a directory, by name; none if there is no such directory.
    pub fn read_all(dir: &Path, retention: Period) -> Vec<Self> {
        let failed = |path: &Path, error: &dyn std::fmt::Display| Self {
            path: path.to_owned(),
            problems: vec![format!("{}: cannot be read: {error}", path.display())],
            ..Self::default()
        };
        let paths = match paths_of(dir) {
            Ok(paths) => paths,
            Err(error) => return vec![failed(dir, &error)],
        };
        let read = |path: &PathBuf| match read(path) {
            Ok(text) => Self::parse(path, &text, retention),
            Err(error) => failed(path, &error),
        };
        paths.iter().map(read).collect()
    }

    /// Reads one file.
    pub fn read(path: &Path, retention: Period) -> Self {
        match read(path) {
            Ok(text) => Self::parse(path, &text, retention),
            Err(error) => Self {
                path: path.to_owned(),
                problems: vec![format!("{}: cannot be read: {error}", path.display())],
                ..Self::default()
            },
        }
    }
}

/// All `*.toml` of a directory, by name; none if there is no such directory.
pub fn paths_of(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> std::io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MAX_BYTES} bytes; split it")));
    }
    std::fs::read_to_string(path)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}

/// Where a key is set in the section that begins at `start`.
fn key_in(text: &str, start: usize, key: &str) -> Option<usize> {
    let mut at = start;
    for (n, line) in text.get(start..)?.split_inclusive('\n').enumerate() {
        let trimmed = line.trim_start();
        if n > 0 && trimmed.starts_with("[[") {
            return None;
        }
        let is_key = |rest: &str| rest.trim_start().starts_with(['=', '.']);
        let section = format!("[rule.{key}]");
        if trimmed.strip_prefix(key).is_some_and(is_key) || trimmed.starts_with(&section) {
            return Some(at);
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::{mutate, mutations};
    use proptest::prelude::*;

    const MONTH: Period = Period::seconds(30 * 86_400);

    fn problems(text: &str) -> Vec<String> {
        File::parse(Path::new("/etc/r.toml"), text, MONTH).problems
    }

    #[test]
    fn problems_name_file_line_and_what_to_do() {
        let text = "[[rule]]\nname = \"one\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 90 }\n\n\
                    [[rule]]\nname = \"two\"\n# the field\nfield = \"cpu.usage_percnt\"\n[rule.warning]\nabove = nan\n";
        assert_eq!(
            problems(text),
            [
                "/etc/r.toml:9: two: field: there is no field cpu.usage_percnt; did you mean cpu.usage_percent?",
                "/etc/r.toml:10: two: warning: nothing compares with that number; use finite ones",
            ]
        );
        let twice =
            "[[rule]]\nname = \"one\"\nfield = \"cpu.usage_percent\"\nwarning = { above = 90 }\n".repeat(2);
        assert_eq!(problems(&twice), ["/etc/r.toml:5: one is defined twice; give one of them another name"]);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_line() {
        for (text, part) in [
            ("[[rule]]\nname = \"a\"\nfeild = \"x\"", "/etc/r.toml:3: unknown field `feild`"),
            ("[[rule]]\nname = \"a\"", "missing field `field`"),
            ("[[rule]]\nname = \"a\"\nfield = \"x\"\nwindow = \"5x\"", "write it as 30s, 5m"),
            ("[[rule]]\nname = \"a\"\nfield = \"x\"\nwarning = { above = true }", "a length of time such as"),
            ("[[rule]\n", "/etc/r.toml:1:"),
            ("rules = 5", "unknown field `rules`"),
        ] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].contains(part), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_directory_is_read_in_order_and_other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("b.toml", "off = [\"x\"]");
        write("a.toml", "?");
        write("c.txt", "?");
        let files = File::read_all(dir.path(), MONTH);
        let names: Vec<_> = files.iter().map(|file| file.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.toml", "b.toml"]);
        assert_eq!((files[0].problems.len(), files[1].off.len()), (1, 1));
        assert!(File::read_all(&dir.path().join("none"), MONTH).is_empty());
    }

    proptest! {
        #[test]
        fn mutated_files_never_panic(mutations in mutations()) {
            let mut bytes = crate::alerts::stock::TEXT.as_bytes().to_vec();
            mutate(&mut bytes, &mutations);
            let text = String::from_utf8_lossy(&bytes);
            let file = File::parse(Path::new("x"), &text, MONTH);
            for problem in &file.problems {
                prop_assert!(problem.starts_with("x:") && !problem.contains('\n'), "{}", problem);
            }
        }
    }
}
