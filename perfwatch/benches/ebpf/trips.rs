//! Round trips through two pipes between two processes on one CPU.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

pub const TRIPS: u32 = 50_000;
const BATCH: u32 = 500;

pub struct Trips {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

/// The other end of the pipes: sends every byte back.
pub fn echo() {
    let mut byte = [0];
    let mut stdin = std::io::stdin().lock();
    // std's own handle would buffer.
    let mut stdout = std::fs::OpenOptions::new().write(true).open("/proc/self/fd/1").unwrap();
    while stdin.read_exact(&mut byte).is_ok() && stdout.write_all(&byte).is_ok() {}
}

/// Pins the calling thread to one CPU.
pub fn pin(cpu: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set).unwrap();
}

impl Trips {
    pub fn start(cpu: usize) -> Self {
        pin(cpu);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--echo")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from }
    }

    /// ns per round trip: the fastest tenth of short batches, since other work on the machine only adds time.
    pub fn measure(&mut self) -> f64 {
        let mut batches: Vec<f64> = (0..TRIPS / BATCH).map(|_| self.batch()).collect();
        batches.sort_by(f64::total_cmp);
        let fastest = batches.len() / 10;
        batches[..fastest].iter().sum::<f64>() / fastest as f64
    }

    /// ns per round trip in one short batch.
    pub fn batch(&mut self) -> f64 {
        let began = Instant::now();
        let mut byte = [7];
        for _ in 0..BATCH {
            self.to.write_all(&byte).unwrap();
            self.from.read_exact(&mut byte).unwrap();
        }
        began.elapsed().as_nanos() as f64 / f64::from(BATCH)
    }
}

impl Drop for Trips {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
