//! Stacked devices: each packet and each request counts once, whatever it passes on its way.

use serde_json::{Value, json};

use crate::machine::{Machine, sample};

fn network(interfaces: &[(&str, u64)], files: &[(&str, &str)]) -> Value {
    let machine = Machine::blank();
    let mut text = "Inter-|\n face |\n".to_owned();
    for (name, bytes) in interfaces {
        text += &format!("{name}: {bytes} {bytes} 1 1 0 0 0 0 {bytes} {bytes} 1 1 0 0 0 0\n");
    }
    machine.write("/proc/1/net/dev", &text);
    for (path, text) in files {
        machine.write(&format!("/sys/class/net/{path}"), text);
    }
    sample(machine.source("network").as_mut())
}

#[test]
fn a_packet_counts_once_whatever_it_passes() {
    const HARDWARE: (&str, &str) = ("eth0/device/vendor", "0x8086\n");
    let stacked: [(&str, &[(&str, &str)]); 9] = [
        ("br0", &[("br0/bridge/bridge_id", "8000.0\n"), ("br0/brif/eth0/state", "3\n")]),
        ("trunk", &[("trunk/bonding/mode", "802.3ad 4\n"), ("trunk/lower_eth0/mtu", "1500\n")]),
        ("office", &[("office/uevent", "DEVTYPE=vlan\nINTERFACE=office\n")]),
        ("inner", &[("inner/lower_eth0/mtu", "1500\n")]),
        ("vpn", &[("vpn/tun_flags", "0x1002\n")]),
        ("home", &[("home/uevent", "DEVTYPE=wireguard\nINTERFACE=home\n")]),
        ("veth1a", &[("veth1a/iflink", "2\n")]),
        ("sixes", &[("sixes/type", "776\n")]),
        ("anything", &[]),
    ];
    for (name, files) in stacked {
        for with_hardware in [true, false] {
            // Without any hardware information, only what is known to be stacked can be left out.
            if name == "anything" && !with_hardware {
                continue;
            }
            let mut all = files.to_vec();
            all.push(if with_hardware { HARDWARE } else { ("eth0/operstate", "up\n") });
            let document = network(&[("lo", 5), ("eth0", 3_000_000), (name, 2_900_000)], &all);
            for total in ["total_bytes_recv", "total_bytes_sent", "packets_recv", "packets_sent"] {
                assert_eq!(
                    document[total],
                    json!(3_000_000),
                    "{total} with {name}, hardware {with_hardware}"
                );
            }
            assert_eq!(document["errors_in"], json!(1));
            assert_eq!(document["interfaces"].as_array().unwrap().len(), 3, "each is shown");
        }
    }
}

#[test]
fn both_ports_of_a_bond_count_and_the_bond_does_not() {
    let document = network(
        &[("eth0", 10), ("eth1", 20), ("bond0", 30), ("bond0.7", 25), ("br7", 25), ("vnet3", 25)],
        &[("eth0/device/vendor", ""), ("eth1/device/vendor", ""), ("bond0/bonding/mode", "")],
    );
    assert_eq!(document["total_bytes_recv"], json!(30));
}

#[test]
fn a_rate_is_of_the_same_interfaces_as_its_total() {
    let machine = Machine::blank();
    let text = |bytes: u64| {
        format!(
            "Inter-|\n face |\n eth0: {bytes} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n br0: {bytes} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        )
    };
    machine.write("/sys/class/net/br0/bridge/bridge_id", "8000.0\n");
    machine.write("/proc/1/net/dev", &text(1000));
    let two = machine.before_and_after("network", || machine.write("/proc/1/net/dev", &text(3000)));
    two.expect_rate("/bytes_recv_per_sec", 2000.0);
}

fn read_bytes(disks: &[(&str, u64)], files: &[&str]) -> Value {
    let machine = Machine::blank();
    let line = |(name, reads): &(&str, u64)| format!("8 0 {name} {reads} 0 {reads} 1 0 0 0 0 0 1 1\n");
    machine.write("/proc/diskstats", &disks.iter().map(line).collect::<String>());
    files.iter().for_each(|path| machine.write(&format!("/sys/block/{path}"), ""));
    sample(machine.source("disk").as_mut())["io"]["read_bytes"].clone()
}

#[test]
fn a_request_counts_once_whatever_it_passes() {
    let disk = ["sda/dev", "sda/sda1/dev"];
    for (name, files) in [
        ("dm-0", &["dm-0/dm/name", "dm-0/slaves/sda1/dev"][..]),
        ("md0", &["md0/md/level", "md0/slaves/sda1/dev"]),
        ("bcache0", &["sda/bcache/state", "bcache0/bcache/state", "bcache0/slaves/sda/dev"]),
        ("zd0", &["zd0/dev"]),
        ("nbd0", &["nbd0/dev"]),
        ("drbd0", &["drbd0/dev"]),
        ("ploop12345", &["ploop12345/dev"]),
        ("loop3", &["loop3/loop/backing_file"]),
        ("vendor0", &["vendor0/slaves/sda1/dev"]),
        ("ram0", &["ram0/dev"]),
        ("zram0", &["zram0/dev"]),
        ("sda1", &[]),
    ] {
        let files = [&disk[..], files].concat();
        assert_eq!(read_bytes(&[("sda", 1000), (name, 900)], &files), json!(512_000), "{name}");
    }
    let both = ["nvme0c0n1/hidden", "nvme0n1/dev"];
    assert_eq!(read_bytes(&[("nvme0c0n1", 1000), ("nvme0n1", 1000)], &both), json!(512_000));
    assert_eq!(read_bytes(&[("nvme0c0n1", 600), ("nvme0c1n1", 400), ("nvme0n1", 0)], &both), json!(512_000));
    assert_eq!(read_bytes(&[("nvme0n1", 1000)], &["nvme0n1/dev"]), json!(512_000));
}

#[test]
fn without_sysfs_names_tell() {
    let disks = [
        ("sda", 500),
        ("sda1", 400),
        ("dm-0", 400),
        ("md0", 400),
        ("zd0", 1),
        ("drbd1", 1),
        ("nvme0n1", 500),
        ("loop0", 9),
    ];
    assert_eq!(read_bytes(&disks, &[]), json!(512_000));
    assert_eq!(read_bytes(&[("nbd0", 1000)], &[]), json!(512_000), "there is no other disk");
}

#[test]
fn both_disks_below_bcache_count() {
    let files = [
        "sdb/bcache/state",
        "nvme0n1/bcache/cache_replacement_policy",
        "bcache0/bcache/state",
        "bcache0/slaves/sdb/dev",
        "bcache0/slaves/nvme0n1/dev",
    ];
    assert_eq!(read_bytes(&[("sdb", 600), ("nvme0n1", 400), ("bcache0", 1000)], &files), json!(512_000));
}
