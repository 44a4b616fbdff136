/** An SVG path through `values`, left to right, with breaks at absent ones. */
export function sparkPath(
  values: ArrayLike<number>,
  width: number,
  height: number,
  max: number | null = null,
): string {
  const count = values.length;
  if (count < 2) return '';
  let top = max ?? 0;
  if (max === null) for (let i = 0; i < count; i += 1) top = Math.max(top, values[i] ?? 0);
  if (!(top > 0)) top = 1;
  let path = '';
  let pen = false;
  for (let i = 0; i < count; i += 1) {
    const value = values[i] ?? NaN;
    if (Number.isNaN(value)) {
      pen = false;
      continue;
    }
    const x = (i / (count - 1)) * width;
    const y = height - 1 - (Math.min(value, top) / top) * (height - 2);
    path += `${pen ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return path;
}
