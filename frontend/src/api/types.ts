/**
 * The documents of docs/metrics.md and messages of docs/api.md that the page reads. Any measured field may be
 * absent (an older server, a failed source) or `null` (not measured in this tick).
 */
import type { Documents, NetworkDocument, ProcessesDocument } from './dictionary';
import type { components } from './schema';

export type {
  CpuDocument,
  MemoryDocument,
  NetworkDocument,
  DiskDocument,
  PerfEventsDocument,
  MemoryBandwidthDocument,
  ProcessesDocument,
  Documents,
} from './dictionary';

export type Num = number | null | undefined;

/** What a list or map holds. */
type Item<T> = NonNullable<T> extends readonly (infer One)[] ? One : NonNullable<T>[keyof NonNullable<T>];

export type NetworkInterface = Item<NetworkDocument['interfaces']>;

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
export type Usage = NonNullable<ProcessesDocument['total']>;

/** One of the busiest in a tick. */
export type BusyProcess = Item<ProcessesDocument['top']>;

/** An event at one moment. */
export interface MachineEvent {
  kind: string;
  timestamp: string;
  comm?: string | null;
  pid?: number | null;
  cgroup?: string | null;
  throttled_ms?: number | null;
  /** Of what people and scripts noted. */
  id?: number;
  text?: string | null;
  labels?: Record<string, string> | null;
  username?: string | null;
}

export interface Snapshot {
  timestamp: string;
  data: Documents;
}

/** Why ticks are missing: they were not taken, or not received. */
export type SkipCause = 'cpu_quota' | 'suspended' | 'busy' | 'server' | 'client';

export type TickMessage = {
  type: 'metrics';
  interval_ms?: number;
  /** Ticks that were taken and not received. */
  skipped?: number;
  skipped_by?: 'server' | 'client';
  /** Ticks that were not taken. */
  missed?: { ticks: number; cause: 'cpu_quota' | 'suspended' | 'busy' };
} & Snapshot;

export type StreamMessage = TickMessage | { type: 'pong' };

/** Response types from the server's OpenAPI document. */
type Schemas = components['schemas'];

export type Machines = Schemas['Machines'];
export type Machine = Schemas['Machine'];
export type CreatedJoinToken = Schemas['CreatedJoinToken'];
export type ColumnsOfType = Schemas['ColumnsOfType'];
export type DataPoint = Schemas['DataPoint'];
export type History = Schemas['History'];
export type Changes = Schemas['Changes'];
export type SeriesOfHosts = Schemas['SeriesOfHosts'];
export type ChangesOfHosts = Schemas['ChangesOfHosts'];
export type MovedFunction = Schemas['MovedFunction'];
export type Change = Schemas['ChangeDto'];
/** What a cgroup is. */
export type Group = Pick<Schemas['CgroupDto'], 'kind' | 'name' | 'image'>;
type Told = 'parent_pid' | 'started' | 'executable' | 'command' | 'group';
export type Explanation = Schemas['Explanation'];
export type Suspect = Schemas['SuspectDto'];
/** A process of the newest tick. Of the busiest in the stream, less is known. */
export type ListedProcess = BusyProcess & Partial<Pick<Schemas['ProcessDto'], Told>>;
export type ProcessList = Omit<Schemas['ProcessList'], 'processes'> & { processes: ListedProcess[] };
export type RankedRow = Schemas['ProcessRow'];
export type ProcessRanking = Schemas['ProcessRanking'];
export type ProcessPoints = Schemas['ProcessPoints'];
export type ProcessUse = Schemas['ProcessUse'];
export type Findings = Schemas['Findings'];
export type Finding = Schemas['FindingDto'];
export type Problem = Schemas['ProblemDto'];
export type Source = Schemas['Source'];
export type SourceState = Schemas['StateDto'];
export type FleetOverview = Schemas['FleetOverview'];
export type FleetHost = Schemas['FleetHost'];
export type FleetCourses = Schemas['FleetCourses'];
export type Measures = Schemas['Measures'];
/** A machine whose history is there, with the labels that it has. */
export type KnownHost = Schemas['Known'];
export type Hosts = Omit<Schemas['Hosts'], 'hosts'> & { hosts: KnownHost[] };
export type User = Schemas['Account'];
export type Token = Schemas['LoginResponse'];
export type Configuration = Schemas['Configuration'];
export type ConfigurationChange = Schemas['ConfigurationChange'];
export type Retention = Schemas['PolicyAndSize'];
export type RetentionOverride = Schemas['RetentionOverride'];
export type RetentionChange = Schemas['PolicyChange'];
export type CleanupResult = Schemas['CleanupResult'];
export type NewUser = Schemas['NewUser'];
export type UserChange = Schemas['UserChange'];
export type SavedBoard = Schemas['Board'];
export type ApiToken = Schemas['ApiToken'];
export type NewApiToken = Schemas['NewApiToken'];
export type CreatedApiToken = Schemas['CreatedApiToken'];
export type AuditEntry = Schemas['AuditEntry'];
export type Alert = Schemas['Alert'];
export type CurrentAlerts = Schemas['CurrentAlerts'];
export type AlertEpisode = Schemas['AlertEpisode'];
export type AlertRule = Schemas['AlertRule'];
export type AlertRules = Schemas['AlertRules'];
export type ListedAlertRule = Schemas['ListedAlertRule'];
export type AlertPreview = Schemas['AlertPreview'];
export type AlertCourse = Schemas['AlertCourse'];
export type AlertLevel = Schemas['AlertLevel'];
export type AlertSilence = Schemas['AlertSilence'];
export type NewAlertSilence = Schemas['NewAlertSilence'];
export type AlertWindow = Schemas['AlertWindow'];
export type NewAlertWindow = Schemas['NewAlertWindow'];
export type AlertChannel = Schemas['AlertChannel'];
export type AlertChannelKind = Schemas['AlertChannelKind'];
export type ListedAlertChannel = Schemas['ListedAlertChannel'];
export type AlertChannelTest = Schemas['AlertChannelTest'];
export type Profile = Schemas['Profile'];
export type ProfileComparison = Schemas['ProfileComparison'];
