import type { SampleOptions } from "../core/loop.js";
import { RowBuffer } from "../core/model.js";
import { Purpose, RandomStream } from "../core/random.js";

/** Trajectories that go side by side: few enough for their states to stay in the cache. */
const TOGETHER = 128;

/**
 * Plain sampling of many trajectories, to the bit what `sample` with `plain` returns, without windows, decisions and records:
 * several times sooner where the model itself costs next to nothing, as a mixture in few dimensions.
 */
export async function walk({
  chain,
  model,
  count,
  seed,
  initial,
  signal,
}: Pick<SampleOptions, "chain" | "model" | "count" | "seed" | "initial" | "signal">): Promise<Float64Array> {
  const { dim } = model;
  const steps = chain.sigma.length;
  const random = new RandomStream(seed);
  const samples = new Float64Array(count * dim);
  const noise = new Float64Array(dim);
  const rows = new RowBuffer(dim);
  for (let first = 0; first < count; first += TOGETHER) {
    signal?.throwIfAborted();
    const states = samples.subarray(first * dim, Math.min(first + TOGETHER, count) * dim);
    const together = states.length / dim;
    rows.clear();
    for (let n = 0; n < together; n++) {
      const own = states.subarray(n * dim, (n + 1) * dim);
      if (initial) {
        initial(first + n, own);
      } else {
        random.key(first + n, 0, 0, Purpose.initial).normals(own);
        for (let i = 0; i < dim; i++) own[i]! *= chain.initialSigma;
      }
      rows.push(first + n, 0, chain, states, n * dim);
    }
    for (let k = 0; k < steps; k++) {
      rows.step.fill(k, 0, together);
      rows.time.fill(chain.time[k]!, 0, together);
      const answer = model.evaluate(rows, signal);
      const outputs = answer instanceof Promise ? await answer : answer;
      const [a, b, sigma] = [chain.a[k]!, chain.b[k]!, chain.sigma[k]!];
      const x = rows.states;
      for (let n = 0, at = 0; n < together; n++) {
        if (sigma > 0) random.key(first + n, k, k, Purpose.draft).normals(noise);
        for (let i = 0; i < dim; i++, at++) {
          const mean = a * x[at]! + b * outputs[at]!;
          x[at] = sigma > 0 ? mean + sigma * noise[i]! : mean;
        }
      }
    }
    states.set(rows.states.subarray(0, states.length));
  }
  return samples;
}
