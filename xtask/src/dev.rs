//! `cargo xtask dev`: Vite's dev server in front of a server that is rebuilt and restarted on change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use notify::{RecursiveMode, Watcher};

use crate::prerequisites::{self, Purpose};
use crate::step::{Running, command, interrupted, npm, root, run};
use crate::{build_ebpf, page};

/// What the server is built from.
const WATCHED: &[&str] = &[
    "perfwatch/src",
    "perfwatch-common/src",
    "perfwatch-ebpf/src",
    "migrations",
    "Cargo.toml",
    "Cargo.lock",
];
/// Editors write a file in several steps; a change is complete after this long without another.
const SETTLED: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(250);

/// Serves until the user stops it.
pub fn dev() -> Result<()> {
    prerequisites::ensure(Purpose::Build)?;
    build_ebpf::ensure()?;
    // The server embeds the page at compile time; the one shown in the browser comes from Vite.
    page::build()?;
    let (sender, changes) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !event.kind.is_access()
        {
            // The receiver is dropped only when the command ends.
            let _ = sender.send(());
        }
    })
    .context("cannot watch the sources")?;
    for path in WATCHED.iter().map(|path| root().join(path)).filter(|path| path.exists()) {
        watcher.watch(&path, RecursiveMode::Recursive).with_context(|| format!("{}", path.display()))?;
    }
    let mut vite = npm(&["run", "--silent", "dev"]);
    // Where Vite forwards the API's calls (frontend/vite.config.ts).
    if let (None, Ok(listen)) = (std::env::var_os("PERFWATCH_URL"), std::env::var("PERFWATCH_LISTEN")) {
        vite.env("PERFWATCH_URL", format!("http://{listen}"));
    }
    let mut vite = Running::start(vite)?;
    let mut server = rebuilt(None);
    loop {
        if interrupted() {
            return Ok(()); // dropping both ends them
        }
        if vite.has_ended() {
            bail!("Vite's dev server exited");
        }
        if changed(&changes)? {
            server = rebuilt(server);
        }
    }
}

/// Waits briefly for a change, and then until it has settled.
fn changed(changes: &Receiver<()>) -> Result<bool> {
    match changes.recv_timeout(POLL) {
        Ok(()) => {
            while changes.recv_timeout(SETTLED).is_ok() {}
            Ok(true)
        }
        Err(RecvTimeoutError::Timeout) => Ok(false),
        Err(RecvTimeoutError::Disconnected) => bail!("watching the sources failed"),
    }
}

/// The server built from the current sources; if they do not compile, the running one stays.
fn rebuilt(old: Option<Running>) -> Option<Running> {
    let binary = match compiled() {
        Ok(binary) => binary,
        Err(error) => {
            if !interrupted() {
                eprintln!("{error:#}; waiting for the next change");
            }
            return old;
        }
    };
    if let Some(mut old) = old {
        old.stop(Duration::from_secs(5));
    }
    match started(&binary) {
        Ok(server) => Some(server),
        Err(error) => {
            eprintln!("{error:#}");
            None
        }
    }
}

fn compiled() -> Result<PathBuf> {
    build_ebpf::ensure()?;
    run("Compiling the server", command("cargo", &["build", "--package", "perfwatch"]))?;
    Ok(root().join("target/debug/perfwatch"))
}

fn started(binary: &Path) -> Result<Running> {
    Running::start(command(&binary.to_string_lossy(), &["serve"]))
}
