import type { Drafter, Evaluation } from "../core/drafter.js";
import type { Outputs, Rows } from "../core/model.js";

/** Share of the last error that is expected again before there is evidence, in pairs that say so. */
const BELIEF = 1;
/** Evidence one pair older counts this much less. */
const DECAY = 0.8;

interface Corrected<Memory> {
  readonly base: Memory;
  /** Counts windows, to tell a guess of the last one from older ones. */
  window: number;
  /** What the base guessed, by step. */
  readonly guesses: Map<number, { window: number; values: Float64Array }>;
  /** Target minus base at the anchor; undefined until both are known at one point. */
  error: Float64Array | undefined;
  /** The error that was assumed at each step of this window. */
  readonly assumed: Map<number, Float64Array>;
  product: number;
  square: number;
}

/**
 * Error correction on top of any base, such as an INDEPENDENT network: what the base got wrong where the target was asked last
 * is expected to be wrong again, times a share that is fitted on line by least squares. Under carry "window" the last place is
 * the refused state of the same step, where the error is nearly the same one.
 */
export function corrected<Memory>(base: Drafter<Memory>): Drafter<Corrected<Memory>> {
  let guesses = new Float64Array(0);

  return {
    name: `corrected:${base.name}`,
    needsAnchor: base.needsAnchor,
    ...(base.meter && { meter: base.meter }),
    open: (trajectory) => ({
      base: base.open(trajectory),
      window: 0,
      guesses: new Map(),
      error: undefined,
      assumed: new Map(),
      product: BELIEF,
      square: BELIEF,
    }),
    anchor(memory, point) {
      base.anchor?.(memory.base, point);
      const guess = memory.guesses.get(point.step);
      if (guess?.window === memory.window - 1) memory.error = difference(point.output, guess.values);
    },
    guess(rows, memories, signal) {
      const answer = base.guess(
        rows,
        memories.map((memory) => memory.base),
        signal,
      );
      return answer instanceof Promise
        ? answer.then((outputs) => correct(outputs, rows, memories))
        : correct(answer, rows, memories);
    },
    observe(memory, evaluated) {
      base.observe?.(memory.base, evaluated);
      // Of the anchors of this window some depend on noise that the next one may use again; these points do not.
      memory.error = undefined;
      for (const { step, output } of evaluated) {
        const guess = memory.guesses.get(step);
        if (guess?.window !== memory.window) continue;
        memory.error = difference(output, guess.values);
        const assumed = memory.assumed.get(step);
        if (!assumed) continue;
        let [product, square, size] = [0, 0, 0];
        for (let i = 0; i < output.length; i++) {
          const error = memory.error[i]!;
          product += error * assumed[i]!;
          square += assumed[i]! ** 2;
          size += error * error;
        }
        if (!(size > 0)) continue;
        memory.product = DECAY * memory.product + product / size;
        memory.square = DECAY * memory.square + square / size;
      }
      memory.assumed.clear();
      memory.window++;
      for (const [step, { window }] of memory.guesses) if (window < memory.window - 1) memory.guesses.delete(step);
    },
  };

  function correct(outputs: Outputs, rows: Rows, memories: readonly Corrected<Memory>[]): Float64Array {
    const { dim } = rows;
    if (guesses.length < rows.count * dim) guesses = new Float64Array(rows.count * dim);
    for (let row = 0; row < rows.count; row++) {
      const memory = memories[row]!;
      const from = row * dim;
      const values = Float64Array.from(outputs.subarray(from, from + dim));
      const step = rows.step[row]!;
      memory.guesses.set(step, { window: memory.window, values });
      guesses.set(values, from);
      if (!memory.error) continue;
      memory.assumed.set(step, memory.error);
      const share = memory.product / memory.square;
      for (let i = 0; i < dim; i++) guesses[from + i]! += share * memory.error[i]!;
    }
    return guesses;
  }
}

function difference(a: Evaluation["output"], b: Float64Array): Float64Array {
  return a.map((value, i) => value - b[i]!);
}
