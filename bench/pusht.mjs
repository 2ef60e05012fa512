// @ts-check
// Calls and time of a decision of one robot, the methods in turn at the same observations, for both shipped policies; the
// share of a decision that is neither network nor drafter; and the bound time(1 row) / time of a further row.
//   node bench/pusht.mjs [--model DIR] [--unet DIR|none] [--decisions 60] [--threads N] [--json FILE]
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureCost } from "speculative-diffusion/node";
import { loadPolicy } from "speculative-diffusion/policy";
import { historiesOf, rollouts } from "speculative-diffusion/pusht";
import { report, spread } from "./table.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: fileURLToPath(new URL("../models/pusht", import.meta.url)) },
    unet: { type: "string", default: fileURLToPath(new URL("../models/pusht-unet", import.meta.url)) },
    decisions: { type: "string", default: "60" },
    threads: { type: "string" },
    json: { type: "string" },
  },
});

/** @param {string} name @param {string} folder @param {number} decisions @param {readonly number[]} windows */
async function measured(name, folder, decisions, windows) {
  const policy = await loadPolicy(folder, values.threads ? { threads: Number(values.threads) } : {});
  const episodes = await rollouts(policy, {
    starts: Array.from({ length: Math.ceil(decisions / 15) }, (_, i) => 101_000 + i),
    seed: 1,
    steps: 120,
    trace: true,
    sampling: { window: 20 },
  });
  const seen = historiesOf(policy, episodes).slice(0, decisions);
  const first = seen[0] ?? new Float64Array(0);
  const many = new Float64Array(32 * first.length);
  for (let robot = 0; robot < 32; robot++) many.set(first, robot * first.length);
  const curve = await measureCost(policy.denoiser(many), policy.schedule().chain, { repetitions: 15 });
  const drafts = [
    policy.pipeline.defaultDraft,
    "frozen:x0",
    ...(policy.pipeline.folder.draft ? ["independent", "corrected"] : []),
  ];
  /** @type {{ draft: string, window: string | number, sampling: import("speculative-diffusion/policy").Sampling }[]} */
  const methods = [
    { draft: "none", window: 1, sampling: { draft: "none" } },
    { draft: "DDIM, 10 steps", window: 1, sampling: { draft: "none", steps: 10, sampler: "ancestral", churn: 1e-9 } },
    ...drafts.flatMap((draft) => windows.map((window) => ({ draft, window, sampling: { draft, window } }))),
    { draft: policy.pipeline.defaultDraft, window: "auto", sampling: { window: "auto" } },
  ];
  const all = methods.map((method) => ({
    ...method,
    ms: /** @type {number[]} */ ([]),
    engine: /** @type {number[]} */ ([]),
    calls: 0,
    rows: 0,
  }));
  // Two rounds more than asked for: they warm up and are not counted.
  for (let i = -2; i < seen.length; i++) {
    for (const turn of all.keys()) {
      // who follows whom changes, so that no method always runs in another's wake
      const one = all[(turn * 7 + i + 2) % all.length];
      const { ms, record } = await policy.decide(seen[Math.max(0, i)] ?? first, { ...one?.sampling, seed: i + 2 });
      if (i < 0 || !one) continue;
      one.ms.push(ms);
      one.engine.push((100 * (ms - record.modelMs - record.draftMs)) / ms);
      one.calls += record.calls / seen.length;
      one.rows += record.rows / seen.length;
    }
    process.stderr.write(`\r${name}: ${Math.max(0, i + 1)} of ${seen.length} observations `);
  }
  process.stderr.write("\n");
  await policy.close();
  const base = spread(all[0]?.ms ?? []).median;
  const perCall = curve.points[0]?.ms ?? Number.NaN;
  return all.map(({ draft, window, ms, engine, calls, rows }) => ({
    network: name,
    draft,
    window,
    "calls/decision": calls,
    "rows/decision": rows,
    "median ms": spread(ms).median,
    "90 % ms": spread(ms).high,
    "times sooner": base / spread(ms).median,
    "engine %": spread(engine).median,
    "one call ms": perCall,
    bound: curve.bound,
  }));
}

const decisions = Number(values.decisions);
const rows = await measured("policy", values.model, decisions, [5, 10, 20, 40]);
if (values.unet !== "none" && existsSync(values.unet))
  rows.push(...(await measured("U-Net", values.unet, Math.ceil(decisions / 4), [2, 3, 5, 20])));
report(
  "A decision of one robot (medians over decisions)",
  { decisions, threads: values.threads ?? "all", coupling: "default", carry: "default" },
  rows,
);
