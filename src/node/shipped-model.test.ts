import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Outputs, Rows } from "../core/model.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { denoiser } from "../schedules/index.js";
import { modelConformance } from "../testing/conformance.js";
import { assertLaw, pathLaw } from "../testing/law.js";
import { verifiers } from "../verifiers/index.js";
import { fromPretrained, type Pipeline } from "./index.js";

const folder = fileURLToPath(new URL("../../models/cifar10", import.meta.url));

describe("the CIFAR-10 model that ships with the package", () => {
  let pipeline: Pipeline;
  before(async () => {
    pipeline = await fromPretrained(folder);
  });
  after(() => pipeline.close());

  it("conforms", async () => {
    const { chain, readout } = pipeline.schedule({ steps: 100 });
    for (const { run } of modelConformance(denoiser(pipeline.networkModel(), readout), chain, 1e-4)) await run();
  });

  it("takes at least 2.5 times fewer calls with FROZEN x0 at 100 steps, churn 1, window 10", async () => {
    const { record } = await pipeline.run({ count: 6, steps: 100, churn: 1, window: 10, draft: "frozen:x0", seed: 1 });
    assert.ok(record.speedup! >= 2.5, `${record.speedup} steps a call`);
  });

  it("keeps the law of plain sampling on every step of its paths", async () => {
    const { chain, readout } = pipeline.schedule({ steps: 24 });
    const model = denoiser(pipeline.networkModel(), readout);
    // The innovations are projected on what drafting from x0 = 0 would get wrong, across it, and at random.
    const nothing = { dim: model.dim, evaluate: (rows: Rows): Outputs => new Float64Array(rows.count * rows.dim) };
    for (const [draft, coupling] of [
      ["frozen:x0", "reflection"],
      ["posterior", "block"],
    ] as const) {
      const drafter = createDrafter(draft, { chain, shape: pipeline.shape });
      const speculation = { drafter, verifier: verifiers[coupling]!, window: fixedWindow(4) };
      assertLaw(await pathLaw(chain, model, nothing, speculation, 16, 3));
    }
  });

  it("makes images: values in range, with the mean and contrast of photographs", async () => {
    const { samples } = await pipeline.run({ count: 10, steps: 40, seed: 5 });
    const inRange = samples.filter((value) => Math.abs(value) <= 1.2).length / samples.length;
    const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length;
    const deviation = Math.sqrt(samples.reduce((sum, value) => sum + (value - mean) ** 2, 0) / samples.length);
    assert.ok(inRange > 0.98, `${inRange} of the values within the range of pixels`);
    // CIFAR-10 scaled to -1 .. 1 has mean -0.05 and standard deviation 0.5
    assert.ok(
      Math.abs(mean) < 0.3 && deviation > 0.3 && deviation < 0.75,
      `mean ${mean}, standard deviation ${deviation}`,
    );
  });
});
