import type { LawTest } from "./law.js";
import { twoSampleTest } from "./statistics.js";

/**
 * Two-sample tests of chunks of actions drawn at one observation: the ends in every coordinate, the way covered, and the
 * roughness of the path, which the ends do not see.
 * @param a, b chunks one after another, each of `horizon` actions of `size` coordinates
 */
export function chunkLaw(a: Float64Array, b: Float64Array, horizon: number, size: number): LawTest[] {
  const length = horizon * size;
  const last = length - size;
  const gap = (chunk: Float64Array, i: number, j: number) => {
    let sum = 0;
    for (let axis = 0; axis < size; axis++) sum += (chunk[i + axis]! - chunk[j + axis]!) ** 2;
    return sum;
  };
  const statistics: [string, (chunk: Float64Array) => number][] = [];
  for (let axis = 0; axis < size; axis++) {
    statistics.push([`first action, axis ${axis}`, (chunk) => chunk[axis]!]);
    statistics.push([`last action, axis ${axis}`, (chunk) => chunk[last + axis]!]);
  }
  statistics.push(["way", (chunk) => gap(chunk, last, 0)]);
  statistics.push([
    "roughness",
    (chunk) => {
      let sum = 0;
      for (let i = size; i <= last; i += size) sum += gap(chunk, i, i - size);
      return sum;
    },
  ]);
  const of = (chunks: Float64Array, statistic: (chunk: Float64Array) => number) =>
    Array.from({ length: chunks.length / length }, (_, n) => statistic(chunks.subarray(n * length, (n + 1) * length)));
  return statistics.map(([name, statistic]) => ({ name, p: twoSampleTest(of(a, statistic), of(b, statistic)) }));
}
