import assert from "node:assert/strict";
import { test } from "node:test";
import { stepsOf } from "../core/chain.js";
import { type Model, RowBuffer } from "../core/model.js";
import { ancestral, ddpm } from "./ancestral.js";
import { denoiser } from "./denoiser.js";
import { scheduleFromConfig } from "./diffusers.js";
import { karrasGrid, timeGrid } from "./grids.js";
import { continuousVp, discreteVe, discreteVp, interpolant, ve } from "./levels.js";
import { reverseSde } from "./reverse-sde.js";
import { type Levels, makeSchedule, type Prediction, type Schedule } from "./schedule.js";

const close = (value: number, expected: number, tolerance = 1e-12) =>
  assert.ok(
    Math.abs(value - expected) <= tolerance * Math.max(1, Math.abs(expected)),
    `${value}, expected ${expected}`,
  );

const everyPath: [name: string, levels: Levels][] = [
  ["discrete vp", discreteVp({ steps: 8 })],
  ["continuous vp", continuousVp(timeGrid({ steps: 8, start: 1 }))],
  ["discrete ve", discreteVe({ steps: 8, spacing: "linspace" })],
  ["ve", ve(karrasGrid({ steps: 8, sigmaMin: 0.1, sigmaMax: 9 }))],
  ["interpolant", interpolant(timeGrid({ steps: 8 }))],
];

/** What networks are trained to return, from their papers. */
const trained: Record<Prediction, (x0: number, epsilon: number, alpha: number, noise: number) => number> = {
  epsilon: (_, epsilon) => epsilon,
  sample: (x0) => x0,
  v_prediction: (x0, epsilon, alpha, noise) =>
    Math.cos(Math.atan(noise / alpha)) * epsilon - Math.sin(Math.atan(noise / alpha)) * x0,
  flow: (x0, epsilon) => epsilon - x0,
};

for (const [name, levels] of everyPath) {
  test(`${name}: every prediction reads out as x0, through the denoiser`, async () => {
    const [x0, epsilon] = [0.3, -1.2];
    for (const prediction of Object.keys(trained) as Prediction[]) {
      for (const scaleInput of [false, true]) {
        const { chain, readout } = ancestral(levels, { prediction, scaleInput });
        const rows = new RowBuffer(1);
        for (let k = 0; k < stepsOf(chain); k++) {
          rows.push(0, k, chain, Float64Array.of(levels.alpha[k]! * x0 + levels.noise[k]! * epsilon), 0);
        }
        const network: Model = {
          dim: 1,
          evaluate: ({ step, count, states }) =>
            Float64Array.from({ length: count }, (_, row) => {
              const alpha = levels.alpha[step[row]!]!;
              const noise = levels.noise[step[row]!]!;
              const scale = scaleInput ? 1 / Math.sqrt(alpha ** 2 + noise ** 2) : 1;
              close(states[row]!, scale * (alpha * x0 + noise * epsilon));
              return trained[prediction](x0, epsilon, alpha, noise);
            }),
        };
        const outputs = await denoiser(network, readout).evaluate(rows);
        // epsilon at the noisy end: the rounding of x is divided by alpha
        for (let k = 0; k < rows.count; k++)
          close(outputs[k]!, x0, 1e-14 * Math.max(10, levels.noise[k]! / levels.alpha[k]!));
      }
    }
  });

  test(`${name}: readings are what they are called`, () => {
    const [x0, epsilon] = [0.3, -1.2];
    const { chain } = reverseSde(levels, { prediction: "sample", churn: 0.5 });
    const velocities = {
      vp: (alpha: number, noise: number) => alpha * epsilon - noise * x0,
      ve: () => epsilon,
      interpolant: () => epsilon - x0,
    };
    for (let k = 0; k < stepsOf(chain); k++) {
      const alpha = levels.alpha[k]!;
      const noise = levels.noise[k]!;
      const x = alpha * x0 + noise * epsilon;
      const reading = (of: string) => chain.readings[of]!.p[k]! * x + chain.readings[of]!.q[k]! * x0;
      close(reading("x0"), x0);
      close(reading("epsilon"), epsilon);
      close(reading("score"), -(x - alpha * x0) / noise ** 2);
      close(reading("velocity"), velocities[levels.path](alpha, noise));
      close(x + levels.duration[k]! * reading("drift"), chain.a[k]! * x + chain.b[k]! * x0);
    }
  });
}

test("at pure noise epsilon and score say nothing about x0, velocity does, and all is finite", () => {
  for (const levels of [
    interpolant(timeGrid({ steps: 5, start: 1 })),
    discreteVp({ steps: 5, spacing: "trailing", zeroSnr: true }),
  ]) {
    assert.equal(levels.alpha[0], 0);
    const { readings } = ancestral(levels, { prediction: "v_prediction" }).chain;
    for (const { p, q } of Object.values(readings)) assert.ok([...p, ...q].every(Number.isFinite));
    assert.ok(readings.epsilon!.q[0] === 0 && readings.score!.q[0] === 0);
    assert.ok(readings.epsilon!.q[1] !== 0 && readings.score!.q[1] !== 0);
    assert.equal(readings.velocity!.q[0], -1);
    assert.throws(() => ancestral(levels, { prediction: "epsilon" }), {
      code: "unsupported-schedule",
      message: /pure noise .*epsilon says nothing about x0; use .*v_prediction or sample/,
    });
  }
});

test("on a uniform grid drift and increment are the same reading", () => {
  const { chain } = reverseSde(interpolant(timeGrid({ steps: 10, start: 1 })), { prediction: "flow" });
  for (let k = 0; k < 10; k++) {
    close(chain.readings.drift!.p[k]! * 0.1, chain.a[k]! - 1);
    close(chain.readings.drift!.q[k]! * 0.1, chain.b[k]!);
  }
});

test("Y_0", () => {
  const { chain: line } = ancestral(interpolant(timeGrid({ steps: 10 })), { prediction: "flow" });
  const { chain: circle } = ddpm(discreteVp({ steps: 10 }), { prediction: "epsilon" });
  const { chain: exploding } = ancestral(ve([7, 2, 0]), { prediction: "sample" });
  assert.deepEqual([line.initialSigma, circle.initialSigma, exploding.initialSigma], [1, 1, 7]);
});

test("levels that do not lead from noise to data are refused, saying where", () => {
  const levels = ve([3, 2, 1]);
  const step = () => ({ a: 1, b: 0, sigma: 0 });
  const made = (change: Partial<Levels>) => () =>
    makeSchedule("x", { ...levels, ...change }, { prediction: "sample" }, step);
  const refused: [() => Schedule, RegExp][] = [
    [
      made({ noise: Float64Array.of(3, 3.5, 1) }),
      /step 0 leads from alpha 1, noise 3 to alpha 1, noise 3.5, which is noisier/,
    ],
    [made({ noise: Float64Array.of(3, 0, 0) }), /step 1 starts at alpha 1, noise 0; noise must be above 0/],
    [made({ alpha: Float64Array.of(0, 0, 1) }), /step 0 ends at alpha 0, noise 2; alpha must be above 0/],
    [made({ noise: Float64Array.of(3, 2) }), /levels.noise has 2 entries; 2 steps need 3/],
    [made({ duration: Float64Array.of(1, 0) }), /step 1 has duration 0, speed 1; it must last/],
    [made({ time: Float64Array.of() }), /no steps/],
    [made({ time: Float64Array.of(1, Number.NaN) }), /chain.time\[1\] is NaN; it must be finite/],
    [
      () => ancestral(levels, { prediction: "noise" as never }),
      /prediction is "noise"; it must be one of: epsilon, sample/,
    ],
    [() => ancestral(levels, { prediction: "sample", clip: 0 }), /clip is 0; it must be above 0/],
  ];
  for (const [make, message] of refused) assert.throws(make, { name: "SpecdiffError", code: "bad-argument", message });
});

test("denoiser: clips, keeps NaN, reads float32, does not touch its input, reuses its output", async () => {
  const { chain, readout } = scheduleFromConfig(
    { _class_name: "DDPMScheduler", clip_sample_range: 0.5 },
    { steps: 10 },
  );
  let calls = 0;
  const network: Model = {
    dim: 3,
    evaluate: (rows) => {
      calls++;
      assert.equal(rows.states, buffer.states); // nothing to scale: the rows go through as they are
      return Float32Array.from({ length: 3 * rows.count + 5 }, (_, i) => (i === 1 ? Number.NaN : i === 2 ? -40 : 0));
    },
  };
  const buffer = new RowBuffer(3);
  buffer.push(0, 9, chain, Float64Array.of(0.1, 0.1, 0.1), 0);
  buffer.push(1, 0, chain, Float64Array.of(0.1, 0.1, -9), 0);
  const before = buffer.states.slice();
  const model = denoiser(network, readout);
  const outputs = await model.evaluate(buffer);
  close(outputs[0]!, 0.1 / Math.sqrt(1 - 1e-4));
  assert.ok(Number.isNaN(outputs[1]));
  assert.equal(outputs[2], 0.5);
  assert.equal(outputs[5], -0.5);
  assert.deepEqual(buffer.states, before);
  assert.equal(await model.evaluate(buffer), outputs);
  assert.equal(calls, 2);
});

test("denoiser: passes on the signal, and says what is wrong with an output or a step", async () => {
  const { chain, readout } = ancestral(interpolant(timeGrid({ steps: 4 })), { prediction: "flow" });
  const rows = new RowBuffer(2);
  for (let k = 0; k < 3; k++) rows.push(k, k, chain, Float64Array.of(0, 0), 0);
  const { signal } = new AbortController();
  const model = denoiser(
    {
      dim: 2,
      evaluate: (_, given) => {
        assert.equal(given, signal);
        return new Float32Array(5);
      },
    },
    readout,
  );
  await assert.rejects(async () => model.evaluate(rows, signal), {
    code: "bad-output",
    message: "the network returned 5 numbers; 3 rows of 2 need 6",
  });
  const short = ancestral(interpolant(timeGrid({ steps: 2 })), { prediction: "flow" }).readout;
  await assert.rejects(async () => denoiser({ dim: 2, evaluate: () => new Float64Array(6) }, short).evaluate(rows), {
    code: "bad-argument",
    message: /row 2 is at step 2, but the readout has 2 steps/,
  });
});
