import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RandomStream } from "../core/random.js";
import type { Verdict, Verifier, Window } from "../core/verifier.js";
import { normalTest, overlap, zeroMeanTest } from "../testing/statistics.js";
import { block } from "./block.js";
import { erfc, erfcx, mills } from "./normal.js";
import { reflection } from "./reflection.js";

it("knows the normal distribution", () => {
  const values: [number, number][] = [
    [erfc(0.5), 0.4795001221869535],
    [erfc(2), 0.004677734981047266],
    [erfc(-1), 1.8427007929497148],
    [erfc(6), 2.1519736712498913e-17],
    [erfcx(0), 1],
    [erfcx(10), 0.05614099274382259],
    [erfcx(-2), 108.94090438997797],
    [mills(30), 0.03329641907249721],
  ];
  for (const [actual, expected] of values) assert.ok(Math.abs(actual / expected - 1) < 1e-13, `${actual} ${expected}`);
});

/** Mean number of kept steps over windows with the same delta at every level. */
function meanKept(verifier: Verifier, delta: number, levels: number, trials: number): number[] {
  const dim = 2;
  const sigma = 0.7;
  const stream = new RandomStream(9);
  const window: Window = {
    dim,
    drafted: levels,
    parent: Int32Array.from({ length: levels + 1 }, (_, i) => i - 1),
    states: new Float64Array((levels + 1) * dim),
    draftMeans: new Float64Array(levels * dim),
    targetMeans: Float64Array.from({ length: levels * dim }, (_, i) => (i % dim === 0 ? 0.6 : 0.8) * delta * sigma),
    sigma: new Float64Array(levels).fill(sigma),
  };
  const verdict: Verdict = {
    tip: 0,
    corrected: false,
    replaced: -1,
    residual: new Float64Array(dim),
    delta: new Float64Array(levels),
  };
  const atLeast = new Array<number>(levels).fill(0);
  const own = new RandomStream(10);
  for (let trial = 0; trial < trials; trial++) {
    stream.key(trial, 0, 0, 1).normals(window.states);
    for (let i = 0; i < window.states.length; i++) window.states[i]! *= sigma;
    verifier.verify(
      window,
      {
        uniform: (node) => own.key(trial, 0, node, 2).uniform(),
        normals: (node, out) => own.key(trial, 0, node, 3).normals(out),
      },
      verdict,
    );
    for (let i = 0; i < verdict.tip; i++) atLeast[i]!++;
  }
  return atLeast.map((count) => count / trials);
}

describe("block verification of windows with a constant delta", () => {
  for (const delta of [0.05, 0.4, 1, 2.5]) {
    it(`keeps i steps with the probability of theory, delta ${delta}`, () => {
      const levels = 8;
      const trials = 20_000;
      const kept = meanKept(block, delta, levels, trials);
      // i A_i = sum_{k=1..i} b_k A_{i-k} with b_k = 2 Phi(-delta sqrt(k) / 2): Spitzer's identity for the walk of ln r
      const theory = [1];
      for (let i = 1; i <= levels; i++) {
        let sum = 0;
        for (let k = 1; k <= i; k++) sum += overlap(delta * Math.sqrt(k)) * theory[i - k]!;
        theory.push(sum / i);
      }
      for (let i = 1; i <= levels; i++) {
        const expected = theory[i]!;
        const error = Math.sqrt((expected * (1 - expected)) / trials);
        assert.ok(
          Math.abs(kept[i - 1]! - expected) < 4.5 * error + 1e-12,
          `level ${i}: ${kept[i - 1]}, theory ${expected} +- ${error}`,
        );
      }
    });
  }
  it("keeps more than level by level", () => {
    const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
    assert.ok(sum(meanKept(block, 0.4, 12, 5000)) > 1.15 * sum(meanKept(reflection, 0.4, 12, 5000)));
  });
});

describe("a draft that is absurdly far off is replaced by a draw from the target", () => {
  for (const verifier of [block, reflection]) {
    for (const delta of [3, 30, 100, 1e4, 1e8]) {
      it(`${verifier.name}, delta ${delta}`, () => {
        const trials = 4000;
        const [stream, own] = [new RandomStream(3), new RandomStream(4)];
        const states = new Float64Array(2);
        const verdict: Verdict = {
          tip: 0,
          corrected: false,
          replaced: -1,
          residual: new Float64Array(1),
          delta: new Float64Array(1),
        };
        const committed = Float64Array.from({ length: trials }, (_, trial) => {
          stream.key(trial, 0, 0, 1).normals(states, 1, 1);
          verifier.verify(
            {
              dim: 1,
              drafted: 1,
              parent: Int32Array.of(-1, 0),
              states,
              draftMeans: new Float64Array(1),
              targetMeans: Float64Array.of(delta),
              sigma: Float64Array.of(1),
            },
            {
              uniform: (node) => own.key(trial, 0, node, 2).uniform(),
              normals: (node, out) => own.key(trial, 0, node, 3).normals(out),
            },
            verdict,
          );
          return (verdict.corrected ? verdict.residual[0]! : states[1]!) - delta;
        });
        // at 1e8 a double leaves eight digits of the noise
        assert.ok(normalTest(committed) > 1e-4);
        assert.ok(zeroMeanTest(committed, 1) > 1e-4);
      });
    }
  }
});
