import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SpecdiffError } from "../core/errors.js";
import type { GaussianStatistics } from "../metrics/index.js";
import type { Session, SessionOptions, TensorInfo } from "../onnx/session.js";
import { openInWorker } from "../onnx/thread.js";
import { type ImageSet, resize } from "./image-set.js";
import { readNpz } from "./npz.js";

/** A network that turns images into features, and where it can into logits of classes. */
export interface FeatureNetwork {
  /** Which features a number belongs to. */
  readonly name: string;
  /** Statistics of a reference set that ship beside the network. */
  readonly reference?: GaussianStatistics;
  /** count x dim */
  features(images: ImageSet): Promise<{ values: Float64Array; dim: number }>;
  /**
   * count x classes
   * @throws SpecdiffError("bad-model") if the network has no output called "logits"
   */
  logits(images: ImageSet): Promise<{ values: Float64Array; dim: number }>;
  close(): Promise<void>;
}

export interface FeatureOptions extends SessionOptions {
  /** What the network expects pixels to be. Default [-1, 1]; an exported pytorch-fid Inception takes [0, 1]. */
  readonly range?: readonly [number, number];
}

const BATCH = 32;

/**
 * Opens a feature network: an ONNX file, or a folder with `model.onnx` and, optionally, `stats.npz` (mu, sigma of its
 * reference set). Input (N, 3, height, width); outputs "features", else the first one, and optionally "logits". Images of
 * another size than the network declares are resized.
 * @throws SpecdiffError("bad-model") if it is of another form, "file" if it cannot be read
 */
export async function openFeatures(path: string, options: FeatureOptions = {}): Promise<FeatureNetwork> {
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new SpecdiffError("file", `there is no feature network at ${path}; give one with --features`);
  const file = info.isDirectory() ? join(path, "model.onnx") : path;
  const statistics = info.isDirectory() ? join(path, "stats.npz") : undefined;
  const bytes = statistics && (await readFile(statistics).catch(() => undefined));
  const reference = bytes ? statisticsFrom(bytes, statistics) : undefined;
  const session = await openInWorker(file, options);
  const [input] = session.inputs;
  if (session.inputs.length !== 1 || input?.shape.length !== 4) {
    await session.close();
    throw new SpecdiffError("bad-model", `${file} must take one input, images of shape (N, 3, height, width)`);
  }
  const features = session.outputs.find(({ name }) => name === "features") ?? session.outputs[0]!;
  const logits = session.outputs.find(({ name }) => name === "logits");
  const [low, high] = options.range ?? [-1, 1];
  const run = (set: ImageSet, output: string) => evaluate(session, input, output, set, low, high);
  return {
    name: path,
    ...(reference && { reference }),
    features: (set) => run(set, features.name),
    logits(set) {
      if (logits) return run(set, logits.name);
      throw new SpecdiffError("bad-model", `${file} has no output "logits", which the Inception Score needs`);
    },
    close: () => session.close(),
  };
}

async function evaluate(session: Session, input: TensorInfo, output: string, set: ImageSet, low: number, high: number) {
  const [, , height, width] = input.shape;
  const sized = resize(
    set,
    typeof height === "number" && height > 0 ? height : set.shape[1],
    typeof width === "number" && width > 0 ? width : set.shape[2],
  );
  const size = 3 * sized.shape[1] * sized.shape[2];
  const parts: Float32Array[] = [];
  for (let from = 0; from < sized.count; from += BATCH) {
    const count = Math.min(BATCH, sized.count - from);
    const data = new Float32Array(count * size);
    for (let i = 0; i < data.length; i++) {
      data[i] = low + ((high - low) * (Math.max(-1, Math.min(1, sized.images[from * size + i]!)) + 1)) / 2;
    }
    const dims = [count, 3, sized.shape[1], sized.shape[2]];
    parts.push((await session.run({ [input.name]: { type: "float32", data, dims } }, output)).output);
  }
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  const values = new Float64Array(total);
  let at = 0;
  for (const part of parts) {
    values.set(part, at);
    at += part.length;
  }
  return { values, dim: total / sized.count };
}

/**
 * Reference statistics in pytorch-fid's form: a .npz with `mu` (dim) and `sigma` (dim, dim).
 * @throws SpecdiffError("file") if it has another form
 */
export function statisticsFrom(bytes: Uint8Array, label: string): GaussianStatistics {
  const { mu, sigma } = readNpz(bytes, label);
  if (!mu || !sigma || sigma.values.length !== mu.values.length ** 2) {
    throw new SpecdiffError("file", `${label} must hold mu of shape (dim) and sigma of shape (dim, dim)`);
  }
  return { mean: mu.values, covariance: sigma.values };
}
