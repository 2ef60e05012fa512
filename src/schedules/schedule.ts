import { type Chain, type Reading, validateChain } from "../core/chain.js";
import { SpecdiffError } from "../core/errors.js";

/**
 * How noise becomes data, x = alpha x0 + noise xi, along a natural parameter u:
 * "vp" alpha = cos u, noise = sin u; "ve" alpha = 1, noise = u; "interpolant" alpha = 1 - u, noise = u.
 */
export type Path = "vp" | "ve" | "interpolant";

/**
 * Where a chain stops on its way from noise to data, and what the network is told there. Point k = 0 .. K is at
 * x[k] = alpha[k] x0 + noise[k] xi with xi ~ N(0, I); step k = 0 .. K-1 leads from point k to point k + 1.
 */
export interface Levels {
  readonly path: Path;
  /** K + 1 numbers >= 0; only the first may be 0. */
  readonly alpha: Float64Array;
  /** K + 1 numbers > 0; only the last may be 0. alpha / noise never falls. */
  readonly noise: Float64Array;
  /** The network's time input, K numbers. */
  readonly time: Float64Array;
  /** Duration of each step in the time of the schedule, K numbers > 0. */
  readonly duration: Float64Array;
  /** |du / d time| of the natural parameter at the start of each step, K numbers >= 0. */
  readonly speed: Float64Array;
  /** Y_0 ~ N(0, initialSigma^2 I) */
  readonly initialSigma: number;
}

/**
 * What the network was trained to return, at x = alpha x0 + noise eps:
 * "epsilon" eps; "sample" x0; "v_prediction" alpha eps - noise x0, after scaling x to alpha^2 + noise^2 = 1 (Salimans and
 * Ho 2022, arXiv 2202.00512); "flow" eps - x0.
 */
export type Prediction = "epsilon" | "sample" | "v_prediction" | "flow";

export interface Network {
  readonly prediction: Prediction;
  /** The predicted x0 is clipped to [-clip, clip]; > 0. */
  readonly clip?: number | undefined;
  /** The network sees x / sqrt(alpha^2 + noise^2), as those of k-diffusion and of EulerAncestralDiscreteScheduler do. */
  readonly scaleInput?: boolean;
}

/**
 * How a network's raw output at step k becomes x0: the network sees inputScale[k] x; x0 = p[k] x + q[k] raw, then clipped to
 * [-clip, clip]. Arrays of length K.
 */
export interface Readout {
  readonly inputScale: Float64Array;
  readonly p: Float64Array;
  readonly q: Float64Array;
  readonly clip?: number;
}

/**
 * A chain for f = E[x0 | x], and the readout that gives this f from a network. `alpha` and `noise` (K + 1 numbers) are
 * the marginals that the chain aims at: x[k] = alpha[k] x0 + noise[k] xi.
 *
 * Readings of the chain: `x0`; `epsilon` = (x - alpha x0) / noise; `score` = -epsilon / noise; `velocity` = dx/du, that is
 * alpha epsilon - noise x0 (vp), epsilon (ve), epsilon - x0 (interpolant); `drift` = (m(x) - x) / duration. At alpha = 0,
 * epsilon and score say nothing about x0: there q is 0.
 */
export interface Schedule {
  readonly name: string;
  readonly chain: Chain;
  readonly readout: Readout;
  readonly alpha: Float64Array;
  readonly noise: Float64Array;
}

/** One step of a chain, x' ~ N(a x + b x0, sigma^2 I). */
export interface Transition {
  readonly a: number;
  readonly b: number;
  readonly sigma: number;
}

/**
 * Puts a schedule together: where it stops, how it steps, what its network returns. The one place where conventions meet.
 *
 * @param transition the step from point k to point k + 1
 * @throws SpecdiffError("bad-argument") if the levels do not lead from noise to data or a coefficient is not finite
 * @throws SpecdiffError("unsupported-schedule") if the network's output does not determine x0 at one of the steps
 */
export function makeSchedule(
  name: string,
  levels: Levels,
  network: Network,
  transition: (k: number) => Transition,
): Schedule {
  validateLevels(levels);
  const { path, alpha, noise, time, duration, initialSigma } = levels;
  const transitions = Array.from(time, (_, k) => transition(k));
  const a = Float64Array.from(transitions, (step) => step.a);
  const b = Float64Array.from(transitions, (step) => step.b);
  const sigma = Float64Array.from(transitions, (step) => step.sigma);
  const chain: Chain = {
    a,
    b,
    sigma,
    time,
    initialSigma,
    levels: { alpha, noise },
    readings: {
      x0: reading(levels, () => [0, 1]),
      epsilon: reading(levels, (alpha, noise) => [1 / noise, -alpha / noise]),
      score: reading(levels, (alpha, noise) => [-1 / noise ** 2, alpha / noise ** 2]),
      velocity: reading(levels, (alpha, noise) => velocityOf(path, alpha, noise).reading),
      drift: reading(levels, (_alpha, _noise, k) => [(a[k]! - 1) / duration[k]!, b[k]! / duration[k]!]),
    },
  };
  validateChain(chain);
  return { name, chain, readout: readoutOf(levels, network), alpha, noise };
}

/** Two coefficients, of the state and of something else. */
type Pair = readonly [p: number, q: number];

function reading({ alpha, noise, time }: Levels, at: (alpha: number, noise: number, k: number) => Pair): Reading {
  const pairs = Array.from(time, (_, k) => at(alpha[k]!, noise[k]!, k));
  return { p: Float64Array.from(pairs, ([p]) => p), q: Float64Array.from(pairs, ([, q]) => q) };
}

/** The rates d alpha / du and d noise / du, and the reading dx/du = dAlpha x0 + dNoise epsilon = p x + q x0 that they make. */
export function velocityOf(
  path: Path,
  alpha: number,
  noise: number,
): { dAlpha: number; dNoise: number; reading: Pair } {
  const rates = { vp: [-noise, alpha], ve: [0, 1], interpolant: [-1, 1] } as const;
  const [dAlpha, dNoise] = rates[path];
  return { dAlpha, dNoise, reading: [dNoise / noise, dAlpha - (dNoise * alpha) / noise] };
}

/** @throws SpecdiffError as {@link makeSchedule} */
function readoutOf(levels: Levels, { prediction, clip, scaleInput = false }: Network): Readout {
  const { alpha, noise, time } = levels;
  if (!Object.hasOwn(READ, prediction)) {
    throw new SpecdiffError(
      "bad-argument",
      `prediction is ${JSON.stringify(prediction)}; it must be one of: ${Object.keys(READ).join(", ")}`,
    );
  }
  if (clip !== undefined && !(clip > 0)) {
    throw new SpecdiffError("bad-argument", `clip is ${clip}; it must be above 0, or left out for no clipping`);
  }
  if (prediction === "epsilon" && alpha[0] === 0) {
    throw new SpecdiffError(
      "unsupported-schedule",
      "the schedule starts from pure noise (alpha = 0, zero terminal SNR), where epsilon says nothing about x0; " +
        "use a network with prediction v_prediction or sample, or a schedule that starts just below pure noise",
    );
  }
  return {
    inputScale: time.map((_, k) => (scaleInput ? 1 / Math.hypot(alpha[k]!, noise[k]!) : 1)),
    ...reading(levels, READ[prediction]),
    ...(clip !== undefined && { clip }),
  };
}

/** x0 = p x + q raw, solved from the definitions at {@link Prediction}. */
const READ: Readonly<Record<Prediction, (alpha: number, noise: number) => Pair>> = {
  epsilon: (alpha, noise) => [1 / alpha, -noise / alpha],
  sample: () => [0, 1],
  v_prediction: (alpha, noise) => [alpha / (alpha ** 2 + noise ** 2), -noise / Math.hypot(alpha, noise)],
  flow: (alpha, noise) => [1 / (alpha + noise), -noise / (alpha + noise)],
};

function validateLevels({ alpha, noise, time, duration, speed }: Levels): void {
  const steps = time.length;
  const bad = (message: string) => new SpecdiffError("bad-argument", message);
  if (steps === 0) throw bad("the schedule has no steps; give at least one");
  for (const [name, column, length] of [
    ["alpha", alpha, steps + 1],
    ["noise", noise, steps + 1],
    ["duration", duration, steps],
    ["speed", speed, steps],
  ] as const) {
    if (column.length !== length)
      throw bad(`levels.${name} has ${column.length} entries; ${steps} steps need ${length}`);
  }
  for (let k = 0; k < steps; k++) {
    const from = `alpha ${alpha[k]}, noise ${noise[k]}`;
    const to = `alpha ${alpha[k + 1]}, noise ${noise[k + 1]}`;
    if (!(noise[k]! > 0 && alpha[k]! >= 0))
      throw bad(`step ${k} starts at ${from}; noise must be above 0, alpha not below`);
    if (!(alpha[k + 1]! > 0 && noise[k + 1]! >= 0)) {
      throw bad(`step ${k} ends at ${to}; alpha must be above 0, noise not below`);
    }
    if (!(alpha[k + 1]! * noise[k]! >= alpha[k]! * noise[k + 1]!)) {
      throw bad(`step ${k} leads from ${from} to ${to}, which is noisier; a chain leads from noise to data`);
    }
    if (!(duration[k]! > 0 && speed[k]! >= 0)) {
      throw bad(`step ${k} has duration ${duration[k]}, speed ${speed[k]}; it must last and not go backwards`);
    }
  }
}
