// What the browser test calls: opens a stand-in, generates, draws, and says what came out.
import { assertChecked, fromPretrained, rgba, selfCheck } from "/dist/web/index.js";

globalThis.generate = async ({ model, providers, rows, options }) => {
  const pipeline = await fromPretrained(`/${model}`, { providers, threads: 1 });
  assertChecked(model, await selfCheck(pipeline, { providers }));
  const outputs = await pipeline.networkModel().evaluate({
    ...rows,
    trajectory: Int32Array.from(rows.trajectory),
    step: Int32Array.from(rows.step),
    time: Float64Array.from(rows.time),
    states: Float64Array.from(rows.states),
  });
  const kept = Array.from(outputs.subarray(0, rows.count * rows.dim));
  const plain = await pipeline.run({ ...options, draft: "none" });
  const speculative = await pipeline.run(options);
  for (let n = 0; n < options.count && pipeline.shape.length === 3; n++) {
    const [, height, width] = pipeline.shape;
    const dim = plain.dim;
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height, className: "image" });
    const pixels = rgba(speculative.samples.subarray(n * dim, (n + 1) * dim), pipeline.shape);
    canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
    document.body.append(canvas);
  }
  await pipeline.close();
  return { outputs: kept, plain: Array.from(plain.samples), record: speculative.record };
};
globalThis.embed = async ({ model, prompts }) => {
  const pipeline = await fromPretrained(`/${model}`, { threads: 1 });
  const { conditions } = await pipeline.embed({ prompts });
  await pipeline.close();
  return prompts.map((_, n) => Array.from(conditions.encoder_hidden_states(n)));
};
globalThis.hasAdapter = async () => Boolean(await navigator.gpu?.requestAdapter());
globalThis.ready = true;
