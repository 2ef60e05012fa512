import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestral, ddpm, renoise } from "./ancestral.js";
import { karrasGrid, timeGrid } from "./grids.js";
import { continuousVp, discreteVp, interpolant, ve } from "./levels.js";
import type { Levels } from "./schedule.js";

const sample = { prediction: "sample" } as const;

const close = (value: number, expected: number, tolerance = 1e-10) =>
  assert.ok(Math.abs(value - expected) <= tolerance * Math.abs(expected), `${value}, expected ${expected}`);

/** Mean and variance of x given x0 = 1, and how the noise at s and at t correlate: all that conditioning needs. */
interface Joint {
  readonly meanS: number;
  readonly meanT: number;
  readonly varianceS: number;
  readonly varianceT: number;
  readonly covariance: number;
}

/** x_s | x_t, x0 of a joint Gaussian: E = weight x_t + shift x0. */
function condition({ meanS, meanT, varianceS, varianceT, covariance }: Joint) {
  const weight = covariance / varianceT;
  return { weight, shift: meanS - weight * meanT, variance: varianceS - covariance * weight };
}

/** The forward chain x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) w_i, run from data through timestep s to timestep t. */
function forward(betas: readonly number[], s: number, t: number): Joint {
  let [mean, variance] = [1, 0];
  let [meanS, varianceS, covariance] = [1, 0, 0]; // s = -1 is the data
  for (let i = 0; i <= t; i++) {
    const beta = betas[i]!;
    mean *= Math.sqrt(1 - beta);
    variance = (1 - beta) * variance + beta;
    covariance *= Math.sqrt(1 - beta);
    if (i === s) {
      [meanS, varianceS] = [mean, variance];
      covariance = variance;
    }
  }
  return { meanS, meanT: mean, varianceS, varianceT: variance, covariance };
}

const betas = Array.from({ length: 60 }, (_, i) => 0.002 + 0.004 * i * (1.3 + Math.sin(i)));

test("DDPM is the forward process conditioned on x_t and x0", () => {
  for (const steps of [60, 20, 7, 1]) {
    for (const spacing of ["leading", "linspace", "trailing"] as const) {
      const levels = discreteVp({ steps, spacing, trainSteps: 60, betas });
      const { chain } = ddpm(levels, sample);
      const large = ddpm(levels, { ...sample, variance: "fixed_large" }).chain;
      for (let k = 0; k < steps; k++) {
        const joint = forward(betas, chain.time[k + 1] ?? -1, chain.time[k]!);
        const { weight, shift, variance } = condition(joint);
        close(chain.b[k]!, shift);
        if (k === steps - 1) {
          assert.equal(chain.a[k], 0);
          assert.equal(chain.sigma[k], 0);
          assert.equal(large.sigma[k], 0);
        } else {
          close(chain.a[k]!, weight);
          close(chain.sigma[k]!, Math.sqrt(variance));
          // q(x_t | x_s): what of the variance at t does not come from s
          close(large.sigma[k]!, Math.sqrt(joint.varianceT - joint.covariance ** 2 / joint.varianceS));
          close(large.a[k]!, weight);
        }
      }
    }
  }
});

/** Joint law of dX = f X dt + g dW from t = 0, by Runge-Kutta on its moments; independent of any closed form for them. */
function diffusion(f: (t: number) => number, g2: (t: number) => number, s: number, t: number): Joint {
  const steps = 4000;
  const run = (from: number, to: number, state: readonly [number, number, number]) => {
    // d mean = f mean, d variance = 2 f variance + g^2, d covariance with X_s = f covariance
    let y = [...state];
    const h = (to - from) / steps;
    const slope = (u: number, [mean, variance, covariance]: number[]) => [
      f(u) * mean!,
      2 * f(u) * variance! + g2(u),
      f(u) * covariance!,
    ];
    const moved = (by: number, along: number[]) => y.map((value, i) => value + by * along[i]!);
    for (let i = 0; i < steps; i++) {
      const u = from + i * h;
      const k1 = slope(u, y);
      const k2 = slope(u + h / 2, moved(h / 2, k1));
      const k3 = slope(u + h / 2, moved(h / 2, k2));
      const k4 = slope(u + h, moved(h, k3));
      y = y.map((value, j) => value + (h / 6) * (k1[j]! + 2 * k2[j]! + 2 * k3[j]! + k4[j]!));
    }
    return y as [number, number, number];
  };
  const [meanS, varianceS] = run(0, s, [1, 0, 0]);
  const [meanT, varianceT, covariance] = run(s, t, [meanS, varianceS, varianceS]);
  return { meanS, meanT, varianceS, varianceT, covariance };
}

/** Textbook drift f X and squared diffusion g^2 of the forward process, in the time of the grid. */
const families = [
  {
    name: "interpolant",
    grid: [0.95, 0.8, 0.5, 0.45, 0.1],
    levels: (grid: number[]) => interpolant(grid),
    f: (t: number) => -1 / (1 - t),
    g2: (t: number) => (2 * t) / (1 - t),
  },
  { name: "ve", grid: [5, 3, 1, 0.9, 0.2], levels: (grid: number[]) => ve(grid), f: () => 0, g2: (t: number) => 2 * t },
  {
    name: "vp",
    grid: [1, 0.8, 0.5, 0.45, 0.1],
    levels: (grid: number[]) => continuousVp(grid, { betaMin: 0.2, betaMax: 6 }),
    f: (t: number) => -(0.2 + 5.8 * t) / 2,
    g2: (t: number) => 0.2 + 5.8 * t,
  },
];

for (const { name, grid, levels: along, f, g2 } of families) {
  test(`ancestral steps on ${name}: eta = 1 is the forward SDE conditioned on x_t and x0, every eta keeps the marginals`, () => {
    const levels = along(grid);
    for (let k = 0; k < levels.time.length; k++) {
      const joint = diffusion(f, g2, grid[k + 1]!, grid[k]!);
      const { weight, shift, variance } = condition(joint);
      const full = ancestral(levels, sample).chain;
      close(full.a[k]!, weight);
      close(full.b[k]!, shift);
      close(full.sigma[k]!, Math.sqrt(variance));
      for (const eta of [0, 0.4, 1, 1.005]) {
        const { a, b, sigma } = ancestral(levels, { ...sample, eta }).chain;
        // sigma fixes a and b: the mean and variance at s follow from those at t
        if (eta > 0) close(sigma[k]!, eta * Math.sqrt(variance));
        assert.ok(a[k]! >= 0);
        close(a[k]! * joint.meanT + b[k]!, joint.meanS);
        close(a[k]! ** 2 * joint.varianceT + sigma[k]! ** 2, joint.varianceS);
      }
    }
  });
}

test("DDIM with eta 1 is DDPM with small variance; with eta 0 it is deterministic", () => {
  const levels = discreteVp({ steps: 1000, betaSchedule: "squaredcos_cap_v2" });
  const [small, all] = [ddpm(levels, sample).chain, ancestral(levels, sample).chain];
  assert.deepEqual([small.a, small.b, small.sigma], [all.a, all.b, all.sigma]);
  assert.ok(ancestral(levels, { ...sample, eta: 0 }).chain.sigma.every((sigma) => sigma === 0));
});

test("the last step to data returns x0, a last step that stands still returns its state", () => {
  for (const levels of [discreteVp({ steps: 9 }), interpolant(timeGrid({ steps: 9 })), ve(karrasGrid({ steps: 9 }))]) {
    const { a, b, sigma } = ancestral(levels, sample).chain;
    assert.deepEqual([a[8], b[8], sigma[8]], [0, 1, 0]);
  }
  const { a, b, sigma } = ancestral(discreteVp({ steps: 9, end: "first" }), sample).chain;
  assert.deepEqual([a[8], b[8], sigma[8]], [1, 0, 0]);
});

test("scaling a path scales its chain: the interpolant is vp in other units", () => {
  const line = interpolant(timeGrid({ steps: 30, start: 1 }));
  const scale = line.alpha.map((alpha, k) => 1 / Math.hypot(alpha, line.noise[k]!));
  const circle: Levels = {
    ...line,
    path: "vp",
    alpha: line.alpha.map((alpha, k) => scale[k]! * alpha),
    noise: line.noise.map((noise, k) => scale[k]! * noise),
  };
  for (const eta of [0.3, 1]) {
    const [on, off] = [ancestral(circle, { ...sample, eta }).chain, ancestral(line, { ...sample, eta }).chain];
    for (let k = 0; k < 29; k++) {
      close(on.a[k]! + 1, (scale[k + 1]! / scale[k]!) * off.a[k]! + 1);
      close(on.b[k]!, scale[k + 1]! * off.b[k]!);
      close(on.sigma[k]!, scale[k + 1]! * off.sigma[k]!);
    }
  }
});

test("re-noising is the member of the family with the most noise", () => {
  const levels = interpolant([0.9, 0.6, 0.2, 0]);
  const { a, b, sigma } = renoise(levels, sample).chain;
  assert.deepEqual([...a], [0, 0, 0]);
  assert.deepEqual([...b], [1 - 0.6, 1 - 0.2, 1]);
  assert.deepEqual([...sigma], [0.6, 0.2, 0]);
  const r = 0.1 / 0.9 / (0.4 / 0.6);
  const { chain } = ancestral(interpolant([0.9, 0.6]), { ...sample, eta: (1 - 1e-14) / Math.sqrt(1 - r * r) });
  assert.ok(chain.a[0]! < 1e-6);
  close(chain.sigma[0]!, 0.6);
});

test("impossible noise is refused", () => {
  const levels = interpolant(timeGrid({ steps: 10 }));
  const refused: [() => unknown, RegExp][] = [
    [() => ancestral(levels, { ...sample, eta: -1 }), /eta is -1; it must be at least 0/],
    [() => ancestral(levels, { ...sample, eta: Number.NaN }), /eta is NaN/],
    [
      () => ancestral(levels, { ...sample, eta: 3 }),
      /eta 3 adds more noise in step 0 than level 1 has; it can be at most 1\.\d+/,
    ],
    [() => ddpm(levels, { ...sample, variance: "learned" as never }), /variance is "learned"; .*fixed_small/],
  ];
  for (const [make, message] of refused) assert.throws(make, { name: "SpecdiffError", code: "bad-argument", message });
});
