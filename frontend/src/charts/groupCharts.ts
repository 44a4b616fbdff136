/** Charts of a cgroup from the document `cgroups`, with its limits as lines. */
import { numberOf, throttledRate, type GroupPoint } from '@/series/who/groupHistory';
import type { Accent } from './palette';
import { hasValues, type UsageChart } from './processCharts';
import type { SeriesData } from './timeline';

interface Line {
  name: string;
  label: string;
  colour: Accent;
  dashed?: boolean;
  /** Drawn without a band: a limit, or what is computed of all values of a point. */
  isWhole?: boolean;
}

const charts: readonly { chart: UsageChart; lines: readonly Line[] }[] = [
  {
    chart: { label: 'Memory of the group', unit: 'bytes', lines: [] },
    lines: [
      { name: 'memory_bytes', label: 'In use', colour: 'purple' },
      { name: 'anon_bytes', label: 'Anonymous', colour: 'blue', dashed: true },
      { name: 'memory_high_bytes', label: 'Slowed down above', colour: 'amber', dashed: true, isWhole: true },
      { name: 'memory_limit_bytes', label: 'Limit', colour: 'red', dashed: true, isWhole: true },
    ],
  },
  {
    chart: { label: 'Throttled by its CPU quota, per second', unit: 'ms/s', lines: [] },
    lines: [{ name: 'throttled_ms', label: 'Throttled', colour: 'amber' }],
  },
  {
    chart: { label: 'Pressure: share of time that tasks were stalled', unit: 'percent', lines: [] },
    lines: [
      { name: 'cpu_some_percent', label: 'CPU', colour: 'blue' },
      { name: 'memory_some_percent', label: 'Memory', colour: 'purple' },
      { name: 'io_some_percent', label: 'I/O', colour: 'amber', dashed: true },
    ],
  },
  {
    chart: { label: 'Run queue wait', unit: 'us', lines: [] },
    lines: [
      { name: 'runqueue_wait.p99_us', label: '99th percentile', colour: 'red', isWhole: true },
      { name: 'runqueue_wait.p50_us', label: 'Median', colour: 'blue', dashed: true, isWhole: true },
    ],
  },
  {
    chart: { label: 'Latency of its requests to disks', unit: 'us', lines: [] },
    lines: [
      { name: 'block_latency.p99_us', label: '99th percentile', colour: 'red', isWhole: true },
      { name: 'block_latency.p50_us', label: 'Median', colour: 'blue', dashed: true, isWhole: true },
    ],
  },
  {
    chart: { label: 'Tasks', unit: 'count', lines: [] },
    lines: [
      { name: 'tasks', label: 'Tasks', colour: 'cyan' },
      { name: 'tasks_limit', label: 'Limit', colour: 'red', dashed: true, isWhole: true },
    ],
  },
];

function seriesOf(points: readonly GroupPoint[], { name, label, colour, dashed, isWhole }: Line): SeriesData {
  const read = (part: 'row' | 'max') =>
    Float64Array.from(points, (point) =>
      name === 'throttled_ms' ? throttledRate(point[part], point.elapsed) : numberOf(point[part], name),
    );
  const values = read('row');
  return {
    name: label,
    colour,
    dashed: dashed ?? false,
    times: Float64Array.from(points, ({ time }) => time),
    values,
    ...(isWhole === true ? {} : { low: values, high: read('max') }),
  };
}

/** The CPU quota for the chart of CPU time; null without one. */
export function cpuLimit(points: readonly GroupPoint[]): SeriesData | null {
  const line = seriesOf(points, {
    name: 'cpu_limit',
    label: 'Limit',
    colour: 'red',
    dashed: true,
    isWhole: true,
  });
  // A quota is in CPUs, the chart in percent of one.
  return hasValues(line) ? { ...line, values: Float64Array.from(line.values, (cpus) => 100 * cpus) } : null;
}

/** A group that is never throttled needs no chart of it, but its absence is not a fault. */
const isWorthAChart = ({ series }: { chart: UsageChart; series: SeriesData[] }): boolean => {
  const [first] = series;
  return (
    first !== undefined && (first.name !== 'Throttled' || Array.from(first.values).some((value) => value > 0))
  );
};

export function groupCharts(points: readonly GroupPoint[]): { chart: UsageChart; series: SeriesData[] }[] {
  return charts
    .map(({ chart, lines }) => ({
      chart,
      series: lines.map((line) => seriesOf(points, line)).filter(hasValues),
    }))
    .filter(isWorthAChart);
}
