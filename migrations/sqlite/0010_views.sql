-- Flat columns for whoever asks in SQL: one view for each document, and one for each kind of thing that documents
-- list. They show what is kept raw. `timestamp` is in microseconds since 1970-01-01 UTC, as everywhere.

CREATE VIEW perfwatch_cpu AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.usage_percent') AS usage_percent,
    json_extract(metric_data, '$.user') AS user_percent,
    json_extract(metric_data, '$.system') AS system_percent,
    json_extract(metric_data, '$.idle') AS idle_percent,
    json_extract(metric_data, '$.iowait') AS iowait_percent,
    json_extract(metric_data, '$.irq') AS irq_percent,
    json_extract(metric_data, '$.softirq') AS softirq_percent,
    json_extract(metric_data, '$.nice') AS nice_percent,
    json_extract(metric_data, '$.steal') AS steal_percent,
    json_extract(metric_data, '$.guest') AS guest_percent,
    json_extract(metric_data, '$.load_avg[0]') AS load1,
    json_extract(metric_data, '$.load_avg[1]') AS load5,
    json_extract(metric_data, '$.load_avg[2]') AS load15,
    json_extract(metric_data, '$.temperature') AS temperature,
    json_extract(metric_data, '$.core_count') AS core_count,
    json_extract(metric_data, '$.physical_cores') AS physical_cores,
    json_extract(metric_data, '$.interrupts') AS interrupts,
    json_extract(metric_data, '$.interrupts_per_sec') AS interrupts_per_sec,
    json_extract(metric_data, '$.context_switches_per_sec') AS context_switches_per_sec,
    json_extract(metric_data, '$.forks_per_sec') AS forks_per_sec,
    json_extract(metric_data, '$.processes_running') AS processes_running,
    json_extract(metric_data, '$.processes_blocked') AS processes_blocked
FROM metrics_snapshots
WHERE metric_type = 'cpu';

CREATE VIEW perfwatch_memory AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.total_bytes') AS total_bytes,
    json_extract(metric_data, '$.available_bytes') AS available_bytes,
    json_extract(metric_data, '$.used_bytes') AS used_bytes,
    json_extract(metric_data, '$.usage_percent') AS usage_percent,
    json_extract(metric_data, '$.free_bytes') AS free_bytes,
    json_extract(metric_data, '$.buffers_bytes') AS buffers_bytes,
    json_extract(metric_data, '$.cached_bytes') AS cached_bytes,
    json_extract(metric_data, '$.shared_bytes') AS shared_bytes,
    json_extract(metric_data, '$.swap_total_bytes') AS swap_total_bytes,
    json_extract(metric_data, '$.swap_used_bytes') AS swap_used_bytes,
    json_extract(metric_data, '$.swap_free_bytes') AS swap_free_bytes,
    json_extract(metric_data, '$.swap_percent') AS swap_percent,
    json_extract(metric_data, '$.swap_sin_bytes') AS swap_sin_bytes,
    json_extract(metric_data, '$.swap_sout_bytes') AS swap_sout_bytes,
    json_extract(metric_data, '$.dirty_bytes') AS dirty_bytes,
    json_extract(metric_data, '$.writeback_bytes') AS writeback_bytes,
    json_extract(metric_data, '$.slab_bytes') AS slab_bytes,
    json_extract(metric_data, '$.hugepages_total') AS hugepages_total,
    json_extract(metric_data, '$.hugepages_free') AS hugepages_free,
    json_extract(metric_data, '$.hugepages_reserved') AS hugepages_reserved
FROM metrics_snapshots
WHERE metric_type = 'memory';

CREATE VIEW perfwatch_network AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.bytes_sent_per_sec') AS bytes_sent_per_sec,
    json_extract(metric_data, '$.bytes_recv_per_sec') AS bytes_recv_per_sec,
    json_extract(metric_data, '$.total_bytes_sent') AS total_bytes_sent,
    json_extract(metric_data, '$.total_bytes_recv') AS total_bytes_recv,
    json_extract(metric_data, '$.packets_sent') AS packets_sent,
    json_extract(metric_data, '$.packets_recv') AS packets_recv,
    json_extract(metric_data, '$.errors_in') AS errors_in,
    json_extract(metric_data, '$.errors_out') AS errors_out,
    json_extract(metric_data, '$.drops_in') AS drops_in,
    json_extract(metric_data, '$.drops_out') AS drops_out,
    json_extract(metric_data, '$.connection_count') AS connection_count,
    json_extract(metric_data, '$.connections.established') AS established,
    json_extract(metric_data, '$.connections.time_wait') AS time_wait,
    json_extract(metric_data, '$.connections.close_wait') AS close_wait,
    json_extract(metric_data, '$.connections.listen') AS listen,
    json_extract(metric_data, '$.connections.udp') AS udp,
    json_extract(metric_data, '$.tcp_retransmits_per_sec') AS tcp_retransmits_per_sec
FROM metrics_snapshots
WHERE metric_type = 'network';

CREATE VIEW perfwatch_disk AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.io.read_bytes_per_sec') AS io_read_bytes_per_sec,
    json_extract(metric_data, '$.io.write_bytes_per_sec') AS io_write_bytes_per_sec,
    json_extract(metric_data, '$.io.read_bytes') AS io_read_bytes,
    json_extract(metric_data, '$.io.write_bytes') AS io_write_bytes,
    json_extract(metric_data, '$.io.read_count') AS io_read_count,
    json_extract(metric_data, '$.io.write_count') AS io_write_count,
    json_extract(metric_data, '$.io.read_time_ms') AS io_read_time_ms,
    json_extract(metric_data, '$.io.write_time_ms') AS io_write_time_ms
FROM metrics_snapshots
WHERE metric_type = 'disk';

CREATE VIEW perfwatch_perf_events AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.events."cpu-clock".value') AS cpu_clock,
    json_extract(metric_data, '$.events."context-switches".value') AS context_switches,
    json_extract(metric_data, '$.events."cpu-migrations".value') AS cpu_migrations,
    json_extract(metric_data, '$.events."page-faults".value') AS page_faults,
    json_extract(metric_data, '$.events.cycles.value') AS cycles,
    json_extract(metric_data, '$.events.instructions.value') AS instructions,
    json_extract(metric_data, '$.events.branches.value') AS branches,
    json_extract(metric_data, '$.events."branch-misses".value') AS branch_misses,
    json_extract(metric_data, '$.events."L1-dcache-loads".value') AS l1_dcache_loads,
    json_extract(metric_data, '$.events."L1-dcache-load-misses".value') AS l1_dcache_load_misses,
    json_extract(metric_data, '$.events."LLC-loads".value') AS llc_loads,
    json_extract(metric_data, '$.events."LLC-load-misses".value') AS llc_load_misses,
    json_extract(metric_data, '$.events."L1-icache-loads".value') AS l1_icache_loads,
    json_extract(metric_data, '$.events."dTLB-loads".value') AS dtlb_loads,
    json_extract(metric_data, '$.events."dTLB-load-misses".value') AS dtlb_load_misses,
    json_extract(metric_data, '$.events."iTLB-loads".value') AS itlb_loads,
    json_extract(metric_data, '$.events."iTLB-load-misses".value') AS itlb_load_misses,
    json_extract(metric_data, '$.derived.ipc') AS ipc,
    json_extract(metric_data, '$.derived.branch_miss_ratio') AS branch_miss_ratio,
    json_extract(metric_data, '$.derived.l1d_miss_ratio') AS l1d_miss_ratio,
    json_extract(metric_data, '$.derived.llc_miss_ratio') AS llc_miss_ratio,
    json_extract(metric_data, '$.derived.dtlb_miss_ratio') AS dtlb_miss_ratio,
    json_extract(metric_data, '$.derived.itlb_miss_ratio') AS itlb_miss_ratio,
    json_extract(metric_data, '$.derived.branch_mpki') AS branch_mpki,
    json_extract(metric_data, '$.derived.l1d_mpki') AS l1d_mpki,
    json_extract(metric_data, '$.derived.llc_mpki') AS llc_mpki,
    json_extract(metric_data, '$.derived.dtlb_mpki') AS dtlb_mpki,
    json_extract(metric_data, '$.derived.itlb_mpki') AS itlb_mpki
FROM metrics_snapshots
WHERE metric_type = 'perf_events';

CREATE VIEW perfwatch_memory_bandwidth AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.pgpgin_per_sec') AS pgpgin_per_sec,
    json_extract(metric_data, '$.pgpgout_per_sec') AS pgpgout_per_sec,
    json_extract(metric_data, '$.pswpin_per_sec') AS pswpin_per_sec,
    json_extract(metric_data, '$.pswpout_per_sec') AS pswpout_per_sec,
    json_extract(metric_data, '$.page_io_bytes_per_sec') AS page_io_bytes_per_sec,
    json_extract(metric_data, '$.swap_io_bytes_per_sec') AS swap_io_bytes_per_sec,
    json_extract(metric_data, '$.pgfault_per_sec') AS pgfault_per_sec,
    json_extract(metric_data, '$.pgmajfault_per_sec') AS pgmajfault_per_sec,
    json_extract(metric_data, '$.pgscan_per_sec') AS pgscan_per_sec,
    json_extract(metric_data, '$.pgsteal_per_sec') AS pgsteal_per_sec,
    json_extract(metric_data, '$.compact_stall_per_sec') AS compact_stall_per_sec,
    json_extract(metric_data, '$.compact_fail_per_sec') AS compact_fail_per_sec,
    json_extract(metric_data, '$.compact_success_per_sec') AS compact_success_per_sec,
    json_extract(metric_data, '$.thp_fault_alloc_per_sec') AS thp_fault_alloc_per_sec,
    json_extract(metric_data, '$.thp_fault_fallback_per_sec') AS thp_fault_fallback_per_sec,
    json_extract(metric_data, '$.thp_collapse_alloc_per_sec') AS thp_collapse_alloc_per_sec,
    json_extract(metric_data, '$.numa_hit_per_sec') AS numa_hit_per_sec,
    json_extract(metric_data, '$.numa_miss_per_sec') AS numa_miss_per_sec,
    json_extract(metric_data, '$.numa_pages_migrated_per_sec') AS numa_pages_migrated_per_sec,
    json_extract(metric_data, '$.oom_kill_per_sec') AS oom_kill_per_sec
FROM metrics_snapshots
WHERE metric_type = 'memory_bandwidth';

CREATE VIEW perfwatch_pressure AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.cpu.some.avg10') AS cpu_some_avg10,
    json_extract(metric_data, '$.cpu.some.avg60') AS cpu_some_avg60,
    json_extract(metric_data, '$.cpu.some.avg300') AS cpu_some_avg300,
    json_extract(metric_data, '$.cpu.some.stalled_us_per_sec') AS cpu_some_stalled_us_per_sec,
    json_extract(metric_data, '$.cpu.full.avg10') AS cpu_full_avg10,
    json_extract(metric_data, '$.cpu.full.avg60') AS cpu_full_avg60,
    json_extract(metric_data, '$.cpu.full.avg300') AS cpu_full_avg300,
    json_extract(metric_data, '$.cpu.full.stalled_us_per_sec') AS cpu_full_stalled_us_per_sec,
    json_extract(metric_data, '$.memory.some.avg10') AS memory_some_avg10,
    json_extract(metric_data, '$.memory.some.avg60') AS memory_some_avg60,
    json_extract(metric_data, '$.memory.some.avg300') AS memory_some_avg300,
    json_extract(metric_data, '$.memory.some.stalled_us_per_sec') AS memory_some_stalled_us_per_sec,
    json_extract(metric_data, '$.memory.full.avg10') AS memory_full_avg10,
    json_extract(metric_data, '$.memory.full.avg60') AS memory_full_avg60,
    json_extract(metric_data, '$.memory.full.avg300') AS memory_full_avg300,
    json_extract(metric_data, '$.memory.full.stalled_us_per_sec') AS memory_full_stalled_us_per_sec,
    json_extract(metric_data, '$.io.some.avg10') AS io_some_avg10,
    json_extract(metric_data, '$.io.some.avg60') AS io_some_avg60,
    json_extract(metric_data, '$.io.some.avg300') AS io_some_avg300,
    json_extract(metric_data, '$.io.some.stalled_us_per_sec') AS io_some_stalled_us_per_sec,
    json_extract(metric_data, '$.io.full.avg10') AS io_full_avg10,
    json_extract(metric_data, '$.io.full.avg60') AS io_full_avg60,
    json_extract(metric_data, '$.io.full.avg300') AS io_full_avg300,
    json_extract(metric_data, '$.io.full.stalled_us_per_sec') AS io_full_stalled_us_per_sec
FROM metrics_snapshots
WHERE metric_type = 'pressure';

CREATE VIEW perfwatch_scheduler AS
SELECT
    host,
    timestamp,
    json_extract(metric_data, '$.context_switches') AS context_switches,
    json_extract(metric_data, '$.context_switches_per_sec') AS context_switches_per_sec,
    json_extract(metric_data, '$.migrations') AS migrations,
    json_extract(metric_data, '$.migrations_per_sec') AS migrations_per_sec,
    json_extract(metric_data, '$.runqueue_wait_ms_per_sec') AS runqueue_wait_ms_per_sec,
    json_extract(metric_data, '$.runqueue_wait_unknown') AS runqueue_wait_unknown,
    json_extract(metric_data, '$.runqueue_wait.mean_us') AS runqueue_wait_mean_us,
    json_extract(metric_data, '$.runqueue_wait.p50_us') AS runqueue_wait_p50_us,
    json_extract(metric_data, '$.runqueue_wait.p90_us') AS runqueue_wait_p90_us,
    json_extract(metric_data, '$.runqueue_wait.p99_us') AS runqueue_wait_p99_us,
    json_extract(metric_data, '$.runqueue_wait.p999_us') AS runqueue_wait_p999_us,
    json_extract(metric_data, '$.runqueue_wait.max_us') AS runqueue_wait_max_us,
    json_extract(metric_data, '$.runqueue_wait_woken.mean_us') AS runqueue_wait_woken_mean_us,
    json_extract(metric_data, '$.runqueue_wait_woken.p50_us') AS runqueue_wait_woken_p50_us,
    json_extract(metric_data, '$.runqueue_wait_woken.p90_us') AS runqueue_wait_woken_p90_us,
    json_extract(metric_data, '$.runqueue_wait_woken.p99_us') AS runqueue_wait_woken_p99_us,
    json_extract(metric_data, '$.runqueue_wait_woken.p999_us') AS runqueue_wait_woken_p999_us,
    json_extract(metric_data, '$.runqueue_wait_woken.max_us') AS runqueue_wait_woken_max_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.mean_us') AS runqueue_wait_preempted_mean_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.p50_us') AS runqueue_wait_preempted_p50_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.p90_us') AS runqueue_wait_preempted_p90_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.p99_us') AS runqueue_wait_preempted_p99_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.p999_us') AS runqueue_wait_preempted_p999_us,
    json_extract(metric_data, '$.runqueue_wait_preempted.max_us') AS runqueue_wait_preempted_max_us,
    json_extract(metric_data, '$.off_cpu.mean_us') AS off_cpu_mean_us,
    json_extract(metric_data, '$.off_cpu.p50_us') AS off_cpu_p50_us,
    json_extract(metric_data, '$.off_cpu.p90_us') AS off_cpu_p90_us,
    json_extract(metric_data, '$.off_cpu.p99_us') AS off_cpu_p99_us,
    json_extract(metric_data, '$.off_cpu.p999_us') AS off_cpu_p999_us,
    json_extract(metric_data, '$.off_cpu.max_us') AS off_cpu_max_us
FROM metrics_snapshots
WHERE metric_type = 'scheduler';

CREATE VIEW perfwatch_cpu_cores AS
SELECT
    host,
    timestamp,
    item.key AS cpu,
    item.value AS usage_percent
FROM metrics_snapshots
JOIN json_each(metric_data, '$.per_core') AS item
WHERE metric_type = 'cpu' AND json_type(metric_data, '$.per_core') = 'array' AND item.value IS NOT NULL;

CREATE VIEW perfwatch_interfaces AS
SELECT
    host,
    timestamp,
    json_extract(item.value, '$.name') AS interface,
    json_extract(item.value, '$.state') AS state,
    json_extract(item.value, '$.speed_mbps') AS speed_mbps,
    json_extract(item.value, '$.bytes_sent') AS bytes_sent,
    json_extract(item.value, '$.bytes_recv') AS bytes_recv,
    json_extract(item.value, '$.packets_sent') AS packets_sent,
    json_extract(item.value, '$.packets_recv') AS packets_recv,
    json_extract(item.value, '$.errors_in') AS errors_in,
    json_extract(item.value, '$.errors_out') AS errors_out,
    json_extract(item.value, '$.drops_in') AS drops_in,
    json_extract(item.value, '$.drops_out') AS drops_out,
    json_extract(item.value, '$.bytes_sent_per_sec') AS bytes_sent_per_sec,
    json_extract(item.value, '$.bytes_recv_per_sec') AS bytes_recv_per_sec,
    json_extract(item.value, '$.packets_sent_per_sec') AS packets_sent_per_sec,
    json_extract(item.value, '$.packets_recv_per_sec') AS packets_recv_per_sec,
    json_extract(item.value, '$.errors_in_per_sec') AS errors_in_per_sec,
    json_extract(item.value, '$.errors_out_per_sec') AS errors_out_per_sec,
    json_extract(item.value, '$.drops_in_per_sec') AS drops_in_per_sec,
    json_extract(item.value, '$.drops_out_per_sec') AS drops_out_per_sec
FROM metrics_snapshots
JOIN json_each(metric_data, '$.interfaces') AS item
WHERE metric_type = 'network' AND json_type(metric_data, '$.interfaces') = 'array';

CREATE VIEW perfwatch_filesystems AS
SELECT
    host,
    timestamp,
    json_extract(item.value, '$.device') AS device,
    json_extract(item.value, '$.mountpoint') AS mountpoint,
    json_extract(item.value, '$.fstype') AS fstype,
    json_extract(item.value, '$.total_bytes') AS total_bytes,
    json_extract(item.value, '$.used_bytes') AS used_bytes,
    json_extract(item.value, '$.free_bytes') AS free_bytes,
    json_extract(item.value, '$.usage_percent') AS usage_percent
FROM metrics_snapshots
JOIN json_each(metric_data, '$.partitions') AS item
WHERE metric_type = 'disk' AND json_type(metric_data, '$.partitions') = 'array';

CREATE VIEW perfwatch_devices AS
SELECT
    host,
    timestamp,
    item.key AS device,
    json_extract(item.value, '$.read_bytes_per_sec') AS read_bytes_per_sec,
    json_extract(item.value, '$.write_bytes_per_sec') AS write_bytes_per_sec,
    json_extract(item.value, '$.read_iops') AS read_iops,
    json_extract(item.value, '$.write_iops') AS write_iops,
    json_extract(item.value, '$.read_latency_ms') AS read_latency_ms,
    json_extract(item.value, '$.write_latency_ms') AS write_latency_ms,
    json_extract(item.value, '$.utilization_percent') AS utilization_percent,
    json_extract(item.value, '$.queue_depth') AS queue_depth
FROM metrics_snapshots
JOIN json_each(metric_data, '$.devices') AS item
WHERE metric_type = 'disk' AND json_type(metric_data, '$.devices') = 'object';

CREATE VIEW perfwatch_processes AS
SELECT
    host,
    timestamp,
    json_extract(item.value, '$.pid') AS pid,
    json_extract(item.value, '$.comm') AS comm,
    json_extract(item.value, '$.user') AS username,
    json_extract(item.value, '$.uid') AS uid,
    json_extract(item.value, '$.cgroup') AS cgroup,
    json_extract(item.value, '$.threads') AS threads,
    json_extract(item.value, '$.rss_bytes') AS rss_bytes,
    json_extract(item.value, '$.cpu_percent') AS cpu_percent,
    json_extract(item.value, '$.runqueue_wait_ms_per_sec') AS runqueue_wait_ms_per_sec,
    json_extract(item.value, '$.context_switches_per_sec') AS context_switches_per_sec,
    json_extract(item.value, '$.read_bytes_per_sec') AS read_bytes_per_sec,
    json_extract(item.value, '$.write_bytes_per_sec') AS write_bytes_per_sec,
    json_extract(item.value, '$.cycles') AS cycles,
    json_extract(item.value, '$.instructions') AS instructions,
    json_extract(item.value, '$.ipc') AS ipc,
    json_extract(item.value, '$.llc_mpki') AS llc_mpki,
    json_extract(item.value, '$.branch_mpki') AS branch_mpki,
    json_extract(item.value, '$.dtlb_mpki') AS dtlb_mpki
FROM metrics_snapshots
JOIN json_each(metric_data, '$.top') AS item
WHERE metric_type = 'processes' AND json_type(metric_data, '$.top') = 'array';
