import type { Chain } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import type { Rows } from "../core/model.js";
import { type Basis, flatBasis, imageBasis } from "./basis.js";

/** Evidence one pair older counts this much less. */
const DECAY = 0.8;
/** Pairs of each kind that are learnt from in a round where transforms cost time: the first, which lie nearest to the path. */
const PAIRS_PER_ROUND = 8;
/** Share of the power of a denoised image that is taken as its prior variance, before any evidence. */
const SPECTRUM_SHARE = 0.6;
/** The logarithm of the prior variance moves by at most this much per pair, and not further than LIMIT from its start. */
const LARGEST_MOVE = 1.5;
const LIMIT = 12;
/** Weight of the theory's slope against evidence for another, in pairs that it explains. */
const THEORY = 3;
/** The fitted slope at one level is at most this many times the theory's. */
const STEEPEST = 6;
/** Squared error of a guess against what it moved by, before evidence. */
const FIRST_RELATIVE_ERROR = 0.3;

interface Posterior {
  /** The point that guesses start from. */
  anchor: Evaluation | undefined;
  /** All anchors of this window, in order. */
  readonly anchors: Evaluation[];
  /** Prior precision 1/lambda of x0 per band, before it is scaled by what was learnt. */
  readonly prior: Float64Array;
  spectrumKnown: boolean;
  readonly learnt: Learnt;
  /**
   * All that was learnt before this window, which learns more for itself as it goes along the refused states: they depend on
   * noise that later windows use again and must not know of.
   */
  readonly before: Float64Array;
}

/** Views of one array, so that all of it is kept and restored at once. */
interface Learnt {
  readonly all: Float64Array;
  /** Between levels: ln of the factor on the prior precision, per band, and the weight of the evidence for it. */
  readonly scale: Float64Array;
  readonly weight: Float64Array;
  /** At one level: predicted change x change, and predicted change squared, per band. */
  readonly product: Float64Array;
  readonly square: Float64Array;
  /** Squared error of a guess against what it moved by: between levels, and at one level. */
  readonly relativeError: Float64Array;
}

function nothingLearnt(bands: number): Learnt {
  const all = new Float64Array(4 * bands + 2);
  const [scale, weight, product, square] = [0, 1, 2, 3].map((i) => all.subarray(i * bands, (i + 1) * bands));
  const relativeError = all.subarray(4 * bands);
  relativeError.fill(FIRST_RELATIVE_ERROR);
  return { all, scale: scale!, weight: weight!, product: product!, square: square!, relativeError };
}

/**
 * Gaussian posterior: given the anchor (y_a, f_a), x0 is taken as N(f_a, V), diagonal in a fixed basis. The process between
 * two levels is a Gaussian bridge, y_k | y_a, x0 ~ N(A y_a + B x0, S), so a new state moves the estimate by
 *
 *     f(y_k) = f_a + K [y_k - A y_a - B f_a],   K = V B / (B^2 V + S),   1/V = 1/lambda + (alpha_a / noise_a)^2,
 *
 * the Kalman update. What the bracket removes is the drift that the anchor foresaw, which a difference quotient mistakes for
 * news. The prior variance lambda of a band starts from the power of f for images, of which it is the spectrum, and from 1
 * for vectors; it is fitted on line to evaluated pairs by recursive least squares on ln lambda. For a Gaussian x0 the draft is
 * exact once lambda is.
 *
 * An anchor at the level of the state itself is a neighbour from a window before. The states differ by what was corrected,
 * which lies where the network is hard to foretell, hence where it moves most: f moves with the state by m V alpha / noise^2,
 * m fitted on line by least squares per band, 1 before there is evidence.
 *
 * Of the window's first anchor and the last one, vectors start from the one whose news promises the smaller error; images, where
 * a transform costs time, from the last.
 *
 * For chains without levels (Langevin) all pairs are taken like that, with 1 in the place of V alpha / noise^2 and m from 0,
 * as far as it draws neighbouring paths together, and only from the window's first anchor: nothing bounds a refused state there, and
 * an absurd one would beget the next.
 */
export function posterior(chain: Chain, shape: readonly number[]): Drafter<Posterior> {
  const basis = basisFor(shape);
  const { dim, bands, band } = basis;
  const difference = new Float64Array(dim);
  const news = new Float64Array(dim);
  const change = new Float64Array(dim);
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
      anchor: undefined,
      anchors: [],
      prior: new Float64Array(bands).fill(1), // the power of a vector is mostly its mean and says nothing about its variance
      spectrumKnown: !basis.spectral,
      learnt: nothingLearnt(bands),
      before: new Float64Array(4 * bands + 2),
    }),
    anchor,
    guess,
    observe,
  };

  function anchor(memory: Posterior, point: Evaluation): void {
    if (!memory.spectrumKnown) readSpectrum(memory, point);
    if (!basis.spectral && chain.levels) {
      if (memory.anchors.length === 0) memory.before.set(memory.learnt.all);
      else if (point.step === memory.anchor!.step + 1) learn(memory, memory.anchor!, point);
    }
    memory.anchor = point;
    memory.anchors.push(point);
  }

  function readSpectrum(memory: Posterior, { step, output }: Evaluation): void {
    const { prior } = memory;
    basis.forward(output, 0, change);
    prior.fill(0);
    for (let i = 0; i < dim; i++) prior[band[i]!]! += change[i]! ** 2;
    const certainty = certaintyAt(step);
    for (let b = 0; b < bands; b++) {
      const power = prior[b]! / basis.sizes[b]!;
      // E f^2 = lambda^2 / (lambda + s^2) with s^2 = 1 / certainty, solved for lambda
      const lambda = (power + Math.sqrt(power * power + (4 * power) / Math.max(certainty, 1e-3))) / 2;
      prior[b] = 1 / (SPECTRUM_SHARE * lambda + 1e-12);
    }
    memory.spectrumKnown = true;
  }

  function certaintyAt(step: number): number {
    return chain.levels ? (chain.levels.alpha[step]! / chain.levels.noise[step]!) ** 2 : 0;
  }

  /**
   * Fills `gains` (K) and `slopes` (dK / d scale, or K as theory has it where m is fitted) for news at step `k` from an anchor at
   * step `a`; returns the bridge's A and B, and whether m is fitted.
   */
  function bridge(memory: Posterior, a: number, k: number) {
    const { prior } = memory;
    const { scale, product, square } = memory.learnt;
    const between = chain.levels && levelsBetween(chain.levels, a, k);
    if (between) {
      const { variance, fromOutput } = between;
      const certainty = certaintyAt(a);
      for (let b = 0; b < bands; b++) {
        const precision = Math.exp(scale[b]!) * prior[b]!;
        const gain = fromOutput / (fromOutput ** 2 + variance * (precision + certainty));
        gains[b] = gain;
        slopes[b] = (-gain * gain * variance * precision) / fromOutput;
      }
      return { fromState: between.fromState, fromOutput, fitted: false };
    }
    if (chain.levels) {
      const certainty = certaintyAt(k);
      const slope = chain.levels.alpha[k]! / chain.levels.noise[k]! ** 2;
      for (let b = 0; b < bands; b++) slopes[b] = slope / (Math.exp(scale[b]!) * prior[b]! + certainty);
    } else {
      slopes.fill(1);
    }
    const theory = chain.levels ? THEORY : 0;
    for (let b = 0; b < bands; b++) {
      const fitted = (product[b]! + theory) / (square[b]! + theory || 1);
      gains[b] = chain.levels ? slopes[b]! * Math.max(0, Math.min(STEEPEST, fitted)) : contracting(fitted, chain.b[k]!);
    }
    return { fromState: 1, fromOutput: 0, fitted: true };
  }

  function guess(rows: Rows, memories: readonly Posterior[]): Float64Array {
    if (guesses.length < rows.count * dim) guesses = new Float64Array(rows.count * dim);
    for (let row = 0; row < rows.count; row++) {
      const memory = memories[row]!;
      const from = row * dim;
      const step = rows.step[row]!;
      const { output } = sourceOf(memory, step, rows.states, from);
      basis.forward(difference, 0, news);
      for (let i = 0; i < dim; i++) news[i]! *= gains[band[i]!]!;
      basis.inverse(news, guesses, from);
      for (let i = 0; i < dim; i++) guesses[from + i]! += output[i]!;
    }
    return guesses;
  }

  /** Chooses where a guess starts from; leaves its news in `difference` and its `gains`. */
  function sourceOf(memory: Posterior, k: number, states: Float64Array, from: number): Evaluation {
    const last = memory.anchor!;
    const first = memory.anchors[0]!;
    if (!chain.levels) {
      newsFrom(memory, first, k, states, from);
      return first;
    }
    if (!basis.spectral && first !== last) {
      const error = newsFrom(memory, last, k, states, from);
      if (newsFrom(memory, first, k, states, from) < error) return first;
    }
    newsFrom(memory, last, k, states, from);
    return last;
  }

  function newsFrom(memory: Posterior, point: Evaluation, k: number, states: Float64Array, from: number): number {
    const { step, state, output } = point;
    const { fromState, fromOutput, fitted } = bridge(memory, step, k);
    let squares = 0;
    for (let i = 0; i < dim; i++) {
      difference[i] = states[from + i]! - fromState * state[i]! - fromOutput * output[i]!;
      squares += difference[i]! ** 2;
    }
    return memory.learnt.relativeError[fitted ? 1 : 0]! * meanGain() * squares;
  }

  /** Mean square of the gain over the coordinates. */
  function meanGain(): number {
    let sum = 0;
    for (let b = 0; b < bands; b++) sum += basis.sizes[b]! * gains[b]! ** 2;
    return sum / dim;
  }

  function observe(memory: Posterior, evaluated: readonly Evaluation[]): void {
    if (!basis.spectral && chain.levels && memory.anchors.length > 0) memory.learnt.all.set(memory.before);
    let pairs = 0;
    let next = 0;
    for (const anchor of chain.levels ? memory.anchors : []) {
      while (next < evaluated.length && evaluated[next]!.step < anchor.step) next++;
      const point = evaluated[next];
      if (point?.step !== anchor.step || pairs === pairsPerRound) continue;
      pairs++;
      learn(memory, anchor, point);
    }
    for (let n = 1; n < Math.min(evaluated.length, pairsPerRound + 1); n++) {
      if (evaluated[n]!.step === evaluated[n - 1]!.step + 1) learn(memory, evaluated[n - 1]!, evaluated[n]!);
    }
    if (basis.spectral && evaluated.length > 0) readSpectrum(memory, evaluated.at(-1)!);
    memory.anchors.length = 0;
    memory.anchor = undefined;
  }

  /** One step of recursive least squares from a pair: the point, as the anchor would have foretold it. */
  function learn(memory: Posterior, anchor: Evaluation, point: Evaluation): void {
    const { scale, weight, product, square, relativeError } = memory.learnt;
    const { fromState, fromOutput, fitted } = bridge(memory, anchor.step, point.step);
    for (let i = 0; i < dim; i++) {
      difference[i] = point.state[i]! - fromState * anchor.state[i]! - fromOutput * anchor.output[i]!;
    }
    basis.forward(difference, 0, news);
    for (let i = 0; i < dim; i++) difference[i] = point.output[i]! - anchor.output[i]!;
    basis.forward(difference, 0, change);
    let wrong = 0;
    let moved = 0;
    for (let i = 0; i < dim; i++) {
      wrong += (change[i]! - gains[band[i]!]! * news[i]!) ** 2;
      moved += news[i]! ** 2;
    }
    moved *= meanGain();
    if (moved > 0) {
      const kind = fitted ? 1 : 0;
      relativeError[kind] = relativeError[kind]! ** DECAY * Math.max(1e-6, wrong / moved) ** (1 - DECAY);
    }
    moves.fill(0);
    curvatures.fill(0);
    changes.fill(0);
    for (let i = 0; i < dim; i++) {
      const b = band[i]!;
      const sensitivity = slopes[b]! * news[i]!;
      moves[b]! += sensitivity * (fitted ? change[i]! : change[i]! - gains[b]! * news[i]!);
      curvatures[b]! += sensitivity * sensitivity;
      changes[b]! += change[i]! * change[i]!;
    }
    for (let b = 0; b < bands; b++) {
      // In units of the change itself: a pair counts for how well it is explained, not for how much happened.
      if (!(changes[b]! > 0 && curvatures[b]! > 0)) continue;
      const [evidence, move] = [curvatures[b]! / changes[b]!, moves[b]! / changes[b]!];
      if (fitted) {
        square[b] = DECAY * square[b]! + evidence;
        product[b] = DECAY * product[b]! + move;
        continue;
      }
      weight[b] = DECAY * weight[b]! + evidence;
      const bounded = Math.max(-LARGEST_MOVE, Math.min(LARGEST_MOVE, move / weight[b]!));
      scale[b] = Math.max(-LIMIT, Math.min(LIMIT, scale[b]! + bounded));
    }
  }
}

/** The slope, if it draws neighbouring paths together: drafts that run away from each other are worth nothing and overflow. */
function contracting(slope: number, b: number): number {
  return Math.max(-1, Math.min(0, slope * b)) / b || 0;
}

/** y_k | y_a, x0 ~ N(fromState y_a + fromOutput x0, variance I); undefined if both are at one level. */
function levelsBetween({ alpha, noise }: NonNullable<Chain["levels"]>, a: number, k: number) {
  const ratio = alpha[a]! / alpha[k]!;
  const added = noise[a]! ** 2 - (ratio * noise[k]!) ** 2;
  if (!(added > 1e-12 * noise[a]! ** 2)) return undefined;
  const variance = 1 / (1 / noise[k]! ** 2 + ratio ** 2 / added);
  return { fromState: (variance * ratio) / added, fromOutput: (variance * alpha[k]!) / noise[k]! ** 2, variance };
}

function basisFor(shape: readonly number[]): Basis {
  const [channels, height, width] = shape;
  if (shape.length === 3 && height! >= 8 && width! >= 8) return imageBasis([channels!, height!, width!]);
  return flatBasis(shape.reduce((product, size) => product * size, 1));
}
