import type { Chain } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import type { Rows } from "../core/model.js";
import { type Basis, flatBasis, imageBasis } from "./basis.js";

/** Evidence of one round older counts this much less. */
const DECAY = 0.8;
/** Share of the power of a denoised image that is taken as its prior variance, before any evidence. */
const SPECTRUM_SHARE = 0.6;
/** The gain's factor before any evidence. */
const FIRST_FACTOR = 1;

interface Posterior {
  anchorStep: number;
  /** Coordinates of the anchor's state and output. */
  readonly state: Float64Array;
  readonly output: Float64Array;
  /** Precision 1/V of x0 given the anchor, per band, without the factor. */
  readonly precision: Float64Array;
  /** Least squares of outputs on predictions, per band: evidence for the factor. */
  readonly product: Float64Array;
  readonly square: Float64Array;
}

/**
 * Gaussian posterior: given the anchor (y_a, f_a), x0 is taken as N(f_a, V), diagonal in a fixed basis. The process between
 * two levels is a Gaussian bridge, y_k | y_a, x0 ~ N(A y_a + B x0, S), so a new state moves the estimate by
 *
 *     f(y_k) = f_a + V B / (B^2 V + S) [y_k - A y_a - B f_a],
 *
 * the Kalman update. What the bracket removes is the drift that the anchor foresaw, which a difference quotient mistakes for
 * news. For images V comes from the spectrum of the anchor's own f_a, denoised: with prior variance lambda per band and
 * noise level s, E f_a^2 = lambda^2 / (lambda + s^2) gives lambda, and 1/V = 1/lambda + 1/s^2. A factor per band is fitted
 * on line to the evaluated pairs of the last rounds, for all that a stationary Gaussian does not know.
 *
 * For chains without levels (Langevin) the bracket is y_k - y_a and the factor is the whole gain: a scalar secant.
 */
export function posterior(chain: Chain, shape: readonly number[]): Drafter<Posterior> {
  const basis = basisFor(shape);
  const { dim, bands, band } = basis;
  const coordinates = new Float64Array(dim);
  const other = new Float64Array(dim);
  const gains = new Float64Array(bands);
  let guesses = new Float64Array(0);

  return {
    name: "posterior",
    needsAnchor: true,
    open: () => ({
      anchorStep: 0,
      state: new Float64Array(dim),
      output: new Float64Array(dim),
      precision: new Float64Array(bands),
      product: new Float64Array(bands),
      square: new Float64Array(bands),
    }),
    begin: (memory, anchor) => anchorAt(memory, anchor),
    guess,
    observe,
  };

  function anchorAt(memory: Posterior, { step, state, output }: Evaluation): void {
    memory.anchorStep = step;
    basis.forward(state, 0, memory.state);
    basis.forward(output, 0, memory.output);
    precisionAt(step, memory.output, memory.precision);
  }

  /** 1/V of x0 given the state at `step`, whose output has these coordinates. */
  function precisionAt(step: number, output: Float64Array, precision: Float64Array): void {
    if (!chain.levels) return;
    const certainty = (chain.levels.alpha[step]! / chain.levels.noise[step]!) ** 2;
    precision.fill(0);
    if (basis.spectral) {
      for (let i = 0; i < dim; i++) precision[band[i]!]! += output[i]! ** 2;
      for (let b = 0; b < bands; b++) {
        const power = precision[b]! / basis.sizes[b]!;
        // lambda^2 - power lambda - power / certainty = 0, times certainty so that pure noise (certainty 0) has a limit
        const lambda = (power + Math.sqrt(power * power + (4 * power) / Math.max(certainty, 1e-12))) / 2;
        precision[b] = 1 / (SPECTRUM_SHARE * lambda + 1e-12);
      }
    }
    for (let b = 0; b < bands; b++) precision[b]! += certainty;
  }

  /** Fills `gains` for news at step `k` seen from an anchor at step `a`; returns the bridge's A and B. */
  function bridge(a: number, k: number, precision: Float64Array): { fromState: number; fromOutput: number } {
    if (!chain.levels) {
      gains.fill(1);
      return { fromState: 1, fromOutput: 0 };
    }
    const { alpha, noise } = chain.levels;
    const ratio = alpha[a]! / alpha[k]!;
    const added = noise[a]! ** 2 - (ratio * noise[k]!) ** 2;
    const variance = 1 / (1 / noise[k]! ** 2 + ratio ** 2 / added);
    const fromState = (variance * ratio) / added;
    const fromOutput = (variance * alpha[k]!) / noise[k]! ** 2;
    for (let b = 0; b < bands; b++) gains[b] = fromOutput / (fromOutput ** 2 + variance * precision[b]!);
    return { fromState, fromOutput };
  }

  function guess(rows: Rows, memories: readonly Posterior[]): Float64Array {
    if (guesses.length < rows.count * dim) guesses = new Float64Array(rows.count * dim);
    for (let row = 0; row < rows.count; row++) {
      const memory = memories[row]!;
      const { state, output, precision, product, square } = memory;
      const step = rows.step[row]!;
      basis.forward(rows.states, row * dim, coordinates);
      if (step === memory.anchorStep) {
        // near the anchor at its own level: the estimate moves with the state by V / s^2
        const certainty = chain.levels ? chain.levels.alpha[step]! / chain.levels.noise[step]! ** 2 : 1;
        for (let b = 0; b < bands; b++) {
          gains[b] = (chain.levels ? certainty / precision[b]! : 1) * factor(product[b]!, square[b]!);
        }
        for (let i = 0; i < dim; i++) coordinates[i] = output[i]! + gains[band[i]!]! * (coordinates[i]! - state[i]!);
      } else {
        const { fromState, fromOutput } = bridge(memory.anchorStep, step, precision);
        for (let b = 0; b < bands; b++) gains[b]! *= factor(product[b]!, square[b]!);
        for (let i = 0; i < dim; i++) {
          const news = coordinates[i]! - fromState * state[i]! - fromOutput * output[i]!;
          coordinates[i] = output[i]! + gains[band[i]!]! * news;
        }
      }
      basis.inverse(coordinates, guesses, row * dim);
    }
    return guesses;
  }

  function observe(memory: Posterior, evaluated: readonly Evaluation[]): void {
    const { product, square } = memory;
    let seen = false;
    for (let n = 0; n + 1 < evaluated.length; n++) {
      const first = evaluated[n]!;
      const second = evaluated[n + 1]!;
      if (second.step <= first.step) continue;
      if (!seen) {
        for (let b = 0; b < bands; b++) {
          product[b]! *= DECAY;
          square[b]! *= DECAY;
        }
        seen = true;
      }
      anchorAt(memory, first);
      const { fromState, fromOutput } = bridge(first.step, second.step, memory.precision);
      basis.forward(second.state, 0, coordinates);
      basis.forward(second.output, 0, other);
      for (let i = 0; i < dim; i++) {
        const b = band[i]!;
        const predicted = gains[b]! * (coordinates[i]! - fromState * memory.state[i]! - fromOutput * memory.output[i]!);
        product[b]! += predicted * (other[i]! - memory.output[i]!);
        square[b]! += predicted * predicted;
      }
    }
  }
}

/** Least-squares factor, from 0 to 2: with few coordinates in a band the evidence can be absurd. */
function factor(product: number, square: number): number {
  return square > 0 ? Math.min(2, Math.max(0, product / square)) : FIRST_FACTOR;
}

function basisFor(shape: readonly number[]): Basis {
  const [channels, height, width] = shape;
  if (shape.length === 3 && height! >= 8 && width! >= 8) return imageBasis([channels!, height!, width!]);
  return flatBasis(shape.reduce((product, size) => product * size, 1));
}
