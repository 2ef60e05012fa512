// @ts-check
// Every drafter x every coupling x every carry on every target: steps per call with its standard error over trajectories, and
// rows per call. Writes a page of tables; a cell that is in the JSON file already is not run again.
//   node bench/ablation.mjs [--json ablation.json] [--out docs/ablation.md] [--paths 40] [--images 4] [--decisions 10]
// Targets: the mixtures of targets.mjs; the shipped image model under its reverse SDE with churn 1 (t = linspace(1, 0, 101),
// flow prediction); the shipped policy at observations of its own episodes (DDPM, 100 steps, epsilon prediction).
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createDrafter, fixedWindow, sample, verifierNamed } from "speculative-diffusion";
import { fromPretrained } from "speculative-diffusion/node";
import { loadPolicy } from "speculative-diffusion/policy";
import { historiesOf, rollouts } from "speculative-diffusion/pusht";
import { meanError } from "./table.mjs";
import { referenceMixture, smallMixture } from "./targets.mjs";

const { values } = parseArgs({
  options: {
    json: { type: "string", default: "ablation.json" },
    out: { type: "string" },
    paths: { type: "string", default: "40" },
    images: { type: "string", default: "4" },
    decisions: { type: "string", default: "10" },
  },
});
const drafts = ["frozen:drift", "frozen:velocity", "frozen:x0", "corrected:frozen:x0", "posterior", "auto"];
const trained = ["independent", "corrected:independent"];
/** @typedef {"none" | "parent" | "nearest" | "window"} Carry */
/** @typedef {{ draft: string, coupling: string, carry: Carry, leaves: boolean, window: number, seed: number }} Setting */
/** @type {[string, Carry][]} */
const rules = [
  ["reflection", "none"],
  ["reflection", "parent"],
  ["reflection", "nearest"],
  ["reflection", "window"],
  ["block", "none"],
  ["block", "parent"],
  ["block", "nearest"],
];

/** Calls of each trajectory, and all rows. @typedef {{ calls: number[], rows: number }} Cost */
/** @typedef {{ name: string, steps: number, window: number, drafts: string[], rules?: typeof rules, run: (setting: Setting) => Promise<Cost> }} Target */

const folder = (/** @type {string} */ name) => fileURLToPath(new URL(`../models/${name}`, import.meta.url));
const images = await fromPretrained(folder("cifar10"));
const policy = await loadPolicy(folder("pusht"));
const episodes = await rollouts(policy, {
  starts: [101_000, 101_001],
  seed: 1,
  steps: 80,
  trace: true,
  sampling: { window: 20 },
});
const observations = historiesOf(policy, episodes).slice(0, Number(values.decisions));

/** @param {string} name @param {ReturnType<typeof smallMixture>} mixture @param {number} window @returns {Target} */
const mixtureTarget = (name, { chain, model, dim, steps }, window) => ({
  name: `${name}, ${values.paths} paths`,
  steps,
  window,
  drafts,
  run: ({ draft, coupling, window, ...rest }) =>
    counted((onRound) =>
      sample({
        chain,
        model,
        drafter: createDrafter(draft, { chain, shape: [dim] }),
        verifier: verifierNamed(coupling),
        window: fixedWindow(window),
        count: Number(values.paths),
        onRound,
        ...rest,
      }),
    ),
});
/** @type {Target[]} */
const targets = [
  mixtureTarget("reference mixture, d = 512, eps 0.06", referenceMixture(), 27),
  ...[2, 8, 32].map((dim) => mixtureTarget(`mixture, d = ${dim}, eps 1`, smallMixture(dim), 20)),
  {
    name: `PushT policy, ${observations.length} decisions`,
    steps: 100,
    window: 20,
    drafts: [...drafts, ...trained],
    async run(setting) {
      /** @type {Cost} */
      const cost = { calls: [], rows: 0 };
      for (const [i, observation] of observations.entries()) {
        const { record } = await policy.decide(observation, { ...setting, seed: setting.seed + i });
        cost.calls.push(record.trajectoryCalls);
        cost.rows += record.rows;
      }
      return cost;
    },
  },
  {
    name: `shipped images, eps 1, ${values.images} images`,
    steps: 100,
    window: 20,
    drafts: [...drafts.slice(1), ...trained],
    rules: rules.filter(([, carry]) => carry === "nearest" || carry === "window"),
    run: (setting) =>
      counted((onRound) =>
        images.run({ ...setting, steps: 100, churn: 1, count: Number(values.images), inFlight: 16, onRound }),
      ),
  },
];

/** @param {(onRound: (round: { trajectory: number, calls: number }) => void) => Promise<{ record: { rows: number } }>} run */
async function counted(run) {
  /** @type {number[]} */
  const calls = [];
  const { record } = await run((round) => (calls[round.trajectory] = round.calls));
  return { calls, rows: record.rows };
}

/** @type {Record<string, { mean: number, error: number, rows: number }>} */
const cells = existsSync(values.json) ? JSON.parse(readFileSync(values.json, "utf8")) : {};
let page = `# Every drafter, coupling and carry

Steps per call, mean and standard error over trajectories, and in brackets rows per call. Plain sampling is 1. Carry none is
run without leaves, as in the paper (not for images, where it takes hours); "corrected" adds the last error of a base to its next guess; "auto" is the default
drafter, reflection with carry window the default coupling. Same seeds everywhere. Made by

    node bench/ablation.mjs --paths ${values.paths} --images ${values.images} --decisions ${values.decisions} --out docs/ablation.md
`;
for (const target of targets) {
  page += `\n## ${target.name}, ${target.steps} steps, window ${target.window}\n\n`;
  const own = target.rules ?? rules;
  page += `| draft | ${own.map((rule) => rule.join(", ")).join(" | ")} |\n|---|${own.map(() => "---|").join("")}\n`;
  for (const draft of target.drafts) {
    const line = [];
    for (const [coupling, carry] of own) {
      const key = [target.name, target.window, draft, coupling, carry].join(" / ");
      if (!cells[key]) {
        const setting = { draft, coupling, carry, leaves: carry !== "none", window: target.window, seed: 1 };
        const { calls, rows } = await target.run(setting);
        const { mean, error } = meanError(calls.map((own) => target.steps / own));
        cells[key] = { mean, error, rows: rows / calls.reduce((sum, own) => sum + own, 0) };
        writeFileSync(values.json, JSON.stringify(cells, null, 2));
        process.stderr.write(`${key}: ${mean.toFixed(2)}\n`);
      }
      const { mean, error, rows } = cells[key];
      line.push(`${mean.toFixed(2)} ± ${error.toFixed(2)} (${rows.toFixed(0)})`);
    }
    page += `| ${draft} | ${line.join(" | ")} |\n`;
  }
}
await images.close();
await policy.pipeline.close();
console.log(page);
if (values.out) writeFileSync(values.out, page);
