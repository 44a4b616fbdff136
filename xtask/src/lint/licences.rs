//! Every package we ship must be under a licence that deny.toml allows.
//!
//! cargo-deny reads the same list; this check needs nothing but the lock files and works without a network.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step::{output, root};

pub fn check() -> Result<Vec<String>> {
    let deny = std::fs::read_to_string(root().join("deny.toml")).context("deny.toml")?;
    let allowed = allowed(&deny)?;
    let mut found = Vec::new();
    for (name, licence) in crates()?.into_iter().chain(npm_packages()?) {
        match licence {
            Some(licence) if satisfies(&licence, &allowed) => {}
            Some(licence) => found.push(format!("{name}: {licence} is not allowed by deny.toml")),
            None => found.push(format!("{name}: no licence named")),
        }
    }
    Ok(found)
}

/// deny.toml's list of licences.
fn allowed(deny: &str) -> Result<Vec<String>> {
    let deny: toml::Table = deny.parse().context("deny.toml")?;
    let licences = deny.get("licenses").and_then(|table| table.get("allow"));
    licences
        .context("deny.toml allows no licences")?
        .clone()
        .try_into()
        .context("allowed licences of deny.toml")
}

/// Name and licence of every crate of both lock files, the eBPF programs' too.
fn crates() -> Result<Vec<(String, Option<String>)>> {
    let mut crates = Vec::new();
    for manifest in ["Cargo.toml", "perfwatch-ebpf/Cargo.toml"] {
        let metadata =
            output("cargo", &["metadata", "--format-version", "1", "--locked", "--manifest-path", manifest]);
        let metadata = metadata.with_context(|| format!("cargo metadata of {manifest} failed"))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("cargo metadata without packages")?;
        for package in packages {
            let name = package["name"].as_str().unwrap_or_default().to_owned();
            crates.push((name, package["license"].as_str().map(str::to_owned)));
        }
    }
    Ok(crates)
}

/// The npm packages that end up in the page; its build tools are not shipped.
fn npm_packages() -> Result<Vec<(String, Option<String>)>> {
    let lock = std::fs::read_to_string(root().join("frontend/package-lock.json"))?;
    shipped(&serde_json::from_str(&lock).context("frontend/package-lock.json")?)
}

fn shipped(lock: &Value) -> Result<Vec<(String, Option<String>)>> {
    let packages = lock["packages"].as_object().context("package-lock.json without packages")?;
    let shipped = packages.iter().filter(|(_, package)| !package["dev"].as_bool().unwrap_or(false));
    let named = shipped.map(|(path, package)| {
        let name = if path.is_empty() { "frontend" } else { path.trim_start_matches("node_modules/") };
        (name.to_owned(), package["license"].as_str().map(str::to_owned))
    });
    Ok(named.collect())
}

/// Whether an SPDX expression can be satisfied with the allowed licences alone. `/` is the old spelling of OR.
fn satisfies(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = alternatives(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn alternatives(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = conjunction(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= conjunction(words, allowed);
    }
    met
}

fn conjunction(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = term(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= term(words, allowed);
    }
    met
}

fn term(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let met = alternatives(words, allowed);
        return words.next() == Some(")") && met;
    }
    // An exception only adds permissions to its licence.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed.iter().any(|licence| licence == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/GPL-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(satisfies(good, &allowed), "{good}");
        }
        for bad in ["GPL-2.0", "MIT AND GPL-2.0", "", "(MIT", "MIT MIT", "MIT)", "Apache"] {
            assert!(!satisfies(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn build_tools_of_the_page_are_not_shipped() {
        let lock = serde_json::json!({"packages": {
            "": {"license": "MIT"},
            "node_modules/vue": {"license": "MIT"},
            "node_modules/vite": {"license": "X", "dev": true},
            "node_modules/odd": {},
        }});
        let mut shipped = shipped(&lock).unwrap();
        shipped.sort();
        let mit = || Some("MIT".to_owned());
        assert_eq!(
            shipped,
            [("frontend".to_owned(), mit()), ("odd".to_owned(), None), ("vue".to_owned(), mit())]
        );
    }

    #[test]
    fn allowed_licences_are_those_of_the_list() {
        assert_eq!(allowed("[licenses]\nallow = [\"MIT\", \"ISC\"]\n").unwrap(), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n").is_err());
        assert!(allowed("[bans]\n").is_err());
    }
}
