import { Worker } from "node:worker_threads";
import { SpecdiffError } from "../core/errors.js";
import type { Answer, Session, SessionOptions, TensorInfo } from "./session.js";

type Reply =
  | { id: number; answer: Answer }
  | { id: number; error: string }
  | { id: number; inputs: readonly TensorInfo[]; outputs: readonly TensorInfo[] };

/**
 * Opens an ONNX file in a thread of its own: onnxruntime-node computes on the thread that calls it, so that a server or a
 * progress bar would stand still.
 * @throws SpecdiffError("bad-model") if the file is not a model that ONNX Runtime can load
 */
export async function openInWorker(file: string, options: SessionOptions): Promise<Session> {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: { file, options } });
  const waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  let dead: SpecdiffError | undefined;
  const fail = (error: SpecdiffError) => {
    dead ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    worker.unref();
  };
  worker.on("message", (reply: Reply) => {
    waiting.get(reply.id)?.resolve(reply);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
  });
  worker.on("error", (error) =>
    fail(new SpecdiffError("network-failed", `the network's thread failed: ${error.message}`, { cause: error })),
  );
  worker.on("exit", (code) =>
    fail(new SpecdiffError("network-failed", `the network's thread ended with code ${code}`)),
  );

  const ask = (id: number, send: () => void) =>
    new Promise<Reply>((resolve, reject) => {
      if (dead) return reject(dead);
      waiting.set(id, { resolve, reject });
      worker.ref();
      send();
    });

  const opened = await ask(0, () => {});
  if ("error" in opened) {
    await worker.terminate();
    throw new SpecdiffError("bad-model", opened.error);
  }
  if (!("inputs" in opened)) throw new Error("unreachable: the first reply describes the model");
  let next = 1;
  return {
    inputs: opened.inputs,
    outputs: opened.outputs,
    async run(feeds, output) {
      const id = next++;
      const transfer = [...new Set(Object.values(feeds).map(({ data }) => data.buffer as ArrayBuffer))];
      const reply = await ask(id, () => worker.postMessage({ id, feeds, output }, transfer));
      if ("error" in reply) throw new SpecdiffError("network-failed", reply.error);
      if (!("answer" in reply)) throw new Error("unreachable: later replies are answers");
      return reply.answer;
    },
    async close() {
      dead = new SpecdiffError("network-failed", "the model has been closed");
      await worker.terminate();
    },
  };
}
