/** The keys of the time bar, wherever the focus is, except where text is entered. */
import { onScopeDispose } from 'vue';
import { useRouter } from 'vue-router';
import { useCursorStore } from '@/stores/cursor';
import { useTimeStore } from '@/stores/time';
import { movedBy } from './useCrosshair';

export const shortcuts = [
  { keys: ['?'], does: 'Show the keyboard shortcuts' },
  { keys: ['←', '→'], does: 'Move the crosshair; with Shift ten times as far' },
  { keys: ['+', '-'], does: 'Zoom in, zoom out' },
  { keys: ['[', ']'], does: 'Earlier, later' },
  { keys: ['l'], does: 'Back to live' },
  { keys: ['b'], does: 'Back to the previous range' },
  { keys: ['t'], does: 'Choose a range' },
  { keys: ['Esc'], does: 'Remove the crosshair or the selection' },
] as const;

/** Steps of the crosshair across the range. */
const STEPS = 300;

function takesText(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest('input, select, textarea, dialog, [role=region], [role=table]') !== null
  );
}

export function useShortcuts(open: { help: () => void; picker: () => void }): void {
  const time = useTimeStore();
  const cursor = useCursorStore();
  const router = useRouter();

  const keys: Record<string, () => void> = {
    '?': open.help,
    t: open.picker,
    l: time.goLive,
    b: () => {
      if (time.hasEarlier) router.back();
    },
    '[': () => {
      time.panBy(-0.5);
    },
    ']': () => {
      if (!time.following) time.panBy(0.5);
    },
    '+': () => {
      time.zoomBy(true, cursor.time);
    },
    '=': () => {
      time.zoomBy(true, cursor.time);
    },
    '-': () => {
      time.zoomBy(false, cursor.time);
    },
    Escape: () => {
      cursor.time = null;
    },
  };

  function onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (takesText(event.target)) return;
    const run = keys[event.key];
    if (run !== undefined) {
      event.preventDefault();
      run();
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
