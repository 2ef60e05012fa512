import { SpecdiffError } from "../core/errors.js";
import { assign } from "./assignment.js";

/**
 * The Wasserstein-2 distance of two point sets of the same size, each point with the same weight: the root of the mean
 * squared distance under the cheapest pairing (exact optimal transport, cubic in the number of points in the worst case).
 *
 * @param first count x dim
 * @param second count x dim
 * @returns in the units of the coordinates
 * @throws SpecdiffError("bad-argument") if the sets differ in size, are empty, or have entries that are not finite
 */
export function w2(first: Float64Array, second: Float64Array, dim: number): number {
  const count = first.length / dim;
  if (first.length !== second.length || !Number.isInteger(count) || count === 0) {
    throw new SpecdiffError(
      "bad-argument",
      `the Wasserstein distance pairs points: ${first.length / dim} and ${second.length / dim} points of ${dim} numbers do not pair; give sets of the same size`,
    );
  }
  const cost = squaredDistances(first, second, dim);
  if (!cost.every(Number.isFinite)) {
    throw new SpecdiffError("bad-argument", "a point has a coordinate that is not finite; drop such points first");
  }
  return Math.sqrt(Math.max(0, assign(cost, count).cost) / count);
}

/** [i * columns + j] = |first[i] - second[j]|^2 */
export function squaredDistances(first: Float64Array, second: Float64Array, dim: number): Float64Array {
  const rows = first.length / dim;
  const columns = second.length / dim;
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let squares = 0;
      for (let k = 0; k < dim; k++) squares += (first[i * dim + k]! - second[j * dim + k]!) ** 2;
      out[i * columns + j] = squares;
    }
  }
  return out;
}
