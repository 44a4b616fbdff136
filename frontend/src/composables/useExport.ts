/** Exports a range as CSV, in the finest stored resolution. */
import { shallowRef } from 'vue';
import type { Span } from '@/series/range';
import { useHistoryStore } from '@/stores/history';

/** Gives a file to the browser. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

export function useExport() {
  const history = useHistoryStore();
  const busy = shallowRef(false);
  const problem = shallowRef<string | null>(null);

  async function save(metric: string, span: Span): Promise<void> {
    busy.value = true;
    try {
      const blob = await history.exportFile(metric, span.from, span.to, 'csv');
      const stamp = new Date(span.from).toISOString().slice(0, 16).replaceAll(':', '');
      download(blob, `perfwatch-${metric}-${stamp}.csv`);
      problem.value = null;
    } catch (caught) {
      problem.value = history.explain(caught);
    }
    busy.value = false;
  }

  return { busy, problem, save };
}
