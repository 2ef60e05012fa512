import type { Chain } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import type { Rows } from "../core/model.js";
import { type Basis, flatBasis, imageBasis } from "./basis.js";

/** Evidence one evaluated pair older counts this much less. */
const DECAY = 0.8;
/** Evaluated pairs of a round that are learnt from where transforms cost time: the first, which lie nearest to the path. */
const PAIRS_PER_ROUND = 8;
/** Share of the power of a denoised image that is taken as its prior variance, before any evidence. */
const SPECTRUM_SHARE = 0.6;
/** The logarithm of the prior variance moves by at most this much per pair, and not further than LIMIT from its start. */
const LARGEST_MOVE = 1.5;
const LIMIT = 12;

interface Posterior {
  anchorStep: number;
  /** Coordinates of the anchor's state and output. */
  readonly state: Float64Array;
  readonly output: Float64Array;
  /** Prior precision 1/lambda of x0 per band at the anchor, before it is scaled by what was learnt. */
  readonly prior: Float64Array;
  /** ln of the factor on the prior precision, per band, and the weight of the evidence for it. */
  readonly scale: Float64Array;
  readonly weight: Float64Array;
}

/**
 * Gaussian posterior: given the anchor (y_a, f_a), x0 is taken as N(f_a, V), diagonal in a fixed basis. The process between
 * two levels is a Gaussian bridge, y_k | y_a, x0 ~ N(A y_a + B x0, S), so a new state moves the estimate by
 *
 *     f(y_k) = f_a + K [y_k - A y_a - B f_a],   K = V B / (B^2 V + S),   1/V = 1/lambda + (alpha_a / noise_a)^2,
 *
 * the Kalman update. What the bracket removes is the drift that the anchor foresaw, which a difference quotient mistakes for
 * news. The prior variance lambda of a band starts from the power of f_a for images, of which it is the spectrum, and from 1
 * for vectors; it is fitted on line to evaluated pairs by recursive least squares on ln lambda. For a Gaussian x0 the draft is
 * exact once lambda is.
 *
 * For chains without levels (Langevin) the bracket is y_k - y_a and K one slope, 0 until there is evidence for it.
 */
export function posterior(chain: Chain, shape: readonly number[]): Drafter<Posterior> {
  const basis = basisFor(shape);
  const { dim, bands, band } = basis;
  const coordinates = new Float64Array(dim);
  const other = new Float64Array(dim);
  const gains = new Float64Array(bands);
  const slopes = new Float64Array(bands);
  const moves = new Float64Array(bands);
  const curvatures = new Float64Array(bands);
  const changes = new Float64Array(bands);
  const pairsPerRound = basis.spectral ? PAIRS_PER_ROUND : Number.POSITIVE_INFINITY;
  let guesses = new Float64Array(0);

  return {
    name: "posterior",
    needsAnchor: true,
    open: () => ({
      anchorStep: 0,
      state: new Float64Array(dim),
      output: new Float64Array(dim),
      prior: new Float64Array(bands),
      scale: new Float64Array(bands),
      weight: new Float64Array(bands),
    }),
    begin: anchorAt,
    guess,
    observe,
  };

  function anchorAt(memory: Posterior, { step, state, output }: Evaluation): void {
    basis.forward(state, 0, coordinates);
    basis.forward(output, 0, other);
    moveTo(memory, step, coordinates, other);
  }

  /** Makes the point with these coordinates the anchor. */
  function moveTo(memory: Posterior, step: number, state: Float64Array, output: Float64Array): void {
    memory.anchorStep = step;
    memory.state.set(state);
    memory.output.set(output);
    const { prior } = memory;
    if (!basis.spectral) {
      prior.fill(1); // the power of a vector is mostly its mean and says nothing about its variance
      return;
    }
    prior.fill(0);
    for (let i = 0; i < dim; i++) prior[band[i]!]! += memory.output[i]! ** 2;
    const certainty = certaintyAt(step);
    for (let b = 0; b < bands; b++) {
      const power = prior[b]! / basis.sizes[b]!;
      // E f^2 = lambda^2 / (lambda + s^2) with s^2 = 1 / certainty, solved for lambda
      const lambda = (power + Math.sqrt(power * power + (4 * power) / Math.max(certainty, 1e-3))) / 2;
      prior[b] = 1 / (SPECTRUM_SHARE * lambda + 1e-12);
    }
  }

  function certaintyAt(step: number): number {
    return chain.levels ? (chain.levels.alpha[step]! / chain.levels.noise[step]!) ** 2 : 0;
  }

  /** Fills `gains` (K) and `slopes` (dK / d scale) for news at step `k` seen from the anchor; returns the bridge's A and B. */
  function bridge(
    { anchorStep, prior, scale, weight }: Posterior,
    k: number,
  ): { fromState: number; fromOutput: number } {
    if (!chain.levels) {
      for (let b = 0; b < bands; b++) {
        gains[b] = weight[b]! > 0 ? Math.exp(-scale[b]!) : 0;
        slopes[b] = -Math.exp(-scale[b]!);
      }
      return { fromState: 1, fromOutput: 0 };
    }
    const { alpha, noise } = chain.levels;
    const certainty = certaintyAt(anchorStep);
    const ratio = alpha[anchorStep]! / alpha[k]!;
    const added = noise[anchorStep]! ** 2 - (ratio * noise[k]!) ** 2;
    if (!(added > 1e-12 * noise[anchorStep]! ** 2)) {
      // An anchor beside the root, at the root's own level: f moves with the state by V alpha / noise^2.
      const slope = alpha[k]! / noise[k]! ** 2;
      for (let b = 0; b < bands; b++) gains[b] = slope / (Math.exp(scale[b]!) * prior[b]! + certainty);
      slopes.fill(0);
      return { fromState: 1, fromOutput: 0 };
    }
    const variance = 1 / (1 / noise[k]! ** 2 + ratio ** 2 / added);
    const fromOutput = (variance * alpha[k]!) / noise[k]! ** 2;
    for (let b = 0; b < bands; b++) {
      const precision = Math.exp(scale[b]!) * prior[b]!;
      const gain = fromOutput / (fromOutput ** 2 + variance * (precision + certainty));
      gains[b] = gain;
      slopes[b] = (-gain * gain * variance * precision) / fromOutput;
    }
    return { fromState: (variance * ratio) / added, fromOutput };
  }

  function guess(rows: Rows, memories: readonly Posterior[]): Float64Array {
    if (guesses.length < rows.count * dim) guesses = new Float64Array(rows.count * dim);
    for (let row = 0; row < rows.count; row++) {
      const memory = memories[row]!;
      const { state, output } = memory;
      const { fromState, fromOutput } = bridge(memory, rows.step[row]!);
      basis.forward(rows.states, row * dim, coordinates);
      for (let i = 0; i < dim; i++) {
        const news = coordinates[i]! - fromState * state[i]! - fromOutput * output[i]!;
        coordinates[i] = output[i]! + gains[band[i]!]! * news;
      }
      basis.inverse(coordinates, guesses, row * dim);
    }
    return guesses;
  }

  function observe(memory: Posterior, evaluated: readonly Evaluation[]): void {
    if (evaluated.length === 0) return;
    anchorAt(memory, evaluated[0]!);
    for (let n = 1; n < Math.min(evaluated.length, pairsPerRound + 1); n++) {
      const next = evaluated[n]!;
      basis.forward(next.state, 0, coordinates);
      basis.forward(next.output, 0, other);
      if (next.step === memory.anchorStep + 1) learn(memory, next.step);
      moveTo(memory, next.step, coordinates, other);
    }
  }

  /**
   * One step of recursive least squares from a pair: the point whose coordinates are in `coordinates` and `other`, as the
   * anchor would have foretold it.
   */
  function learn(memory: Posterior, step: number): void {
    const { state, output, scale, weight } = memory;
    const { fromState, fromOutput } = bridge(memory, step);
    moves.fill(0);
    curvatures.fill(0);
    changes.fill(0);
    for (let i = 0; i < dim; i++) {
      const b = band[i]!;
      const news = coordinates[i]! - fromState * state[i]! - fromOutput * output[i]!;
      const change = other[i]! - output[i]!;
      const sensitivity = slopes[b]! * news;
      moves[b]! += sensitivity * (change - gains[b]! * news);
      curvatures[b]! += sensitivity * sensitivity;
      changes[b]! += change * change;
    }
    for (let b = 0; b < bands; b++) {
      // In units of the change itself: a pair counts for how well it is explained, not for how much happened.
      if (!(changes[b]! > 0 && curvatures[b]! > 0)) continue;
      weight[b] = DECAY * weight[b]! + curvatures[b]! / changes[b]!;
      moves[b]! /= changes[b]!;
      const move = Math.max(-LARGEST_MOVE, Math.min(LARGEST_MOVE, moves[b]! / weight[b]!));
      scale[b] = Math.max(-LIMIT, Math.min(LIMIT, scale[b]! + move));
    }
  }
}

function basisFor(shape: readonly number[]): Basis {
  const [channels, height, width] = shape;
  if (shape.length === 3 && height! >= 8 && width! >= 8) return imageBasis([channels!, height!, width!]);
  return flatBasis(shape.reduce((product, size) => product * size, 1));
}
