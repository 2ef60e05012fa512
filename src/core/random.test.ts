import assert from "node:assert/strict";
import { it } from "node:test";
import { normalTest, zeroMeanTest } from "../testing/statistics.js";
import { RandomStream } from "./random.js";

const GOLDEN_UNIFORM = [0.818840315050135, 0.3509342999329703];
const GOLDEN_NORMAL = [-0.7877769034235097, -0.4515817873273841, 0.7956213590650035, -1.117072319805615];

function normals(stream: RandomStream, count: number): Float64Array {
  const out = new Float64Array(count);
  stream.normals(out);
  return out;
}

it("gives pinned values, so that a seed means the same in every release", () => {
  const stream = new RandomStream(42).key(1, 2, 3, 0);
  assert.deepEqual([stream.uniform(), stream.uniform()], GOLDEN_UNIFORM);
  assert.deepEqual(Array.from(normals(new RandomStream(42).key(1, 2, 3, 0), 4)), GOLDEN_NORMAL);
});

it("gives another stream for every part of the key and for large seeds", () => {
  const base = [7, 0, 0, 0, 0];
  const seen = new Set<number>();
  for (let part = 0; part < base.length; part++) {
    for (const value of [1, 2, 1 << 20]) {
      const [seed, ...key] = base.with(part, value) as [number, number, number, number, number];
      seen.add(new RandomStream(seed).key(...key).uniform());
    }
  }
  seen.add(new RandomStream(7 + 2 ** 40).uniform());
  seen.add(new RandomStream(7).uniform());
  assert.equal(seen.size, 17);
});

it("starts a key anew each time, whatever was drawn before", () => {
  const stream = new RandomStream(3);
  const first = normals(stream.key(5, 6, 7, 1), 9);
  stream.uniform();
  assert.deepEqual(normals(stream.key(5, 6, 7, 1), 9), first);
});

it("draws normals with the right distribution, moments and tail", () => {
  const values = normals(new RandomStream(1), 400_000);
  assert.ok(normalTest(values) > 1e-4);
  assert.ok(zeroMeanTest(values, 1) > 1e-4);
  assert.ok(
    zeroMeanTest(
      values.map((v) => v * v - 1),
      2,
    ) > 1e-4,
  );
  assert.ok(
    zeroMeanTest(
      values.map((v) => v ** 4 - 3),
      96,
    ) > 1e-4,
  );
  // 400,000 x P(|N| > 4) = 25.3; the tail beyond the ziggurat's edge 3.654 has 103
  const beyond = (edge: number) => values.filter((v) => Math.abs(v) > edge).length;
  assert.ok(Math.abs(beyond(4) - 25.3) < 25, `${beyond(4)} beyond 4`);
  assert.ok(Math.abs(beyond(3.6541528853610088) - 103.2) < 45, `${beyond(3.654)} beyond the edge`);
});

it("draws first numbers of neighbouring keys as if they were one stream", () => {
  const stream = new RandomStream(11);
  const firsts = Float64Array.from(
    { length: 50_000 },
    (_, i) => normals(stream.key(i % 50, 0, Math.floor(i / 50), 1), 1)[0]!,
  );
  assert.ok(normalTest(firsts) > 1e-4);
  const lagged = firsts.subarray(1).map((v, i) => v * firsts[i]!);
  assert.ok(zeroMeanTest(lagged, 1) > 1e-4);
});

it("refuses seeds that are not whole numbers of at most 53 bits", () => {
  for (const seed of [-1, 0.5, Number.NaN, 2 ** 53]) assert.throws(() => new RandomStream(seed), /seed is/);
});
