/** All dashboard cards in their default order. The id is also the card's anchor. */
import type { Component } from 'vue';
import BlockIoCard from './BlockIoCard.vue';
import CountersCard from './CountersCard.vue';
import CpuCard from './CpuCard.vue';
import DiskCard from './DiskCard.vue';
import MemoryCard from './MemoryCard.vue';
import MemoryIoCard from './MemoryIoCard.vue';
import NetworkCard from './NetworkCard.vue';
import PressureCard from './PressureCard.vue';
import SchedulerCard from './SchedulerCard.vue';
import TcpCard from './TcpCard.vue';

export interface Card {
  id: string;
  title: string;
  component: Component;
  /** Spans two columns where there are three or more. */
  wide?: boolean;
}

export const cards: readonly Card[] = [
  { id: 'cpu', title: 'CPU', component: CpuCard, wide: true },
  { id: 'memory', title: 'Memory', component: MemoryCard },
  { id: 'network', title: 'Network', component: NetworkCard },
  { id: 'disk', title: 'Disk', component: DiskCard },
  { id: 'memory_bandwidth', title: 'Memory I/O', component: MemoryIoCard },
  { id: 'perf_events', title: 'Hardware counters', component: CountersCard, wide: true },
  { id: 'scheduler', title: 'Scheduler latency', component: SchedulerCard },
  { id: 'block_io', title: 'Block I/O latency', component: BlockIoCard },
  { id: 'tcp', title: 'TCP', component: TcpCard },
  { id: 'pressure', title: 'Pressure', component: PressureCard },
];
