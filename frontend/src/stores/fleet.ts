/**
 * The machines of a fleet, where the server is a hub, and the one of them that the page is about, which the address says.
 * With a single machine there is nothing here.
 */
import { defineStore } from 'pinia';
import { computed, shallowRef } from 'vue';
import { isHub } from '@/api/base';
import * as api from '@/api/fleet';
import { toApiError, useMachine } from '@/api/http';
import type { FleetHost, KnownHost } from '@/api/types';
import { distinct } from '@/series/hosts';
import { first, type Query } from '@/series/range';

/** The last hour of a measure moves on once a minute, and what a machine is hardly changes. */
const MINUTE_MS = 60_000;

export type Courses = NonNullable<FleetHost['courses']>;

export const useFleetStore = defineStore('fleet', () => {
  /** What the address names: an ID or a name. */
  const chosen = shallowRef<string | null>(null);
  /** The last one that it named, for links from pages that are about none. */
  const last = shallowRef<string | null>(null);
  useMachine(() => chosen.value);

  /** By name; null until known. */
  const hosts = shallowRef<readonly FleetHost[] | null>(null);
  const courses = shallowRef<ReadonlyMap<string, Courses>>(new Map());
  const known = shallowRef<ReadonlyMap<string, KnownHost>>(new Map());
  const error = shallowRef<string | null>(null);
  let coursesAt = -Infinity;
  let knownAt = -Infinity;
  let loading: Promise<void> | null = null;
  /** While loading: whether the last hour is wanted as well. */
  let areCoursesWanted = false;

  function find(name: string | null): FleetHost | null {
    const all = hosts.value ?? [];
    return all.find(({ id }) => id === name) ?? all.find((host) => host.name === name) ?? null;
  }
  /** The machines with a label, without the one that the page is about. */
  function membersOf(group: { label: string; value: string }): string[] {
    return (hosts.value ?? [])
      .map(({ id }) => id)
      .filter((id) => id !== current.value?.id && known.value.get(id)?.labels?.[group.label] === group.value);
  }
  const current = computed(() => find(chosen.value));
  const facts = computed(() => known.value.get(current.value?.id ?? '')?.facts ?? null);
  const newest = computed(() => {
    const at = Date.parse(current.value?.newest ?? '');
    return Number.isNaN(at) ? null : at;
  });

  /** What the address of a page says, which is about one machine or about none. */
  function follow(query: Query | null): void {
    chosen.value = isHub && query !== null ? first(query.host) : null;
    if (chosen.value !== null) last.value = chosen.value;
  }

  async function loadKnown(): Promise<void> {
    const answer = await api.hosts();
    known.value = new Map(answer.hosts.map((host) => [host.id, host]));
  }

  async function ask(withCourses: boolean): Promise<void> {
    const now = performance.now();
    const wantsCourses = withCourses && now - coursesAt > MINUTE_MS;
    try {
      const [answer] = await Promise.all([
        api.overview(wantsCourses),
        now - knownAt > MINUTE_MS ? loadKnown().then(() => (knownAt = now)) : null,
      ]);
      hosts.value = distinct(answer.hosts);
      if (wantsCourses) {
        courses.value = new Map(answer.hosts.map((host) => [host.id, host.courses ?? {}]));
        coursesAt = now;
      }
      error.value = null;
    } catch (caught) {
      error.value = toApiError(caught).message;
    }
    if (!areCoursesWanted) return;
    areCoursesWanted = false;
    await ask(true);
  }

  /** `withCourses`: also the last hour, if what is known of it is out of date. */
  async function load(withCourses = false): Promise<void> {
    if (!isHub) return;
    areCoursesWanted ||= withCourses && loading !== null;
    loading ??= ask(withCourses).finally(() => (loading = null));
    await loading;
  }

  /** Of a user who is gone: another may see other machines. */
  function forget(): void {
    hosts.value = null;
    courses.value = new Map();
    known.value = new Map();
    last.value = null;
    coursesAt = knownAt = -Infinity;
  }

  return {
    isHub,
    chosen,
    last,
    hosts,
    courses,
    known,
    current,
    facts,
    newest,
    error,
    find,
    membersOf,
    follow,
    load,
    forget,
  };
});
