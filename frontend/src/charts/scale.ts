import { isBinary, type Unit } from '@/format/units';

export interface Scale {
  max: number;
  step: number;
}

const steps = {
  decimal: [1, 2, 2.5, 5, 10],
  // Within one power of 1024 a step doubles, so that labels read 128, 256, 512 KiB.
  binary: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
};

/** An axis from 0 to at least `peak` in about `parts` round steps. */
export function niceScale(peak: number, unit: Unit, parts = 3): Scale {
  if (!(peak > 0)) return { max: 1, step: 1 };
  const base = isBinary(unit) ? 1024 : 10;
  const choices = isBinary(unit) ? steps.binary : steps.decimal;
  const rough = peak / parts;
  const power = base ** Math.floor(Math.log(rough) / Math.log(base) + 1e-9);
  const step = (choices.find((choice) => choice * power >= rough * 0.999) ?? base) * power;
  return { max: Math.ceil(peak / step - 1e-9) * step, step };
}
