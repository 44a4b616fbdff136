/**
 * Extracts the series of the live charts from a snapshot. A series is named by metric type and field path, so
 * cards, URL and history use the same name.
 */
import type { Documents, Num } from '@/api/types';
import { isHistogram } from './histogram';

type Pair = readonly [string, Num];

function* fields(prefix: string, document: object | null | undefined): Generator<Pair> {
  if (document === null || document === undefined) return;
  for (const [key, value] of Object.entries(document)) {
    if (typeof value === 'number') yield [`${prefix}.${key}`, value];
  }
}

function* list(prefix: string, values: readonly Num[] | null | undefined): Generator<Pair> {
  if (!Array.isArray(values)) return;
  for (const [index, value] of values.entries()) yield [`${prefix}.${index.toString()}`, value as Num];
}

const difference = (a: Num, ...others: Num[]): Num =>
  typeof a === 'number' ? others.reduce<number>((rest, b) => rest - (b ?? 0), a) : null;

/** Counts per interval become rates, since the interval may change from tick to tick. */
function perSecond(value: Num, milliseconds: Num): Num {
  return typeof value === 'number' && typeof milliseconds === 'number' && milliseconds > 0
    ? (value * 1000) / milliseconds
    : null;
}

function* perfEvents(document: Documents['perf_events']): Generator<Pair> {
  if (document === undefined) return;
  const interval = document.elapsed_ms ?? document.interval_ms;
  for (const [name, event] of Object.entries(document.events ?? {})) {
    yield [`perf_events.${name}`, perSecond(event.value, interval)];
  }
  yield* fields('perf_events.derived', document.derived);
  for (const cpu of document.per_cpu ?? []) yield [`perf_events.ipc.${cpu.cpu.toString()}`, cpu.ipc];
}

/** Documents whose series are named here; those of all others are named by their paths. */
const named = new Set(['cpu', 'memory', 'network', 'disk', 'perf_events', 'memory_bandwidth', 'processes']);

/** The deepest is `block_io.devices.vda.read.from_queue.p99_us`. */
const DEPTH = 6;

export function* extract(data: Documents): Generator<Pair> {
  const { cpu, memory, network, disk } = data;
  yield* fields('cpu', cpu);
  yield* list('cpu.per_core', cpu?.per_core);
  yield* list('cpu.load_avg', cpu?.load_avg);
  yield ['cpu.irq_total', typeof cpu?.irq === 'number' ? cpu.irq + (cpu.softirq ?? 0) : cpu?.softirq];
  yield* fields('memory', memory);
  // Used by programs: everything that is not free, page cache or buffers.
  yield [
    'memory.programs_bytes',
    difference(memory?.total_bytes, memory?.free_bytes, memory?.buffers_bytes, memory?.cached_bytes),
  ];
  yield* fields('network', network);
  for (const one of network?.interfaces ?? []) yield* fields(`network.${one.name}`, one);
  yield* fields('disk.io', disk?.io);
  for (const [name, device] of Object.entries(disk?.devices ?? {})) yield* fields(`disk.${name}`, device);
  yield* perfEvents(data.perf_events);
  yield* memoryBandwidth(data.memory_bandwidth);
  for (const [type, document] of Object.entries(data)) {
    if (!named.has(type)) yield* nested(type, document, DEPTH);
  }
}

function* memoryBandwidth(document: Documents['memory_bandwidth']): Generator<Pair> {
  yield* fields('memory_bandwidth', document);
  // The kernel reports pgpgin and pgpgout in KiB.
  const kib = (value: Num): Num => (typeof value === 'number' ? value * 1024 : null);
  yield ['memory_bandwidth.in_bytes_per_sec', kib(document?.pgpgin_per_sec)];
  yield ['memory_bandwidth.out_bytes_per_sec', kib(document?.pgpgout_per_sec)];
}

/** Numbers at any depth of a document; histograms are tracked separately, as heatmap columns. */
function* nested(prefix: string, value: unknown, depth: number): Generator<Pair> {
  if (typeof value === 'number') yield [prefix, value];
  if (depth === 0 || typeof value !== 'object' || value === null) return;
  if (Array.isArray(value) || isHistogram(value)) return;
  for (const [key, inner] of Object.entries(value)) yield* nested(`${prefix}.${key}`, inner, depth - 1);
}
