import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RowBuffer } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { interpolant, reverseSde, timeGrid } from "../schedules/index.js";
import { GMM_SIZES, type GmmConfig, gmmStudy, PUBLISHED } from "./gmm.js";
import { coarse, drawMixture, imperfect, mixtureModel, sampleMixture } from "./mixture.js";
import { numpyRandom } from "./numpy-random.js";
import { DeltaBins, keptByBlock, keptByReflection, mergeBins } from "./theory.js";

it("draws NumPy's numbers", () => {
  // numpy 2.1: default_rng(20260714).uniform(-2, 2, (5, 512))[0, 0], default_rng(12345).random(3)
  assert.equal(-2 + 4 * numpyRandom(20260714)(), 1.832737925583857);
  const random = numpyRandom(12345);
  for (const expected of [0.22733602246716966, 0.31675833970975287, 0.7973654573327341])
    assert.equal(random(), expected);
});

describe("mixture", () => {
  const dim = 3;
  const mixture = drawMixture(dim, 4, 1);
  const { chain } = reverseSde(interpolant(timeGrid({ steps: 10, start: 0.9, end: 0.1 })), { prediction: "sample" });
  const { alpha, noise } = chain.levels!;

  it("has the denoiser that follows from its score", () => {
    // E[x0 | x] = (x + noise^2 d/dx ln p(x)) / alpha (Tweedie), with the density by its definition
    const logDensity = (x: Float64Array, k: number) => {
      let p = 0;
      for (let c = 0; c < 4; c++) {
        const variance = (alpha[k]! * mixture.sds[c]!) ** 2 + noise[k]! ** 2;
        const squares = x.reduce((sum, value, i) => sum + (value - alpha[k]! * mixture.means[c * dim + i]!) ** 2, 0);
        p += mixture.weights[c]! * variance ** (-dim / 2) * Math.exp(-squares / 2 / variance);
      }
      return Math.log(p);
    };
    const model = mixtureModel(chain, mixture);
    const rows = new RowBuffer(dim);
    const x = new Float64Array(dim);
    for (const k of [0, 4, 9]) {
      new RandomStream(k).normals(x);
      rows.push(0, k, chain, x, 0);
    }
    const out = model.evaluate(rows) as Float64Array;
    for (const [row, k] of [0, 4, 9].entries()) {
      for (let i = 0; i < dim; i++) {
        const at = (h: number) =>
          logDensity(
            rows.states.slice(row * dim, (row + 1) * dim).map((v, j) => (j === i ? v + h : v)),
            k,
          );
        const score = (at(1e-5) - at(-1e-5)) / 2e-5;
        const expected = (rows.states[row * dim + i]! + noise[k]! ** 2 * score) / alpha[k]!;
        assert.ok(
          Math.abs(out[row * dim + i]! - expected) < 1e-6 * (1 + Math.abs(expected)),
          `${out[row * dim + i]} ${expected}`,
        );
      }
    }
  });

  it("is sampled with its own moments, and merged without changing the first two", () => {
    const count = 40_000;
    const samples = sampleMixture(mixture, count, 5);
    for (const model of [mixture, coarse(mixture, 2)]) {
      for (let i = 0; i < dim; i++) {
        let mean = 0;
        let square = 0;
        model.weights.forEach((weight, c) => {
          mean += weight * model.means[c * dim + i]!;
        });
        for (let n = 0; n < count; n++) square += samples[n * dim + i]! / count;
        assert.ok(Math.abs(square - mean) < 0.06, `${square} ${mean}`);
      }
    }
    const trace = ({ weights, means, sds }: typeof mixture) =>
      weights.reduce(
        (sum, w, c) =>
          sum + w * (dim * sds[c]! ** 2 + means.slice(c * dim, (c + 1) * dim).reduce((s, m) => s + m * m, 0)),
        0,
      );
    assert.ok(Math.abs(trace(coarse(mixture, 2)) / trace(mixture) - 1) < 1e-12);
    assert.equal(coarse(mixture, 2).weights.length, 2);
  });

  it("is itself at error 0 and further off at every larger one", () => {
    assert.deepEqual(imperfect(mixture, 0, 3), mixture);
    const off = [0.1, 0.3, 1].map((error) =>
      Math.hypot(...imperfect(mixture, error, 3).means.map((m, i) => m - mixture.means[i]!)),
    );
    assert.ok(off[0]! > 0 && off[1]! > off[0]! && off[2]! > off[1]!);
  });
});

describe("theory", () => {
  it("keeps every draft at delta 0 and p + p^2 + .. of them otherwise", () => {
    assert.ok(Math.abs(keptByReflection(0, 7) - 7) < 1e-12);
    assert.ok(Math.abs(keptByBlock(0, 7) - 7) < 1e-12);
    const p = 2 * 0.3085375387259869; // 2 Phi(-1/2)
    assert.ok(Math.abs(keptByReflection(1, 3) - (p + p ** 2 + p ** 3)) < 1e-9);
    assert.ok(Math.abs(keptByBlock(1, 1) - p) < 1e-9);
    assert.ok(keptByBlock(0.4, 20) > 1.15 * keptByReflection(0.4, 20));
  });
  it("counts a draft once it is decided, and merges bins by weight", () => {
    const round = { trajectory: 0, round: 0, step: 0, window: 4, calls: 1 };
    const bins = new DeltaBins(true);
    bins.add({ ...round, accepted: 2, corrected: true, delta: [0, 0.5, 0.5, Number.NaN], reach: [] });
    bins.add({ ...round, accepted: 1, corrected: false, delta: [0.5], reach: [] });
    const [bin] = bins.list();
    assert.deepEqual([bin!.decided, bin!.kept, bin!.delta], [3, 2, 0.5]);
    const [merged] = mergeBins([bins.list(), bins.list()]);
    assert.deepEqual([merged!.decided, merged!.kept], [6, 4]);
  });
});

describe("the study of mixtures", () => {
  it("reproduces the published speed-ups of the reference mixture", async () => {
    const study = gmmStudy({ ...GMM_SIZES.quick, reference: 100 }, 0, "reference");
    for (const [i, { speedup, window, carry }] of PUBLISHED.entries()) {
      const config = study.cells[i]!;
      assert.deepEqual([config.window, config.carry], [window, carry]);
      const row = await study.run(config, new AbortController().signal);
      assert.ok(Math.abs(row.speedup - speedup) < 0.03, `${study.label(config)}: ${row.speedup}, published ${speedup}`);
    }
  });
  it("has a chain for every cell of every size", async () => {
    const stop = AbortSignal.abort();
    for (const size of Object.values(GMM_SIZES)) {
      const study = gmmStudy(size, 1);
      const chains = new Map(study.cells.map((cell) => [`${cell.churn} ${cell.steps} ${cell.dim}`, cell]));
      for (const cell of chains.values()) await assert.rejects(study.run(cell, stop), { code: "aborted" });
    }
  });
  it("gives the same row for the same cell, whatever ran before", async () => {
    const study = () => gmmStudy(GMM_SIZES.tiny, 3);
    const signal = new AbortController().signal;
    const all = study();
    const [first, second] = [all.cells[3] as GmmConfig, all.cells[5] as GmmConfig];
    const row = await all.run(first, signal);
    await all.run(second, signal);
    assert.deepEqual(await all.run(first, signal), row);
    assert.deepEqual(await study().run(first, signal), row);
  });
});
