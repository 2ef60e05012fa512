import { connect, type OnnxNetwork } from "./network.js";
import { openHere } from "./runtime.js";
import type { SessionOptions } from "./session.js";
import { openInWorker } from "./thread.js";

export interface OnnxOptions extends SessionOptions {
  /** Whether the network computes in a thread of its own. Default true. */
  readonly worker?: boolean;
  /** Shape of one state where the file leaves it open, such as [3, 32, 32]. */
  readonly shape?: readonly number[];
}

/**
 * Opens a network with a dynamic batch axis and one time per row, as diffusers and Optimum export them, except that their
 * `timestep` is sometimes a scalar: see `perRowTimes`. Weights beside the file (external data) are found by ONNX Runtime.
 * Its models return raw outputs; wrap them in `denoiser` for a chain.
 *
 * @throws SpecdiffError("bad-model") if the file cannot be loaded or has another form; the message says what it has
 */
export async function openOnnx(file: string, options: OnnxOptions = {}): Promise<OnnxNetwork> {
  const session = await (options.worker === false ? openHere : openInWorker)(file, options);
  return connect(file, session, options.shape);
}

export { reexportAdvice } from "./form.js";
export type { Condition, Conditions, Guidance, OnnxNetwork } from "./network.js";
export type { SessionOptions, TensorInfo } from "./session.js";
