/** The keys of the time bar, wherever the focus is, except where text is entered. */
import { onScopeDispose } from 'vue';
import { useCursorStore } from '@/stores/cursor';
import { useTimeStore } from '@/stores/time';
import { movedBy } from './useCrosshair';
import { useOpenProfile } from './useOpenProfile';
import { useOpenWho } from './useOpenWho';
import { useTimeSteps } from './useTimeSteps';

/** Steps of the crosshair across the range. */
const STEPS = 300;

function takesText(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest('input, select, textarea, [role=region], [role=table]') !== null
  );
}

export function useShortcuts(open: {
  help: () => void;
  picker: () => void;
  search: () => void;
  hosts: () => void;
}): void {
  const time = useTimeStore();
  const cursor = useCursorStore();
  const { openMoment, openRange } = useOpenWho();
  const { openProfile } = useOpenProfile();
  const steps = useTimeSteps();

  const keys: Record<string, () => void> = {
    '?': open.help,
    t: open.picker,
    '/': open.search,
    h: open.hosts,
    w: () => {
      if (cursor.time === null) openRange(time.range);
      else openMoment(cursor.time);
    },
    p: () => {
      openProfile(time.range);
    },
    l: time.goLive,
  };

  function onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (takesText(event.target) || document.querySelector('dialog[open]') !== null) return;
    // It keeps its own meaning, too.
    if (event.key === 'Escape') cursor.time = null;
    const key = event.key === '=' ? '+' : event.key;
    const step = steps.value.find((one) => one.key === key);
    const run = step?.run ?? keys[key];
    if (run !== undefined) {
      event.preventDefault();
      if (step?.off !== true) run();
      return;
    }
    if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
    const next = movedBy(event, cursor.time, time.span, time.length / STEPS);
    if (next === undefined) return;
    event.preventDefault();
    cursor.time = next;
  }

  window.addEventListener('keydown', onKey);
  onScopeDispose(() => {
    window.removeEventListener('keydown', onKey);
  });
}
