//! A load of known parts, from the running kernel to every tier of history: shares and ranks are those of the kernel's own
//! counts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use perfwatch::config::Roots;
use perfwatch::history::History;
use perfwatch::history::questions::usage::accounts::Whose;
use perfwatch::history::questions::usage::amounts::Amounts;
use perfwatch::history::questions::usage::ranking::{By, Ranked, RankingQuery, ranking};
use perfwatch::history::rollup::{roll, store_readings};
use perfwatch::probes::{self, Options};
use perfwatch::snapshot::source::Tick;
use perfwatch::store;
use time::OffsetDateTime;
use time::macros::datetime;

/// The times in history: half a second of the load stands for twenty of them, so that it fills ten minutes.
const START: OffsetDateTime = datetime!(2026-01-02 00:00:00 UTC);
const TICKS: u32 = 30;
const TICK: Duration = Duration::from_millis(500);
const TOLD: Duration = Duration::from_secs(20);
/// Short-lived processes.
const BRIEF: u32 = 300;
const WRITTEN: u64 = 48 << 20;

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program under a name of its own.
fn named(dir: &Path, program: &str, name: &str) -> PathBuf {
    let copy = dir.join(name);
    let found = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(program));
    std::fs::copy(found.iter().find(|path| path.exists()).unwrap(), &copy).unwrap();
    copy
}

/// Time on a CPU by the kernel's own count, s.
fn scheduled(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

/// A cgroup for one test, where groups may be made.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let root =
            if root.join("cgroup.controllers").exists() { root.to_owned() } else { root.join("memory") };
        let path = root.join(format!("perfwatch-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn take(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    fn path(&self) -> String {
        format!("/{}", self.0.file_name().unwrap().to_str().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn near(found: f64, right: f64) -> bool {
    // The readings begin and end a moment away from the kernel's counts that they are compared with.
    (found - right).abs() <= 0.02 * right + 0.03
}

#[tokio::test]
async fn a_load_of_known_parts_is_right_in_every_tier() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut sources = probes::all(&Roots::default(), Options::UNLIMITED);
    let mut take = |n: u32| {
        let tick = Tick::new(START + TOLD * n, TOLD);
        let mut readings: Vec<_> = sources
            .iter_mut()
            .filter(|source| ["processes", "usage"].contains(&source.name()))
            .map(|source| source.sample(&tick).unwrap())
            .collect();
        readings.pop().unwrap()
    };
    let nothing_yet = take(0);
    if !sources_count_tasks(&nothing_yet, &mut take) {
        println!("skipped: eBPF is not permitted here");
        return;
    }

    let hog = named(dir.path(), "sh", "pw-known-hog");
    let groups: Vec<Option<Group>> = ["a", "b", "c"].map(Group::new).into();
    let hogs: Vec<Running> = groups
        .iter()
        .zip([0, 4, 9])
        .map(|(group, niceness)| {
            let script = format!("renice -n {niceness} $$ >/dev/null; while :; do :; done");
            let hog = Running(Command::new(&hog).args(["-c", &script]).spawn().unwrap());
            if let Some(group) = group {
                group.take(hog.0.id());
            }
            hog
        })
        .collect();
    let writer = named(dir.path(), "dd", "pw-known-writer");
    let output = format!("of={}", dir.path().join("written").display());
    let brief = named(dir.path(), "true", "pw-known-brief");
    let churn = format!("for i in $(seq {BRIEF}); do {}; sleep 0.01; done", brief.display());

    take(2); // what runs has been seen
    let before: Vec<f64> = hogs.iter().map(|hog| scheduled(hog.0.id()).unwrap()).collect();
    let blocks = format!("count={}", WRITTEN >> 20);
    let mut writer = Running(
        Command::new(&writer)
            .args(["if=/dev/zero", &output, "bs=1M", &blocks, "conv=fsync"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut churn = Running(Command::new("sh").args(["-c", &churn]).spawn().unwrap());
    let mut readings = Vec::new();
    for n in 0..TICKS {
        std::thread::sleep(TICK);
        if n == TICKS - 1 {
            // Whatever they do after the last tick is not counted.
            assert!(writer.0.wait().unwrap().success() && churn.0.wait().unwrap().success());
        }
        readings.push(take(n + 3));
    }
    let used: Vec<f64> =
        hogs.iter().zip(&before).map(|(hog, before)| scheduled(hog.0.id()).unwrap() - before).collect();
    drop(hogs);

    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let history = History::new(store.clone(), "test-host");
    store_readings(&history, &readings, Vec::new()).await.unwrap();
    let query = |by, (start, end): (OffsetDateTime, OffsetDateTime)| RankingQuery {
        whose: Whose::default(),
        start,
        end,
        by,
        order: Amounts::order("cpu_percent").unwrap(),
        limit: 100,
    };
    let hour = (START, START + Duration::from_secs(3599));
    let week = (START - Duration::from_secs(3 * 86_400), START + Duration::from_secs(4 * 86_400));
    let month = (START - Duration::from_secs(60 * 86_400), START + Duration::from_secs(60 * 86_400));
    for (tier, range) in [("minutes", hour), ("hours", week), ("days", month)] {
        if tier == "hours" {
            roll(&history, (START.unix_timestamp() + 9 * 86_400) * 1_000_000).await.unwrap();
        }
        let names = ranking(&history, query(By::Name, range)).await.unwrap();
        let named = |name: &str| -> &Ranked {
            names
                .rows
                .iter()
                .find(|row| row.name.as_deref() == Some(name))
                .unwrap_or_else(|| panic!("{tier}: {name}"))
        };
        let cpu = |row: &Ranked| row.used.cpu_us() / 1e6;
        let all: f64 = used.iter().sum();
        assert!(near(cpu(named("pw-known-hog")), all), "{tier}: {} of {all}", cpu(named("pw-known-hog")));
        let parts: f64 = names.rows.iter().map(cpu).sum::<f64>() + names.other.cpu_us() / 1e6;
        assert!((parts - names.total.cpu_us() / 1e6).abs() < 1e-3, "{tier}");
        // An exit that is missed is part of the rest.
        let ended = named("pw-known-brief").used.total("exits").unwrap();
        assert!(
            (ended - f64::from(BRIEF)).abs() <= 0.02 * f64::from(BRIEF),
            "{tier}: {ended} of {BRIEF} have ended"
        );
        let written = named("pw-known-writer").used.total("write_bytes").unwrap();
        assert!((written - WRITTEN as f64).abs() < 0.02 * WRITTEN as f64, "{tier}: {written}");

        if groups.iter().all(Option::is_some) {
            let cgroups = ranking(&history, query(By::Cgroup, range)).await.unwrap();
            let mut shares: Vec<(String, f64)> = groups
                .iter()
                .flatten()
                .zip(&used)
                .map(|(group, right)| {
                    let path = group.path();
                    let row = cgroups.rows.iter().find(|row| row.cgroup.as_deref() == Some(&path)).unwrap();
                    assert!(near(cpu(row), *right), "{tier}: {} of {right} in {path}", cpu(row));
                    (path, *right)
                })
                .collect();
            shares.sort_by(|a, b| b.1.total_cmp(&a.1));
            let ranked: Vec<&str> = cgroups.rows.iter().filter_map(|row| row.cgroup.as_deref()).collect();
            let places: Vec<usize> =
                shares.iter().map(|(path, _)| ranked.iter().position(|of| of == path).unwrap()).collect();
            assert!(places.is_sorted(), "{tier}: {shares:?} at {places:?}");
        }
    }
    store.close().await;
}

/// Whether the programs could be loaded: then the second reading has an interval.
fn sources_count_tasks(
    first: &perfwatch::snapshot::Reading,
    take: &mut impl FnMut(u32) -> perfwatch::snapshot::Reading,
) -> bool {
    let counts = |reading: &perfwatch::snapshot::Reading| {
        let text = String::from_utf8(reading.json().to_vec()).unwrap();
        text.contains("\"context_switches\":") && !text.contains("\"context_switches\":null")
    };
    std::thread::sleep(TICK);
    counts(&take(1)) || counts(first)
}
