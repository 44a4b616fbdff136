import { describe, expect, it } from 'vitest';
import { dictionary } from '@/api/dictionary';
import { find } from '@/format/dictionary';
import { fieldName, helpOf, isCountOfInterval, scaleOf, storedUnit, unitOf } from '@/format/fields';

/** A thing's name for each way in which a path leads to things. */
const things: Record<string, string> = {
  '#cpu': '3',
  '#sensor': '0',
  'interface=name': 'eth0.100',
  'device,mountpoint,fstype': '/dev/mapper/a.b./mnt/c.d.ext4',
  device: 'dm-0.1',
  event: 'cycles',
  'event!cpu-clock': 'cycles',
  pmu: 'cpu_core',
  ratio: 'ipc',
  cpu: '3',
  pid: '77',
  cgroup: '/a.slice/b.service',
};
const nameIn = (notation: string): string => things[notation] ?? `no example of ${notation}`;
const concrete = (path: string): string =>
  path
    .replaceAll('[#n]', '')
    .replaceAll(/\[(\d+)\]/g, '.$1')
    .replaceAll(/[[{]([^\]}]+)[\]}]/g, (_, notation: string) => `.${nameIn(notation)}`);

describe('every field of the dictionary', () => {
  const all = Object.entries(dictionary).flatMap(([type, entries]) =>
    entries.map(([path, unit, kind, help]) => ({ type, path, field: { unit, kind, help } })),
  );

  it('is found by its path with the names of things', () => {
    expect(all.length).toBeGreaterThan(400);
    for (const { type, path, field } of all) {
      expect([path, find(type, concrete(path))?.field]).toEqual([path, field]);
    }
  });

  it('is found without the names of things, where these are parts of a whole', () => {
    const alike = all.filter(({ path }) => /\[(#?cpu|#sensor)\]/.test(path));
    expect(alike.length).toBeGreaterThan(10);
    for (const { type, path, field } of alike) {
      const bare = path.replaceAll(/\[[^\]]+\]/g, '');
      expect([path, find(type, bare)?.field]).toEqual([path, field]);
    }
  });

  it('has a unit and a name without the notation of paths', () => {
    for (const { type, path, field } of all) {
      expect(unitOf(type, concrete(path))).toBeTruthy();
      if (field.kind !== 'state') expect(fieldName(type, concrete(path))).not.toMatch(/[[{#=]|undefined|: $/);
    }
  });
});

describe('a field', () => {
  it('has the unit of the dictionary', () => {
    const units: [string, string, string][] = [
      ['cpu', 'per_core.3', 'percent'],
      ['cpu', 'per_core', 'percent'],
      ['cpu', 'load_avg.0', 'count'],
      ['cpu', 'frequency_mhz.12', 'mhz'],
      ['cpu', 'context_switches_per_sec', 'count/s'],
      ['memory', 'used_bytes', 'bytes'],
      ['disk', 'devices.vda.write_latency_ms', 'ms'],
      ['disk', 'devices.vda.read_iops', 'ops/s'],
      ['disk', 'io.read_bytes_per_sec', 'bytes/s'],
      ['disk', 'partitions./dev/vda1./.ext4.usage_percent', 'percent'],
      ['perf_events', 'events.cycles.value', 'count/s'],
      ['perf_events', 'events.cpu-clock.value', 'cores'],
      ['perf_events', 'events.cpu-clock.running_ratio', 'ratio'],
      ['perf_events', 'derived.llc_miss_ratio', 'ratio'],
      ['perf_events', 'per_cpu.0.cycles', 'count/s'],
      ['perf_events', 'pmus.cpu_core.events.cycles.value', 'count/s'],
      ['perf_events', 'pmus.cpu_core.derived.frequency_mhz', 'mhz'],
      ['scheduler', 'runqueue_wait.p99_us', 'us'],
      ['scheduler', 'runqueue_wait_ms_per_sec', 'ms/s'],
      ['scheduler', 'per_cpu.busy_percent', 'percent'],
      ['block_io', 'devices.vda.read.from_queue.p99_us', 'us'],
      ['block_io', 'devices.vda.read.size.mean_bytes', 'bytes'],
      ['pressure', 'cpu.some.avg10', 'percent'],
      ['pressure', 'cpu.some.stalled_us_per_sec', 'us/s'],
      ['network', 'bytes_sent_per_sec', 'bytes/s'],
      ['network', 'packets_recv', 'count'],
      ['network', 'interfaces.eth0.packets_recv_per_sec', 'packets/s'],
      ['processes', 'top.77.ipc', 'ipc'],
      ['processes', 'cgroups..llc_mpki', 'mpki'],
      ['handles', 'open', 'count'],
      ['constructor', 'name', 'count'],
    ];
    for (const [metric, path, unit] of units) expect([path, unitOf(metric, path)]).toEqual([path, unit]);
  });

  it('is scaled to the units of the page', () => {
    expect(scaleOf('memory_bandwidth', 'pgpgin_per_sec')).toBe(1024);
    expect(scaleOf('network', 'interfaces.eth0.speed_mbps')).toBe(1e6);
    expect(scaleOf('perf_events', 'events.cpu-clock.value')).toBe(0.001);
  });

  it('has another unit where counts of an interval are not shown as rates, and counters are', () => {
    expect(isCountOfInterval('perf_events', 'events.cycles.value')).toBe(true);
    expect(isCountOfInterval('perf_events', 'events.cycles.running_ratio')).toBe(false);
    const stored = (metric: string, path: string, kind: string) => storedUnit(metric, path, kind).unit;
    expect(stored('perf_events', 'events.cycles.value', 'number')).toBe('count');
    expect(stored('perf_events', 'events.cpu-clock.value', 'number')).toBe('ms');
    expect(stored('network', 'total_bytes_sent', 'rate')).toBe('bytes/s');
    expect(stored('disk', 'io.read_time_ms', 'rate')).toBe('ms/s');
    expect(stored('block_io', 'devices.vda.read.size.histogram', 'histogram')).toBe('bytes');
    expect(stored('scheduler', 'off_cpu.histogram', 'histogram')).toBe('ns');
  });

  it('is explained', () => {
    expect(helpOf('cpu', 'per_core.3')).toMatch(/of each CPU/);
    expect(helpOf('cpu', 'unknown')).toBe('');
  });
});

describe('field names', () => {
  const names: [string, string, string][] = [
    ['cpu', 'per_core.3', 'Core 3'],
    ['cpu', 'per_core', 'All cores'],
    ['cpu', 'frequency_mhz.3', 'Core 3: frequency'],
    ['cpu', 'temperature_celsius.0', 'Sensor 0: temperature'],
    ['cpu', 'load_avg.1', 'Load, 5 min'],
    ['cpu', 'usage_percent', 'Usage'],
    ['disk', 'devices.vda.write_latency_ms', 'vda: write latency'],
    ['disk', 'io.read_bytes_per_sec', 'Read'],
    ['disk', 'partitions./dev/vda1./.ext4.usage_percent', '/: usage'],
    ['disk', 'partitions./dev/a.b./mnt/c.d.fuse.sshfs.free_bytes', '/mnt/c.d: free'],
    ['network', 'interfaces.eth0.100.bytes_recv_per_sec', 'eth0.100: bytes received'],
    ['perf_events', 'events.LLC-loads.value', 'LLC-loads'],
    ['perf_events', 'events.cpu-clock.value', 'cpu-clock'],
    ['perf_events', 'events.cycles.running_ratio', 'cycles: running ratio'],
    ['perf_events', 'derived.ipc', 'Instructions per cycle'],
    ['perf_events', 'pmus.cpu_core.events.cycles.value', 'cpu_core cycles'],
    ['perf_events', 'pmus.cpu_core.derived.llc_mpki', 'cpu_core: LLC MPKI'],
    ['perf_events', 'per_cpu.3.ipc', 'Core 3: instructions per cycle'],
    ['pressure', 'io.full.avg60', 'I/O full: 60 s average'],
    ['pressure', 'cpu.some.stalled_us_per_sec', 'CPU some: stall time'],
    ['pressure', 'cpu.some.not_described', 'CPU some: not described'],
    ['scheduler', 'runqueue_wait.histogram', 'Run queue wait'],
    ['scheduler', 'runqueue_wait_ms_per_sec', 'Run queue wait'],
    ['scheduler', 'per_cpu.busy_percent', 'All cores: busy'],
    ['block_io', 'devices.vda.write.p99_us', 'vda write: p99'],
    ['block_io', 'devices.dm-0.1.write.from_queue.histogram', 'dm-0.1 write: from queue'],
    ['processes', 'total.cpu_percent', 'Total: CPU'],
    ['processes', 'other_cgroups.cpu_percent', 'Other cgroups: CPU'],
    ['processes', 'cgroups./a.slice/b.service.cpu_percent', '/a.slice/b.service: CPU'],
    ['processes', 'cgroups..cpu_percent', 'No cgroup: CPU'],
    ['processes', 'top.77.rss_bytes', 'Process 77: resident memory'],
  ];

  it.each(names)('of %s %s is %s', (metric, path, name) => {
    expect(fieldName(metric, path)).toBe(name);
  });

  it('have what else a thing is called', () => {
    expect(fieldName('processes', 'top.77.cpu_percent', 'firefox (77)')).toBe('firefox (77): CPU');
  });
});
