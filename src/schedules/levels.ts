import { SpecdiffError } from "../core/errors.js";
import { type Training, timestepsOf, trainingLevels, type Visits } from "./betas.js";
import type { Levels } from "./schedule.js";

/** Options of the continuous levels. */
export interface NetworkTime {
  /** The network's time input at a time of the grid; default: the time itself. */
  readonly time?: (t: number) => number;
}

/**
 * Linear interpolant (flow matching): x_t = (1 - t) x0 + t xi.
 * @param times from noise to data, falling, in [0, 1]; K + 1 numbers, e.g. of timeGrid
 */
export function interpolant(times: ArrayLike<number>, { time }: NetworkTime = {}): Levels {
  const grid = falling("times", times, 1);
  return {
    path: "interpolant",
    alpha: grid.map((t) => 1 - t),
    noise: grid,
    ...continuous(grid, time),
    initialSigma: 1,
  };
}

/**
 * Variance exploding: x = x0 + sigma xi (Song et al. 2021; Karras et al. 2022).
 * @param sigmas from noise to data, falling, >= 0; K + 1 numbers, e.g. of karrasGrid
 */
export function ve(sigmas: ArrayLike<number>, { time }: NetworkTime = {}): Levels {
  const grid = falling("sigmas", sigmas, Number.MAX_VALUE);
  return {
    path: "ve",
    alpha: grid.map(() => 1),
    noise: grid,
    ...continuous(grid, time),
    initialSigma: grid[0]!,
  };
}

export interface ContinuousVp extends NetworkTime {
  /** Default 0.1. */
  readonly betaMin?: number;
  /** Default 20. */
  readonly betaMax?: number;
}

/**
 * Variance preserving in continuous time: dX = -beta(t)/2 X dt + sqrt(beta(t)) dW, beta(t) = betaMin + t (betaMax - betaMin)
 * (Song et al. 2021, arXiv 2011.13456, equation 32).
 * @param times from noise to data, falling, in [0, 1]; K + 1 numbers, e.g. of timeGrid with start 1
 */
export function continuousVp(times: ArrayLike<number>, options: ContinuousVp = {}): Levels {
  const { time, betaMin = 0.1, betaMax = 20 } = options;
  if (!(betaMin > 0 && betaMax >= betaMin && betaMax < Number.POSITIVE_INFINITY)) {
    throw new SpecdiffError(
      "bad-argument",
      `betaMin is ${betaMin}, betaMax ${betaMax}; they need 0 < betaMin <= betaMax`,
    );
  }
  const grid = falling("times", times, 1);
  const logAlphaSquared = grid.map((t) => -t * (betaMin + (t * (betaMax - betaMin)) / 2));
  const alpha = logAlphaSquared.map((log) => Math.exp(log / 2));
  const noise = logAlphaSquared.map((log) => Math.sqrt(-Math.expm1(log)));
  const clock = continuous(grid, time);
  // du/dt of the angle u = atan(noise / alpha)
  const speed = clock.speed.map((_, k) => ((betaMin + grid[k]! * (betaMax - betaMin)) * alpha[k]!) / (2 * noise[k]!));
  return { path: "vp", alpha, noise, ...clock, speed, initialSigma: 1 };
}

export interface DiscreteVp extends Training, Visits {
  /**
   * The last step leads to x0 ("data"; default) or only to the level of timestep 0 ("first": set_alpha_to_one = false of
   * DDIMScheduler).
   */
  readonly end?: "data" | "first";
}

/** Variance preserving at training timesteps, as in DDPM and DDIM; the network's time is the timestep. */
export function discreteVp(options: DiscreteVp): Levels {
  const { trainSteps = 1000, end = "data" } = options;
  const training = trainingLevels(options);
  const time = timestepsOf(trainSteps, options);
  const at = (column: Float64Array, last: number) => Float64Array.of(...time.map((t) => column[t]!), last);
  const alpha = at(training.alpha, end === "data" ? 1 : training.alpha[0]!);
  const noise = at(training.noise, end === "data" ? 0 : training.noise[0]!);
  const duration = time.map((t, k) => t - (time[k + 1] ?? -1)); // timestep t comes after t + 1 steps of noising
  const angle = (k: number) => Math.atan2(noise[k]!, alpha[k]!);
  const speed = time.map((_, k) => (angle(k) - angle(k + 1)) / duration[k]!);
  return { path: "vp", alpha, noise, time, duration, speed, initialSigma: 1 };
}

/**
 * The same training seen as variance exploding, x / alpha = x0 + sigma xi: the levels of k-diffusion and of
 * EulerAncestralDiscreteScheduler, whose networks see x / sqrt(1 + sigma^2) (`scaleInput`) and the timestep. With spacing
 * "linspace" timesteps are fractions and sigma is interpolated between them.
 */
export function discreteVe(options: Training & Visits): Levels {
  const { trainSteps = 1000, spacing = "leading" } = options;
  const { alpha, noise } = trainingLevels(options);
  const last = trainSteps - 1;
  // As in diffusers: zero terminal SNR would be an infinite sigma; alpha^2 = 2^-24 is taken instead.
  if (alpha[last] === 0) {
    alpha[last] = 2 ** -12;
    noise[last] = Math.sqrt(1 - 2 ** -24);
  }
  const sigmas = noise.map((value, t) => value / alpha[t]!);
  const timesteps = timestepsOf(trainSteps, options, true);
  const visited = timesteps.map((t) => {
    const floor = Math.floor(t);
    const next = sigmas[Math.min(floor + 1, last)]!;
    return sigmas[floor]! + (t - floor) * (next - sigmas[floor]!);
  });
  const levels = ve([...visited, 0]);
  const first = visited[0]!;
  return { ...levels, time: timesteps, initialSigma: spacing === "leading" ? Math.hypot(first, 1) : first };
}

/** Schedule time = natural parameter, unless the caller says otherwise. */
function continuous(grid: Float64Array, time: (t: number) => number = (t) => t) {
  const starts = grid.subarray(0, grid.length - 1);
  return {
    time: starts.map(time),
    duration: starts.map((t, k) => t - grid[k + 1]!),
    speed: starts.map(() => 1),
  };
}

function falling(name: string, values: ArrayLike<number>, most: number): Float64Array {
  const grid = Float64Array.from(values);
  if (grid.length < 2) {
    throw new SpecdiffError(
      "bad-argument",
      `${name} has ${grid.length} entries; one step needs two, from noise to data`,
    );
  }
  grid.forEach((value, k) => {
    const before = k === 0 ? Number.POSITIVE_INFINITY : grid[k - 1]!;
    if (!(value >= 0 && value <= most && value < before)) {
      const range = most === 1 ? "lie in [0, 1]" : "be finite and at least 0";
      throw new SpecdiffError("bad-argument", `${name}[${k}] is ${value}; ${name} must ${range} and fall`);
    }
  });
  return grid;
}
