use super::super::raw::{Counters, Interface};
use super::*;

struct Machine(tempfile::TempDir);

impl Machine {
    /// With these files below `/sys/class/net`; `path=text` sets the content.
    fn new(files: &[&str]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for file in files {
            let (path, text) = file.split_once('=').unwrap_or((file, ""));
            let path = machine.0.path().join("class/net").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace('^', "=")).unwrap();
        }
        machine
    }

    fn counted<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let roots = Roots { sysfs: self.0.path().into(), ..Roots::default() };
        let mut outside = Outside::new(&roots);
        let counts = outside.of(&raw(names)).to_vec();
        names.iter().zip(counts).filter(|(_, counts)| *counts).map(|(name, _)| *name).collect()
    }
}

fn raw(names: &[&str]) -> Raw {
    let interface = |name: &&str| Interface { name: (*name).into(), counters: Counters::default() };
    Raw { interfaces: names.iter().map(interface).collect(), ..Raw::default() }
}

#[test]
fn hardware_counts_and_what_stands_on_it_does_not() {
    let machine = Machine::new(&[
        "enp3s0/device/vendor",
        "enp4s0/device/vendor",
        "wlp2s0/device/vendor",
        "mon0/device/vendor",
        "mon0/type=803\n",
        "uplink/bonding/mode",
        "uplink/lower_enp3s0/mtu",
        "office/uevent=DEVTYPE^vlan\n",
        "lan/bridge/bridge_id",
        "vpn/tun_flags",
        "peer/type=1\n",
        "rep0/device/vendor",
        "rep0/phys_port_name=pf0vf1\n",
    ]);
    let names = [
        "lo",
        "enp3s0",
        "enp4s0",
        "wlp2s0",
        "mon0",
        "uplink",
        "office",
        "lan",
        "vpn",
        "peer",
        "rep0",
        "wg0",
        "veth12@if3",
    ];
    assert_eq!(machine.counted(&names), ["enp3s0", "enp4s0", "wlp2s0"]);
}

#[test]
fn a_virtual_function_below_a_paravirtual_interface_is_part_of_it() {
    let machine = Machine::new(&[
        "eth0/device/vendor",
        "eth0/lower_enP1/mtu",
        "enP1/device/vendor",
        "enP1/master/device/vendor",
        "eth1/device/vendor",
        "eth1/master/bonding/mode",
    ]);
    assert_eq!(machine.counted(&["lo", "eth0", "enP1", "eth1"]), ["eth0", "eth1"]);
}

#[test]
fn where_sysfs_tells_of_no_hardware_what_is_not_stacked_counts() {
    let machine =
        Machine::new(&["eth0/operstate", "br0/bridge/bridge_id", "br0/brif/eth0/state", "x7/lower_eth0/mtu"]);
    for stacked in [
        "br0",
        "x7",
        "eth0.100",
        "vlan5",
        "docker0",
        "br-3f21aa",
        "veth9",
        "tun0",
        "tap1",
        "wg0",
        "bond0",
        "team0",
        "macvlan1",
        "ipvlan0",
        "sit0",
        "gre0",
        "vxlan.calico",
        "virbr0",
        "dummy0",
        "lo",
    ] {
        assert_eq!(machine.counted(&["eth0", stacked]), ["eth0"], "{stacked}");
    }
}

#[test]
fn a_container_is_left_by_its_own_end_of_a_pair() {
    let machine = Machine::new(&["eth0/iflink=7\n", "eth0/ifindex=2\n"]);
    assert_eq!(machine.counted(&["lo", "eth0"]), ["eth0"]);
    assert_eq!(Machine::new(&[]).counted(&["lo", "eth0", "docker0", "veth5"]), ["eth0"]);
}

#[test]
fn a_sandbox_with_nothing_but_a_tunnel_counts_that() {
    assert_eq!(Machine::new(&["tun0/tun_flags"]).counted(&["lo", "tun0"]), ["tun0"]);
    assert!(Machine::new(&[]).counted(&["lo"]).is_empty());
}

#[test]
fn an_interface_that_comes_is_looked_at() {
    let machine = Machine::new(&["eth0/device/vendor", "eth1/device/vendor"]);
    let mut outside = Outside::new(&Roots { sysfs: machine.0.path().into(), ..Roots::default() });
    assert_eq!(outside.of(&raw(&["tun0"])), [true]);
    assert_eq!(outside.of(&raw(&["tun0", "eth0"])), [false, true]);
    assert_eq!(outside.of(&raw(&["eth1", "tun0", "eth0"])), [true, false, true]);
    assert_eq!(outside.of(&raw(&["eth0", "tun0", "eth1"])), [true, false, true]);
}
