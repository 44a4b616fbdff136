/** The numbers and histograms inside a document, by path. */
import type { Histogram } from '@/api/types';
import { isHistogram } from './histogram';

export interface Leaves {
  numbers: string[];
  histograms: string[];
}

const DEPTH = 6;

/** Metadata, and lists of objects, whose averages would be meaningless. */
function skipped(key: string, value: unknown): boolean {
  if (key.startsWith('_')) return true;
  return Array.isArray(value) && value.some((item) => typeof item === 'object' && item !== null);
}

export function leavesOf(document: unknown): Leaves {
  const found: Leaves = { numbers: [], histograms: [] };
  walk('', document, DEPTH, found);
  return found;
}

function walk(path: string, value: unknown, depth: number, found: Leaves): void {
  if (typeof value === 'number') found.numbers.push(path);
  if (typeof value !== 'object' || value === null || depth === 0) return;
  if (isHistogram(value)) {
    found.histograms.push(path);
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    if (!skipped(key, inner)) walk(path === '' ? key : `${path}.${key}`, inner, depth - 1, found);
  }
}

/** The member at a path; names may contain dots. */
function member(document: unknown, path: string): unknown {
  if (path === '') return document;
  if (typeof document !== 'object' || document === null) return undefined;
  const record = document as Record<string, unknown>;
  for (let end = path.length; end > 0; end = path.lastIndexOf('.', end - 1)) {
    const key = path.slice(0, end);
    if (key in record) return member(record[key], path.slice(end + 1));
  }
  return undefined;
}

export function numberAt(document: unknown, path: string): number {
  const value = member(document, path);
  return typeof value === 'number' ? value : NaN;
}

/** The number at a path, or all numbers of a list there. */
export function membersAt(document: unknown, path: string): number[] {
  const value = member(document, path);
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.filter((one) => typeof one === 'number');
}

export function histogramAt(document: unknown, path: string): Histogram | null {
  const value = member(document, path);
  return isHistogram(value) ? value : null;
}

/** The path to request from the server, which addresses members, not list positions. */
export function memberPath(path: string): string {
  return path.replace(/\.\d+$/, '');
}
