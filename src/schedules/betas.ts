import { requireInteger, SpecdiffError } from "../core/errors.js";
import { linspace } from "./grids.js";

export const betaSchedules = ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] as const;
export const spacings = ["leading", "linspace", "trailing"] as const;
export type BetaSchedule = (typeof betaSchedules)[number];
export type Spacing = (typeof spacings)[number];

/** The noise a network was trained with: q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I), t = 0 .. trainSteps - 1. */
export interface Training {
  /** Default 1000. */
  readonly trainSteps?: number;
  /** Default "linear". All as in diffusers. */
  readonly betaSchedule?: BetaSchedule;
  /** Default 0.0001; not used by squaredcos_cap_v2. */
  readonly betaStart?: number;
  /** Default 0.02; not used by squaredcos_cap_v2. */
  readonly betaEnd?: number;
  /** The betas themselves, trainSteps numbers in (0, 1), instead of the three above. */
  readonly betas?: ArrayLike<number> | undefined;
  /** Rescale so that the last timestep is pure noise (Lin et al. 2023, arXiv 2305.08891, algorithm 1). */
  readonly zeroSnr?: boolean;
}

/** Which of the training timesteps to visit. */
export interface Visits {
  /** From 1 to trainSteps. */
  readonly steps: number;
  /** As in diffusers (table 2 of arXiv 2305.08891). Default "leading". */
  readonly spacing?: Spacing;
  /** Added to the timesteps of "leading". Default 0. */
  readonly stepsOffset?: number;
}

/**
 * The marginals of training, x_t = alpha[t] x_0 + noise[t] xi; alpha^2 + noise^2 = 1.
 * @throws SpecdiffError("bad-argument") naming what is out of range
 */
export function trainingLevels(training: Training): { alpha: Float64Array; noise: Float64Array } {
  const betas = betasOf(training);
  const outside = betas.findIndex((beta, t) => !(beta > 0 && (beta < 1 || (beta === 1 && t === betas.length - 1))));
  if (outside >= 0) {
    throw new SpecdiffError("bad-argument", `beta ${outside} is ${betas[outside]}; betas must lie between 0 and 1`);
  }
  // ln(alpha^2) is summed, so that noise^2 = 1 - alpha^2 keeps its digits where alpha is close to 1.
  let logAlphaSquared = 0;
  const logs = betas.map((beta) => {
    logAlphaSquared += Math.log1p(-beta);
    return logAlphaSquared;
  });
  const alpha = logs.map((log) => Math.exp(log / 2));
  if (!training.zeroSnr) return { alpha, noise: logs.map((log) => Math.sqrt(-Math.expm1(log))) };
  const first = alpha[0]!;
  const last = alpha[alpha.length - 1]!;
  if (first === last) {
    throw new SpecdiffError("bad-argument", "zeroSnr needs at least two training steps; give trainSteps above 1");
  }
  const rescaled = alpha.map((value) => ((value - last) * first) / (first - last));
  return { alpha: rescaled, noise: rescaled.map((value) => Math.sqrt((1 - value) * (1 + value))) };
}

/**
 * The timesteps that diffusers visits, from noise to data: `steps` numbers in [0, trainSteps - 1].
 * @param fractional leave "linspace" unrounded, as the Euler schedulers do
 * @throws SpecdiffError("bad-argument") if there are too many steps or the offset leaves the range
 */
export function timestepsOf(trainSteps: number, visits: Visits, fractional = false): Float64Array {
  const { steps, spacing = "leading", stepsOffset = 0 } = visits;
  requireInteger("steps", steps, 1, trainSteps);
  requireInteger("stepsOffset", stepsOffset, 0);
  const column = (value: (i: number) => number) => Float64Array.from({ length: steps }, (_, i) => value(i));
  switch (spacing) {
    case "leading": {
      const ratio = Math.floor(trainSteps / steps);
      const timesteps = column((i) => (steps - 1 - i) * ratio + stepsOffset);
      if (timesteps[0]! < trainSteps) return timesteps;
      throw new SpecdiffError(
        "bad-argument",
        `stepsOffset ${stepsOffset} with ${steps} steps starts at timestep ${timesteps[0]}, but training ended at ` +
          `${trainSteps - 1}; take fewer steps or stepsOffset ${trainSteps - 1 - (steps - 1) * ratio} at most`,
      );
    }
    case "linspace": {
      const timesteps = linspace(0, trainSteps - 1, steps).reverse();
      return fractional ? timesteps : timesteps.map(roundHalfToEven);
    }
    case "trailing": {
      // The increment as numpy.arange rounds it: ties such as 937.5 then round the way they do in diffusers.
      const increment = trainSteps - trainSteps / steps - trainSteps;
      return column((i) => roundHalfToEven(trainSteps + i * increment) - 1);
    }
    default:
      throw new SpecdiffError("bad-argument", `spacing is "${spacing}"; it must be one of: ${spacings.join(", ")}`);
  }
}

function betasOf(training: Training): Float64Array {
  const { trainSteps = 1000, betaSchedule = "linear", betaStart = 1e-4, betaEnd = 0.02, betas } = training;
  requireInteger("trainSteps", trainSteps, 1);
  if (betas) {
    if (betas.length === trainSteps) return Float64Array.from(betas);
    throw new SpecdiffError("bad-argument", `there are ${betas.length} betas for ${trainSteps} training steps`);
  }
  switch (betaSchedule) {
    case "linear":
      return linspace(betaStart, betaEnd, trainSteps);
    case "scaled_linear":
      return linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), trainSteps).map((root) => root ** 2);
    case "sigmoid":
      return linspace(-6, 6, trainSteps).map((x) => (betaEnd - betaStart) / (1 + Math.exp(-x)) + betaStart);
    case "squaredcos_cap_v2": {
      // Nichol and Dhariwal 2021 (arXiv 2102.09672), equation 17
      const alphaSquared = (t: number) => Math.cos(((t / trainSteps + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
      return Float64Array.from({ length: trainSteps }, (_, t) =>
        Math.min(1 - alphaSquared(t + 1) / alphaSquared(t), 0.999),
      );
    }
    default:
      throw new SpecdiffError(
        "bad-argument",
        `betaSchedule is "${betaSchedule}"; it must be one of: ${betaSchedules.join(", ")}`,
      );
  }
}

/** numpy's rounding; Math.round sends 0.5 to 1, numpy to 0. */
function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const fraction = value - floor;
  return fraction > 0.5 || (fraction === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}
