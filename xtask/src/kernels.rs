//! `cargo xtask kernels`: the probes in guests that run other kernels, x86-64 and arm64.

mod guest;
mod images;
mod initramfs;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use self::guest::Guest;
use self::images::{Image, Series};
use self::report::Outcome;
use crate::cross::{Architecture, Toolchain};
use crate::debian::{self, Archive};
use crate::prerequisites::{self, Purpose};
use crate::step::root;

const INIT: &str = include_str!("kernels/init.sh");

/// Load every probe in guests with other kernels, cause events and check the counts
///
/// Boots Debian's kernels 5.10, 6.1, 6.12, 6.18 and the newest for x86-64 and arm64 under QEMU (software
/// emulation), each with a statically linked probe-tests and the prebuilt eBPF objects. The arm64 guests
/// have an emulated PMU, whose hardware counts are checked too. Kernels are cached in the user's cache
/// directory. If the packages or Debian's archive are not available, it says so and skips.
#[derive(clap::Args)]
pub struct Options {
    /// Only guests of this architecture
    #[arg(long, value_parser = with_probes)]
    arch: Option<Architecture>,
    /// Only this kernel, such as 6.12 or newest
    #[arg(long, value_parser = series)]
    kernel: Option<Series>,
    /// Only guests with this many CPUs, 1 or 2
    #[arg(long)]
    cpus: Option<u32>,
    /// Only tests whose names contain this
    #[arg(long, default_value = "")]
    test: String,
    /// Guests that run at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print what the guests print
    #[arg(long)]
    console: bool,
}

fn with_probes(text: &str) -> Result<Architecture, String> {
    let found = Architecture::WITH_PROBES.into_iter().find(|architecture| architecture.to_string() == text);
    found.ok_or_else(|| {
        format!("not one of {}", Architecture::WITH_PROBES.map(|all| all.to_string()).join(", "))
    })
}

fn series(text: &str) -> Result<Series, String> {
    let all = Series::ALL.map(|series| series.to_string());
    let found = all.iter().position(|series| series == text);
    found.map(|at| Series::ALL[at]).ok_or_else(|| format!("not one of {}", all.join(", ")))
}

pub fn kernels(options: &Options) -> Result<()> {
    let architectures = options.arch.map_or(Architecture::WITH_PROBES.to_vec(), |one| vec![one]);
    let tools = match Tools::find(&architectures) {
        Ok(tools) => tools,
        Err(reason) => {
            println!("SKIPPED: kernels: {reason:#}");
            println!("kernels: 0 passed, 0 failed, 1 skipped");
            return Ok(());
        }
    };
    let series = options.kernel.map_or(Series::ALL.to_vec(), |one| vec![one]);
    let (images, reasons) = images::find(&architectures, &series)?;
    for reason in &reasons {
        println!("SKIPPED: kernels: {reason}");
    }
    let outcomes = if images.is_empty() { Vec::new() } else { run(options, &tools, images)? };
    let count = report::print(&outcomes);
    println!(
        "\nkernels: {} passed, {} failed, {} skipped",
        count.passed,
        count.failed,
        count.skipped + reasons.len()
    );
    if outcomes.iter().any(|outcome| !outcome.is_good()) {
        bail!("probe tests failed in at least one guest");
    }
    Ok(())
}

/// What must be on this machine before a guest can be made; otherwise guests are skipped.
#[derive(Debug)]
struct Tools {
    toolchain: Toolchain,
    busyboxes: Vec<(Architecture, PathBuf)>,
}

impl Tools {
    fn find(architectures: &[Architecture]) -> Result<Self> {
        prerequisites::ensure(Purpose::Kernels)?;
        let toolchain = Toolchain::find(architectures)?;
        let busyboxes = architectures.iter().map(|&of| Ok((of, busybox(of)?))).collect::<Result<_>>()?;
        Ok(Self { toolchain, busyboxes })
    }
}

/// Boots every guest and reads its test results.
fn run(options: &Options, tools: &Tools, images: Vec<Image>) -> Result<Vec<Outcome>> {
    let architectures: Vec<Architecture> =
        tools.busyboxes.iter().map(|(architecture, _)| *architecture).collect();
    let tests = tools.toolchain.build("probe-tests", "guest", &architectures)?;
    let programs: Vec<Programs> = tools
        .busyboxes
        .iter()
        .zip(tests)
        .map(|((architecture, busybox), tests)| Programs::read(*architecture, busybox, &tests))
        .collect::<Result<_>>()?;
    let folder = root().join("target/guests");
    fs::create_dir_all(&folder)?;
    let guests = guests(images, options.cpus);
    println!("==> Booting {} guests", guests.len());
    let printing = Mutex::new(());
    let outcomes = in_parallel(options.jobs, guests, |guest| {
        let programs = programs.iter().find(|programs| programs.architecture == guest.image.architecture);
        let console = programs
            .context("no programs for this architecture")
            .and_then(|programs| programs.initramfs(&guest, &options.test, &folder))
            .and_then(|initramfs| guest.boot(&initramfs.0));
        let outcome = match &console {
            Ok(console) => Outcome::of(guest.to_string(), console),
            Err(error) => Outcome::failed(guest.to_string(), format!("{error:#}")),
        };
        println!(
            "{guest}: {} in {:.0} s",
            if outcome.is_good() { "good" } else { "FAILED" },
            outcome.seconds()
        );
        if let Ok(console) = &console
            && (options.console || !outcome.is_good())
        {
            let _whole = printing.lock();
            println!("---- {guest}");
            for (at, line) in &console.lines {
                println!("{:7.2} s  {line}", at.as_secs_f64());
            }
        }
        outcome
    });
    Ok(outcomes)
}

/// Every kernel with one CPU, where counts repeat exactly, and with two, where work and readings meet on different
/// CPUs and one can be taken away.
fn guests(images: Vec<Image>, cpus: Option<u32>) -> Vec<Guest> {
    let cpus = cpus.map_or(vec![1, 2], |only| vec![only]);
    let guests = images.into_iter().flat_map(|image| {
        let cpus = cpus.clone().into_iter();
        cpus.map(move |cpus| Guest { image: image.clone(), cpus })
    });
    guests.collect()
}

/// What a guest of one architecture runs.
#[derive(Debug)]
struct Programs {
    architecture: Architecture,
    busybox: Vec<u8>,
    tests: Vec<u8>,
}

impl Programs {
    fn read(architecture: Architecture, busybox: &Path, tests: &Path) -> Result<Self> {
        let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
        Ok(Self { architecture, busybox: read(busybox)?, tests: read(tests)? })
    }

    fn initramfs(&self, guest: &Guest, only: &str, folder: &Path) -> Result<Temporary> {
        let mut archive = initramfs::Archive::default();
        for directory in ["bin", "dev", "etc", "modules", "proc", "sys", "tmp"] {
            archive.directory(directory);
        }
        archive.program("init", INIT.as_bytes());
        archive.program("bin/busybox", &self.busybox);
        archive.program("probe-tests", &self.tests);
        archive.program("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n");
        archive.program("arguments", only.as_bytes());
        let mut order = String::new();
        for module in &guest.image.modules {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            archive.program(&format!("modules/{name}"), &fs::read(module)?);
            order.push_str(&name);
            order.push('\n');
        }
        archive.program("modules/order", order.as_bytes());
        let Image { architecture, version, .. } = &guest.image;
        let path = folder.join(format!("{architecture}-{version}-{}.cpio", guest.cpus));
        fs::write(&path, archive.finish())?;
        Ok(Temporary(path))
    }
}

/// A file that is deleted when this is dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The shell and its commands, statically linked, from Debian's archive.
fn busybox(architecture: Architecture) -> Result<PathBuf> {
    let folder = debian::cache_directory()?.join("busybox");
    let program = folder.join(architecture.debian());
    if program.exists() {
        return Ok(program);
    }
    let package = format!("busybox-static:{}", architecture.debian());
    let unpacked = folder.join("unpacking");
    Archive::open()?.unpack(&package, &unpacked)?;
    let names = ["bin/busybox", "usr/bin/busybox"].map(|name| unpacked.join(name));
    let busybox = names.iter().find(|name| name.is_file()).context("no busybox in its package")?;
    fs::rename(busybox, &program)?;
    fs::remove_dir_all(unpacked)?;
    Ok(program)
}

/// Does something with each item, a few at a time, and returns the results in the same order.
fn in_parallel<T: Send, R: Send>(jobs: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::new());
    let next = || queue.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((at, item)) = next() {
                    let result = work(item);
                    if let Ok(mut results) = results.lock() {
                        results.push((at, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
