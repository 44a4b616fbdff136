/** A step line through bins of equal width, as an SVG path in a box of `width` by `height`. */
export function stepPath(shares: readonly number[], peak: number, width: number, height: number): string {
  if (shares.length === 0 || !(peak > 0)) return '';
  const bin = width / shares.length;
  const y = (share: number): string => (height - (share / peak) * (height - 2)).toFixed(1);
  const steps = shares.map(
    (share, i) => `L${(i * bin).toFixed(1)} ${y(share)}L${((i + 1) * bin).toFixed(1)} ${y(share)}`,
  );
  return `M0 ${height.toString()}${steps.join('')}L${width.toString()} ${height.toString()}`;
}
