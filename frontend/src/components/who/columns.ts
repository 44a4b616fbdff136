import type { Accent } from '@/charts/palette';
import type { Unit } from '@/format/units';
import type { SortKey } from '@/series/who/lines';
import type { Amount, Kind } from '@/series/who/rows';

export interface Column {
  key: SortKey | 'course';
  label: string;
  title: string;
  /** Of an amount. */
  unit?: Unit;
  /** Of the bar behind an amount; ratios have none. */
  colour?: Accent;
  /** CSS grid track size. */
  width: string;
  /** Minimum table width to show this column, pixels. */
  from: number;
  /** Only for these. */
  kinds?: readonly Kind[];
}

export interface AmountColumn extends Column {
  key: Amount;
  unit: Unit;
}

export const isAmountColumn = (column: Column): column is AmountColumn => column.unit !== undefined;

export const columns: readonly Column[] = [
  { key: 'name', label: 'Name', title: 'Name, and command line', width: 'minmax(12rem, 3fr)', from: 0 },
  { key: 'pid', label: 'PID', title: 'Process ID', width: '4.25rem', from: 760, kinds: ['process'] },
  {
    key: 'user',
    label: 'User',
    title: 'Owner',
    width: 'minmax(4rem, 0.6fr)',
    from: 900,
    kinds: ['process', 'name'],
  },
  {
    key: 'group',
    label: 'Service / container',
    title: 'Service, container or session that it belongs to',
    width: 'minmax(7rem, 1.2fr)',
    from: 900,
    kinds: ['process', 'name'],
  },
  {
    key: 'processes',
    label: 'Procs',
    title: 'Processes at the same time',
    unit: 'count',
    width: '3.75rem',
    from: 760,
    kinds: ['name', 'cgroup'],
  },
  {
    key: 'cpu_percent',
    label: 'CPU',
    title: 'Percent of one CPU: two busy threads use 200',
    unit: 'percent',
    colour: 'blue',
    width: '5.25rem',
    from: 0,
  },
  { key: 'course', label: '', title: 'CPU over the range', width: '6.5rem', from: 620 },
  {
    key: 'rss_bytes',
    label: 'Memory',
    title: 'Resident memory',
    unit: 'bytes',
    colour: 'purple',
    width: '5.25rem',
    from: 540,
  },
  {
    key: 'read_bytes_per_sec',
    label: 'Read',
    title: 'Read from storage',
    unit: 'bytes/s',
    colour: 'cyan',
    width: '5.75rem',
    from: 700,
  },
  {
    key: 'write_bytes_per_sec',
    label: 'Written',
    title: 'Written to storage, counted when the page cache is dirtied',
    unit: 'bytes/s',
    colour: 'amber',
    width: '5.75rem',
    from: 700,
  },
  {
    key: 'runqueue_wait_ms_per_sec',
    label: 'Wait',
    title: 'Run queue wait of its threads, per second',
    unit: 'ms/s',
    colour: 'red',
    width: '5.5rem',
    from: 1020,
  },
  {
    key: 'context_switches_per_sec',
    label: 'Switches',
    title: 'Context switches',
    unit: 'count/s',
    colour: 'slate',
    width: '5rem',
    from: 1130,
  },
  {
    key: 'minor_faults_per_sec',
    label: 'Faults',
    title: 'Page faults that needed no storage',
    unit: 'count/s',
    colour: 'slate',
    width: '5rem',
    from: 1240,
  },
  {
    key: 'major_faults_per_sec',
    label: 'Major f.',
    title: 'Page faults that waited for storage',
    unit: 'count/s',
    colour: 'amber',
    width: '4.75rem',
    from: 1500,
  },
  { key: 'ipc', label: 'IPC', title: 'Instructions per cycle', unit: 'none', width: '3.5rem', from: 1180 },
  {
    key: 'llc_mpki',
    label: 'LLC',
    title: 'Last-level cache misses per thousand instructions',
    unit: 'none',
    width: '3.5rem',
    from: 1400,
  },
  {
    key: 'branch_mpki',
    label: 'Branch',
    title: 'Mispredicted branches per thousand instructions',
    unit: 'none',
    width: '3.75rem',
    from: 1560,
  },
  {
    key: 'dtlb_mpki',
    label: 'dTLB',
    title: 'Data TLB misses per thousand instructions',
    unit: 'none',
    width: '3.5rem',
    from: 1560,
  },
];

/** The amounts that a list can be headed by. */
export const topColumns: readonly AmountColumn[] = columns.filter(isAmountColumn);
