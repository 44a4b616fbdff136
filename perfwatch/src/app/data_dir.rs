//! The data directory: private to its owner, whatever its previous mode.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::auth::tokens::SECRET_FILE;
use crate::store;

/// File names that belong to PerfWatch or may be in any directory.
const FILES: [&str; 11] = [
    SECRET_FILE,
    "first-password",
    "perfwatch.db",
    "perfwatch.db-wal",
    "perfwatch.db-shm",
    "perfwatch.db-journal",
    "host-id",
    "spool",
    "outbox",
    "fleet",
    "lost+found",
];

/// Group and others.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
const EVERYONE_WRITES: u32 = 0o002;
/// Set on directories shared by all users, such as /tmp.
const STICKY: u32 = 0o1000;

/// Creates the directory for its owner only, or secures an existing one: revokes others' access, and refuses what can't
/// be secured or is a symlink to somewhere else.
pub(super) fn prepare(path: &Path) -> Result<()> {
    try_prepare(path).with_context(|| {
        format!("cannot use the data directory {} (PERFWATCH_DATA_DIR sets another)", path.display())
    })
}

/// Keeps a second server out as long as the file is open: two would store the same ticks under one host, and take over
/// each other's spool.
pub(super) fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("perfwatch.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&path)
        .with_context(|| {
            format!(
                "cannot write {} (is the file system read-only? PERFWATCH_DATA_DIR sets another directory)",
                path.display()
            )
        })?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // On a full disk the process id can't be written; the lock still works.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(Errno::WOULDBLOCK) => {
            let mut other = String::new();
            let _ = file.read_to_string(&mut other);
            let other = match other.trim() {
                "" => "another perfwatch".to_owned(),
                pid => format!("another perfwatch (process {pid})"),
            };
            bail!(
                "{other} uses the data directory {}: stop it, or set PERFWATCH_DATA_DIR to a directory of this one's own",
                directory.display()
            )
        }
        // Some network file systems don't support locks.
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot lock; make sure that no other server uses this directory");
            Ok(file)
        }
    }
}

fn try_prepare(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let directory = fs::metadata(path)?;
    let entries: Vec<_> = fs::read_dir(path)?.collect::<std::io::Result<_>>()?;
    let is_ours = |name: &OsStr| {
        name.to_string_lossy().starts_with("perfwatch") || FILES.iter().any(|ours| name == *ours)
    };
    let me = rustix::process::geteuid().as_raw();
    // Root may manage the service's directory, and a directory of root's may have been given to us.
    if me != 0 && ![me, 0].contains(&directory.uid()) {
        bail!("it belongs to another user (uid {})", directory.uid());
    }
    let reachable = directory.mode() & OTHERS != 0;
    // Don't change the mode of a directory that has other content, such as /tmp or /var/lib, or is open to all users.
    let other = entries.iter().find(|entry| !is_ours(&entry.file_name()));
    let for_all = directory.mode() & STICKY != 0 || directory.mode() & OTHERS_WRITE != 0 && other.is_some();
    let mine = me == 0 || me == directory.uid();
    if reachable && (for_all || !mine && directory.mode() & EVERYONE_WRITES != 0) {
        let with =
            other.map(|other| format!("; {} is in it, too", other.path().display())).unwrap_or_default();
        bail!(
            "others can write to it, and it is not PerfWatch's alone: name another directory in PERFWATCH_DATA_DIR{with}"
        );
    }
    if reachable && other.is_none() && mine {
        close(path, &directory)?;
        tracing::warn!(path = %path.display(), "others could look into the data directory; its mode is 0700 now");
    }
    for name in FILES.iter().filter(|name| **name != "lost+found") {
        let file = path.join(name);
        let about = match fs::symlink_metadata(&file) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        if about.is_symlink() {
            bail!("{} is a symlink, which is not followed: put the file itself there", file.display());
        }
        check(&file, &about, directory.uid(), reachable && *name == SECRET_FILE)
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Checks a SQLite file outside the data directory.
pub(super) fn check_database(url: &str) -> Result<()> {
    let Some(path) = store::sqlite_path(url) else { return Ok(()) };
    match fs::metadata(&path) {
        Ok(about) if about.is_file() => {
            check(&path, &about, about.uid(), false).with_context(|| path.display().to_string())
        }
        // Any other problem shows when it is opened.
        _ => Ok(()),
    }
}

/// `leaked`: a secret that others could read must be replaced.
fn check(path: &Path, about: &Metadata, owner: u32, leaked: bool) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if ![owner, me, 0].contains(&about.uid()) {
        bail!("it belongs to another user (uid {})", about.uid());
    }
    if about.mode() & OTHERS == 0 {
        return Ok(());
    }
    if leaked {
        fs::remove_file(path)?;
        tracing::warn!(path = %path.display(), "others could read or write the secret; a new one is made, and all logins end");
        return Ok(());
    }
    close(path, about)?;
    tracing::warn!(path = %path.display(), "others could read or write it; now only its owner can");
    Ok(())
}

/// Removes all access for group and others; fails if the file was replaced since it was checked.
fn close(path: &Path, about: &Metadata) -> Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).context("flags of open")?;
    let open = |path: &Path| -> std::io::Result<File> {
        if about.is_dir() {
            File::open(path)
        } else {
            OpenOptions::new().read(true).custom_flags(flags).open(path)
        }
    };
    let file = open(path).context("others can read or write it, and it cannot be opened to change that")?;
    let now = file.metadata()?;
    if (now.ino(), now.dev()) != (about.ino(), about.dev()) {
        bail!("it was replaced just now");
    }
    file.set_permissions(fs::Permissions::from_mode(now.mode() & 0o7777 & !OTHERS))
        .context("others can read or write it, and its mode cannot be changed; chmod go= it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_read_or_write_is_closed_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("perfwatch.db");
        let spool = dir.path().join("spool");
        fs::write(&file, "x").unwrap();
        fs::create_dir(&spool).unwrap();
        for (of_dir, of_file) in [(0o755, 0o644), (0o777, 0o666), (0o700, 0o640), (0o2775, 0o600)] {
            set(dir.path(), of_dir);
            set(&file, of_file);
            set(&spool, of_dir & 0o777);
            prepare(dir.path()).unwrap();
            assert_eq!((mode(dir.path()), mode(&file), mode(&spool)), (0o700, 0o600, 0o700));
            assert_eq!(fs::read(&file).unwrap(), b"x");
        }
    }

    #[test]
    fn a_new_one_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("a/b");
        prepare(&new).unwrap();
        assert_eq!(mode(&new), 0o700);
    }

    #[test]
    fn a_secret_that_others_could_read_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let secret = || crate::auth::tokens::load_or_create_secret(dir.path()).unwrap();
        let first = secret();
        set(dir.path(), 0o700);
        set(&dir.path().join(SECRET_FILE), 0o644);
        prepare(dir.path()).unwrap();
        assert_eq!(secret(), first, "nobody else came into the directory");
        set(dir.path(), 0o755);
        prepare(dir.path()).unwrap();
        assert_eq!(secret(), first, "nobody else could read the file");
        set(dir.path(), 0o755);
        set(&dir.path().join(SECRET_FILE), 0o644);
        prepare(dir.path()).unwrap();
        assert_ne!(secret(), first);
    }

    #[test]
    fn symlinks_in_it_are_not_followed() {
        for name in [SECRET_FILE, "perfwatch.db", "first-password", "spool"] {
            let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let target = elsewhere.path().join("target");
            fs::write(&target, "x").unwrap();
            set(&target, 0o644);
            std::os::unix::fs::symlink(&target, dir.path().join(name)).unwrap();
            let refused = format!("{:#}", prepare(dir.path()).unwrap_err());
            assert!(refused.contains("is a symlink"), "{name}: {refused}");
            assert_eq!(mode(&target), 0o644, "{name}");
        }
    }

    #[test]
    fn a_directory_that_is_not_ours_alone_is_not_closed_but_refused_where_others_write() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letters.txt"), "").unwrap();
        set(dir.path(), 0o755);
        prepare(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o755);
        for (open, alone) in [(0o777, false), (0o1777, false), (0o775, false), (0o1777, true)] {
            if alone {
                fs::remove_file(dir.path().join("letters.txt")).unwrap();
            }
            set(dir.path(), open);
            assert!(prepare(dir.path()).is_err(), "{open:o}");
            assert_eq!(mode(dir.path()), open & 0o777);
        }
    }

    #[test]
    fn a_second_server_is_kept_out_and_told_by_whom() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let refused = lock(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_database_elsewhere_is_closed_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("other.db");
        fs::write(&file, "x").unwrap();
        set(&file, 0o664);
        check_database(&format!("sqlite:{}", file.display())).unwrap();
        assert_eq!(mode(&file), 0o600);
        check_database("postgres://u:p@h/d").unwrap();
    }
}
