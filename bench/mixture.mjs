// @ts-check
// The Gaussian mixture of arXiv 2609.17691's code, at its published setting: d = 512, 28 steps, eps = 0.06.
//   node bench/mixture.mjs [--count 100] [--json FILE]
// Chain: T = 30, t = linspace(1000, 1, 30) / 1000, then 0; linear interpolant, Euler-Maruyama with churn; the deterministic
// first and last step are left out, so 28 remain and Y_0 ~ N(0, I). Speed-up = 28 / calls, the warm-up call counted.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { block, createDrafter, fixedWindow, reflection, sample } from "speculative-diffusion";
import { interpolant, reverseSde } from "speculative-diffusion/schedules";
import { mixtureModel } from "./mixture-model.mjs";
import { meanError, report } from "./table.mjs";

const { values } = parseArgs({ options: { count: { type: "string", default: "100" }, json: { type: "string" } } });
const count = Number(values.count);
const dim = 512;
const eps = 0.06;
const times = Array.from({ length: 29 }, (_, k) => (1000 + ((k + 1) * (1 - 1000)) / 29) / 1000);
const schedule = reverseSde(interpolant(times), { prediction: "sample", churn: eps });
const { chain } = schedule;

// Means (5 x 512) and standard deviations (5) of numpy's default_rng(20260714), means uniform in (-2, 2) drawn first.
/** @type {{ means: number[][], sds: number[] }} */
const mixture = JSON.parse(readFileSync(new URL("mixture.json", import.meta.url), "utf8"));
const model = mixtureModel(
  chain,
  mixture.means.map((mean, c) => ({ weight: 1 / 5, mean, sd: mixture.sds[c] ?? Number.NaN })),
);

const published = {
  "frozen:velocity nearest 3 off": 1.78,
  "frozen:velocity nearest 7 off": 1.92,
  "frozen:velocity nearest 21 off": 1.93,
  "frozen:velocity nearest 3 on": 1.87,
  "frozen:velocity parent 3 off": 1.28,
  "frozen:velocity none 3 off": 1.11,
};
/** @type {[string, "none" | "parent" | "nearest", boolean, number, typeof reflection][]} */
const cases = [
  ["frozen:velocity", "none", false, 3, reflection],
  ["frozen:velocity", "parent", false, 3, reflection],
  ["frozen:velocity", "nearest", false, 3, reflection],
  ["frozen:velocity", "nearest", true, 3, reflection],
  ["frozen:velocity", "nearest", false, 7, reflection],
  ["frozen:velocity", "nearest", false, 21, reflection],
  ["frozen:drift", "none", false, 7, reflection],
  ["frozen:drift", "nearest", true, 7, reflection],
  ["frozen:x0", "nearest", true, 7, reflection],
  ["frozen:x0", "nearest", true, 7, block],
  ...[7, 15, 27].flatMap((window) =>
    [reflection, block].map(
      (verifier) =>
        /** @type {[string, "nearest", boolean, number, typeof reflection]} */ ([
          "posterior",
          "nearest",
          true,
          window,
          verifier,
        ]),
    ),
  ),
];
const rows = [];
for (const [draft, carry, leaves, window, verifier] of cases) {
  const calls = new Float64Array(count);
  const { record } = await sample({
    chain,
    model,
    drafter: createDrafter(draft, { chain, shape: [dim] }),
    verifier,
    window: fixedWindow(window),
    carry,
    leaves,
    count,
    inFlight: 10,
    seed: 0,
    onRound: (round) => (calls[round.trajectory] = round.calls),
  });
  const { mean, error } = meanError(Array.from(calls, (own) => 28 / own));
  rows.push({
    draft,
    coupling: verifier.name,
    window,
    carry,
    leaves: leaves ? "on" : "off",
    speedup: record.speedup ?? Number.NaN,
    "mean over paths": mean,
    "+-": error,
    published:
      published[/** @type {keyof typeof published} */ (`${draft} ${carry} ${window} ${leaves ? "on" : "off"}`)] ?? "",
    acceptance: record.acceptance ?? "",
    "delta median": record.delta?.median ?? "",
    "rows/call": record.rows / record.trajectoryCalls,
  });
}
report("Reference mixture, d = 512, 28 steps, eps = 0.06", { count, steps: 28, eps, seed: 0 }, rows);
