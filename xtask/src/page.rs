//! The page: npm packages and Vite's output, each rebuilt only when its inputs change.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::build_ebpf::sha256;
use crate::step::{npm, quiet, root};

/// Parts of `frontend/` that do not end up in the page, or are generated from the rest.
const NOT_SOURCES: &[&str] = &["node_modules", "dist", "e2e", "tests", "coverage", "test-results"];

fn frontend() -> PathBuf {
    root().join("frontend")
}

/// npm's packages as the lock file names them.
pub fn install_packages() -> Result<()> {
    let lock = fs::read(frontend().join("package-lock.json")).context("frontend/package-lock.json")?;
    let stamp = Stamp { file: frontend().join("node_modules/.perfwatch-lock"), hash: sha256(&lock) };
    if stamp.is_current() {
        return Ok(());
    }
    quiet("Installing npm packages", npm(&["ci", "--no-audit", "--no-fund"]))?;
    stamp.write()
}

/// `frontend/dist`, which the server's build embeds.
pub fn build() -> Result<()> {
    install_packages()?;
    let stamp = Stamp { file: root().join("target/page.sha256"), hash: hash_sources(&frontend())? };
    if stamp.is_current() && frontend().join("dist/index.html").exists() {
        return Ok(());
    }
    quiet("Building the page", npm(&["run", "--silent", "build"]))?;
    stamp.write()
}

/// Remembers the inputs of a result.
struct Stamp {
    file: PathBuf,
    hash: String,
}

impl Stamp {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|recorded| recorded == self.hash)
    }

    fn write(&self) -> Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.file, &self.hash).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

fn hash_sources(frontend: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let is_source = |entry: &walkdir::DirEntry| {
        entry.depth() != 1 || !NOT_SOURCES.iter().any(|name| entry.file_name() == *name)
    };
    for entry in walkdir::WalkDir::new(frontend).sort_by_file_name().into_iter().filter_entry(is_source) {
        let entry = entry?;
        if entry.file_type().is_file() {
            hash.update(entry.path().strip_prefix(frontend)?.to_string_lossy().as_bytes());
            hash.update(sha256(&fs::read(entry.path())?));
        }
    }
    Ok(sha256(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_up_in_the_page_counts() {
        let frontend = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let path = frontend.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            hash_sources(frontend.path()).unwrap()
        };
        let first = write("src/main.ts", "1");
        assert_eq!(first, write("node_modules/vue/index.js", "x"));
        assert_eq!(first, write("tests/main.spec.ts", "x"));
        assert_ne!(first, write("src/main.ts", "2"));
        assert_eq!(first, write("src/main.ts", "1"));
        assert_ne!(first, write("src/tests/deep.ts", "x"));
    }

    #[test]
    fn a_stamp_is_current_only_for_its_own_hash() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/stamp");
        let stamp = Stamp { file: file.clone(), hash: "a".to_owned() };
        assert!(!stamp.is_current());
        stamp.write().unwrap();
        assert!(stamp.is_current());
        assert!(!Stamp { file, hash: "b".to_owned() }.is_current());
    }
}
