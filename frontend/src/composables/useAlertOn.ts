/** From a chart to a rule on what it shows: a card or panel says which fields, whatever is in it makes the link. */
import { inject, provide, type InjectionKey } from 'vue';
import { boardQuery, type Panel } from '@/series/board';
import { isLive, lengthText } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useTimeStore } from '@/stores/time';

const PANELS: InjectionKey<() => readonly Panel[]> = Symbol('panels');

/** What charts inside this component show. */
export function offerAlert(panels: () => readonly Panel[]): void {
  provide(PANELS, panels);
}

/** Where a rule on the fields of some panels is made; tried on as much of the past as has been looked at. */
export function useAlertOn(given?: () => readonly Panel[]) {
  const panels = given ?? inject(PANELS, () => []);
  const clock = useClockStore();
  const time = useTimeStore();

  const isOffered = (): boolean => panels().length > 0;
  function place(from?: number) {
    const start = from ?? (isLive(time.range) ? null : time.range.from);
    const length = start === null ? time.length : clock.now() - start;
    const range = lengthText(Math.max(1000, length));
    return { path: '/alerts/new', query: { ...boardQuery(panels()), range } };
  }
  return { panels, isOffered, place };
}
