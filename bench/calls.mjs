// @ts-check
// Calls that speculation saves on a model, every drafter against plain sampling: same chain, same seeds, same run.
//   node bench/calls.mjs [--model DIR] [--count 20] [--steps 100] [--churn 1] [--window 20]
//     [--drafts posterior,frozen:velocity] [--json FILE]
// The chain is the reverse SDE of the model's scheduler_config.json: for the shipped model the linear interpolant on
// t = linspace(1, 0, K + 1), deterministic first and last step, network prediction "flow".
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fromPretrained } from "speculative-diffusion/node";
import { meanError, report } from "./table.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL("../models/cifar10", import.meta.url)) },
    count: { type: "string", default: "20" },
    steps: { type: "string", default: "100" },
    churn: { type: "string", default: "1" },
    window: { type: "string", default: "20" },
    drafts: { type: "string", default: "" },
    json: { type: "string" },
  },
});
const count = Number(values.count);
const steps = Number(values.steps);
const churn = Number(values.churn);
const window = Number(values.window);
const wanted = values.drafts.split(",").filter((name) => name !== "");
const pipeline = await fromPretrained(values.model);

/** @typedef {{ draft: string, coupling?: string, carry?: "none" | "parent" | "nearest" | "window", leaves?: boolean, note?: string }} Case */
const paper = /** @type {const} */ ({ carry: "none", leaves: false, note: "the paper's two calls a window" });
/** @type {Case[]} */
const cases = [
  { draft: "none", carry: "none", leaves: false, note: "plain" },
  { draft: "frozen:drift", ...paper },
  ...["drift", "increment", "velocity", "epsilon", "score", "x0"].map((kind) => ({ draft: `frozen:${kind}` })),
  { draft: "frozen:x0", ...paper },
  { draft: "frozen:x0", carry: "parent", leaves: false },
  { draft: "frozen:x0", leaves: false },
  { draft: "frozen:x0", coupling: "block" },
  { draft: "posterior" },
  { draft: "posterior", coupling: "block" },
  { draft: "posterior", carry: "window" },
  { draft: "auto", carry: "window", note: "the default" },
  ...(pipeline.folder.draft
    ? [
        { draft: "independent", note: "draft network calls apart" },
        { draft: "corrected:independent", carry: /** @type {const} */ ("window"), note: "draft network calls apart" },
      ]
    : []),
];
const rows = [];
for (const { draft, coupling = "reflection", carry = "nearest", leaves = true, note = "" } of cases.filter(
  ({ draft }) => wanted.length === 0 || wanted.includes(draft),
)) {
  const calls = new Float64Array(count);
  const { record } = await pipeline.run({
    count,
    inFlight: count,
    steps,
    churn,
    window,
    draft,
    coupling,
    carry,
    leaves,
    seed: 0,
    onRound: (round) => (calls[round.trajectory] = round.calls),
  });
  const { mean, error } = meanError(Array.from(calls, (own) => steps / own));
  rows.push({
    draft,
    coupling,
    carry,
    leaves: leaves ? "on" : "off",
    speedup: record.speedup ?? Number.NaN,
    "mean over images": mean,
    "+-": error,
    acceptance: record.acceptance ?? "",
    "delta median": record.delta?.median ?? "",
    "rows/call": record.rows / record.trajectoryCalls,
    "draft rows/call": record.draftRows / record.trajectoryCalls,
    "wall s": record.wallMs / 1000,
    note,
  });
  process.stderr.write(`${draft} ${coupling} ${carry}\n`);
}
await pipeline.close();
report(
  "Speed-up = steps x images / calls (calls summed over images)",
  {
    model: pipeline.folder.name,
    chain: `reverse SDE, churn ${churn}`,
    steps,
    window,
    count,
    seed: 0,
  },
  rows,
);
