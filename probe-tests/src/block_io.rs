//! Probe `block_io`: direct reads of known number and size, against the kernel's statistics of the disk.

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::hogs;
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "block_io::loads", run: loads },
    Test { name: "block_io::direct_reads_match_the_disks_statistics", run: direct_reads_match },
    Test { name: "block_io::synchronous_writes_are_seen", run: synchronous_writes_are_seen },
];

/// Fields of a disk's `stat`.
const READS: usize = 0;
const WRITES: usize = 4;

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("block_io")?;
    probe.next()?;
    let report = probe.report();
    ensure!(report.state == State::Active && report.reason.is_none(), "it does not work: {report:?}");
    probe.next()?;
    Ok(probe)
}

fn loads() -> Result<Verdict> {
    let report = loaded()?.report();
    let names: Vec<&str> = report.programs.iter().map(|program| program.name.as_str()).collect();
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

/// Something to read blocks of: a disk that may be opened, or else a file that lies on one.
fn blocks(count: u64) -> Result<Option<PathBuf>> {
    let devices = disks().into_iter().map(|name| Path::new("/dev").join(name));
    if let Some(device) = devices.into_iter().find(|path| std::fs::File::open(path).is_ok()) {
        return Ok(Some(device));
    }
    let Some(directory) = hogs::storage_directory().filter(|_| !disks().is_empty()) else { return Ok(None) };
    let path = directory.join(format!("perfwatch-blocks-{}", std::process::id()));
    std::fs::write(&path, vec![7; usize::try_from(count)? * 4096])?;
    std::fs::File::open(&path)?.sync_all()?;
    Ok(Some(path))
}

/// Completed reads or writes of all disks since boot.
fn completed(field: usize) -> Result<u64> {
    let mut sum = 0;
    for disk in disks() {
        let text = std::fs::read_to_string(format!("/sys/block/{disk}/stat"))?;
        let value = text.split_whitespace().nth(field).context("too few fields")?;
        sum += value.parse::<u64>().context("not a number")?;
    }
    Ok(sum)
}

/// The row of the disk that had the most requests of a kind.
fn busiest<'a>(document: &'a Value, operation: &str) -> Result<(&'a str, &'a Value)> {
    let rows = document["devices"].as_object().context("no devices")?.iter();
    let rows =
        rows.filter(|(name, _)| disks().contains(name)).map(|(name, row)| (name.as_str(), &row[operation]));
    rows.max_by_key(|(_, row)| row["requests"].as_u64()).context("no disk had requests")
}

fn number(row: &Value, field: &str) -> Result<u64> {
    row[field].as_u64().with_context(|| format!("no {field} in {row}"))
}

/// Reads blocks past every cache.
fn read_directly(path: &Path, blocks: u64) -> Result<()> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let mut memory = vec![0u8; 8192];
    let start = memory.as_ptr().align_offset(4096);
    let buffer = &mut memory[start..start + 4096];
    for block in 0..blocks {
        file.read_exact_at(buffer, block * 4096)?;
    }
    Ok(())
}

fn direct_reads_match() -> Result<Verdict> {
    const BLOCKS: u64 = 200;
    let Some(path) = blocks(BLOCKS)? else {
        return Ok(Verdict::Skipped("no disk here can be read, nor a file on one (PROBE_TESTS_DIR)".into()));
    };
    let mut probe = loaded()?;
    let before = completed(READS)?;
    let result = read_directly(&path, BLOCKS);
    if !path.starts_with("/dev") {
        std::fs::remove_file(&path)?;
    }
    result?;
    let document = probe.next()?;
    let after = completed(READS)?;
    let (disk, read) = busiest(&document, "read")?;
    let counted = number(read, "requests")?;
    let independent = after - before;
    let words = format!("{BLOCKS} reads of {disk}: {counted} counted, {independent} in the disks' stat");
    ensure!(counted >= BLOCKS, "{words}");
    ensure!(counted.abs_diff(independent) <= 2 + independent / 20, "{words}");
    // 4096 bytes are the smallest of their bucket.
    let bucket = u64::from(perfwatch_common::histogram::index(4096));
    let sizes = read["size"]["histogram"]["buckets"].as_array().context("no sizes")?;
    let of_4096 = sizes.iter().find(|entry| entry[0] == bucket).and_then(|entry| entry[1].as_u64());
    ensure!(of_4096.unwrap_or(0) >= BLOCKS, "sizes: {sizes:?}");
    let latencies = number(&read["histogram"], "count")?;
    ensure!(latencies + number(read, "unseen")? == counted, "{latencies} latencies of {counted} requests");
    let median = |row: &Value| row["p50_us"].as_f64().context("no median");
    let (device, queue) = (median(read)?, median(&read["from_queue"])?);
    ensure!(device > 0.0 && device < 10e6 && queue > 0.0, "medians {device} and {queue} µs: {read}");
    let total = number(&document["total"]["histogram"], "count")?;
    ensure!(total >= latencies, "the total has {total} of {latencies}");
    Ok(Verdict::Passed(format!("{words}; median {device} µs from issue, {queue} µs from queue")))
}

fn synchronous_writes_are_seen() -> Result<Verdict> {
    let Some(directory) = hogs::storage_directory() else {
        return Ok(Verdict::Skipped("no directory here lies on storage (PROBE_TESTS_DIR)".into()));
    };
    let mut probe = loaded()?;
    let before = completed(WRITES)?;
    let hog = hogs::Hog::start(hogs::IO, &directory.to_string_lossy())?;
    probe.next()?;
    let document = probe.next()?;
    drop(hog);
    if completed(WRITES)? == before {
        return Ok(Verdict::Skipped(format!("{} does not lie on a disk", directory.display())));
    }
    let (_, write) = busiest(&document, "write")?;
    let requests = number(write, "requests")?;
    ensure!(requests > 0 && write["bytes_per_sec"].as_f64().unwrap_or(0.0) > 1e5, "no writes: {write}");
    Ok(Verdict::Passed(format!("{requests} writes in a second, p99 {} µs", write["p99_us"])))
}
