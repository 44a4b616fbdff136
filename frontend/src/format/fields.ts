/** Units of fields, from the dictionary, and their display names, derived from their paths (docs/metrics.md). */
import type { FieldUnit } from '@/api/dictionary';
import { find, type Field, type Step } from './dictionary';
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
  numa: 'NUMA',
  processes: 'Processes',
  pressure: 'Pressure',
  cgroups: 'Services and containers',
  agent: 'PerfWatch itself',
};

export function metricName(metricType: string): string {
  return metricNames[metricType] ?? sentence(metricType);
}

/** The names of the dictionary's units here, and the conversion factors. */
const units: Record<FieldUnit, readonly [Unit, number]> = {
  '': ['count', 1],
  '%': ['percent', 1],
  ratio: ['ratio', 1],
  bytes: ['bytes', 1],
  'bytes/s': ['bytes/s', 1],
  'KiB/s': ['bytes/s', 1024],
  'Mbit/s': ['bits/s', 1e6],
  '1/s': ['count/s', 1],
  'packets/s': ['packets/s', 1],
  'requests/s': ['ops/s', 1],
  pages: ['pages', 1],
  'pages/s': ['pages/s', 1],
  s: ['seconds', 1],
  ms: ['ms', 1],
  µs: ['us', 1],
  ns: ['ns', 1],
  'ms/s': ['ms/s', 1],
  'µs/s': ['us/s', 1],
  MHz: ['mhz', 1],
  '°C': ['celsius', 1],
  IPC: ['ipc', 1],
  MPKI: ['mpki', 1],
  CPUs: ['cores', 1],
};

/** The unit that the server calls this, and the factor to it. */
export function namedUnit(name: string): readonly [Unit, number] {
  return Object.hasOwn(units, name) ? units[name as FieldUnit] : units[''];
}

/** On hybrid machines, the counts of one kind of core share the description of all cores'. */
const described = (metricType: string, path: string): Field | undefined =>
  find(metricType, metricType === 'perf_events' ? path.replace(/^pmus\.[^.]+\./, '') : path)?.field;

/** What a field measures, in a sentence; empty without a description. */
export function helpOf(metricType: string, path: string): string {
  return find(metricType, path)?.field.help ?? '';
}

/** Counts per interval, which are shown as rates. */
export function isCountOfInterval(metricType: string, path: string): boolean {
  return metricType === 'perf_events' && described(metricType, path)?.kind === 'interval';
}

function shown(metricType: string, path: string): readonly [Unit, number] {
  const unit = described(metricType, path)?.unit ?? '';
  if (!isCountOfInterval(metricType, path)) return units[unit];
  // Milliseconds of CPU time per second are thousandths of a core.
  return unit === 'ms' ? ['cores', 0.001] : ['count/s', 1];
}

/** The unit as the dictionary spells it; empty for plain numbers. */
export function unitText(metricType: string, path: string): string {
  if (isCountOfInterval(metricType, path)) return unitOf(metricType, path) === 'cores' ? 'CPUs' : '1/s';
  return described(metricType, path)?.unit ?? '';
}

export function unitOf(metricType: string, path: string): Unit {
  return shown(metricType, path)[0];
}

/** Factor from the stored value, or its growth per second, to `unitOf`'s unit. */
export function scaleOf(metricType: string, path: string): number {
  return shown(metricType, path)[1];
}

const rates: Partial<Record<Unit, Unit>> = { bytes: 'bytes/s', count: 'count/s', ms: 'ms/s', us: 'us/s' };

/** Unit and factor of a value as stored; `rate` is a counter's growth per second. */
export function storedUnit(metricType: string, path: string, kind: string): { unit: Unit; scale: number } {
  const [unit, scale] = units[described(metricType, path)?.unit ?? ''];
  return { unit: kind === 'rate' ? (rates[unit] ?? unit) : unit, scale };
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
  rss: 'resident memory',
  stalled: 'stall time',
};

/** Suffixes that the unit already expresses. */
const unitEnding = /_((bytes_|ms_|us_)?per_sec|percent|bytes|us|ns|ms|mhz|mbps|celsius)$/;

function inWords(name: string): string {
  return name
    .split('_')
    .map((word) => words[word] ?? word)
    .join(' ');
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
const sentence = (name: string): string => capitalised(inWords(name));

/** Groups of fields whose names add nothing. */
const groups: Record<string, string> = { disk: 'io', perf_events: 'derived' };

/** An item's main value: its title is enough. */
const unnamed = new Set(['per_core', 'value']);

/** A partition goes by its mount point; the names are separated by dots, and may contain them. */
const mountpoint = (thing: string): string => /^.*?\.(\/.*?)\.(?:fuse\.)?[^.]*$/.exec(thing)?.[1] ?? thing;

const titles: Record<string, (thing: string) => string> = {
  cpu: (thing) => `Core ${thing}`,
  sensor: (thing) => `Sensor ${thing}`,
  pid: (thing) => `Process ${thing}`,
  cgroup: (thing) => (thing === '' ? 'No cgroup' : thing),
  device: mountpoint,
};
const plurals: Record<string, string> = { cpu: 'cores', sensor: 'sensors' };

function titleOf({ name, labels, thing }: Step): string {
  const label = labels?.[0] ?? '';
  if (typeof thing !== 'string') return `All ${plurals[label] ?? inWords(name)}`;
  return titles[label]?.(thing) ?? thing;
}

function stepsOf(metricType: string, path: string): readonly Step[] {
  const steps = find(metricType, path)?.steps ?? path.split('.').map((name): Step => ({ name }));
  // Derived values have no path for each of their names.
  return steps.flatMap((step): Step[] =>
    step.labels?.[0] === 'ratio' ? [{ name: step.name }, { name: step.thing ?? '' }] : [step],
  );
}

/** Whether a field is one of many of its kind: of one core, interface, process. */
export function isOfThing(metricType: string, path: string): boolean {
  return find(metricType, path)?.steps.some(({ thing }) => typeof thing === 'string') ?? false;
}

/** A field's display name: `Usage`, `Core 3`, `vda: write latency`; `known` has other names of items. */
export function fieldName(metricType: string, path: string, known: string | null = null): string {
  const load = /^load_avg\.([012])$/.exec(path);
  if (load !== null) return `Load, ${['1', '5', '15'][Number(load[1])] ?? ''} min`;
  const where: string[] = [];
  const steps = stepsOf(metricType, path);
  const parts = steps.filter(({ name }, i) => i === 0 || name !== 'histogram');
  const last = parts.at(-1);
  for (const step of parts) {
    if (step.labels !== undefined) where.push(known ?? titleOf(step));
    else if (step !== last && step.name !== groups[metricType]) where.push(inWords(step.name));
  }
  const name = (last?.name ?? path).replace(unitEnding, '');
  if (where.length === 0) return sentence(name);
  const place = steps[0]?.labels === undefined ? capitalised(where.join(' ')) : where.join(' ');
  return unnamed.has(name) ? place : `${place}: ${inWords(name)}`;
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
  agent: ['failing'],
};
