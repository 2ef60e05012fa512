import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { DEFAULTS, FIXED_WINDOW } from "../pipeline/pipeline.js";
import { type Episode, historiesOf, rollouts } from "../pusht/rollout.js";
import { assertLaw, pathLaw } from "../testing/law.js";
import { verifierNamed } from "../verifiers/index.js";
import { loadPolicy } from "./load.js";
import type { Policy, Sampling } from "./policy.js";

const folder = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

/** Episodes of the published protocol, few of them, with the calls of a decision. */
async function episodes(policy: Policy, count: number, sampling: Sampling) {
  let calls = 0;
  let decisions = 0;
  const done = await rollouts(policy, {
    starts: Array.from({ length: count }, (_, i) => 100_000 + i),
    seed: 1,
    sampling,
    onDecision({ record, robots }) {
      calls += record.trajectoryCalls;
      decisions += robots;
    },
  });
  return { ...scoreOf(done), calls: calls / decisions };
}

function scoreOf(done: readonly Episode[]) {
  const rewards = done.map(({ reward }) => reward);
  const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
  const variance = rewards.reduce((sum, reward) => sum + (reward - mean) ** 2, 0) / (rewards.length - 1);
  return { mean, error: Math.sqrt(variance / rewards.length) };
}

describe("the PushT policy that ships with the package", () => {
  let policy: Policy;
  before(async () => {
    policy = await loadPolicy(folder("pusht"), { threads: 1 });
  });
  after(() => policy.close());

  it("pushes the T, as well by speculative as by plain sampling", async () => {
    const plain = await episodes(policy, 10, { draft: "none" });
    const speculative = await episodes(policy, 10, { window: FIXED_WINDOW });
    assert.ok(plain.mean > 0.8 && speculative.mean > 0.8, `${plain.mean}, ${speculative.mean}`);
    // Ten episodes see a difference of about 0.1; the study has fifty.
    const error = Math.max(0.02, Math.hypot(plain.error, speculative.error));
    assert.ok(
      Math.abs(plain.mean - speculative.mean) < 4 * error,
      `${plain.mean} and ${speculative.mean}, +- ${error}`,
    );
    assert.equal(plain.calls, 100);
    assert.ok(speculative.calls < 20, `${speculative.calls} calls a decision`);
  });

  it("needs at least five times fewer calls with FROZEN x0 and carry, and keeps the law of plain sampling", async () => {
    const traced = await rollouts(policy, { starts: [100_003, 100_004], steps: 80, trace: true });
    const seen = historiesOf(policy, traced);
    let calls = 0;
    for (const [seed, history] of seen.entries()) {
      calls += (await policy.decide(history, { seed, draft: "frozen:x0", window: FIXED_WINDOW })).record.calls;
    }
    assert.ok(calls / seen.length <= 20, `${calls / seen.length} calls a decision`);

    const robots = 40;
    const histories = new Float64Array(robots * seen[0]!.length);
    for (let robot = 0; robot < robots; robot++) histories.set(seen[robot % seen.length]!, robot * seen[0]!.length);
    const { chain } = policy.schedule();
    const nothing = { dim: 32, evaluate: (rows: { count: number }) => new Float64Array(rows.count * 32) };
    for (const draft of [DEFAULTS.draft, "frozen:x0"]) {
      const drafter = createDrafter(draft, { chain, shape: policy.pipeline.shape });
      const speculation = { drafter, verifier: verifierNamed(DEFAULTS.coupling), window: fixedWindow(FIXED_WINDOW) };
      assertLaw(await pathLaw(chain, policy.denoiser(histories), nothing, speculation, robots, 5));
    }
  });

  it("drafts with its second network", async () => {
    const history = new Float64Array(40).fill(256);
    const { record } = await policy.decide(history, { seed: 1, draft: "independent", window: FIXED_WINDOW });
    assert.ok(record.calls < 50 && record.draftCalls > 50, `${record.calls} calls, ${record.draftCalls} of the draft`);
  });
});

it("the U-Net policy that ships with the package decides with the window that pays", async () => {
  const policy = await loadPolicy(folder("pusht-unet"), { threads: 1 });
  const history = new Float64Array(40).fill(256);
  const { chunks, record } = await policy.decide(history, { seed: 1, window: "auto" });
  await policy.close();
  assert.ok(chunks.every(Number.isFinite));
  assert.ok(record.calls <= 100);
});
