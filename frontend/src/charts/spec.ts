import type { Accent } from './palette';

/** A series a card asks for: where it is in the ring, and how it is drawn and named. */
export interface SeriesSpec {
  key: string;
  label: string;
  colour: Accent;
  dashed?: boolean;
}
