//! A full disk, and a kill while it is full.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use perfwatch::store::sqlite_url;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use crate::server::{Kept, Server, Watcher};

const BYTES: usize = 48 << 20;
const FULL: Duration = Duration::from_secs(75);
/// What waited is stored by then.
const AFTERWARDS: Duration = Duration::from_secs(5);

pub async fn measure() -> Result<Value> {
    let place = tempfile::tempdir()?;
    let disk = match Disk::mount(place.path()) {
        Ok(disk) => disk,
        Err(error) => {
            println!("SKIPPED: full: no file system of its own can be mounted: {error}");
            return Ok(json!({}));
        }
    };
    let data = disk.0.join("data");
    let mut report = json!({});
    for killed in [false, true] {
        let server = Server::start(&data, None).await?;
        let token = server.log_in().await?;
        let watcher = Watcher::start(&server, &token).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let filled = Instant::now();
        disk.fill()?;
        // Longer than a slot, so the slot can't be stored when it ends.
        tokio::time::sleep(FULL).await;
        let health: Value = reqwest::get(server.url("/health")).await?.json().await?;
        let seen;
        if killed {
            // Data measured meanwhile was only in memory.
            server.kill()?;
            seen = watcher.ticks_before(filled);
            let again = Server::start(&data, None).await.context("after a kill on a full disk")?;
            again.log_in().await.context("after a kill on a full disk")?;
            disk.free()?;
            tokio::time::sleep(AFTERWARDS).await;
            again.stop()?;
        } else {
            disk.free()?;
            tokio::time::sleep(AFTERWARDS).await;
            seen = watcher.ticks_before(Instant::now());
            server.stop()?;
        }
        let seen: BTreeSet<i64> = seen;
        let kept = Kept::of(&sqlite_url(&data), &seen).await?;
        let name = if killed { "killed" } else { "freed" };
        println!("disk full for {} s, {name}: {kept}; /health says {}", FULL.as_secs(), health["status"]);
        report[name] = kept.to_json();
        report[name]["health"] = health["status"].clone();
    }
    Ok(report)
}

/// A small in-memory file system, removed when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path) -> Result<Self> {
        let size = std::ffi::CString::new(format!("size={BYTES}"))?;
        mount("tmpfs", place, "tmpfs", MountFlags::empty(), Some(size.as_c_str()))?;
        Ok(Self(place.to_owned()))
    }

    /// Uses up all free space.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.0.join("ballast"))?;
        let zeros = vec![0; 64 << 10];
        while file.write_all(&zeros).is_ok() {}
        while file.write_all(&[0]).is_ok() {}
        Ok(())
    }

    fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
