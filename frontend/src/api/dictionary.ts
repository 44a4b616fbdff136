/**
 * Every field of every document, and the documents' types.
 * Written by perfwatch/tests/documentation/page.rs from the dictionary of fields.
 */
import type { Histogram, MachineEvent } from './types';

export type FieldUnit =
  | ''
  | '%'
  | '1/s'
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
    ['usage_percent', '%', 'gauge', 'Share of the time of all CPUs that was not idle or iowait.'],
    ['per_core[#cpu]', '%', 'gauge', 'The same of each CPU, by its number; `null` for one that is offline.'],
    ['user', '%', 'gauge', 'Share of time in user mode, guests included.'],
    ['system', '%', 'gauge', 'Share of time in the kernel.'],
    ['idle', '%', 'gauge', 'Share of time idle.'],
    ['iowait', '%', 'gauge', 'Share of time idle while a task waited for storage.'],
    ['irq', '%', 'gauge', 'Share of time in interrupts.'],
    ['softirq', '%', 'gauge', 'Share of time in soft interrupts.'],
    ['nice', '%', 'gauge', 'Share of time in user mode at a lowered priority.'],
    ['steal', '%', 'gauge', 'Share of time that the hypervisor gave to others.'],
    ['guest', '%', 'gauge', 'Share of time in guests; part of user and nice.'],
    ['load_avg[0]', '', 'gauge', 'Tasks running or in uninterruptible sleep, averaged by the kernel over 1 min.'],
    ['load_avg[1]', '', 'gauge', 'The same over 5 min.'],
    ['load_avg[2]', '', 'gauge', 'The same over 15 min.'],
    ['frequency_mhz[#cpu]', 'MHz', 'gauge', 'Frequency of each CPU, by its number; `null` without cpufreq.'],
    ['temperature', '°C', 'gauge', 'The hottest true reading of the CPUs\' packages and cores.'],
    ['temperature_celsius[#sensor]', '°C', 'gauge', 'Each sensor of the CPUs, always at its place; `null` for one that does not answer or says what cannot be.'],
    ['core_count', '', 'gauge', 'CPUs online.'],
    ['physical_cores', '', 'gauge', 'Cores that the online CPUs are threads of.'],
    ['interrupts', '', 'counter', 'Interrupts since boot.'],
    ['interrupts_per_sec', '1/s', 'gauge', 'Interrupts.'],
    ['context_switches_per_sec', '1/s', 'gauge', 'Context switches of all CPUs.'],
    ['forks_per_sec', '1/s', 'gauge', 'Processes and threads made.'],
    ['processes_running', '', 'gauge', 'Tasks that could run.'],
    ['processes_blocked', '', 'gauge', 'Tasks that waited for storage.'],
    ['events[#n]', '', 'events', 'In the first documents of a run: when the machine and when PerfWatch started.'],
  ],
  memory: [
    ['total_bytes', 'bytes', 'gauge', 'Memory that the kernel manages.'],
    ['available_bytes', 'bytes', 'gauge', 'What could be given to programs without swapping, as the kernel estimates; what is free where that is more than there is.'],
    ['used_bytes', 'bytes', 'gauge', 'Total − available.'],
    ['usage_percent', '%', 'gauge', 'Used, of total.'],
    ['free_bytes', 'bytes', 'gauge', 'Used for nothing at all.'],
    ['buffers_bytes', 'bytes', 'gauge', 'Buffers of block devices.'],
    ['cached_bytes', 'bytes', 'gauge', 'Page cache, and slabs that can be reclaimed.'],
    ['shared_bytes', 'bytes', 'gauge', 'Shared memory and tmpfs.'],
    ['swap_total_bytes', 'bytes', 'gauge', 'Swap space; 0 without swap.'],
    ['swap_used_bytes', 'bytes', 'gauge', 'Swap space in use.'],
    ['swap_free_bytes', 'bytes', 'gauge', 'Swap space not in use.'],
    ['swap_percent', '%', 'gauge', 'Swap in use; 0 without swap.'],
    ['swap_sin_bytes', 'bytes', 'counter', 'Read from swap since boot.'],
    ['swap_sout_bytes', 'bytes', 'counter', 'Written to swap since boot.'],
    ['dirty_bytes', 'bytes', 'gauge', 'Waiting to be written to storage.'],
    ['writeback_bytes', 'bytes', 'gauge', 'Being written to storage.'],
    ['slab_bytes', 'bytes', 'gauge', 'The kernel\'s own objects.'],
    ['hugepages_total', 'pages', 'gauge', 'Huge pages set aside.'],
    ['hugepages_free', 'pages', 'gauge', 'Huge pages not in use.'],
    ['hugepages_reserved', 'pages', 'gauge', 'Huge pages promised, and not in use yet.'],
  ],
  network: [
    ['bytes_sent_per_sec', 'bytes/s', 'gauge', 'Sent to the outside.'],
    ['bytes_recv_per_sec', 'bytes/s', 'gauge', 'Received from the outside.'],
    ['total_bytes_sent', 'bytes', 'counter', 'Sent to the outside since the interfaces were made. A packet counts once, whatever bridges, bonds, VLANs, tunnels or containers\' interfaces it passes.'],
    ['total_bytes_recv', 'bytes', 'counter', 'Received, likewise.'],
    ['packets_sent', '', 'counter', 'Packets sent, likewise.'],
    ['packets_recv', '', 'counter', 'Packets received, likewise.'],
    ['errors_in', '', 'counter', 'Bad packets received, likewise.'],
    ['errors_out', '', 'counter', 'Packets that could not be sent, likewise.'],
    ['drops_in', '', 'counter', 'Packets received and dropped, likewise.'],
    ['drops_out', '', 'counter', 'Packets dropped instead of sent, likewise.'],
    ['interfaces[interface=name].name', '', 'state', 'Every interface, loopback included.'],
    ['interfaces[interface=name].state', '', 'state', '`up`, `down`, `unknown`, … (RFC 2863).'],
    ['interfaces[interface=name].speed_mbps', 'Mbit/s', 'gauge', 'Of a link that is up and has one; `null` where its driver says that it is unknown.'],
    ['interfaces[interface=name].bytes_sent', 'bytes', 'counter', 'Sent since it was made.'],
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
    ['connections.established', '', 'gauge', 'TCP sockets connected. Where `close_wait` is `null`, those are included.'],
    ['connections.time_wait', '', 'gauge', 'TCP sockets that linger after their end.'],
    ['connections.close_wait', '', 'gauge', 'TCP sockets whose peer has closed, counted once a minute.'],
    ['connections.listen', '', 'gauge', 'TCP sockets that listen, counted once a minute.'],
    ['connections.udp', '', 'gauge', 'UDP sockets.'],
    ['tcp_retransmits_per_sec', '1/s', 'gauge', 'TCP segments sent again.'],
  ],
  disk: [
    ['reason', '', 'state', 'Why there are no partitions, or no disks.'],
    ['partitions[device,mountpoint,fstype].device', '', 'state', 'File systems that hold data, each once.'],
    ['partitions[device,mountpoint,fstype].mountpoint', '', 'state', 'Where it is mounted nearest to its root.'],
    ['partitions[device,mountpoint,fstype].fstype', '', 'state', 'Its type.'],
    ['partitions[device,mountpoint,fstype].total_bytes', 'bytes', 'gauge', 'Size; `null` while it does not answer.'],
    ['partitions[device,mountpoint,fstype].used_bytes', 'bytes', 'gauge', 'In use.'],
    ['partitions[device,mountpoint,fstype].free_bytes', 'bytes', 'gauge', 'That ordinary users may still take; 0 where it is more than full.'],
    ['partitions[device,mountpoint,fstype].usage_percent', '%', 'gauge', 'Used, of what ordinary users may take, as df(1) has it.'],
    ['io.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from whole disks: a request counts once, whatever dm, md, bcache, multipath or loop devices it passes.'],
    ['io.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written, likewise.'],
    ['io.read_bytes', 'bytes', 'counter', 'Read since boot.'],
    ['io.write_bytes', 'bytes', 'counter', 'Written since boot.'],
    ['io.read_count', '', 'counter', 'Reads completed since boot.'],
    ['io.write_count', '', 'counter', 'Writes completed since boot.'],
    ['io.read_time_ms', 'ms', 'counter', 'Time of reads since boot, from queueing to completion.'],
    ['io.write_time_ms', 'ms', 'counter', 'Time of writes, likewise.'],
    ['devices{device}.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from a disk, or from a device that stands on disks (dm, md, bcache, a ZFS volume).'],
    ['devices{device}.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written, likewise.'],
    ['devices{device}.read_iops', 'requests/s', 'gauge', 'Reads completed.'],
    ['devices{device}.write_iops', 'requests/s', 'gauge', 'Writes completed.'],
    ['devices{device}.read_latency_ms', 'ms', 'gauge', 'Mean time of reads, from queueing to completion; `null` when none completed.'],
    ['devices{device}.write_latency_ms', 'ms', 'gauge', 'Mean time of writes, likewise.'],
    ['devices{device}.utilization_percent', '%', 'gauge', 'Time with at least one request in flight. A device that serves many at once is not full at 100.'],
    ['devices{device}.queue_depth', '', 'gauge', 'Mean number of requests in flight.'],
  ],
  perf_events: [
    ['available', '', 'state', 'At least one event counts.'],
    ['hardware_available', '', 'state', 'Cycles count.'],
    ['cpu_cores', '', 'state', 'The CPUs counted on: `all`, or a list.'],
    ['interval_ms', 'ms', 'gauge', 'Time between two readings, as configured.'],
    ['sample_time', 's', 'gauge', 'Since counting began.'],
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['events{event!cpu-clock}.value', '', 'interval', 'Events of the interval, scaled by the share of time they were counted.'],
    ['events.cpu-clock.value', 'ms', 'interval', 'CPU time counted in the interval.'],
    ['events{event}.unit', '', 'state', '`msec` of cpu-clock, `count` of all others.'],
    ['events{event}.running_ratio', 'ratio', 'gauge', 'Share of the time that the event was on the PMU; below 1 its value is an estimate.'],
    ['events{event}.error', '', 'state', 'Why it does not count.'],
    ['counted_as{event}', '', 'state', 'The CPU\'s own event that stands in for one that the kernel has no generic name for here.'],
    ['unsupported_events[#n]', '', 'state', 'Events that this machine does not offer.'],
    ['missing_events[#n]', '', 'state', 'Events that it offers and that gave no value this time.'],
    ['derived.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['derived.branch_miss_ratio', 'ratio', 'gauge', 'Branches predicted wrongly, of all.'],
    ['derived.l1d_miss_ratio', 'ratio', 'gauge', 'Loads that missed the first-level data cache, of all.'],
    ['derived.llc_miss_ratio', 'ratio', 'gauge', 'Loads that missed the last-level cache, of those that reached it.'],
    ['derived.dtlb_miss_ratio', 'ratio', 'gauge', 'Loads whose address was not in the data TLB, of all.'],
    ['derived.itlb_miss_ratio', 'ratio', 'gauge', 'Fetches whose address was not in the instruction TLB, of all.'],
    ['derived.branch_mpki', 'MPKI', 'gauge', 'Branch misses per thousand instructions.'],
    ['derived.l1d_mpki', 'MPKI', 'gauge', 'First-level data cache misses, likewise.'],
    ['derived.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses, likewise.'],
    ['derived.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['derived.itlb_mpki', 'MPKI', 'gauge', 'Instruction TLB misses, likewise.'],
    ['derived.frequency_mhz', 'MHz', 'gauge', 'Cycles per time that CPUs were not idle.'],
    ['pmus{pmu}.cpus', '', 'state', 'CPUs of one kind of core, on hybrid machines.'],
    ['pmus{pmu}.events{event}.value', '', 'interval', 'Its events of the interval, as in `events`.'],
    ['pmus{pmu}.events{event}.unit', '', 'state', 'As in `events`.'],
    ['pmus{pmu}.events{event}.running_ratio', 'ratio', 'gauge', 'As in `events`.'],
    ['pmus{pmu}.events{event}.error', '', 'state', 'Why this kind of core does not count it.'],
    ['pmus{pmu}.counted_as{event}', '', 'state', 'Its own events that stand in for generic ones.'],
    ['pmus{pmu}.derived{ratio}', '', 'gauge', 'As in `derived`.'],
    ['per_cpu[cpu].cpu', '', 'gauge', 'Each CPU that is counted on.'],
    ['per_cpu[cpu].ipc', 'IPC', 'gauge', 'Its instructions per cycle.'],
    ['per_cpu[cpu].cycles', '', 'interval', 'Its cycles in the interval.'],
    ['per_cpu[cpu].instructions', '', 'interval', 'Its instructions in the interval.'],
    ['per_cpu[cpu].frequency_mhz', 'MHz', 'gauge', 'Its cycles per time not idle.'],
  ],
  memory_bandwidth: [
    ['available', '', 'state', 'The kernel counts paging.'],
    ['pgpgin_per_sec', 'KiB/s', 'gauge', 'Read from block devices.'],
    ['pgpgout_per_sec', 'KiB/s', 'gauge', 'Written to block devices.'],
    ['pswpin_per_sec', 'pages/s', 'gauge', 'Read from swap.'],
    ['pswpout_per_sec', 'pages/s', 'gauge', 'Written to swap.'],
    ['page_io_bytes_per_sec', 'bytes/s', 'gauge', 'Both directions of paging.'],
    ['swap_io_bytes_per_sec', 'bytes/s', 'gauge', 'Both directions of swapping.'],
    ['pgfault_per_sec', '1/s', 'gauge', 'Page faults.'],
    ['pgmajfault_per_sec', '1/s', 'gauge', 'Page faults that waited for storage.'],
    ['pgscan_per_sec', 'pages/s', 'gauge', 'Looked at to free memory.'],
    ['pgsteal_per_sec', 'pages/s', 'gauge', 'Freed so.'],
    ['compact_stall_per_sec', '1/s', 'gauge', 'Times a task waited for memory to be compacted.'],
    ['compact_fail_per_sec', '1/s', 'gauge', 'Compactions that did not yield enough.'],
    ['compact_success_per_sec', '1/s', 'gauge', 'Compactions that did.'],
    ['thp_fault_alloc_per_sec', '1/s', 'gauge', 'Transparent huge pages given at page faults.'],
    ['thp_fault_fallback_per_sec', '1/s', 'gauge', 'Page faults that got small pages instead.'],
    ['thp_collapse_alloc_per_sec', '1/s', 'gauge', 'Small pages merged to a huge one.'],
    ['numa_hit_per_sec', 'pages/s', 'gauge', 'Given on the node that was wanted.'],
    ['numa_miss_per_sec', 'pages/s', 'gauge', 'Given on another node.'],
    ['numa_pages_migrated_per_sec', 'pages/s', 'gauge', 'Moved to another node.'],
    ['oom_kill_per_sec', '1/s', 'gauge', 'Processes killed for want of memory.'],
  ],
  scheduler: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['context_switches', '', 'interval', 'Context switches in the interval.'],
    ['context_switches_per_sec', '1/s', 'gauge', 'Context switches.'],
    ['migrations', '', 'interval', 'Times a task ran on another CPU than before, in the interval.'],
    ['migrations_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time that all tasks together waited for a CPU.'],
    ['runqueue_wait_unknown', '', 'interval', 'Times a task came to a CPU and nothing told how long it had waited.'],
    ['runqueue_wait.mean_us', 'µs', 'gauge', 'From when a task could run until it did: mean.'],
    ['runqueue_wait.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait.max_us', 'µs', 'gauge', 'The longest.'],
    ['runqueue_wait.histogram', 'ns', 'histogram', 'From when a task could run until it did: all of them.'],
    ['runqueue_wait_woken.mean_us', 'µs', 'gauge', 'The same after waking up: mean.'],
    ['runqueue_wait_woken.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait_woken.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait_woken.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait_woken.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait_woken.max_us', 'µs', 'gauge', 'The longest.'],
    ['runqueue_wait_woken.histogram', 'ns', 'histogram', 'The same after waking up: all of them.'],
    ['runqueue_wait_preempted.mean_us', 'µs', 'gauge', 'The same after being preempted: mean.'],
    ['runqueue_wait_preempted.p50_us', 'µs', 'gauge', 'Median.'],
    ['runqueue_wait_preempted.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['runqueue_wait_preempted.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['runqueue_wait_preempted.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['runqueue_wait_preempted.max_us', 'µs', 'gauge', 'The longest.'],
    ['runqueue_wait_preempted.histogram', 'ns', 'histogram', 'The same after being preempted: all of them.'],
    ['off_cpu.mean_us', 'µs', 'gauge', 'From when a task blocked until it ran again: mean.'],
    ['off_cpu.p50_us', 'µs', 'gauge', 'Median.'],
    ['off_cpu.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['off_cpu.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['off_cpu.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['off_cpu.max_us', 'µs', 'gauge', 'The longest.'],
    ['off_cpu.histogram', 'ns', 'histogram', 'From when a task blocked until it ran again: all of them.'],
    ['per_cpu[cpu].cpu', '', 'gauge', 'Each CPU.'],
    ['per_cpu[cpu].context_switches_per_sec', '1/s', 'gauge', 'Its context switches.'],
    ['per_cpu[cpu].busy_percent', '%', 'gauge', 'Share of the time that it ran a task.'],
    ['per_cpu[cpu].runqueue_wait_p99_us', 'µs', 'gauge', '99th percentile of the waits for it.'],
    ['per_cpu[cpu].runqueue_wait_max_us', 'µs', 'gauge', 'The longest wait for it.'],
  ],
  block_io: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['total.mean_us', 'µs', 'gauge', 'From issue to completion, reads and writes of all disks: mean.'],
    ['total.p50_us', 'µs', 'gauge', 'Median.'],
    ['total.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['total.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['total.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['total.max_us', 'µs', 'gauge', 'The longest.'],
    ['total.histogram', 'ns', 'histogram', 'From issue to completion, reads and writes of all disks: all of them.'],
    ['devices{device}.in_flight.read', '', 'gauge', 'Reads on their way now.'],
    ['devices{device}.in_flight.write', '', 'gauge', 'Writes on their way now.'],
    ['devices{device}.read.requests', '', 'interval', 'Completed requests to read, in the interval.'],
    ['devices{device}.read.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.read.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes of these.'],
    ['devices{device}.read.errors', '', 'interval', 'Failed requests to read, in the interval.'],
    ['devices{device}.read.unseen', '', 'gauge', 'Requests whose issue was not seen: not part of the times from issue.'],
    ['devices{device}.read.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.read.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.read.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.read.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.read.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.read.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.read.histogram', 'ns', 'histogram', 'From issue to completion: all of them.'],
    ['devices{device}.read.from_queue.mean_us', 'µs', 'gauge', 'From when it was made to completion: mean.'],
    ['devices{device}.read.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.read.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.read.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.read.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.read.from_queue.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.read.from_queue.histogram', 'ns', 'histogram', 'From when it was made to completion: all of them.'],
    ['devices{device}.read.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.read.size.max_bytes', 'bytes', 'gauge', 'The largest.'],
    ['devices{device}.read.size.histogram', 'bytes', 'histogram', 'Sizes: all of them.'],
    ['devices{device}.write.requests', '', 'interval', 'Completed requests to write, in the interval.'],
    ['devices{device}.write.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.write.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes of these.'],
    ['devices{device}.write.errors', '', 'interval', 'Failed requests to write, in the interval.'],
    ['devices{device}.write.unseen', '', 'gauge', 'Requests whose issue was not seen: not part of the times from issue.'],
    ['devices{device}.write.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.write.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.write.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.write.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.write.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.write.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.write.histogram', 'ns', 'histogram', 'From issue to completion: all of them.'],
    ['devices{device}.write.from_queue.mean_us', 'µs', 'gauge', 'From when it was made to completion: mean.'],
    ['devices{device}.write.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.write.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.write.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.write.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.write.from_queue.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.write.from_queue.histogram', 'ns', 'histogram', 'From when it was made to completion: all of them.'],
    ['devices{device}.write.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.write.size.max_bytes', 'bytes', 'gauge', 'The largest.'],
    ['devices{device}.write.size.histogram', 'bytes', 'histogram', 'Sizes: all of them.'],
    ['devices{device}.flush.requests', '', 'interval', 'Completed requests to flush, in the interval.'],
    ['devices{device}.flush.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.flush.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes of these.'],
    ['devices{device}.flush.errors', '', 'interval', 'Failed requests to flush, in the interval.'],
    ['devices{device}.flush.unseen', '', 'gauge', 'Requests whose issue was not seen: not part of the times from issue.'],
    ['devices{device}.flush.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.flush.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.flush.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.flush.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.flush.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.flush.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.flush.histogram', 'ns', 'histogram', 'From issue to completion: all of them.'],
    ['devices{device}.flush.from_queue.mean_us', 'µs', 'gauge', 'From when it was made to completion: mean.'],
    ['devices{device}.flush.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.flush.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.flush.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.flush.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.flush.from_queue.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.flush.from_queue.histogram', 'ns', 'histogram', 'From when it was made to completion: all of them.'],
    ['devices{device}.flush.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.flush.size.max_bytes', 'bytes', 'gauge', 'The largest.'],
    ['devices{device}.flush.size.histogram', 'bytes', 'histogram', 'Sizes: all of them.'],
    ['devices{device}.discard.requests', '', 'interval', 'Completed requests to discard, in the interval.'],
    ['devices{device}.discard.requests_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['devices{device}.discard.bytes_per_sec', 'bytes/s', 'gauge', 'Bytes of these.'],
    ['devices{device}.discard.errors', '', 'interval', 'Failed requests to discard, in the interval.'],
    ['devices{device}.discard.unseen', '', 'gauge', 'Requests whose issue was not seen: not part of the times from issue.'],
    ['devices{device}.discard.mean_us', 'µs', 'gauge', 'From issue to completion: mean.'],
    ['devices{device}.discard.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.discard.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.discard.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.discard.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.discard.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.discard.histogram', 'ns', 'histogram', 'From issue to completion: all of them.'],
    ['devices{device}.discard.from_queue.mean_us', 'µs', 'gauge', 'From when it was made to completion: mean.'],
    ['devices{device}.discard.from_queue.p50_us', 'µs', 'gauge', 'Median.'],
    ['devices{device}.discard.from_queue.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['devices{device}.discard.from_queue.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['devices{device}.discard.from_queue.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['devices{device}.discard.from_queue.max_us', 'µs', 'gauge', 'The longest.'],
    ['devices{device}.discard.from_queue.histogram', 'ns', 'histogram', 'From when it was made to completion: all of them.'],
    ['devices{device}.discard.size.mean_bytes', 'bytes', 'gauge', 'Mean size.'],
    ['devices{device}.discard.size.max_bytes', 'bytes', 'gauge', 'The largest.'],
    ['devices{device}.discard.size.histogram', 'bytes', 'histogram', 'Sizes: all of them.'],
  ],
  tcp: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['retransmits', '', 'interval', 'Segments sent again, in the interval.'],
    ['retransmits_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['retransmit_percent', '%', 'gauge', 'Share of the segments sent that were sent again.'],
    ['resets_sent', '', 'interval', 'Connections reset by this machine.'],
    ['resets_sent_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['resets_received', '', 'interval', 'Connections reset by others.'],
    ['resets_received_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['connects', '', 'interval', 'Connections opened from here.'],
    ['connects_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['connect_failures', '', 'interval', 'Attempts to open one that failed.'],
    ['connect_failures_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['accepts', '', 'interval', 'Connections that others opened to here.'],
    ['accepts_per_sec', '1/s', 'gauge', 'The same per second.'],
    ['segments_received_per_sec', '1/s', 'gauge', 'Segments received.'],
    ['segments_sent_per_sec', '1/s', 'gauge', 'Segments sent for the first time.'],
    ['connect_latency.mean_us', 'µs', 'gauge', 'From the first packet until the connection stood: mean.'],
    ['connect_latency.p50_us', 'µs', 'gauge', 'Median.'],
    ['connect_latency.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['connect_latency.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['connect_latency.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['connect_latency.max_us', 'µs', 'gauge', 'The longest.'],
    ['connect_latency.histogram', 'ns', 'histogram', 'From the first packet until the connection stood: all of them.'],
    ['smoothed_rtt.mean_us', 'µs', 'gauge', 'Smoothed round-trip time, when an application received data and when a connection ended: mean.'],
    ['smoothed_rtt.p50_us', 'µs', 'gauge', 'Median.'],
    ['smoothed_rtt.p90_us', 'µs', 'gauge', '90th percentile.'],
    ['smoothed_rtt.p99_us', 'µs', 'gauge', '99th percentile.'],
    ['smoothed_rtt.p999_us', 'µs', 'gauge', '99.9th percentile.'],
    ['smoothed_rtt.max_us', 'µs', 'gauge', 'The longest.'],
    ['smoothed_rtt.histogram', 'ns', 'histogram', 'Smoothed round-trip time, when an application received data and when a connection ended: all of them.'],
  ],
  processes: [
    ['elapsed_ms', 'ms', 'gauge', 'Time that the values cover.'],
    ['active', '', 'gauge', 'Processes that ran at all.'],
    ['hidden', '', 'gauge', 'Processes that are missing here because `/proc` does not show them (`hidepid`); `null` where nobody can tell how many.'],
    ['forks_per_sec', '1/s', 'gauge', 'Processes made.'],
    ['execs_per_sec', '1/s', 'gauge', 'Programs started.'],
    ['exits_per_sec', '1/s', 'gauge', 'Processes that ended.'],
    ['evicted', '', 'interval', 'Threads whose place another took before it was read; their usage is part of `other`.'],
    ['counters_running_ratio', 'ratio', 'gauge', 'Share of the time that the counters counted; where others made them take turns, counts are scaled up.'],
    ['total.cpu_percent', '%', 'gauge', 'CPU time, of one CPU.'],
    ['total.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['total.context_switches_per_sec', '1/s', 'gauge', 'Times it left a CPU.'],
    ['total.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['total.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, when it dirties the page cache.'],
    ['total.cycles', '', 'interval', 'Cycles in the interval.'],
    ['total.instructions', '', 'interval', 'Instructions in the interval.'],
    ['total.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['total.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['total.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['total.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['top[pid].pid', '', 'gauge', 'The processes with the most CPU time, then those with the most storage traffic.'],
    ['top[pid].comm', '', 'state', 'Its name.'],
    ['top[pid].user', '', 'state', 'Its user.'],
    ['top[pid].uid', '', 'state', 'Its user\'s number.'],
    ['top[pid].cgroup', '', 'state', 'The cgroup of its busiest thread.'],
    ['top[pid].threads', '', 'gauge', 'Its threads that were active; all of its threads where only `/proc` tells.'],
    ['top[pid].exited', '', 'state', 'It has ended.'],
    ['top[pid].rss_bytes', 'bytes', 'gauge', 'Its memory.'],
    ['top[pid].cpu_percent', '%', 'gauge', 'CPU time, of one CPU.'],
    ['top[pid].runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['top[pid].context_switches_per_sec', '1/s', 'gauge', 'Times it left a CPU.'],
    ['top[pid].read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['top[pid].write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, when it dirties the page cache.'],
    ['top[pid].cycles', '', 'interval', 'Cycles in the interval.'],
    ['top[pid].instructions', '', 'interval', 'Instructions in the interval.'],
    ['top[pid].ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['top[pid].llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['top[pid].branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['top[pid].dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['other.count', '', 'gauge', 'Active processes that are not listed.'],
    ['other.cpu_percent', '%', 'gauge', 'CPU time, of one CPU.'],
    ['other.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['other.context_switches_per_sec', '1/s', 'gauge', 'Times it left a CPU.'],
    ['other.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['other.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, when it dirties the page cache.'],
    ['other.cycles', '', 'interval', 'Cycles in the interval.'],
    ['other.instructions', '', 'interval', 'Instructions in the interval.'],
    ['other.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['other.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['other.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['other.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['cgroups[cgroup].cgroup', '', 'state', 'The path of a cgroup within its hierarchy.'],
    ['cgroups[cgroup].processes', '', 'gauge', 'Its processes that were active.'],
    ['cgroups[cgroup].cpu_percent', '%', 'gauge', 'CPU time, of one CPU.'],
    ['cgroups[cgroup].runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['cgroups[cgroup].context_switches_per_sec', '1/s', 'gauge', 'Times it left a CPU.'],
    ['cgroups[cgroup].read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['cgroups[cgroup].write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, when it dirties the page cache.'],
    ['cgroups[cgroup].cycles', '', 'interval', 'Cycles in the interval.'],
    ['cgroups[cgroup].instructions', '', 'interval', 'Instructions in the interval.'],
    ['cgroups[cgroup].ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['cgroups[cgroup].llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['cgroups[cgroup].branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['cgroups[cgroup].dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['other_cgroups.count', '', 'gauge', 'Active cgroups that are not listed.'],
    ['other_cgroups.cpu_percent', '%', 'gauge', 'CPU time, of one CPU.'],
    ['other_cgroups.runqueue_wait_ms_per_sec', 'ms/s', 'gauge', 'Time spent waiting for a CPU.'],
    ['other_cgroups.context_switches_per_sec', '1/s', 'gauge', 'Times it left a CPU.'],
    ['other_cgroups.read_bytes_per_sec', 'bytes/s', 'gauge', 'Read from storage.'],
    ['other_cgroups.write_bytes_per_sec', 'bytes/s', 'gauge', 'Written to storage, when it dirties the page cache.'],
    ['other_cgroups.cycles', '', 'interval', 'Cycles in the interval.'],
    ['other_cgroups.instructions', '', 'interval', 'Instructions in the interval.'],
    ['other_cgroups.ipc', 'IPC', 'gauge', 'Instructions per cycle.'],
    ['other_cgroups.llc_mpki', 'MPKI', 'gauge', 'Last-level cache misses per thousand instructions.'],
    ['other_cgroups.branch_mpki', 'MPKI', 'gauge', 'Branch misses, likewise.'],
    ['other_cgroups.dtlb_mpki', 'MPKI', 'gauge', 'Data TLB misses, likewise.'],
    ['events[#n]', '', 'events', 'What happened: processes killed for want of memory, cgroups held back by their limit.'],
  ],
  pressure: [
    ['available', '', 'state', 'The kernel tells pressure (PSI).'],
    ['reason', '', 'state', 'Why not, or which resource lacks it.'],
    ['cpu.some.avg10', '%', 'gauge', 'Time in which some task waited for a CPU, over 10 s.'],
    ['cpu.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['cpu.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['cpu.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['cpu.full.avg10', '%', 'gauge', 'Time in which all tasks waited for a CPU, over 10 s.'],
    ['cpu.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['cpu.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['cpu.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['memory.some.avg10', '%', 'gauge', 'Time in which some task waited for memory, over 10 s.'],
    ['memory.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['memory.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['memory.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['memory.full.avg10', '%', 'gauge', 'Time in which all tasks waited for memory, over 10 s.'],
    ['memory.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['memory.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['memory.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['io.some.avg10', '%', 'gauge', 'Time in which some task waited for storage, over 10 s.'],
    ['io.some.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['io.some.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['io.some.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
    ['io.full.avg10', '%', 'gauge', 'Time in which all tasks waited for storage, over 10 s.'],
    ['io.full.avg60', '%', 'gauge', 'The same over 60 s.'],
    ['io.full.avg300', '%', 'gauge', 'The same over 300 s.'],
    ['io.full.stalled_us_per_sec', 'µs/s', 'gauge', 'The same over the last interval.'],
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
}
