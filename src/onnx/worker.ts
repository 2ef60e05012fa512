import { parentPort, workerData } from "node:worker_threads";
import { openHere } from "./runtime.js";
import { messageOf, type SessionOptions, type Tensor } from "./session.js";

interface Request {
  id: number;
  feeds: Record<string, Tensor>;
  output: string;
}

const { file, options } = workerData as { file: string; options: SessionOptions };
const port = parentPort!;

try {
  const session = await openHere(file, options);
  port.on("message", async ({ id, feeds, output }: Request) => {
    try {
      const answer = await session.run(feeds, output);
      const moved = answer.output.slice(); // ONNX Runtime owns its buffer; this one may move
      port.postMessage({ id, answer: { ...answer, output: moved } }, [moved.buffer]);
    } catch (error) {
      port.postMessage({ id, error: messageOf(error) });
    }
  });
  port.postMessage({ id: 0, inputs: session.inputs, outputs: session.outputs });
} catch (error) {
  port.postMessage({ id: 0, error: messageOf(error) });
}
