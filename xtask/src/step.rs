//! Running one step of a command in the repository's root: what the user sees of it, and that nothing of it
//! is left when the user stops it.
//!
//! Every child leads a process group of its own. A signal to xtask is passed on to those groups, so that
//! stopping it also stops the compilers, browsers and servers its steps have started.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process_group};

static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn groups() -> MutexGuard<'static, BTreeSet<u32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The repository this xtask was built from.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// A command with the repository's root as its working directory.
pub fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// An npm script or subcommand of the page.
pub fn npm(arguments: &[&str]) -> Command {
    let mut command = command("npm", arguments);
    command.current_dir(root().join("frontend"));
    command
}

/// From here on a signal to stop is passed to whatever is running, and the running step fails.
pub fn stop_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        let groups = groups();
        for &group in groups.iter() {
            signal(group, Signal::TERM);
        }
        if groups.is_empty() {
            std::process::exit(130);
        }
    })
    .context("cannot handle signals")
}

/// Whether the user asked to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn signal(group: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // If the group is gone already, that is fine.
        let _ = kill_process_group(pid, signal);
    }
}

/// A running child and everything it starts; stopped when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    reaped: bool,
}

impl Running {
    pub fn start(mut command: Command) -> Result<Self> {
        if interrupted() {
            bail!("interrupted");
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        groups().insert(child.id());
        Ok(Self { child, name, reaped: false })
    }

    pub fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.forget();
        if interrupted() {
            bail!("interrupted");
        }
        Ok(status)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.reaped || matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Asks it to end, and kills it after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        if self.reaped {
            return;
        }
        signal(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + patience;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
        self.forget();
    }

    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    fn forget(&mut self) {
        self.reaped = true;
        groups().remove(&self.child.id());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(Duration::from_secs(5));
    }
}

/// Runs a step whose output the user sees; fails if it does.
pub fn run(title: &str, command: Command) -> Result<()> {
    println!("==> {title}");
    let status = Running::start(command)?.wait()?;
    if !status.success() {
        bail!("{title}: {status}");
    }
    Ok(())
}

/// Runs a step that is stopped when it takes longer than `limit`; returns how long it took.
pub fn run_within(title: &str, command: Command, limit: Duration) -> Result<()> {
    println!("==> {title}");
    let started = Instant::now();
    let mut running = Running::start(command)?;
    while !running.has_ended() {
        if started.elapsed() > limit {
            running.stop(Duration::from_secs(10));
            bail!("{title}: stopped after {:.0?}", started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = running.wait()?;
    if !status.success() {
        bail!("{title}: {status}");
    }
    println!("    {:.0?}", started.elapsed());
    Ok(())
}

/// Runs a step and passes each line of its standard output to `line`, which also decides what to print.
pub fn read_lines(title: &str, mut command: Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    println!("==> {title}");
    let mut running = Running::start({
        command.stdout(Stdio::piped());
        command
    })?;
    let stdout = running.take_stdout().context("the step's output was not captured")?;
    let mut reader = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    running.wait()
}

/// Runs a step that only matters when it fails: a spinner on a terminal, one line elsewhere, and its output
/// on failure.
pub fn quiet(title: &str, mut command: Command) -> Result<()> {
    let spinner = std::io::stderr().is_terminal().then(|| spinner(title));
    if spinner.is_none() {
        println!("==> {title}");
    }
    let started = Instant::now();
    let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut running = Running::start(command)?;
    // `start` consumed the command and with it our ends of the pipe: the reader sees the end when the step ends.
    let mut output = Vec::new();
    reader.read_to_end(&mut output)?;
    let status = running.wait();
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
        println!("==> {title} ({:.0?})", started.elapsed());
    }
    let status = status?;
    if !status.success() {
        std::io::stderr().write_all(&output)?;
        bail!("{title}: {status}");
    }
    Ok(())
}

fn spinner(title: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let spinner = ProgressBar::new_spinner().with_message(title.to_owned());
    if let Ok(style) = style {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// The output of a short command, or nothing if it cannot be run.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = command(program, arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The file behind a program's name.
pub fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_an_error_and_a_good_one_is_not() {
        assert!(quiet("true", command("true", &[])).is_ok());
        assert!(quiet("false", command("false", &[])).is_err());
        assert!(run("none", command("/no/such/program", &[])).is_err());
    }

    #[test]
    fn a_step_that_takes_too_long_is_stopped() {
        let patience = Duration::from_millis(100);
        let error = run_within("sleep", command("sleep", &["1000"]), patience).unwrap_err();
        assert!(error.to_string().contains("stopped"), "{error}");
        assert!(run_within("true", command("true", &[]), Duration::from_secs(60)).is_ok());
        assert!(run_within("false", command("false", &[]), Duration::from_secs(60)).is_err());
    }

    #[test]
    fn lines_arrive_whole_even_when_they_are_not_text() {
        let mut lines = Vec::new();
        let printf = command("printf", &["one\\r\\n\\377two\\nthree"]);
        let status = read_lines("printf", printf, |line| lines.push(line.to_owned()));
        assert!(status.unwrap().success());
        assert_eq!(lines, ["one", "\u{fffd}two", "three"]);
    }

    #[test]
    fn dropping_a_step_ends_what_it_started() {
        let mut shell = command("sh", &["-c", "sleep 1000 & echo $!; wait"]);
        shell.stdout(Stdio::piped());
        let mut running = Running::start(shell).unwrap();
        let mut line = String::new();
        BufReader::new(running.take_stdout().unwrap()).read_line(&mut line).unwrap();
        let grandchild = PathBuf::from("/proc").join(line.trim());
        assert!(grandchild.exists());
        drop(running);
        // The grandchild is reparented and reaped by init, which takes a moment.
        let gone = |path: &PathBuf| {
            std::fs::read_to_string(path.join("stat")).map_or(true, |stat| stat.contains(") Z "))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone(&grandchild) && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(gone(&grandchild));
    }
}
