//! What no file of the repository may contain, in any language.

use std::path::Path;

use anyhow::{Context, Result};

use crate::step::{output, root};

/// Larger files belong elsewhere; the eBPF objects and lock files stay below it.
const MAX_BYTES: u64 = 1024 * 1024;
/// Production code beyond this many lines is split by topic.
const MAX_LINES: usize = 500;

pub fn check() -> Result<Vec<String>> {
    let files = output("git", &["ls-files", "-z"]).context("cannot list the repository's files")?;
    let mut found = Vec::new();
    for name in files.split('\0').filter(|name| !name.is_empty()) {
        let path = root().join(name);
        if !path.is_file() {
            continue; // deleted and not yet committed
        }
        let bytes = std::fs::read(&path).with_context(|| name.to_owned())?;
        if bytes.len() as u64 > MAX_BYTES {
            found.push(format!("{name}: larger than {MAX_BYTES} bytes"));
        }
        if let Ok(text) = std::str::from_utf8(&bytes)
            && !bytes.contains(&0)
        {
            found.extend(
                problems(Path::new(name), text).into_iter().map(|problem| format!("{name}: {problem}")),
            );
        }
    }
    Ok(found)
}

fn problems(path: &Path, text: &str) -> Vec<String> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let mut found = Vec::new();
    if text.contains("\r\n") {
        found.push("carriage returns at line ends".to_owned());
    }
    if !text.is_empty() && !text.ends_with('\n') && !is_recorded(path) {
        found.push("no newline at the end".to_owned());
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            found.push(format!("{number}: a merge conflict"));
        }
        if line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") {
            found.push(format!("{number}: a private key"));
        }
        if extension == "rs" && line.trim_start().starts_with("#[ignore") {
            found.push(format!("{number}: an ignored test rots; print why it is skipped and return"));
        }
        if let Some(url) = foreign_registry(path, line) {
            found.push(format!("{number}: resolved from {url}, which others may not reach"));
        }
    }
    if extension == "rs" {
        let length = production_lines(text);
        if length > MAX_LINES {
            found.push(format!("{length} lines of production code; split it by idea"));
        }
    }
    found
}

/// Files recorded from a machine keep their bytes.
fn is_recorded(path: &Path) -> bool {
    path.iter().any(|part| part == "fixtures")
}

/// Lock files must name the public registries, not a developer's mirror.
fn foreign_registry<'a>(path: &Path, line: &'a str) -> Option<&'a str> {
    let (key, public) = match path.file_name()?.to_str()? {
        "package-lock.json" => ("\"resolved\": \"", "https://registry.npmjs.org/"),
        "Cargo.lock" => ("source = \"", "registry+https://github.com/rust-lang/crates.io-index"),
        _ => return None,
    };
    let url = line.trim_start().strip_prefix(key)?.trim_end_matches([',', '"']);
    (!url.starts_with(public)).then_some(url)
}

fn production_lines(text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        problems(Path::new(path), text).len()
    }

    #[test]
    fn each_fault_is_found_once() {
        assert_eq!(count("a.md", "one\r\ntwo\r\n"), 1);
        assert_eq!(count("a.md", "one"), 1);
        assert_eq!(count("a.rs", concat!("<<<<", "<<< HEAD\n")), 1);
        assert_eq!(count("a.pem", concat!("-----BEGIN ", "RSA PRIVATE KEY-----\n")), 1);
        assert_eq!(count("a.rs", concat!("#[ig", "nore]\n")), 1);
        assert_eq!(count("a.rs", &"x\n".repeat(MAX_LINES + 1)), 1);
    }

    #[test]
    fn good_files_pass() {
        assert_eq!(count("a.rs", ""), 0);
        assert_eq!(count("perfwatch/tests/fixtures/proc/vm/comm", "no newline"), 0);
        let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(MAX_LINES));
        assert_eq!(count("a.rs", &tests), 0);
    }

    #[test]
    fn lock_files_name_the_public_registries() {
        let public = "      \"resolved\": \"https://registry.npmjs.org/vue/-/vue-3.5.tgz\",\n";
        assert_eq!(count("frontend/package-lock.json", public), 0);
        assert_eq!(
            count("frontend/package-lock.json", &public.replace("registry.npmjs.org", "mirror.example")),
            1
        );
        let index = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(count("Cargo.lock", index), 0);
        assert_eq!(count("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n"), 1);
    }
}
