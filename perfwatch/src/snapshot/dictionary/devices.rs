//! The fields of the documents about interfaces and disks.

use super::Export::{Counter, Gauge, None};
use super::{Field, Kind, field};

const PERCENT: f64 = 0.01;
const MS: f64 = 1e-3;

pub(super) const NETWORK: &[Field] = &[
    field("bytes_sent_per_sec", "bytes/s", "Sent to the outside.", None),
    field("bytes_recv_per_sec", "bytes/s", "Received from the outside.", None),
    field(
        "total_bytes_sent",
        "bytes",
        "Sent to the outside since the interfaces were created. A packet counts once, however many bridges, bonds, VLANs, tunnels or container interfaces it passes.",
        Counter("network_bytes_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "total_bytes_recv",
        "bytes",
        "Received, likewise.",
        Counter("network_bytes_total{direction=\"received\"}", 1.0),
    ),
    field(
        "packets_sent",
        "",
        "Packets sent, likewise.",
        Counter("network_packets_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "packets_recv",
        "",
        "Packets received, likewise.",
        Counter("network_packets_total{direction=\"received\"}", 1.0),
    ),
    field(
        "errors_in",
        "",
        "Bad packets received, likewise.",
        Counter("network_errors_total{direction=\"received\"}", 1.0),
    ),
    field(
        "errors_out",
        "",
        "Packets that could not be sent, likewise.",
        Counter("network_errors_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "drops_in",
        "",
        "Packets received and dropped, likewise.",
        Counter("network_drops_total{direction=\"received\"}", 1.0),
    ),
    field(
        "drops_out",
        "",
        "Packets dropped instead of sent, likewise.",
        Counter("network_drops_total{direction=\"sent\"}", 1.0),
    ),
    field("interfaces[interface=name].name", "", "Every interface, loopback included.", None)
        .of_kind(Kind::State),
    field("interfaces[interface=name].state", "", "`up`, `down`, `unknown`, … (RFC 2863).", None)
        .of_kind(Kind::State),
    field(
        "interfaces[interface=name].speed_mbps",
        "Mbit/s",
        "Link speed; `null` if the link is down, has none, or its driver does not know it.",
        Gauge("interface_speed_bytes_per_second", 125_000.0),
    ),
    field(
        "interfaces[interface=name].bytes_sent",
        "bytes",
        "Sent since it was created.",
        Counter("interface_bytes_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].bytes_recv",
        "bytes",
        "Received, likewise.",
        Counter("interface_bytes_total{direction=\"received\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].packets_sent",
        "",
        "Packets sent, likewise.",
        Counter("interface_packets_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].packets_recv",
        "",
        "Packets received, likewise.",
        Counter("interface_packets_total{direction=\"received\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].errors_in",
        "",
        "Bad packets received, likewise.",
        Counter("interface_errors_total{direction=\"received\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].errors_out",
        "",
        "Packets that could not be sent, likewise.",
        Counter("interface_errors_total{direction=\"sent\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].drops_in",
        "",
        "Packets received and dropped, likewise.",
        Counter("interface_drops_total{direction=\"received\"}", 1.0),
    ),
    field(
        "interfaces[interface=name].drops_out",
        "",
        "Packets dropped instead of sent, likewise.",
        Counter("interface_drops_total{direction=\"sent\"}", 1.0),
    ),
    field("interfaces[interface=name].bytes_sent_per_sec", "bytes/s", "Sent.", None),
    field("interfaces[interface=name].bytes_recv_per_sec", "bytes/s", "Received.", None),
    field("interfaces[interface=name].packets_sent_per_sec", "packets/s", "Packets sent.", None),
    field("interfaces[interface=name].packets_recv_per_sec", "packets/s", "Packets received.", None),
    field("interfaces[interface=name].errors_in_per_sec", "1/s", "Bad packets received.", None),
    field("interfaces[interface=name].errors_out_per_sec", "1/s", "Packets that could not be sent.", None),
    field("interfaces[interface=name].drops_in_per_sec", "1/s", "Packets received and dropped.", None),
    field("interfaces[interface=name].drops_out_per_sec", "1/s", "Packets dropped instead of sent.", None),
    field("connection_count", "", "TCP sockets in any state, and UDP sockets.", None),
    field(
        "connections.established",
        "",
        "Established TCP connections; includes close-wait if `close_wait` is `null`.",
        Gauge("sockets{protocol=\"tcp\",state=\"established\"}", 1.0),
    ),
    field(
        "connections.time_wait",
        "",
        "TCP sockets in time-wait.",
        Gauge("sockets{protocol=\"tcp\",state=\"time_wait\"}", 1.0),
    ),
    field(
        "connections.close_wait",
        "",
        "TCP sockets in close-wait, counted once a minute.",
        Gauge("sockets{protocol=\"tcp\",state=\"close_wait\"}", 1.0),
    ),
    field(
        "connections.listen",
        "",
        "Listening TCP sockets, counted once a minute.",
        Gauge("sockets{protocol=\"tcp\",state=\"listen\"}", 1.0),
    ),
    field("connections.udp", "", "UDP sockets.", Gauge("sockets{protocol=\"udp\",state=\"\"}", 1.0)),
    field(
        "tcp_retransmits_per_sec",
        "1/s",
        "TCP segments retransmitted.",
        Gauge("tcp_retransmits_per_second", 1.0),
    ),
];

pub(super) const DISK: &[Field] = &[
    field("reason", "", "Why there are no partitions, or no disks.", None).of_kind(Kind::State),
    field(
        "partitions[device,mountpoint,fstype].device",
        "",
        "Device of each file system that holds data.",
        None,
    )
    .of_kind(Kind::State),
    field(
        "partitions[device,mountpoint,fstype].mountpoint",
        "",
        "Its mount point; if there are several, the one nearest to the root.",
        None,
    )
    .of_kind(Kind::State),
    field("partitions[device,mountpoint,fstype].fstype", "", "File system type.", None).of_kind(Kind::State),
    field(
        "partitions[device,mountpoint,fstype].total_bytes",
        "bytes",
        "Size; `null` while it does not respond.",
        Gauge("filesystem_size_bytes", 1.0),
    ),
    field(
        "partitions[device,mountpoint,fstype].used_bytes",
        "bytes",
        "Used space.",
        Gauge("filesystem_used_bytes", 1.0),
    ),
    field(
        "partitions[device,mountpoint,fstype].free_bytes",
        "bytes",
        "Space available to ordinary users; 0 if it is over-full.",
        Gauge("filesystem_available_bytes", 1.0),
    ),
    field(
        "partitions[device,mountpoint,fstype].usage_percent",
        "%",
        "Used share of the space available to ordinary users, as df(1) shows it.",
        Gauge("filesystem_usage_ratio", PERCENT),
    ),
    field(
        "partitions[device,mountpoint,fstype].inodes_percent",
        "%",
        "Used share of the inodes, as `df -i` shows it; `null` where their number is not fixed.",
        Gauge("filesystem_inodes_ratio", PERCENT),
    ),
    field(
        "partitions[device,mountpoint,fstype].access",
        "",
        "`rw`; `ro` if it was mounted so; `forced_ro` if it was mounted to be written to and is read-only: so the kernel leaves it after errors.",
        None,
    )
    .of_kind(Kind::State),
    field(
        "io.read_bytes_per_sec",
        "bytes/s",
        "Read from whole disks. A request counts once, however many dm, md, bcache, multipath or loop devices it passes.",
        None,
    ),
    field("io.write_bytes_per_sec", "bytes/s", "Written, likewise.", None),
    field(
        "io.read_bytes",
        "bytes",
        "Read since boot.",
        Counter("disk_transferred_bytes_total{operation=\"read\"}", 1.0),
    ),
    field(
        "io.write_bytes",
        "bytes",
        "Written since boot.",
        Counter("disk_transferred_bytes_total{operation=\"write\"}", 1.0),
    ),
    field(
        "io.read_count",
        "",
        "Reads completed since boot.",
        Counter("disk_requests_total{operation=\"read\"}", 1.0),
    ),
    field(
        "io.write_count",
        "",
        "Writes completed since boot.",
        Counter("disk_requests_total{operation=\"write\"}", 1.0),
    ),
    field(
        "io.read_time_ms",
        "ms",
        "Time of reads since boot, from queueing to completion.",
        Counter("disk_request_seconds_total{operation=\"read\"}", MS),
    ),
    field(
        "io.write_time_ms",
        "ms",
        "Time of writes, likewise.",
        Counter("disk_request_seconds_total{operation=\"write\"}", MS),
    ),
    field(
        "devices{device}.read_bytes_per_sec",
        "bytes/s",
        "Read from a disk, or from a device stacked on disks (dm, md, bcache, ZFS volume).",
        Gauge("device_transferred_bytes_per_second{operation=\"read\"}", 1.0),
    ),
    field(
        "devices{device}.write_bytes_per_sec",
        "bytes/s",
        "Written, likewise.",
        Gauge("device_transferred_bytes_per_second{operation=\"write\"}", 1.0),
    ),
    field(
        "devices{device}.read_iops",
        "requests/s",
        "Reads completed.",
        Gauge("device_requests_per_second{operation=\"read\"}", 1.0),
    ),
    field(
        "devices{device}.write_iops",
        "requests/s",
        "Writes completed.",
        Gauge("device_requests_per_second{operation=\"write\"}", 1.0),
    ),
    field(
        "devices{device}.read_latency_ms",
        "ms",
        "Mean time of reads, from queueing to completion; `null` if none completed.",
        Gauge("device_request_seconds{operation=\"read\"}", MS),
    ),
    field(
        "devices{device}.write_latency_ms",
        "ms",
        "Mean time of writes, likewise.",
        Gauge("device_request_seconds{operation=\"write\"}", MS),
    ),
    field(
        "devices{device}.utilization_percent",
        "%",
        "Share of time with at least one request in flight. A device that serves many at once is not saturated at 100.",
        Gauge("device_utilization_ratio", PERCENT),
    ),
    field(
        "devices{device}.queue_depth",
        "",
        "Mean number of requests in flight.",
        Gauge("device_queue_depth", 1.0),
    ),
];
