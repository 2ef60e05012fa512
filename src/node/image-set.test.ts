import assert from "node:assert/strict";
import { it } from "node:test";
import { resize } from "./image-set.js";

it("resizes as pytorch-fid does: bilinear, pixel centres at half numbers", () => {
  const images = Float64Array.from({ length: 3 * 2 * 2 }, (_, i) => [0, 1, 0, 1][i % 4]!);
  const { images: out, shape } = resize({ shape: [3, 2, 2], count: 1, images }, 4, 4);
  assert.deepEqual(shape, [3, 4, 4]);
  assert.deepEqual([...out.subarray(0, 4)], [0, 0.25, 0.75, 1]);
  assert.deepEqual([...out.subarray(44, 48)], [0, 0.25, 0.75, 1]);
  // halving a ramp of 4 takes the middle of each pair
  const ramp = { shape: [3, 1, 4] as const, count: 1, images: Float64Array.from({ length: 12 }, (_, i) => i % 4) };
  assert.deepEqual([...resize(ramp, 1, 2).images.subarray(0, 2)], [0.5, 2.5]);
});
