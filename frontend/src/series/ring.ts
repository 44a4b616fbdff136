/**
 * A ring buffer of the last samples of many named series: one column of values per series and one of times.
 * Absent values are NaN. Plain typed arrays, so that Vue makes nothing here reactive.
 */
export type Row = Iterable<readonly [name: string, value: number | null | undefined]>;

export interface Slice {
  times: Float64Array;
  values: Float64Array;
}

export class Ring {
  private times: Float64Array;
  private readonly columns = new Map<string, Float64Array>();
  private head = 0;
  private count = 0;

  constructor(readonly capacity: number) {
    this.times = new Float64Array(capacity);
  }

  /** Samples that are there already: a column of values for each name, as long as the times, which ascend. */
  static of(times: Float64Array, columns: ReadonlyMap<string, Float64Array>): Ring {
    const ring = new Ring(times.length);
    ring.times = times;
    ring.count = times.length;
    for (const [name, column] of columns) ring.columns.set(name, column);
    return ring;
  }

  get size(): number {
    return this.count;
  }

  /** Milliseconds since the epoch of the newest sample. */
  get last(): number | null {
    return this.count === 0 ? null : (this.times[this.slot(this.count - 1)] ?? null);
  }

  names(prefix = ''): string[] {
    return [...this.columns.keys()].filter((name) => name.startsWith(prefix));
  }

  includes(name: string): boolean {
    return this.columns.has(name);
  }

  /** Appends a sample; one not newer than the last (repeated after a reconnect) is already known. */
  push(time: number, row: Row): boolean {
    const last = this.last;
    if (!Number.isFinite(time) || (last !== null && time <= last)) return false;
    const slot = this.head;
    this.times[slot] = time;
    for (const column of this.columns.values()) column[slot] = NaN;
    for (const [name, value] of row) {
      if (typeof value !== 'number') continue;
      let column = this.columns.get(name);
      if (column === undefined) {
        column = new Float64Array(this.capacity).fill(NaN);
        this.columns.set(name, column);
      }
      column[slot] = value;
    }
    this.head = (slot + 1) % this.capacity;
    this.count = Math.min(this.count + 1, this.capacity);
    return true;
  }

  /** Drops the samples from `time` on, after the clock was set back. */
  rewind(time: number): void {
    while (this.last !== null && this.last >= time) {
      this.head = (this.head - 1 + this.capacity) % this.capacity;
      this.count -= 1;
    }
  }

  /** Drops series without any value left: interfaces and devices come and go. */
  pruneEmpty(): void {
    for (const [name, column] of this.columns) {
      if (column.every(Number.isNaN)) this.columns.delete(name);
    }
  }

  clear(): void {
    this.columns.clear();
    this.head = 0;
    this.count = 0;
  }

  private slot(index: number): number {
    return (this.head - this.count + index + this.capacity) % this.capacity;
  }

  /** Index of the first sample at or after `time`. */
  indexFrom(time: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[this.slot(middle)] ?? 0) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  timeAt(index: number): number {
    return this.times[this.slot(index)] ?? NaN;
  }

  at(name: string, index: number): number {
    if (index < 0 || index >= this.count) return NaN;
    return this.columns.get(name)?.[this.slot(index)] ?? NaN;
  }

  /** Whether there is a sample at exactly this time. */
  has(time: number): boolean {
    const index = this.indexFrom(time);
    return index < this.count && this.timeAt(index) === time;
  }

  /** Index of the sample nearest to `time`, or -1 if empty. */
  nearest(time: number): number {
    if (this.count === 0) return -1;
    const after = Math.min(this.indexFrom(time), this.count - 1);
    if (after === 0) return 0;
    return time - this.timeAt(after - 1) < this.timeAt(after) - time ? after - 1 : after;
  }

  /** The values of a series between two indices; no copy where they are in one piece. */
  view(name: string, first: number, end: number): Float64Array {
    const column = this.columns.get(name);
    if (column === undefined) return new Float64Array(Math.max(0, end - first)).fill(NaN);
    if (end <= first) return new Float64Array();
    const [from, to] = [this.slot(first), this.slot(end - 1) + 1];
    return from < to
      ? column.subarray(from, to)
      : Float64Array.of(...column.subarray(from), ...column.subarray(0, to));
  }

  /** Calls `visit` for each value of a series between two indices, without copying. */
  each(name: string, first: number, end: number, visit: (value: number, time: number) => void): void {
    const column = this.columns.get(name);
    if (column === undefined) return;
    for (let i = first; i < end; i += 1) {
      const slot = this.slot(i);
      const value = column[slot] ?? NaN;
      if (!Number.isNaN(value)) visit(value, this.times[slot] ?? NaN);
    }
  }

  /** Copies of the samples from `time` to `until`, oldest first. */
  slice(name: string, time: number, until = Infinity): Slice {
    const first = this.indexFrom(time);
    const end = until === Infinity ? this.count : this.indexFrom(until + 1);
    const column = this.columns.get(name);
    const times = new Float64Array(Math.max(0, end - first));
    const values = new Float64Array(times.length).fill(NaN);
    for (let i = 0; i < times.length; i += 1) {
      const slot = this.slot(first + i);
      times[i] = this.times[slot] ?? NaN;
      if (column !== undefined) values[i] = column[slot] ?? NaN;
    }
    return { times, values };
  }
}
