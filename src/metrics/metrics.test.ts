import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RandomStream } from "../core/random.js";
import { assign } from "./assignment.js";
import { frechetDistance, type GaussianStatistics, gaussianStatistics } from "./frechet.js";
import { inceptionScore } from "./inception-score.js";
import { squaredDistances, w2 } from "./w2.js";

/** The least cost over all permutations. */
function bruteForce(cost: Float64Array, size: number): number {
  const used = new Array<boolean>(size).fill(false);
  const search = (row: number): number => {
    if (row === size) return 0;
    let best = Number.POSITIVE_INFINITY;
    for (let column = 0; column < size; column++) {
      if (used[column]) continue;
      used[column] = true;
      best = Math.min(best, cost[row * size + column]! + search(row + 1));
      used[column] = false;
    }
    return best;
  };
  return search(0);
}

describe("assignment", () => {
  it("is as cheap as the best of all permutations", () => {
    const random = new RandomStream(1);
    for (let trial = 0; trial < 300; trial++) {
      const size = 1 + (trial % 7);
      random.key(trial, 0, 0, 0);
      // every third with many ties, every third with negative entries
      const entry = () =>
        trial % 3 === 0 ? Math.floor(4 * random.uniform()) : random.uniform() - (trial % 3 === 1 ? 0.5 : 0);
      const cost = Float64Array.from({ length: size * size }, entry);
      const found = assign(cost, size);
      assert.equal(new Set(found.columnOf).size, size);
      assert.ok(Math.abs(found.cost - bruteForce(cost, size)) < 1e-12, `size ${size}: ${found.cost}`);
    }
  });
  it("comes with prices that prove it, also for points that are the same", () => {
    const points = (seed: number, count: number, dim: number) => {
      const out = new Float64Array(count * dim);
      new RandomStream(seed).normals(out);
      return out;
    };
    const [count, dim] = [300, 3];
    const first = points(1, count, dim);
    for (const second of [points(2, count, dim), first, new Float64Array(count * dim)]) {
      const cost = squaredDistances(first, second, dim);
      const { prices, columnOf, cost: total } = assign(cost, count);
      let dual = 0;
      for (let i = 0; i < count; i++) {
        dual += prices.rows[i]! + prices.columns[i]!;
        for (let j = 0; j < count; j++) {
          assert.ok(prices.rows[i]! + prices.columns[j]! <= cost[i * count + j]! + 1e-9);
        }
      }
      assert.equal(new Set(columnOf).size, count);
      assert.ok(Math.abs(dual - total) < 1e-8 * (1 + total), `${dual} ${total}`);
    }
  });
});

describe("w2", () => {
  it("of shifted points is the length of the shift", () => {
    const points = new Float64Array(60);
    new RandomStream(3).normals(points);
    const shifted = points.map((x, i) => x + (i % 2 ? 3 : 4));
    assert.ok(Math.abs(w2(points, shifted, 2) - 5) < 1e-12);
  });
  it("on the line pairs the points in order", () => {
    const random = new RandomStream(4);
    const first = Float64Array.from({ length: 500 }, () => random.uniform());
    const second = Float64Array.from({ length: 500 }, () => random.uniform() ** 2);
    const [a, b] = [first.slice().sort(), second.slice().sort()];
    const sorted = Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0) / 500);
    assert.ok(Math.abs(w2(first, second, 1) - sorted) < 1e-12);
  });
  it("refuses sets that do not pair and points that are not numbers", () => {
    assert.throws(() => w2(new Float64Array(4), new Float64Array(6), 2), /2 and 3 points/);
    assert.throws(() => w2(Float64Array.of(Number.NaN), Float64Array.of(1), 1), /not finite/);
  });
});

describe("Fréchet distance", () => {
  const gaussian = (mean: number[], covariance: number[]): GaussianStatistics => ({
    mean: Float64Array.from(mean),
    covariance: Float64Array.from(covariance),
  });
  const near = (actual: number, expected: number) =>
    // the root of an eigenvalue that should be 0 is as large as 1e-8
    assert.ok(Math.abs(actual - expected) < 1e-6 * (1 + Math.abs(expected)), `${actual}, closed form ${expected}`);

  it("of covariances that commute is the sum of squared differences of means and standard deviations", () => {
    const first = gaussian([1, 0, 2], [4, 0, 0, 0, 9, 0, 0, 0, 1]);
    const second = gaussian([0, 0, 5], [1, 0, 0, 0, 1, 0, 0, 0, 16]);
    near(frechetDistance(first, second), 1 + 9 + (1 + 4 + 9));
    near(frechetDistance(first, first), 0);
  });
  it("in two dimensions: tr (C1 C2)^(1/2) = (tr C1 C2 + 2 (det C1 C2)^(1/2))^(1/2)", () => {
    const [c1, c2] = [
      [2, 0.7, 0.7, 1],
      [1, -0.4, -0.4, 3],
    ];
    const trace = c1[0]! * c2[0]! + 2 * c1[1]! * c2[1]! + c1[3]! * c2[3]!;
    const determinant = (2 - 0.49) * (3 - 0.16);
    const expected = 4 + (3 + 4) - 2 * Math.sqrt(trace + 2 * Math.sqrt(determinant));
    near(frechetDistance(gaussian([2, 1], c1), gaussian([0, 1], c2)), expected);
    near(frechetDistance(gaussian([0, 1], c2), gaussian([2, 1], c1)), expected);
  });
  it("with singular covariances: rank one on either side, both, or nothing at all", () => {
    const full = gaussian([0, 0], [2, 0.7, 0.7, 1]);
    const line = gaussian([0, 0], [4, 2, 2, 1]); // v v^T with v = (2, 1)
    const other = gaussian([0, 0], [1, -3, -3, 9]); // u u^T with u = (1, -3)
    const point = gaussian([3, 4], [0, 0, 0, 0]);
    // tr (C v v^T)^(1/2) = (v^T C v)^(1/2)
    const expected = 3 + 5 - 2 * Math.sqrt(4 * 2 + 4 * 0.7 + 1);
    near(frechetDistance(full, line), expected);
    near(frechetDistance(line, full), expected);
    near(frechetDistance(line, other), 5 + 10 - 2 * Math.abs(2 - 3));
    near(frechetDistance(line, line), 0);
    near(frechetDistance(full, point), 25 + 3);
    near(frechetDistance(point, full), 25 + 3);
  });
  it("agrees with samples of known Gaussians, fewer than features included", () => {
    const points = Float64Array.of(1, 2, 3, 3, 2, 4); // three points of two numbers
    const { mean, covariance } = gaussianStatistics(points, 2);
    assert.deepEqual(
      [...mean].map((x) => Math.round(x * 1e12) / 1e12),
      [2, 3],
    );
    [1, 0.5, 0.5, 1].forEach((value, i) => {
      near(covariance[i]!, value);
    });
    const wide = gaussianStatistics(Float64Array.of(1, 0, 0, 0, 0, 1, 0, 0), 4); // two points, four features
    near(frechetDistance(wide, wide), 0);
    const shifted = { ...wide, mean: wide.mean.map((x) => x + 1) };
    near(frechetDistance(wide, shifted), 4);
  });
  it("refuses features of different networks and numbers that are none", () => {
    assert.throws(() => frechetDistance(gaussian([0], [1]), gaussian([0, 0], [1, 0, 0, 1])), /1 and 2 dimensions/);
    assert.throws(() => frechetDistance(gaussian([0], [1]), gaussian([0], [Number.NaN])), /finite/);
    assert.throws(() => gaussianStatistics(Float64Array.of(1, 2), 2), /at least two points/);
  });
});

describe("Inception Score", () => {
  it("is 1 where all images look the same and the number of classes where each is another, for sure", () => {
    assert.ok(Math.abs(inceptionScore(Float64Array.of(1, 2, 3, 1, 2, 3), 3) - 1) < 1e-12);
    assert.ok(Math.abs(inceptionScore(Float64Array.of(900, 0, 0, 0, 900, 0, 0, 0, 900), 3) - 3) < 1e-12);
  });
  it("of two images by hand", () => {
    // p = (.8, .2) and (.4, .6), mean (.6, .4): exp of the mean of two divergences
    const logits = Float64Array.of(Math.log(0.8), Math.log(0.2), Math.log(0.4) + 7, Math.log(0.6) + 7);
    const first = 0.8 * Math.log(0.8 / 0.6) + 0.2 * Math.log(0.2 / 0.4);
    const second = 0.4 * Math.log(0.4 / 0.6) + 0.6 * Math.log(0.6 / 0.4);
    assert.ok(Math.abs(inceptionScore(logits, 2) - Math.exp((first + second) / 2)) < 1e-12);
  });
});
