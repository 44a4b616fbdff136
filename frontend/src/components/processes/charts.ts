/** The charts of one process, live and stored. */
import type { Accent } from '@/charts/palette';
import type { SeriesData } from '@/charts/timeline';
import type { Unit } from '@/format/units';
import type { Tracked } from '@/series/processTrack';

export interface ProcessChart {
  label: string;
  unit: Unit;
  lines: { key: Tracked; label: string; colour: Accent; dashed?: boolean }[];
}

const processCharts: readonly ProcessChart[] = [
  {
    label: 'CPU, percent of one core',
    unit: 'percent',
    lines: [{ key: 'cpu_percent', label: 'CPU', colour: 'blue' }],
  },
  {
    label: 'Run queue wait, per second',
    unit: 'ms/s',
    lines: [{ key: 'runqueue_wait_ms_per_sec', label: 'Wait', colour: 'amber' }],
  },
  {
    label: 'Resident memory',
    unit: 'bytes',
    lines: [{ key: 'rss_bytes', label: 'Memory', colour: 'purple' }],
  },
  {
    label: 'Disk I/O',
    unit: 'bytes/s',
    lines: [
      { key: 'read_bytes_per_sec', label: 'Read', colour: 'cyan' },
      { key: 'write_bytes_per_sec', label: 'Write', colour: 'amber', dashed: true },
    ],
  },
  { label: 'Instructions per cycle', unit: 'none', lines: [{ key: 'ipc', label: 'IPC', colour: 'green' }] },
];

type Read = Omit<SeriesData, 'name' | 'colour' | 'dashed'>;

/** The charts that have data, with their series as returned by `read`. */
export function chartsWith(
  read: (key: Tracked, chart: ProcessChart) => Read,
): { chart: ProcessChart; series: SeriesData[] }[] {
  return processCharts
    .map((chart) => ({
      chart,
      series: chart.lines.map(({ key, label, colour, dashed }): SeriesData => ({
        name: label,
        colour,
        dashed: dashed ?? false,
        ...read(key, chart),
      })),
    }))
    .filter(({ series }) => series.some(({ values }) => !Array.from(values).every(Number.isNaN)));
}
