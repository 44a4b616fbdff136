//! A recorded machine (`tests/fixtures/proc/<name>`), unpacked where the collectors take it for the real one.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use perfwatch::collectors;
use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Source, Tick};
use serde_json::Value;
use tempfile::TempDir;
use time::macros::datetime;

pub(crate) const ALL: [&str; 4] = ["vm", "many", "arm64", "bare"];

/// The times at which each machine was recorded, with some activity in between.
pub(crate) const FIRST: &str = "first";
pub(crate) const SECOND: &str = "second";

pub(crate) struct Machine {
    name: &'static str,
    folder: TempDir,
}

impl Machine {
    /// The machine at the first moment.
    pub(crate) fn new(name: &'static str) -> Self {
        let machine = Self { name, folder: tempfile::tempdir().unwrap() };
        machine.play(FIRST);
        machine
    }

    /// A machine without any files, for the test to write.
    pub(crate) fn blank() -> Self {
        Self { name: "blank", folder: tempfile::tempdir().unwrap() }
    }

    /// Files are overwritten in place, like the kernel's, because collectors keep them open.
    pub(crate) fn play(&self, recording: &str) {
        let mut gone: BTreeSet<PathBuf> = walk(self.folder.path().to_owned());
        for (path, text) in files(&self.recording(recording)) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            gone.remove(&path);
        }
        for path in gone {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn roots(&self) -> Roots {
        // Nothing is mounted below `root`: the space on another machine's disks cannot be queried.
        Roots { procfs: self.path("/proc"), sysfs: self.path("/sys"), rootfs: self.path("/root") }
    }

    /// A file's content at that moment.
    pub(crate) fn text(&self, recording: &str, path: &str) -> String {
        let recording = self.recording(recording);
        let found = files(&recording).into_iter().find(|(name, _)| *name == path);
        found.unwrap_or_else(|| panic!("{} has no {path}", self.name)).1.to_owned()
    }

    /// Removes a file, if the machine has it.
    pub(crate) fn remove(&self, path: &str) {
        let _ = fs::remove_file(self.path(path));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.write_bytes(path, text.as_bytes());
    }

    pub(crate) fn write_bytes(&self, path: &str, text: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn source(&self, name: &str) -> Box<dyn Source> {
        let (_, new) = collectors::REGISTRY.iter().find(|(known, _)| *known == name).unwrap();
        new(&self.roots())
    }

    /// One collector's documents at both recorded moments.
    pub(crate) fn two(&self, name: &str) -> Two {
        self.before_and_after(name, || self.play(SECOND))
    }

    /// One collector's documents before and after something happens.
    pub(crate) fn before_and_after(&self, name: &str, happens: impl FnOnce()) -> Two {
        let mut source = self.source(name);
        let begun = Instant::now();
        let first = sample(source.as_mut());
        let first_done = Instant::now();
        happens();
        let second_begun = Instant::now();
        let second = sample(source.as_mut());
        Two { first, second, least: second_begun - first_done, most: begun.elapsed() }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.folder.path().join(absolute.trim_start_matches('/'))
    }

    fn recording(&self, recording: &str) -> String {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proc");
        fs::read_to_string(format!("{fixtures}/{}/{recording}.txt", self.name)).unwrap()
    }
}

/// Two documents of one collector, and what is known of the time between them.
#[derive(Debug)]
pub(crate) struct Two {
    pub(crate) first: Value,
    pub(crate) second: Value,
    least: Duration,
    most: Duration,
}

impl Two {
    /// Asserts that the rate at `pointer` is null in the first document and `delta` per elapsed second in the second.
    pub(crate) fn expect_rate(&self, pointer: &str, delta: f64) {
        assert_eq!(self.first.pointer(pointer), Some(&Value::Null), "{pointer} on the first tick");
        let rate = self.second.pointer(pointer).and_then(Value::as_f64);
        let rate = rate.unwrap_or_else(|| panic!("{pointer} on the second tick of {}", self.second));
        assert!(self.is_rate_of(delta, rate), "{pointer}: {rate} for {delta} in {:?}", self.least..self.most);
    }

    /// Whether `rate` is `delta` per elapsed second, as far as that time is known.
    pub(crate) fn is_rate_of(&self, delta: f64, rate: f64) -> bool {
        let rounding = rate.abs() * 1e-9 + 0.01;
        let (least, most) = (delta / self.most.as_secs_f64(), delta / self.least.as_secs_f64());
        (least - rounding..=most + rounding).contains(&rate)
    }
}

/// The document as a client sees it.
pub(crate) fn sample(source: &mut dyn Source) -> Value {
    try_sample(source).unwrap_or_else(|error| panic!("{}: {error}", source.name()))
}

pub(crate) fn try_sample(source: &mut dyn Source) -> Result<Value, String> {
    let tick = Tick::new(datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1));
    let reading = source.sample(&tick).map_err(|error| error.to_string())?;
    Ok(serde_json::from_slice(&reading.json()).unwrap())
}

/// The recorded files with their paths: each follows a line `==> PATH <==`.
fn files(recording: &str) -> Vec<(&str, &str)> {
    let sections = recording.strip_prefix("==> ").unwrap().split("\n==> ");
    sections
        .map(|section| {
            let (path, text) = section.split_once(" <==").unwrap();
            let text = text.strip_prefix('\n').unwrap_or(text);
            (path, text)
        })
        .collect()
}

fn walk(folder: PathBuf) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.append(&mut walk(path)) } else { assert!(found.insert(path)) }
    }
    found
}
