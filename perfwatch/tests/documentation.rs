//! Documentation, and the web page's knowledge of documents, generated from the code it describes.
//! `PERFWATCH_UPDATE_DOCS=1` rewrites it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

#[path = "documentation/metrics.rs"]
mod metrics;
#[path = "documentation/page.rs"]
mod page;

use std::fmt::Write;
use std::path::Path;

use perfwatch::config::SETTINGS;

fn configuration() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Written by perfwatch/tests/documentation.rs from the settings' registry. -->\n\n\
         A setting is taken from its flag, else from its environment variable, else from `perfwatch.toml`\n\
         (`/etc/perfwatch/perfwatch.toml`, or the file that `--config` names), else its default holds. Flags are the\n\
         names with dashes: `perfwatch serve --listen 127.0.0.1:8000`. Secrets can also be read from a file: the\n\
         variable with `_FILE` appended, or the key with `_file`, names it. Unknown keys are refused, and all\n\
         problems are reported at once.\n\n\
         Settings marked \"first start only\" can be changed in the running server afterwards; its store keeps them.\n\n\
         | key | environment | default | meaning |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let secret = if setting.secret { " Secret." } else { "" };
        let default = if setting.default.is_empty() { "not set" } else { setting.default };
        let _ = writeln!(
            text, // writing to a String cannot fail
            "| `{}` | `{}` | {} | {}.{secret} |",
            setting.name,
            setting.env,
            default.replace('|', "\\|"),
            setting.help.replace('|', "\\|"),
        );
    }
    text
}

/// Checks a file of the repository against the code, or writes it.
fn check(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("PERFWATCH_UPDATE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == text,
        "run PERFWATCH_UPDATE_DOCS=1 cargo test -p perfwatch --test documentation and commit {name}"
    );
}

#[test]
fn every_setting_is_documented() {
    check("docs/configuration.md", &configuration());
}

/// All files of a kind below folders of the repository.
fn code(folders: &[&str], extensions: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut code = String::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                code.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    code
}

/// Number of tests named in the last column of the tables below a heading. A renamed or removed one is noticed here.
fn tests_named_in(document: &str, heading: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let functions = code(&["perfwatch/src", "perfwatch/tests"], &["rs"]);
    let titles = code(&["frontend/e2e/tests", "frontend/tests"], &["mjs", "ts"]);
    let behind = text.split(heading).nth(1).unwrap();
    // What is lost is a separate table, without tests.
    let rows = behind.split("## What is lost").next().unwrap().lines().filter(|line| line.starts_with("| "));
    let mut named = 0;
    for row in rows.filter(|row| row.contains('`') && !row.starts_with("| promise")) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for test in tests.split("`, `") {
            let name = test.trim_matches('`');
            let exists = match name.contains(' ') {
                true => titles.contains(&format!("('{name}'")),
                false => functions.contains(&format!("fn {name}(")),
            };
            assert!(exists, "no test is called {test}: {row}");
            named += 1;
        }
    }
    named
}

#[test]
fn every_defence_names_a_test_that_exists() {
    assert!(tests_named_in("security.md", "## Promises") >= 80);
}

#[test]
fn every_fault_names_a_test_that_exists() {
    assert!(tests_named_in("reliability.md", "## Promises") >= 25);
}

#[test]
fn every_kind_of_machine_names_a_test_that_exists() {
    assert!(tests_named_in("machines.md", "# Machines") >= 80);
}
