/**
 * The documents of docs/metrics.md and messages of docs/api.md that the page reads. Any measured field may be
 * absent (an older server, a failed source) or `null` (not measured in this tick).
 */
import type { components } from './schema';

export type Num = number | null | undefined;

interface DocumentBase {
  _timestamp?: string;
  _error?: string | null;
}

export interface CpuDocument extends DocumentBase {
  usage_percent?: Num;
  per_core?: Num[];
  user?: Num;
  system?: Num;
  idle?: Num;
  iowait?: Num;
  irq?: Num;
  softirq?: Num;
  nice?: Num;
  steal?: Num;
  guest?: Num;
  frequency_mhz?: Num[] | null;
  load_avg?: Num[];
  temperature?: Num;
  core_count?: Num;
  physical_cores?: Num;
  interrupts_per_sec?: Num;
  context_switches_per_sec?: Num;
  forks_per_sec?: Num;
  processes_running?: Num;
  processes_blocked?: Num;
  events?: MachineEvent[];
}

export interface MemoryDocument extends DocumentBase {
  total_bytes?: Num;
  available_bytes?: Num;
  used_bytes?: Num;
  free_bytes?: Num;
  usage_percent?: Num;
  buffers_bytes?: Num;
  cached_bytes?: Num;
  shared_bytes?: Num;
  swap_total_bytes?: Num;
  swap_used_bytes?: Num;
  swap_percent?: Num;
  dirty_bytes?: Num;
  writeback_bytes?: Num;
  slab_bytes?: Num;
}

export interface NetworkInterface {
  name: string;
  state?: string | null;
  speed_mbps?: Num;
  bytes_sent_per_sec?: Num;
  bytes_recv_per_sec?: Num;
  packets_sent_per_sec?: Num;
  packets_recv_per_sec?: Num;
  errors_in?: Num;
  errors_out?: Num;
  drops_in?: Num;
  drops_out?: Num;
}

export interface NetworkDocument extends DocumentBase {
  bytes_sent_per_sec?: Num;
  bytes_recv_per_sec?: Num;
  interfaces?: NetworkInterface[];
  connection_count?: Num;
  connections?: Record<string, Num> | null;
  tcp_retransmits_per_sec?: Num;
}

export interface Partition {
  device: string;
  mountpoint: string;
  fstype?: string;
  total_bytes?: Num;
  used_bytes?: Num;
  free_bytes?: Num;
  usage_percent?: Num;
}

export interface DiskDevice {
  read_bytes_per_sec?: Num;
  write_bytes_per_sec?: Num;
  read_iops?: Num;
  write_iops?: Num;
  read_latency_ms?: Num;
  write_latency_ms?: Num;
  utilization_percent?: Num;
  queue_depth?: Num;
}

export interface DiskDocument extends DocumentBase {
  partitions?: Partition[];
  io?: { read_bytes_per_sec?: Num; write_bytes_per_sec?: Num };
  devices?: Record<string, DiskDevice>;
}

export interface PerfEvent {
  value?: Num;
  unit?: string;
  running_ratio?: Num;
  error?: string | null;
}

export interface PerfEventsDocument extends DocumentBase {
  available?: boolean;
  hardware_available?: boolean;
  cpu_cores?: string;
  interval_ms?: Num;
  elapsed_ms?: Num;
  events?: Record<string, PerfEvent>;
  unsupported_events?: string[];
  missing_events?: string[];
  derived?: Record<string, Num>;
  per_cpu?: { cpu: number; ipc?: Num; cycles?: Num; instructions?: Num; frequency_mhz?: Num }[];
}

export interface MemoryBandwidthDocument extends DocumentBase {
  available?: boolean;
  pgpgin_per_sec?: Num;
  pgpgout_per_sec?: Num;
  pswpin_per_sec?: Num;
  pswpout_per_sec?: Num;
  page_io_bytes_per_sec?: Num;
  swap_io_bytes_per_sec?: Num;
  pgfault_per_sec?: Num;
  pgmajfault_per_sec?: Num;
  oom_kill_per_sec?: Num;
  [more: string]: unknown;
}

/** Latency counts in base-2 log-linear buckets with 16 sub-buckets per power of two. */
export interface Histogram {
  unit?: string;
  scheme: string;
  buckets: [number, number][];
  count: number;
  sum?: Num;
  max?: Num;
}

/** Usage of a process, a cgroup or the whole machine in a tick. */
export interface Usage {
  /** Percent of one CPU. */
  cpu_percent?: Num;
  runqueue_wait_ms_per_sec?: Num;
  context_switches_per_sec?: Num;
  read_bytes_per_sec?: Num;
  write_bytes_per_sec?: Num;
  ipc?: Num;
  llc_mpki?: Num;
  branch_mpki?: Num;
  dtlb_mpki?: Num;
}

export interface ProcessRow extends Usage {
  pid: number;
  comm: string;
  user?: string | null;
  uid?: Num;
  cgroup?: string | null;
  threads?: Num;
  exited?: boolean;
  rss_bytes?: Num;
}

export interface CgroupRow extends Usage {
  cgroup?: string | null;
  processes?: Num;
}

/** An event at one moment. */
export interface MachineEvent {
  kind: string;
  timestamp: string;
  comm?: string | null;
  pid?: number;
  cgroup?: string;
  throttled_ms?: number;
}

export interface ProcessesDocument extends DocumentBase {
  active?: Num;
  forks_per_sec?: Num;
  execs_per_sec?: Num;
  exits_per_sec?: Num;
  evicted?: Num;
  total?: Usage | null;
  top?: ProcessRow[];
  /** The processes that are not listed. */
  other?: (Usage & { count?: Num }) | null;
  cgroups?: CgroupRow[];
  events?: MachineEvent[];
}

type OpenDocument = DocumentBase & Record<string, unknown>;

/** Documents of one tick, by metric type. */
export interface Documents {
  cpu?: CpuDocument;
  memory?: MemoryDocument;
  network?: NetworkDocument;
  disk?: DiskDocument;
  perf_events?: PerfEventsDocument;
  memory_bandwidth?: MemoryBandwidthDocument;
  scheduler?: OpenDocument;
  block_io?: OpenDocument;
  tcp?: OpenDocument;
  processes?: ProcessesDocument;
  pressure?: OpenDocument;
}

export interface Snapshot {
  timestamp: string;
  data: Documents;
}

export type StreamMessage =
  | ({ type: 'metrics'; skipped?: number; interval_ms?: number } & Snapshot)
  | { type: 'history'; snapshots: Snapshot[]; interval_ms?: number }
  | { type: 'pong' };

/** Response types from the server's OpenAPI document. */
type Schemas = components['schemas'];

export type DataPoint = Schemas['DataPoint'];
export type History = Schemas['History'];
export type Changes = Schemas['Changes'];
export type Change = Schemas['ChangeDto'];
export type ProcessList = Schemas['ProcessList'];
export type ProcessHistory = Schemas['ProcessAnswer'];
export type Findings = Schemas['Findings'];
export type Finding = Schemas['FindingDto'];
export type Source = Schemas['Source'];
export type SourceState = Schemas['StateDto'];
export type User = Schemas['Account'];
export type Token = Schemas['LoginResponse'];
export type Configuration = Schemas['Configuration'];
export type ConfigurationChange = Schemas['ConfigurationChange'];
export type Retention = Schemas['PolicyAndSize'];
export type RetentionChange = Schemas['PolicyChange'];
export type CleanupResult = Schemas['CleanupResult'];
export type NewUser = Schemas['NewUser'];
export type UserChange = Schemas['UserChange'];
export type ApiToken = Schemas['ApiToken'];
export type NewApiToken = Schemas['NewApiToken'];
export type CreatedApiToken = Schemas['CreatedApiToken'];
export type AuditEntry = Schemas['AuditEntry'];
