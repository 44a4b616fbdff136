/**
 * Every field of every document, and the documents' types.
 * Written by perfwatch/tests/documentation/page.rs from the dictionary of fields.
 */
import type { Histogram, MachineEvent } from './types';

export type FieldUnit =
  | ''
  | '%'
  | '1/s'
  | 'CPUs'
  | 'IPC'
  | 'KiB/s'
  | 'MHz'
  | 'MPKI'
  | 'Mbit/s'
  | 'bytes'
  | 'bytes/s'
  | 'ms'
  | 'ms/s'
  | 'ns'
  | 'packets/s'
  | 'pages'
  | 'pages/s'
  | 'ratio'
  | 'requests/s'
  | 's'
  | '°C'
  | 'µs'
  | 'µs/s';

export type FieldKind = 'gauge' | 'counter' | 'interval' | 'histogram' | 'state' | 'events';

/** The path is in the notation of perfwatch/src/snapshot/dictionary/path.rs. */
export type FieldEntry = readonly [path: string, unit: FieldUnit, kind: FieldKind, help: string];

export const dictionary: Record<keyof Documents, readonly FieldEntry[]> = {
  cpu: [
    ['usage_percent', '%', 'gauge', 'CPU usage: share of the time of all CPUs that was not idle or iowait.'],
    ['per_core[#cpu]', '%', 'gauge', 'Usage of each CPU, by number; `null` if it is offline.'],
    ['user', '%', 'gauge', 'Share of time in user mode, including guests.'],
    ['system', '%', 'gauge', 'Share of time in the kernel.'],
    ['idle', '%', 'gauge', 'Share of time idle.'],
    ['iowait', '%', 'gauge', 'Share of time idle while a task waited for storage.'],
    ['irq', '%', 'gauge', 'Share of time in interrupts.'],
    ['softirq', '%', 'gauge', 'Share of time in soft interrupts.'],
    ['nice', '%', 'gauge', 'Share of time in user mode at a lowered priority.'],
    ['steal', '%', 'gauge', 'Share of time that the hypervisor gave to other machines.'],
    ['guest', '%', 'gauge', 'Share of time in guests; part of user and nice.'],
    ['load_avg[0]', '', 'gauge', 'Load average over 1 min: tasks running or in uninterruptible sleep.'],
    ['load_avg[1]', '', 'gauge', 'Load average over 5 min.'],
    ['load_avg[2]', '', 'gauge', 'Load average over 15 min.'],
    ['frequency_mhz[#cpu]', 'MHz', 'gauge', 'Frequency of each CPU, by number; `null` without cpufreq.'],
    ['temperature', '°C', 'gauge', 'The hottest valid reading of the CPUs\' packages and cores.'],
    ['temperature_celsius[#sensor]', '°C', 'gauge', 'Each CPU sensor, always at the same position; `null` if it does not respond or its value is impossible.'],
    ['core_count', '', 'gauge', 'CPUs online.'],
    ['physical_cores', '', 'gauge', 'Physical cores of the online CPUs.'],
    ['interrupts', '', 'counter', 'Interrupts since boot.'],
    ['interrupts_per_sec', '1/s', 'gauge', 'Interrupts.'],
    ['context_switches_per_sec', '1/s', 'gauge', 'Context switches of all CPUs.'],
    ['forks_per_sec', '1/s', 'gauge', 'Processes and threads created.'],
    ['processes_running', '', 'gauge', 'Runnable tasks.'],
    ['processes_blocked', '', 'gauge', 'Tasks blocked on storage.'],
    ['events[#n]', '', 'events', 'In the first documents after a start: when the machine and PerfWatch started.'],
  ],
  memory: [
    ['total_bytes', 'bytes', 'gauge', 'Memory that the kernel manages.'],
    ['available_bytes', 'bytes', 'gauge', 'Memory available to programs without swapping, as estimated by the kernel; free memory if the estimate exceeds the total.'],
    ['used_bytes', 'bytes', 'gauge', 'Total − available.'],
    ['usage_percent', '%', 'gauge', 'Used share of the total.'],
    ['free_bytes', 'bytes', 'gauge', 'Unused memory.'],
    ['buffers_bytes', 'bytes', 'gauge', 'Buffers of block devices.'],
    ['cached_bytes', 'bytes', 'gauge', 'Page cache and reclaimable slabs.'],
    ['shared_bytes', 'bytes', 'gauge', 'Shared memory and tmpfs.'],
    ['swap_total_bytes', 'bytes', 'gauge', 'Swap space; 0 without swap.'],
    ['swap_used_bytes', 'bytes', 'gauge', 'Swap space in use.'],
    ['swap_free_bytes', 'bytes', 'gauge', 'Swap space not in use.'],
    ['swap_percent', '%', 'gauge', 'Swap in use; 0 without swap.'],
    ['swap_sin_bytes', 'bytes', 'counter', 'Read from swap since boot.'],
    ['swap_sout_bytes', 'bytes', 'counter', 'Written to swap since boot.'],
    ['dirty_bytes', 'bytes', 'gauge', 'Waiting to be written to storage.'],
    ['writeback_bytes', 'bytes', 'gauge', 'Being written to storage.'],
    ['slab_bytes', 'bytes', 'gauge', 'Kernel objects (slab).'],
    ['hugepages_total', 'pages', 'gauge', 'Huge pages in the pool.'],
    ['hugepages_free', 'pages', 'gauge', 'Huge pages not in use.'],
    ['hugepages_reserved', 'pages', 'gauge', 'Huge pages reserved and not in use yet.'],
  ],
  network: [
    ['bytes_sent_per_sec', 'bytes/s', 'gauge', 'Sent to the outside.'],
    ['bytes_recv_per_sec', 'bytes/s', 'gauge', 'Received from the outside.'],
    ['total_bytes_sent', 'bytes', 'counter', 'Sent to the outside since the interfaces were created. A packet counts once, however many bridges, bonds, VLANs, tunnels or container interfaces it passes.'],
    ['total_bytes_recv', 'bytes', 'counter', 'Received, likewise.'],
    ['packets_sent', '', 'counter', 'Packets sent, likewise.'],
    ['packets_recv', '', 'counter', 'Packets received, likewise.'],
    ['errors_in', '', 'counter', 'Bad packets received, likewise.'],
    ['errors_out', '', 'counter', 'Packets that could not be sent, likewise.'],
    ['drops_in', '', 'counter', 'Packets received and dropped, likewise.'],
    ['drops_out', '', 'counter', 'Packets dropped instead of sent, likewise.'],
    ['interfaces[interface=name].name', '', 'state', 'Every interface, loopback included.'],
    ['interfaces[interface=name].state', '', 'state', '`up`, `down`, `unknown`, … (RFC 2863).'],
    ['interfaces[interface=name].speed_mbps', 'Mbit/s', 'gauge', 'Link speed; `null` if the link is down, has none, or its driver does not know it.'],
    ['interfaces[interface=name].bytes_sent', 'bytes', 'counter', 'Sent since it was created.'],
    ['interfaces[interface=name].bytes_recv', 'bytes', 'counter', 'Received, likewise.'],
    ['interfaces[interface=name].packets_sent', '', 'counter', 'Packets sent, likewise.'],
    ['interfaces[interface=name].packets_recv', '', 'counter', 'Packets received, likewise.'],
    ['interfaces[interface=name].errors_in', '', 'counter', 'Bad packets received, likewise.'],
    ['interfaces[interface=name].errors_out', '', 'counter', 'Packets that could not be sent, likewise.'],
    ['interfaces[interface=name].drops_in', '', 'counter', 'Packets received and dropped, likewise.'],
    ['interfaces[interface=name].drops_out', '', 'counter', 'Packets dropped instead of sent, likewise.'],
    ['interfaces[interface=name].bytes_sent_per_sec', 'bytes/s', 'gauge', 'Sent.'],
    ['interfaces[interface=name].bytes_recv_per_sec', 'bytes/s', 'gauge', 'Received.'],
    ['interfaces[interface=name].packets_sent_per_sec', 'packets/s', 'gauge', 'Packets sent.'],
    ['interfaces[interface=name].packets_recv_per_sec', 'packets/s', 'gauge', 'Packets received.'],
    ['interfaces[interface=name].errors_in_per_sec', '1/s', 'gauge', 'Bad packets received.'],
    ['interfaces[interface=name].errors_out_per_sec', '1/s', 'gauge', 'Packets that could not be sent.'],
    ['interfaces[interface=name].drops_in_per_sec', '1/s', 'gauge', 'Packets received and dropped.'],
    ['interfaces[interface=name].drops_out_per_sec', '1/s', 'gauge', 'Packets dropped instead of sent.'],
    ['connection_count', '', 'gauge', 'TCP sockets in any state, and UDP sockets.'],
    ['connections.established', '', 'gauge', 'Established TCP connections; includes close-wait if `close_wait` is `null`.'],
    ['connections.time_wait', '', 'gauge', 'TCP sockets in time-wait.'],
    ['connections.close_wait', '', 'gauge', 'TCP sockets in close-wait, counted once a minute.'],
    ['connections.listen', '', 'gauge', 'Listening TCP sockets, counted once a minute.'],
    ['connections.udp', '', 'gauge', 'UDP sockets.'],
    ['tcp_retransmits_per_sec', '1/s', 'gauge', 'TCP segments retransmitted.'],
  ],
  disk: [
    ['reason', '', 'state', 'Why there are no partitions, or no disks.'],
    ['partitions[device,mountpoint,fstype].device', '', 'state', 'Device of each file system that holds data.'],
    ['partitions[device,mountpoint,fstype].mountpoint', '', 'state', 'Its mount point; if there are several, the one nearest to the root.'],
    ['partitions[device,mountpoint,fstype].fstype', '', 'state', 'File system type.'],
    ['partitions[device,mountpoint,fstype].total_bytes', 'bytes', 'gauge', 'Size; `null` while it does not respond.'],
    ['partitions[device,mountpoint,fstype].used_bytes', 'bytes', 'gauge', 'Used space.'],
    ['partitions[device,mountpoint,fstype].free_bytes', 'bytes', 'gauge', 'Space available to ordinary users; 0 if it is over-full.'],
    ['partitions[device,mountpoint,fstype].usage_percent', '%', 'gauge', 'Used share of the space available to ordinary users, as df(1) shows it.'],
    ['partitions[device,mountpoint,fstype].inodes_percent', '%', 'gauge', 'Used share of the inodes, as `df -i` shows it; `null` where their number is not fixed.'],
    ['partitions[device,mountpoint,fstype].access', '', 'state', '`rw`; `ro` if it was mounted so; `forced_ro` if it was mounted to be written to and is read-only: so the kernel leaves it after errors.'],
    ['io.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from whole disks. A request counts once, however many dm, md, bcache, multipath or loop devices it passes.'],
    ['io.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written, likewise.'],
    ['io.read_bytes', 'bytes', 'counter', 'Read since boot.'],
    ['io.write_bytes', 'bytes', 'counter', 'Written since boot.'],
    ['io.read_count', '', 'counter', 'Reads completed since boot.'],
    ['io.write_count', '', 'counter', 'Writes completed since boot.'],
    ['io.read_time_ms', 'ms', 'counter', 'Time of reads since boot, from queueing to completion.'],
    ['io.write_time_ms', 'ms', 'counter', 'Time of writes, likewise.'],
    ['devices{device}.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from a disk, or from a device stacked on disks (dm, md, bcache, ZFS volume).'],
    ['devices{device}.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written, likewise.'],
    ['devices{device}.read_iops', 'requests/s', 'gauge', 'Reads completed.'],
    ['devices{device}.write_iops', 'requests/s', 'gauge', 'Writes completed.'],
    ['devices{device}.read_latency_ms', 'ms', 'gauge', 'Mean time of reads, from queueing to completion; `null` if none completed.'],
    ['devices{device}.write_latency_ms', 'ms', 'gauge', 'Mean time of writes, likewise.'],
    ['devices{device}.utilization_percent', '%', 'gauge', 'Share of time with at least one request in flight. A device that serves many at once is not saturated at 100.'],
    ['devices{device}.queue_depth', '', 'gauge', 'Mean number of requests in flight.'],
  ],
  perf_events: [
    ['available', '', 'state', 'Whether at least one event is counted.'],
    ['hardware_available', '', 'state', 'Whether cycles are counted.'],
    ['cpu_cores', '', 'state', 'Monitored CPUs: `all`, or a list.'],
    ['interval_ms', 'ms', 'gauge', 'Time between two readings, as configured.'],
    ['sample_time', 's', 'gauge', 'Time since counting began.'],
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['events{event!cpu-clock}.value', '', 'interval', 'Events in the interval, scaled up if they were counted for only part of it.'],
    ['events.cpu-clock.value', 'ms', 'interval', 'CPU time counted in the interval.'],
    ['events{event}.unit', '', 'state', '`msec` for cpu-clock, `count` for all others.'],
    ['events{event}.running_ratio', 'ratio', 'gauge', 'Share of the time that the event was on the PMU; below 1, its value is an estimate.'],
    ['events{event}.error', '', 'state', 'Why it is not counted.'],
    ['counted_as{event}', '', 'state', 'The CPU\'s own event that is counted instead, if the kernel has no generic one.'],
    ['unsupported_events[#n]', '', 'state', 'Events that this machine does not offer.'],
    ['missing_events[#n]', '', 'state', 'Events that are offered but had no value in this interval.'],
    ['derived.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['derived.branch_miss_ratio', 'ratio', 'gauge', 'Share of branches that were mispredicted.'],
    ['derived.l1d_miss_ratio', 'ratio', 'gauge', 'Share of loads that missed the first-level data cache.'],
    ['derived.llc_miss_ratio', 'ratio', 'gauge', 'Share of loads from the last-level cache that missed it.'],
    ['derived.dtlb_miss_ratio', 'ratio', 'gauge', 'Share of loads that missed the data TLB.'],
    ['derived.itlb_miss_ratio', 'ratio', 'gauge', 'Share of instruction fetches that missed the instruction TLB.'],
    ['derived.branch_mpki', 'MPKI', 'gauge', 'Branch misses per thousand instructions.'],
    ['derived.l1d_mpki', 'MPKI', 'gauge', 'First-level data cache misses, likewise.'],
    ['derived.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses, likewise.'],
    ['derived.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['derived.itlb_mpki', 'MPKI', 'gauge', 'Instruction TLB misses, likewise.'],
    ['derived.frequency_mhz', 'MHz', 'gauge', 'Mean frequency while busy: cycles per time that CPUs were not idle.'],
    ['pmus{pmu}.cpus', '', 'state', 'CPUs of one kind of core, on hybrid machines.'],
    ['pmus{pmu}.events{event}.value', '', 'interval', 'Its events in the interval, as in `events`.'],
    ['pmus{pmu}.events{event}.unit', '', 'state', 'As in `events`.'],
    ['pmus{pmu}.events{event}.running_ratio', 'ratio', 'gauge', 'As in `events`.'],
    ['pmus{pmu}.events{event}.error', '', 'state', 'Why it is not counted on this kind of core.'],
    ['pmus{pmu}.counted_as{event}', '', 'state', 'Its own events that are counted instead of generic ones.'],
    ['pmus{pmu}.derived{ratio}', '', 'gauge', 'As in `derived`.'],
    ['per_cpu[cpu].cpu', '', 'gauge', 'Each monitored CPU.'],
    ['per_cpu[cpu].ipc', 'IPC', 'gauge', 'Its instructions per cycle.'],
    ['per_cpu[cpu].cycles', '', 'interval', 'Its cycles in the interval.'],
    ['per_cpu[cpu].instructions', '', 'interval', 'Its instructions in the interval.'],
    ['per_cpu[cpu].frequency_mhz', 'MHz', 'gauge', 'Its mean frequency while busy.'],
  ],
  memory_bandwidth: [
    ['available', '', 'state', 'Whether the kernel counts paging.'],
    ['pgpgin_per_sec', 'KiB/s', 'gauge', 'Read from block devices.'],
    ['pgpgout_per_sec', 'KiB/s', 'gauge', 'Written to block devices.'],
    ['pswpin_per_sec', 'pages/s', 'gauge', 'Read from swap.'],
    ['pswpout_per_sec', 'pages/s', 'gauge', 'Written to swap.'],
    ['page_io_bytes_per_sec', 'bytes/s', 'gauge', 'Paging in both directions.'],
    ['swap_io_bytes_per_sec', 'bytes/s', 'gauge', 'Swapping in both directions.'],
    ['pgfault_per_sec', '1/s', 'gauge', 'Page faults.'],
    ['pgmajfault_per_sec', '1/s', 'gauge', 'Major page faults, which had to wait for storage.'],
    ['pgscan_per_sec', 'pages/s', 'gauge', 'Pages scanned by reclaim.'],
    ['pgsteal_per_sec', 'pages/s', 'gauge', 'Pages freed by reclaim.'],
    ['compact_stall_per_sec', '1/s', 'gauge', 'Stalls of tasks in memory compaction.'],
    ['compact_fail_per_sec', '1/s', 'gauge', 'Failed compactions.'],
    ['compact_success_per_sec', '1/s', 'gauge', 'Successful compactions.'],
    ['thp_fault_alloc_per_sec', '1/s', 'gauge', 'Transparent huge pages allocated at page faults.'],
    ['thp_fault_fallback_per_sec', '1/s', 'gauge', 'Page faults that fell back to small pages.'],
    ['thp_collapse_alloc_per_sec', '1/s', 'gauge', 'Small pages collapsed into a huge page.'],
    ['numa_hit_per_sec', 'pages/s', 'gauge', 'Allocated on the intended node.'],
    ['numa_miss_per_sec', 'pages/s', 'gauge', 'Allocated on another node.'],
    ['numa_pages_migrated_per_sec', 'pages/s', 'gauge', 'Migrated to another node.'],
    ['oom_kill_per_sec', '1/s', 'gauge', 'Processes killed by the OOM killer.'],
  ],
  scheduler: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['context_switches', '', 'interval', 'Context switches in the interval.'],
    ['context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['migrations', '', 'interval', 'Times a task moved to another CPU, in the interval.'],
    ['migrations_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU, all tasks combined.'],
    ['runqueue_wait_unknown', '', 'interval', 'Times a task got a CPU without a known waiting time.'],
    ['runqueue_wait.mean_us', 'µs', 'gauge', 'Time from runnable to running: mean.'],
    ['runqueue_wait.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait.max_us', 'µs', 'gauge', 'Maximum.'],
    ['runqueue_wait.histogram', 'ns', 'histogram', 'Time from runnable to running: full distribution.'],
    ['runqueue_wait_woken.mean_us', 'µs', 'gauge', 'Run queue wait after waking up: mean.'],
    ['runqueue_wait_woken.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait_woken.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait_woken.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait_woken.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait_woken.max_us', 'µs', 'gauge', 'Maximum.'],
    ['runqueue_wait_woken.histogram', 'ns', 'histogram', 'Run queue wait after waking up: full distribution.'],
    ['runqueue_wait_preempted.mean_us', 'µs', 'gauge', 'Run queue wait after being preempted: mean.'],
    ['runqueue_wait_preempted.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait_preempted.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait_preempted.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait_preempted.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait_preempted.max_us', 'µs', 'gauge', 'Maximum.'],
    ['runqueue_wait_preempted.histogram', 'ns', 'histogram', 'Run queue wait after being preempted: full distribution.'],
    ['off_cpu.mean_us', 'µs', 'gauge', 'Time from blocking to running again: mean.'],
    ['off_cpu.p50_us', 'µs', 'gauge', 'Median.'],
    ['off_cpu.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['off_cpu.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['off_cpu.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['off_cpu.max_us', 'µs', 'gauge', 'Maximum.'],
    ['off_cpu.histogram', 'ns', 'histogram', 'Time from blocking to running again: full distribution.'],
    ['per_cpu[cpu].cpu', '', 'gauge', 'Each CPU.'],
    ['per_cpu[cpu].context_switches_per_sec', '1/s', 'gauge', 'Its context switches.'],
    ['per_cpu[cpu].busy_percent', '%', 'gauge', 'Share of the time that it was running tasks.'],
    ['per_cpu[cpu].runqueue_wait_p99_us', 'µs', 'gauge', '99th percentile of the run queue wait.'],
    ['per_cpu[cpu].runqueue_wait_max_us', 'µs', 'gauge', 'Maximum run queue wait.'],
  ],
  block_io: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['total.mean_us', 'µs', 'gauge', 'From issue to completion, reads and writes of all disks: mean.'],
    ['total.p50_us', 'µs', 'gauge', 'Median.'],
    ['total.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['total.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['total.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['total.max_us', 'µs', 'gauge', 'Maximum.'],
    ['total.histogram', 'ns', 'histogram', 'From issue to completion, reads and writes of all disks: full distribution.'],
    ['devices{device}.in_flight.read', '', 'gauge', 'Reads in flight.'],
    ['devices{device}.in_flight.write', '', 'gauge', 'Writes in flight.'],
    ['devices{device}.read.requests', '', 'interval', 'Completed requests to read, in the interval.'],
    ['devices{device}.read.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.read.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes transferred.'],
    ['devices{device}.read.errors', '', 'interval', 'Failed requests to read, in the interval.'],
    ['devices{device}.read.unseen', '', 'gauge', 'Requests whose issue was not seen; not included in the times from issue.'],
    ['devices{device}.read.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.read.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.read.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.read.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.read.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.read.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.read.histogram', 'ns', 'histogram', 'From issue to completion: full distribution.'],
    ['devices{device}.read.from_queue.mean_us', 'µs', 'gauge', 'From queueing to completion: mean.'],
    ['devices{device}.read.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.read.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.read.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.read.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.read.from_queue.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.read.from_queue.histogram', 'ns', 'histogram', 'From queueing to completion: full distribution.'],
    ['devices{device}.read.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.read.size.max_bytes', 'bytes', 'gauge', 'Maximum size.'],
    ['devices{device}.read.size.histogram', 'bytes', 'histogram', 'Sizes: full distribution.'],
    ['devices{device}.write.requests', '', 'interval', 'Completed requests to write, in the interval.'],
    ['devices{device}.write.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.write.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes transferred.'],
    ['devices{device}.write.errors', '', 'interval', 'Failed requests to write, in the interval.'],
    ['devices{device}.write.unseen', '', 'gauge', 'Requests whose issue was not seen; not included in the times from issue.'],
    ['devices{device}.write.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.write.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.write.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.write.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.write.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.write.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.write.histogram', 'ns', 'histogram', 'From issue to completion: full distribution.'],
    ['devices{device}.write.from_queue.mean_us', 'µs', 'gauge', 'From queueing to completion: mean.'],
    ['devices{device}.write.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.write.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.write.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.write.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.write.from_queue.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.write.from_queue.histogram', 'ns', 'histogram', 'From queueing to completion: full distribution.'],
    ['devices{device}.write.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.write.size.max_bytes', 'bytes', 'gauge', 'Maximum size.'],
    ['devices{device}.write.size.histogram', 'bytes', 'histogram', 'Sizes: full distribution.'],
    ['devices{device}.flush.requests', '', 'interval', 'Completed requests to flush, in the interval.'],
    ['devices{device}.flush.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.flush.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes transferred.'],
    ['devices{device}.flush.errors', '', 'interval', 'Failed requests to flush, in the interval.'],
    ['devices{device}.flush.unseen', '', 'gauge', 'Requests whose issue was not seen; not included in the times from issue.'],
    ['devices{device}.flush.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.flush.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.flush.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.flush.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.flush.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.flush.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.flush.histogram', 'ns', 'histogram', 'From issue to completion: full distribution.'],
    ['devices{device}.flush.from_queue.mean_us', 'µs', 'gauge', 'From queueing to completion: mean.'],
    ['devices{device}.flush.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.flush.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.flush.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.flush.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.flush.from_queue.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.flush.from_queue.histogram', 'ns', 'histogram', 'From queueing to completion: full distribution.'],
    ['devices{device}.flush.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.flush.size.max_bytes', 'bytes', 'gauge', 'Maximum size.'],
    ['devices{device}.flush.size.histogram', 'bytes', 'histogram', 'Sizes: full distribution.'],
    ['devices{device}.discard.requests', '', 'interval', 'Completed requests to discard, in the interval.'],
    ['devices{device}.discard.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.discard.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes transferred.'],
    ['devices{device}.discard.errors', '', 'interval', 'Failed requests to discard, in the interval.'],
    ['devices{device}.discard.unseen', '', 'gauge', 'Requests whose issue was not seen; not included in the times from issue.'],
    ['devices{device}.discard.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.discard.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.discard.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.discard.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.discard.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.discard.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.discard.histogram', 'ns', 'histogram', 'From issue to completion: full distribution.'],
    ['devices{device}.discard.from_queue.mean_us', 'µs', 'gauge', 'From queueing to completion: mean.'],
    ['devices{device}.discard.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.discard.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.discard.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.discard.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.discard.from_queue.max_us', 'µs', 'gauge', 'Maximum.'],
    ['devices{device}.discard.from_queue.histogram', 'ns', 'histogram', 'From queueing to completion: full distribution.'],
    ['devices{device}.discard.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.discard.size.max_bytes', 'bytes', 'gauge', 'Maximum size.'],
    ['devices{device}.discard.size.histogram', 'bytes', 'histogram', 'Sizes: full distribution.'],
  ],
  tcp: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['retransmits', '', 'interval', 'Segments retransmitted, in the interval.'],
    ['retransmits_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['retransmit_percent', '%', 'gauge', 'Share of sent segments that were retransmitted.'],
    ['resets_sent', '', 'interval', 'Connections reset by this machine.'],
    ['resets_sent_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['resets_received', '', 'interval', 'Connections reset by others.'],
    ['resets_received_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['connects', '', 'interval', 'Connections opened from here.'],
    ['connects_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['connect_failures', '', 'interval', 'Failed attempts to open a connection.'],
    ['connect_failures_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['accepts', '', 'interval', 'Connections accepted.'],
    ['accepts_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['segments_received_per_sec', '1/s', 'gauge', 'Segments received.'],
    ['segments_sent_per_sec', '1/s', 'gauge', 'Segments sent for the first time.'],
    ['connect_latency.mean_us', 'µs', 'gauge', 'Time from the first packet to the established connection: mean.'],
    ['connect_latency.p50_us', 'µs', 'gauge', 'Median.'],
    ['connect_latency.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['connect_latency.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['connect_latency.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['connect_latency.max_us', 'µs', 'gauge', 'Maximum.'],
    ['connect_latency.histogram', 'ns', 'histogram', 'Time from the first packet to the established connection: full distribution.'],
    ['smoothed_rtt.mean_us', 'µs', 'gauge', 'Smoothed round-trip time, sampled when data is received and when a connection ends: mean.'],
    ['smoothed_rtt.p50_us', 'µs', 'gauge', 'Median.'],
    ['smoothed_rtt.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['smoothed_rtt.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['smoothed_rtt.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['smoothed_rtt.max_us', 'µs', 'gauge', 'Maximum.'],
    ['smoothed_rtt.histogram', 'ns', 'histogram', 'Smoothed round-trip time, sampled when data is received and when a connection ends: full distribution.'],
  ],
  processes: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['active', '', 'gauge', 'Processes that ran in the interval.'],
    ['hidden', '', 'gauge', 'Processes hidden by `hidepid`; `null` if it is not known how many.'],
    ['forks_per_sec', '1/s', 'gauge', 'Processes created.'],
    ['execs_per_sec', '1/s', 'gauge', 'Programs started.'],
    ['exits_per_sec', '1/s', 'gauge', 'Processes that ended.'],
    ['evicted', '', 'interval', 'Threads that were evicted from the table before it was read; their usage is part of `other`.'],
    ['counters_running_ratio', 'ratio', 'gauge', 'Share of the time that the counters were on the PMU; multiplexed counts are scaled up.'],
    ['total.cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['total.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['total.context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['total.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['total.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, counted when the page cache is dirtied.'],
    ['total.cycles', '', 'interval', 'Cycles in the interval.'],
    ['total.instructions', '', 'interval', 'Instructions in the interval.'],
    ['total.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['total.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['total.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['total.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['top[pid].pid', '', 'gauge', 'The processes with the most CPU time, then those with the most storage traffic.'],
    ['top[pid].comm', '', 'state', 'Name.'],
    ['top[pid].user', '', 'state', 'User.'],
    ['top[pid].uid', '', 'state', 'User ID.'],
    ['top[pid].cgroup', '', 'state', 'The cgroup of its busiest thread.'],
    ['top[pid].threads', '', 'gauge', 'Active threads; all threads if only `/proc` is available.'],
    ['top[pid].exited', '', 'state', 'Whether it has exited.'],
    ['top[pid].rss_bytes', 'bytes', 'gauge', 'Resident memory.'],
    ['top[pid].cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['top[pid].runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['top[pid].context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['top[pid].read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['top[pid].write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, counted when the page cache is dirtied.'],
    ['top[pid].cycles', '', 'interval', 'Cycles in the interval.'],
    ['top[pid].instructions', '', 'interval', 'Instructions in the interval.'],
    ['top[pid].ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['top[pid].llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['top[pid].branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['top[pid].dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['other.count', '', 'gauge', 'Active processes that are not listed.'],
    ['other.cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['other.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['other.context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['other.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['other.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, counted when the page cache is dirtied.'],
    ['other.cycles', '', 'interval', 'Cycles in the interval.'],
    ['other.instructions', '', 'interval', 'Instructions in the interval.'],
    ['other.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['other.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['other.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['other.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['cgroups[cgroup].cgroup', '', 'state', 'The path of a cgroup within its hierarchy.'],
    ['cgroups[cgroup].processes', '', 'gauge', 'Active processes in it.'],
    ['cgroups[cgroup].cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['cgroups[cgroup].runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['cgroups[cgroup].context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['cgroups[cgroup].read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['cgroups[cgroup].write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, counted when the page cache is dirtied.'],
    ['cgroups[cgroup].cycles', '', 'interval', 'Cycles in the interval.'],
    ['cgroups[cgroup].instructions', '', 'interval', 'Instructions in the interval.'],
    ['cgroups[cgroup].ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['cgroups[cgroup].llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['cgroups[cgroup].branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['cgroups[cgroup].dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['other_cgroups.count', '', 'gauge', 'Active cgroups that are not listed.'],
    ['other_cgroups.cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['other_cgroups.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['other_cgroups.context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['other_cgroups.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['other_cgroups.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, counted when the page cache is dirtied.'],
    ['other_cgroups.cycles', '', 'interval', 'Cycles in the interval.'],
    ['other_cgroups.instructions', '', 'interval', 'Instructions in the interval.'],
    ['other_cgroups.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['other_cgroups.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['other_cgroups.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['other_cgroups.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['events[#n]', '', 'events', 'Processes killed by the OOM killer, and cgroups throttled by their CPU quota.'],
  ],
  pressure: [
    ['available', '', 'state', 'Whether the kernel provides pressure stall information (PSI).'],
    ['reason', '', 'state', 'Why not, or which resources lack it.'],
    ['cpu.some.avg10', '%', 'gauge', 'Share of time in which some task waited for a CPU, over 10 s.'],
    ['cpu.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['cpu.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['cpu.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['cpu.full.avg10', '%', 'gauge', 'Share of time in which all tasks waited for a CPU, over 10 s.'],
    ['cpu.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['cpu.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['cpu.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['memory.some.avg10', '%', 'gauge', 'Share of time in which some task waited for memory, over 10 s.'],
    ['memory.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['memory.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['memory.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['memory.full.avg10', '%', 'gauge', 'Share of time in which all tasks waited for memory, over 10 s.'],
    ['memory.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['memory.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['memory.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['io.some.avg10', '%', 'gauge', 'Share of time in which some task waited for storage, over 10 s.'],
    ['io.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['io.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['io.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['io.full.avg10', '%', 'gauge', 'Share of time in which all tasks waited for storage, over 10 s.'],
    ['io.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['io.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['io.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
  ],
  cgroups: [
    ['elapsed_ms', 'ms', 'gauge', 'Time since the last reading.'],
    ['hierarchy', '', 'state', 'Version of cgroups that is in use: `v1` or `v2`.'],
    ['reason', '', 'state', 'Why some values are missing for all groups.'],
    ['count', '', 'gauge', 'Groups of this machine.'],
    ['active', '', 'gauge', 'Groups in which something ran since the last reading.'],
    ['groups[cgroup].cgroup', '', 'state', 'The path of a group within its hierarchy.'],
    ['groups[cgroup].kind', '', 'state', 'What it is: `root`, `slice`, `service`, `scope`, `unit`, `session`, `user`, `container`, `pod`, `vm` or `group`.'],
    ['groups[cgroup].name', '', 'state', 'What people call it.'],
    ['groups[cgroup].id', '', 'state', 'ID of the container that it is, or is in.'],
    ['groups[cgroup].runtime', '', 'state', 'Who runs that container.'],
    ['groups[cgroup].image', '', 'state', 'The image that it was made from.'],
    ['groups[cgroup].pod', '', 'state', 'Its pod: the name, or the UID if no name is known.'],
    ['groups[cgroup].namespace', '', 'state', 'The pod\'s namespace.'],
    ['groups[cgroup].project', '', 'state', 'Its Compose project.'],
    ['groups[cgroup].name_problem', '', 'state', 'Why there is no better name than the path has.'],
    ['groups[cgroup].cpu_percent', '%', 'gauge', 'CPU time, as a share of one CPU.'],
    ['groups[cgroup].user_percent', '%', 'gauge', 'CPU time in user mode.'],
    ['groups[cgroup].system_percent', '%', 'gauge', 'CPU time in the kernel.'],
    ['groups[cgroup].cpu_limit', 'CPUs', 'gauge', 'CPU quota, in CPUs; `null` without one.'],
    ['groups[cgroup].throttled_periods', '', 'interval', 'Periods in which it was throttled by its CPU quota, in the interval.'],
    ['groups[cgroup].throttled_ms', 'ms', 'interval', 'Time that its CPUs were throttled, in the interval.'],
    ['groups[cgroup].cpu_some_percent', '%', 'gauge', 'Share of the time that some of its tasks waited for a CPU (pressure).'],
    ['groups[cgroup].cpu_full_percent', '%', 'gauge', 'The same of all its tasks.'],
    ['groups[cgroup].runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time that its tasks waited for a CPU.'],
    ['groups[cgroup].runqueue_wait.mean_us', 'µs', 'gauge', 'Time from runnable to running: mean.'],
    ['groups[cgroup].runqueue_wait.p50_us', 'µs', 'gauge', 'Median.'],
    ['groups[cgroup].runqueue_wait.p99_us', 'µs', 'gauge', 'Time from runnable to running: 99th percentile.'],
    ['groups[cgroup].runqueue_wait.max_us', 'µs', 'gauge', 'Maximum.'],
    ['groups[cgroup].runqueue_wait.histogram', 'ns', 'histogram', 'Time from runnable to running: full distribution.'],
    ['groups[cgroup].off_cpu.mean_us', 'µs', 'gauge', 'Time from blocking to running again: mean.'],
    ['groups[cgroup].off_cpu.p50_us', 'µs', 'gauge', 'Median.'],
    ['groups[cgroup].off_cpu.p99_us', 'µs', 'gauge', 'Time from blocking to running again: 99th percentile.'],
    ['groups[cgroup].off_cpu.max_us', 'µs', 'gauge', 'Maximum.'],
    ['groups[cgroup].off_cpu.histogram', 'ns', 'histogram', 'Time from blocking to running again: full distribution.'],
    ['groups[cgroup].context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['groups[cgroup].cycles', '', 'interval', 'Cycles in the interval.'],
    ['groups[cgroup].instructions', '', 'interval', 'Instructions in the interval.'],
    ['groups[cgroup].ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['groups[cgroup].llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['groups[cgroup].branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['groups[cgroup].dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['groups[cgroup].memory_bytes', 'bytes', 'gauge', 'Memory in use, with the page cache and the kernel\'s.'],
    ['groups[cgroup].anon_bytes', 'bytes', 'gauge', 'Anonymous memory.'],
    ['groups[cgroup].file_bytes', 'bytes', 'gauge', 'Page cache, with shared memory.'],
    ['groups[cgroup].kernel_bytes', 'bytes', 'gauge', 'The kernel\'s memory for it.'],
    ['groups[cgroup].slab_bytes', 'bytes', 'gauge', 'Of that, the slab caches.'],
    ['groups[cgroup].memory_limit_bytes', 'bytes', 'gauge', 'Memory limit; `null` without one.'],
    ['groups[cgroup].memory_high_bytes', 'bytes', 'gauge', 'Memory above which it is slowed down; `null` without such a limit.'],
    ['groups[cgroup].memory_high_events', '', 'interval', 'Times that it was slowed down for that, in the interval.'],
    ['groups[cgroup].memory_max_events', '', 'interval', 'Times that it hit its memory limit, in the interval.'],
    ['groups[cgroup].oom_events', '', 'interval', 'Times that it was out of memory, in the interval.'],
    ['groups[cgroup].oom_kills', '', 'interval', 'Processes killed by the OOM killer, in the interval.'],
    ['groups[cgroup].memory_some_percent', '%', 'gauge', 'Share of the time that some of its tasks were stalled by a lack of memory (pressure).'],
    ['groups[cgroup].memory_full_percent', '%', 'gauge', 'The same of all its tasks.'],
    ['groups[cgroup].swap_bytes', 'bytes', 'gauge', 'Swap in use.'],
    ['groups[cgroup].swap_limit_bytes', 'bytes', 'gauge', 'Swap limit; `null` without one.'],
    ['groups[cgroup].read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from disks.'],
    ['groups[cgroup].write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to disks.'],
    ['groups[cgroup].reads_per_sec', '1/s', 'gauge', 'Requests to read.'],
    ['groups[cgroup].writes_per_sec', '1/s', 'gauge', 'Requests to write.'],
    ['groups[cgroup].io_some_percent', '%', 'gauge', 'Share of the time that some of its tasks were stalled by I/O (pressure).'],
    ['groups[cgroup].io_full_percent', '%', 'gauge', 'The same of all its tasks.'],
    ['groups[cgroup].block_latency.mean_us', 'µs', 'gauge', 'Requests to disks, from issue to completion: mean.'],
    ['groups[cgroup].block_latency.p50_us', 'µs', 'gauge', 'Median.'],
    ['groups[cgroup].block_latency.p99_us', 'µs', 'gauge', 'Requests to disks, from issue to completion: 99th percentile.'],
    ['groups[cgroup].block_latency.max_us', 'µs', 'gauge', 'Maximum.'],
    ['groups[cgroup].block_latency.histogram', 'ns', 'histogram', 'Requests to disks, from issue to completion: full distribution.'],
    ['groups[cgroup].io{device}.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from a block device.'],
    ['groups[cgroup].io{device}.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to it.'],
    ['groups[cgroup].io{device}.reads_per_sec', '1/s', 'gauge', 'Requests to read from it.'],
    ['groups[cgroup].io{device}.writes_per_sec', '1/s', 'gauge', 'Requests to write to it.'],
    ['groups[cgroup].processes', '', 'gauge', 'Processes in it, without the groups below.'],
    ['groups[cgroup].tasks', '', 'gauge', 'Tasks: processes and threads.'],
    ['groups[cgroup].tasks_limit', '', 'gauge', 'Limit of tasks; `null` without one.'],
    ['other.count', '', 'gauge', 'Groups that are not listed: those with the least CPU time and memory.'],
    ['other.cpu_percent', '%', 'gauge', 'Their CPU time, as a share of one CPU.'],
    ['other.memory_bytes', 'bytes', 'gauge', 'Their memory.'],
  ],
  agent: [
    ['failing', '', 'gauge', 'How many parts of PerfWatch are failing.'],
    ['parts[part].part', '', 'state', '`database` while it does not respond or takes no snapshots; `spool`: what waits for it cannot be written to disk; `history`: snapshots were lost in the interval; `fleet` while NATS does not take history; `outbox`: history that waited for NATS was lost or reduced to minutes in the interval; each source, as `source cpu`.'],
    ['parts[part].failing', '', 'gauge', '1 while it is failing, otherwise 0.'],
  ],
};

interface DocumentBase {
  _timestamp?: string;
  /** `null` unless its source failed; then nothing else is in it. */
  _error?: string | null;
}

export interface CpuDocument extends DocumentBase {
  usage_percent?: number | null;
  per_core?: (number | null)[] | null;
  user?: number | null;
  system?: number | null;
  idle?: number | null;
  iowait?: number | null;
  irq?: number | null;
  softirq?: number | null;
  nice?: number | null;
  steal?: number | null;
  guest?: number | null;
  load_avg?: [number | null, number | null, number | null] | null;
  frequency_mhz?: (number | null)[] | null;
  temperature?: number | null;
  temperature_celsius?: (number | null)[] | null;
  core_count?: number | null;
  physical_cores?: number | null;
  interrupts?: number | null;
  interrupts_per_sec?: number | null;
  context_switches_per_sec?: number | null;
  forks_per_sec?: number | null;
  processes_running?: number | null;
  processes_blocked?: number | null;
  events?: MachineEvent[] | null;
}

export interface MemoryDocument extends DocumentBase {
  total_bytes?: number | null;
  available_bytes?: number | null;
  used_bytes?: number | null;
  usage_percent?: number | null;
  free_bytes?: number | null;
  buffers_bytes?: number | null;
  cached_bytes?: number | null;
  shared_bytes?: number | null;
  swap_total_bytes?: number | null;
  swap_used_bytes?: number | null;
  swap_free_bytes?: number | null;
  swap_percent?: number | null;
  swap_sin_bytes?: number | null;
  swap_sout_bytes?: number | null;
  dirty_bytes?: number | null;
  writeback_bytes?: number | null;
  slab_bytes?: number | null;
  hugepages_total?: number | null;
  hugepages_free?: number | null;
  hugepages_reserved?: number | null;
}

export interface NetworkDocument extends DocumentBase {
  bytes_sent_per_sec?: number | null;
  bytes_recv_per_sec?: number | null;
  total_bytes_sent?: number | null;
  total_bytes_recv?: number | null;
  packets_sent?: number | null;
  packets_recv?: number | null;
  errors_in?: number | null;
  errors_out?: number | null;
  drops_in?: number | null;
  drops_out?: number | null;
  interfaces?: {
    name: string;
    state?: string | null;
    speed_mbps?: number | null;
    bytes_sent?: number | null;
    bytes_recv?: number | null;
    packets_sent?: number | null;
    packets_recv?: number | null;
    errors_in?: number | null;
    errors_out?: number | null;
    drops_in?: number | null;
    drops_out?: number | null;
    bytes_sent_per_sec?: number | null;
    bytes_recv_per_sec?: number | null;
    packets_sent_per_sec?: number | null;
    packets_recv_per_sec?: number | null;
    errors_in_per_sec?: number | null;
    errors_out_per_sec?: number | null;
    drops_in_per_sec?: number | null;
    drops_out_per_sec?: number | null;
  }[] | null;
  connection_count?: number | null;
  connections?: {
    established?: number | null;
    time_wait?: number | null;
    close_wait?: number | null;
    listen?: number | null;
    udp?: number | null;
  } | null;
  tcp_retransmits_per_sec?: number | null;
}

export interface DiskDocument extends DocumentBase {
  reason?: string | null;
  partitions?: {
    device: string;
    mountpoint: string;
    fstype: string;
    total_bytes?: number | null;
    used_bytes?: number | null;
    free_bytes?: number | null;
    usage_percent?: number | null;
    inodes_percent?: number | null;
    access?: string | null;
  }[] | null;
  io?: {
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    read_bytes?: number | null;
    write_bytes?: number | null;
    read_count?: number | null;
    write_count?: number | null;
    read_time_ms?: number | null;
    write_time_ms?: number | null;
  } | null;
  devices?: Record<string, {
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    read_iops?: number | null;
    write_iops?: number | null;
    read_latency_ms?: number | null;
    write_latency_ms?: number | null;
    utilization_percent?: number | null;
    queue_depth?: number | null;
  }> | null;
}

export interface PerfEventsDocument extends DocumentBase {
  available?: boolean | null;
  hardware_available?: boolean | null;
  cpu_cores?: string | null;
  interval_ms?: number | null;
  sample_time?: number | null;
  elapsed_ms?: number | null;
  events?: Record<string, {
    value?: number | null;
    unit?: string | null;
    running_ratio?: number | null;
    error?: string | null;
  }> | null;
  counted_as?: Record<string, string | null> | null;
  unsupported_events?: string[] | null;
  missing_events?: string[] | null;
  derived?: {
    ipc?: number | null;
    branch_miss_ratio?: number | null;
    l1d_miss_ratio?: number | null;
    llc_miss_ratio?: number | null;
    dtlb_miss_ratio?: number | null;
    itlb_miss_ratio?: number | null;
    branch_mpki?: number | null;
    l1d_mpki?: number | null;
    llc_mpki?: number | null;
    dtlb_mpki?: number | null;
    itlb_mpki?: number | null;
    frequency_mhz?: number | null;
  } | null;
  pmus?: Record<string, {
    cpus?: string | null;
    events?: Record<string, {
      value?: number | null;
      unit?: string | null;
      running_ratio?: number | null;
      error?: string | null;
    }> | null;
    counted_as?: Record<string, string | null> | null;
    derived?: Record<string, number | null> | null;
  }> | null;
  per_cpu?: {
    cpu: number;
    ipc?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    frequency_mhz?: number | null;
  }[] | null;
}

export interface MemoryBandwidthDocument extends DocumentBase {
  available?: boolean | null;
  pgpgin_per_sec?: number | null;
  pgpgout_per_sec?: number | null;
  pswpin_per_sec?: number | null;
  pswpout_per_sec?: number | null;
  page_io_bytes_per_sec?: number | null;
  swap_io_bytes_per_sec?: number | null;
  pgfault_per_sec?: number | null;
  pgmajfault_per_sec?: number | null;
  pgscan_per_sec?: number | null;
  pgsteal_per_sec?: number | null;
  compact_stall_per_sec?: number | null;
  compact_fail_per_sec?: number | null;
  compact_success_per_sec?: number | null;
  thp_fault_alloc_per_sec?: number | null;
  thp_fault_fallback_per_sec?: number | null;
  thp_collapse_alloc_per_sec?: number | null;
  numa_hit_per_sec?: number | null;
  numa_miss_per_sec?: number | null;
  numa_pages_migrated_per_sec?: number | null;
  oom_kill_per_sec?: number | null;
}

export interface SchedulerDocument extends DocumentBase {
  elapsed_ms?: number | null;
  context_switches?: number | null;
  context_switches_per_sec?: number | null;
  migrations?: number | null;
  migrations_per_sec?: number | null;
  runqueue_wait_ms_per_sec?: number | null;
  runqueue_wait_unknown?: number | null;
  runqueue_wait?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  runqueue_wait_woken?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  runqueue_wait_preempted?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  off_cpu?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  per_cpu?: {
    cpu: number;
    context_switches_per_sec?: number | null;
    busy_percent?: number | null;
    runqueue_wait_p99_us?: number | null;
    runqueue_wait_max_us?: number | null;
  }[] | null;
}

export interface BlockIoDocument extends DocumentBase {
  elapsed_ms?: number | null;
  total?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  devices?: Record<string, {
    in_flight?: {
      read?: number | null;
      write?: number | null;
    } | null;
    read?: {
      requests?: number | null;
      requests_per_sec?: number | null;
      bytes_per_sec?: number | null;
      errors?: number | null;
      unseen?: number | null;
      mean_us?: number | null;
      p50_us?: number | null;
      p90_us?: number | null;
      p99_us?: number | null;
      p999_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
      from_queue?: {
        mean_us?: number | null;
        p50_us?: number | null;
        p90_us?: number | null;
        p99_us?: number | null;
        p999_us?: number | null;
        max_us?: number | null;
        histogram?: Histogram | null;
      } | null;
      size?: {
        mean_bytes?: number | null;
        max_bytes?: number | null;
        histogram?: Histogram | null;
      } | null;
    } | null;
    write?: {
      requests?: number | null;
      requests_per_sec?: number | null;
      bytes_per_sec?: number | null;
      errors?: number | null;
      unseen?: number | null;
      mean_us?: number | null;
      p50_us?: number | null;
      p90_us?: number | null;
      p99_us?: number | null;
      p999_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
      from_queue?: {
        mean_us?: number | null;
        p50_us?: number | null;
        p90_us?: number | null;
        p99_us?: number | null;
        p999_us?: number | null;
        max_us?: number | null;
        histogram?: Histogram | null;
      } | null;
      size?: {
        mean_bytes?: number | null;
        max_bytes?: number | null;
        histogram?: Histogram | null;
      } | null;
    } | null;
    flush?: {
      requests?: number | null;
      requests_per_sec?: number | null;
      bytes_per_sec?: number | null;
      errors?: number | null;
      unseen?: number | null;
      mean_us?: number | null;
      p50_us?: number | null;
      p90_us?: number | null;
      p99_us?: number | null;
      p999_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
      from_queue?: {
        mean_us?: number | null;
        p50_us?: number | null;
        p90_us?: number | null;
        p99_us?: number | null;
        p999_us?: number | null;
        max_us?: number | null;
        histogram?: Histogram | null;
      } | null;
      size?: {
        mean_bytes?: number | null;
        max_bytes?: number | null;
        histogram?: Histogram | null;
      } | null;
    } | null;
    discard?: {
      requests?: number | null;
      requests_per_sec?: number | null;
      bytes_per_sec?: number | null;
      errors?: number | null;
      unseen?: number | null;
      mean_us?: number | null;
      p50_us?: number | null;
      p90_us?: number | null;
      p99_us?: number | null;
      p999_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
      from_queue?: {
        mean_us?: number | null;
        p50_us?: number | null;
        p90_us?: number | null;
        p99_us?: number | null;
        p999_us?: number | null;
        max_us?: number | null;
        histogram?: Histogram | null;
      } | null;
      size?: {
        mean_bytes?: number | null;
        max_bytes?: number | null;
        histogram?: Histogram | null;
      } | null;
    } | null;
  }> | null;
}

export interface TcpDocument extends DocumentBase {
  elapsed_ms?: number | null;
  retransmits?: number | null;
  retransmits_per_sec?: number | null;
  retransmit_percent?: number | null;
  resets_sent?: number | null;
  resets_sent_per_sec?: number | null;
  resets_received?: number | null;
  resets_received_per_sec?: number | null;
  connects?: number | null;
  connects_per_sec?: number | null;
  connect_failures?: number | null;
  connect_failures_per_sec?: number | null;
  accepts?: number | null;
  accepts_per_sec?: number | null;
  segments_received_per_sec?: number | null;
  segments_sent_per_sec?: number | null;
  connect_latency?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
  smoothed_rtt?: {
    mean_us?: number | null;
    p50_us?: number | null;
    p90_us?: number | null;
    p99_us?: number | null;
    p999_us?: number | null;
    max_us?: number | null;
    histogram?: Histogram | null;
  } | null;
}

export interface ProcessesDocument extends DocumentBase {
  elapsed_ms?: number | null;
  active?: number | null;
  hidden?: number | null;
  forks_per_sec?: number | null;
  execs_per_sec?: number | null;
  exits_per_sec?: number | null;
  evicted?: number | null;
  counters_running_ratio?: number | null;
  total?: {
    cpu_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    context_switches_per_sec?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
  } | null;
  top?: {
    pid: number;
    comm: string;
    user?: string | null;
    uid?: number | null;
    cgroup?: string | null;
    threads?: number | null;
    exited?: boolean | null;
    rss_bytes?: number | null;
    cpu_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    context_switches_per_sec?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
  }[] | null;
  other?: {
    count?: number | null;
    cpu_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    context_switches_per_sec?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
  } | null;
  cgroups?: {
    cgroup?: string | null;
    processes?: number | null;
    cpu_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    context_switches_per_sec?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
  }[] | null;
  other_cgroups?: {
    count?: number | null;
    cpu_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    context_switches_per_sec?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
  } | null;
  events?: MachineEvent[] | null;
}

export interface PressureDocument extends DocumentBase {
  available?: boolean | null;
  reason?: string | null;
  cpu?: {
    some?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
    full?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
  } | null;
  memory?: {
    some?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
    full?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
  } | null;
  io?: {
    some?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
    full?: {
      avg10?: number | null;
      avg60?: number | null;
      avg300?: number | null;
      stalled_us_per_sec?: number | null;
    } | null;
  } | null;
}

export interface CgroupsDocument extends DocumentBase {
  elapsed_ms?: number | null;
  hierarchy?: string | null;
  reason?: string | null;
  count?: number | null;
  active?: number | null;
  groups?: {
    cgroup: string;
    kind: string;
    name: string;
    id?: string | null;
    runtime?: string | null;
    image?: string | null;
    pod?: string | null;
    namespace?: string | null;
    project?: string | null;
    name_problem?: string | null;
    cpu_percent?: number | null;
    user_percent?: number | null;
    system_percent?: number | null;
    cpu_limit?: number | null;
    throttled_periods?: number | null;
    throttled_ms?: number | null;
    cpu_some_percent?: number | null;
    cpu_full_percent?: number | null;
    runqueue_wait_ms_per_sec?: number | null;
    runqueue_wait?: {
      mean_us?: number | null;
      p50_us?: number | null;
      p99_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
    } | null;
    off_cpu?: {
      mean_us?: number | null;
      p50_us?: number | null;
      p99_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
    } | null;
    context_switches_per_sec?: number | null;
    cycles?: number | null;
    instructions?: number | null;
    ipc?: number | null;
    llc_mpki?: number | null;
    branch_mpki?: number | null;
    dtlb_mpki?: number | null;
    memory_bytes?: number | null;
    anon_bytes?: number | null;
    file_bytes?: number | null;
    kernel_bytes?: number | null;
    slab_bytes?: number | null;
    memory_limit_bytes?: number | null;
    memory_high_bytes?: number | null;
    memory_high_events?: number | null;
    memory_max_events?: number | null;
    oom_events?: number | null;
    oom_kills?: number | null;
    memory_some_percent?: number | null;
    memory_full_percent?: number | null;
    swap_bytes?: number | null;
    swap_limit_bytes?: number | null;
    read_bytes_per_sec?: number | null;
    write_bytes_per_sec?: number | null;
    reads_per_sec?: number | null;
    writes_per_sec?: number | null;
    io_some_percent?: number | null;
    io_full_percent?: number | null;
    block_latency?: {
      mean_us?: number | null;
      p50_us?: number | null;
      p99_us?: number | null;
      max_us?: number | null;
      histogram?: Histogram | null;
    } | null;
    io?: Record<string, {
      read_bytes_per_sec?: number | null;
      write_bytes_per_sec?: number | null;
      reads_per_sec?: number | null;
      writes_per_sec?: number | null;
    }> | null;
    processes?: number | null;
    tasks?: number | null;
    tasks_limit?: number | null;
  }[] | null;
  other?: {
    count?: number | null;
    cpu_percent?: number | null;
    memory_bytes?: number | null;
  } | null;
}

export interface AgentDocument extends DocumentBase {
  failing?: number | null;
  parts?: {
    part: string;
    failing?: number | null;
  }[] | null;
}

/** Documents of one tick, by metric type. */
export interface Documents {
  cpu?: CpuDocument;
  memory?: MemoryDocument;
  network?: NetworkDocument;
  disk?: DiskDocument;
  perf_events?: PerfEventsDocument;
  memory_bandwidth?: MemoryBandwidthDocument;
  scheduler?: SchedulerDocument;
  block_io?: BlockIoDocument;
  tcp?: TcpDocument;
  processes?: ProcessesDocument;
  pressure?: PressureDocument;
  cgroups?: CgroupsDocument;
  agent?: AgentDocument;
}
