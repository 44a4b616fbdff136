//! Probe `block_io`: requests of known number and size, against the kernel's own statistics of each disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::probe::Probe;
use crate::{Test, Verdict, hogs, load};

pub const TESTS: &[Test] = &[
    Test { name: "block_io::loads", run: loads },
    Test { name: "block_io::direct_reads_match_the_disks_statistics", run: direct_reads_match },
    Test { name: "block_io::writes_and_flushes_match_the_disks_statistics", run: writes_and_flushes_match },
    Test { name: "block_io::synchronous_writes_are_seen", run: synchronous_writes_are_seen },
];

/// Kinds of requests, and where a disk's `stat` counts those that completed, or the sectors they moved: a flush
/// request without data also counts as a write there, when its flush is done.
const KINDS: [(&str, Measure, usize); 5] = [
    ("read", Measure::Requests, 0),
    ("read", Measure::Sectors, 2),
    ("write", Measure::Sectors, 6),
    ("flush", Measure::Requests, 15),
    ("discard", Measure::Requests, 11),
];
type Counts = BTreeMap<String, [u64; KINDS.len()]>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Requests,
    Sectors,
}

impl Measure {
    /// What a document reports for it.
    fn of(self, row: &Value, elapsed_ms: f64) -> u64 {
        match self {
            Self::Requests => row["requests"].as_u64().unwrap_or(0),
            Self::Sectors => {
                let rate = row["bytes_per_sec"].as_f64().unwrap_or(0.0);
                (rate * elapsed_ms / 1e3 / 512.0).round() as u64
            }
        }
    }

    /// How far apart two counts may be, because each CPU may be between the two counts of one request.
    fn slack(self, cpus: usize) -> u64 {
        2 * cpus as u64 * if self == Self::Sectors { 2048 } else { 1 }
    }
}

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("block_io")?;
    probe.now()?;
    let report = probe.report();
    ensure!(report.state == State::Active && report.reason.is_none(), "it does not work: {report:?}");
    Ok(probe)
}

fn loads() -> Result<Verdict> {
    let report = loaded()?.report();
    let names: Vec<&str> = report.programs.iter().map(|program| program.name).collect();
    ensure!(names == ["issue", "complete"], "programs: {names:?}");
    Ok(Verdict::Passed(names.join(" and ")))
}

/// Disks with a driver below them (not made of files or of other disks).
fn disks() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let real = entries.filter(|entry| entry.path().join("device").exists());
    let mut names: Vec<_> = real.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What each disk has completed since boot, in the order of [`KINDS`].
fn completed() -> Result<Counts> {
    let one = |disk: String| {
        let text = std::fs::read_to_string(format!("/sys/block/{disk}/stat"))?;
        let fields: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        // Kernels before 5.5 do not count flushes.
        let counts = KINDS.map(|(_, _, field)| fields.get(field).copied().unwrap_or(0));
        Ok((disk, counts))
    };
    disks().into_iter().map(one).collect()
}

/// The probe's document of an interval in which `work` was done, after checking that each of its counts lies between
/// what the kernel counted inside of the interval and around it.
fn measured(work: impl FnOnce() -> Result<()>) -> Result<Value> {
    let mut probe = loaded()?;
    let before = completed()?;
    probe.now()?;
    let inside_from = completed()?;
    work()?;
    let inside_until = completed()?;
    let document = probe.now()?;
    let after = completed()?;
    let elapsed_ms = document["elapsed_ms"].as_f64().context("no elapsed_ms")?;
    for disk in after.keys() {
        for (at, (kind, measure, _)) in KINDS.into_iter().enumerate() {
            let of = |counts: &Counts| counts.get(disk).map_or(0, |all| all[at]);
            let (least, most) = (of(&inside_until) - of(&inside_from), of(&after) - of(&before));
            let row = &document["devices"][disk][kind];
            let counted = measure.of(row, elapsed_ms);
            let slack = measure.slack(load::cpus()?);
            ensure!(
                (least.saturating_sub(slack)..=most + slack).contains(&counted),
                "{disk}, {kind}: {counted} {measure:?} counted, {least} to {most} by its stat: {row}"
            );
        }
    }
    Ok(document)
}

/// The disk at a path, or the one with the most requests of a kind: a file's path does not reveal its disk.
fn disk_of(path: &Path, document: &Value, kind: &str) -> Result<String> {
    if let (true, Some(name)) = (path.starts_with("/dev"), path.file_name()) {
        return Ok(name.to_string_lossy().into_owned());
    }
    let requests = |disk: &String| document["devices"][disk][kind]["requests"].as_u64();
    disks().into_iter().max_by_key(requests).context("no disk")
}

fn row<'a>(document: &'a Value, disk: &str, kind: &str) -> Result<&'a Value> {
    let row = &document["devices"][disk][kind];
    ensure!(row.is_object(), "{disk} had no {kind} requests");
    Ok(row)
}

fn number(row: &Value, field: &str) -> Result<u64> {
    row[field].as_u64().with_context(|| format!("no {field} in {row}"))
}

/// Requests of the bucket of one size.
fn of_size(row: &Value, bytes: u64) -> Result<u64> {
    let bucket = u64::from(perfwatch_common::histogram::index(bytes));
    let sizes = row["size"]["histogram"]["buckets"].as_array().context("no sizes")?;
    Ok(sizes.iter().find(|entry| entry[0] == bucket).and_then(|entry| entry[1].as_u64()).unwrap_or(0))
}

/// Memory as direct access needs it: aligned to a block.
struct Block(Vec<u8>);

impl Block {
    const LARGEST: usize = 1 << 16;

    fn new() -> Self {
        Self(vec![0; 2 * Self::LARGEST])
    }

    fn bytes(&mut self, length: usize) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(Self::LARGEST);
        &mut self.0[start..start + length]
    }
}

fn open(path: &Path, flags: i32) -> Result<File> {
    let writes = flags & libc::O_DSYNC != 0;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(writes).custom_flags(flags | libc::O_DIRECT).open(path);
    file.with_context(|| path.display().to_string())
}

/// A file on storage, removed when this is dropped; `None` if there is none.
struct OnStorage(PathBuf);

impl OnStorage {
    fn new(length: usize) -> Result<Option<Self>> {
        let Some(directory) = hogs::storage_directory().filter(|_| !disks().is_empty()) else {
            return Ok(None);
        };
        let file = Self(directory.join(format!("perfwatch-blocks-{}", std::process::id())));
        std::fs::write(&file.0, vec![7; length])?;
        File::open(&file.0)?.sync_all()?;
        Ok(Some(file))
    }
}

impl Drop for OnStorage {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn no_storage() -> Verdict {
    Verdict::Skipped("no disk here can be used, nor a file on one (PROBE_TESTS_DIR)".into())
}

fn direct_reads_match() -> Result<Verdict> {
    const READS: [u64; 2] = [200, 300];
    const SIZES: [usize; 2] = [4096, 16_384];
    let devices: Vec<PathBuf> = disks().iter().map(|name| Path::new("/dev").join(name)).collect();
    let mut readable = devices.into_iter().filter(|path| File::open(path).is_ok());
    let mut paths: Vec<PathBuf> = readable.by_ref().take(READS.len()).collect();
    let mut file = None;
    if paths.is_empty() {
        file = OnStorage::new(1 << 20)?;
        paths.extend(file.iter().map(|file| file.0.clone()));
    }
    if paths.is_empty() {
        return Ok(no_storage());
    }
    // Each disk is read in blocks of a different size.
    let document = measured(|| {
        let mut block = Block::new();
        for (path, (reads, size)) in paths.iter().zip(READS.into_iter().zip(SIZES)) {
            let disk = open(path, 0)?;
            for at in 0..reads {
                disk.read_exact_at(block.bytes(size), at % 50 * size as u64)?;
            }
        }
        Ok(())
    })?;
    drop(file);
    let mut words = Vec::new();
    for (path, (reads, size)) in paths.iter().zip(READS.into_iter().zip(SIZES)) {
        let disk = disk_of(path, &document, "read")?;
        let read = row(&document, &disk, "read")?;
        let counted = number(read, "requests")?;
        let sized = of_size(read, size as u64)?;
        ensure!(sized >= reads, "{reads} reads of {size} bytes from {disk}, {sized} of that size: {read}");
        let latencies = number(&read["histogram"], "count")?;
        ensure!(
            latencies + number(read, "unseen")? == counted,
            "{latencies} latencies of {counted} requests"
        );
        let median = |row: &Value| row["p50_us"].as_f64().context("no median");
        let (device, queue) = (median(read)?, median(&read["from_queue"])?);
        ensure!(device > 0.0 && device < 10e6 && queue > 0.0, "medians {device} and {queue} µs: {read}");
        let total = number(&document["total"]["histogram"], "count")?;
        ensure!(total >= latencies, "the total has {total} of {latencies}");
        words.push(format!(
            "{reads} reads of {size} bytes from {disk}, {counted} counted; median {device} µs from issue, {queue} µs \
             from queue"
        ));
    }
    Ok(Verdict::Passed(words.join("; ")))
}

/// Discards a disk's first mebibyte; false if it does not support that.
fn discard(disk: &File) -> bool {
    const BLKDISCARD: libc::Ioctl = 0x1277u32 as libc::Ioctl;
    let range: [u64; 2] = [0, 1 << 20];
    // SAFETY: the request reads two 64-bit numbers, which outlive it.
    unsafe { libc::ioctl(disk.as_raw_fd(), BLKDISCARD, range.as_ptr()) == 0 }
}

/// A write that must be durable is one request to the user and up to three to a disk with a cache: a flush,
/// the data, a flush. Each must be counted as what it is, and once.
fn writes_and_flushes_match() -> Result<Verdict> {
    const WRITES: u64 = 60;
    // A guest's disks keep nothing. Anywhere else only our own file may be written.
    let file = if load::in_guest() { None } else { OnStorage::new(1 << 20)? };
    let path = match (&file, disks().first()) {
        (Some(file), _) => file.0.clone(),
        (None, Some(disk)) if load::in_guest() => Path::new("/dev").join(disk),
        _ => return Ok(no_storage()),
    };
    let mut discarded = false;
    let document = measured(|| {
        let mut block = Block::new();
        let synchronous = open(&path, libc::O_DSYNC)?;
        for at in 0..WRITES {
            synchronous.write_all_at(block.bytes(8192), at % 50 * 8192)?;
        }
        let lazy = OpenOptions::new().write(true).open(&path)?;
        for at in 0..WRITES {
            lazy.write_all_at(&[1; 512], at * 4096)?;
            lazy.sync_data()?;
        }
        discarded = load::in_guest() && discard(&lazy);
        Ok(())
    })?;
    let disk = disk_of(&path, &document, "write")?;
    let written = row(&document, &disk, "write")?;
    let (counted, unseen) = (number(written, "requests")?, number(written, "unseen")?);
    ensure!(counted >= 2 * WRITES, "{} writes were waited for, {counted} counted", 2 * WRITES);
    ensure!(unseen <= counted / 10, "{unseen} of {counted} writes were not seen when they were issued");
    // Two blocks of a file may be apart on its disk, and then are two requests.
    let [whole, halves] = [of_size(written, 8192)?, of_size(written, 4096)?];
    let enough = if load::in_guest() { whole >= WRITES } else { 2 * whole + halves >= 3 * WRITES };
    ensure!(enough, "sizes: {}", written["size"]);
    ensure!(!load::in_guest() || counted == 2 * WRITES, "{} writes were made, {counted} counted", 2 * WRITES);
    let mut words = format!("{} synchronous writes: {counted} writes", 2 * WRITES);
    let cache = std::fs::read_to_string(format!("/sys/block/{disk}/queue/write_cache"))?;
    if load::in_guest() && cache.trim() == "write back" {
        let flushes = number(row(&document, &disk, "flush")?, "requests")?;
        ensure!(flushes >= 2 * WRITES, "{words}, {flushes} flushes of a disk with a cache");
        words.push_str(&format!(", {flushes} flushes"));
    }
    if discarded {
        let discards = number(row(&document, &disk, "discard")?, "requests")?;
        words.push_str(&format!(", {discards} discards"));
    }
    Ok(Verdict::Passed(words))
}

fn synchronous_writes_are_seen() -> Result<Verdict> {
    let Some(directory) = hogs::storage() else { return Ok(no_storage()) };
    let mut probe = loaded()?;
    let writes = |counts: Counts| counts.values().map(|all| all[2]).sum::<u64>();
    let before = writes(completed()?);
    let hog = hogs::Hog::start(hogs::IO, &directory.to_string_lossy())?;
    probe.next()?;
    let document = probe.next()?;
    drop(hog);
    if writes(completed()?) == before {
        return Ok(Verdict::Skipped(format!("{} does not lie on a disk", directory.display())));
    }
    let disk = disk_of(&directory, &document, "write")?;
    let write = row(&document, &disk, "write")?;
    let requests = number(write, "requests")?;
    ensure!(requests > 0 && write["bytes_per_sec"].as_f64().unwrap_or(0.0) > 1e5, "no writes: {write}");
    Ok(Verdict::Passed(format!("{requests} writes in a second, p99 {} µs", write["p99_us"])))
}
