/** The steps through time that the time bar and its keys offer. */
import { computed } from 'vue';
import { useRouter } from 'vue-router';
import { useCursorStore } from '@/stores/cursor';
import { useTimeStore } from '@/stores/time';

export interface TimeStep {
  sign: string;
  label: string;
  key: string;
  run: () => void;
  off: boolean;
}

/** Of the range's length. */
const STEP_SHARE = 0.5;

export function useTimeSteps() {
  const time = useTimeStore();
  const cursor = useCursorStore();
  const router = useRouter();

  const panBy = (share: number) => (): void => {
    time.panBy(share);
  };
  /** Around the crosshair, if there is one. */
  const zoom = (closer: boolean) => (): void => {
    time.zoomBy(closer, cursor.time);
  };
  const back = (): void => {
    router.back();
  };

  return computed<TimeStep[]>(() => [
    { sign: '‹', label: 'Earlier', key: '[', run: panBy(-STEP_SHARE), off: false },
    { sign: '›', label: 'Later', key: ']', run: panBy(STEP_SHARE), off: time.following },
    { sign: '−', label: 'Zoom out', key: '-', run: zoom(false), off: false },
    { sign: '+', label: 'Zoom in', key: '+', run: zoom(true), off: false },
    { sign: '↶', label: 'Back to the previous range', key: 'b', run: back, off: !time.hasEarlier },
  ]);
}
