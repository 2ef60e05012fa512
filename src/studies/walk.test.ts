import assert from "node:assert/strict";
import { it } from "node:test";
import { sample } from "../core/loop.js";
import { plain } from "../plain.js";
import { testChain, testModel } from "../testing/targets.js";
import { walk } from "./walk.js";

it("walks the same trajectories as sample, to the bit", async () => {
  const options = { chain: testChain(), model: testModel(3), count: 150, seed: 4 };
  const { samples } = await sample({ ...options, ...plain });
  assert.deepEqual(await walk(options), samples);
  const initial = (trajectory: number, out: Float64Array) => out.fill(trajectory / 100);
  const started = await sample({ ...options, ...plain, initial });
  assert.deepEqual(await walk({ ...options, initial }), started.samples);
});
