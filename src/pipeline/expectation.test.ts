import assert from "node:assert/strict";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { RandomStream } from "../core/random.js";
import { fromPretrained } from "../node/index.js";
import { verifiers } from "../verifiers/index.js";
import { expectation, KEPT } from "./expectation.js";
import { DEFAULTS } from "./pipeline.js";

const open = (name: string) =>
  fromPretrained(fileURLToPath(new URL(`../../test/fixtures/models/${name}`, import.meta.url)), { worker: false });

for (const [name, steps] of [
  ["images-epsilon", 60],
  ["vectors-flow", 60],
] as const) {
  it(`predicts the calls of a run with ${name}, by coupling`, async () => {
    const pipeline = await open(name);
    const expected: Record<string, Record<string, number>> = {};
    for (const coupling of Object.keys(verifiers)) {
      const { drafters, cost } = await expectation(pipeline, { steps, count: 8, repetitions: 1, coupling });
      assert.ok(cost.points[0]!.ms > 0);
      // the window of fewest calls does not depend on the clock
      for (const { drafter, delta, longWindow: window, longCalls: calls } of drafters) {
        assert.equal(delta.length, 30);
        // the replay knows nothing of refused states
        const run = { steps, draft: drafter, window, coupling, carry: "nearest" } as const;
        const { record } = await pipeline.run({ ...run, count: 12, seed: 5 });
        const error = calls / record.speedup!;
        // the replay is hopeful after rejections; 8 and 12 trajectories scatter by some percent
        const wrong = `${drafter}, ${coupling}, window ${window}: expected ${calls}, was ${record.speedup}`;
        assert.ok(error > 0.85 && error < 1.5, wrong);
        expected[drafter] = { ...expected[drafter], [coupling]: calls };
      }
    }
    for (const [drafter, { reflection, block }] of Object.entries(expected))
      assert.ok(block! > reflection!, `${drafter}: block ${block}, reflection ${reflection}`);
    assert.deepEqual(
      (await expectation(pipeline, { steps: 20, repetitions: 1, drafters: ["posterior"] })).drafters[0]!.longCalls,
      (await expectation(pipeline, { steps: 20, repetitions: 1, drafters: ["posterior"], coupling: DEFAULTS.coupling }))
        .drafters[0]!.longCalls,
    );
    await pipeline.close();
  });
}

for (const [name, { verify }] of Object.entries(verifiers)) {
  it(`draws what ${name} keeps from the target's path as it keeps it of drafts`, () => {
    const targetMeans = Float64Array.of(0.7, 1.6, 0.4, 1.1); // of drafts with mean 0, in standard deviations
    const drafted = targetMeans.length;
    const random = new RandomStream(9);
    const noise = new Float64Array(drafted);
    const verdict = {
      tip: 0,
      corrected: false,
      replaced: -1,
      residual: new Float64Array(1),
      delta: new Float64Array(drafted),
    };
    const source = { uniform: () => random.uniform(), normals: () => assert.fail("not needed") };
    const [kept, expected] = [new Float64Array(drafted), new Float64Array(drafted)];
    const trials = 40_000;
    for (let trial = 0; trial < trials; trial++) {
      random.key(trial, 0, 0, 0).normals(noise);
      const window = {
        dim: 1,
        drafted,
        parent: Int32Array.of(-1, 0, 1, 2, 3),
        states: Float64Array.of(0, ...noise),
        draftMeans: new Float64Array(drafted),
        targetMeans,
        sigma: new Float64Array(drafted).fill(1),
      };
      verify(window, source, verdict);
      for (let i = 0; i < verdict.tip; i++) kept[i]! += 1 / trials;
      let [before, all] = [0, 0];
      random.normals(noise);
      targetMeans.forEach((delta, i) => {
        const level = delta * (noise[i]! + delta / 2);
        all += level;
        before = KEPT[name]!(before, level, all);
        expected[i]! += Math.exp(before) / trials;
      });
    }
    // four standard errors of the difference, which are at most 0.0035
    kept.forEach((share, i) => {
      assert.ok(Math.abs(share - expected[i]!) < 0.014, `level ${i}: kept ${share}, expected ${expected[i]}`);
    });
  });
}

it("says that a graph with one time cannot gain, and that few steps bring little", async () => {
  const scalar = await open("vectors-epsilon-scalar");
  const { measured, verdict } = await expectation(scalar, { steps: 30, count: 1, repetitions: 3 });
  assert.match(verdict, /^Nothing to gain before the network is exported again/);
  assert.deepEqual([measured.length, measured[0]!.calls <= 1], [1, true]);
  await scalar.close();
  const epsilon = await open("images-epsilon");
  const few = await expectation(epsilon, { steps: 4, count: 4, repetitions: 3, drafters: ["frozen:epsilon"] });
  assert.match(few.verdict, /^Speculation saves next to no calls here .* with 4 steps/);
  assert.deepEqual(
    few.measured.slice(1).map(({ draft, window }) => [draft, window]),
    [
      ["auto", "auto"],
      ["auto", 4],
    ],
  );
  await epsilon.close();
});
