// @ts-check
// Wall-clock of automatic windows against plain sampling, turns taken in one run: the shipped images, batch 1 and 16, and a decision
// of one robot with both shipped policies.
//   node bench/auto.mjs [--model DIR] [--steps 50,100] [--batches 1,16] [--repetitions 48] [--policies DIR,DIR] [--decisions 40] [--json FILE]
// More than one image at a time takes an eighth of the repetitions. Cost curves are measured first (or read from the cache) and not counted, the
// self-check is not run; the first run of either kind in the process, where it warms up, is counted.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fromPretrained } from "speculative-diffusion/node";
import { loadPolicy } from "speculative-diffusion/policy";
import { historiesOf, rollouts } from "speculative-diffusion/pusht";
import { report, spread } from "./table.mjs";

const shipped = (/** @type {string} */ name) => fileURLToPath(new URL(`../models/${name}`, import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: "string", default: shipped("cifar10") },
    steps: { type: "string", default: "50,100" },
    batches: { type: "string", default: "1,16" },
    repetitions: { type: "string", default: "48" },
    policies: { type: "string", default: `${shipped("pusht")},${shipped("pusht-unet")}` },
    decisions: { type: "string", default: "40" },
    json: { type: "string" },
  },
});

/** @type {Record<string, string | number>[]} */
const rows = [];

/**
 * Who goes first changes from turn to turn, so that a drift of the machine favours neither.
 * @param {string} model @param {number} steps @param {number} batch @param {number} turns
 * @param {(turn: number, kind: "auto" | "none") => Promise<{ ms: number, calls: number, committed: number }>} run
 */
async function compare(model, steps, batch, turns, run) {
  const ratios = [];
  const saved = [];
  for (let turn = 0; turn < turns; turn++) {
    const first = await run(turn, turn % 2 ? "auto" : "none");
    const second = await run(turn, turn % 2 ? "none" : "auto");
    const [auto, plain] = turn % 2 ? [first, second] : [second, first];
    ratios.push(auto.ms / plain.ms);
    saved.push(auto.committed / auto.calls);
    process.stderr.write(`\r${model}, ${steps} steps, batch ${batch}: ${turn + 1} of ${turns} `);
  }
  process.stderr.write("\n");
  const { median, low, high } = spread(ratios);
  rows.push({
    model,
    steps,
    batch,
    turns,
    "wall against plain": median,
    "+-": (1.253 * (high - low)) / 2.563 / Math.sqrt(turns), // of a median, as if ratios were normal
    low,
    high,
    "steps/call": spread(saved).median,
  });
}

const pipeline = await fromPretrained(values.model);
const { curve } = await pipeline.cost();
for (const steps of values.steps.split(",").map(Number)) {
  for (const batch of values.batches.split(",").map(Number)) {
    const turns = Math.ceil(Number(values.repetitions) / (batch === 1 ? 1 : 8));
    await compare(pipeline.folder.name, steps, batch, turns, async (seed, kind) => {
      const how = kind === "none" ? { draft: "none" } : {};
      const { record } = await pipeline.run({ count: batch, inFlight: batch, steps, seed, window: "auto", ...how });
      return { ms: record.wallMs, calls: record.trajectoryCalls, committed: record.committed };
    });
  }
}
await pipeline.close();

const decisions = Number(values.decisions);
for (const folder of values.policies.split(",").filter(Boolean)) {
  const policy = await loadPolicy(folder);
  const starts = Array.from({ length: Math.ceil(decisions / 15) }, (_, i) => 101_000 + i);
  const episodes = await rollouts(policy, { starts, seed: 1, steps: 120, trace: true, sampling: { window: 20 } });
  const seen = historiesOf(policy, episodes).slice(0, decisions);
  if (seen[0]) await policy.prepare(seen[0]);
  await compare(policy.name, policy.schedule().chain.sigma.length, 1, seen.length, async (turn, kind) => {
    const how = kind === "none" ? { draft: "none" } : {};
    const decision = await policy.decide(seen[turn] ?? new Float64Array(0), { seed: turn, window: "auto", ...how });
    return { ms: decision.ms, calls: decision.record.trajectoryCalls, committed: decision.record.committed };
  });
  await policy.close();
}
report(
  "Automatic windows against plain sampling, wall-clock",
  { images: pipeline.folder.name, bound: curve.bound, draft: pipeline.defaultDraft },
  rows,
);
