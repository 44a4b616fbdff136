//! Which interfaces carry the machine's traffic to the outside, counting each packet once.
//!
//! A packet that leaves through a bridge, a bond, a VLAN, a tunnel or a container's interface also leaves through the
//! hardware below, and both count it. So hardware counts. On a machine without any, such as a container, interfaces
//! that are not stacked on another count. `/sys/class/net` shows the stacking; names decide only if it says nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::raw::Raw;
use crate::config::Roots;
use crate::kernel_files::file::keyword;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hardware,
    /// Nothing shows that it is stacked on another, nor that there is hardware behind it.
    Plain,
    /// Passes on what another counts, or keeps it inside the machine.
    Stacked,
    Loopback,
}

pub(super) struct Outside {
    folder: PathBuf,
    kinds: BTreeMap<Arc<str>, Kind>,
    /// The interfaces of the newest sample, and whether each counts.
    names: Vec<Arc<str>>,
    counts: Vec<bool>,
}

impl Outside {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { folder: roots.sys("class/net"), kinds: BTreeMap::new(), names: Vec::new(), counts: Vec::new() }
    }

    /// Whether each interface of `raw` counts towards the totals. An interface is examined when it appears.
    pub(super) fn of(&mut self, raw: &Raw) -> &[bool] {
        let names = || raw.interfaces.iter().map(|interface| &interface.name);
        if names().eq(&self.names) {
            return &self.counts;
        }
        self.names = names().map(Arc::clone).collect();
        let mut before = std::mem::take(&mut self.kinds);
        self.kinds = names()
            .map(|name| {
                let kind = before.remove(name).unwrap_or_else(|| kind(&self.folder, name));
                (Arc::clone(name), kind)
            })
            .collect();
        let kinds: Vec<Kind> =
            names().map(|name| self.kinds.get(name).copied().unwrap_or(Kind::Plain)).collect();
        let best = [Kind::Hardware, Kind::Plain, Kind::Stacked].into_iter().find(|kind| kinds.contains(kind));
        self.counts = kinds.iter().map(|kind| Some(*kind) == best).collect();
        &self.counts
    }
}

fn kind(net: &Path, name: &str) -> Kind {
    if name == "lo" {
        return Kind::Loopback;
    }
    let folder = net.join(name);
    let has_hardware = folder.join("device").exists();
    if is_stacked(&folder, has_hardware) {
        return Kind::Stacked;
    }
    if has_hardware {
        return if is_another_view(&folder) { Kind::Stacked } else { Kind::Hardware };
    }
    // One end of a veth pair is a container's only link to the outside; the other end is internal to its host. They
    // can be told apart only by the names that container engines give to the host's end.
    if is_named_as_stacked(name) { Kind::Stacked } else { Kind::Plain }
}

/// Device types, as the kernel announces them in `uevent`, that are stacked on another interface or never lead outside.
const STACKED_TYPES: [&str; 20] = [
    "bridge",
    "bond",
    "team",
    "vlan",
    "macvlan",
    "macvtap",
    "ipvlan",
    "ipvtap",
    "vxlan",
    "geneve",
    "gre",
    "gretap",
    "ip6gre",
    "wireguard",
    "hsr",
    "dsa",
    "vrf",
    "dummy",
    "ifb",
    "ppp",
];

/// `ARPHRD_*` of tunnels (`include/uapi/linux/if_arp.h`): ipip, ip6tnl, sit, gre, ip6gre; of pimreg; and of 802.11
/// monitors, which see what others receive.
const STACKED_HARDWARE: [&str; 7] = ["768", "769", "776", "778", "779", "823", "803"];

fn is_stacked(folder: &Path, has_hardware: bool) -> bool {
    let has = |file: &str| folder.join(file).exists();
    if has("bridge") || has("brif") || has("bonding") || has("tun_flags") {
        return true;
    }
    let devtype = fs::read(folder.join("uevent")).unwrap_or_default();
    let devtype = String::from_utf8_lossy(&devtype);
    let devtype = devtype.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    if devtype.is_some_and(|devtype| STACKED_TYPES.contains(&devtype)) {
        return true;
    }
    if keyword(folder, "type").is_some_and(|number| STACKED_HARDWARE.contains(&number.as_str())) {
        return true;
    }
    // Anything stacked on another interface links to it. A paravirtual interface (netvsc, failover) has a virtual
    // function below it whose traffic it also counts: there the function is left out.
    !has_hardware
        && fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"lower_"))
}

/// Whether another interface counts its traffic although hardware is involved: the port of a virtual function in
/// its switch, a function that serves a paravirtual interface, and a guest's end in its host.
fn is_another_view(folder: &Path) -> bool {
    let of_function = keyword(folder, "phys_port_name").is_some_and(|port| {
        // pf0vf3, c1pf0sf2
        port.split_once("pf").is_some_and(|(_, rest)| rest.contains("vf") || rest.contains("sf"))
    });
    let subsystem = fs::canonicalize(folder.join("device/subsystem")).unwrap_or_default();
    let serves_hardware = folder.join("master/device").exists();
    of_function || serves_hardware || subsystem.ends_with("xen-backend")
}

/// Names that are always given by their makers, followed by a number, an address or the like.
const STACKED_NAMES: [&str; 49] = [
    "docker",
    "br-",
    "virbr",
    "lxcbr",
    "lxdbr",
    "incusbr",
    "podman",
    "cni",
    "cbr",
    "ovs-",
    "ovsbr",
    "vmbr",
    "xenbr",
    "brq",
    "qbr",
    "qvb",
    "qvo",
    "fwbr",
    "fwpr",
    "fwln",
    "bond",
    "team",
    "veth",
    "vnet",
    "tap",
    "tun",
    "wg",
    "ppp",
    "tailscale",
    "zt",
    "nordlynx",
    "cali",
    "flannel",
    "cilium",
    "lxc_",
    "kube-",
    "nodelocaldns",
    "dummy",
    "ifb",
    "vcan",
    "gre",
    "erspan",
    "sit",
    "ip6",
    "ip_vti",
    "vxlan",
    "geneve",
    "nlmon",
    "teql",
];

fn is_named_as_stacked(name: &str) -> bool {
    let is_bridge =
        name.strip_prefix("br").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    // eth0.100 and bond0.7@bond0; vlan100
    let is_vlan = name.contains('.') || name.starts_with("vlan");
    let is_macvlan = name.starts_with("macvlan") || name.starts_with("macvtap") || name.starts_with("ipvlan");
    is_bridge || is_vlan || is_macvlan || STACKED_NAMES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests;
