// @ts-check
// Calls on Gaussian mixtures in low dimension, K = 100, churn 1: drafters against FROZEN drift, same seeds, same run.
//   node bench/gmm.mjs [--count 100] [--json FILE]
// Chain: linear interpolant, t = linspace(0.99, 0.01, 101), Euler-Maruyama, Y_0 ~ N(0, I). Four isotropic components with
// weights .4 .3 .2 .1, means 2 N(0, I) and standard deviations uniform in (.2, .5), drawn once per dimension.
import { parseArgs } from "node:util";
import { createDrafter, fixedWindow, RandomStream, sample, verifierNamed } from "speculative-diffusion";
import { interpolant, reverseSde, timeGrid } from "speculative-diffusion/schedules";
import { mixtureModel } from "./mixture-model.mjs";
import { meanError, report } from "./table.mjs";

const { values } = parseArgs({ options: { count: { type: "string", default: "100" }, json: { type: "string" } } });
const count = Number(values.count);
const steps = 100;

/** @type {{ draft: string, coupling: string, window: number, carry?: "none", leaves?: boolean }[]} */
const cases = [
  { draft: "frozen:drift", coupling: "reflection", window: 20, carry: "none", leaves: false },
  { draft: "frozen:drift", coupling: "reflection", window: 10 },
  { draft: "frozen:drift", coupling: "reflection", window: 20 },
  { draft: "frozen:x0", coupling: "block", window: 20 },
  { draft: "posterior", coupling: "reflection", window: 20 },
  { draft: "posterior", coupling: "block", window: 20 },
];
const rows = [];
for (const dim of [2, 4, 8, 16, 32]) {
  const random = new RandomStream(5);
  const components = [0.4, 0.3, 0.2, 0.1].map((weight, c) => {
    const mean = new Float64Array(dim);
    random.key(c, dim, 0, 0).normals(mean);
    return { weight, mean: mean.map((x) => 2 * x), sd: 0.2 + 0.3 * random.uniform() };
  });
  const { chain } = reverseSde(interpolant(timeGrid({ steps, start: 0.99, end: 0.01 })), {
    prediction: "sample",
    churn: 1,
  });
  const model = mixtureModel(chain, components);
  let base = Number.NaN;
  for (const { draft, coupling, window, carry = "nearest", leaves = true } of cases) {
    const calls = new Float64Array(count);
    const { record } = await sample({
      chain,
      model,
      drafter: createDrafter(draft, { chain, shape: [dim] }),
      verifier: verifierNamed(coupling),
      window: fixedWindow(window),
      carry,
      leaves,
      count,
      inFlight: 20,
      seed: 1,
      onRound: (round) => {
        calls[round.trajectory] = round.calls;
      },
    });
    const { mean, error } = meanError(Array.from(calls, (own) => steps / own));
    const speedup = record.speedup ?? Number.NaN;
    if (draft === "frozen:drift" && carry === "nearest") base = Math.max(speedup, Number.isNaN(base) ? 0 : base);
    rows.push({
      dim,
      draft,
      coupling,
      window,
      carry,
      leaves: leaves ? "on" : "off",
      speedup,
      "mean over paths": mean,
      "+-": error,
      "against frozen drift": Number.isNaN(base) ? "" : speedup / base,
      acceptance: record.acceptance ?? "",
      "rows/call": record.rows / record.trajectoryCalls,
    });
  }
}
report(
  "Gaussian mixtures, 100 steps, churn 1; against frozen drift: with carry, the better of windows 10 and 20",
  { count, steps, seed: 1 },
  rows,
);
