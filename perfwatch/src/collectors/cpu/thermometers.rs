//! The CPUs' temperature sensors: which ones there are, and their readings.
//!
//! Chips inside CPUs come first; without those, the CPUs' thermal zones; without those too, what another chip labels
//! as the CPU. Each sensor keeps its position while the program runs; positions follow what the sensors are, not the
//! numbers that the kernel gives them, which change from boot to boot.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::Roots;
use crate::kernel_files::file::{Attribute, entries, keyword};
use crate::snapshot::derive::round;

/// Drivers may be loaded at any time, without notice.
const RESCAN: Duration = Duration::from_secs(60);

/// Plausible for silicon, which is specified from −55 to 125 °C. A sensor that is not connected, or switched off, reads
/// an end of its scale: −55, 127 and a fraction, 128, 255.
const PLAUSIBLE_MILLIDEGREES: std::ops::RangeInclusive<i64> = -54_999..=126_999;

/// hwmon chips inside CPUs.
const CPU_CHIPS: [&str; 9] = [
    "coretemp",
    "k8temp",
    "k10temp",
    "zenpower",
    "fam15h_power",
    "via_cputemp",
    "cpu_hwmon",  // Loongson
    "ibmpowernv", // also labels sensors of memory and GPUs
    "scpi_sensors",
];

/// Labels of sensors next to the CPU, or of sensors on its chip that measure something else.
const NOT_CPU: [&str; 12] =
    ["gpu", "pmic", "vrm", "vr_", "mem", "dimm", "ddr", "ambient", "board", "fan", "batt", "chipset"];

/// Prefixes of thermal zones of cores and packages. A zone with `cpu` anywhere in its name is one, too.
const CPU_ZONES: [&str; 11] = [
    "x86_pkg_temp",
    "package",
    "bigcore",
    "midcore",
    "littlecore",
    "big",
    "mid",
    "little",
    "cluster",
    "core_cluster",
    "cls",
];

/// Zones of the whole chip, for boards without others.
const CHIP_ZONES: [&str; 7] = ["soc", "tj", "scpi", "imx", "armada", "sun4i_ts", "main"];

#[derive(Debug)]
pub(super) struct Thermometers {
    hwmon: PathBuf,
    thermal: PathBuf,
    sensors: Vec<Sensor>,
    scanned: Option<Instant>,
}

#[derive(Debug)]
struct Sensor {
    /// What it is, whatever number the kernel gives its chip.
    identity: String,
    /// `None` once it is gone or superseded.
    input: Option<Attribute>,
}

/// A sensor found by a scan.
#[derive(Debug)]
struct Found {
    identity: String,
    input: PathBuf,
}

impl Thermometers {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            hwmon: roots.sys("class/hwmon"),
            thermal: roots.sys("class/thermal"),
            sensors: Vec::new(),
            scanned: None,
        }
    }

    /// °C of each sensor, `None` for one that does not respond or reads an impossible value; `None` without any sensor.
    pub(super) fn read(&mut self, now: Instant) -> Option<Vec<Option<f64>>> {
        if self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= RESCAN) {
            self.scanned = Some(now);
            let found = self.find();
            self.take_over(found);
        }
        let celsius = |sensor: &mut Sensor| {
            let millidegrees = sensor.input.as_mut()?.read_signed()?;
            PLAUSIBLE_MILLIDEGREES.contains(&millidegrees).then(|| round(millidegrees as f64 / 1e3, 1))
        };
        let all: Vec<Option<f64>> = self.sensors.iter_mut().map(celsius).collect();
        (!all.is_empty()).then_some(all)
    }

    /// Known sensors keep their positions; new ones are appended.
    fn take_over(&mut self, mut found: Vec<Found>) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for sensor in &mut found {
            let times = seen.entry(sensor.identity.clone()).or_default();
            if *times > 0 {
                sensor.identity.push_str(&format!(" {times}")); // zones of one device and one type
            }
            *times += 1;
        }
        found.sort_by(|a, b| natural(&a.identity).cmp(&natural(&b.identity)));
        let mut inputs: HashMap<&str, &Path> =
            found.iter().map(|sensor| (sensor.identity.as_str(), sensor.input.as_path())).collect();
        for sensor in &mut self.sensors {
            match inputs.remove(sensor.identity.as_str()) {
                None => sensor.input = None,
                Some(input) if sensor.input.as_ref().is_some_and(|known| known.path() == input) => {}
                Some(input) => sensor.input = Some(Attribute::new(input.to_owned())),
            }
        }
        for sensor in &found {
            if let Some(input) = inputs.remove(sensor.identity.as_str()) {
                let input = Some(Attribute::new(input.to_owned()));
                self.sensors.push(Sensor { identity: sensor.identity.clone(), input });
            }
        }
    }

    /// The first kind of sensors of which at least one responds; if none does, the first kind present.
    fn find(&self) -> Vec<Found> {
        let kinds = [self.chips(), self.zones(is_cpu_zone), self.labelled(), self.zones(is_chip_zone)];
        let answers = |found: &Found| {
            let value = Attribute::new(found.input.clone()).read_signed();
            value.is_some_and(|millidegrees| PLAUSIBLE_MILLIDEGREES.contains(&millidegrees))
        };
        let best = kinds.iter().position(|kind| kind.iter().any(answers));
        let best = best.or_else(|| kinds.iter().position(|kind| !kind.is_empty()));
        best.and_then(|at| kinds.into_iter().nth(at)).unwrap_or_default()
    }

    fn chips(&self) -> Vec<Found> {
        let chips = entries(&self.hwmon, "hwmon").into_iter();
        let chips = chips.filter(|chip| name(chip).is_some_and(|name| CPU_CHIPS.contains(&name.as_str())));
        chips.flat_map(|chip| true_readings(&chip)).collect()
    }

    /// Thermal zones, and hwmon chips of the same names where the zones themselves are not shown.
    fn zones(&self, wanted: fn(&str) -> bool) -> Vec<Found> {
        let mut names = BTreeSet::new();
        let zones = entries(&self.thermal, "thermal_zone").into_iter().filter_map(|zone| {
            let kind = normalized(&keyword(&zone, "type")?);
            let found = Found { identity: identity(&zone, &kind, "temp"), input: zone.join("temp") };
            wanted(&kind).then(|| {
                names.insert(kind);
                found
            })
        });
        let mut found: Vec<Found> = zones.collect();
        for chip in entries(&self.hwmon, "hwmon") {
            if let Some(kind) = name(&chip).filter(|name| wanted(name) && !names.contains(name)) {
                found.extend(temperatures(&chip, &kind).into_iter().map(|(found, _)| found));
            }
        }
        found
    }

    /// Sensors of any other chip that are labelled as the CPU's.
    fn labelled(&self) -> Vec<Found> {
        let chips = entries(&self.hwmon, "hwmon").into_iter();
        let all = chips.flat_map(|chip| temperatures(&chip, &name(&chip).unwrap_or_default()));
        let of_cpu = |label: &str| (label.contains("cpu") || label == "tdie") && !is_of_another(label);
        all.filter(|(_, label)| label.as_deref().is_some_and(of_cpu)).map(|(found, _)| found).collect()
    }
}

/// What a CPU's chip reports of its CPU. AMD's `Tctl` is for fans: some models add an offset to it, so where `Tdie`
/// gives the value without it, that one counts.
fn true_readings(chip: &Path) -> Vec<Found> {
    let all = temperatures(chip, &name(chip).unwrap_or_default());
    let has_die = all.iter().any(|(_, label)| label.as_deref() == Some("tdie"));
    let is_true = |label: &str| !(is_of_another(label) || has_die && label == "tctl");
    all.into_iter()
        .filter(|(_, label)| label.as_deref().is_none_or(is_true))
        .map(|(found, _)| found)
        .collect()
}

/// Each temperature of a chip, and its label.
fn temperatures(chip: &Path, chip_name: &str) -> Vec<(Found, Option<String>)> {
    let inputs = entries(chip, "temp").into_iter().filter_map(|input| {
        let file = input.file_name()?.to_str()?.to_owned();
        let sensor = file.strip_suffix("_input")?;
        let label = keyword(chip, &format!("{sensor}_label")).map(|label| normalized(&label));
        Some((Found { identity: identity(chip, chip_name, sensor), input }, label))
    });
    inputs.collect()
}

/// Modules that are reloaded get new numbers, but their device stays the same. A thermal zone has no device, or a
/// virtual one with a number of the same kind.
fn identity(folder: &Path, name: &str, sensor: &str) -> String {
    let device = fs::canonicalize(folder.join("device")).unwrap_or_default();
    let device = device.to_string_lossy();
    let device = if device.contains("/devices/virtual/") { "" } else { &device };
    format!("{name} {device} {sensor}")
}

/// A key that sorts `temp2` before `temp10`.
fn natural(text: &str) -> Vec<(&str, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (words, from) = rest.split_at(digits);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        parts.push((words, from[..end].parse().unwrap_or(0)));
        rest = &from[end..];
    }
    parts
}

fn name(chip: &Path) -> Option<String> {
    keyword(chip, "name").map(|name| normalized(&name))
}

/// Zones and the chips derived from them spell the same name differently.
fn normalized(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

fn is_of_another(label: &str) -> bool {
    NOT_CPU.iter().any(|other| label.contains(other))
}

fn is_cpu_zone(kind: &str) -> bool {
    (kind.contains("cpu") || CPU_ZONES.iter().any(|zone| kind.starts_with(zone))) && !is_of_another(kind)
}

fn is_chip_zone(kind: &str) -> bool {
    CHIP_ZONES.iter().any(|zone| kind.starts_with(zone)) && !is_of_another(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A chip of one device, as the kernel numbers it now.
    fn chip(root: &Path, number: u32, package: u32, millidegrees: &str) {
        let folder = format!("class/hwmon/hwmon{number}");
        put(root, &format!("{folder}/name"), "coretemp\n");
        put(root, &format!("{folder}/temp1_input"), millidegrees);
        let device = root.join(format!("devices/platform/coretemp.{package}"));
        fs::create_dir_all(&device).unwrap();
        let _ = fs::remove_file(root.join(&folder).join("device"));
        std::os::unix::fs::symlink(device, root.join(&folder).join("device")).unwrap();
    }

    #[test]
    fn sensors_keep_their_places_when_drivers_are_loaded_again() {
        let root = tempfile::tempdir().unwrap();
        let mut thermometers = Thermometers::new(&Roots { sysfs: root.path().into(), ..Roots::default() });
        chip(root.path(), 2, 0, "40000\n");
        chip(root.path(), 3, 1, "50000\n");
        let start = Instant::now();
        assert_eq!(thermometers.read(start), Some(vec![Some(40.0), Some(50.0)]));
        // In reverse order, and with a third.
        chip(root.path(), 3, 0, "41000\n");
        chip(root.path(), 2, 1, "51000\n");
        chip(root.path(), 1, 2, "60000\n");
        assert_eq!(thermometers.read(start + RESCAN), Some(vec![Some(41.0), Some(51.0), Some(60.0)]));
        fs::remove_dir_all(root.path().join("class/hwmon/hwmon3")).unwrap();
        assert_eq!(thermometers.read(start + 2 * RESCAN), Some(vec![None, Some(51.0), Some(60.0)]));
    }

    #[test]
    fn after_a_boot_that_numbers_them_otherwise_sensors_have_the_places_they_had() {
        let boot = |zones: [(u32, &str, &str); 3], packages: [(u32, u32, &str); 2]| {
            let root = tempfile::tempdir().unwrap();
            let read = || {
                let roots = Roots { sysfs: root.path().into(), ..Roots::default() };
                Thermometers::new(&roots).read(Instant::now()).unwrap()
            };
            for (number, kind, millidegrees) in zones {
                let folder = format!("class/thermal/thermal_zone{number}");
                put(root.path(), &format!("{folder}/type"), kind);
                put(root.path(), &format!("{folder}/temp"), millidegrees);
            }
            let zones = read();
            for (number, package, millidegrees) in packages {
                chip(root.path(), number, package, millidegrees);
            }
            (zones, read())
        };
        let (little, big, package) = ("littlecore-thermal", "bigcore0-thermal", "package-thermal");
        let first = boot(
            [(0, package, "60000"), (1, big, "70000"), (2, little, "50000")],
            [(2, 0, "41000"), (10, 1, "42000")],
        );
        let second = boot(
            [(4, package, "60000"), (0, little, "50000"), (3, big, "70000")],
            [(10, 0, "41000"), (2, 1, "42000")],
        );
        assert_eq!(first, second);
        assert_eq!(first.0, [Some(70.0), Some(50.0), Some(60.0)]);
        assert_eq!(first.1, [Some(41.0), Some(42.0)]);
    }

    #[test]
    fn zones_of_one_type_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let mut thermometers = Thermometers::new(&Roots { sysfs: root.path().into(), ..Roots::default() });
        let device = root.path().join("devices/tsens");
        fs::create_dir_all(&device).unwrap();
        for (number, millidegrees) in [(0, "30000"), (1, "35000")] {
            let folder = format!("class/thermal/thermal_zone{number}");
            put(root.path(), &format!("{folder}/type"), "cpu-thermal\n");
            put(root.path(), &format!("{folder}/temp"), millidegrees);
            std::os::unix::fs::symlink(&device, root.path().join(&folder).join("device")).unwrap();
        }
        assert_eq!(thermometers.read(Instant::now()), Some(vec![Some(30.0), Some(35.0)]));
    }

    #[test]
    fn a_machine_without_sensors_has_none() {
        let root = tempfile::tempdir().unwrap();
        let mut thermometers = Thermometers::new(&Roots { sysfs: root.path().into(), ..Roots::default() });
        assert_eq!(thermometers.read(Instant::now()), None);
    }
}
