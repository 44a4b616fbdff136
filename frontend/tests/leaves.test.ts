import { describe, expect, it } from 'vitest';
import { histogramAt, leavesOf, numbersAt, titleIn } from '@/series/leaves';

const histogram = { unit: 'ns', scheme: 'log16', buckets: [[100, 2]], count: 2, sum: 9, max: 8 };

const documents: [string, object, string[]][] = [
  [
    'cpu',
    {
      _timestamp: 'x',
      usage_percent: 3,
      per_core: [1, null, 2],
      load_avg: [1, 2, 3],
      temperature: null,
      events: [{ kind: 'machine_started', timestamp: 'x' }],
      made_up: { of: [{ any: 1 }], all: 4 },
    },
    [
      'load_avg.0',
      'load_avg.1',
      'load_avg.2',
      'made_up.all',
      'per_core',
      'per_core.0',
      'per_core.2',
      'usage_percent',
    ],
  ],
  [
    'network',
    {
      connections: { listen: 4 },
      interfaces: [
        { name: 'eth0', state: 'up', speed_mbps: null, bytes_recv: 5 },
        { name: 'eth0.100', state: 'up', speed_mbps: 10, bytes_recv: 6 },
      ],
    },
    [
      'connections.listen',
      'interfaces.eth0.100.bytes_recv',
      'interfaces.eth0.100.speed_mbps',
      'interfaces.eth0.bytes_recv',
    ],
  ],
  [
    'disk',
    {
      partitions: [
        { device: '/dev/vda1', mountpoint: '/', fstype: 'ext4', total_bytes: 9 },
        { device: '/dev/vdb', mountpoint: '/a,b', fstype: 'ext4', total_bytes: 9 },
      ],
      devices: { 'dm-0': { read_iops: 3 }, 'dm-0.1': { read_iops: 4 } },
    },
    [
      'devices.dm-0.1.read_iops',
      'devices.dm-0.read_iops',
      // A comma could not be asked for.
      'partitions./dev/vda1./.ext4.total_bytes',
    ],
  ],
  [
    'scheduler',
    {
      runqueue_wait: { p99_us: 5, histogram },
      per_cpu: [
        { cpu: 0, busy_percent: 5 },
        { cpu: 2, busy_percent: 7 },
      ],
    },
    ['per_cpu.0.busy_percent', 'per_cpu.2.busy_percent', 'per_cpu.busy_percent', 'runqueue_wait.p99_us'],
  ],
  [
    'processes',
    {
      total: { cpu_percent: 8 },
      top: [{ pid: 77, comm: 'firefox', uid: 1000, exited: false, cpu_percent: 6 }],
      cgroups: [
        { cgroup: '/a.slice', cpu_percent: 6 },
        { cgroup: null, cpu_percent: 1 },
      ],
    },
    ['cgroups..cpu_percent', 'cgroups./a.slice.cpu_percent', 'top.77.cpu_percent', 'total.cpu_percent'],
  ],
];

describe('the leaves of a document', () => {
  it.each(documents)('of %s are its numbers, also of things by their names', (type, document, paths) => {
    expect(leavesOf(type, document).numbers.toSorted()).toEqual(paths);
  });

  it.each(documents)('of %s are found by their paths', (type, document, paths) => {
    for (const path of paths)
      expect([path, numbersAt(type, document, path).length > 0]).toEqual([path, true]);
  });

  it('are those of one thing, or of all where none is named', () => {
    const at = (type: string, path: string) =>
      numbersAt(type, documents.find(([of]) => of === type)?.[1], path);
    expect(at('cpu', 'per_core')).toEqual([1, 2]);
    expect(at('cpu', 'per_core.2')).toEqual([2]);
    expect(at('cpu', 'load_avg.1')).toEqual([2]);
    expect(at('network', 'interfaces.eth0.bytes_recv')).toEqual([5]);
    expect(at('network', 'interfaces.eth0.100.bytes_recv')).toEqual([6]);
    expect(at('disk', 'devices.dm-0.1.read_iops')).toEqual([4]);
    expect(at('scheduler', 'per_cpu.2.busy_percent')).toEqual([7]);
    expect(at('scheduler', 'per_cpu.busy_percent')).toEqual([5, 7]);
    expect(at('processes', 'cgroups..cpu_percent')).toEqual([1]);
    expect(at('cpu', 'temperature')).toEqual([]);
    expect(numbersAt('cpu', undefined, 'usage_percent')).toEqual([]);
  });

  it('are histograms, too', () => {
    const scheduler = documents.find(([type]) => type === 'scheduler')?.[1];
    expect(leavesOf('scheduler', scheduler).histograms).toEqual(['runqueue_wait.histogram']);
    expect(histogramAt(scheduler, 'runqueue_wait.histogram')).toBe(histogram);
    expect(histogramAt(scheduler, 'runqueue_wait.p99_us')).toBeNull();
    const byDevice = { devices: { 'dm-0.1': { read: { histogram } } } };
    expect(histogramAt(byDevice, 'devices.dm-0.1.read.histogram')).toBe(histogram);
  });

  it('of processes come with the names of these', () => {
    const leaves = leavesOf('processes', documents.find(([type]) => type === 'processes')?.[1]);
    expect(titleIn(leaves, 'top.77.cpu_percent')).toBe('firefox (77)');
    expect(titleIn(leaves, 'total.cpu_percent')).toBeNull();
  });
});
