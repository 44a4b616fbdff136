//! Which server modules may import which: the arrows of ARCHITECTURE.md, checked, and no import cycles between files.
//!
//! Production code only: a test may import what it checks against.

mod circles;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use crate::step::root;
use source::{Source, module_of};

/// A top-level module of the server and the ones it may import; those not listed see everything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("snapshot", &[]),
    ("kernel_files", &[]),
    ("config", &["snapshot"]),
    ("host", &["snapshot", "config"]),
    ("cgroups", &["config", "kernel_files"]),
    ("collectors", &["snapshot", "config", "kernel_files"]),
    ("probes", &["snapshot", "config", "kernel_files", "cgroups"]),
    ("stream", &["snapshot", "config"]),
    // Code that queries the store uses its traits; it knows nothing of the engines.
    ("store", &["snapshot", "config", "host"]),
    ("history", &["store", "snapshot", "config", "host"]),
    ("alerts", &["history", "store", "snapshot", "config"]),
    ("profiles", &["history", "store", "snapshot", "config", "cgroups"]),
    ("fleet", &["stream", "profiles", "history", "store", "snapshot", "config", "host"]),
    ("auth", &["store", "snapshot", "config"]),
    // Its sources and the receivers of snapshots are passed to it.
    ("pipeline", &["snapshot", "config", "kernel_files"]),
    (
        "api",
        &["stream", "history", "profiles", "alerts", "fleet", "store", "auth", "snapshot", "config", "host"],
    ),
];

/// A crate and the only modules that may name it.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("async_nats", &["fleet"]),
    ("nkeys", &["fleet"]),
    ("aya", &["probes"]),
    ("aya_log", &["probes"]),
    ("perf_event", &["probes"]),
    ("blazesym", &["profiles"]),
    ("framehop", &["profiles"]),
    ("sqlx", &["store"]),
    ("axum", &["api", "app"]),
];

/// A source file and what it names.
#[derive(Debug)]
struct File {
    name: String,
    source: Source,
}

pub fn check() -> Result<Vec<String>> {
    let files = files(&root().join("perfwatch/src"))?;
    let mut found = Vec::new();
    for (module, file) in &files {
        let problems = problems(module, &file.source, &files);
        found.extend(problems.iter().map(|problem| format!("perfwatch/src/{}: {problem}", file.name)));
    }
    for circle in circles::circles(&files) {
        let names: Vec<&str> = circle.iter().chain(&circle[..1]).map(|at| files[*at].name.as_str()).collect();
        found.push(format!("perfwatch/src: files that import each other: {}", names.join(" -> ")));
    }
    Ok(found)
}

/// The files of the server without its tests, by their module.
fn files(sources: &Path) -> Result<BTreeMap<Vec<String>, File>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(sources) {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(sources)?;
            let name = relative.display().to_string();
            let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
            let source = text.parse().with_context(|| name.clone())?;
            files.insert(module_of(relative), File { name, source });
        }
    }
    let for_tests: Vec<Vec<String>> = files
        .iter()
        .flat_map(|(module, file)| {
            file.source
                .test_modules
                .iter()
                .map(|name| [module.as_slice(), std::slice::from_ref(name)].concat())
        })
        .collect();
    files.retain(|module, _| !for_tests.iter().any(|tests| module.starts_with(tests)));
    Ok(files)
}

/// What one file imports against the arrows.
fn problems(module: &[String], source: &Source, files: &BTreeMap<Vec<String>, File>) -> Vec<String> {
    let Some(room) = module.first() else { return Vec::new() };
    let allowed = MAY_IMPORT.iter().find(|(name, _)| name == room).map(|(_, allowed)| *allowed);
    // Each only once, however often a file repeats it.
    let mut found = BTreeSet::new();
    for named in &source.paths {
        if let Some(allowed) = allowed
            && named.is_anchored()
            && let Some(imported) = named.path_from_root(module).and_then(|path| path.into_iter().next())
            && imported != *room
            && files.contains_key(std::slice::from_ref(&imported))
            && !allowed.contains(&imported.as_str())
        {
            found.insert(format!("{room} may not import {imported}"));
        }
        for (name, allowed) in ONLY_IN {
            if named.segments.first().is_some_and(|first| first == name) && !allowed.contains(&room.as_str())
            {
                found.insert(format!("{name} belongs in {} only", allowed.join(" and ")));
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(path: &str, text: &str) -> Vec<String> {
        let rooms = MAY_IMPORT.iter().map(|(name, _)| *name).chain(["app"]);
        let empty =
            |name: &str| (vec![name.to_owned()], File { name: name.to_owned(), source: Source::default() });
        problems(&module_of(Path::new(path)), &text.parse().unwrap(), &rooms.map(empty).collect())
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
        assert_eq!(
            problems_of("history/writer.rs", "use sqlx::SqlitePool; use crate::api::Intervals;").len(),
            2
        );
        assert_eq!(problems_of("store/chunks.rs", "use crate::history::tier::Tier;").len(), 1);
        assert!(problems_of("history/writer.rs", "use crate::store::chunks::ChunkStore;").is_empty());
    }

    #[test]
    fn files_for_tests_are_left_out() {
        let sources = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(sources.path().join(name), text).unwrap();
        std::fs::create_dir(sources.path().join("tests")).unwrap();
        write("lib.rs", "mod a; #[cfg(test)] mod testing; #[cfg(test)] mod tests;");
        write("a.rs", "");
        write("testing.rs", "");
        write("tests/mod.rs", "mod contract;");
        write("tests/contract.rs", "");
        let files = files(sources.path()).unwrap();
        let names: Vec<&str> = files.values().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["lib.rs", "a.rs"]);
    }
}
