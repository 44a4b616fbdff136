//! The identity of this machine: a permanent ID, its current name, and facts about it.

pub mod facts;

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use self::facts::Facts;
use crate::config::labels::Labels;
use crate::config::{Config, Roots};

const FILE: &str = "host-id";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub id: String,
    pub name: String,
    pub facts: Facts,
    /// What it says of itself.
    pub own_labels: Labels,
    /// What administrators of a hub say of it.
    pub given_labels: Labels,
}

impl Host {
    /// One of which nothing else is known.
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            facts: Facts::default(),
            own_labels: Labels::default(),
            given_labels: Labels::default(),
        }
    }

    /// Whether this is its ID or name.
    pub fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || self.name == wanted
    }

    /// Its labels; those that administrators gave it win.
    pub fn labels(&self) -> Labels {
        self.own_labels.under(&self.given_labels)
    }
}

/// The ID is configured; or else derived from the observed machine's `/etc/machine-id`, hashed because that is
/// confidential (machine-id(5)); or else random, generated once and kept in the data directory.
pub fn this(config: &Config) -> Result<Host> {
    let id = match &config.storage.host_id {
        Some(id) => id.clone(),
        None => match of_machine(&config.roots.rootfs) {
            Some(id) => id,
            None => kept(&config.storage.data_dir).context("cannot store the ID of this host")?,
        },
    };
    let own_labels = config.storage.labels.clone();
    let facts = Facts::read(&config.roots);
    Ok(Host { facts, own_labels, ..Host::new(&id, &name(&config.roots)) })
}

/// In a container the name of the machine is that of its /proc.
pub fn name(roots: &Roots) -> String {
    std::fs::read_to_string(roots.proc("sys/kernel/hostname")).map_or_else(
        |_| rustix::system::uname().nodename().to_string_lossy().into_owned(),
        |name| name.trim().to_owned(),
    )
}

fn of_machine(root: &Path) -> Option<String> {
    let id = std::fs::read_to_string(root.join("etc/machine-id")).ok()?;
    let id = id.trim();
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| hex(&Sha256::digest(format!("perfwatch host {id}"))))
}

fn kept(data_dir: &Path) -> Result<String> {
    let path = data_dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("cannot get random numbers")?;
    let id = hex(&random);
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    std::io::Write::write_all(&mut file, id.as_bytes())?;
    Ok(id)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_where_the_machine_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of_machine(dir.path()), None);
        let id = kept(dir.path()).unwrap();
        assert_eq!(id.len(), 32);
        assert_eq!(kept(dir.path()).unwrap(), id);
    }

    #[test]
    fn a_machine_s_own_id_is_used_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let machine_id = "0123456789abcdef0123456789abcdef";
        std::fs::write(dir.path().join("etc/machine-id"), format!("{machine_id}\n")).unwrap();
        let id = of_machine(dir.path()).unwrap();
        assert_ne!(id, machine_id);
        assert_eq!(of_machine(dir.path()), Some(id));
        std::fs::write(dir.path().join("etc/machine-id"), "uninitialized\n").unwrap();
        assert_eq!(of_machine(dir.path()), None);
    }
}
