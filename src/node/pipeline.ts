import { type OnnxOptions, openOnnx } from "../onnx/index.js";
import { openHere } from "../onnx/runtime.js";
import { openInWorker } from "../onnx/thread.js";
import type { KnownCost } from "../pipeline/cost.js";
import { openPipeline, type Pipeline } from "../pipeline/pipeline.js";
import { knownCost } from "./cost-cache.js";
import { readModelFolder } from "./model-folder.js";

export interface PretrainedOptions extends OnnxOptions {
  /** Keys of the scheduler config instead of the folder's; with a `_class_name`, instead of the whole config. */
  readonly scheduler?: Readonly<Record<string, unknown>>;
}

/**
 * Opens a model for exact speculative sampling: a diffusers or Optimum export, a folder with a `model.json`, or a bare ONNX
 * file, whose schedule is then given as `scheduler`.
 *
 * ```ts
 * const pipeline = await fromPretrained("models/cifar10");
 * const { samples, record } = await pipeline.run({ count: 16, steps: 100, seed: 1 });
 * ```
 * @throws SpecdiffError for a missing file, a network of another form, an unsupported scheduler
 */
export async function fromPretrained(path: string, options: PretrainedOptions = {}): Promise<Pipeline> {
  const opener = {
    network: (file: string, shape: readonly number[] | undefined) =>
      openOnnx(file, { ...options, ...(shape && !options.shape && { shape }) }),
    cost: (target: string, guided: boolean, measure: () => Promise<KnownCost>) =>
      knownCost(target, { providers: options.providers ?? ["cpu"], threads: options.threads, guided }, measure),
    session: (file: string) => (options.worker === false ? openHere : openInWorker)(file, options),
  };
  return openPipeline(await readModelFolder(path), opener, options.scheduler);
}
