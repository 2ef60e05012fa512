// @ts-check
// Time of everything but the network, per evaluated row: its growth with dimension, window and batch (a network that costs
// nothing), and its share with the shipped model on one thread.
//   node bench/engine.mjs [--model DIR] [--json FILE]
import { fixedWindow, frozen, reflection, sample } from "speculative-diffusion";
import { fromPretrained } from "speculative-diffusion/node";
import { interpolant, reverseSde, timeGrid } from "speculative-diffusion/schedules";
import { report, spread } from "./table.mjs";

const REPETITIONS = 7;

/** A network that costs nothing: numbers made beforehand. @param {number} dim @param {number} rows */
function freeModel(dim, rows) {
  const outputs = Float32Array.from({ length: dim * rows }, (_, i) => Math.sin(i * i));
  return { dim, evaluate: () => outputs };
}

/** @param {number} dim @param {number} window @param {number} inFlight */
async function cost(dim, window, inFlight) {
  const { chain } = reverseSde(interpolant(timeGrid({ steps: 100, start: 0.99, end: 0 })), {
    prediction: "flow",
    churn: 1,
  });
  const perRow = [];
  for (let repetition = 0; repetition <= REPETITIONS; repetition++) {
    const { record } = await sample({
      chain,
      model: freeModel(dim, inFlight * (window + 1)),
      drafter: frozen(chain, "x0"),
      verifier: reflection,
      window: fixedWindow(window),
      count: inFlight,
      inFlight,
      seed: repetition,
    });
    if (repetition > 0) perRow.push((1000 * (record.engineMs + record.draftMs)) / record.rows);
  }
  return spread(perRow);
}

const rows = [];
for (const dim of [32, 512, 3072, 12288])
  rows.push({ case: "dimension", dim, window: 10, inFlight: 16, ...(await cost(dim, 10, 16)) });
for (const window of [1, 4, 20, 50])
  rows.push({ case: "window", dim: 3072, window, inFlight: 16, ...(await cost(3072, window, 16)) });
for (const inFlight of [1, 4, 64])
  rows.push({ case: "batch", dim: 3072, window: 10, inFlight, ...(await cost(3072, 10, inFlight)) });
report(
  "Engine time per row, microseconds (median, 10th and 90th percentile of 7 runs)",
  { steps: 100, draft: "frozen:x0", coupling: "reflection", network: "free" },
  rows,
);

const at = process.argv.indexOf("--model");
const pipeline = await fromPretrained(
  (at > 0 && process.argv[at + 1]) || new URL("../models/cifar10", import.meta.url).pathname,
  { threads: 1 },
);
const rowsOfShares = [];
for (const { draft, coupling } of [
  { draft: "none", coupling: "block" },
  { draft: "frozen:x0", coupling: "reflection" },
  { draft: "posterior", coupling: "block" },
  { draft: "posterior", coupling: "reflection" },
  { draft: "auto", coupling: "reflection" },
]) {
  const engine = [];
  const drafter = [];
  const micros = [];
  const guess = [];
  const both = [];
  for (let seed = 0; seed < 5; seed++) {
    const { record } = await pipeline.run({ count: 4, steps: 40, seed, draft, coupling, window: 20 });
    engine.push((100 * record.engineMs) / record.wallMs);
    drafter.push((100 * record.draftMs) / record.wallMs);
    micros.push((1000 * (record.engineMs + record.draftMs)) / record.rows);
    guess.push(record.guesses > 0 ? (1000 * record.draftMs) / record.guesses : 0);
    both.push((100 * (record.engineMs + record.draftMs)) / record.wallMs);
  }
  const share = spread(engine);
  rowsOfShares.push({
    draft,
    coupling,
    "engine %": share.median,
    low: share.low,
    high: share.high,
    "drafter %": spread(drafter).median,
    "both %": spread(both).median,
    "both, us/row": spread(micros).median,
    "drafter, us/guess": spread(guess).median,
  });
}
await pipeline.close();
console.log();
report(
  "Share of wall-clock with the shipped model, one thread, 4 images of 40 steps, window 20 (medians of 5 runs)",
  { threads: 1, count: 4, steps: 40, window: 20 },
  rowsOfShares,
);
