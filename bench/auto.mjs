// @ts-check
// Wall-clock of automatic windows against plain sampling: the shipped model, batch 1 and 16, turns taken in one run.
//   node bench/auto.mjs [--model DIR] [--steps 50] [--repetitions 5] [--json FILE]
// The cost curve is measured first (or read from the cache) and not counted; the self-check is not run.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fromPretrained } from "speculative-diffusion/node";
import { report, spread } from "./table.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL("../models/cifar10", import.meta.url)) },
    steps: { type: "string", default: "50" },
    repetitions: { type: "string", default: "5" },
    json: { type: "string" },
  },
});
const steps = Number(values.steps);
const pipeline = await fromPretrained(values.model);
const { curve } = await pipeline.cost();
const rows = [];
for (const batch of [1, 16]) {
  const ratios = [];
  const speedups = [];
  for (let seed = 0; seed < Number(values.repetitions); seed++) {
    const options = { count: batch, inFlight: batch, steps, seed };
    const plain = () => pipeline.run({ ...options, draft: "none" });
    const auto = () => pipeline.run({ ...options, window: "auto" });
    // Which goes first changes from turn to turn, so that a drift of the machine favours neither.
    const first = seed % 2 ? await auto() : await plain();
    const second = seed % 2 ? await plain() : await auto();
    const [own, base] = seed % 2 ? [first, second] : [second, first];
    ratios.push(own.record.wallMs / base.record.wallMs);
    speedups.push(own.record.speedup ?? Number.NaN);
  }
  const time = spread(ratios);
  rows.push({
    batch,
    "wall against plain": time.median,
    low: time.low,
    high: time.high,
    "steps/call": spread(speedups).median,
  });
}
await pipeline.close();
report(
  "Automatic windows against plain sampling, wall-clock",
  {
    model: pipeline.folder.name,
    steps,
    repetitions: Number(values.repetitions),
    draft: pipeline.defaultDraft,
    bound: curve.bound,
  },
  rows,
);
