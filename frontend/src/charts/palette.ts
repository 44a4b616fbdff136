/** Chart colours, under the names of the CSS variables, which a canvas cannot read cheaply. */
export type Theme = 'dark' | 'light';
export type Accent = 'blue' | 'green' | 'amber' | 'red' | 'purple' | 'cyan' | 'slate';

export interface Palette {
  accents: Record<Accent, string>;
  ink: string;
  dim: string;
  line: string;
  card: string;
}

export const palettes: Record<Theme, Palette> = {
  dark: {
    accents: {
      blue: '#3b82f6',
      green: '#22c55e',
      amber: '#f59e0b',
      red: '#ef4444',
      purple: '#a855f7',
      cyan: '#06b6d4',
      slate: '#94a3b8',
    },
    ink: '#f8fafc',
    dim: '#94a3b8',
    line: '#334155',
    card: '#1e293b',
  },
  light: {
    accents: {
      blue: '#2563eb',
      green: '#16a34a',
      amber: '#d97706',
      red: '#dc2626',
      purple: '#9333ea',
      cyan: '#0891b2',
      slate: '#64748b',
    },
    ink: '#0f172a',
    dim: '#526077',
    line: '#d5dde8',
    card: '#ffffff',
  },
};

export const accentOrder: readonly Accent[] = ['blue', 'green', 'amber', 'purple', 'cyan', 'red', 'slate'];

export function accentAt(index: number): Accent {
  return accentOrder[index % accentOrder.length] ?? 'blue';
}

type Rgb = readonly [number, number, number];

/** Stops of the heat scale, low to high: the card's background, blue, amber, red. */
const heat: Record<Theme, readonly Rgb[]> = {
  dark: [
    [27, 38, 56],
    [30, 74, 140],
    [59, 130, 246],
    [245, 158, 11],
    [239, 68, 68],
  ],
  light: [
    [237, 242, 249],
    [147, 190, 250],
    [59, 130, 246],
    [217, 119, 6],
    [200, 30, 30],
  ],
};

/** The colour of a share between 0 and 1. */
export function heatColour(share: number, theme: Theme): Rgb {
  const stops = heat[theme];
  const position = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const index = Math.min(Math.floor(position), stops.length - 2);
  const [from, to] = [stops[index], stops[index + 1]];
  if (from === undefined || to === undefined) return [0, 0, 0];
  const mix = (channel: 0 | 1 | 2) =>
    Math.round(from[channel] + (to[channel] - from[channel]) * (position - index));
  return [mix(0), mix(1), mix(2)];
}

/** Steps of the pixel scale; finer ones would be indistinguishable. */
export const HEAT_STEPS = 256;
const packed = new Map<Theme, Uint32Array>();

/** The scale as packed pixels, so that drawing a hundred thousand cells per tick allocates nothing. */
export function heatPixels(theme: Theme): Uint32Array {
  let scale = packed.get(theme);
  if (scale === undefined) {
    const bytes = new Uint8Array(HEAT_STEPS * 4);
    for (let i = 0; i < HEAT_STEPS; i += 1)
      bytes.set([...heatColour(i / (HEAT_STEPS - 1), theme), 255], i * 4);
    // RGBA bytes in the machine's byte order, as ImageData holds them.
    scale = new Uint32Array(bytes.buffer);
    packed.set(theme, scale);
  }
  return scale;
}

/** Index into `heatPixels` for a share between 0 and 1. */
export const heatStep = (share: number): number =>
  Math.round(Math.min(1, Math.max(0, share)) * (HEAT_STEPS - 1));
