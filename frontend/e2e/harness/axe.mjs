/** Accessibility: what axe finds serious on a page, which must be opened with `bypassCSP`. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Axe counts these as moderate; but without them a screen reader does not find its way. */
const landmarks = new Set([
  'landmark-unique',
  'landmark-one-main',
  'landmark-no-duplicate-main',
  'landmark-no-duplicate-banner',
  'page-has-heading-one',
  'heading-order',
]);

export async function seriousViolations(page) {
  // The page's CSP forbids foreign scripts.
  await page.addScriptTag({ content: axe });
  const { violations } = await page.evaluate(async () => await globalThis.axe.run());
  return violations
    .filter(({ id, impact }) => impact === 'serious' || impact === 'critical' || landmarks.has(id))
    .map(({ id, help, nodes }) => ({
      id,
      help,
      where: nodes.slice(0, 4).map((node) => node.html.slice(0, 160)),
    }));
}
