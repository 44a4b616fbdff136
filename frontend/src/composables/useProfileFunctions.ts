/** The functions of a profile: searched, ordered, and with their callers and callees. */
import { computed } from 'vue';
import { neighboursOf } from '@/flame/functions';
import { changedRows, plainRows, sortedRows, sortKeys, type FunctionSort } from '@/flame/rows';
import { matchedAmount, matchesOf, patternOf } from '@/flame/search';
import { at, ROOT, type Amounts } from '@/flame/tree';
import { amountText, shareText } from '@/series/profileTexts';
import type { useProfile } from './useProfile';

type Shown = Pick<ReturnType<typeof useProfile>, 'view' | 'change' | 'tree' | 'comparison' | 'selected'>;

export function useProfileFunctions({ view, change, tree, comparison, selected }: Shown) {
  const pattern = computed(() => patternOf(view.value.search));
  const problem = computed(() =>
    pattern.value !== null && 'problem' in pattern.value ? pattern.value.problem : null,
  );
  const found = computed(() => {
    if (tree.value === null || pattern.value === null || 'problem' in pattern.value) return null;
    const { test } = pattern.value;
    return matchesOf(tree.value, test);
  });
  /** What is searched, or else what is selected, stands out. */
  const matches = computed(() => {
    if (found.value !== null || tree.value === null || selected.value === null) return found.value;
    const one = selected.value;
    return matchesOf(tree.value, (_, fn) => fn === one);
  });

  const whole = computed(() => (tree.value === null ? 0 : at(tree.value.width.total, ROOT)));
  const matched = computed(() => {
    const [all, those] = [tree.value, found.value];
    if (all === null || those === null) return null;
    if (all.compared !== null) {
      const { before, now } = all.compared;
      const share = (amounts: Amounts): string => shareText(matchedAmount(all, amounts, those));
      return `Matches ${share(before)} → ${share(now)}`;
    }
    const amount = matchedAmount(all, all.width, those);
    return `Matches ${shareText(whole.value > 0 ? amount / whole.value : 0)}, ${amountText(amount)}`;
  });

  const unsorted = computed(() => {
    if (tree.value === null) return [];
    if (tree.value.compared === null) return plainRows(tree.value, amountText);
    return changedRows(tree.value, comparison.value?.changes ?? []);
  });
  const isComparing = computed(() => view.value.comparison !== null);
  const sort = computed<FunctionSort>(
    () => sortKeys.find((key) => key === view.value.sort) ?? (isComparing.value ? 'rank' : 'self'),
  );
  function sortBy(key: FunctionSort): void {
    void change({ sort: key, isReversed: key === sort.value && !view.value.isReversed }, 'same');
  }
  const rows = computed(() => {
    const shown = found.value;
    const some = shown === null ? unsorted.value : unsorted.value.filter(({ fn }) => at(shown, fn) === 1);
    return sortedRows(some, sort.value, view.value.isReversed);
  });

  const neighbours = computed(() =>
    tree.value === null || selected.value === null
      ? null
      : neighboursOf(tree.value, tree.value.compared?.now ?? tree.value.width, selected.value),
  );
  const neighbourText = computed(() => {
    const all = whole.value;
    if (isComparing.value) return shareText;
    return (amount: number): string => `${amountText(amount)}, ${shareText(all > 0 ? amount / all : 0)}`;
  });

  return { problem, matches, matched, rows, sort, sortBy, neighbours, neighbourText };
}
