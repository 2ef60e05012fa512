import * as ort from "onnxruntime-web";
import { SpecdiffError } from "../core/errors.js";
import { connect, type OnnxNetwork } from "../onnx/network.js";
import { openSession, type Session, type SessionOptions } from "../onnx/session.js";
import { readFolder } from "../pipeline/folder.js";
import { openPipeline, type Pipeline } from "../pipeline/pipeline.js";

/** `threads` holds for all networks of a page, and more than one needs a cross-origin isolated page. */
export interface WebOptions extends SessionOptions {
  /** Shape of one state where the file leaves it open, such as [3, 32, 32]. */
  readonly shape?: readonly number[];
  /** Address of the weights beside the file, if it has external data. Its last part must be the name in the file. */
  readonly externalData?: string;
}

/**
 * Opens an ONNX network in a browser: onnxruntime-web behind the interface of "speculative-diffusion/onnx".
 * WebAssembly computes on the thread that calls it: open the network in a Web Worker, or set `env.wasm.proxy` of
 * onnxruntime-web, where the page must not stand still.
 *
 * @param source address of the file, or its bytes
 * @throws SpecdiffError("bad-model") if the file cannot be loaded or has another form; the message says what it has
 */
export async function openOnnx(source: string | URL | Uint8Array, options: WebOptions = {}): Promise<OnnxNetwork> {
  return connect(labelOf(source), await openWeb(source, options), options.shape);
}

function openWeb(source: string | URL | Uint8Array, options: WebOptions): Promise<Session> {
  const { providers = ["wasm"], threads, externalData } = options;
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  return openSession(ort, labelOf(source), source instanceof URL ? source.href : source, {
    executionProviders: [...providers],
    ...(externalData && { externalData: [{ path: externalData.split("/").at(-1)!, data: externalData }] }),
  });
}

function labelOf(source: string | URL | Uint8Array): string {
  return source instanceof Uint8Array ? `the network of ${source.length} bytes` : String(source);
}

/**
 * Opens a model folder that is served over HTTP, as `fromPretrained` of "speculative-diffusion/node" opens one on disk.
 *
 * ```ts
 * const pipeline = await fromPretrained("/models/cifar10/", { providers: ["webgpu", "wasm"] });
 * const { samples, record } = await pipeline.run({ count: 4, steps: 100, seed: 1 });
 * ```
 * @param scheduler of the options: keys of the scheduler config instead of the folder's
 * @throws SpecdiffError for a missing file, a network of another form, an unsupported scheduler
 */
export async function fromPretrained(
  address: string | URL,
  options: WebOptions & { readonly scheduler?: Readonly<Record<string, unknown>> } = {},
): Promise<Pipeline> {
  const root = String(address).replace(/\/?$/, "/");
  const at = (path: string) => root + path;
  const get = async (path: string, method: "GET" | "HEAD"): Promise<Response | undefined> => {
    let response: Response;
    try {
      response = await fetch(at(path), { method });
    } catch (cause) {
      throw new SpecdiffError("file", `cannot fetch ${at(path)}: ${(cause as Error).message}`, { cause });
    }
    if (response.ok) return response;
    if (response.status === 404) return undefined;
    throw new SpecdiffError("file", `cannot fetch ${at(path)}: status ${response.status}`);
  };
  const has = async (path: string) => (await get(path, "HEAD")) !== undefined;
  const folder = await readFolder({ folder: root, at, has, text: async (path) => (await get(path, "GET"))?.text() });
  // exporters put weights beyond 2 GB beside the file, under this name
  const withData = async (file: string): Promise<WebOptions> =>
    (await has(`${file.slice(root.length)}_data`)) ? { externalData: `${file}_data`, ...options } : options;
  const opener = {
    network: async (file: string, shape: readonly number[] | undefined) =>
      openOnnx(file, { ...(await withData(file)), ...(shape && !options.shape && { shape }) }),
    session: async (file: string) => openWeb(file, await withData(file)),
  };
  return openPipeline(folder, opener, options.scheduler);
}

/**
 * An image as the bytes of an `ImageData`, to be put on a canvas.
 * @param image channels x height x width values from -1 to 1; others are cut to that range
 * @param shape [1 or 3, height, width]
 * @throws SpecdiffError("bad-argument") for another shape
 */
export function rgba(image: ArrayLike<number>, shape: readonly number[]): Uint8ClampedArray<ArrayBuffer> {
  const [channels, height, width] = shape;
  if (shape.length !== 3 || (channels !== 1 && channels !== 3) || image.length !== channels * height! * width!) {
    throw new SpecdiffError(
      "bad-argument",
      `${image.length} numbers of shape [${shape.join(", ")}] are no image; it needs [1 or 3, height, width]`,
    );
  }
  const pixels = height! * width!;
  const out = new Uint8ClampedArray(4 * pixels).fill(255);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = (image[Math.min(c, channels - 1) * pixels + i]! + 1) * 127.5;
  }
  return out;
}

export type { Condition, Conditions, Guidance, OnnxNetwork } from "../onnx/network.js";
export { assertChecked, type Finding, selfCheck } from "../pipeline/check.js";
export type { ConditionOptions, Pipeline, RunOptions, ScheduleOptions } from "../pipeline/pipeline.js";
export type { PromptOptions } from "../pipeline/prompts.js";
