//! The cgroups that this process is in, whose limits are its own: always of our `/proc`, not of the observed machine's.

use std::path::{Path, PathBuf};

/// A file of the controller in this process's cgroup and in those above it that can be seen, the innermost first; they may
/// not exist.
pub fn files(controller: &str, name: &str) -> Vec<PathBuf> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    files_of(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), controller, name)
}

fn files_of(cgroups: &str, mounts: &str, controller: &str, name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|known| known == controller) {
            continue;
        }
        let hierarchies = mounts.lines().filter_map(|mount| hierarchy(mount, controller, unified));
        for (root, mount) in hierarchies {
            let Ok(below) = Path::new(path).strip_prefix(root) else { continue };
            files.extend(below.ancestors().map(|below| Path::new(mount).join(below).join(name)));
        }
    }
    files
}

/// Root and mount point, if a line of mountinfo is the hierarchy that has the controller.
fn hierarchy<'a>(mount: &'a str, controller: &str, unified: bool) -> Option<(&'a str, &'a str)> {
    let (place, about) = mount.split_once(" - ")?;
    let mut about = about.split(' ');
    let is_it = match about.next()? {
        "cgroup2" => unified,
        "cgroup" => !unified && about.nth(1)?.split(',').any(|option| option == controller),
        _ => false,
    };
    let mut place = place.split(' ').skip(3);
    Some((place.next()?, place.next()?)).filter(|_| is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroups_above_are_found_on_both_versions() {
        let mounts = "30 23 0:27 / /two rw,relatime - cgroup2 cgroup2 rw\n\
                      31 23 0:28 /docker /one rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 23 0:29 / /set rw,relatime - cgroup cgroup rw,cpuset\n";
        let find = |cgroups: &str, controller: &str| -> Vec<String> {
            let files = files_of(cgroups, mounts, controller, "x");
            files.iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(find("0::/a/b\n", "cpu"), ["/two/a/b/x", "/two/a/x", "/two/x"]);
        let both = "7:cpuset:/docker\n3:cpu,cpuacct:/docker/c\n0::/\n";
        assert_eq!(find(both, "cpu"), ["/one/c/x", "/one/x", "/two/x"]);
        assert_eq!(find("3:cpu:/elsewhere\n", "cpu"), [""; 0], "it cannot be seen from here");
        assert_eq!(find("", "cpu"), [""; 0]);
    }
}
