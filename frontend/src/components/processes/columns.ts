import type { Unit } from '@/format/units';
import type { SortKey } from '@/series/processTable';

export interface Column {
  key: SortKey;
  label: string;
  title: string;
  /** Numbers are right-aligned and formatted; text columns have no unit. */
  unit?: Unit;
  /** CSS grid track size. */
  width: string;
  /** Minimum table width to show this column, pixels. */
  from?: number;
  /** Needs hardware counters. */
  counted?: boolean;
}

export const columns: readonly Column[] = [
  { key: 'comm', label: 'Process', title: 'Name of the main thread', width: 'minmax(7rem, 1.4fr)' },
  { key: 'pid', label: 'PID', title: 'Process ID', width: '4.5rem', from: 720 },
  { key: 'user', label: 'User', title: 'Owner', width: 'minmax(4.5rem, 0.7fr)', from: 720 },
  { key: 'cpu_percent', label: 'CPU', title: 'Percent of one core', unit: 'percent', width: '5rem' },
  { key: 'rss_bytes', label: 'Memory', title: 'Resident memory', unit: 'bytes', width: '5.5rem' },
  {
    key: 'runqueue_wait_ms_per_sec',
    label: 'Wait',
    title: 'Run queue wait of its threads, per second',
    unit: 'ms/s',
    width: '6rem',
    from: 420,
  },
  {
    key: 'context_switches_per_sec',
    label: 'Switches',
    title: 'Context switches',
    unit: 'count/s',
    width: '5.5rem',
    from: 1180,
  },
  {
    key: 'read_bytes_per_sec',
    label: 'Read',
    title: 'Read from disk',
    unit: 'bytes/s',
    width: '6rem',
    from: 720,
  },
  {
    key: 'write_bytes_per_sec',
    label: 'Write',
    title: 'Written to disk',
    unit: 'bytes/s',
    width: '6rem',
    from: 720,
  },
  { key: 'threads', label: 'Threads', title: 'Active threads', unit: 'none', width: '4.5rem', from: 1180 },
  {
    key: 'ipc',
    label: 'IPC',
    title: 'Instructions per cycle',
    unit: 'none',
    width: '4rem',
    from: 1180,
    counted: true,
  },
  {
    key: 'llc_mpki',
    label: 'LLC',
    title: 'Last-level cache misses per thousand instructions',
    unit: 'none',
    width: '4rem',
    from: 1180,
    counted: true,
  },
  {
    key: 'branch_mpki',
    label: 'Branch',
    title: 'Branch misses per thousand instructions',
    unit: 'none',
    width: '4.5rem',
    from: 1180,
    counted: true,
  },
  {
    key: 'dtlb_mpki',
    label: 'dTLB',
    title: 'Data TLB misses per thousand instructions',
    unit: 'none',
    width: '4rem',
    from: 1180,
    counted: true,
  },
  { key: 'cgroup', label: 'Cgroup', title: 'Control group', width: 'minmax(6rem, 1.6fr)', from: 1180 },
];
