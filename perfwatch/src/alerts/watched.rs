//! The files of rules as they change: one that is broken keeps the rules that it had before.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::channel::Channel;
use super::file::{At, File, paths_of};
use super::period::Period;

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug)]
pub struct Watched {
    dir: PathBuf,
    /// When it was last read.
    seen: Option<BTreeMap<PathBuf, Option<Stamp>>>,
    /// The last versions without problems.
    good: BTreeMap<PathBuf, File>,
    /// The channels in them, with their file.
    channels: Vec<(PathBuf, At<Channel>)>,
}

impl Watched {
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir, seen: None, good: BTreeMap::new(), channels: Vec::new() }
    }

    /// Whether a file has come, gone or changed since it was last read.
    pub fn has_changed(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| *seen != stamps(&self.dir))
    }

    /// The channels as they were last read.
    pub fn channels(&self) -> &[(PathBuf, At<Channel>)] {
        &self.channels
    }

    pub fn read(&mut self, retention: Period) -> Vec<File> {
        let files = self.read_files(retention);
        let channels = |file: &File| {
            file.channels.iter().map(|channel| (file.path.clone(), channel.clone())).collect::<Vec<_>>()
        };
        self.channels = files.iter().flat_map(channels).collect();
        files
    }

    fn read_files(&mut self, retention: Period) -> Vec<File> {
        // Before they are read: a change meanwhile is seen the next time.
        self.seen = Some(stamps(&self.dir));
        let mut files = File::read_all(&self.dir, retention);
        if let [only] = files.as_slice()
            && only.path == self.dir
        {
            // The directory itself cannot be read.
            files.extend(self.good.values().cloned());
            return files;
        }
        self.good.retain(|path, _| files.iter().any(|file| file.path == *path));
        for file in &mut files {
            if file.problems.is_empty() {
                self.good.insert(file.path.clone(), file.clone());
            } else if let Some(good) = self.good.get(&file.path) {
                let mut problems = std::mem::take(&mut file.problems);
                let path = file.path.display();
                problems.push(format!("{path}: its earlier rules apply until it is mended"));
                *file = File { problems, ..good.clone() };
            }
        }
        files
    }
}

fn stamps(dir: &Path) -> BTreeMap<PathBuf, Option<Stamp>> {
    let stamp = |path: PathBuf| {
        let stamp = std::fs::metadata(&path).ok().map(|found| Stamp {
            inode: found.ino(),
            length: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        });
        (path, stamp)
    };
    paths_of(dir).unwrap_or_default().into_iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTH: Period = Period::seconds(30 * 86_400);

    fn rule(name: &str) -> String {
        format!("[[rule]]\nname = \"{name}\"\nfield = \"cpu.usage_percent\"\nwarning = {{ above = 1 }}\n")
    }

    fn names(files: &[File]) -> Vec<&str> {
        files.iter().flat_map(|file| &file.rules).map(|rule| rule.what.name.as_str()).collect()
    }

    #[test]
    fn channels_are_kept_with_the_rules_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let channel = "[[channel]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"https://example.org\"\n";
        std::fs::write(&path, channel).unwrap();
        let mut watched = Watched::new(dir.path().to_owned());
        watched.read(MONTH);
        let names = |watched: &Watched| -> Vec<String> {
            watched.channels().iter().map(|(_, channel)| channel.what.name.clone()).collect()
        };
        assert_eq!(names(&watched), ["ops"]);
        std::fs::write(&path, "[[channel").unwrap();
        watched.read(MONTH);
        assert_eq!(names(&watched), ["ops"]);
    }

    #[test]
    fn changes_are_seen_and_a_broken_file_keeps_its_rules() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        let mut watched = Watched::new(dir.path().to_owned());
        assert!(!watched.has_changed() && watched.read(MONTH).is_empty());
        std::fs::write(&path, rule("one")).unwrap();
        assert!(watched.has_changed());
        assert_eq!(names(&watched.read(MONTH)), ["one"]);
        assert!(!watched.has_changed());

        std::fs::write(&path, format!("{}[[rule", rule("two"))).unwrap();
        assert!(watched.has_changed());
        let files = watched.read(MONTH);
        assert_eq!(names(&files), ["one"]);
        assert_eq!(files[0].problems.len(), 2, "{:?}", files[0].problems);
        assert!(files[0].problems[1].ends_with("its earlier rules apply until it is mended"));

        std::fs::write(&path, rule("three")).unwrap();
        let files = watched.read(MONTH);
        assert_eq!((names(&files), files[0].problems.len()), (vec!["three"], 0));
        std::fs::remove_file(&path).unwrap();
        assert!(watched.has_changed() && watched.read(MONTH).is_empty());
        // It is forgotten with the file.
        std::fs::write(&path, "?").unwrap();
        assert!(names(&watched.read(MONTH)).is_empty());
    }
}
