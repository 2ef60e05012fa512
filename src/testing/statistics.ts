import { erfc, overlap } from "../verifiers/normal.js";

export { erfc, overlap };

export function normalCdf(x: number): number {
  return erfc(-x / Math.SQRT2) / 2;
}

/** P(K > x) for the Kolmogorov distribution. */
function kolmogorovTail(x: number): number {
  if (x < 0.2) return 1;
  let sum = 0;
  for (let k = 1; k <= 100; k++) sum += (k % 2 ? 2 : -2) * Math.exp(-2 * k * k * x * x);
  return Math.max(0, Math.min(1, sum));
}

/** p-value of the Kolmogorov-Smirnov test of `values` against N(0, 1). */
export function normalTest(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const n = sorted.length;
  let distance = 0;
  for (let i = 0; i < n; i++) {
    const p = normalCdf(sorted[i]!);
    distance = Math.max(distance, p - i / n, (i + 1) / n - p);
  }
  return kolmogorovTail(distance * (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n)));
}

/** p-value of the two-sample Kolmogorov-Smirnov test. */
export function twoSampleTest(first: ArrayLike<number>, second: ArrayLike<number>): number {
  const a = Float64Array.from(first).sort();
  const b = Float64Array.from(second).sort();
  let i = 0;
  let j = 0;
  let distance = 0;
  while (i < a.length && j < b.length) {
    const x = Math.min(a[i]!, b[j]!);
    while (i < a.length && a[i]! <= x) i++;
    while (j < b.length && b[j]! <= x) j++;
    distance = Math.max(distance, Math.abs(i / a.length - j / b.length));
  }
  const n = Math.sqrt((a.length * b.length) / (a.length + b.length));
  return kolmogorovTail(distance * (n + 0.12 + 0.11 / n));
}

/** Two-sided p-value of the mean of `values` being 0 when each has variance `variance`. */
export function zeroMeanTest(values: ArrayLike<number>, variance: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return erfc(Math.abs(sum) / Math.sqrt(2 * variance * values.length));
}
