/** Boards of History, and the search that leads everywhere. */
import assert from 'node:assert/strict';
import { accounted, measured } from '../harness/accounts.mjs';
import { NamedHog } from '../harness/load.mjs';
import { Person } from '../harness/person.mjs';
import { fingers, phone } from '../harness/touch.mjs';
import { eventually, skip, test, testOnEachStore } from '../harness/suite.mjs';

const chart = (page, name) => page.getByRole('img', { name });
const titles = (page) => page.locator('.board > section h2').allInnerTexts();
const live = (page) => page.getByText('Live, every 1 s').first();

async function shows(page, wanted) {
  await eventually(
    wanted.join(' | '),
    async () => JSON.stringify(await titles(page)) === JSON.stringify(wanted),
  );
}

test('board: fields of any metric become panels that move and go, and Back undoes it', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/history?p=memory:usage_percent&range=15m');
  await page.getByRole('button', { name: 'Add panels…' }).click();
  const picker = page.getByRole('dialog', { name: 'Fields' });
  await picker.getByLabel('Search fields').fill('cpu steal');
  // Named once, with what it means.
  const steal = picker.getByRole('checkbox', { name: /^Steal/ });
  await steal.check();
  await picker.getByText('%', { exact: true }).first().waitFor();
  assert.equal(await steal.count(), 1);
  await picker.getByLabel('Search fields').fill('page-faults');
  await picker.getByRole('checkbox').first().check();
  await picker.getByRole('button', { name: 'Done' }).click();
  await shows(page, ['Memory: Usage', 'CPU: Steal', 'Hardware counters: page-faults']);
  await chart(page, /page-faults/).waitFor();

  await page.getByRole('button', { name: 'Move earlier: CPU: Steal' }).click();
  await shows(page, ['CPU: Steal', 'Memory: Usage', 'Hardware counters: page-faults']);
  await page.getByRole('button', { name: 'Fields: CPU: Steal' }).click();
  await picker.getByLabel('Search fields').fill('usage');
  await picker.getByRole('checkbox', { name: /^Usage/ }).check();
  await picker.getByRole('button', { name: 'Done' }).click();
  await shows(page, ['CPU: Steal, Usage', 'Memory: Usage', 'Hardware counters: page-faults']);
  await page.getByRole('button', { name: 'Remove: Memory: Usage' }).click();
  await shows(page, ['CPU: Steal, Usage', 'Hardware counters: page-faults']);

  const address = page.url();
  await page.goBack();
  await shows(page, ['CPU: Steal, Usage', 'Memory: Usage', 'Hardware counters: page-faults']);
  await page.goto(address);
  await shows(page, ['CPU: Steal, Usage', 'Hardware counters: page-faults']);
  for (const title of ['CPU: Steal, Usage', 'Hardware counters: page-faults'])
    await page.getByRole('button', { name: `Remove: ${title}` }).click();
  await page.getByText('This board is empty.').waitFor();
  assert.deepEqual(page.problems, []);
});

/** The library that moves panels is loaded after them, and marks the list as its own. */
const canDrag = (page) =>
  page.waitForFunction(() => {
    const board = document.querySelector('.board');
    return board !== null && Object.keys(board).some((name) => name.startsWith('Sortable'));
  });

/** Drags the middle of an element's handle to the middle of another. */
async function drag(page, from, to) {
  const [start, end] = [await from.boundingBox(), await to.boundingBox()];
  const middle = ({ x, y, width, height }) => [x + width / 2, y + height / 2];
  await page.mouse.move(...middle(start));
  await page.mouse.down();
  await page.mouse.move(...middle(end), { steps: 12 });
  await page.mouse.up();
}

test('board: panels are moved by dragging and by keys, and the address has their order', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session, reducedMotion: 'reduce' });
  const panels = ['cpu:user', 'cpu:system', 'cpu:iowait'].map((panel) => `p=${panel}`);
  await page.goto(`/history?${panels.join('&')}&range=15m`);
  await shows(page, ['CPU: User', 'CPU: System', 'CPU: I/O wait']);
  const grip = (name) => page.getByRole('button', { name: `Place of CPU: ${name}` });
  const order = () => new URL(page.url()).searchParams.getAll('p').join(' ');
  for (const name of ['User', 'System', 'I/O wait']) await chart(page, new RegExp(`^CPU: ${name}`)).waitFor();

  await canDrag(page);
  await drag(page, grip('User'), page.getByRole('heading', { name: 'CPU: I/O wait' }));
  await eventually('the first panel at the end', async () => order() === 'cpu:system cpu:iowait cpu:user');
  await shows(page, ['CPU: System', 'CPU: I/O wait', 'CPU: User']);

  await grip('User').focus();
  await page.keyboard.press('ArrowLeft');
  await shows(page, ['CPU: System', 'CPU: User', 'CPU: I/O wait']);
  await page.keyboard.press('ArrowUp');
  await shows(page, ['CPU: User', 'CPU: System', 'CPU: I/O wait']);
  await page.getByRole('status').filter({ hasText: 'Moved to place 1 of 3' }).waitFor({ state: 'attached' });
  assert.ok(await grip('User').evaluate((button) => button === document.activeElement));
  await page.goBack();
  await page.goBack();
  await shows(page, ['CPU: System', 'CPU: I/O wait', 'CPU: User']);
  assert.deepEqual(page.problems, []);
});

test('board: a finger moves a panel', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session, ...phone, reducedMotion: 'reduce' });
  await page.goto('/history?p=cpu:user&p=memory:usage_percent&range=15m');
  await shows(page, ['CPU: User', 'Memory: Usage']);
  await chart(page, /^Memory: Usage/).waitFor();
  await canDrag(page);
  const touch = await fingers(page);
  const lower = page.getByRole('button', { name: 'Place of Memory: Usage' });
  await lower.scrollIntoViewIfNeeded();
  const grip = await lower.boundingBox();
  const above = await page.getByRole('heading', { name: 'CPU: User' }).boundingBox();
  const at = (share) => [grip.x + grip.width / 2, grip.y + grip.height / 2 + (above.y - grip.y) * share];
  await touch('touchStart', at(0));
  for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 1]) await touch('touchMove', at(share));
  await touch('touchEnd');
  await eventually(
    'the second panel first',
    async () => new URL(page.url()).searchParams.getAll('p')[0] === 'memory:usage_percent',
  );
  await shows(page, ['Memory: Usage', 'CPU: User']);
  assert.deepEqual(page.problems, []);
});

test('board: every card of the dashboard opens in History', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await live(page).waitFor();
  const links = page.getByRole('link', { name: /^Open .* in History$/ });
  await links.first().waitFor();
  const count = await links.count();
  assert.ok(count >= 6, String(count));
  for (let i = 0; i < count; i += 1) {
    const link = links.nth(i);
    const title = /^Open (.*) in History$/.exec(await link.getAttribute('aria-label'))[1];
    await link.click();
    await page.waitForURL((url) => url.pathname === '/history');
    await eventually(`panels of ${title}`, async () => (await titles(page)).length > 0);
    await page.goBack();
    await links.first().waitFor();
  }
  assert.deepEqual(page.problems, []);
});

testOnEachStore('board: it is saved, opened, replaced and deleted', async ({ browser, server, session }) => {
  const page = await browser.page({ server, session });
  await page.goto('/history?p=cpu:user&p=memory:usage_percent&range=15m');
  const button = page.getByRole('button', { name: 'Boards…' });
  const dialog = page.getByRole('dialog', { name: 'Saved boards' });
  await button.click();
  await dialog.getByText('None saved yet.').waitFor();
  await dialog.getByLabel('Save this board as').fill('Nights / weekends');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.getByText('Saved as Nights / weekends.').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('heading', { name: /Nights \/ weekends/ }).waitFor();

  await page.goto('/history?range=1h');
  await button.click();
  await dialog.getByRole('link', { name: 'Nights / weekends' }).click();
  await shows(page, ['CPU: User', 'Memory: Usage']);
  assert.equal(new URL(page.url()).searchParams.get('range'), '1h');
  await page.goto('/settings');
  await page.getByRole('heading', { name: 'Settings' }).waitFor();
  await page.keyboard.press('/');
  await page.getByRole('combobox', { name: 'Search everything' }).fill('nights');
  await page.getByRole('option', { name: /^Nights/ }).waitFor();
  await page.keyboard.press('Enter');
  await shows(page, ['CPU: User', 'Memory: Usage']);
  await page.getByRole('button', { name: 'Remove: Memory: Usage' }).click();
  await shows(page, ['CPU: User']);
  await button.click();
  await dialog.getByRole('button', { name: 'Replace' }).click();
  await dialog.getByText('1 panel').waitFor();
  // A name that could be mistaken is refused with the reason.
  await dialog.getByLabel('Save this board as').fill('ad\u202enim');
  await dialog.getByRole('button', { name: 'Save', exact: true }).click();
  await dialog.getByText(/Expected 1 to 64 visible characters/).waitFor();
  await dialog.getByRole('button', { name: 'Delete Nights / weekends' }).click();
  await dialog.getByText('None saved yet.').waitFor();
  // The browser itself reports the refused request.
  assert.deepEqual(
    page.problems.filter((text) => !text.includes('422')),
    [],
  );
});

test('board: a large one is loaded in turn, and the server refuses nothing', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  const query = new URLSearchParams({ range: '1h' });
  for (let i = 0; i < 12; i += 1) {
    query.append('p', 'scheduler:runqueue_wait.histogram');
    query.append('p', 'cpu:usage_percent,per_core');
  }
  const refused = [];
  page.on('response', (response) => {
    if (response.status() >= 400) refused.push(response.url());
  });
  await page.goto(`/history?${query}`);
  await eventually('24 panels', async () => (await titles(page)).length === 24);
  await eventually(
    'no skeleton left',
    async () => (await page.locator('.board .skeleton:visible').count()) === 0,
  );
  assert.deepEqual(refused, []);
  assert.deepEqual(page.problems, []);
});

test('legend: entries switch their series off and on, also by keyboard', async ({
  browser,
  server,
  session,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=1m');
  await live(page).waitFor();
  const card = page.locator('#cpu');
  const entry = card.getByRole('button', { name: /^User/ });
  assert.equal(await entry.getAttribute('aria-pressed'), 'true');
  // The colour of “User” is drawn, or not.
  const blue = () =>
    card
      .locator('canvas')
      .first()
      .evaluate((canvas) => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4)
          if (data[i] < 90 && data[i + 1] < 150 && data[i + 2] > 200 && data[i + 3] > 100) count += 1;
        return count;
      });
  const before = await eventually('a blue area', async () => {
    const count = await blue();
    return count > 100 && count;
  });
  await entry.focus();
  await page.keyboard.press('Space');
  assert.equal(await entry.getAttribute('aria-pressed'), 'false');
  // Where other colours meet, a few pixels look blue.
  await eventually('no blue area', async () => (await blue()) < before / 10);
  await entry.click();
  await eventually('a blue area again', async () => (await blue()) > before / 2);
  assert.deepEqual(page.problems, []);
});

test('heat strips say what is under the pointer, and under a finger', async ({
  browser,
  server,
  session,
}) => {
  for (const hasTouch of [false, true]) {
    const page = await browser.page({ server, session, hasTouch });
    await page.goto('/?range=1m');
    await live(page).waitFor();
    const strip = chart(page, /^Usage of \d+ cores?/);
    const tip = page.locator('#cpu [data-tip]');
    // Content above may still load and move it, also out of view.
    await eventually('the core', async () => {
      await strip.scrollIntoViewIfNeeded();
      const { x, y, width, height } = await strip.boundingBox();
      const [across, down] = [x + width - 12, y + height - 2];
      await (hasTouch ? page.touchscreen.tap(across, down) : page.mouse.move(across, down));
      return (await tip.isVisible()) && /^core \d+, [\d.]+ %$/.test(await tip.innerText());
    });
    assert.match(await strip.getAttribute('aria-label'), /core \d+, [\d.]+ %/);
    assert.deepEqual(page.problems, []);
    await page.close();
  }
});

test('search: a slash finds pages, fields and processes by keyboard alone', async ({
  browser,
  server,
  session,
  cleanup,
}) => {
  const page = await browser.page({ server, session });
  await page.goto('/?range=15m');
  await live(page).waitFor();
  const box = page.getByRole('combobox', { name: 'Search everything' });
  const found = page.getByRole('listbox', { name: 'Found' }).getByRole('option');
  const person = new Person(page);
  const look = async (text) => {
    await person.press('/');
    await box.fill(text);
    await found.first().waitFor();
  };

  await look('settings');
  await person.press('Enter');
  await page.waitForURL((url) => url.pathname === '/settings');
  await look('what changed');
  await person.press('Enter');
  await page.waitForURL((url) => url.searchParams.get('mode') === 'changes');
  assert.equal(new URL(page.url()).searchParams.get('range'), '15m');

  // A field opens in History; another is added to the board that is there.
  await page.goto('/?range=15m');
  await live(page).waitFor();
  await look('cpu steal');
  await person.press('Enter');
  await shows(page, ['CPU: Steal']);
  await look('memory available');
  await eventually('the field', async () => /^Memory: Available/.test(await found.first().innerText()));
  await person.press('Enter');
  await shows(page, ['CPU: Steal', 'Memory: Available']);

  // The arrows choose, and Escape leaves everything as it was.
  await look('cpu');
  await page.keyboard.press('ArrowDown');
  assert.equal(await found.nth(1).getAttribute('aria-selected'), 'true');
  assert.equal(await box.getAttribute('aria-activedescendant'), await found.nth(1).getAttribute('id'));
  await page.keyboard.press('Escape');
  await box.waitFor({ state: 'detached' });
  await shows(page, ['CPU: Steal', 'Memory: Available']);
  // The browser takes the focus off the closed dialog in its next frame.
  await page.waitForFunction(() => document.activeElement === document.body);
  await page.keyboard.press('?');
  await page.getByText(/^Search everything: processes/).waitFor();
  await page.keyboard.press('Escape');

  if (!(await measured(server, session))) skip('processes are not measured on this machine');
  const hog = await NamedHog.start('findme-hog');
  cleanup(() => hog.stop());
  await accounted(server, session, 'findme-hog');
  await look('findme');
  await eventually('the process', async () => (await found.first().innerText()).startsWith('findme-hog'));
  await page.getByRole('option', { name: new RegExp(`^findme-hog \\(${hog.pid}\\)`) }).click();
  await page.waitForURL((url) => url.pathname === `/who/process/${hog.pid}`);
  assert.deepEqual(page.problems, []);
});
