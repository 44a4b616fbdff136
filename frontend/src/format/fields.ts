/** Display names and units of fields, derived from their paths (docs/metrics.md). */
import type { Unit } from './units';

const metricNames: Record<string, string> = {
  cpu: 'CPU',
  memory: 'Memory',
  network: 'Network',
  disk: 'Disk',
  perf_events: 'Hardware counters',
  memory_bandwidth: 'Memory I/O',
  scheduler: 'Scheduler',
  block_io: 'Block I/O',
  tcp: 'TCP',
  processes: 'Processes',
  pressure: 'Pressure',
};

export function metricName(metricType: string): string {
  return metricNames[metricType] ?? sentence(metricType);
}

/** CPU time shares have no unit in their names. */
const cpuShares = new Set([
  'user',
  'system',
  'idle',
  'iowait',
  'irq',
  'softirq',
  'nice',
  'steal',
  'guest',
  'per_core',
]);

const pagesPerSecond = new Set(['pswpin_per_sec', 'pswpout_per_sec']);
/** The kernel reports these in KiB; `scaleOf` converts them to bytes. */
const kibPerSecond = new Set(['pgpgin_per_sec', 'pgpgout_per_sec']);

type Rule = [RegExp, Unit];
const rules: Rule[] = [
  [/bytes(_sent|_recv)?_per_sec$/, 'bytes/s'],
  [/packets_(sent|recv)_per_sec$/, 'packets/s'],
  [/(^|[._])(iops)$/, 'ops/s'],
  [/_ms_per_sec$/, 'ms'],
  [/_us_per_sec$/, 'us'],
  [/stalled_us/, 'us'],
  [/_per_sec$/, 'count/s'],
  [/bytes(_sent|_recv)?$/, 'bytes'],
  [/^total_bytes/, 'bytes'],
  [/percent$/, 'percent'],
  [/avg(10|60|300)$/, 'percent'],
  [/ratio$/, 'ratio'],
  [/mpki$/, 'mpki'],
  [/ipc$/, 'ipc'],
  [/mhz(\.\d+)?$/, 'mhz'],
  [/temperature/, 'celsius'],
  [/_ns$/, 'ns'],
  [/_us$/, 'us'],
  [/_ms$/, 'ms'],
  [/_mbps$/, 'none'],
];

const leafOf = (path: string): string => path.split('.').findLast((part) => !/^\d+$/.test(part)) ?? path;

export function unitOf(metricType: string, path: string): Unit {
  const leaf = leafOf(path);
  if (metricType === 'cpu' && cpuShares.has(leaf)) return 'percent';
  if (metricType === 'perf_events' && /^events\..*\.value$/.test(path)) {
    return path === 'events.cpu-clock.value' ? 'cores' : 'count/s';
  }
  if (kibPerSecond.has(leaf)) return 'bytes/s';
  if (pagesPerSecond.has(leaf)) return 'pages/s';
  return rules.find(([pattern]) => pattern.test(path))?.[1] ?? 'count';
}

/** Factor from the stored value to `unitOf`'s unit. */
export function scaleOf(metricType: string, path: string): number {
  if (kibPerSecond.has(leafOf(path))) return 1024;
  // Milliseconds of CPU time per second are thousandths of a core.
  return metricType === 'perf_events' && path === 'events.cpu-clock.value' ? 0.001 : 1;
}

const words: Record<string, string> = {
  avg10: '10 s average',
  avg60: '60 s average',
  avg300: '300 s average',
  ipc: 'instructions per cycle',
  io: 'I/O',
  iowait: 'I/O wait',
  cpu: 'CPU',
  tcp: 'TCP',
  llc: 'LLC',
  mpki: 'MPKI',
  l1d: 'L1 data',
  dtlb: 'dTLB',
  itlb: 'iTLB',
  runqueue: 'run queue',
  irq: 'interrupts',
  softirq: 'soft interrupts',
  recv: 'received',
  stalled: 'stall time',
};

/** Suffixes that the unit already expresses. */
const unitEnding = /_(per_sec|percent|bytes|us|ns|ms|mhz|bytes_per_sec)$/;

function inWords(name: string): string {
  return name
    .split('_')
    .map((word) => words[word] ?? word)
    .join(' ');
}

function sentence(name: string): string {
  const text = inWords(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Pure containers, whose names add nothing. */
const containers: Record<string, readonly string[]> = {
  disk: ['devices', 'io'],
  block_io: ['devices'],
  perf_events: ['derived'],
};

/** A field's display name: `Usage`, `Core 3`, `vda: write latency`. */
export function fieldName(metricType: string, path: string): string {
  const parts = path.split('.').filter((part) => part !== 'histogram');
  const core = /^per_core\.(\d+)$/.exec(path);
  if (core !== null) return `Core ${core[1] ?? ''}`;
  const load = /^load_avg\.([012])$/.exec(path);
  if (load !== null) return `Load, ${['1', '5', '15'][Number(load[1])] ?? ''} min`;
  if (metricType === 'perf_events' && parts[0] === 'events') return parts[1] ?? path;
  const container = (containers[metricType] ?? []).includes(parts[0] ?? '') && parts.length > 1;
  const first = container ? parts.shift() : undefined;
  const name = (parts.pop() ?? path).replace(unitEnding, '');
  if (parts.length === 0) return sentence(name);
  // A device goes by its own name.
  const where =
    first === 'devices' ? [parts[0], ...parts.slice(1).map(inWords)] : [sentence(parts.join('_'))];
  return `${where.join(' ')}: ${inWords(name)}`;
}

/** Fields selected by default. */
export const primaryFields: Record<string, readonly string[]> = {
  cpu: ['usage_percent'],
  memory: ['usage_percent'],
  network: ['bytes_recv_per_sec', 'bytes_sent_per_sec'],
  disk: ['io.read_bytes_per_sec', 'io.write_bytes_per_sec'],
  perf_events: ['events.cpu-clock.value'],
  memory_bandwidth: ['page_io_bytes_per_sec'],
  scheduler: ['runqueue_wait.histogram'],
  tcp: ['retransmits_per_sec'],
  pressure: ['cpu.some.avg10', 'io.some.avg10', 'memory.some.avg10'],
};

/** Unit and factor of a value as stored; `rate` is a counter's growth per second. */
export function storedUnit(metricType: string, path: string, kind: string): { unit: Unit; scale: number } {
  if (kind === 'histogram') return { unit: path.includes('size') ? 'bytes' : 'ns', scale: 1 };
  if (metricType === 'perf_events' && path.startsWith('events.')) {
    // Counts per tick; only cpu-clock is in milliseconds.
    return { unit: path.startsWith('events.cpu-clock.') ? 'ms' : 'count', scale: 1 };
  }
  const unit = unitOf(metricType, path);
  const scale = scaleOf(metricType, path);
  if (kind !== 'rate') return { unit, scale };
  return { unit: unit === 'bytes' ? 'bytes/s' : unit === 'count' ? 'count/s' : unit, scale };
}
