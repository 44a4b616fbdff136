/** The charts of a process, of all of a name, or of a cgroup. */
import type { ProcessPoints, ProcessUse } from '@/api/types';
import type { Unit } from '@/format/units';
import type { Accent } from './palette';
import type { SeriesData } from './timeline';

interface Line {
  key: keyof ProcessUse;
  label: string;
  colour: Accent;
  dashed?: boolean;
}

export interface UsageChart {
  label: string;
  unit: Unit;
  lines: readonly Line[];
  /** Measured once a minute, or only where something is counted, rather than added up. */
  sparse?: boolean;
}

const MINUTE = 60_000;

/** Milliseconds per drawn point. */
export const chartInterval = ({ sparse }: UsageChart, interval: number): number =>
  sparse === true ? Math.max(MINUTE, interval) : interval;

const usageCharts: readonly UsageChart[] = [
  {
    label: 'CPU, percent of one core',
    unit: 'percent',
    lines: [{ key: 'cpu_percent', label: 'CPU', colour: 'blue' }],
  },
  {
    label: 'Resident memory',
    sparse: true,
    unit: 'bytes',
    lines: [{ key: 'rss_bytes', label: 'Memory', colour: 'purple' }],
  },
  {
    label: 'Storage I/O',
    unit: 'bytes/s',
    lines: [
      { key: 'read_bytes_per_sec', label: 'Read', colour: 'cyan' },
      { key: 'write_bytes_per_sec', label: 'Written', colour: 'amber', dashed: true },
    ],
  },
  {
    label: 'Run queue wait, per second',
    unit: 'ms/s',
    lines: [{ key: 'runqueue_wait_ms_per_sec', label: 'Wait', colour: 'red' }],
  },
  {
    label: 'Context switches',
    unit: 'count/s',
    lines: [{ key: 'context_switches_per_sec', label: 'Switches', colour: 'green' }],
  },
  {
    label: 'Page faults',
    sparse: true,
    unit: 'count/s',
    lines: [
      { key: 'minor_faults_per_sec', label: 'Minor', colour: 'slate' },
      { key: 'major_faults_per_sec', label: 'Major', colour: 'amber', dashed: true },
    ],
  },
  {
    label: 'Processes at the same time',
    sparse: true,
    unit: 'count',
    lines: [{ key: 'processes', label: 'Processes', colour: 'cyan' }],
  },
  {
    label: 'Instructions per cycle',
    sparse: true,
    unit: 'none',
    lines: [{ key: 'ipc', label: 'IPC', colour: 'green' }],
  },
  {
    label: 'Misses per thousand instructions',
    sparse: true,
    unit: 'none',
    lines: [
      { key: 'llc_mpki', label: 'LLC', colour: 'purple' },
      { key: 'branch_mpki', label: 'Branch', colour: 'amber', dashed: true },
      { key: 'dtlb_mpki', label: 'dTLB', colour: 'cyan' },
    ],
  },
];

type Points = ProcessPoints['data_points'];
type Slice = Pick<SeriesData, 'times' | 'values' | 'low' | 'high'>;

function sliceOf(points: Points, { key }: Line): Slice {
  const values = Float64Array.from(points, ({ data }) => data?.[key] ?? NaN);
  return {
    times: Float64Array.from(points, ({ timestamp }) => Date.parse(timestamp)),
    values,
    // The lowest of a bucket's samples is not known.
    low: values,
    high: Float64Array.from(points, ({ max }) => max?.[key] ?? NaN),
  };
}

const has =
  ({ key }: Line) =>
  ({ data }: Points[number]): boolean =>
    typeof data?.[key] === 'number';

/** The points that have the value. */
const sparseSlice = (points: Points, line: Line): Slice => sliceOf(points.filter(has(line)), line);

/** Where nothing noticeable was used is zero, from the first point to the last. */
function sliceOfAmount(points: Points, line: Line): Slice {
  const first = points.findIndex(has(line));
  const last = points.findLastIndex(has(line));
  const nothing = { [line.key]: 0 };
  const filled = points.map((point, i) =>
    (point.data ?? null) === null && i > first && i < last
      ? { ...point, data: nothing, max: nothing }
      : point,
  );
  return sliceOf(filled, line);
}

export const hasValues = ({ values }: SeriesData): boolean => !Array.from(values).every(Number.isNaN);

/**
 * The charts that have data. How many processes there were only matters where there may be several, and within a minute
 * only those that used something noticeable are counted.
 */
export function chartsOf(
  points: ProcessPoints,
  isOne: boolean,
  interval: number,
): { chart: UsageChart; series: SeriesData[] }[] {
  return usageCharts
    .filter(({ lines }) => !((isOne || interval < MINUTE) && lines[0]?.key === 'processes'))
    .map((chart) => ({
      chart,
      series: chart.lines.map((line): SeriesData => ({
        name: line.label,
        colour: line.colour,
        dashed: line.dashed ?? false,
        area: line.dashed !== true,
        ...(chart.sparse === true ? sparseSlice : sliceOfAmount)(points.data_points, line),
      })),
    }))
    .filter(({ series }) => series.some(hasValues));
}
