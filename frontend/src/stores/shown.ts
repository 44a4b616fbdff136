/**
 * What the dashboard shows at the chosen time, whether it comes from the stream, from the store, or begins in the one
 * and goes on in the other. Cards read it here and need not know.
 */
import { defineStore } from 'pinia';
import { computed, shallowReactive, shallowRef, watch } from 'vue';
import { typesIn } from '@/api/knownColumns';
import type { ColumnsOfType, Documents } from '@/api/types';
import { episodesOf, type Episode } from '@/series/events';
import { extract } from '@/series/extract';
import { joinedColumns, joinedSeries, type Joined, type JoinedColumns, type Sources } from '@/series/joined';
import { aligned, intervalFor, resolve, type Span } from '@/series/range';
import { histogramsIn } from '@/series/histogram';
import {
  cardOf,
  detailFields,
  isDetail,
  hasVaryingDistributions,
  OVERVIEW,
  overviewFields,
  plotted,
  plottedFields,
  Stretch,
  typeOf,
  type Plotted,
} from '@/series/stretch';
import { useCursorStore } from './cursor';
import { useFleetStore } from './fleet';
import { useHistoryStore } from './history';
import { useLiveStore } from './live';
import { useTimeStore } from './time';

/** Points across a chart: no more than a screen has pixels, but on a phone enough to zoom by pinching. */
const MAX_POINTS = 900;
const MIN_POINTS = 300;
/** What has come of a past range is shown together: all charts are drawn anew each time. A stream draws them anyway. */
const SHOWN_AFTER_MS = 400;
/** How long the stream's first tick may take, before the store is asked. */
const STREAM_WAIT_MS = 2500;
/** How often to ask for what was noted while a live window is open. */
const NOTED_EVERY_MS = 15_000;
/** A hole of more ticks than this between store and stream is filled from the store. */
const HOLE_TICKS = 3;

/** One type over the range: its points, and all of them as one. */
interface Loaded {
  span: Span;
  stretch: Stretch;
  average: Documents;
  peak: Documents;
}

type LoadedTypes = Partial<Record<Plotted, Loaded>>;
type Detail = Pick<Loaded, 'span' | 'stretch'>;

/** What is asked for at once: all that cards plot of some types, and fields of others. */
interface Wanted {
  cards: readonly Plotted[];
  /** What the overview shows of the others. */
  ahead: readonly string[];
  details: readonly string[];
  isInView: boolean;
}

/** What has come of the range: what has come together is shown at once. */
interface Arrived {
  loaded: LoadedTypes;
  ahead: LoadedTypes;
  details: Map<string, Detail>;
  coming: Set<string>;
}

const types = Object.keys(plotted) as Plotted[];

/** Numbers of documents under the names of their series. */
function numbersOf(documents: Documents): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, value] of extract(documents)) if (typeof value === 'number') found.set(name, value);
  return found;
}

/** After the frame that draws what is there now. */
function drawn(): Promise<void> {
  return new Promise((resolve) => {
    requestAnimationFrame(() => {
      requestAnimationFrame(() => {
        resolve();
      });
    });
  });
}

export const useShownStore = defineStore('shown', () => {
  const cursor = useCursorStore();
  const fleet = useFleetStore();
  const history = useHistoryStore();
  const live = useLiveStore();
  const time = useTimeStore();

  const loaded = shallowReactive<LoadedTypes>({});
  /** What the overview shows of the types that come later. */
  const ahead = shallowRef<LoadedTypes>({});
  /** Details in the same range, by path: those that were in view. */
  const details = shallowReactive(new Map<string, Detail>());
  /** Those that are being loaded. */
  const coming = shallowRef<ReadonlySet<string>>(new Set());
  /** How often each detail, the overview and each card is in view. */
  const inView = new Map<string, number>();
  const pastEpisodes = shallowRef<readonly Episode[]>([]);
  /** Up to then, episodes are from the store. */
  const episodesTo = shallowRef(-Infinity);
  /** Noted since. */
  const fresh = shallowRef<readonly Episode[]>([]);
  const pending = shallowRef(0);
  /**
   * Whether all has come of what was asked for, also what is out of sight, and what is in view was drawn: there is time for
   * other questions, whose answers would keep it waiting if the server is near.
   */
  const complete = shallowRef(true);
  /** Increments when something was loaded. */
  const loads = shallowRef(0);
  const error = shallowRef<string | null>(null);
  /** The range that was loaded, or is being. */
  const asked = shallowRef<Span | null>(null);
  /** The past range that is shown. Another one takes its place together with its points, unless these take long. */
  const pastSpan = shallowRef<Span | null>(null);
  /** Pages that show it. */
  let users = 0;
  let request: AbortController | null = null;

  const following = computed(() => time.isStreamed);
  const span = computed(() => (following.value ? time.span : (pastSpan.value ?? time.span)));
  const interval = computed(() => {
    const points = Math.min(MAX_POINTS, Math.max(MIN_POINTS, window.innerWidth));
    return intervalFor(time.length, points);
  });
  /** Of what has come of the shown range: the rest may still be there of the one before. */
  const widths = computed(() =>
    [...Object.values(loaded), ...Object.values(ahead.value)]
      .filter((one) => one.span === pastSpan.value)
      .map(({ stretch }) => stretch.width),
  );
  /** Milliseconds per drawn point. */
  const width = computed(() => {
    if (following.value) return Math.max(interval.value.ms, live.intervalMs);
    return widths.value.length > 0 ? Math.min(...widths.value) : interval.value.ms;
  });
  /** A longer distance between points is a gap: stored samples may be sparser than the stream's. */
  const spacing = computed(() => Math.max(width.value, ...widths.value));
  const version = computed(() => (following.value ? live.version : 0));

  /** What has come ahead of a type, until all of it has. */
  function aheadOf(type: Plotted): Loaded | undefined {
    return loaded[type]?.span === pastSpan.value ? undefined : ahead.value[type];
  }

  /** What was loaded of a series. */
  function pastOf(name: string): Stretch | null {
    const type = typeOf(name);
    const ofType = [aheadOf(type), loaded[type]].map((one) => one?.stretch);
    const found = ofType.find((one) => one?.values.includes(name));
    return found ?? details.get(name.slice(0, name.lastIndexOf('.')))?.stretch ?? ofType[1] ?? null;
  }

  function sourcesOf(name: string): Sources {
    const past = pastOf(name);
    return {
      past,
      ring: following.value ? live.ring : null,
      tick: live.intervalMs,
      width: following.value ? width.value : (past?.width ?? width.value),
    };
  }

  function series(name: string, span: Span): Joined {
    return joinedSeries(name, span, sourcesOf(name));
  }

  function columns(path: string, span: Span): JoinedColumns {
    return joinedColumns(path, span, live.histograms, sourcesOf(path));
  }

  /** Calls `visit` for each value of a series; without copying, if it comes from the stream as it is. */
  function each(name: string, span: Span, visit: (value: number, time: number) => void): void {
    const sources = sourcesOf(name);
    const { past, ring, tick } = sources;
    if (past === null && ring !== null && sources.width <= tick) {
      ring.each(name, ring.indexFrom(span.from + 1), ring.indexFrom(span.to + 1), visit);
      return;
    }
    const { times, values } = joinedSeries(name, span, sources);
    times.forEach((at, i) => {
      const value = values[i] ?? NaN;
      if (!Number.isNaN(value)) visit(value, at);
    });
  }

  /** Names of the series, or histograms, that begin with a prefix. */
  function names(prefix: string): string[] {
    void version.value;
    const stored = loaded[typeOf(prefix)]?.stretch.values.names(prefix) ?? [];
    return following.value ? [...new Set([...live.ring.names(prefix), ...stored])] : stored;
  }
  function histogramNames(prefix: string): string[] {
    void version.value;
    const type = typeOf(prefix);
    const stored = [...histogramsIn(type, loaded[type]?.average[type])]
      .map(([name]) => name)
      .filter((name) => name.startsWith(prefix));
    return following.value ? [...new Set([...live.histograms.names(prefix), ...stored])] : stored;
  }

  function numbersWithAhead(documents: Documents, part: 'average' | 'peak'): Map<string, number> {
    const numbers = numbersOf(documents);
    const come = following.value ? [] : types.map(aheadOf).filter((one) => one !== undefined);
    for (const one of come) for (const [name, value] of numbersOf(one[part])) numbers.set(name, value);
    return numbers;
  }
  const averages = computed(() => numbersWithAhead(documents.value, 'average'));
  const highest = computed(() => numbersWithAhead(peaks.value, 'peak'));

  /** The moment under the crosshair, if it is in the range. */
  const pointed = computed(() => {
    const { from, to } = time.span;
    return cursor.time === null || cursor.time < from || cursor.time > to ? null : cursor.time;
  });

  /** The value under the crosshair; otherwise the newest, or the average of a past range. */
  function reading(name: string): number {
    void version.value;
    const at = pointed.value;
    if (at === null) return following.value ? newest(name) : average(name);
    const { past, ring } = sourcesOf(name);
    if (ring !== null && ring.size > 0 && at >= ring.timeAt(0)) return ring.at(name, ring.nearest(at));
    if (past === null) return NaN;
    const index = past.values.nearest(past.isRaw ? at : at - past.width / 2);
    const distance = Math.abs(past.values.timeAt(index) - at);
    return distance <= 2 * past.width ? past.values.at(name, index) : NaN;
  }

  const newest = (name: string): number => live.ring.at(name, live.ring.nearest(time.span.to));
  const average = (name: string): number => averages.value.get(name) ?? NaN;
  const peak = (name: string): number => highest.value.get(name) ?? NaN;

  function combined(part: 'average' | 'peak'): Documents {
    const all: Documents = {};
    for (const one of Object.values(loaded)) Object.assign(all, one[part]);
    return all;
  }
  /** The documents that tables and facts show: of the newest tick, or averaged over a past range. */
  const documents = computed<Documents>(() =>
    following.value ? (live.latest?.data ?? {}) : combined('average'),
  );
  const peaks = computed<Documents>(() => (following.value ? {} : combined('peak')));

  const episodes = computed<readonly Episode[]>(() => {
    if (!following.value) return pastEpisodes.value;
    void live.version;
    const since = [...fresh.value, ...live.episodes].filter(({ to }) => to > episodesTo.value);
    return [...pastEpisodes.value, ...since];
  });

  const busy = computed(() => pending.value > 0);
  const hasData = computed(() => (following.value ? live.hasData : Object.keys(documents.value).length > 0));
  /** Whether a past range was loaded and has nothing. */
  const isEmpty = computed(
    () =>
      !following.value &&
      !busy.value &&
      complete.value &&
      error.value === null &&
      Object.keys(documents.value).length === 0,
  );

  /** Parts of the range that have not come yet. */
  let awaited = 0;
  let arrived: ((next: Arrived) => void)[] = [];
  let showing: ReturnType<typeof setTimeout> | undefined;

  function showArrived(): void {
    const parts = arrived;
    dropArrived();
    pastSpan.value = asked.value;
    const isOther = ([, { span }]: [string, Detail]): boolean => span !== asked.value;
    const next: Arrived = {
      loaded: {},
      ahead: Object.fromEntries(Object.entries(ahead.value).filter((one) => !isOther(one))),
      details: new Map(),
      coming: new Set(coming.value),
    };
    for (const show of parts) show(next);
    Object.assign(loaded, next.loaded);
    ahead.value = next.ahead;
    // What is still of another range, unless it has come again, goes; what stays is not drawn anew.
    next.details.forEach((detail, path) => details.set(path, detail));
    for (const [path] of [...details].filter(isOther)) details.delete(path);
    coming.value = next.coming;
    if (parts.length > 0) loads.value += 1;
  }

  function dropArrived(): void {
    clearTimeout(showing);
    showing = undefined;
    arrived = [];
  }

  /** Parts have come, or will not come; whatever comes after another choice is void. */
  function arrive(current: AbortController, parts: number, show: (next: Arrived) => void): void {
    if (request !== current) return;
    awaited -= parts;
    arrived.push(show);
    if (awaited === 0 || following.value) showArrived();
    else showing ??= setTimeout(showArrived, SHOWN_AFTER_MS);
  }

  function fail(current: AbortController, caught: unknown): void {
    if (request === current) error.value = history.explain(caught);
  }

  function keepDetails(next: Arrived, paths: readonly string[], detail: Detail): void {
    for (const path of paths) {
      next.details.set(path, detail);
      next.coming.delete(path);
    }
  }

  function loadedOf(span: Span, { metric_type: type, whole }: ColumnsOfType, stretch: Stretch): Loaded {
    const of = (part: 'data' | 'max'): Documents =>
      whole?.[part] === undefined ? {} : { [type]: whole[part] };
    return { span, stretch, average: of('data'), peak: of('max') };
  }

  /** What is in view comes first, and at once; on a page that is not shown yet, that is everything. */
  function inOrder(): [Wanted, Wanted] {
    const seen = types.filter((type) => inView.has(cardOf(type)));
    const cards = seen.length > 0 || inView.has(OVERVIEW) ? seen : types;
    const ahead = inView.has(OVERVIEW) ? overviewFields.filter((name) => !cards.includes(typeOf(name))) : [];
    const first = { cards, ahead, details: [...inView.keys()].filter(isDetail), isInView: true };
    const others = types.filter((type) => !cards.includes(type));
    return [first, { cards: others, ahead: [], details: [], isInView: false }];
  }

  async function loadTypes(
    current: AbortController,
    span: Span,
    { cards, ahead, details, isInView }: Wanted,
  ): Promise<void> {
    const { name, ms } = interval.value;
    const { fields, averages } = plottedFields(cards);
    const query = {
      ...aligned(span, ms),
      fields: [...fields, ...ahead],
      averages: [...averages, ...details.flatMap(detailFields)],
      interval: name,
      whole: following.value ? cards.filter(hasVaryingDistributions) : [...cards, ...ahead],
    };
    let left = typesIn(query).size;
    awaited += left;
    // What is out of sight keeps nobody waiting.
    const done = (count: number): void => {
      if (isInView) pending.value -= count;
    };
    done(-left);
    const keep = (columns: ColumnsOfType): void => {
      left -= 1;
      const type = columns.metric_type as Plotted;
      const stretch = new Stretch(columns, ms);
      arrive(current, 1, (next) => {
        next[cards.includes(type) ? 'loaded' : 'ahead'][type] = loadedOf(span, columns, stretch);
        const own = details.filter((path) => typeOf(path) === type);
        keepDetails(next, own, { span, stretch });
        done(1);
      });
    };
    await history.columns(query, keep, current.signal).catch((caught: unknown) => {
      fail(current, caught);
      arrive(current, left, (next) => {
        done(left);
        next.coming.clear();
      });
    });
  }

  async function loadEvents(current: AbortController, span: Span): Promise<void> {
    let show = (): void => undefined;
    try {
      const found = await history.events(span, current.signal);
      show = () => {
        pastEpisodes.value = episodesOf(found);
        episodesTo.value = span.to;
      };
    } catch (caught) {
      fail(current, caught);
    }
    arrive(current, 1, () => {
      show();
      pending.value -= 1;
    });
  }

  /** Asks for a detail that has come into view since. */
  async function loadDetail(path: string, span: Span, current: AbortController): Promise<void> {
    const { name, ms } = interval.value;
    const query = { ...aligned(span, ms), fields: [], averages: detailFields(path), interval: name };
    awaited += 1;
    coming.value = new Set([...coming.value, path]);
    const keep = (columns: ColumnsOfType): void => {
      const stretch = new Stretch(columns, ms);
      arrive(current, 1, (next) => {
        keepDetails(next, [path], { span, stretch });
      });
    };
    await history.columns(query, keep, current.signal).catch((caught: unknown) => {
      fail(current, caught);
      arrive(current, 1, (next) => next.coming.delete(path));
    });
  }

  /** A card, the overview or a detail has come into view; call what is returned when it has gone. */
  function enterView(part: string): () => void {
    inView.set(part, (inView.get(part) ?? 0) + 1);
    if (isDetail(part)) wantDetail(part);
    return () => {
      const left = (inView.get(part) ?? 0) - 1;
      if (left > 0) inView.set(part, left);
      else inView.delete(part);
    };
  }

  function wantDetail(path: string): void {
    const isLoaded = coming.value.has(path) || details.get(path)?.span === asked.value;
    if (asked.value !== null && request !== null && !isLoaded) void loadDetail(path, asked.value, request);
  }

  async function load(): Promise<void> {
    forget();
    const current = new AbortController();
    request = current;
    showing = setTimeout(showArrived, SHOWN_AFTER_MS);
    const span = resolve(time.range, live.ring.last ?? time.now());
    asked.value = span;
    const [first, later] = inOrder();
    complete.value = false;
    coming.value = new Set(first.details);
    // Events.
    awaited = 1;
    pending.value = 1;
    await Promise.all([loadTypes(current, span, first), loadEvents(current, span)]);
    await drawn();
    const hasMore = later.cards.length > 0 && error.value === null;
    if (request === current && hasMore) await loadTypes(current, span, later);
    if (request === current) complete.value = true;
  }

  /** Whether the stream alone does not fill the window, or a hole between it and the store has opened. */
  function lacksPast(): boolean {
    if (!following.value) return asked.value === null;
    if (live.ring.size === 0) return false;
    const start = live.ring.timeAt(0);
    const hole = HOLE_TICKS * live.intervalMs;
    return asked.value === null ? start > time.span.from + hole : start > asked.value.to + hole;
  }

  function forget(): void {
    request?.abort();
    request = null;
    dropArrived();
    awaited = 0;
    asked.value = null;
    pending.value = 0;
    error.value = null;
    complete.value = true;
    coming.value = new Set();
  }

  function clear(): void {
    for (const type of types) Reflect.deleteProperty(loaded, type);
    ahead.value = {};
    details.clear();
  }

  function restart(): void {
    forget();
    if (following.value) {
      // Averages of another range say nothing about this one; its points may.
      pastSpan.value = null;
      pastEpisodes.value = [];
      episodesTo.value = -Infinity;
      fresh.value = [];
      clear();
    }
    if (lacksPast()) void load();
  }

  /** The stream does not bring what people and scripts note. */
  async function loadNoted(): Promise<void> {
    if (!following.value || !live.hasData || document.visibilityState !== 'visible') return;
    const { from, to } = time.span;
    const span = { from: Math.max(from, episodesTo.value), to: to + live.intervalMs };
    const found = await history.noted(span, new AbortController().signal).catch(() => []);
    if (following.value) fresh.value = episodesOf(found);
  }

  let waiting: ReturnType<typeof setTimeout> | undefined;
  let noting: ReturnType<typeof setInterval> | undefined;

  /** The dashboard is open. */
  function enter(): void {
    users += 1;
    if (users > 1) return;
    restart();
    noting = setInterval(() => void loadNoted(), NOTED_EVERY_MS);
    // A stream that does not come does not keep the past waiting.
    waiting = setTimeout(() => {
      if (live.ring.size === 0 && asked.value === null) void load();
    }, STREAM_WAIT_MS);
  }

  function leave(): void {
    users -= 1;
    if (users > 0) return;
    clearTimeout(waiting);
    clearInterval(noting);
    forget();
    pastSpan.value = null;
    clear();
    pastEpisodes.value = [];
    fresh.value = [];
  }

  watch(
    () => JSON.stringify(time.range),
    () => {
      if (users > 0) restart();
    },
  );
  watch(
    () => live.version,
    () => {
      if (users > 0 && following.value && lacksPast()) void load();
    },
  );
  // The store can fill the hole that a pause of the connection has left.
  watch(
    () => live.restarts,
    (_, before) => {
      if (users > 0 && following.value && before > 0 && asked.value !== null) void load();
    },
  );

  // A stream that begins, or what is stored meanwhile of a machine that is not heard live.
  watch(following, () => {
    if (users > 0) restart();
  });
  watch(
    () => fleet.newest,
    () => {
      if (users > 0 && time.following && !following.value) void load();
    },
  );

  return {
    following,
    span,
    version,
    loads,
    width,
    spacing,
    interval,
    documents,
    peaks,
    episodes,
    busy,
    complete,
    coming,
    error,
    hasData,
    isEmpty,
    pointed,
    series,
    columns,
    each,
    names,
    histogramNames,
    reading,
    newest,
    average,
    peak,
    reload: load,
    enterView,
    enter,
    leave,
  };
});
