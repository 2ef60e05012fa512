/** Mean of independent values with its standard error and 95 % interval (Student's t); NaN error for a single value. */
export interface Estimate {
  readonly mean: number;
  readonly error: number;
  readonly low: number;
  readonly high: number;
}

export function estimate(values: ArrayLike<number>): Estimate {
  const n = values.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += values[i]!;
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (values[i]! - mean) ** 2;
  const error = n > 1 ? Math.sqrt(squares / (n - 1) / n) : Number.NaN;
  const reach = n > 1 ? studentQuantile(n - 1) * error : Number.NaN;
  return { mean, error, low: mean - reach, high: mean + reach };
}

/** The 97.5 % quantile of Student's t. */
export function studentQuantile(freedom: number): number {
  if (freedom < T_QUANTILES.length) return T_QUANTILES[freedom]!;
  // Cornish-Fisher about the normal quantile z (Abramowitz and Stegun 26.7.5): 4 digits from 10 degrees of freedom on
  const z = 1.959963984540054;
  const g1 = (z ** 3 + z) / 4;
  const g2 = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const g3 = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  return z + g1 / freedom + g2 / freedom ** 2 + g3 / freedom ** 3;
}

const T_QUANTILES = [Number.NaN, 12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216];
