// @ts-check
// Score of a PushT policy on the published protocol: 50 starts (seeds 100000 .. 100049), legacy reset, 300 steps, mean of the
// largest reward of each episode; and the calls of a decision. All episodes share their batches, so times are not of one robot.
//   node bench/pusht-score.mjs [--model DIR] [--draft NAME] [--coupling NAME] [--window L] [--steps K] [--ddim] [--seeds 1]
//     [--first 100000] [--episodes 50] [--threads N] [--json FILE]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadPolicy } from "speculative-diffusion/policy";
import { rollouts } from "speculative-diffusion/pusht";
import { meanError, report } from "./table.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL("../models/pusht", import.meta.url)) },
    draft: { type: "string" },
    coupling: { type: "string" },
    window: { type: "string" },
    steps: { type: "string" },
    ddim: { type: "boolean", default: false },
    seeds: { type: "string", default: "1" },
    first: { type: "string", default: "100000" },
    episodes: { type: "string", default: "50" },
    threads: { type: "string" },
    json: { type: "string" },
  },
});
const policy = await loadPolicy(values.model, values.threads ? { threads: Number(values.threads) } : {});
const sampling = {
  ...(values.draft && { draft: values.draft }),
  ...(values.coupling && { coupling: values.coupling }),
  ...(values.window && { window: Number(values.window) }),
  ...(values.steps && { steps: Number(values.steps) }),
  ...(values.ddim && { draft: "none", sampler: /** @type {const} */ ("ancestral"), churn: 1e-9 }),
};
const starts = Array.from({ length: Number(values.episodes) }, (_, i) => Number(values.first) + i);
const rows = [];
const scores = [];
for (let seed = 0; seed < Number(values.seeds); seed++) {
  const started = performance.now();
  let calls = 0;
  let decisions = 0;
  const episodes = await rollouts(policy, {
    starts,
    seed,
    sampling,
    onDecision({ record, robots }, { steps, running }) {
      calls += record.trajectoryCalls;
      decisions += robots;
      process.stderr.write(`\rseed ${seed}: ${steps} steps, ${running} running `);
    },
  });
  process.stderr.write("\n");
  const { mean, error } = meanError(episodes.map(({ reward }) => reward));
  scores.push(mean);
  rows.push({
    seed,
    score: mean,
    error,
    "success %": (100 * episodes.filter(({ success }) => success).length) / episodes.length,
    "calls/decision": calls / decisions,
    seconds: (performance.now() - started) / 1000,
  });
}
await policy.close();
const over = scores.length > 1 ? meanError(scores) : undefined;
report(
  "Score of the policy (mean of largest reward, standard error over episodes)",
  { model: policy.name, episodes: starts.length, first: starts[0], ...sampling, ...(over && { overSeeds: over }) },
  rows,
);
