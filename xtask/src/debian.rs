//! Debian's archive: packages of several releases and architectures, looked up and unpacked without touching
//! what is installed on this machine.
//!
//! apt works in a separate state directory below the cache directory. The mirror is the one that this
//! machine's apt sources name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::step::{output, quiet};

/// Releases that offer kernels besides this machine's own release (5.10, 6.1, 6.12 and the newest), and trixie's
/// Docker.
const RELEASES: &[&str] = &["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports"];
const SECURITY_RELEASES: &[&str] = &["bookworm-security"];
/// Package lists older than this are refreshed.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where downloads are kept between runs and checkouts.
pub fn cache_directory() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME names a directory")?.join("perfwatch"))
}

/// Package lists that can be searched and downloaded from.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    /// Held while the archive is open: two checkouts share it.
    _lock: File,
}

impl Archive {
    /// Opens the archive and fetches its package lists unless they are fresh.
    pub fn open() -> Result<Self> {
        let directory = cache_directory()?.join("apt");
        for folder in ["state/lists/partial", "cache/archives/partial", "downloads"] {
            fs::create_dir_all(directory.join(folder))
                .with_context(|| format!("cannot create {}", directory.join(folder).display()))?;
        }
        let lock = File::create(directory.join("lock"))?;
        lock.lock().context("cannot lock the package lists")?;
        let archive = Self { directory, _lock: lock };
        archive.refresh()?;
        Ok(archive)
    }

    fn refresh(&self) -> Result<()> {
        let sources = sources()?;
        let list = self.directory.join("sources.list");
        let stamp = self.directory.join("fetched");
        let age = fs::metadata(&stamp).ok().and_then(|stamp| stamp.modified().ok()?.elapsed().ok());
        let unchanged = fs::read_to_string(&list).is_ok_and(|found| found == sources);
        if unchanged && age.is_some_and(|age| age < MAX_AGE) {
            return Ok(());
        }
        fs::write(&list, sources)?;
        fs::write(self.directory.join("status"), "")?;
        // Without the option apt-get succeeds even if it could fetch nothing at all.
        let mut update = self.apt("apt-get");
        update.args(["update", "--error-on=any"]);
        match quiet("Fetching Debian's package lists", update) {
            Ok(()) => _ = File::create(stamp)?,
            Err(error) if !self.has_lists() => {
                return Err(error.context("cannot fetch Debian's package lists"));
            }
            // A release that has left the mirror, or outdated lists; they are requested again next time.
            Err(error) => println!("{error:#}: continuing with the cached lists"),
        }
        Ok(())
    }

    fn has_lists(&self) -> bool {
        let lists = fs::read_dir(self.directory.join("state/lists")).into_iter().flatten().flatten();
        lists.into_iter().any(|list| list.file_name().to_string_lossy().contains("_Packages"))
    }

    /// Names of the packages of any architecture that match a regular expression.
    pub fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let found = self.apt("apt-cache").args(["search", "--names-only", pattern]).output()?;
        if !found.status.success() {
            bail!("apt-cache: {}", String::from_utf8_lossy(&found.stderr).trim());
        }
        let text = String::from_utf8_lossy(&found.stdout);
        Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// Downloads packages (`name:architecture`, perhaps `=version`) and returns the files of those that could
    /// be downloaded, by name: a mirror may list packages that it no longer has.
    pub fn download(&self, packages: &[String]) -> Result<Vec<(String, PathBuf)>> {
        let downloads = self.directory.join("downloads");
        let mut fetch = self.apt("apt-get");
        fetch.args(["download", "--quiet=2"]).args(packages).current_dir(&downloads);
        // Its exit status is bad when one package is missing; what counts is which files exist.
        fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        let files: Vec<PathBuf> =
            fs::read_dir(&downloads)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        let file_of = |package: &String| {
            let (name, architecture) = package.split_once(':')?;
            let architecture = architecture.split('=').next()?;
            let (start, end) = (format!("{name}_"), format!("_{architecture}.deb"));
            let fits = |file: &&PathBuf| {
                let file = file.file_name().unwrap_or_default().to_string_lossy();
                file.starts_with(&start) && file.ends_with(&end)
            };
            Some((package.clone(), files.iter().find(fits)?.clone()))
        };
        Ok(packages.iter().filter_map(file_of).collect())
    }

    /// Downloads one package and unpacks its files.
    pub fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let Some((_, file)) = self.download(&[package.to_owned()])?.pop() else {
            bail!("{package} is not in Debian's archive");
        };
        unpack(&file, into)?;
        fs::remove_file(file)?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut option = |name: &str, value: &str| {
            command.arg("-o").arg(format!("{name}={value}"));
        };
        let path = |name: &str| self.directory.join(name).display().to_string();
        option("Dir::State", &path("state"));
        option("Dir::State::status", &path("status"));
        option("Dir::Cache", &path("cache"));
        option("Dir::Cache::pkgcache", "pkgcache.bin");
        option("Dir::Cache::srcpkgcache", "srcpkgcache.bin");
        option("Dir::Etc::sourcelist", &path("sources.list"));
        option("Dir::Etc::sourceparts", "/dev/null");
        option("APT::Architecture", "amd64");
        option("APT::Architectures::", "amd64");
        option("APT::Architectures::", "arm64");
        option("Acquire::Languages", "none");
        option("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false");
        // The unprivileged user that root's apt downloads as cannot enter root's cache directory.
        if rustix::process::geteuid().is_root() {
            option("APT::Sandbox::User", "root");
        }
        command.env("LC_ALL", "C");
        command
    }
}

/// Where this machine's apt finds its own release; the mirror has the others too.
pub fn mirror() -> Result<String> {
    Ok(Mirrors::of_this_machine()?.main)
}

/// The lines of a sources.list with every release above, on this machine's mirrors.
fn sources() -> Result<String> {
    let Mirrors { codename, main, security } = Mirrors::of_this_machine()?;
    let mut lines = BTreeSet::new();
    lines.extend(RELEASES.iter().chain([&&*codename]).map(|release| source(&main, release)));
    if let Some(mirror) = security {
        let own = format!("{codename}-security");
        lines.extend(SECURITY_RELEASES.iter().chain([&&*own]).map(|release| source(&mirror, release)));
    }
    Ok(lines.into_iter().collect())
}

#[derive(Debug)]
struct Mirrors {
    /// This machine's release.
    codename: String,
    main: String,
    security: Option<String>,
}

impl Mirrors {
    fn of_this_machine() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field =
            |name: &str| os.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim_matches('"'));
        if field("ID=") != Some("debian") {
            bail!("this machine's apt sources name no Debian mirror");
        }
        let codename = field("VERSION_CODENAME=").context("/etc/os-release names no release")?;
        let targets = output(
            "apt-get",
            &["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Identifier: Packages"],
        )
        .context("apt-get lists no sources")?;
        let of = |release: &str| {
            let uri = |line: &str| {
                line.split_once(' ').filter(|(_, name)| *name == release).map(|(uri, _)| uri.to_owned())
            };
            targets.lines().find_map(uri)
        };
        Ok(Self {
            main: of(codename).with_context(|| format!("apt's sources name no mirror of {codename}"))?,
            security: of(&format!("{codename}-security")),
            codename: codename.to_owned(),
        })
    }
}

fn source(mirror: &str, release: &str) -> String {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring";
    let keys = ["gpg", "pgp"].map(|extension| format!("{KEYS}.{extension}"));
    let keys = keys.iter().find(|keys| Path::new(keys).exists());
    let signed = keys.map(|keys| format!("[signed-by={keys}] ")).unwrap_or_default();
    format!("deb {signed}{mirror} {release} main\n")
}

/// Unpacks a package's files.
pub fn unpack(package: &Path, into: &Path) -> Result<()> {
    fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
    let output = Command::new("dpkg-deb").arg("-x").arg(package).arg(into).output()?;
    if !output.status.success() {
        bail!("unpacking {}: {}", package.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
