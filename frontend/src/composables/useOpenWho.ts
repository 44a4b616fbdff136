/** Opens “Who” for a range, or for the moment under the crosshair. */
import { useRouter } from 'vue-router';
import { rangeQuery, select, type Range } from '@/series/range';
import { useClockStore } from '@/stores/clock';
import { useTimeStore } from '@/stores/time';

/** A moment is as long as one of so many parts of the shown time. */
const PARTS = 200;

export function useOpenWho() {
  const clock = useClockStore();
  const router = useRouter();
  const time = useTimeStore();

  function openRange(range: Range): void {
    void router.push({ path: '/who', query: { ...rangeQuery(range) } });
  }

  function openMoment(at: number): void {
    const half = time.length / PARTS / 2;
    openRange(select(at - half, at + half, clock.now()));
  }

  return { openRange, openMoment };
}
