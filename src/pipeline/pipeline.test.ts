import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { fixedWindow } from "../core/window-policy.js";
import { frozen } from "../drafters/index.js";
import { fromPretrained } from "../node/index.js";
import { fromHalf } from "../onnx/half.js";
import type { Tensor } from "../onnx/session.js";
import { denoiser } from "../schedules/index.js";
import { brokenVerifiers } from "../testing/conformance.js";
import { assertLaw, pathLaw } from "../testing/law.js";
import { reflection } from "../verifiers/index.js";
import { decodeLatents } from "./decoder.js";
import { readFolder } from "./folder.js";

describe("every form of export is sampled with the law of plain sampling", () => {
  for (const name of [
    "images-epsilon",
    "images-sample",
    "images-v-classes",
    "images-flow-half",
    "vectors-epsilon",
    "vectors-epsilon-scalar",
    "vectors-sample",
    "vectors-v",
    "vectors-flow",
  ]) {
    it(name, async () => {
      const path = fileURLToPath(new URL(`../../test/fixtures/models/${name}`, import.meta.url));
      const pipeline = await fromPretrained(path, { worker: false });
      const { chain, readout } = pipeline.schedule({ steps: 12, sampler: "ancestral", churn: 1 });
      const model = denoiser(pipeline.networkModel(name.includes("classes") ? { classes: [1] } : {}), readout);
      const zero = { dim: model.dim, evaluate: (rows: { count: number }) => new Float64Array(rows.count * model.dim) };
      const speculation = { drafter: frozen(chain, "x0"), verifier: reflection, window: fixedWindow(4) };
      // 1,320 innovations: a shift of the mean of 0.14 sigma is seen; half precision and rounding in batches are far below
      assertLaw(await pathLaw(chain, model, zero, speculation, 120, 5));
      await pipeline.close();
    });
  }

  it("and a verifier that keeps every draft is caught on them", async () => {
    const path = fileURLToPath(new URL("../../test/fixtures/models/vectors-flow", import.meta.url));
    const pipeline = await fromPretrained(path, { worker: false });
    const { chain, readout } = pipeline.schedule({ steps: 12, sampler: "ancestral", churn: 1 });
    const model = denoiser(pipeline.networkModel(), readout);
    const zero = { dim: model.dim, evaluate: (rows: { count: number }) => new Float64Array(rows.count * model.dim) };
    const speculation = { drafter: frozen(chain, "x0"), verifier: brokenVerifiers[0]!, window: fixedWindow(4) };
    await assert.rejects(
      async () => assertLaw(await pathLaw(chain, model, zero, speculation, 120, 5)),
      /the law is not/,
    );
    await pipeline.close();
  });
});

describe("a model folder", () => {
  const files = (contents: Record<string, unknown>) => ({
    folder: "somewhere/dit",
    at: (path: string) => `somewhere/dit/${path}`,
    has: async (path: string) => path in contents,
    text: async (path: string) => (path in contents ? JSON.stringify(contents[path]) : undefined),
  });

  it("of DiT: names, null class, shape of a state, decoder", async () => {
    const folder = await readFolder(
      files({
        "model_index.json": { _class_name: "DiTPipeline", id2label: { 0: "tench", 1: "goldfish" } },
        "transformer/model.onnx": {},
        "transformer/config.json": { num_embeds_ada_norm: 2, in_channels: 4, sample_size: 32 },
        "scheduler/scheduler_config.json": { _class_name: "DDIMScheduler" },
        "vae_decoder/model.onnx": {},
        "vae_decoder/config.json": { scaling_factor: 0.13 },
      }),
    );
    assert.deepEqual(folder, {
      folder: "somewhere/dit",
      name: "dit",
      target: "somewhere/dit/transformer/model.onnx",
      scheduler: { _class_name: "DDIMScheduler" },
      classes: ["tench", "goldfish"],
      nullClass: 2,
      shape: [4, 32, 32],
      decoder: { file: "somewhere/dit/vae_decoder/model.onnx", scale: 0.13, shift: 0 },
    });
  });
  it("says what is wrong with model.json", async () => {
    const card = (value: unknown) => readFolder(files({ "model.json": value, "unet/model.onnx": {} }));
    await assert.rejects(card({ nullClass: -1 }), /nullClass must be a label/);
    await assert.rejects(card({ shape: "3x8x8" }), /shape must be a list of whole numbers/);
    await assert.rejects(card({ classes: "cat" }), /classes must be a list of names/);
    await assert.rejects(card({ target: "gone.onnx" }), /gone.onnx does not exist/);
    await assert.rejects(card([]), /not a JSON object/);
  });
});

describe("latents", () => {
  const decoder = { file: "vae_decoder/model.onnx", scale: 0.5, shift: 1 };
  const session = (shape: (string | number)[], type = "float32") => ({
    inputs: [{ name: "latent_sample", type, shape }],
    outputs: [{ name: "sample", type, shape: ["batch", 1, "h", "w"] }],
    async run(feeds: Readonly<Record<string, Tensor>>) {
      // every number twice, as a decoder that doubles the width
      const { data } = feeds.latent_sample!;
      const numbers = data instanceof Uint16Array ? fromHalf(data) : Float32Array.from(data as Float32Array);
      return { output: Float32Array.from([...numbers, ...numbers]), dims: [1, 1, 1, 2 * numbers.length], ms: 0 };
    },
    close: async () => {},
  });
  it("are scaled, shifted and decoded one by one, in the decoder's own precision", async () => {
    for (const type of ["float32", "float16"]) {
      const { images, shape } = await decodeLatents(
        session(["b", 1, 1, 2], type),
        decoder,
        Float64Array.of(1, 2, 3, 4),
        [1, 1, 2],
      );
      assert.deepEqual(shape, [1, 1, 4]);
      assert.deepEqual([...images], [3, 5, 3, 5, 7, 9, 7, 9]);
    }
  });
  it("of another shape than the decoder's are refused", async () => {
    const wrong = decodeLatents(session(["b", 4, "h", "w"]), decoder, new Float64Array(2), [1, 1, 2]);
    await assert.rejects(
      wrong,
      /latents of shape \[batch, 1, 1, 2\]; it has inputs latent_sample \(float32\[b, 4, h, w\]\)/,
    );
  });
});
