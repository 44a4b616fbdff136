/** Keeps a canvas showing the frames of a scene: at most one drawing for each frame of the browser. */
import { onScopeDispose, shallowRef, watch, type Ref } from 'vue';
import { paint, ROW, type Scene, type Window } from '@/flame/draw';
import { viewOf, type View } from '@/flame/layout';
import { at } from '@/flame/tree';
import { useObserver } from './useObserver';

const ZOOM_MS = 180;
const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

export function useFlameCanvas(
  canvas: Readonly<Ref<HTMLCanvasElement | null>>,
  scroller: Readonly<Ref<HTMLElement | null>>,
  scene: () => Omit<Scene, 'view'>,
  isFlame: () => boolean,
) {
  const size = shallowRef({ width: 0, height: 0 });
  let view: View = { from: 0, to: 1 };
  let motion: { from: View; began: number } | null = null;
  let pending: number | null = null;

  /** The height of all rows that the zoomed frame may need. */
  const wholeHeight = (): number => {
    const { tree, zoomed } = scene();
    return (at(tree.deepest, zoomed) + 1) * ROW;
  };

  function currentWindow(): Window {
    const { width, height } = size.value;
    const whole = Math.max(wholeHeight(), height);
    return { width, height, top: scroller.value?.scrollTop ?? 0, whole, isFlame: isFlame() };
  }

  function moved(now: number): View {
    const { tree, zoomed } = scene();
    const target = viewOf(tree, zoomed);
    if (motion === null) return target;
    const share = (now - motion.began) / ZOOM_MS;
    if (share >= 1) {
      motion = null;
      return target;
    }
    const eased = 1 - (1 - Math.max(0, share)) ** 3;
    const between = (a: number, b: number): number => a + (b - a) * eased;
    return { from: between(motion.from.from, target.from), to: between(motion.from.to, target.to) };
  }

  function draw(now: number): void {
    pending = null;
    const element = canvas.value;
    const context = element?.getContext('2d');
    const { width, height } = size.value;
    if (!element || !context || width === 0 || height === 0) return;
    const ratio = window.devicePixelRatio;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (element.width !== columns || element.height !== rows) {
      element.width = columns;
      element.height = rows;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    view = moved(now);
    paint(context, { ...scene(), view }, currentWindow());
    if (motion !== null) request();
  }

  function request(): void {
    pending ??= requestAnimationFrame(draw);
  }

  const sizes = new ResizeObserver(() => {
    size.value = { width: scroller.value?.clientWidth ?? 0, height: scroller.value?.clientHeight ?? 0 };
    // At once: a resized canvas is empty.
    draw(performance.now());
  });
  useObserver(scroller, sizes);
  watch(scene, request, { flush: 'post' });
  watch(isFlame, request, { flush: 'post' });
  watch(
    () => scene().zoomed,
    () => {
      if (!calm.matches) motion = { from: view, began: performance.now() };
    },
  );
  // Another tree has other units.
  watch(
    () => scene().tree,
    () => {
      motion = null;
    },
  );
  onScopeDispose(() => {
    if (pending !== null) cancelAnimationFrame(pending);
  });

  return { size, wholeHeight, currentWindow, request, view: () => view };
}
