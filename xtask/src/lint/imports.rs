//! Who may import whom in the server: the arrows of ARCHITECTURE.md, checked.
//!
//! Production code only: a test may bring in what it checks against.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::step::root;

/// A top-level module of the server and the ones it may import; those not listed see everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("snapshot", &[]),
    ("kernel_files", &[]),
    ("config", &["snapshot"]),
    ("collectors", &["snapshot", "config", "kernel_files"]),
    ("probes", &["snapshot", "config", "kernel_files"]),
    ("stream", &["snapshot", "config"]),
    ("store", &["snapshot", "config"]),
    // Accounts are looked up through the Store trait; the store knows nothing of auth.
    ("auth", &["store", "snapshot", "config"]),
    ("pipeline", &["collectors", "probes", "stream", "store", "snapshot", "config"]),
    ("api", &["stream", "store", "auth", "snapshot", "config"]),
];

/// A crate and the only modules that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("aya", &["probes"]),
    ("aya_log", &["probes"]),
    ("perf_event", &["probes"]),
    ("sqlx", &["store"]),
    ("axum", &["api", "app"]),
];

pub fn check() -> Result<Vec<String>> {
    let sources = root().join("perfwatch/src");
    let modules = modules(&sources)?;
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(&sources).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "rs") || is_test_file(path) {
            continue;
        }
        let relative = path.strip_prefix(&sources)?;
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        for problem in problems(relative, &text, &modules) {
            found.push(format!("perfwatch/src/{}: {problem}", relative.display()));
        }
    }
    Ok(found)
}

fn modules(sources: &Path) -> Result<BTreeSet<String>> {
    let mut modules = BTreeSet::new();
    for entry in std::fs::read_dir(sources)? {
        if let Some(name) = entry?.path().file_stem() {
            modules.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(modules)
}

fn is_test_file(path: &Path) -> bool {
    let is_tests = |name: &std::ffi::OsStr| name == "tests" || name == "tests.rs";
    path.iter().any(is_tests) || path.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("_tests"))
}

/// What one file imports against the arrows.
fn problems(relative: &Path, text: &str, modules: &BTreeSet<String>) -> Vec<String> {
    let Some(first) = relative.iter().next() else { return Vec::new() };
    let first = Path::new(first).with_extension("");
    let module = first.to_string_lossy();
    // How many `super` lead from this file's own module to the crate's root.
    let depth = match relative.file_stem() {
        Some(stem) if stem == "mod" => relative.iter().count() - 1,
        _ => relative.iter().count(),
    };
    let code = production_code(text);
    let tokens = tokens(&code);
    let mut found = Vec::new();
    if let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) {
        for imported in imported_modules(&tokens, depth) {
            if imported != module && modules.contains(&imported) && !allowed.contains(&imported.as_str()) {
                found.push(format!("{module} may not import {imported}"));
            }
        }
    }
    for (name, allowed) in ONLY_IN {
        let named = tokens.windows(2).any(|pair| pair[0] == *name && pair[1] == "::");
        if named && !allowed.contains(&&*module) {
            found.push(format!("{name} belongs in {} only", allowed.join(" and ")));
        }
    }
    found
}

/// The code without comments, string literals and the test module at its end.
fn production_code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let mut code = String::with_capacity(end);
    for line in text[..end].lines() {
        let mut in_string = false;
        let mut previous = ' ';
        for character in line.chars() {
            if character == '"' && previous != '\\' && previous != '\'' {
                in_string = !in_string;
            } else if !in_string {
                if character == '/' && previous == '/' {
                    code.pop();
                    break;
                }
                code.push(character);
            }
            previous = character;
        }
        code.push('\n');
    }
    code
}

/// Identifiers, `::`, and single other characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The top-level modules named through `crate::…` or through `super::…` that reaches the root.
fn imported_modules(tokens: &[&str], depth: usize) -> BTreeSet<String> {
    let mut imported = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        let starts_path = at == 0 || tokens[at - 1] != "::";
        let mut next = at;
        if starts_path && tokens[at] == "crate" && tokens.get(at + 1) == Some(&"::") {
            next = at + 2;
        } else if starts_path && tokens[at] == "super" {
            let mut supers = 0;
            while tokens.get(next) == Some(&"super") && tokens.get(next + 1) == Some(&"::") {
                supers += 1;
                next += 2;
            }
            if supers < depth {
                at = next.max(at + 1);
                continue;
            }
        }
        if next == at {
            at += 1;
            continue;
        }
        if tokens.get(next) == Some(&"{") {
            imported.extend(first_of_each(&tokens[next..]));
        } else if let Some(name) = tokens.get(next) {
            imported.insert((*name).to_owned());
        }
        at = next;
    }
    imported
}

/// The first name of each item of a brace group: `{a::b, c::{d, e}}` names a and c.
fn first_of_each(tokens: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    let mut level = 0;
    let mut item_starts = false;
    for &token in tokens {
        match token {
            "{" => {
                level += 1;
                item_starts = level == 1;
            }
            "}" => {
                level -= 1;
                if level == 0 {
                    break;
                }
            }
            "," if level == 1 => item_starts = true,
            name if item_starts => {
                names.push(name.to_owned());
                item_starts = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(path: &str, text: &str) -> Vec<String> {
        let modules = [
            "api",
            "auth",
            "collectors",
            "config",
            "kernel_files",
            "pipeline",
            "probes",
            "snapshot",
            "store",
            "stream",
        ];
        problems(Path::new(path), text, &modules.map(str::to_owned).into())
    }

    #[test]
    fn the_arrows_hold_in_every_spelling() {
        for text in [
            "use crate::collectors::cpu;",
            "use crate::{config::Roots, collectors::{self, cpu}};",
            "use super::collectors;",
            "fn f() { crate::collectors::all(); }",
            "pub(crate) use crate :: collectors;",
        ] {
            assert_eq!(problems_of("probes/mod.rs", text), ["probes may not import collectors"], "{text}");
        }
        assert_eq!(problems_of("probes/deep/file.rs", "use super::super::super::collectors;").len(), 1);
        assert_eq!(problems_of("probes.rs", "use super::collectors;").len(), 1);
    }

    #[test]
    fn what_is_allowed_or_not_code_passes() {
        for text in [
            "use crate::snapshot::MetricType; use crate::config::Roots; use crate::probes::loader;",
            "/// As [`crate::collectors`] does.\nfn f() {}",
            "fn f() { let _ = \"crate::collectors::cpu and axum::Router\"; } // crate::store::x",
            "use super::collectors; // a module of probes, not the top one",
            "macro_rules! m { () => { $crate::snapshot::x() } }",
            "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}\n",
        ] {
            assert_eq!(problems_of("probes/counters/backend.rs", text), Vec::<String>::new(), "{text}");
        }
        assert!(problems_of("app.rs", "use crate::{api, collectors, store}; use axum::Router;").is_empty());
    }

    #[test]
    fn crates_stay_in_their_module() {
        assert_eq!(problems_of("api/mod.rs", "use sqlx::PgPool;"), ["sqlx belongs in store only"]);
        assert_eq!(problems_of("stream/mod.rs", "fn f(_: axum::body::Body) {}").len(), 1);
        assert!(problems_of("store/sqlite/mod.rs", "use sqlx::SqlitePool;").is_empty());
        assert_eq!(problems_of("snapshot/mod.rs", "use crate::config::Roots;").len(), 1);
        assert_eq!(problems_of("kernel_files/file.rs", "use crate::snapshot::derive::round;").len(), 1);
        assert!(problems_of("probes/tcp.rs", "use crate::kernel_files::snmp;").is_empty());
    }

    #[test]
    fn tests_are_known_by_their_place() {
        assert!(is_test_file(Path::new("pipeline/tests.rs")));
        assert!(is_test_file(Path::new("store/tests/contract.rs")));
        assert!(!is_test_file(Path::new("store/mod.rs")));
    }
}
