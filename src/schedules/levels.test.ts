import assert from "node:assert/strict";
import { test } from "node:test";
import { karrasGrid, timeGrid } from "./grids.js";
import { continuousVp, discreteVe, discreteVp, interpolant, ve } from "./levels.js";

const close = (value: number, expected: number, tolerance = 1e-12) =>
  assert.ok(
    Math.abs(value - expected) <= tolerance * Math.max(1, Math.abs(expected)),
    `${value}, expected ${expected}`,
  );

test("vp levels have unit energy, ve keeps the data, the interpolant is a line", () => {
  for (const levels of [discreteVp({ steps: 50 }), continuousVp(timeGrid({ steps: 20, start: 1 }))]) {
    levels.alpha.forEach((alpha, k) => {
      close(alpha ** 2 + levels.noise[k]! ** 2, 1);
    });
  }
  assert.ok(ve(karrasGrid({ steps: 5 })).alpha.every((alpha) => alpha === 1));
  const { alpha, noise, time } = interpolant(timeGrid({ steps: 4, start: 1 }), { time: (t) => 1000 * t });
  assert.deepEqual([...noise], [1, 0.75, 0.5, 0.25, 0]);
  assert.deepEqual([...alpha], [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual([...time], [1000, 750, 500, 250]);
});

test("grids", () => {
  const grid = timeGrid({ steps: 100 });
  assert.equal(grid.length, 101);
  assert.equal(grid[0], 0.99);
  assert.equal(grid[100], 0);
  assert.equal(timeGrid({ steps: 9 })[0], 0.9);
  assert.deepEqual([...timeGrid({ steps: 2, start: 0.8, end: 0.2 })], [0.8, 0.5, 0.2]);
  const shifted = timeGrid({ steps: 10, start: 1, shift: 3 });
  assert.equal(shifted[0], 1);
  assert.equal(shifted[10], 0);
  close(shifted[5]!, 1.5 / 2);
  const sigmas = karrasGrid({ steps: 18 });
  close(sigmas[0]!, 80);
  close(sigmas[17]!, 0.002);
  assert.equal(sigmas[18], 0);
  close(sigmas[1]!, (80 ** (1 / 7) + (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 17) ** 7);
});

test("the speed of a path's parameter", () => {
  // d atan(noise/alpha) / dt by central differences of the closed form alpha = exp(-t betaMin/2 - t^2 (betaMax-betaMin)/4)
  const [betaMin, betaMax] = [0.3, 7];
  const alphaAt = (t: number) => Math.exp(-(t * betaMin) / 2 - (t * t * (betaMax - betaMin)) / 4);
  const angleAt = (t: number) => Math.acos(alphaAt(t));
  const { time, speed, duration } = continuousVp(timeGrid({ steps: 10, start: 1 }), { betaMin, betaMax });
  time.forEach((t, k) => {
    close(speed[k]!, (angleAt(t + 1e-5) - angleAt(t - 1e-5)) / 2e-5, 1e-7);
    close(duration[k]!, 0.1);
  });
  // on the discrete path speed x duration is the angle walked
  const levels = discreteVp({ steps: 13, spacing: "linspace" });
  let angle = 0;
  levels.speed.forEach((value, k) => {
    angle += value * levels.duration[k]!;
  });
  close(angle, Math.atan2(levels.noise[0]!, levels.alpha[0]!));
});

test("discrete ve levels are vp levels divided by alpha", () => {
  const options = { steps: 25, betaSchedule: "scaled_linear", spacing: "leading" } as const;
  const [vp, ratio] = [discreteVp(options), discreteVe(options)];
  ratio.noise.forEach((sigma, k) => {
    close(sigma, vp.noise[k]! / vp.alpha[k]!);
  });
  assert.deepEqual(ratio.time, vp.time);
});

test("small betas keep their digits", () => {
  const beta = 1e-9;
  const { noise } = discreteVp({ steps: 3, trainSteps: 3, betas: [beta, beta, beta] });
  close(noise[2]! / Math.sqrt(beta), 1, 1e-14);
  close(noise[0]! ** 2 / (3 * beta - 3 * beta ** 2), 1, 1e-14);
});

test("timesteps as in diffusers, halves rounded to even", () => {
  const times = (options: Parameters<typeof discreteVp>[0]) => [...discreteVp(options).time];
  assert.deepEqual(times({ steps: 4, stepsOffset: 1 }), [751, 501, 251, 1]);
  assert.deepEqual(times({ steps: 3, trainSteps: 10, spacing: "linspace" }), [9, 4, 0]); // 4.5 -> 4
  assert.deepEqual(times({ steps: 3, trainSteps: 12, spacing: "linspace" }), [11, 6, 0]); // 5.5 -> 6
  assert.deepEqual(times({ steps: 4, trainSteps: 10, spacing: "trailing" }), [9, 7, 4, 1]); // 10, 7.5, 5, 2.5
  assert.deepEqual(times({ steps: 1 }), [0]);
  assert.equal(times({ steps: 1000 })[0], 999);
});

test("what cannot be a grid is refused, saying where", () => {
  const refused: [() => unknown, RegExp][] = [
    [() => interpolant([0.5]), /times has 1 entries; one step needs two/],
    [() => interpolant([0.9, 0.95]), /times\[1\] is 0.95; times must lie in \[0, 1\] and fall/],
    [() => interpolant([1.2, 0]), /times\[0\] is 1.2/],
    [() => interpolant([0.5, Number.NaN]), /times\[1\] is NaN/],
    [() => ve([2, 1, -1]), /sigmas\[2\] is -1/],
    [() => timeGrid({ steps: 0 }), /steps is 0/],
    [() => timeGrid({ steps: 5, shift: 0 }), /shift is 0/],
    [() => karrasGrid({ steps: 5, sigmaMin: 3, sigmaMax: 2 }), /sigmaMin is 3/],
    [() => continuousVp([1, 0], { betaMin: -1 }), /betaMin is -1/],
    [() => discreteVp({ steps: 1001 }), /steps is 1001; it must be a whole number, from 1 to 1000/],
    [() => discreteVp({ steps: 1000, stepsOffset: 1 }), /starts at timestep 1000, but training ended at 999/],
    [() => discreteVp({ steps: 3, stepsOffset: 400 }), /take fewer steps or stepsOffset 333 at most/],
    [() => discreteVp({ steps: 3, trainSteps: 3, betas: [0.1, 0.2] }), /2 betas for 3 training steps/],
    [() => discreteVp({ steps: 2, trainSteps: 2, betas: [0.1, 1.5] }), /beta 1 is 1.5/],
    [() => discreteVp({ steps: 5, betaSchedule: "cosine" as never }), /betaSchedule is "cosine".*scaled_linear/],
    [() => discreteVp({ steps: 5, spacing: "even" as never }), /spacing is "even".*trailing/],
  ];
  for (const [make, message] of refused) assert.throws(make, { name: "SpecdiffError", code: "bad-argument", message });
});
