import { describe, expect, it } from 'vitest';
import { changeOf, modulesOf, paintedFrames } from '@/flame/colours';
import { clipped, depthAt, rowTop } from '@/flame/draw';
import { functionAmounts, neighboursOf } from '@/flame/functions';
import { eachVisible, frameAt, neighbour, viewOf } from '@/flame/layout';
import { readingOf } from '@/flame/reading';
import { changedRows, plainRows, sortedRows } from '@/flame/rows';
import { matchedAmount, matchesOf, patternOf } from '@/flame/search';
import {
  at,
  frameHashes,
  functionHash,
  hashIn,
  hashText,
  pathOf,
  ROOT,
  treeOf,
  type FlameTree,
} from '@/flame/tree';
import { parseProfileView, profileQuery, type ProfileView } from '@/series/profileView';
import { amountText, pointsText, stackFacts } from '@/series/profileTexts';

/** Folded stacks with amounts, `process;main;work 5`, as the server's columns. */
function profileOf(
  lines: readonly string[],
  moduleOf = (name: string): string => (name.startsWith('k_') ? '[kernel]' : 'app'),
) {
  const functions: { name: string; module: string }[] = [];
  const indices = new Map<string, number>();
  const nodes = { parent: [0], function: [-1], self: [0] };
  const known = new Map<string, number>([['', 0]]);
  for (const line of lines) {
    const [, stack, amount] = /^(.*) (\d+)$/.exec(line) ?? [];
    let [path, node] = ['', 0];
    for (const [depth, name] of (stack ?? '').split(';').entries()) {
      const module = depth === 0 ? '[process]' : moduleOf(name);
      const key = `${name} ${module}`;
      if (!indices.has(key)) indices.set(key, functions.push({ name, module }) - 1);
      path += `;${name}`;
      const found = known.get(path) ?? nodes.parent.push(node) - 1;
      if (!known.has(path)) {
        known.set(path, found);
        nodes.function.push(indices.get(key) ?? -1);
        nodes.self.push(0);
      }
      node = found;
    }
    nodes.self[node] = (nodes.self[node] ?? 0) + Number(amount);
  }
  return { functions, nodes };
}
function grown(lines: readonly string[]): FlameTree {
  const { functions, nodes } = profileOf(lines);
  return treeOf(functions, nodes);
}
const named = (tree: FlameTree, name: string): number => tree.functions.findIndex((one) => one.name === name);
const frame = (tree: FlameTree, name: string): number => tree.fn.indexOf(named(tree, name));

const shop = grown(['shop;main;sort 30', 'shop;main;sort;compare 50', 'shop;main;k_read 15', 'idle;main 5']);

describe('the tree of a profile', () => {
  it('has totals, and the largest callee at the left', () => {
    expect(at(shop.width.total, ROOT)).toBe(100);
    expect(at(shop.width.total, frame(shop, 'sort'))).toBe(80);
    expect(at(shop.width.self, frame(shop, 'sort'))).toBe(30);
    expect(at(shop.left, frame(shop, 'k_read'))).toBe(80);
    expect(at(shop.left, frame(shop, 'idle'))).toBe(95);
    expect([at(shop.depth, frame(shop, 'compare')), at(shop.deepest, ROOT)]).toEqual([4, 4]);
  });

  it('is empty without stacks', () => {
    const none = treeOf([], { parent: [], function: [], self: [] });
    expect([none.fn.length, at(none.width.total, ROOT)]).toEqual([1, 0]);
    expect(plainRows(none, amountText)).toEqual([]);
  });

  it('shows control characters of names as such', () => {
    const tree = treeOf([{ name: 'a\u202eb\n', module: 'c\u0000' }], {
      parent: [0, 0],
      function: [-1, 0],
      self: [0, 1],
    });
    expect(tree.functions[0]).toEqual({ name: 'a\ufffdb\ufffd', module: 'c\ufffd' });
  });

  it('names frames by their callers, the same in every answer', () => {
    const again = grown(['new;main 1', 'idle;main 5', 'shop;main;k_read 15', 'shop;main;sort;compare 50']);
    const hash = frameHashes(shop)[frame(shop, 'compare')]!;
    expect(hashIn(hashText(hash))).toBe(hash);
    expect(frameHashes(again).indexOf(hash)).toBe(frame(again, 'compare'));
    expect(new Set(frameHashes(shop)).size).toBe(shop.fn.length);
    expect(pathOf(shop, frame(shop, 'compare')).length).toBe(5);
    expect(functionHash({ name: 'ab', module: 'c' })).not.toBe(functionHash({ name: 'a', module: 'bc' }));
  });

  it('of a comparison is as wide as the mean of both shares', () => {
    const { functions, nodes } = profileOf(['p;old 0', 'p;new 30', 'p;same 70']);
    const compared = { ...nodes, comparison_self: [0, 0, 5, 0, 5] };
    const tree = treeOf(functions, compared, { total: 100, samples: 100 }, { total: 10, samples: 10 });
    expect(at(tree.width.total, ROOT)).toBeCloseTo(1);
    expect(at(tree.width.total, frame(tree, 'new'))).toBeCloseTo(0.15);
    expect(at(tree.width.total, frame(tree, 'old'))).toBeCloseTo(0.25);
    expect(at(tree.compared!.before.total, frame(tree, 'same'))).toBeCloseTo(0.5);
  });
});

function visible(tree: FlameTree, node: number, pixels: number) {
  const frames: number[] = [];
  const merged: [depth: number, x: number, width: number][] = [];
  eachVisible(tree, viewOf(tree, node), pixels, {
    frame: (one) => frames.push(one),
    merged: (_, depth, x, width) => merged.push([depth, x, width]),
  });
  return { frames, merged };
}

describe('the layout', () => {
  it('has only what is inside of the view, and its callers', () => {
    expect(visible(shop, ROOT, 1000).frames.length).toBe(shop.fn.length);
    const { frames } = visible(shop, frame(shop, 'sort'), 1000);
    expect(frames.toSorted((a, b) => a - b)).toEqual(pathOf(shop, frame(shop, 'compare')));
  });

  it('merges what is too narrow, and never visits what is within', () => {
    const many = grown(['p;large 1000', ...Array.from({ length: 5000 }, (_, i) => `p;f${i.toString()};g 1`)]);
    const { frames, merged } = visible(many, ROOT, 600);
    expect(frames.length).toBe(3);
    expect(merged).toEqual([[2, 100, 500]]);
  });

  it('visits few of twenty thousand frames', () => {
    const lines = Array.from(
      { length: 20_000 },
      (_, i) =>
        `p;a${(i % 7).toString()};b${(i % 1009).toString()};c${i.toString()} ${(1 + (i % 50)).toString()}`,
    );
    const { frames, merged } = visible(grown(lines), ROOT, 1400);
    expect(frames.length + merged.length).toBeLessThan(2500);
  });

  it('finds the frame at a place', () => {
    expect(frameAt(shop, 10, 0, 0)).toBe(ROOT);
    expect(frameAt(shop, 79, 3, 0)).toBe(frame(shop, 'sort'));
    expect(frameAt(shop, 81, 3, 0)).toBe(frame(shop, 'k_read'));
    expect(frameAt(shop, 81, 4, 0)).toBeNull();
    expect(frameAt(shop, 96, 3, 0)).toBeNull();
    expect(frameAt(shop, 81, 3, 16)).toBeNull();
  });

  it('goes to the neighbours as the arrow keys do', () => {
    const sort = frame(shop, 'sort');
    expect(neighbour(shop, sort, 'after')).toBe(frame(shop, 'k_read'));
    expect(neighbour(shop, sort, 'before')).toBe(sort);
    expect(neighbour(shop, sort, 'callee')).toBe(frame(shop, 'compare'));
    expect(neighbour(shop, frame(shop, 'compare'), 'callee')).toBe(frame(shop, 'compare'));
    expect(neighbour(shop, frame(shop, 'shop'), 'caller')).toBe(ROOT);
    expect(neighbour(shop, ROOT, 'caller')).toBe(ROOT);
  });

  it('has rows from above, or from below', () => {
    const icicle = { width: 100, height: 100, top: 20, whole: 200, isFlame: false };
    const flame = { ...icicle, isFlame: true };
    expect([rowTop(icicle, 0), rowTop(icicle, 2), rowTop(flame, 0), rowTop(flame, 9)]).toEqual([
      -20, 20, 160, -20,
    ]);
    for (const window of [icicle, flame]) {
      for (const depth of [0, 3, 9]) expect(depthAt(window, rowTop(window, depth) + 5)).toBe(depth);
    }
  });

  it('clips texts to their room', () => {
    const width = (text: string): number => text.length * 10;
    expect(clipped('abcdef', 60, width)).toBe('abcdef');
    expect(clipped('abcdef', 59, width)).toBe('abcd…');
    expect(clipped('abcdef', 29, width)).toBe('');
  });
});

describe('functions', () => {
  const recursive = grown(['p;f;g;f;g 10', 'p;f 5', 'p;h;g 3']);

  it('count each stack once, however often they are in it', () => {
    const { self, total } = functionAmounts(recursive, recursive.width);
    expect([at(total, named(recursive, 'f')), at(self, named(recursive, 'f'))]).toEqual([15, 5]);
    expect([at(total, named(recursive, 'g')), at(self, named(recursive, 'g'))]).toEqual([13, 13]);
    expect(at(total, named(recursive, 'p'))).toBe(18);
  });

  it('have callers and callees, each stack once', () => {
    const name = ({ fn, amount }: { fn: number; amount: number }) => [recursive.functions[fn]?.name, amount];
    const ofG = neighboursOf(recursive, recursive.width, named(recursive, 'g'));
    expect(ofG.callers.map(name)).toEqual([
      ['f', 10],
      ['h', 3],
    ]);
    expect(ofG.callees.map(name)).toEqual([['f', 10]]);
    const ofF = neighboursOf(recursive, recursive.width, named(recursive, 'f'));
    expect(ofF.callers.map(name)).toEqual([
      ['p', 15],
      ['g', 10],
    ]);
    expect(ofF.callees.map(name)).toEqual([['g', 10]]);
  });

  it('are rows, which can be ordered', () => {
    const rows = plainRows(shop, (ns) => ns.toString());
    expect(rows.map(({ name }) => name)).toEqual(['compare', 'sort', 'k_read', 'main']);
    expect(rows[0]?.self).toEqual({ value: 50, text: '50 %', detail: '50', bar: 1, tone: 'plain' });
    expect(sortedRows(rows, 'total', false)[0]?.name).toBe('main');
    expect(sortedRows(rows, 'name', true)[0]?.name).toBe('sort');
  });

  it('of a comparison are in the order of the server, and rise or fall', () => {
    const change = {
      self_share: 0.4,
      total_share: 0.4,
      comparison_self_share: 0.1,
      comparison_total_share: 0.5,
      is_significant: true,
    };
    const rows = changedRows(shop, [
      { ...change, function: named(shop, 'sort') },
      { ...change, function: named(shop, 'main'), is_significant: false },
      { ...change, function: 999 },
    ]);
    expect(rows.map(({ name, rank, isFaint }) => [name, rank, isFaint])).toEqual([
      ['sort', 0, false],
      ['main', 1, true],
    ]);
    expect(rows[0]?.self).toMatchObject({ text: '+30.0', detail: '10 → 40 %', bar: 1, tone: 'more' });
    expect(rows[0]?.total).toMatchObject({ text: '−10.0', tone: 'less' });
  });
});

describe('the search', () => {
  const share = (tree: FlameTree, text: string): number | string => {
    const pattern = patternOf(text);
    if (pattern === null || 'problem' in pattern) return pattern === null ? 'none' : 'problem';
    return matchedAmount(tree, tree.width, matchesOf(tree, pattern.test));
  };

  it('counts each stack once', () => {
    expect(share(shop, 'sort|compare')).toBe(80);
    expect(share(shop, '^COMPARE$')).toBe(50);
    expect(share(shop, 'kernel')).toBe(15);
    expect(share(grown(['p;f;g;f;g 10', 'p;h 10']), 'f|g')).toBe(10);
    expect(share(shop, 'nothing of this name')).toBe(0);
  });

  it('says what is wrong with an expression, and takes the brackets of C++', () => {
    expect(share(shop, '(')).toBe('problem');
    expect(share(shop, '  ')).toBe('none');
    expect(share(shop, 'operator\\<|so[r]t')).toBe(80);
    const pattern = patternOf('[z-a]');
    expect(pattern !== null && 'problem' in pattern && pattern.problem.length > 5).toBe(true);
  });
});

describe('colours', () => {
  it('are those of modules, and stay', () => {
    const { fills, fillOf } = paintedFrames(shop, 'dark');
    const fill = (name: string) => fills[at(fillOf, frame(shop, name))]?.fill;
    expect(fill('k_read')).not.toBe(fill('sort'));
    const other = paintedFrames(grown(['other;sort 1']), 'dark');
    expect(other.fills[at(other.fillOf, 2)]?.fill).toBe(fill('sort'));
    expect(modulesOf(shop, 'dark', 5).map(({ fn, self }) => [fn.module, self])).toEqual([
      ['app', 85],
      ['[kernel]', 15],
    ]);
  });

  it('tell what rose from what fell, and noise from neither', () => {
    expect(changeOf(0.5, 0, [1000, 1000])).toBe(1);
    expect(changeOf(0, 0.5, [1000, 1000])).toBe(-1);
    expect(changeOf(0.5, 0.5, [1000, 1000])).toBe(0);
    expect(Math.abs(changeOf(0.011, 0.009, [1000, 1000]))).toBeLessThan(0.01);
    expect(changeOf(0, 0, [0, 0])).toBe(0);
  });

  it('have readable text', () => {
    const luminance = (colour: string): number => {
      const channels = colour.startsWith('#')
        ? [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16))
        : (colour.match(/\d+/g) ?? []).map(Number);
      const [r, g, b] = channels.map((one) =>
        one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const lines = Array.from({ length: 300 }, (_, i) => `p;f${i.toString()} 1`);
    const { functions, nodes } = profileOf(
      lines,
      (name) => `module${(Number(name.slice(1)) % 40).toString()}`,
    );
    const special = [
      ['x', '[kernel]'],
      ['y', '[generated]'],
      ['z', ''],
      ['[cut]', ''],
    ].map(([name, module]) => ({ name: name!, module: module! }));
    const size = nodes.parent.length;
    const all = {
      parent: [...nodes.parent, 0, 0, 0, 0],
      function: [...nodes.function, ...special.map((_, i) => functions.length + i)],
      self: [...nodes.self, 1, 1, 1, 1],
      comparison_self: Array.from({ length: size + 4 }, (_, i) => (i % 7) ** 3),
    };
    const both = [...functions, ...special];
    const trees = [
      treeOf(both, all),
      treeOf(both, all, { total: 304, samples: 1e6 }, { total: 5000, samples: 1e6 }),
    ];
    for (const theme of ['dark', 'light'] as const) {
      for (const { fills } of trees.map((tree) => paintedFrames(tree, theme))) {
        for (const { fill, text } of fills) {
          const [a, b] = [luminance(fill), luminance(text)].toSorted((x, y) => y - x);
          expect((a! + 0.05) / (b! + 0.05), `${text} on ${fill}`).toBeGreaterThan(4.4);
        }
      }
    }
  });
});

describe('words', () => {
  it('tell amounts and shares of one frame', () => {
    const { name, lines } = readingOf(shop, frame(shop, 'compare'), frame(shop, 'sort'));
    expect([name, ...lines.map(({ detail }) => detail)]).toEqual([
      'compare',
      '50 % of all, 62.5 % of what is zoomed',
      '50 % of all',
    ]);
    expect([amountText(1.5e9), amountText(3600e9 * 2)]).toEqual(['1.50 s', '2 h']);
    expect([pointsText(0.123), pointsText(-0.5), pointsText(0.000001)]).toEqual(['+12.3', '−50', '0']);
  });

  it('tell how user stacks ended', () => {
    const facts = stackFacts({ complete: 96, gone: 1, too_long: 3, forbidden: 0 });
    expect(facts).toEqual({
      complete: 0.96,
      incomplete: ['3 longer than the copied part of the stack', '1 of processes that had exited'],
    });
    expect(stackFacts({ complete: 0 }).complete).toBeNull();
  });
});

describe('the URL of a profile', () => {
  const views: ProfileView[] = [
    parseProfileView({}),
    {
      kind: 'off_cpu',
      filters: { process: 'a b;c', pid: '12', thread: 'worker/1', cgroup: '/system.slice/x.service' },
      comparison: { earlier: 25 * 3_600_000 },
      zoomed: 'zz9',
      selected: 'a1',
      search: '^std::(vec|sort)',
      part: 'table',
      isFlame: true,
      sort: 'total',
      isReversed: true,
    },
    { ...parseProfileView({}), comparison: 'yesterday' },
  ];

  it('round-trips, and is short', () => {
    for (const view of views) expect(parseProfileView(profileQuery(view))).toEqual(view);
    expect(profileQuery(views[0]!)).toEqual({});
  });

  it('falls back to the defaults on nonsense', () => {
    const nonsense = { kind: 'x', pid: 'abc', against: '9y', frame: '<b>', part: ['?'], q: null };
    expect(parseProfileView(nonsense)).toEqual(parseProfileView({}));
  });
});
