import type { InferenceSession, TensorConstructor } from "onnxruntime-common";
import { SpecdiffError } from "../core/errors.js";
import { fromHalf } from "./half.js";

export interface SessionOptions {
  /**
   * Execution providers of ONNX Runtime in order of preference. Node: "cpu" (default), "webgpu", "cuda", "coreml", "dml";
   * browsers: "wasm" (default), "webgpu". A name that the installed runtime lacks is its own error.
   */
  readonly providers?: readonly string[];
  /** Threads of one operator. Default: ONNX Runtime's choice, one per core. */
  readonly threads?: number;
}

/** Name, element type and shape as the file declares them; symbolic dimensions are names. */
export interface TensorInfo {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly (number | string)[];
}

/** A tensor that may cross threads: `data` is moved, not copied. float16 is its bits. */
export interface Tensor {
  readonly type: "float32" | "float16" | "int64" | "int32" | "bool";
  readonly data: Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;
  readonly dims: readonly number[];
}

/** An answer of `run`: the output and how long the network alone took. */
export interface Answer {
  readonly output: Float32Array;
  readonly dims: readonly number[];
  readonly ms: number;
}

/** An opened ONNX file, whatever runs it. */
export interface Session {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** The buffers of `feeds` may be moved away. */
  run(feeds: Readonly<Record<string, Tensor>>, output: string): Promise<Answer>;
  close(): Promise<void>;
}

/** The parts of onnxruntime-node and onnxruntime-web that are used. */
export interface Runtime {
  readonly InferenceSession: {
    create(source: string, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
    create(source: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor;
}

/**
 * Opens an ONNX file in the given runtime, on this thread.
 * @param label what messages call the file
 * @throws SpecdiffError("bad-model") with ONNX Runtime's own reason
 */
export async function openSession(
  { InferenceSession, Tensor }: Runtime,
  label: string,
  source: string | Uint8Array,
  options: InferenceSession.SessionOptions,
): Promise<Session> {
  let session: InferenceSession;
  try {
    const settings = { logSeverityLevel: 3 as const, ...options };
    session = await (typeof source === "string"
      ? InferenceSession.create(source, settings)
      : InferenceSession.create(source, settings));
  } catch (error) {
    const providers = (options.executionProviders ?? []).join(", ");
    const remedy = /^(cpu|wasm)?$/.test(providers)
      ? ""
      : "; if the provider is what it lacks, use cpu (in a browser wasm)";
    throw new SpecdiffError(
      "bad-model",
      `ONNX Runtime cannot load ${label} with ${providers}: ${messageOf(error).trim()}${remedy}`,
      { cause: error },
    );
  }
  return {
    inputs: describe(session.inputMetadata),
    outputs: describe(session.outputMetadata),
    async run(feeds, output) {
      const tensors: Record<string, InstanceType<TensorConstructor>> = {};
      for (const [name, { type, data, dims }] of Object.entries(feeds)) {
        tensors[name] = new Tensor(type, data as Float32Array, dims);
      }
      const started = performance.now();
      try {
        const value = (await session.run(tensors, [output]))[output]!;
        const data = await value.getData();
        const ms = performance.now() - started;
        return { output: numbersOf(data), dims: value.dims, ms };
      } catch (error) {
        throw new SpecdiffError("network-failed", `the network failed: ${messageOf(error)}`, { cause: error });
      }
    },
    close: () => session.release(),
  };
}

/** float16 comes as its bits, or as Float16Array where the platform has one. */
function numbersOf(data: unknown): Float32Array {
  if (data instanceof Float32Array) return data;
  return data instanceof Uint16Array ? fromHalf(data) : Float32Array.from(data as ArrayLike<number>);
}

function describe(metadata: readonly InferenceSession.ValueMetadata[]): TensorInfo[] {
  return metadata.map((value) =>
    value.isTensor
      ? { name: value.name, type: value.type, shape: value.shape }
      : { name: value.name, type: "not a tensor", shape: [] },
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
