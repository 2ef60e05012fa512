// @ts-check
// Picard refinement before verification, against carry window, at equal windows: steps per call and rows per call.
//   node bench/picard.mjs [--paths 40] [--images 4] [--json FILE]
// Refinement: a window is drafted and evaluated (a call), drafted again with the same noise from the outputs at the same steps
// (a call for every sweep), then verified by reflection; the next one starts from the refused state with new noise. Carry window
// verifies every sweep. Targets as in targets.mjs; images: the shipped model, 100 steps, churn 1.
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDrafter, fixedWindow, RandomStream, reflection, sample } from "speculative-diffusion";
import { fromPretrained } from "speculative-diffusion/node";
import { denoiser } from "speculative-diffusion/schedules";
import { meanError, report } from "./table.mjs";
import { referenceMixture, smallMixture } from "./targets.mjs";

const { values } = parseArgs({
  options: {
    paths: { type: "string", default: "40" },
    images: { type: "string", default: "4" },
    json: { type: "string" },
  },
});

/** @typedef {import("speculative-diffusion").Chain} Chain @typedef {import("speculative-diffusion").Model} Model */
/** @typedef {import("speculative-diffusion").Evaluation} Evaluation */
/** @typedef {{ name: string, chain: Chain, model: Model, shape: readonly number[], window: number, count: number }} Target */

/** One trajectory with `sweeps` sweeps between drafting and verifying; returns its calls and rows. @param {Target} target @param {number} trajectory @param {number} sweeps */
async function refined({ chain, model, shape, window }, trajectory, sweeps) {
  const { dim } = model;
  const steps = chain.sigma.length;
  const drafter = createDrafter("posterior", { chain, shape });
  const memory = drafter.open(trajectory);
  const random = new RandomStream(1);
  const noise = new Float64Array(window * dim);
  const draft = {
    dim,
    drafted: 0,
    parent: Int32Array.from({ length: window + 1 }, (_, i) => i - 1),
    states: new Float64Array((window + 1) * dim),
    draftMeans: new Float64Array(window * dim),
    targetMeans: new Float64Array(window * dim),
    sigma: new Float64Array(window),
  };
  const verdict = {
    tip: 0,
    corrected: false,
    replaced: -1,
    residual: new Float64Array(dim),
    delta: new Float64Array(window),
  };
  /** @param {number} step @param {Float64Array} states @param {number} from @param {number} count */
  const rowsAt = (step, states, from, count) => ({
    count,
    dim,
    trajectory: new Int32Array(count).fill(trajectory),
    step: Int32Array.from({ length: count }, (_, i) => step + i),
    time: chain.time.slice(step, step + count),
    states: states.slice(from * dim, (from + count) * dim),
  });
  let [step, calls, rows, round] = [0, 0, 0, 0];
  random.key(trajectory, 0, 0, 0).normals(draft.states, 0, dim);
  for (let i = 0; i < dim; i++) draft.states[i] = (draft.states[i] ?? 0) * chain.initialSigma;
  /** @type {Evaluation | undefined} */
  let anchor;
  const at = (/** @type {Float64Array} */ array, /** @type {number} */ node) =>
    array.slice(node * dim, (node + 1) * dim);
  while (step < steps) {
    draft.drafted = Math.min(window, steps - step);
    for (let level = 0; level < draft.drafted; level++)
      random.key(trajectory, round, step + level, 1).normals(noise, level * dim, dim);
    /** @type {(Evaluation | undefined)[]} */
    let known = [];
    if (!anchor) {
      const root = await model.evaluate(rowsAt(step, draft.states, 0, 1));
      [calls, rows] = [calls + 1, rows + 1];
      anchor = { step, state: at(draft.states, 0), output: Float64Array.from(root.subarray(0, dim)) };
      known = [anchor];
    }
    for (let sweep = 0; sweep <= sweeps; sweep++) {
      drafter.anchor?.(memory, anchor);
      for (let level = 0; level < draft.drafted; level++) {
        const beside = known[level];
        if (beside) drafter.anchor?.(memory, beside);
        const k = step + level;
        const guess = await drafter.guess(rowsAt(k, draft.states, level, 1), [memory]);
        draft.sigma[level] = chain.sigma[k] ?? 0;
        for (let i = 0; i < dim; i++) {
          // the root's own output, once known, is used as it is
          const f = level === 0 && beside ? (beside.output[i] ?? 0) : (guess[i] ?? 0);
          const mean = (chain.a[k] ?? 0) * (draft.states[level * dim + i] ?? 0) + (chain.b[k] ?? 0) * f;
          draft.draftMeans[level * dim + i] = mean;
          draft.states[(level + 1) * dim + i] = mean + (chain.sigma[k] ?? 0) * (noise[level * dim + i] ?? 0);
        }
      }
      const nodes = draft.drafted + (step + draft.drafted < steps ? 1 : 0);
      const outputs = await model.evaluate(rowsAt(step, draft.states, 0, nodes));
      [calls, rows] = [calls + 1, rows + nodes];
      known = Array.from({ length: nodes }, (_, node) => ({
        step: step + node,
        state: at(draft.states, node),
        output: Float64Array.from(outputs.subarray(node * dim, (node + 1) * dim)),
      }));
      drafter.observe?.(memory, /** @type {Evaluation[]} */ (known));
    }
    for (let level = 0; level < draft.drafted; level++)
      for (let i = 0; i < dim; i++)
        draft.targetMeans[level * dim + i] =
          (chain.a[step + level] ?? 0) * (draft.states[level * dim + i] ?? 0) +
          (chain.b[step + level] ?? 0) * (known[level]?.output[i] ?? 0);
    const from = step;
    reflection.verify(
      draft,
      {
        uniform: (node) => random.key(trajectory, round, from + node, 2).uniform(),
        normals: (node, out) => random.key(trajectory, round, from + node, 3).normals(out),
      },
      verdict,
    );
    anchor = known[verdict.corrected ? verdict.replaced : verdict.tip] ?? anchor;
    draft.states.set(verdict.corrected ? verdict.residual : at(draft.states, verdict.tip), 0);
    step += verdict.tip + (verdict.corrected ? 1 : 0);
    round++;
  }
  return { calls, rows };
}

const pipeline = await fromPretrained(fileURLToPath(new URL("../models/cifar10", import.meta.url)));
const { chain, readout } = pipeline.schedule({ steps: 100, churn: 1 });
const paths = Number(values.paths);
/** @type {Target[]} */
const targets = [
  { name: "reference mixture", ...referenceMixture(), shape: [512], window: 27, count: paths },
  { name: "mixture, d 8", ...smallMixture(8), shape: [8], window: 20, count: paths },
  { name: "mixture, d 32", ...smallMixture(32), shape: [32], window: 20, count: paths },
  {
    name: "shipped images",
    chain,
    model: denoiser(pipeline.networkModel(), readout),
    shape: pipeline.shape,
    window: 20,
    count: Number(values.images),
  },
];
/** @type {Record<string, string | number>[]} */
const table = [];
for (const target of targets) {
  const steps = target.chain.sigma.length;
  const add = (/** @type {string} */ way, /** @type {{ calls: number, rows: number }[]} */ runs) => {
    const { mean, error } = meanError(runs.map(({ calls }) => steps / calls));
    const calls = runs.reduce((sum, run) => sum + run.calls, 0);
    const rows = runs.reduce((sum, run) => sum + run.rows, 0);
    table.push({ target: target.name, way, "steps/call": mean, "+-": error, "rows/call": rows / calls });
  };
  for (const sweeps of [0, 1, 2, 3]) {
    const runs = [];
    for (let n = 0; n < target.count; n++) runs.push(await refined(target, n, sweeps));
    add(`${sweeps} sweeps before verification`, runs);
    process.stderr.write(`${target.name}, ${sweeps} sweeps\n`);
  }
  /** @type {{ calls: number, rows: number }[]} */
  const own = [];
  const { model, chain, shape, window, count } = target;
  const drafter = createDrafter("posterior", { chain, shape });
  const { record } = await sample({
    chain,
    model,
    drafter,
    verifier: reflection,
    window: fixedWindow(window),
    carry: "window",
    count,
    seed: 1,
    onRound: ({ trajectory, calls }) => {
      own[trajectory] = { calls, rows: 0 };
    },
  });
  const calls = own.reduce((sum, run) => sum + run.calls, 0);
  add(
    "carry window",
    own.map((run) => ({ ...run, rows: (record.rows * run.calls) / calls })),
  );
}
await pipeline.close();
report(
  "Picard refinement before verification, against verifying every sweep",
  { paths, images: Number(values.images) },
  table,
);
