import { SpecdiffError } from "./errors.js";

/**
 * A Gaussian Markov chain: x[k+1] ~ N(a[k] x[k] + b[k] f(x[k], time[k]), sigma[k]^2 I) for k = 0 .. K-1, where f is what
 * the model returns. Arrays have length K. Chains of diffusion models use f = E[x0 | x]; Langevin uses the gradient.
 */
export interface Chain {
  readonly a: Float64Array;
  readonly b: Float64Array;
  /** Standard deviations, 0 where the step is deterministic. */
  readonly sigma: Float64Array;
  /** The model's time input. */
  readonly time: Float64Array;
  /** Y_0 ~ N(0, initialSigma^2 I), unless the caller gives its own first states. */
  readonly initialSigma: number;
  /** Other readings of the model's output that a drafter may hold constant, by name; see {@link Reading}. */
  readonly readings: Readonly<Record<string, Reading>>;
  /** Where f = E[x0 | x]: the marginals x[k] = alpha[k] x0 + noise[k] xi that the chain aims at, K + 1 numbers each. */
  readonly levels?: { readonly alpha: Float64Array; readonly noise: Float64Array };
}

/** A quantity affine in state and output, g = p[k] x + q[k] f: epsilon, velocity, score, drift, .. Arrays of length K. */
export interface Reading {
  readonly p: Float64Array;
  readonly q: Float64Array;
}

/** Number of transitions K. */
export function stepsOf(chain: Chain): number {
  return chain.sigma.length;
}

/** The increment m_k(x) - x, which every chain has. */
export function incrementReading(chain: Pick<Chain, "a" | "b">): Reading {
  return { p: chain.a.map((a) => a - 1), q: chain.b };
}

/** @throws SpecdiffError("bad-argument") naming the first entry that is not usable */
export function validateChain(chain: Chain): void {
  const steps = chain.sigma.length;
  if (steps === 0) throw new SpecdiffError("bad-argument", "the chain has no steps; give at least one");
  const columns: [string, Float64Array][] = [
    ["a", chain.a],
    ["b", chain.b],
    ["sigma", chain.sigma],
    ["time", chain.time],
  ];
  for (const [name, reading] of Object.entries(chain.readings)) {
    columns.push([`readings.${name}.p`, reading.p], [`readings.${name}.q`, reading.q]);
  }
  for (const [name, column] of columns) {
    if (column.length !== steps) {
      throw new SpecdiffError("bad-argument", `chain.${name} has ${column.length} entries; sigma has ${steps}`);
    }
    const k = column.findIndex((value) => !Number.isFinite(value));
    if (k >= 0) throw new SpecdiffError("bad-argument", `chain.${name}[${k}] is ${column[k]}; it must be finite`);
  }
  const k = chain.sigma.findIndex((value) => value < 0);
  if (k >= 0)
    throw new SpecdiffError("bad-argument", `chain.sigma[${k}] is ${chain.sigma[k]}; it must not be negative`);
  if (!(chain.initialSigma >= 0 && Number.isFinite(chain.initialSigma))) {
    throw new SpecdiffError("bad-argument", `chain.initialSigma is ${chain.initialSigma}; it must be at least 0`);
  }
}
