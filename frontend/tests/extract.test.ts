import { describe, expect, it } from 'vitest';
import type { Documents } from '@/api/types';
import { extract } from '@/series/extract';

const series = (data: Documents) => Object.fromEntries(extract(data));

describe('extract', () => {
  it('names series by type and path', () => {
    const out = series({
      cpu: { usage_percent: 12, per_core: [1, 2], irq: 1, softirq: 2, load_avg: [0.5, 1, 2] },
      network: { bytes_recv_per_sec: 5, interfaces: [{ name: 'eth0', bytes_recv_per_sec: 5 }] },
      disk: { io: { read_bytes_per_sec: 7 }, devices: { vda: { utilization_percent: 3 } } },
    });
    expect(out).toMatchObject({
      'cpu.usage_percent': 12,
      'cpu.per_core.1': 2,
      'cpu.irq_total': 3,
      'cpu.load_avg.0': 0.5,
      'network.eth0.bytes_recv_per_sec': 5,
      'disk.io.read_bytes_per_sec': 7,
      'disk.vda.utilization_percent': 3,
    });
  });

  it('turns counts per interval into rates', () => {
    const events = { 'page-faults': { value: 500 }, cycles: { value: null } };
    const out = series({ perf_events: { elapsed_ms: 5000, interval_ms: 1000, events } });
    expect(out['perf_events.page-faults']).toBe(100);
    expect(out['perf_events.cycles']).toBeNull();
  });

  it('splits memory so that the parts and free memory add up to the total', () => {
    const memory = { total_bytes: 100, free_bytes: 40, buffers_bytes: 10, cached_bytes: 20 };
    expect(series({ memory })['memory.programs_bytes']).toBe(30);
    expect(series({ memory: {} })['memory.programs_bytes']).toBeNull();
  });

  it('finds nothing in a failed document', () => {
    const failed = { _timestamp: 't', _error: 'no such file' };
    const out = series({ cpu: failed, memory: failed, network: failed, disk: failed, perf_events: failed });
    expect(Object.values(out).filter((value) => typeof value === 'number')).toEqual([]);
  });

  it('finds numbers of other types at any depth, but not inside histograms', () => {
    const out = series({
      scheduler: { run_queue: { p99_us: 12, histogram: { scheme: 'log16', buckets: [[1, 2]], count: 2 } } },
      handles: { open: 3 },
    } as unknown as Documents);
    expect(out['scheduler.run_queue.p99_us']).toBe(12);
    expect(out['handles.open']).toBe(3);
    expect(Object.keys(out).some((key) => key.includes('buckets'))).toBe(false);
  });
});
