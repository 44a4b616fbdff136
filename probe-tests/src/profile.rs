//! Probe `profile`, and the long waits of `sched`: stacks of code that runs and of tasks that wait.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::probes::{Feed, WaitStack};
use perfwatch::snapshot::source::{SourceSettings, State};

use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "profile::running_code_is_sampled", run: running_code },
    Test { name: "profile::waits_are_charged_to_where_they_were", run: waits },
    Test { name: "profile::without_a_frequency_nothing_is_sampled", run: nothing },
];

const HZ: u32 = 99;

fn sampling(feed: &Feed, hz: u32) -> Result<Probe> {
    let mut probe = Probe::feeding("profile", feed)?;
    probe.apply(&SourceSettings { profile_hz: hz, ..SourceSettings::default() });
    probe.now()?;
    Ok(probe)
}

fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// Half of the time in user code, half in the kernel.
fn work(cpu_time: Duration) -> Result<Duration> {
    let begun = thread_cpu();
    let mut zeros = std::fs::File::open("/dev/zero")?;
    let mut buffer = vec![0; 1 << 20];
    let mut n = 0u64;
    while thread_cpu() - begun < cpu_time / 2 {
        // Reading the clock of a thread is a system call.
        for _ in 0..200_000 {
            n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
        }
    }
    while thread_cpu() - begun < cpu_time {
        zeros.read_exact(&mut buffer)?;
    }
    Ok(thread_cpu() - begun)
}

fn running_code() -> Result<Verdict> {
    let feed = Feed::default();
    let mut probe = sampling(&feed, HZ)?;
    let report = probe.report();
    ensure!(report.state == State::Active, "{report:?}");
    feed.samples(|_, _, _| {});
    let working =
        std::thread::Builder::new().name("pw-works".to_owned()).spawn(|| work(Duration::from_secs(2)))?;
    let (mut all, mut in_kernel, mut with_stack) = (0u32, 0u32, 0u32);
    let mut take = || {
        feed.samples(|head, stack, _| {
            if head.comm.starts_with(b"pw-works\0") {
                all += 1;
                in_kernel += u32::from(head.kernel_bytes > 0);
                with_stack += u32::from(head.registers.sp != 0 && !stack.is_empty());
            }
        });
    };
    // There is room for half a second of a busy machine.
    while !working.is_finished() {
        std::thread::sleep(Duration::from_millis(100));
        take();
    }
    take();
    let cpu_time = working.join().map_err(|_| anyhow::anyhow!("the thread that works panicked"))??;
    let expected = cpu_time.as_secs_f64() * f64::from(HZ);
    let told =
        format!("{all} samples of {expected:.0}, {in_kernel} in the kernel, {with_stack} with a user stack");
    ensure!((f64::from(all) / expected - 1.0).abs() < 0.3, "{told}");
    ensure!((0.3..0.7).contains(&(f64::from(in_kernel) / f64::from(all))), "{told}");
    // Before 5.15 the user registers of code that was interrupted in the kernel are not known.
    ensure!(with_stack * 10 >= all * 3, "{told}");
    let document = probe.now()?;
    let counted = document["samples"].as_u64().context("no samples")?;
    ensure!(counted >= u64::from(all), "{counted} counted, {told}");
    Ok(Verdict::Passed(told))
}

fn waits() -> Result<Verdict> {
    const NAPS: u32 = 40;
    let feed = Feed::default();
    let mut probe = Probe::feeding("runqueue", &feed)?;
    probe.now()?;
    ensure!(probe.report().state == State::Active, "{:?}", probe.report());
    let waiting = std::thread::Builder::new().name("pw-waits".to_owned()).spawn(|| {
        let mut waited = Duration::ZERO;
        for _ in 0..NAPS {
            let begun = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            waited += begun.elapsed();
        }
        waited
    })?;
    let waited = waiting.join().map_err(|_| anyhow::anyhow!("the thread that waits panicked"))?;
    let (mut count, mut ns, mut with_stack) = (0, 0, 0);
    let own = std::process::id();
    // What programs write to is read the time after.
    for _ in 0..2 {
        feed.waits(|key, wait| {
            if key.tgid == own && key.comm.starts_with(b"pw-waits\0") {
                count += wait.total.count;
                ns += wait.total.off_cpu_ns;
                with_stack += if wait.bytes > 0 { wait.total.count } else { 0 };
            }
        });
    }
    let (mut begun, mut ended) = (0, 0);
    feed.wait_stacks(|stack| match stack {
        WaitStack::Begins(head, stack) if head.pid == own && !stack.is_empty() => begun += 1,
        WaitStack::Ended(end) if end.tgid == own => ended += 1,
        _ => {}
    });
    let told = format!(
        "{count} waits of {NAPS}, {} ms of {}, {with_stack} with a stack; {begun} user stacks, {ended} of long waits",
        ns / 1_000_000,
        waited.as_millis()
    );
    // Its first sleep was not known to be one.
    ensure!(count >= u64::from(NAPS) - 2 && count <= u64::from(NAPS) + 2, "{told}");
    ensure!((ns as f64 / waited.as_nanos() as f64 - 1.0).abs() < 0.1, "{told}");
    ensure!(with_stack == count, "{told}");
    let knows_registers = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut version = knows_registers.split('.').map_while(|part| part.parse::<u32>().ok());
    if (version.next(), version.next()) >= (Some(5), Some(15)) {
        ensure!(begun > 0 && ended > 0, "{told}");
    }
    Ok(Verdict::Passed(told))
}

fn nothing() -> Result<Verdict> {
    let feed = Feed::default();
    let mut probe = sampling(&feed, 0)?;
    ensure!(probe.report().state == State::Disabled, "{:?}", probe.report());
    work(Duration::from_millis(300))?;
    let mut all = 0;
    feed.samples(|_, _, _| all += 1);
    ensure!(all == 0, "{all} samples");
    probe.apply(&SourceSettings { profile_hz: HZ, ..SourceSettings::default() });
    probe.now()?;
    work(Duration::from_millis(300))?;
    feed.samples(|_, _, _| all += 1);
    ensure!(all > 0, "nothing is sampled after it was switched on");
    Ok(Verdict::Passed(format!("{all} samples once it was switched on")))
}
