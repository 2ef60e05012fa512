// @ts-check
// Calls on Gaussian mixtures in low dimension, K = 100, churn 1: drafters against FROZEN drift, same seeds, same run.
//   node bench/gmm.mjs [--count 100] [--json FILE]
// The chain and the mixtures: smallMixture in targets.mjs.
import { parseArgs } from "node:util";
import { createDrafter, fixedWindow, sample, verifierNamed } from "speculative-diffusion";
import { meanError, report } from "./table.mjs";
import { smallMixture } from "./targets.mjs";

const { values } = parseArgs({ options: { count: { type: "string", default: "100" }, json: { type: "string" } } });
const count = Number(values.count);
const steps = 100;

/** @type {{ draft: string, coupling: string, window: number, carry?: "none" | "window", leaves?: boolean }[]} */
const cases = [
  { draft: "frozen:drift", coupling: "reflection", window: 20, carry: "none", leaves: false },
  { draft: "frozen:drift", coupling: "reflection", window: 10 },
  { draft: "frozen:drift", coupling: "reflection", window: 20 },
  { draft: "frozen:x0", coupling: "block", window: 20 },
  { draft: "posterior", coupling: "reflection", window: 20 },
  { draft: "posterior", coupling: "block", window: 20 },
  { draft: "auto", coupling: "reflection", window: 20, carry: "window" },
  { draft: "auto", coupling: "reflection", window: 30, carry: "window" },
];
const rows = [];
for (const dim of [2, 4, 8, 16, 32]) {
  const { chain, model } = smallMixture(dim);
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
