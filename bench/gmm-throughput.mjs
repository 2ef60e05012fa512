// @ts-check
// The mixture study's inner loop against straightforward NumPy (bench/gmm_throughput.py): trajectories x steps per second, in
// turn, in one run. Plain sampling, and Algorithm 3 with frozen x0, reflection, no carry.
//   node bench/gmm-throughput.mjs [--count 2000] [--repetitions 5] [--python python3] [--json FILE]
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fixedWindow, frozen, reflection, sample } from "speculative-diffusion";
import { interpolant, reverseSde, timeGrid } from "speculative-diffusion/schedules";
import { drawMixture, mixtureModel } from "../dist/studies/mixture.js";
import { walk } from "../dist/studies/walk.js";
import { report, spread } from "./table.mjs";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "2000" },
    repetitions: { type: "string", default: "5" },
    python: { type: "string", default: "python3" },
    json: { type: "string" },
  },
});
const count = Number(values.count);
const steps = 100;
const window = 20;

const child = spawn(values.python, [fileURLToPath(new URL("gmm_throughput.py", import.meta.url))], {
  stdio: ["pipe", "pipe", "inherit"],
});
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
/** @param {object} request @returns {Promise<{ seconds: number, mean: number[], calls: number, numpy: string }>} */
async function numpy(request) {
  child.stdin.write(`${JSON.stringify(request)}\n`);
  const { value, done } = await lines.next();
  if (done) throw new Error(`${values.python} ended; it needs the package numpy (--python names another)`);
  return JSON.parse(value);
}

/** @param {Pick<import("speculative-diffusion").SampleOptions, "chain" | "model" | "count" | "seed">} options */
async function speculative(options) {
  const { record } = await sample({
    ...options,
    drafter: frozen(options.chain, "x0"),
    verifier: reflection,
    window: fixedWindow(window),
    carry: "none",
    leaves: false,
    inFlight: 64,
  });
  return record;
}

const rows = [];
let version = "";
for (const { dim, components, speculate } of [
  { dim: 2, components: 4, speculate: false },
  { dim: 8, components: 4, speculate: false },
  { dim: 32, components: 12, speculate: false },
  { dim: 2, components: 4, speculate: true },
  { dim: 8, components: 4, speculate: true },
  { dim: 32, components: 12, speculate: true },
]) {
  const { chain } = reverseSde(interpolant(timeGrid({ steps, start: 0.95, end: 0.01 })), {
    prediction: "sample",
    churn: 1,
  });
  const mixture = drawMixture(dim, components, 1);
  const model = mixtureModel(chain, mixture);
  const { a, b, sigma, levels } = chain;
  const columns = { a, b, sigma, alpha: levels?.alpha, noise: levels?.noise };
  const request = {
    speculate,
    count,
    window,
    chain: Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, [...(column ?? [])]])),
    mixture: { weights: [...mixture.weights], means: [...mixture.means], sds: [...mixture.sds] },
  };
  /** @type {number[]} */
  const own = [];
  /** @type {number[]} */
  const theirs = [];
  const calls = [0, 0];
  // One turn more than asked for: the first warms up.
  for (let turn = 0; turn <= Number(values.repetitions); turn++) {
    const started = performance.now();
    const record = speculate
      ? await speculative({ chain, model, count, seed: turn })
      : { trajectoryCalls: (steps * (await walk({ chain, model, count, seed: turn })).length) / dim };
    const seconds = (performance.now() - started) / 1000;
    const other = await numpy({ ...request, seed: turn });
    version = other.numpy;
    calls[0] = record.trajectoryCalls / count;
    calls[1] = other.calls;
    if (turn === 0) continue;
    own.push((count * steps) / seconds);
    theirs.push((count * steps) / other.seconds);
  }
  const ratio = spread(own.map((rate, i) => rate / (theirs[i] ?? Number.NaN)));
  rows.push({
    work: speculate ? "speculative" : "plain",
    dim,
    components,
    "here, M steps/s": spread(own).median / 1e6,
    "NumPy, M steps/s": spread(theirs).median / 1e6,
    ratio: ratio.median,
    low: ratio.low,
    high: ratio.high,
    "calls here": calls[0] ?? "",
    "calls NumPy": calls[1] ?? "",
  });
}
child.stdin.end();
report(
  "Trajectories x steps per second, this library against NumPy (medians; ratio with its 10th and 90th percentile)",
  { count, steps, window, repetitions: Number(values.repetitions), numpy: version },
  rows,
);
