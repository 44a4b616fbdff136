//! Debian's cloud kernels: which there are, and the files a guest boots.
//!
//! Versions are looked up at run time: a mirror drops old ones, and may list some that it no longer has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::in_parallel;
use crate::cross::Architecture;
use crate::debian::{self, Archive};
use crate::step::output;

/// Modules of the virtio disk and their dependencies, in load order; built in if missing.
const MODULES: &[&str] =
    &["virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"];
/// Concurrent downloads.
const DOWNLOADS: usize = 2;
/// Number of versions of a series to try before giving up.
const ATTEMPTS: usize = 4;

/// Which kernel is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    Of(u32, u32),
    Newest,
}

impl Series {
    /// Long-term kernels of Debian's releases, and whatever is newest.
    pub const ALL: [Self; 5] =
        [Self::Of(5, 10), Self::Of(6, 1), Self::Of(6, 12), Self::Of(6, 18), Self::Newest];

    fn contains(self, version: &Version) -> bool {
        match self {
            Self::Of(major, minor) => version.numbers.starts_with(&[major, minor]),
            Self::Newest => true,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(major, minor) => write!(f, "{major}.{minor}"),
            Self::Newest => f.write_str("newest"),
        }
    }
}

/// A kernel's version as Debian writes it, ordered by its numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: Vec<u32>,
    text: String,
}

impl Version {
    fn new(text: &str) -> Self {
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        Self { numbers: numbers.collect(), text: text.to_owned() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// What a guest boots.
#[derive(Debug, Clone)]
pub struct Image {
    pub architecture: Architecture,
    pub version: Version,
    pub kernel: PathBuf,
    /// Uncompressed, in load order.
    pub modules: Vec<PathBuf>,
}

/// A wanted kernel, and the state of the search for it.
#[derive(Debug)]
struct Search {
    architecture: Architecture,
    series: Series,
    candidates: Vec<Version>,
    found: Option<Image>,
}

/// The newest kernel of each series for each architecture, downloaded unless cached; unavailable ones are
/// listed with the reason.
pub fn find(architectures: &[Architecture], series: &[Series]) -> Result<(Vec<Image>, Vec<String>)> {
    let directory = debian::cache_directory()?.join("kernels");
    fs::create_dir_all(&directory)?;
    let archive = Archive::open();
    let offered = archive.as_ref().map_or_else(|_| Ok(BTreeMap::new()), Offer::of)?;
    let mut searches = Vec::new();
    for &architecture in architectures {
        let mut versions: BTreeSet<Version> = cached_versions(&directory, architecture);
        versions.extend(offered.get(&architecture).into_iter().flat_map(|offer| offer.versions()));
        for &series in series {
            let candidates = versions.iter().rev().filter(|version| series.contains(version));
            let candidates = candidates.take(ATTEMPTS).cloned().collect();
            searches.push(Search { architecture, series, candidates, found: None });
        }
    }
    for attempt in 0..ATTEMPTS {
        let missing: BTreeSet<(Architecture, Version)> = searches
            .iter()
            .filter(|search| search.found.is_none())
            .filter_map(|search| Some((search.architecture, search.candidates.get(attempt)?.clone())))
            .filter(|(architecture, version)| cached(&directory, *architecture, version).is_none())
            .collect();
        if let Ok(archive) = &archive {
            download(archive, &offered, &missing, &directory)?;
        }
        for search in searches.iter_mut().filter(|search| search.found.is_none()) {
            let candidate = search.candidates.get(attempt);
            search.found = candidate.and_then(|version| cached(&directory, search.architecture, version));
        }
    }
    let refused = archive.as_ref().err().map(|error| format!(" ({error:#})")).unwrap_or_default();
    let mut reasons = Vec::new();
    let mut images: BTreeMap<(Architecture, Version), Image> = BTreeMap::new();
    for Search { architecture, series, candidates, found } in searches {
        match found {
            Some(image) => _ = images.insert((architecture, image.version.clone()), image),
            None if candidates.is_empty() => {
                reasons.push(format!(
                    "{architecture} {series}: Debian's archive offers no such kernel{refused}"
                ));
            }
            None => reasons.push(format!(
                "{architecture} {series}: none of {} could be downloaded{refused}",
                candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )),
        }
    }
    if archive.is_ok() {
        discard_others(&directory, architectures, &images)?;
    }
    Ok((images.into_values().collect(), reasons))
}

/// The packages of one architecture's cloud kernels, by version.
#[derive(Debug, Default)]
struct Offer(BTreeMap<Version, BTreeSet<String>>);

impl Offer {
    fn of(archive: &Archive) -> Result<BTreeMap<Architecture, Self>> {
        let pattern = "^linux-(image|binary|binary-unsigned|modules)-[0-9.]+.*-cloud-(amd64|arm64)$";
        let names = archive.search(pattern)?;
        let mut offers = BTreeMap::<Architecture, Self>::new();
        for name in &names {
            for architecture in Architecture::WITH_PROBES {
                if let Some((kind, version)) = split(name, architecture) {
                    let offer = offers.entry(architecture).or_default();
                    offer.0.entry(Version::new(version)).or_default().insert(kind.to_owned());
                }
            }
        }
        Ok(offers)
    }

    /// Versions with a kernel among their packages.
    fn versions(&self) -> impl Iterator<Item = Version> + '_ {
        self.0.iter().filter(|(_, kinds)| kinds.iter().any(|kind| kind != "modules")).map(|(v, _)| v.clone())
    }

    /// Up to 7.x one package has everything; later the kernel and the modules are separate, and the signed
    /// kernel may lag behind the unsigned one.
    fn packages(&self, version: &Version, architecture: Architecture) -> Vec<String> {
        let Some(kinds) = self.0.get(version) else { return Vec::new() };
        let is_best = |kind: &&String| *kind != "binary-unsigned" || !kinds.contains("binary");
        let architecture = architecture.debian();
        let name = |kind: &String| format!("linux-{kind}-{version}-cloud-{architecture}:{architecture}");
        kinds.iter().filter(is_best).map(name).collect()
    }
}

/// Splits `linux-<kind>-<version>-cloud-<architecture>`.
fn split(name: &str, architecture: Architecture) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("linux-")?;
    let rest = rest.strip_suffix(architecture.debian())?.strip_suffix("-cloud-")?;
    let (at, _) =
        rest.match_indices('-').find(|(at, _)| rest[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
    Some((&rest[..at], &rest[at + 1..]))
}

fn folder(directory: &Path, architecture: Architecture, version: &Version) -> PathBuf {
    directory.join(architecture.debian()).join(&version.text)
}

fn cached_versions(directory: &Path, architecture: Architecture) -> BTreeSet<Version> {
    let entries = fs::read_dir(directory.join(architecture.debian())).into_iter().flatten().flatten();
    let names = entries.map(|entry| Version::new(&entry.file_name().to_string_lossy()));
    names.filter(|version| cached(directory, architecture, version).is_some()).collect()
}

fn cached(directory: &Path, architecture: Architecture, version: &Version) -> Option<Image> {
    let folder = folder(directory, architecture, version);
    let kernel = folder.join("vmlinuz");
    let modules = MODULES.iter().map(|name| folder.join(format!("{name}.ko")));
    let modules = modules.filter(|module| module.exists()).collect();
    kernel.exists().then(|| Image { architecture, version: version.clone(), kernel, modules })
}

/// Downloads and unpacks the kernels that the mirror really has.
fn download(
    archive: &Archive,
    offered: &BTreeMap<Architecture, Offer>,
    wanted: &BTreeSet<(Architecture, Version)>,
    directory: &Path,
) -> Result<()> {
    let packages: Vec<(Architecture, Version, Vec<String>)> = wanted
        .iter()
        .filter_map(|(architecture, version)| {
            let packages = offered.get(architecture)?.packages(version, *architecture);
            (!packages.is_empty()).then(|| (*architecture, version.clone(), packages))
        })
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    println!("==> Downloading {} kernels", packages.len());
    let names: Vec<String> = packages.iter().flat_map(|(_, _, packages)| packages).cloned().collect();
    let files: BTreeMap<String, PathBuf> = archive.download(&names)?.into_iter().collect();
    let unpacked = in_parallel(DOWNLOADS, packages, |(architecture, version, packages)| {
        let files: Vec<&PathBuf> = packages.iter().filter_map(|package| files.get(package)).collect();
        if files.len() < packages.len() {
            return Ok(()); // the mirror lists it but does not have it
        }
        let folder = folder(directory, architecture, &version);
        let part = folder.with_file_name(format!("{version}.part"));
        let result = unpack(&files, &part, &folder);
        let _ = fs::remove_dir_all(&part);
        result.with_context(|| format!("unpacking {architecture} {version}"))
    });
    for file in files.values() {
        fs::remove_file(file)?;
    }
    unpacked.into_iter().collect()
}

/// Extracts the kernel and the disk's modules from packages; `part` is where they are unpacked.
fn unpack(packages: &[&PathBuf], part: &Path, folder: &Path) -> Result<()> {
    let (all, chosen) = (part.join("all"), part.join("chosen"));
    fs::create_dir_all(&all)?;
    fs::create_dir_all(&chosen)?;
    for package in packages {
        debian::unpack(package, &all)?;
    }
    for entry in WalkDir::new(&all) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        let module =
            |name: &str| name.strip_suffix(".xz").unwrap_or(name).strip_suffix(".ko").map(str::to_owned);
        if entry.file_type().is_file() && name.starts_with("vmlinuz") {
            fs::rename(entry.path(), chosen.join("vmlinuz"))?;
        } else if let Some(module) = module(&name).filter(|module| MODULES.contains(&module.as_str())) {
            let to = chosen.join(format!("{module}.ko"));
            if name.ends_with(".xz") {
                let compressed = chosen.join(&*name);
                fs::rename(entry.path(), &compressed)?;
                output("xz", &["--decompress", &compressed.display().to_string()])
                    .context("xz cannot decompress a module")?;
            } else {
                fs::rename(entry.path(), to)?;
            }
        }
    }
    if !chosen.join("vmlinuz").exists() {
        bail!("no vmlinuz in {packages:?}");
    }
    fs::rename(chosen, folder)?;
    Ok(())
}

/// Deletes kernels that newer ones have replaced.
fn discard_others(
    directory: &Path,
    architectures: &[Architecture],
    used: &BTreeMap<(Architecture, Version), Image>,
) -> Result<()> {
    for &architecture in architectures {
        for version in cached_versions(directory, architecture) {
            let replaced = |((of, by), _): (&(Architecture, Version), &Image)| {
                *of == architecture && by.numbers[..2] == version.numbers[..2] && *by > version
            };
            if used.iter().any(replaced) {
                fs::remove_dir_all(folder(directory, architecture, &version))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_number() {
        let order =
            ["5.10.0-9", "5.10.0-32", "6.1.0-0.deb11.52", "6.1.0-56", "6.12.9+deb13", "6.12.107+deb12"];
        let mut versions = order.map(Version::new);
        versions.reverse();
        versions.sort();
        assert_eq!(versions.each_ref().map(|version| version.text.as_str()), order);
    }

    #[test]
    fn package_names_are_split() {
        let (x86, arm) = (Architecture::X86_64, Architecture::Arm64);
        assert_eq!(split("linux-image-6.1.0-56-cloud-amd64", x86), Some(("image", "6.1.0-56")));
        assert_eq!(
            split("linux-binary-unsigned-7.3.4+deb13-cloud-arm64", arm),
            Some(("binary-unsigned", "7.3.4+deb13"))
        );
        assert_eq!(split("linux-image-cloud-arm64", arm), None);
        assert_eq!(split("linux-image-6.1.0-56-cloud-amd64", arm), None);
    }

    #[test]
    fn a_kernel_in_parts_is_whole_and_signed_where_it_can_be() {
        let kinds = ["binary", "binary-unsigned", "modules"].map(str::to_owned);
        let version = Version::new("7.2.12+deb13");
        let offer = Offer(BTreeMap::from([(version.clone(), BTreeSet::from(kinds))]));
        assert_eq!(
            offer.packages(&version, Architecture::Arm64),
            ["linux-binary-7.2.12+deb13-cloud-arm64:arm64", "linux-modules-7.2.12+deb13-cloud-arm64:arm64"]
        );
    }
}
