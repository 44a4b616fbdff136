import type { Accent } from './palette';

/** A series of a card: its key in the ring, its name and how it is drawn. */
export interface SeriesSpec {
  key: string;
  label: string;
  colour: Accent;
  dashed?: boolean;
}
