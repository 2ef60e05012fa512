import assert from "node:assert/strict";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { fromPretrained } from "../node/index.js";
import { expectation } from "./expectation.js";

const open = (name: string) =>
  fromPretrained(fileURLToPath(new URL(`../../test/fixtures/models/${name}`, import.meta.url)), { worker: false });

for (const [name, steps] of [
  ["images-epsilon", 60],
  ["vectors-flow", 60],
] as const) {
  it(`predicts the calls of a run with ${name}`, async () => {
    const pipeline = await open(name);
    const { drafters, cost } = await expectation(pipeline, { steps, count: 4, repetitions: 3 });
    assert.ok(cost.points[0]!.ms > 0);
    for (const { drafter, delta, window, calls } of drafters) {
      assert.equal(delta.length, 30);
      const { record } = await pipeline.run({ count: 8, steps, seed: 5, draft: drafter, window });
      const error = calls / record.speedup!;
      // the replay is a little hopeful after rejections; 4 and 8 trajectories scatter by some percent
      assert.ok(error > 0.85 && error < 1.35, `${drafter}, window ${window}: expected ${calls}, was ${record.speedup}`);
    }
    await pipeline.close();
  });
}

it("says that a graph with one time cannot gain, and that few steps bring little", async () => {
  const scalar = await open("vectors-epsilon-scalar");
  const { measured, verdict } = await expectation(scalar, { steps: 30, count: 1, repetitions: 3 });
  assert.match(verdict, /^Nothing to gain before the network is exported again/);
  assert.ok(measured.calls <= 1);
  await scalar.close();
  const epsilon = await open("images-epsilon");
  const few = await expectation(epsilon, { steps: 4, count: 4, repetitions: 3, drafters: ["frozen:epsilon"] });
  assert.match(few.verdict, /^Speculation saves next to no calls here .* with 4 steps/);
  await epsilon.close();
});
