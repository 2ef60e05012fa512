import { type Chain, incrementReading } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import { SpecdiffError } from "../core/errors.js";
import type { Rows } from "../core/model.js";

interface Frozen {
  /** The constant g = p x + q f at the anchor. */
  readonly value: Float64Array;
  /** f at the anchor, for steps where g does not determine f (q = 0). */
  readonly output: Float64Array;
}

/**
 * FROZEN (De Bortoli et al. 2025, section 3.1): one evaluated output serves the whole window. What is held constant is a
 * reading of it: "output" (f as it is), "increment", or any reading of the chain: for diffusion "x0", "epsilon", "score",
 * "velocity", "drift" (the paper's choice).
 *
 * @throws SpecdiffError("bad-argument") for a reading the chain does not have, listing those it has
 */
export function frozen(chain: Chain, kind: string): Drafter<Frozen> {
  const steps = chain.sigma.length;
  const available = {
    output: { p: new Float64Array(steps), q: new Float64Array(steps).fill(1) },
    increment: incrementReading(chain),
    ...chain.readings,
  };
  const reading = (available as Chain["readings"])[kind];
  if (!Object.hasOwn(available, kind) || !reading) {
    const names = Object.keys(available).join(", ");
    throw new SpecdiffError("bad-argument", `this chain cannot freeze "${kind}"; it can freeze: ${names}`);
  }
  const { p, q } = reading;
  let guesses = new Float64Array(0);

  return {
    name: `frozen:${kind}`,
    needsAnchor: true,
    open: () => ({ value: new Float64Array(0), output: new Float64Array(0) }),
    anchor,
    guess,
  };

  function anchor(memory: { value: Float64Array; output: Float64Array }, { step, state, output }: Evaluation): void {
    if (memory.value.length !== state.length) {
      memory.value = new Float64Array(state.length);
      memory.output = new Float64Array(state.length);
    }
    memory.output.set(output);
    for (let i = 0; i < state.length; i++) memory.value[i] = p[step]! * state[i]! + q[step]! * output[i]!;
  }

  function guess(rows: Rows, memories: readonly Frozen[]): Float64Array {
    const { dim, count, states } = rows;
    if (guesses.length < count * dim) guesses = new Float64Array(count * dim);
    for (let row = 0; row < count; row++) {
      const { value, output } = memories[row]!;
      const pk = p[rows.step[row]!]!;
      const qk = q[rows.step[row]!]!;
      const from = row * dim;
      if (qk === 0) guesses.set(output, from);
      else if (pk === 0) for (let i = 0; i < dim; i++) guesses[from + i] = value[i]! / qk;
      else for (let i = 0; i < dim; i++) guesses[from + i] = (value[i]! - pk * states[from + i]!) / qk;
    }
    return guesses;
  }
}
