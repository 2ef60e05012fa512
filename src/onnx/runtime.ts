import * as ort from "onnxruntime-node";
import { SpecdiffError } from "../core/errors.js";
import type { Answer, Tensor } from "./session.js";

export interface SessionOptions {
  /** Execution providers of ONNX Runtime in order of preference: "cpu", "webgpu", "cuda", "coreml", "dml". Default cpu. */
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

export interface Session {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** The buffers of `feeds` may be moved away. */
  run(feeds: Readonly<Record<string, Tensor>>, output: string): Promise<Answer>;
  close(): Promise<void>;
}

/** @throws SpecdiffError("bad-model") with ONNX Runtime's own reason */
export async function open(file: string, options: SessionOptions): Promise<Session> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(file, {
      executionProviders: [...(options.providers ?? ["cpu"])],
      ...(options.threads !== undefined && { intraOpNumThreads: options.threads }),
      logSeverityLevel: 3,
    });
  } catch (error) {
    throw new SpecdiffError("bad-model", `ONNX Runtime cannot load ${file}: ${messageOf(error)}`, { cause: error });
  }
  return {
    inputs: describe(session.inputMetadata),
    outputs: describe(session.outputMetadata),
    async run(feeds, output) {
      const tensors: Record<string, ort.Tensor> = {};
      for (const [name, { type, data, dims }] of Object.entries(feeds)) {
        tensors[name] = new ort.Tensor(type, data as Float32Array, dims);
      }
      const started = performance.now();
      try {
        const value = (await session.run(tensors, [output]))[output]!;
        const ms = performance.now() - started;
        return { output: (await value.getData()) as Float32Array, dims: value.dims, ms };
      } catch (error) {
        throw new SpecdiffError("network-failed", `the network failed: ${messageOf(error)}`, { cause: error });
      }
    },
    close: () => session.release(),
  };
}

function describe(metadata: readonly ort.InferenceSession.ValueMetadata[]): TensorInfo[] {
  return metadata.map((value) =>
    value.isTensor
      ? { name: value.name, type: value.type, shape: value.shape }
      : { name: value.name, type: "not a tensor", shape: [] },
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
