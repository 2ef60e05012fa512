// @ts-check
// The Gaussian mixture of arXiv 2609.17691's code, at its published setting: d = 512, 28 steps, eps = 0.06.
//   node bench/mixture.mjs [--count 100] [--json FILE]
// The chain: referenceMixture in targets.mjs. Speed-up = 28 / calls, the warm-up call counted.
import { parseArgs } from "node:util";
import { block, createDrafter, fixedWindow, reflection, sample } from "speculative-diffusion";
import { meanError, report } from "./table.mjs";
import { referenceMixture } from "./targets.mjs";

const { values } = parseArgs({ options: { count: { type: "string", default: "100" }, json: { type: "string" } } });
const count = Number(values.count);
const { chain, model, dim } = referenceMixture();

const published = {
  "frozen:velocity nearest 3 off": 1.78,
  "frozen:velocity nearest 7 off": 1.92,
  "frozen:velocity nearest 21 off": 1.93,
  "frozen:velocity nearest 3 on": 1.87,
  "frozen:velocity parent 3 off": 1.28,
  "frozen:velocity none 3 off": 1.11,
};
/** @type {[string, "none" | "parent" | "nearest" | "window", boolean, number, typeof reflection][]} */
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
  ["auto", "nearest", true, 27, reflection],
  ["auto", "window", true, 27, reflection],
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
report("Reference mixture, d = 512, 28 steps, eps = 0.06", { count, steps: 28, eps: 0.06, seed: 0 }, rows);
