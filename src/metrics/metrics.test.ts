import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RandomStream } from "../core/random.js";
import { assign } from "./assignment.js";
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
