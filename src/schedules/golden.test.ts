import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Chain } from "../core/chain.js";
import { ancestral, ddpm } from "./ancestral.js";
import { scheduleFromConfig } from "./diffusers.js";
import { discreteVp, interpolant, ve } from "./levels.js";
import { reverseSde } from "./reverse-sde.js";
import type { Schedule } from "./schedule.js";

/** What training/golden_schedules.py wrote: diffusers' own step, in float64, on probes (state, raw output, noise). */
interface Fixture {
  readonly probes: readonly [state: number, raw: number, noise: number][];
  readonly cases: readonly Case[];
}
interface Case {
  readonly config: Readonly<Record<string, unknown>>;
  readonly options: { readonly steps: number; readonly churn?: number };
  readonly initialSigma: number;
  readonly steps: readonly { k: number; time: number; inputScale: number; x0: number[] | null; next: number[] }[];
}

/** diffusers, and the formulas here, each lose about 1e-12 of 1 - alpha^2 at the smallest betas. */
const TOLERANCE = 1e-10;

const read = (name: string): Fixture =>
  JSON.parse(readFileSync(new URL(`../../test/fixtures/schedules/${name}.json`, import.meta.url), "utf8"));

test("DDPM as diffusers", () => {
  const { cases, probes } = read("ddpm");
  assert.ok(cases.length >= 25);
  for (const one of cases) {
    const schedule = scheduleFromConfig(one.config, one.options);
    assert.equal(schedule.chain.sigma.at(-1), 0);
    // Where diffusers decides by the timestep's number, its last step has noise; ours is the mean (see `ddpm`).
    const last = one.options.steps - 1;
    agrees(schedule, one, probes, { withoutNoise: one.steps.at(-1)!.time > 0 ? last : -1 });
  }
});

test("DDIM with eta as diffusers", () => {
  const { cases, probes } = read("ddim");
  for (const one of cases) agrees(scheduleFromConfig(one.config, one.options), one, probes);
});

test("Euler ancestral as diffusers", () => {
  const { cases, probes } = read("euler_ancestral");
  for (const one of cases) agrees(scheduleFromConfig(one.config, one.options), one, probes);
});

test("flow matching as diffusers: re-noised, and without churn both samplers are its Euler step", () => {
  const { cases, probes } = read("flow_match");
  for (const one of cases) {
    const schedule = scheduleFromConfig(one.config, one.options);
    if (one.config.stochastic_sampling) agrees(schedule, one, probes);
    else {
      const levels = interpolant(schedule.noise, { time: (t) => 1000 * t });
      agrees(ancestral(levels, { prediction: "flow", eta: 0 }), one, probes);
      agrees(reverseSde(levels, { prediction: "flow", churn: 0 }), one, probes);
    }
  }
});

test("EDM as diffusers: preconditioning, levels, and without churn its Euler step", () => {
  const { cases, probes } = read("edm");
  for (const one of cases) {
    const schedule = scheduleFromConfig(one.config, one.options);
    for (const { chain } of [
      ancestral(ve(schedule.noise), { prediction: "sample", eta: 0 }),
      reverseSde(ve(schedule.noise), { prediction: "sample", churn: 0 }),
    ]) {
      const { time, initialSigma } = schedule.chain;
      agrees({ ...schedule, chain: { ...chain, time, initialSigma } }, one, probes);
    }
  }
});

test("the comparison sees a previous timestep that is off by one, a lost factor, a wrong variance", () => {
  const { cases, probes } = read("ddpm");
  const one = cases.find(({ config, options }) => options.steps === 20 && config.variance_type === "fixed_large")!;
  const options = { prediction: "epsilon", variance: "fixed_large" } as const;
  const levels = discreteVp({ steps: 20 });
  const right = ddpm(levels, options);
  const withChain = (change: Partial<Chain>) => gap({ ...right, chain: { ...right.chain, ...change } }, one, probes);

  // Every step by itself, landing `off` timesteps too high. The full chain has timestep t at index 999 - t.
  const full = discreteVp({ steps: 1000 });
  const landing = (off: number) => {
    const chains = Array.from(levels.time, (t, k) => {
      const next = levels.time[k + 1];
      const pick = (column: Float64Array) =>
        Float64Array.of(column[999 - t]!, column[next === undefined ? 1000 : 999 - next - off]!);
      const [time, duration, speed] = [levels.time, levels.duration, levels.speed].map((all) => all.slice(k, k + 1));
      const alone = { ...levels, alpha: pick(full.alpha), noise: pick(full.noise) };
      return ddpm({ ...alone, time: time!, duration: duration!, speed: speed! }, options).chain;
    });
    const column = (name: "a" | "b" | "sigma") => Float64Array.from(chains, (chain) => chain[name][0]!);
    return withChain({ a: column("a"), b: column("b"), sigma: column("sigma") });
  };
  assert.ok(landing(0) < TOLERANCE);
  assert.ok(landing(1) > 1e-3);
  assert.ok(landing(-1) > 1e-3);

  assert.ok(gap(ddpm(levels, { ...options, variance: "fixed_small" }), one, probes) > 1e-3);
  assert.ok(withChain({ b: right.chain.b.map((b) => b * (1 + 1e-9)) }) > TOLERANCE);
});

function agrees(schedule: Schedule, one: Case, probes: Fixture["probes"], { withoutNoise = -1 } = {}): void {
  const worst = gap(schedule, one, probes, withoutNoise);
  assert.ok(worst < TOLERANCE, `${JSON.stringify(one.config)}, ${JSON.stringify(one.options)}: differs by ${worst}`);
}

/** Largest relative difference between a schedule and what diffusers did; probes with noise are left out at one step. */
function gap({ chain, readout }: Schedule, one: Case, probes: Fixture["probes"], withoutNoise = -1): number {
  let worst = relative(chain.initialSigma, one.initialSigma);
  const { clip = Number.POSITIVE_INFINITY } = readout;
  for (const { k, time, inputScale, x0: expected, next } of one.steps) {
    worst = Math.max(worst, relative(chain.time[k]!, time), relative(readout.inputScale[k]!, inputScale));
    probes.forEach(([state, raw, noise], i) => {
      const x0 = Math.min(clip, Math.max(-clip, readout.p[k]! * state + readout.q[k]! * raw));
      if (expected) worst = Math.max(worst, relative(x0, expected[i]!));
      if (k === withoutNoise && noise !== 0) return;
      worst = Math.max(worst, relative(chain.a[k]! * state + chain.b[k]! * x0 + chain.sigma[k]! * noise, next[i]!));
    });
  }
  return worst;
}

/** Sums that cancel to nothing leave rounding of the order of 1e-16 of their terms. */
function relative(value: number, expected: number): number {
  return Math.abs(value - expected) / Math.max(Math.abs(expected), 1e-5);
}
