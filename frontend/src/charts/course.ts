import type { Num } from '@/api/types';

/** An SVG path of bars from the left to the right edge; none where nothing was measured. */
export function coursePath(course: readonly Num[], width: number, height: number): string {
  const top = Math.max(1, ...course.map((value) => value ?? 0));
  const step = width / course.length;
  const gap = Math.min(1, step / 5);
  let path = '';
  course.forEach((value, i) => {
    if (typeof value !== 'number') return;
    // A trace of what is there at all.
    const size = value > 0 ? Math.max(1, (value / top) * height) : 0.4;
    path += `M${(i * step).toFixed(1)} ${height.toString()}v${(-size).toFixed(1)}h${(step - gap).toFixed(1)}V${height.toString()}z`;
  });
  return path;
}
