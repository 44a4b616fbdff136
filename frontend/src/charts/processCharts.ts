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
}

const usageCharts: readonly UsageChart[] = [
  {
    label: 'CPU, percent of one core',
    unit: 'percent',
    lines: [{ key: 'cpu_percent', label: 'CPU', colour: 'blue' }],
  },
  {
    label: 'Resident memory',
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
    unit: 'count/s',
    lines: [
      { key: 'minor_faults_per_sec', label: 'Minor', colour: 'slate' },
      { key: 'major_faults_per_sec', label: 'Major', colour: 'amber', dashed: true },
    ],
  },
  {
    label: 'Processes at the same time',
    unit: 'count',
    lines: [{ key: 'processes', label: 'Processes', colour: 'cyan' }],
  },
  { label: 'Instructions per cycle', unit: 'none', lines: [{ key: 'ipc', label: 'IPC', colour: 'green' }] },
  {
    label: 'Misses per thousand instructions',
    unit: 'none',
    lines: [
      { key: 'llc_mpki', label: 'LLC', colour: 'purple' },
      { key: 'branch_mpki', label: 'Branch', colour: 'amber', dashed: true },
      { key: 'dtlb_mpki', label: 'dTLB', colour: 'cyan' },
    ],
  },
];

/** Where nothing noticeable was used there is a gap. */
function seriesOf({ data_points }: ProcessPoints, line: Line): SeriesData {
  const values = Float64Array.from(data_points, ({ data }) => data?.[line.key] ?? NaN);
  const isSolo = line.dashed !== true;
  return {
    name: line.label,
    colour: line.colour,
    dashed: line.dashed ?? false,
    area: isSolo,
    times: Float64Array.from(data_points, ({ timestamp }) => Date.parse(timestamp)),
    values,
    // The lowest of a bucket's samples is not known.
    low: values,
    high: Float64Array.from(data_points, ({ max }) => max?.[line.key] ?? NaN),
  };
}

const hasValues = ({ values }: SeriesData): boolean => !Array.from(values).every(Number.isNaN);

/** The charts that have data; how many processes there were only matters where there may be several. */
export function chartsOf(
  points: ProcessPoints,
  isOne: boolean,
): { chart: UsageChart; series: SeriesData[] }[] {
  return usageCharts
    .filter(({ lines }) => !(isOne && lines[0]?.key === 'processes'))
    .map((chart) => ({ chart, series: chart.lines.map((line) => seriesOf(points, line)) }))
    .filter(({ series }) => series.some(hasValues));
}
