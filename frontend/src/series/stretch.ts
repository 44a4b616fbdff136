/** Stored points of a metric type, under the names of the live series, so that cards read both alike. */
import type { DataPoint, Documents } from '@/api/types';
import { extract } from './extract';
import { histogramsIn, HistogramTrack } from './histogram';
import { Ring } from './ring';

/** What the cards plot of each metric type. Distributions, which are large, are asked for one by one. */
export const plotted = {
  cpu: [
    'usage_percent',
    'user',
    'nice',
    'system',
    'iowait',
    'irq',
    'softirq',
    'steal',
    'per_core',
    'load_avg',
  ],
  memory: ['usage_percent', 'total_bytes', 'free_bytes', 'buffers_bytes', 'cached_bytes'],
  network: ['bytes_recv_per_sec', 'bytes_sent_per_sec'],
  disk: ['io.read_bytes_per_sec', 'io.write_bytes_per_sec'],
  memory_bandwidth: ['pgpgin_per_sec', 'pgpgout_per_sec', 'pgfault_per_sec', 'pgmajfault_per_sec'],
  perf_events: ['elapsed_ms', 'derived', 'events.value'],
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

/** Which distributions there are depends on the machine and what it did. */
export const hasVaryingDistributions = (type: Plotted): boolean => type === 'block_io' || type === 'tcp';

export const typeOf = (name: string): Plotted => name.slice(0, name.indexOf('.')) as Plotted;

/** What a heatmap shows of a distribution. */
export function distributionFields(path: string): string[] {
  const field = path.slice(path.indexOf('.') + 1);
  return ['histogram', 'p50_us', 'p99_us', 'p999_us', 'max_us'].map((part) => `${field}.${part}`);
}

/** Rates of counts per interval have no meaningful extremes where the intervals differ by more than this. */
const UNEQUAL_TICKS = 0.05;

/** The extremes of a point as a document. */
function extremes(type: Plotted, point: DataPoint, part: 'min' | 'max'): Documents {
  const document = (point[part] ?? {}) as Record<string, unknown>;
  if (type !== 'perf_events') return { [type]: document };
  const [shortest, longest] = [point.min?.elapsed_ms, point.max?.elapsed_ms].map(Number);
  const unequal = !((longest ?? NaN) - (shortest ?? NaN) <= UNEQUAL_TICKS * (longest ?? NaN));
  return unequal ? {} : { perf_events: { ...document, elapsed_ms: Number(point.data.elapsed_ms) } };
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

  constructor(type: Plotted, points: readonly DataPoint[], interval: number) {
    const size = Math.max(1, points.length);
    this.values = new Ring(size);
    this.low = new Ring(size);
    this.high = new Ring(size);
    this.histograms = new HistogramTrack(size);
    const times = points.map(({ timestamp }) => Date.parse(timestamp));
    this.width = spacing(times, interval);
    this.isRaw = points.every(({ count }) => (count ?? 1) === 1);
    points.forEach((point, i) => {
      const time = times[i] ?? NaN;
      const documents = { [type]: point.data };
      this.values.push(time, extract(documents));
      if (!this.isRaw) {
        this.low.push(time, extract(extremes(type, point, 'min')));
        this.high.push(time, extract(extremes(type, point, 'max')));
      }
      for (const [path, one] of histogramsIn(type, point.data)) this.histograms.push(time, path, one);
    });
  }
}
