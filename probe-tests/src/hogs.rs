//! Child processes with known behaviour, each under its own name.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::load;

/// The first argument of a hog process.
pub const FLAG: &str = "--hog";

/// Spins.
pub const CPU: &str = "pw-cpu-hog";
/// Writes to storage with sync, then pauses: on a disk that takes no time, as in guests, it would otherwise
/// use as much of a CPU as [`CPU`].
pub const IO: &str = "pw-io-hog";
/// Wakes up a hundred times a second and does nothing.
pub const SLEEPER: &str = "pw-sleeper";

/// Sleeps until it is told, again and again.
pub const WAITER: &str = "pw-waiter";

/// Joins cgroups (directories, separated by commas), spins, and when told to, allocates ever more memory.
pub const MEMORY: &str = "pw-memory-hog";

/// The maximum it allocates, if nothing stops it.
const MEMORY_AT_MOST: usize = 128 << 20;

/// A running child; ends when dropped.
#[derive(Debug)]
pub struct Hog(Child);

impl Hog {
    /// Starts one and waits until it is running. `argument` is a CPU to spin on, or a directory to write in.
    pub fn start(kind: &str, argument: &str) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([FLAG, kind, argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut started = [0];
        let output = child.stdout.as_mut().context("its output is a pipe")?;
        let ready = output.read_exact(&mut started);
        let hog = Self(child);
        ready.with_context(|| format!("{kind} did not start"))?;
        Ok(hog)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Wakes one up that goes to sleep again.
    pub fn wake(&mut self) -> Result<()> {
        Ok(self.0.stdin.as_mut().context("it is told nothing")?.write_all(b"!")?)
    }

    /// Tells a waiting one to continue.
    pub fn go(&mut self) -> Result<()> {
        Ok(self.0.stdin.take().context("told already")?.write_all(b"!")?)
    }

    /// Waits for it to end by itself, or to be killed.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.0.wait()?)
    }

    /// Ends it and waits until it is gone.
    pub fn stop(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The child's side.
pub fn run(kind: &str, argument: &str) -> ExitCode {
    let result = match kind {
        CPU => spin(argument),
        IO => write(Path::new(argument)),
        SLEEPER => sleep(),
        WAITER => wait(),
        MEMORY => take_memory(argument),
        other => Err(anyhow::anyhow!("no hog is called {other}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{kind}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes the name, dies with the parent, and reports that it is about to begin.
fn begin(name: &str) -> Result<()> {
    std::fs::write("/proc/self/comm", name)?;
    // SAFETY: sets an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let mut out = std::io::stdout();
    out.write_all(b"!")?;
    Ok(out.flush()?)
}

fn spin(cpu: &str) -> Result<()> {
    load::pin(cpu.parse()?)?;
    begin(CPU)?;
    loop {
        std::hint::spin_loop();
    }
}

/// Writes to its own file in a directory, or to a guest's disk.
fn write(directory: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_DSYNC);
    let mut file = if directory.is_dir() {
        let path = directory.join(format!("perfwatch-io-hog-{}", std::process::id()));
        let file = options.create(true).truncate(true).open(&path)?;
        std::fs::remove_file(&path)?;
        file
    } else {
        options.open(directory)?
    };
    begin(IO)?;
    let block = [7; 64 * 1024];
    loop {
        std::io::Seek::rewind(&mut file)?;
        for _ in 0..64 {
            file.write_all(&block)?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn sleep() -> Result<()> {
    begin(SLEEPER)?;
    loop {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait() -> Result<()> {
    begin(WAITER)?;
    while std::io::stdin().read(&mut [0])? > 0 {}
    Ok(())
}

fn take_memory(cgroups: &str) -> Result<()> {
    // If the OOM killer must pick one, it is this one.
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    for cgroup in cgroups.split(',') {
        std::fs::write(Path::new(cgroup).join("cgroup.procs"), "0")?;
    }
    begin(MEMORY)?;
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        tell.store(true, Ordering::Relaxed);
    });
    while !told.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
    load::fault(MEMORY_AT_MOST / 4096)
}

/// Runs for `time` on `cpu` and exits: a process that is gone before it can be inspected.
pub fn run_and_exit(cpu: usize, time: Duration) -> Result<u32> {
    let millis = time.as_millis().to_string();
    let mut child =
        Command::new(std::env::current_exe()?).args(["--spin", &cpu.to_string(), &millis]).spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success(), "the short-lived process failed");
    Ok(pid)
}

/// The side of the child of [`run_and_exit`].
pub fn spin_for(cpu: &str, millis: &str) -> ExitCode {
    let (Ok(cpu), Ok(millis)) = (cpu.parse(), millis.parse()) else { return ExitCode::FAILURE };
    if load::pin(cpu).is_err() {
        return ExitCode::FAILURE;
    }
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    ExitCode::SUCCESS
}

/// What [`IO`] can write to: a directory on storage, or the disk of a guest, which keeps nothing.
pub fn storage() -> Option<PathBuf> {
    let disk = Path::new("/dev/vda");
    storage_directory().or_else(|| (load::in_guest() && disk.exists()).then(|| disk.into()))
}

/// Spins on a thread other than the first for `time`, and then runs another program from it, which takes over the
/// first thread's PID and spins as long. Returns the process and the CPU time that the kernel reports for it.
pub fn run_another_from_a_thread(cpu: usize, time: Duration) -> Result<(u32, Duration)> {
    let used = || {
        // SAFETY: an all-zero rusage is valid, and the call only fills it in.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
            usage
        };
        [usage.ru_utime, usage.ru_stime]
            .into_iter()
            .map(|time| Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64))
            .sum::<Duration>()
    };
    let before = used();
    let millis = time.as_millis().to_string();
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args([EXEC_FROM_THREAD, &cpu.to_string(), &millis]).spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success(), "the process failed");
    Ok((pid, used() - before))
}

/// The first argument of the child of [`run_another_from_a_thread`].
pub const EXEC_FROM_THREAD: &str = "--exec-from-thread";

/// The side of that child.
pub fn exec_from_thread(cpu: &str, millis: &str) -> ExitCode {
    let (cpu, millis) = (cpu.to_owned(), millis.to_owned());
    let thread = std::thread::spawn(move || {
        spin_for(&cpu, &millis);
        let Ok(program) = std::env::current_exe() else { return };
        let _error = Command::new(program).args(["--spin", &cpu, &millis]).exec();
    });
    let _ = thread.join();
    ExitCode::FAILURE // the other program never ran
}

/// A directory whose files are on storage, not in memory; `PROBE_TESTS_DIR` may name one.
pub fn storage_directory() -> Option<PathBuf> {
    let named = std::env::var_os("PROBE_TESTS_DIR").map(PathBuf::from);
    let candidates = named.into_iter().chain(["/var/tmp".into(), std::env::current_dir().ok()?]);
    candidates.into_iter().find(|path| lies_on_storage(path))
}

fn lies_on_storage(path: &Path) -> bool {
    const IN_MEMORY: [i64; 2] = [libc::TMPFS_MAGIC, 0x8584_58f6]; // and ramfs
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: an all-zero statfs is valid, and the call only fills it in.
    unsafe {
        let mut statfs: libc::statfs = std::mem::zeroed();
        libc::statfs(path.as_ptr(), &raw mut statfs) == 0 && !IN_MEMORY.contains(&statfs.f_type)
    }
}
