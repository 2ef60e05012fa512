import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Drafter } from "../core/drafter.js";
import { sample } from "../core/loop.js";
import { type Model, RowBuffer } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { fixedWindow } from "../core/window-policy.js";
import { ddpm, discreteVp, interpolant, reverseSde, timeGrid } from "../schedules/index.js";
import { reflection } from "../verifiers/index.js";
import { imageBasis } from "./basis.js";
import { frozen } from "./frozen.js";
import { createDrafter, posterior } from "./index.js";

const flow = (steps: number, churn: number) =>
  reverseSde(interpolant(timeGrid({ steps, start: 0.95, end: 0.02 })), { prediction: "sample", churn }).chain;

describe("frozen", () => {
  const dim = 4;
  const vp = ddpm(discreteVp({ steps: 20 }), { prediction: "epsilon" }).chain;
  for (const [name, chain] of [
    ["interpolant", flow(20, 1)],
    ["vp", vp],
  ] as const) {
    const { alpha, noise } = chain.levels!;
    /** The frozen quantity computed from x and x0 by its definition. */
    const definitions: Record<string, (x: number, x0: number, k: number) => number> = {
      output: (_x, x0) => x0,
      x0: (_x, x0) => x0,
      epsilon: (x, x0, k) => (x - alpha[k]! * x0) / noise[k]!,
      score: (x, x0, k) => -(x - alpha[k]! * x0) / noise[k]! ** 2,
      velocity: (x, x0, k) => {
        const epsilon = (x - alpha[k]! * x0) / noise[k]!;
        return name === "vp" ? alpha[k]! * epsilon - noise[k]! * x0 : epsilon - x0;
      },
      increment: (x, x0, k) => chain.a[k]! * x + chain.b[k]! * x0 - x,
    };
    for (const [kind, value] of Object.entries(definitions)) {
      it(`${kind} stays what it was at the anchor, ${name}`, () => {
        const drafter = frozen(chain, kind) as Drafter;
        const memory = drafter.open(0);
        const state = Float64Array.of(0.3, -1, 2, 0.7);
        const output = Float64Array.of(0.5, 0.1, -0.4, 1.1);
        const later = Float64Array.of(-0.2, 0.9, 1.5, 0.4);
        drafter.anchor!(memory, { step: 3, state, output });
        const rows = new RowBuffer(dim);
        rows.push(0, 7, chain, later, 0);
        const guess = drafter.guess(rows, [memory]) as Float64Array;
        for (let i = 0; i < dim; i++) {
          const expected = value(state[i]!, output[i]!, 3);
          assert.ok(Math.abs(value(later[i]!, guess[i]!, 7) - expected) < 1e-12 * (1 + Math.abs(expected)));
        }
      });
    }
  }
});

describe("the basis of images", () => {
  for (const shape of [
    [3, 32, 32],
    [1, 8, 12],
    [3, 9, 16],
  ] as const) {
    const [channels, height, width] = shape;
    const dim = channels * height * width;
    const basis = imageBasis(shape);
    const x = new Float64Array(dim + 5);
    new RandomStream(4).normals(x);
    it(`is orthonormal and undoes itself, ${shape.join(" x ")}`, () => {
      const coordinates = new Float64Array(dim);
      const back = new Float64Array(dim + 2);
      basis.forward(x, 5, coordinates);
      basis.inverse(coordinates, back, 2);
      for (let i = 0; i < dim; i++) assert.ok(Math.abs(back[i + 2]! - x[i + 5]!) < 1e-12);
      const power = (values: Float64Array) => values.reduce((sum, value) => sum + value * value, 0);
      assert.ok(Math.abs(power(coordinates) / power(x.subarray(5)) - 1) < 1e-12);
    });
    it(`puts a cosine into its own coordinate and band, ${shape.join(" x ")}`, () => {
      const [u, v] = [3, 2];
      const grey = new Float64Array(dim);
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < height; i++) {
          for (let j = 0; j < width; j++) {
            grey[(c * height + i) * width + j] =
              Math.cos((Math.PI * v * (2 * i + 1)) / (2 * height)) *
              Math.cos((Math.PI * u * (2 * j + 1)) / (2 * width));
          }
        }
      }
      const coordinates = new Float64Array(dim);
      basis.forward(grey, 0, coordinates);
      const largest = coordinates.reduce(
        (best, value, i) => (Math.abs(value) > Math.abs(coordinates[best]!) ? i : best),
        0,
      );
      assert.equal(largest, u * height + v);
      assert.equal(basis.band[largest], 1 + Math.floor(3 * Math.log2(Math.hypot(u, v))));
      assert.ok(coordinates.every((value, i) => i === largest || Math.abs(value) < 1e-10));
    });
  }
});

describe("posterior", () => {
  it("is exact for a Gaussian once its variance is known, from any anchor to any later step", async () => {
    const chain = flow(30, 0.7);
    const { alpha, noise } = chain.levels!;
    const dim = 6;
    const variance = 0.3;
    const gaussian: Model = {
      dim,
      evaluate(rows) {
        return rows.states.map((x, i) => {
          const k = rows.step[Math.floor(i / dim)]!;
          const mean = 0.4 * ((i % dim) - 2);
          return (
            mean + ((alpha[k]! * variance) / (alpha[k]! ** 2 * variance + noise[k]! ** 2)) * (x - alpha[k]! * mean)
          );
        });
      },
    };
    const late: number[] = [];
    const { record } = await sample({
      chain,
      model: gaussian,
      drafter: posterior(chain, [dim]),
      verifier: reflection,
      window: fixedWindow(10),
      count: 4,
      seed: 1,
      onRound: ({ step, delta }) => {
        if (step >= 12) late.push(...delta.filter((value) => !Number.isNaN(value)));
      },
    });
    assert.ok(Math.max(...late) < 0.15, `delta ${Math.max(...late)} after learning`);
    assert.ok(record.speedup! > 5);
  });
  it("does not need levels: a linear gradient is learnt as a slope", async () => {
    const steps = 60;
    const column = (value: number) => new Float64Array(steps).fill(value);
    const chain = {
      a: column(1),
      b: column(-0.05),
      sigma: column(0.3),
      time: column(0),
      initialSigma: 1,
      readings: {},
    };
    const model: Model = { dim: 8, evaluate: (rows) => rows.states.map((x) => 1.7 * x) };
    const options = { chain, model, verifier: reflection, window: fixedWindow(10), count: 4, seed: 1 };
    const learnt = await sample({ ...options, drafter: posterior(chain, [8]) });
    const constant = await sample({ ...options, drafter: frozen(chain, "output") });
    assert.ok(
      learnt.record.speedup! > 1.3 * constant.record.speedup!,
      `${learnt.record.speedup} against ${constant.record.speedup}`,
    );
  });
});

it("the registry explains what it knows", () => {
  const context = { chain: flow(20, 1), shape: [2] };
  assert.throws(
    () => createDrafter("magic", context),
    /unknown drafter "magic"; known are auto, none, frozen, independent, posterior/,
  );
  assert.throws(() => createDrafter("independent", context), /needs a draft network/);
  assert.equal(createDrafter("frozen", context).name, "frozen:x0");
});
