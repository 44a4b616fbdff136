//! Known amounts of work.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};

/// Pins the calling thread to one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    // SAFETY: an all-zero cpu_set_t is an empty set, CPU_SET stays inside it, and the call only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    ensure!(result == 0, "pinning to CPU {cpu}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// CPUs that are online.
pub fn cpus() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// All context switches since the machine started, by the kernel's count.
pub fn context_switches() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("ctxt ")).context("no ctxt in /proc/stat")?;
    Ok(line.trim().parse()?)
}

/// Two threads on one CPU pass a byte to and fro: exactly two context switches a round, since neither can run
/// before the other blocks.
pub fn ping_pong(cpu: usize, rounds: u32) -> Result<()> {
    let (mut here, mut to_there) = std::io::pipe()?;
    let (mut there, mut to_here) = std::io::pipe()?;
    let partner = std::thread::spawn(move || -> Result<()> {
        pin(cpu)?;
        let mut byte = [0];
        for _ in 0..rounds {
            here.read_exact(&mut byte)?;
            to_here.write_all(&byte)?;
        }
        Ok(())
    });
    let own = std::thread::spawn(move || -> Result<()> {
        pin(cpu)?;
        let mut byte = [0];
        for _ in 0..rounds {
            to_there.write_all(&byte)?;
            there.read_exact(&mut byte)?;
        }
        Ok(())
    });
    own.join().expect("the thread does not panic")?;
    partner.join().expect("the thread does not panic")
}

/// Touches `pages` fresh pages: one page fault each.
pub fn fault(pages: usize) -> Result<()> {
    let page = 4096;
    // SAFETY: a private anonymous mapping of its own, written within its bounds and unmapped here.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            pages * page,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        ensure!(start != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        // Huge pages would make one fault of 512.
        libc::madvise(start, pages * page, libc::MADV_NOHUGEPAGE);
        for index in 0..pages {
            start.cast::<u8>().add(index * page).write_volatile(1);
        }
        libc::munmap(start, pages * page);
    }
    Ok(())
}

/// Counts down from `rounds` and returns how many instructions that took: two a round.
pub fn count_down(rounds: u64) -> Result<u64> {
    // SAFETY: the loops change nothing but their own register and the flags.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("2: dec {0}", "jnz 2b", inout(reg) rounds => _);
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!("2: subs {0}, {0}, #1", "b.ne 2b", inout(reg) rounds => _);
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    anyhow::bail!("there is no loop of known length for this architecture");
    Ok(2 * rounds)
}

/// Whether this is a virtual machine made for these tests: nothing else runs, and nothing in it matters.
pub fn in_guest() -> bool {
    std::env::var_os("PERFWATCH_GUEST").is_some()
}

/// A thread that never sleeps, on one CPU, until dropped.
#[derive(Debug)]
pub struct Spinner {
    stop: Arc<AtomicBool>,
    thread: i32,
    running: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Returns once it spins.
    pub fn start(cpu: usize) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (tell, told) = std::sync::mpsc::channel();
        let running = std::thread::spawn(move || {
            // SAFETY: no preconditions.
            let pinned = pin(cpu).map(|()| unsafe { libc::gettid() });
            if tell.send(pinned).is_err() {
                return;
            }
            while !stopped.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let thread = told.recv()??;
        Ok(Self { stop, thread, running: Some(running) })
    }

    /// The kernel's ID of it.
    pub fn thread(&self) -> i32 {
        self.thread
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            running.join().expect("the thread does not panic");
        }
    }
}
