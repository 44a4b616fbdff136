/** What the machine has done in the last minutes, compared with its last day, and who is to blame if that is unusual. */
import { computed, onScopeDispose, shallowRef, watch } from 'vue';
import { shortTime } from '@/format/time';
import { aligned, type Span } from '@/series/range';
import {
  culprit,
  judge,
  signs,
  unusual,
  unusualText,
  usualText,
  type Judged,
  type Point,
} from '@/series/verdict';
import { useHistoryStore } from '@/stores/history';
import { useTimeStore } from '@/stores/time';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const STEP = 5 * MINUTE;
/** What is judged. */
const RECENT = 2 * MINUTE;
/** What is usual changes slowly. */
const REFRESH_USUAL = 15 * MINUTE;

export interface Verdict {
  kind: 'usual' | 'unusual' | 'unknown';
  text: string;
  /** The range to explain. */
  span: Span | null;
}

/** `ready`: not before what the page shows has been loaded. */
export function useVerdict(ready: () => boolean) {
  const history = useHistoryStore();
  const shownTime = useTimeStore();
  const verdict = shallowRef<Verdict | null>(null);
  const error = shallowRef<string | null>(null);
  let usual = { at: -Infinity, points: [] as Point[][] };
  /** When what is unusual was noticed first, for what the stored points do not show yet. */
  let noticed = new Map<string, number>();
  /** The last answer to who is to blame, and of what. */
  let blamed = { key: '', name: null as string | null };
  const request = new AbortController();
  const { signal } = request;

  const fields = signs.map(({ type, path }) => `${type}.${path}`);

  /** What was usual in a range: the points of each sign. */
  async function usualIn(span: Span): Promise<Point[][]> {
    const query = { ...aligned(span, STEP), fields, interval: '5m' };
    const found = await history.stretches(query, STEP, signal);
    return signs.map(({ type, path }) => {
      const points: Point[] = [];
      const values = found.get(type)?.values;
      values?.each(`${type}.${path}`, 0, values.size, (value, time) => points.push({ time, value }));
      return points;
    });
  }

  /** The average of each sign. */
  async function averagesIn(span: Span): Promise<number[]> {
    const found = await history.stretches({ ...span, fields, interval: 'range' }, RECENT, signal);
    return signs.map(({ type, path }) => found.get(type)?.values.at(`${type}.${path}`, 0) ?? NaN);
  }

  async function look(): Promise<void> {
    const now = shownTime.now();
    const span = { from: now - RECENT, to: now };
    if (now - usual.at > REFRESH_USUAL)
      usual = { at: now, points: await usualIn({ from: now - DAY, to: now }) };
    const recent = await averagesIn(span);
    const judged = signs
      .map((sign, i) => judge(sign, usual.points[i] ?? [], recent[i] ?? NaN))
      .filter((one) => one !== null);
    verdict.value = await told(judged, span);
  }

  async function told(judged: readonly Judged[], span: Span): Promise<Verdict> {
    const worst = unusual(judged);
    const before = noticed;
    noticed = new Map(worst.map(({ sign: { name } }) => [name, before.get(name) ?? span.from]));
    const [first] = worst;
    if (judged.length === 0)
      return { kind: 'unknown', text: 'Too little history to say what is usual', span: null };
    if (first === undefined) return { kind: 'usual', text: usualText(judged), span: null };
    const from = first.since ?? noticed.get(first.sign.name) ?? span.from;
    const whole = { from, to: span.to };
    const key = `${first.sign.name} ${whole.from.toString()}`;
    if (blamed.key !== key || blamed.name === null) {
      const explanation = await history.explanation({ ...whole, compareTo: 'before' }, signal);
      blamed = { key, name: culprit(first, explanation) };
    }
    return { kind: 'unusual', text: unusualText(worst, shortTime(whole.from), blamed.name), span: whole };
  }

  let busy = false;
  async function update(): Promise<void> {
    if (busy || document.visibilityState !== 'visible' || !ready()) return;
    busy = true;
    try {
      await look();
      error.value = null;
    } catch (caught) {
      error.value = history.explain(caught);
    }
    busy = false;
  }

  const isReady = computed(ready);
  watch(isReady, () => void update(), { immediate: true });
  const timer = setInterval(() => void update(), MINUTE);
  onScopeDispose(() => {
    clearInterval(timer);
    request.abort();
  });

  return { verdict, error };
}
