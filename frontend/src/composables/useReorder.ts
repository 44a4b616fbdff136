/** Lets the children of an element be dragged to another place by their handles, with a mouse, a pen or a finger. */
import { onScopeDispose, watch, type Ref } from 'vue';
import type Sortable from 'sortablejs';

/** A shorter way is a click. */
const MIN_DRAG_PX = 4;
const SLIDE_MS = 150;

/** A copy of an element has none of what is drawn on its canvases. */
function copyCanvases(from: Element, to: Element): void {
  const copies = to.querySelectorAll('canvas');
  from.querySelectorAll('canvas').forEach((canvas, i) => {
    const copy = copies[i];
    if (copy !== undefined && canvas.width > 0 && canvas.height > 0)
      copy.getContext('2d')?.drawImage(canvas, 0, 0);
  });
}

export function useReorder(
  list: Readonly<Ref<HTMLElement | null>>,
  handle: string,
  move: (from: number, to: number) => void,
): void {
  let sortable: Sortable | null = null;

  async function attach(element: HTMLElement): Promise<void> {
    const { default: Library } = await import('sortablejs');
    if (list.value !== element) return;
    const isStill = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
    let next: Node | null = null;
    sortable = Library.create(element, {
      handle,
      animation: isStill ? 0 : SLIDE_MS,
      // The same for mice and fingers; browsers' own dragging is only for mice.
      forceFallback: true,
      fallbackTolerance: MIN_DRAG_PX,
      ghostClass: 'drop-place',
      fallbackClass: 'dragged',
      onStart: ({ item }) => {
        next = item.nextSibling;
        if (Library.ghost !== null) copyCanvases(item, Library.ghost);
      },
      onEnd: ({ item, oldDraggableIndex: from, newDraggableIndex: to }) => {
        // Vue moves what the page is made of.
        element.insertBefore(item, next);
        if (from !== undefined && to !== undefined && from !== to) move(from, to);
      },
    });
  }
  function detach(): void {
    sortable?.destroy();
    sortable = null;
  }

  watch(
    list,
    (element) => {
      detach();
      if (element !== null) void attach(element);
    },
    { immediate: true, flush: 'post' },
  );
  onScopeDispose(detach);
}
