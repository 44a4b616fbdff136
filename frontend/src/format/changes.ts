/** Why there are no changes: a period without history is not one in which nothing changed. */
export function noChanges(current: boolean, comparison: boolean): string {
  if (current && comparison) return 'Nothing changed between the two periods.';
  if (current) return 'There is no history of the comparison period, so there is nothing to compare with.';
  return comparison ? 'There is no history of the selected period.' : 'There is no history of either period.';
}
