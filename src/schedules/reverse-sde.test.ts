import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestral } from "./ancestral.js";
import { karrasGrid, timeGrid } from "./grids.js";
import { continuousVp, discreteVp, interpolant, ve } from "./levels.js";
import { reverseSde } from "./reverse-sde.js";
import type { Schedule } from "./schedule.js";

const sample = { prediction: "sample" } as const;

const close = (value: number, expected: number, tolerance = 1e-10) =>
  assert.ok(Math.abs(value - expected) <= tolerance * Math.abs(expected), `${value}, expected ${expected}`);

/** Forward SDE dX = f X dt + g dW and its marginals by their textbook closed forms. */
const processes = [
  {
    name: "interpolant",
    grid: [0.95, 0.9, 0.84, 0.75, 0.6],
    levels: (grid: number[]) => interpolant(grid),
    f: (t: number) => -1 / (1 - t),
    g2: (t: number) => (2 * t) / (1 - t),
    alpha: (t: number) => 1 - t,
    variance: (t: number) => t * t,
  },
  {
    name: "ve",
    grid: [9, 7, 6.5, 5, 3.5],
    levels: (grid: number[]) => ve(grid),
    f: () => 0,
    g2: (t: number) => 2 * t,
    alpha: () => 1,
    variance: (t: number) => t * t,
  },
  {
    name: "vp",
    grid: [1, 0.8, 0.5, 0.45, 0.3],
    levels: (grid: number[]) => continuousVp(grid, { betaMin: 0.2, betaMax: 6 }),
    f: (t: number) => -(0.2 + 5.8 * t) / 2,
    g2: (t: number) => 0.2 + 5.8 * t,
    alpha: (t: number) => Math.exp(-0.1 * t - 1.45 * t * t),
    variance: (t: number) => 1 - Math.exp(-0.2 * t - 2.9 * t * t),
  },
];

for (const { name, grid, levels, f, g2, alpha, variance } of processes) {
  test(`${name}: the Euler-Maruyama step of dY = [-f Y + (1 + eps^2)/2 g^2 score] dt + eps g dW`, () => {
    for (const churn of [0, 0.06, 0.5, 1]) {
      const { chain } = reverseSde(levels(grid), { ...sample, churn });
      for (let k = 0; k < grid.length - 1; k++) {
        const t = grid[k]!;
        const h = t - grid[k + 1]!;
        for (const [y, x0] of [
          [1, 0],
          [0, 1],
          [0.3, -1.7],
        ] as const) {
          const score = (alpha(t) * x0 - y) / variance(t);
          const mean = y + h * (-f(t) * y + ((1 + churn ** 2) / 2) * g2(t) * score);
          close(chain.a[k]! * y + chain.b[k]! * x0 + 5, mean + 5); // + 5: some of the means nearly cancel
        }
        close(chain.sigma[k]!, churn * Math.sqrt(h * g2(t)));
      }
    }
  });
}

test("interpolant: the formula in x and v of De Bortoli et al.; plain Euler from t = 1 and to t = 0", () => {
  const times = timeGrid({ steps: 40, start: 1 });
  const churn = 0.7;
  const { a, b, sigma } = reverseSde(interpolant(times), { prediction: "flow", churn }).chain;
  for (let k = 0; k < 40; k++) {
    const t = times[k]!;
    const h = t - times[k + 1]!;
    const plain = k === 0 || k === 39;
    const ofState = plain ? 1 : 1 - (h * churn ** 2) / (1 - t);
    const ofVelocity = plain ? -h : -h * (1 + churn ** 2);
    // v = (x - x0) / t
    close(a[k]! + 1, ofState + ofVelocity / t + 1);
    close(b[k]!, -ofVelocity / t);
    if (plain) assert.equal(sigma[k], 0);
    else close(sigma[k]!, churn * Math.sqrt(((2 * t) / (1 - t)) * h));
  }
});

test("a step between equal levels stands still", () => {
  const { a, b, sigma } = reverseSde(discreteVp({ steps: 20, end: "first" }), sample).chain;
  assert.deepEqual([a[19], b[19], sigma[19]], [1, 0, 0]);
});

test("churn 0 is deterministic; so is a step from pure noise and one to data", () => {
  for (const levels of [interpolant(timeGrid({ steps: 9, start: 1 })), discreteVp({ steps: 50 })]) {
    assert.ok(reverseSde(levels, { ...sample, churn: 0 }).chain.sigma.every((sigma) => sigma === 0));
    assert.equal(reverseSde(levels, sample).chain.sigma.at(-1), 0);
  }
  const zeroSnr = discreteVp({ steps: 50, spacing: "trailing", zeroSnr: true });
  assert.equal(reverseSde(zeroSnr, sample).chain.sigma[0], 0);
  assert.ok(reverseSde(zeroSnr, sample).chain.sigma[1]! > 0);
});

test("Euler-Maruyama approaches the ancestral chain, with an error of order h^2 in one step", () => {
  const cases = [
    (h: number) => interpolant([0.6, 0.6 - h]),
    (h: number) => ve([2, 2 - h]),
    (h: number) => continuousVp([0.6, 0.6 - h]),
  ];
  const gap = (levels: ReturnType<(typeof cases)[number]>) => {
    const [sde, exact] = [reverseSde(levels, sample).chain, ancestral(levels, sample).chain];
    return [
      sde.a[0]! - exact.a[0]!,
      sde.b[0]! - exact.b[0]!,
      sde.sigma[0]! ** 2 - exact.sigma[0]! ** 2, // variances: of order h themselves
    ];
  };
  for (const levels of cases) {
    const [coarse, fine] = [gap(levels(1e-3)), gap(levels(1e-4))];
    for (let i = 0; i < 3; i++) close(fine[i]! / coarse[i]!, 0.01, 0.02);
  }
});

test("with the exact denoiser of Gaussian data every chain ends near the data's variance, and nearer with more steps", () => {
  // x0 ~ N(0, s^2): E[x0|x] = alpha s^2 x / (alpha^2 s^2 + noise^2), so the variance of the chain is a recursion.
  const s2 = 0.36;
  const terminal = ({ chain, alpha, noise }: Schedule) =>
    chain.sigma.reduce((variance, sigma, k) => {
      const slope = (alpha[k]! * s2) / (alpha[k]! ** 2 * s2 + noise[k]! ** 2);
      return (chain.a[k]! + chain.b[k]! * slope) ** 2 * variance + sigma ** 2;
    }, chain.initialSigma ** 2);
  const chains: [name: string, make: (steps: number) => Schedule][] = [
    ["interpolant", (steps) => reverseSde(interpolant(timeGrid({ steps, start: 1 })), sample)],
    ["vp", (steps) => reverseSde(continuousVp(timeGrid({ steps, start: 1 })), sample)],
    ["vp, churn 0.5", (steps) => reverseSde(continuousVp(timeGrid({ steps, start: 1 })), { ...sample, churn: 0.5 })],
    ["discrete vp", (steps) => reverseSde(discreteVp({ steps, betaSchedule: "squaredcos_cap_v2" }), sample)],
    ["ve", (steps) => reverseSde(ve(karrasGrid({ steps, sigmaMin: 0.05, sigmaMax: 20 })), sample)],
    ["ancestral interpolant", (steps) => ancestral(interpolant(timeGrid({ steps, start: 1 })), sample)],
    ["ancestral ve", (steps) => ancestral(ve(karrasGrid({ steps })), sample)],
    ["DDIM 0.5", (steps) => ancestral(discreteVp({ steps, spacing: "trailing" }), { ...sample, eta: 0.5 })],
  ];
  for (const [name, make] of chains) {
    const [coarse, fine] = [100, 800].map((steps) => Math.abs(terminal(make(steps)) / s2 - 1));
    assert.ok(fine! < 0.03 && fine! < coarse! / 3, `${name}: off by ${coarse} with 100 steps, ${fine} with 800`);
  }
});

test("a step that overshoots is refused, saying what to do", () => {
  assert.throws(() => reverseSde(interpolant(timeGrid({ steps: 10, start: 0.99 })), sample), {
    code: "bad-argument",
    message: /step 0 of the reverse SDE is too long for churn 1: it multiplies its state by -9\.\d+\. Take more steps/,
  });
  for (const steps of [1, 2, 5, 10, 50, 100, 1000]) reverseSde(interpolant(timeGrid({ steps })), sample);
  for (const churn of [-0.1, Number.NaN]) {
    assert.throws(() => reverseSde(interpolant(timeGrid({ steps: 10 })), { ...sample, churn }), {
      code: "bad-argument",
      message: /churn is .*; it must be at least 0/,
    });
  }
});
