-- Flat columns for whoever asks in SQL, such as Grafana: one view for each document, and one for each kind of thing
-- that documents list. They show what is kept raw; deploy/grafana/reader.sql makes a role that may read nothing else.

CREATE VIEW perfwatch_cpu AS
SELECT
    host,
    timestamp,
    (metric_data ->> 'usage_percent')::double precision AS usage_percent,
    (metric_data ->> 'user')::double precision AS user_percent,
    (metric_data ->> 'system')::double precision AS system_percent,
    (metric_data ->> 'idle')::double precision AS idle_percent,
    (metric_data ->> 'iowait')::double precision AS iowait_percent,
    (metric_data ->> 'irq')::double precision AS irq_percent,
    (metric_data ->> 'softirq')::double precision AS softirq_percent,
    (metric_data ->> 'nice')::double precision AS nice_percent,
    (metric_data ->> 'steal')::double precision AS steal_percent,
    (metric_data ->> 'guest')::double precision AS guest_percent,
    (metric_data #>> '{load_avg,0}')::double precision AS load1,
    (metric_data #>> '{load_avg,1}')::double precision AS load5,
    (metric_data #>> '{load_avg,2}')::double precision AS load15,
    (metric_data ->> 'temperature')::double precision AS temperature,
    (metric_data ->> 'core_count')::double precision AS core_count,
    (metric_data ->> 'physical_cores')::double precision AS physical_cores,
    (metric_data ->> 'interrupts')::double precision AS interrupts,
    (metric_data ->> 'interrupts_per_sec')::double precision AS interrupts_per_sec,
    (metric_data ->> 'context_switches_per_sec')::double precision AS context_switches_per_sec,
    (metric_data ->> 'forks_per_sec')::double precision AS forks_per_sec,
    (metric_data ->> 'processes_running')::double precision AS processes_running,
    (metric_data ->> 'processes_blocked')::double precision AS processes_blocked
FROM metrics_snapshots
WHERE metric_type = 'cpu';

CREATE VIEW perfwatch_memory AS
SELECT
    host,
    timestamp,
    (metric_data ->> 'total_bytes')::double precision AS total_bytes,
    (metric_data ->> 'available_bytes')::double precision AS available_bytes,
    (metric_data ->> 'used_bytes')::double precision AS used_bytes,
    (metric_data ->> 'usage_percent')::double precision AS usage_percent,
    (metric_data ->> 'free_bytes')::double precision AS free_bytes,
    (metric_data ->> 'buffers_bytes')::double precision AS buffers_bytes,
    (metric_data ->> 'cached_bytes')::double precision AS cached_bytes,
    (metric_data ->> 'shared_bytes')::double precision AS shared_bytes,
    (metric_data ->> 'swap_total_bytes')::double precision AS swap_total_bytes,
    (metric_data ->> 'swap_used_bytes')::double precision AS swap_used_bytes,
    (metric_data ->> 'swap_free_bytes')::double precision AS swap_free_bytes,
    (metric_data ->> 'swap_percent')::double precision AS swap_percent,
    (metric_data ->> 'swap_sin_bytes')::double precision AS swap_sin_bytes,
    (metric_data ->> 'swap_sout_bytes')::double precision AS swap_sout_bytes,
    (metric_data ->> 'dirty_bytes')::double precision AS dirty_bytes,
    (metric_data ->> 'writeback_bytes')::double precision AS writeback_bytes,
    (metric_data ->> 'slab_bytes')::double precision AS slab_bytes,
    (metric_data ->> 'hugepages_total')::double precision AS hugepages_total,
    (metric_data ->> 'hugepages_free')::double precision AS hugepages_free,
    (metric_data ->> 'hugepages_reserved')::double precision AS hugepages_reserved
FROM metrics_snapshots
WHERE metric_type = 'memory';

CREATE VIEW perfwatch_network AS
SELECT
    host,
    timestamp,
    (metric_data ->> 'bytes_sent_per_sec')::double precision AS bytes_sent_per_sec,
    (metric_data ->> 'bytes_recv_per_sec')::double precision AS bytes_recv_per_sec,
    (metric_data ->> 'total_bytes_sent')::double precision AS total_bytes_sent,
    (metric_data ->> 'total_bytes_recv')::double precision AS total_bytes_recv,
    (metric_data ->> 'packets_sent')::double precision AS packets_sent,
    (metric_data ->> 'packets_recv')::double precision AS packets_recv,
    (metric_data ->> 'errors_in')::double precision AS errors_in,
    (metric_data ->> 'errors_out')::double precision AS errors_out,
    (metric_data ->> 'drops_in')::double precision AS drops_in,
    (metric_data ->> 'drops_out')::double precision AS drops_out,
    (metric_data ->> 'connection_count')::double precision AS connection_count,
    (metric_data #>> '{connections,established}')::double precision AS established,
    (metric_data #>> '{connections,time_wait}')::double precision AS time_wait,
    (metric_data #>> '{connections,close_wait}')::double precision AS close_wait,
    (metric_data #>> '{connections,listen}')::double precision AS listen,
    (metric_data #>> '{connections,udp}')::double precision AS udp,
    (metric_data ->> 'tcp_retransmits_per_sec')::double precision AS tcp_retransmits_per_sec
FROM metrics_snapshots
WHERE metric_type = 'network';

CREATE VIEW perfwatch_disk AS
SELECT
    host,
    timestamp,
    (metric_data #>> '{io,read_bytes_per_sec}')::double precision AS io_read_bytes_per_sec,
    (metric_data #>> '{io,write_bytes_per_sec}')::double precision AS io_write_bytes_per_sec,
    (metric_data #>> '{io,read_bytes}')::double precision AS io_read_bytes,
    (metric_data #>> '{io,write_bytes}')::double precision AS io_write_bytes,
    (metric_data #>> '{io,read_count}')::double precision AS io_read_count,
    (metric_data #>> '{io,write_count}')::double precision AS io_write_count,
    (metric_data #>> '{io,read_time_ms}')::double precision AS io_read_time_ms,
    (metric_data #>> '{io,write_time_ms}')::double precision AS io_write_time_ms
FROM metrics_snapshots
WHERE metric_type = 'disk';

CREATE VIEW perfwatch_perf_events AS
SELECT
    host,
    timestamp,
    (metric_data #>> '{events,cpu-clock,value}')::double precision AS cpu_clock,
    (metric_data #>> '{events,context-switches,value}')::double precision AS context_switches,
    (metric_data #>> '{events,cpu-migrations,value}')::double precision AS cpu_migrations,
    (metric_data #>> '{events,page-faults,value}')::double precision AS page_faults,
    (metric_data #>> '{events,cycles,value}')::double precision AS cycles,
    (metric_data #>> '{events,instructions,value}')::double precision AS instructions,
    (metric_data #>> '{events,branches,value}')::double precision AS branches,
    (metric_data #>> '{events,branch-misses,value}')::double precision AS branch_misses,
    (metric_data #>> '{events,L1-dcache-loads,value}')::double precision AS l1_dcache_loads,
    (metric_data #>> '{events,L1-dcache-load-misses,value}')::double precision AS l1_dcache_load_misses,
    (metric_data #>> '{events,LLC-loads,value}')::double precision AS llc_loads,
    (metric_data #>> '{events,LLC-load-misses,value}')::double precision AS llc_load_misses,
    (metric_data #>> '{events,L1-icache-loads,value}')::double precision AS l1_icache_loads,
    (metric_data #>> '{events,dTLB-loads,value}')::double precision AS dtlb_loads,
    (metric_data #>> '{events,dTLB-load-misses,value}')::double precision AS dtlb_load_misses,
    (metric_data #>> '{events,iTLB-loads,value}')::double precision AS itlb_loads,
    (metric_data #>> '{events,iTLB-load-misses,value}')::double precision AS itlb_load_misses,
    (metric_data #>> '{derived,ipc}')::double precision AS ipc,
    (metric_data #>> '{derived,branch_miss_ratio}')::double precision AS branch_miss_ratio,
    (metric_data #>> '{derived,l1d_miss_ratio}')::double precision AS l1d_miss_ratio,
    (metric_data #>> '{derived,llc_miss_ratio}')::double precision AS llc_miss_ratio,
    (metric_data #>> '{derived,dtlb_miss_ratio}')::double precision AS dtlb_miss_ratio,
    (metric_data #>> '{derived,itlb_miss_ratio}')::double precision AS itlb_miss_ratio,
    (metric_data #>> '{derived,branch_mpki}')::double precision AS branch_mpki,
    (metric_data #>> '{derived,l1d_mpki}')::double precision AS l1d_mpki,
    (metric_data #>> '{derived,llc_mpki}')::double precision AS llc_mpki,
    (metric_data #>> '{derived,dtlb_mpki}')::double precision AS dtlb_mpki,
    (metric_data #>> '{derived,itlb_mpki}')::double precision AS itlb_mpki
FROM metrics_snapshots
WHERE metric_type = 'perf_events';

CREATE VIEW perfwatch_memory_bandwidth AS
SELECT
    host,
    timestamp,
    (metric_data ->> 'pgpgin_per_sec')::double precision AS pgpgin_per_sec,
    (metric_data ->> 'pgpgout_per_sec')::double precision AS pgpgout_per_sec,
    (metric_data ->> 'pswpin_per_sec')::double precision AS pswpin_per_sec,
    (metric_data ->> 'pswpout_per_sec')::double precision AS pswpout_per_sec,
    (metric_data ->> 'page_io_bytes_per_sec')::double precision AS page_io_bytes_per_sec,
    (metric_data ->> 'swap_io_bytes_per_sec')::double precision AS swap_io_bytes_per_sec,
    (metric_data ->> 'pgfault_per_sec')::double precision AS pgfault_per_sec,
    (metric_data ->> 'pgmajfault_per_sec')::double precision AS pgmajfault_per_sec,
    (metric_data ->> 'pgscan_per_sec')::double precision AS pgscan_per_sec,
    (metric_data ->> 'pgsteal_per_sec')::double precision AS pgsteal_per_sec,
    (metric_data ->> 'compact_stall_per_sec')::double precision AS compact_stall_per_sec,
    (metric_data ->> 'compact_fail_per_sec')::double precision AS compact_fail_per_sec,
    (metric_data ->> 'compact_success_per_sec')::double precision AS compact_success_per_sec,
    (metric_data ->> 'thp_fault_alloc_per_sec')::double precision AS thp_fault_alloc_per_sec,
    (metric_data ->> 'thp_fault_fallback_per_sec')::double precision AS thp_fault_fallback_per_sec,
    (metric_data ->> 'thp_collapse_alloc_per_sec')::double precision AS thp_collapse_alloc_per_sec,
    (metric_data ->> 'numa_hit_per_sec')::double precision AS numa_hit_per_sec,
    (metric_data ->> 'numa_miss_per_sec')::double precision AS numa_miss_per_sec,
    (metric_data ->> 'numa_pages_migrated_per_sec')::double precision AS numa_pages_migrated_per_sec,
    (metric_data ->> 'oom_kill_per_sec')::double precision AS oom_kill_per_sec
FROM metrics_snapshots
WHERE metric_type = 'memory_bandwidth';

CREATE VIEW perfwatch_pressure AS
SELECT
    host,
    timestamp,
    (metric_data #>> '{cpu,some,avg10}')::double precision AS cpu_some_avg10,
    (metric_data #>> '{cpu,some,avg60}')::double precision AS cpu_some_avg60,
    (metric_data #>> '{cpu,some,avg300}')::double precision AS cpu_some_avg300,
    (metric_data #>> '{cpu,some,stalled_us_per_sec}')::double precision AS cpu_some_stalled_us_per_sec,
    (metric_data #>> '{cpu,full,avg10}')::double precision AS cpu_full_avg10,
    (metric_data #>> '{cpu,full,avg60}')::double precision AS cpu_full_avg60,
    (metric_data #>> '{cpu,full,avg300}')::double precision AS cpu_full_avg300,
    (metric_data #>> '{cpu,full,stalled_us_per_sec}')::double precision AS cpu_full_stalled_us_per_sec,
    (metric_data #>> '{memory,some,avg10}')::double precision AS memory_some_avg10,
    (metric_data #>> '{memory,some,avg60}')::double precision AS memory_some_avg60,
    (metric_data #>> '{memory,some,avg300}')::double precision AS memory_some_avg300,
    (metric_data #>> '{memory,some,stalled_us_per_sec}')::double precision AS memory_some_stalled_us_per_sec,
    (metric_data #>> '{memory,full,avg10}')::double precision AS memory_full_avg10,
    (metric_data #>> '{memory,full,avg60}')::double precision AS memory_full_avg60,
    (metric_data #>> '{memory,full,avg300}')::double precision AS memory_full_avg300,
    (metric_data #>> '{memory,full,stalled_us_per_sec}')::double precision AS memory_full_stalled_us_per_sec,
    (metric_data #>> '{io,some,avg10}')::double precision AS io_some_avg10,
    (metric_data #>> '{io,some,avg60}')::double precision AS io_some_avg60,
    (metric_data #>> '{io,some,avg300}')::double precision AS io_some_avg300,
    (metric_data #>> '{io,some,stalled_us_per_sec}')::double precision AS io_some_stalled_us_per_sec,
    (metric_data #>> '{io,full,avg10}')::double precision AS io_full_avg10,
    (metric_data #>> '{io,full,avg60}')::double precision AS io_full_avg60,
    (metric_data #>> '{io,full,avg300}')::double precision AS io_full_avg300,
    (metric_data #>> '{io,full,stalled_us_per_sec}')::double precision AS io_full_stalled_us_per_sec
FROM metrics_snapshots
WHERE metric_type = 'pressure';

CREATE VIEW perfwatch_scheduler AS
SELECT
    host,
    timestamp,
    (metric_data ->> 'context_switches')::double precision AS context_switches,
    (metric_data ->> 'context_switches_per_sec')::double precision AS context_switches_per_sec,
    (metric_data ->> 'migrations')::double precision AS migrations,
    (metric_data ->> 'migrations_per_sec')::double precision AS migrations_per_sec,
    (metric_data ->> 'runqueue_wait_ms_per_sec')::double precision AS runqueue_wait_ms_per_sec,
    (metric_data ->> 'runqueue_wait_unknown')::double precision AS runqueue_wait_unknown,
    (metric_data #>> '{runqueue_wait,mean_us}')::double precision AS runqueue_wait_mean_us,
    (metric_data #>> '{runqueue_wait,p50_us}')::double precision AS runqueue_wait_p50_us,
    (metric_data #>> '{runqueue_wait,p90_us}')::double precision AS runqueue_wait_p90_us,
    (metric_data #>> '{runqueue_wait,p99_us}')::double precision AS runqueue_wait_p99_us,
    (metric_data #>> '{runqueue_wait,p999_us}')::double precision AS runqueue_wait_p999_us,
    (metric_data #>> '{runqueue_wait,max_us}')::double precision AS runqueue_wait_max_us,
    (metric_data #>> '{runqueue_wait_woken,mean_us}')::double precision AS runqueue_wait_woken_mean_us,
    (metric_data #>> '{runqueue_wait_woken,p50_us}')::double precision AS runqueue_wait_woken_p50_us,
    (metric_data #>> '{runqueue_wait_woken,p90_us}')::double precision AS runqueue_wait_woken_p90_us,
    (metric_data #>> '{runqueue_wait_woken,p99_us}')::double precision AS runqueue_wait_woken_p99_us,
    (metric_data #>> '{runqueue_wait_woken,p999_us}')::double precision AS runqueue_wait_woken_p999_us,
    (metric_data #>> '{runqueue_wait_woken,max_us}')::double precision AS runqueue_wait_woken_max_us,
    (metric_data #>> '{runqueue_wait_preempted,mean_us}')::double precision AS runqueue_wait_preempted_mean_us,
    (metric_data #>> '{runqueue_wait_preempted,p50_us}')::double precision AS runqueue_wait_preempted_p50_us,
    (metric_data #>> '{runqueue_wait_preempted,p90_us}')::double precision AS runqueue_wait_preempted_p90_us,
    (metric_data #>> '{runqueue_wait_preempted,p99_us}')::double precision AS runqueue_wait_preempted_p99_us,
    (metric_data #>> '{runqueue_wait_preempted,p999_us}')::double precision AS runqueue_wait_preempted_p999_us,
    (metric_data #>> '{runqueue_wait_preempted,max_us}')::double precision AS runqueue_wait_preempted_max_us,
    (metric_data #>> '{off_cpu,mean_us}')::double precision AS off_cpu_mean_us,
    (metric_data #>> '{off_cpu,p50_us}')::double precision AS off_cpu_p50_us,
    (metric_data #>> '{off_cpu,p90_us}')::double precision AS off_cpu_p90_us,
    (metric_data #>> '{off_cpu,p99_us}')::double precision AS off_cpu_p99_us,
    (metric_data #>> '{off_cpu,p999_us}')::double precision AS off_cpu_p999_us,
    (metric_data #>> '{off_cpu,max_us}')::double precision AS off_cpu_max_us
FROM metrics_snapshots
WHERE metric_type = 'scheduler';

CREATE VIEW perfwatch_cpu_cores AS
SELECT
    host,
    timestamp,
    item.place - 1 AS cpu,
    (item.value #>> '{}')::double precision AS usage_percent
FROM metrics_snapshots
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(metric_data -> 'per_core') WHEN 'array' THEN metric_data -> 'per_core' END
) WITH ORDINALITY AS item (value, place)
WHERE metric_type = 'cpu' AND item.value <> 'null';

CREATE VIEW perfwatch_interfaces AS
SELECT
    host,
    timestamp,
    (item.value ->> 'name') AS interface,
    (item.value ->> 'state') AS state,
    (item.value ->> 'speed_mbps')::double precision AS speed_mbps,
    (item.value ->> 'bytes_sent')::double precision AS bytes_sent,
    (item.value ->> 'bytes_recv')::double precision AS bytes_recv,
    (item.value ->> 'packets_sent')::double precision AS packets_sent,
    (item.value ->> 'packets_recv')::double precision AS packets_recv,
    (item.value ->> 'errors_in')::double precision AS errors_in,
    (item.value ->> 'errors_out')::double precision AS errors_out,
    (item.value ->> 'drops_in')::double precision AS drops_in,
    (item.value ->> 'drops_out')::double precision AS drops_out,
    (item.value ->> 'bytes_sent_per_sec')::double precision AS bytes_sent_per_sec,
    (item.value ->> 'bytes_recv_per_sec')::double precision AS bytes_recv_per_sec,
    (item.value ->> 'packets_sent_per_sec')::double precision AS packets_sent_per_sec,
    (item.value ->> 'packets_recv_per_sec')::double precision AS packets_recv_per_sec,
    (item.value ->> 'errors_in_per_sec')::double precision AS errors_in_per_sec,
    (item.value ->> 'errors_out_per_sec')::double precision AS errors_out_per_sec,
    (item.value ->> 'drops_in_per_sec')::double precision AS drops_in_per_sec,
    (item.value ->> 'drops_out_per_sec')::double precision AS drops_out_per_sec
FROM metrics_snapshots
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(metric_data -> 'interfaces') WHEN 'array' THEN metric_data -> 'interfaces' END
) WITH ORDINALITY AS item (value, place)
WHERE metric_type = 'network';

CREATE VIEW perfwatch_filesystems AS
SELECT
    host,
    timestamp,
    (item.value ->> 'device') AS device,
    (item.value ->> 'mountpoint') AS mountpoint,
    (item.value ->> 'fstype') AS fstype,
    (item.value ->> 'total_bytes')::double precision AS total_bytes,
    (item.value ->> 'used_bytes')::double precision AS used_bytes,
    (item.value ->> 'free_bytes')::double precision AS free_bytes,
    (item.value ->> 'usage_percent')::double precision AS usage_percent
FROM metrics_snapshots
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(metric_data -> 'partitions') WHEN 'array' THEN metric_data -> 'partitions' END
) WITH ORDINALITY AS item (value, place)
WHERE metric_type = 'disk';

CREATE VIEW perfwatch_devices AS
SELECT
    host,
    timestamp,
    item.key AS device,
    (item.value ->> 'read_bytes_per_sec')::double precision AS read_bytes_per_sec,
    (item.value ->> 'write_bytes_per_sec')::double precision AS write_bytes_per_sec,
    (item.value ->> 'read_iops')::double precision AS read_iops,
    (item.value ->> 'write_iops')::double precision AS write_iops,
    (item.value ->> 'read_latency_ms')::double precision AS read_latency_ms,
    (item.value ->> 'write_latency_ms')::double precision AS write_latency_ms,
    (item.value ->> 'utilization_percent')::double precision AS utilization_percent,
    (item.value ->> 'queue_depth')::double precision AS queue_depth
FROM metrics_snapshots
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(metric_data -> 'devices') WHEN 'object' THEN metric_data -> 'devices' END
) AS item (key, value)
WHERE metric_type = 'disk';

CREATE VIEW perfwatch_processes AS
SELECT
    host,
    timestamp,
    (item.value ->> 'pid')::double precision AS pid,
    (item.value ->> 'comm') AS comm,
    (item.value ->> 'user') AS username,
    (item.value ->> 'uid')::double precision AS uid,
    (item.value ->> 'cgroup') AS cgroup,
    (item.value ->> 'threads')::double precision AS threads,
    (item.value ->> 'rss_bytes')::double precision AS rss_bytes,
    (item.value ->> 'cpu_percent')::double precision AS cpu_percent,
    (item.value ->> 'runqueue_wait_ms_per_sec')::double precision AS runqueue_wait_ms_per_sec,
    (item.value ->> 'context_switches_per_sec')::double precision AS context_switches_per_sec,
    (item.value ->> 'read_bytes_per_sec')::double precision AS read_bytes_per_sec,
    (item.value ->> 'write_bytes_per_sec')::double precision AS write_bytes_per_sec,
    (item.value ->> 'cycles')::double precision AS cycles,
    (item.value ->> 'instructions')::double precision AS instructions,
    (item.value ->> 'ipc')::double precision AS ipc,
    (item.value ->> 'llc_mpki')::double precision AS llc_mpki,
    (item.value ->> 'branch_mpki')::double precision AS branch_mpki,
    (item.value ->> 'dtlb_mpki')::double precision AS dtlb_mpki
FROM metrics_snapshots
CROSS JOIN LATERAL jsonb_array_elements(
    CASE jsonb_typeof(metric_data -> 'top') WHEN 'array' THEN metric_data -> 'top' END
) WITH ORDINALITY AS item (value, place)
WHERE metric_type = 'processes';
