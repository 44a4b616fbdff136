/** Stored points of a metric type, under the names of the live series, so that cards read both alike. */
import type { ColumnsOfType, Documents } from '@/api/types';
import { HistogramTrack } from './histogram';
import { Ring } from './ring';

/** What the cards plot of each metric type, with a band between the extremes of each point. */
export const plotted = {
  cpu: ['usage_percent', 'load_avg'],
  memory: ['usage_percent'],
  network: ['bytes_recv_per_sec', 'bytes_sent_per_sec'],
  disk: ['io.read_bytes_per_sec', 'io.write_bytes_per_sec'],
  memory_bandwidth: ['pgpgin_per_sec', 'pgpgout_per_sec', 'pgfault_per_sec', 'pgmajfault_per_sec'],
  perf_events: [
    'elapsed_ms',
    ...['ipc', 'branch_miss_ratio', 'l1d_miss_ratio', 'llc_miss_ratio', 'dtlb_miss_ratio'].map(
      (ratio) => `derived.${ratio}`,
    ),
    ...['context-switches', 'page-faults', 'cpu-migrations'].map((event) => `events.${event}.value`),
  ],
  scheduler: [
    'runqueue_wait.p99_us',
    'runqueue_wait_ms_per_sec',
    'context_switches_per_sec',
    'migrations_per_sec',
  ],
  block_io: ['total.p99_us'],
  tcp: [
    'retransmits_per_sec',
    'resets_sent_per_sec',
    'resets_received_per_sec',
    'connects_per_sec',
    'connect_failures_per_sec',
    'accepts_per_sec',
    'segments_received_per_sec',
    'segments_sent_per_sec',
  ],
  pressure: ['cpu.some.avg10', 'memory.some.avg10', 'memory.full.avg10', 'io.some.avg10', 'io.full.avg10'],
} as const satisfies Partial<Record<keyof Documents, readonly string[]>>;

export type Plotted = keyof typeof plotted;

/** What is stacked, or drawn as a strip of colours, has no band. */
const withoutBand: Partial<Record<Plotted, readonly string[]>> = {
  cpu: ['user', 'nice', 'system', 'iowait', 'irq', 'softirq', 'steal', 'per_core'],
  memory: ['total_bytes', 'free_bytes', 'buffers_bytes', 'cached_bytes'],
};

/** What the tiles of the overview show. */
export const overviewFields = [
  'cpu.usage_percent',
  'memory.usage_percent',
  'cpu.load_avg.0',
  'network.bytes_recv_per_sec',
  'network.bytes_sent_per_sec',
  'disk.io.read_bytes_per_sec',
  'disk.io.write_bytes_per_sec',
  'perf_events.derived.ipc',
  'scheduler.runqueue_wait.p99_us',
  'block_io.total.p99_us',
  'pressure.cpu.some.avg10',
] as const;

/** What may be in view, besides details: the overview, and the cards. */
export const OVERVIEW = '#overview';
export const cardOf = (type: string): string => `#${type}`;
export const isDetail = (part: string): boolean => !part.startsWith('#');

/** Fields of these types to ask for with their extremes, and those of which averages do. */
export function plottedFields(types: readonly Plotted[]): { fields: string[]; averages: string[] } {
  const of = (fields: Partial<Record<Plotted, readonly string[]>>): string[] =>
    types.flatMap((type) => fields[type]?.map((path) => `${type}.${path}`) ?? []);
  return { fields: of(plotted), averages: of(withoutBand) };
}

/** Which distributions there are depends on the machine and what it did. */
export const hasVaryingDistributions = (type: Plotted): boolean => type === 'block_io' || type === 'tcp';

export function typeOf(name: string): Plotted {
  const dot = name.indexOf('.');
  return (dot < 0 ? name : name.slice(0, dot)) as Plotted;
}

/** The detail that has the rates of all counters. */
export const COUNTERS = 'perf_events';

/**
 * What is only loaded while it is looked at: all counters, or one of the distributions, which are large. Averages do.
 */
export function detailFields(path: string): string[] {
  const distribution = ['histogram', 'p50_us', 'p99_us', 'p999_us', 'max_us'];
  const parts = path === COUNTERS ? ['elapsed_ms', 'events.value'] : distribution;
  return parts.map((part) => `${path}.${part}`);
}

/** Rates of counts per interval have no meaningful extremes where the intervals differ by more than this. */
const UNEQUAL_TICKS = 0.05;

type Column = Float64Array;

function columnOf(values: readonly (number | null)[]): Column {
  const column = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += 1) column[i] = values[i] ?? NaN;
  return column;
}

/** By path. */
function columnsOf(part: ColumnsOfType['average'] | undefined): Map<string, Column> {
  return new Map(Object.entries(part ?? {}).map(([path, values]) => [path, columnOf(values)]));
}

/** Of several columns, point by point; absent where the first is, if the others are absent they are zero. */
function combined(
  [first, ...others]: readonly (Column | undefined)[],
  combine: (a: number, b: number) => number,
): Column | null {
  const rest = others.filter((one) => one !== undefined);
  return first?.map((value, i) => rest.reduce((sum, one) => combine(sum, one[i] || 0), value)) ?? null;
}

/** Series that are computed from several columns, as `extract` computes them from a document. */
function* derived(type: Plotted, columns: ReadonlyMap<string, Column>): Generator<[string, Column | null]> {
  const of = (...paths: string[]) => paths.map((path) => columns.get(path));
  if (type === 'cpu') yield ['irq_total', combined(of('irq', 'softirq'), (a, b) => a + b)];
  if (type === 'memory') {
    const used = of('total_bytes', 'free_bytes', 'buffers_bytes', 'cached_bytes');
    yield ['programs_bytes', combined(used, (a, b) => a - b)];
  }
}

/** Columns as the series of cards: counts of an interval per second, KiB as bytes. */
function* scaled(
  type: Plotted,
  columns: ReadonlyMap<string, Column>,
  elapsed: Column | undefined,
): Generator<[string, Column]> {
  for (const [path, column] of columns) {
    yield [path, column];
    const event = type === 'perf_events' ? /^events\.(.*)\.value$/.exec(path)?.[1] : undefined;
    if (event !== undefined) yield [event, column.map((count, i) => (count * 1000) / (elapsed?.[i] ?? NaN))];
    const paged = type === 'memory_bandwidth' ? /^pgpg(in|out)_per_sec$/.exec(path)?.[1] : undefined;
    if (paged !== undefined) yield [`${paged}_bytes_per_sec`, column.map((kib) => kib * 1024)];
  }
}

/** Milliseconds between most points. */
function spacing(times: readonly number[], atLeast: number): number {
  const distances = times.slice(1).map((time, i) => time - (times[i] ?? NaN));
  distances.sort((a, b) => a - b);
  return Math.max(atLeast, distances[Math.floor(distances.length / 2)] ?? 0);
}

export class Stretch {
  readonly values: Ring;
  readonly low: Ring;
  readonly high: Ring;
  readonly histograms: HistogramTrack;
  /** Milliseconds between points: where samples are further apart than was asked for, their distance. */
  readonly width: number;
  /** Whether every point is one sample. */
  readonly isRaw: boolean;
  /** Where each point is drawn: a bucket in its middle. */
  readonly middles: Float64Array;

  constructor({ metric_type, times, count, ...parts }: ColumnsOfType, interval: number) {
    const type = metric_type as Plotted;
    this.width = spacing(times, interval);
    this.isRaw = count?.every((one) => one === 1) ?? false;
    this.middles = Float64Array.from(times, (time) => (this.isRaw ? time : time + this.width / 2));
    const [average, min, max] = [parts.average, parts.min, parts.max].map(columnsOf) as [
      Map<string, Column>,
      Map<string, Column>,
      Map<string, Column>,
    ];
    const elapsed = average.get('elapsed_ms');
    const [shortest, longest] = [min.get('elapsed_ms'), max.get('elapsed_ms')];
    // What is per second of unequal intervals has no extremes.
    const equal = elapsed?.map((ms, i) =>
      (longest?.[i] ?? NaN) - (shortest?.[i] ?? NaN) <= UNEQUAL_TICKS * (longest?.[i] ?? NaN) ? ms : NaN,
    );
    const ring = (columns: ReadonlyMap<string, Column>, elapsed: Column | undefined): Ring => {
      const series = new Map<string, Column>();
      const all = [...scaled(type, columns, elapsed), ...derived(type, columns)];
      for (const [path, column] of all) if (column !== null) series.set(`${type}.${path}`, column);
      return Ring.of(Float64Array.from(times), series);
    };
    this.values = ring(average, elapsed);
    this.low = ring(min, equal);
    this.high = ring(max, equal);
    this.histograms = new HistogramTrack(Math.max(1, times.length));
    for (const [path, each] of Object.entries(parts.histograms)) {
      each.forEach((one, i) => {
        if (one !== null) this.histograms.add(times[i] ?? NaN, `${type}.${path}`, one);
      });
    }
  }
}
