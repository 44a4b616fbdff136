/** Everything that can be searched, as it was when the search was opened. */
import { computed, onScopeDispose, shallowRef } from 'vue';
import { useRoute, type RouteLocationRaw } from 'vue-router';
import type { ListedProcess } from '@/api/types';
import { metricName } from '@/format/fields';
import { boardQuery, hasField, toggleField } from '@/series/board';
import type { Entry } from '@/series/catalogue';
import { parseView, viewQuery } from '@/series/historyView';
import { describeHost } from '@/series/fleet';
import type { Item } from '@/series/search';
import { titleOf } from '@/series/who/group';
import { liveRows, rankedRows, type WhoRow } from '@/series/who/rows';
import { useBoardsStore } from '@/stores/boards';
import { useClockStore } from '@/stores/clock';
import { useFleetStore } from '@/stores/fleet';
import { useHistoryStore } from '@/stores/history';
import { useLiveStore } from '@/stores/live';
import { useProcessesStore } from '@/stores/processes';
import { useTimeStore } from '@/stores/time';
import { useCatalogue } from './useCatalogue';
import { useHostSwitch } from './useHostSwitch';

export interface Target extends Item {
  to: RouteLocationRaw;
}

export interface Links {
  pages: readonly { to: string; label: string }[];
  /** The page of a process, name or cgroup; null if it has none. */
  ofRow: (row: WhoRow) => RouteLocationRaw | null;
}

/** Of processes that have exited, those that used the most CPU in the last day are found. */
const DAY_MS = 86_400_000;
const MAX_EXITED = 300;

const NONE = { processes: [] as ListedProcess[] };

const rowKinds = { cgroup: 'group', name: 'name', process: 'process' } as const;

function describe(row: WhoRow): { title: string; detail: string } {
  if (row.kind === 'cgroup') {
    const { kind } = titleOf(row.id, row.group);
    return { title: row.name, detail: [kind, row.id].filter((part) => part !== '').join(' · ') };
  }
  if (row.kind === 'name') {
    const count = row.used.processes ?? 0;
    return { title: row.name, detail: count === 1 ? '1 process' : `${count.toString()} processes` };
  }
  return { title: `${row.name} (${(row.pid ?? 0).toString()})`, detail: row.command ?? '' };
}

export function useSearchItems({ pages, ofRow }: Links) {
  const boards = useBoardsStore();
  const clock = useClockStore();
  const fleet = useFleetStore();
  const history = useHistoryStore();
  const live = useLiveStore();
  const processes = useProcessesStore();
  const route = useRoute();
  const time = useTimeStore();
  const { entries, busy: readsFields, refresh } = useCatalogue();
  const running = shallowRef<readonly ListedProcess[] | null>(null);
  const ofDay = shallowRef<readonly WhoRow[]>([]);
  const pending = shallowRef(3);
  const request = new AbortController();
  onScopeDispose(() => {
    request.abort();
  });

  void refresh();
  void boards.load().finally(() => (pending.value -= 1));
  // What is not heard live has only those that ran within the last day.
  const isLive = time.isStreamed || live.hasData || !fleet.isHub;
  void (isLive ? processes.once(request.signal) : Promise.resolve(NONE))
    .then((found) => (running.value = found.processes.filter(({ exited }) => exited !== true)))
    .catch(() => null)
    .finally(() => (pending.value -= 1));
  const now = fleet.isHub ? time.now() : clock.now();
  const busiest = {
    whose: {},
    by: 'process',
    order: 'cpu_percent',
    limit: MAX_EXITED,
    from: now - DAY_MS,
    to: now,
  } as const;
  void history
    .ranking(busiest, request.signal)
    .then((answer) => (ofDay.value = rankedRows(answer)))
    .catch(() => null)
    .finally(() => (pending.value -= 1));

  /** On a board the field is added to it. */
  function openField({ metric, path }: Entry): RouteLocationRaw {
    if (route.path !== '/history') {
      return { path: '/history', query: { ...boardQuery([{ metric, fields: [path] }]), ...time.parameters } };
    }
    const view = parseView(route.query);
    const panels = hasField(view.panels, metric, path) ? view.panels : toggleField(view.panels, metric, path);
    const mode = view.mode === 'changes' ? 'board' : view.mode;
    return { path: '/history', query: { ...viewQuery({ ...view, mode, panels }), ...time.parameters } };
  }

  const ofPages = computed<Target[]>(() => {
    const inHistory = (mode: string) => ({ path: '/history', query: { mode, ...time.parameters } });
    const ofHistory = [
      { title: 'Compare', detail: 'History', to: inHistory('compare') },
      { title: 'What changed', detail: 'History', to: inHistory('changes') },
    ];
    return [
      ...pages.map(({ to, label }) => ({ title: label, detail: '', to })),
      ...(pages.some(({ to }) => to === '/history') ? ofHistory : []),
    ].map((page) => ({ kind: 'page', ...page }));
  });
  const { targetOf } = useHostSwitch();
  const ofHosts = computed<Target[]>(() =>
    (fleet.hosts ?? []).map((host) => {
      const { title, detail } = describeHost(host, fleet.known.get(host.id)?.labels);
      return { kind: 'host', title, detail, to: targetOf(host.id) };
    }),
  );
  const ofBoards = computed<Target[]>(() =>
    (boards.boards ?? []).map(({ name, panels }) => ({
      kind: 'board',
      title: name,
      detail: '',
      to: { path: '/history', query: { ...boardQuery(panels, name), ...time.parameters } },
    })),
  );
  const ofProcesses = computed<Target[]>(() => {
    const all = running.value ?? [];
    return (['cgroup', 'name', 'process'] as const).flatMap((kind) =>
      liveRows(all, kind).flatMap((row): Target[] => {
        const to = ofRow(row);
        return to === null ? [] : [{ kind: rowKinds[kind], ...describe(row), to }];
      }),
    );
  });
  const ofExited = computed<Target[]>(() => {
    if (running.value === null) return [];
    const known = new Set(running.value.map(({ pid, comm }) => `${pid.toString()} ${comm}`));
    return ofDay.value.flatMap((row): Target[] => {
      const to = ofRow(row);
      if (to === null || row.pid === null || known.has(`${row.pid.toString()} ${row.id}`)) return [];
      const { title, detail } = describe(row);
      return [{ kind: 'process', title, detail: ['exited', detail].filter(Boolean).join(' · '), to }];
    });
  });
  const ofFields = computed<Target[]>(() =>
    entries.value.map((entry) => ({
      kind: 'field',
      title: `${metricName(entry.metric)}: ${entry.name}`,
      detail: entry.help,
      to: openField(entry),
    })),
  );

  return {
    items: computed(() =>
      [ofPages, ofHosts, ofBoards, ofProcesses, ofExited, ofFields].flatMap(({ value }) => value),
    ),
    busy: computed(() => pending.value > 0 || readsFields.value),
  };
}
