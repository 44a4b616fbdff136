/** A phone, and fingers on it. */
export const phone = { width: 390, height: 844, hasTouch: true, isMobile: true };

/** `touch('touchMove', [x, y], …)`: where each finger is; none at the end. */
export async function fingers(page) {
  const cdp = await page.context().newCDPSession(page);
  return (type, ...places) =>
    cdp.send('Input.dispatchTouchEvent', { type, touchPoints: places.map(([x, y], id) => ({ id, x, y })) });
}
