import { requireInteger, SpecdiffError } from "../core/errors.js";
import { ancestral, ddpm, renoise, type Variance, variances } from "./ancestral.js";
import { type BetaSchedule, betaSchedules, type Spacing, spacings, type Training, type Visits } from "./betas.js";
import { karrasGrid, linspace, timeGrid } from "./grids.js";
import { discreteVe, discreteVp, interpolant, ve } from "./levels.js";
import { reverseSde } from "./reverse-sde.js";
import type { Levels, Network, Prediction, Readout, Schedule } from "./schedule.js";

export interface ConfigOptions {
  /** Number of transitions K, `num_inference_steps` of diffusers. */
  readonly steps: number;
  /** How much noise the chain adds, > 0: eta for ancestral steps, eps for the reverse SDE. */
  readonly churn?: number | undefined;
  /** Ancestral steps or the reverse SDE, instead of what the class stands for. */
  readonly sampler?: "ancestral" | "sde" | undefined;
}

/**
 * Reads a diffusers `scheduler_config.json` as it is. What its class stands for, and what `churn` then means:
 *
 * - DDPMScheduler: DDPM with its variance_type; with churn, the DDIM family with eta = churn instead.
 * - DDIMScheduler: the DDIM family with eta = churn, which must be given. Each step lands where the next one starts;
 *   diffusers lands a rounded num_train_timesteps / steps lower, which is elsewhere for linspace spacing, and for trailing
 *   where the division has a remainder.
 * - EulerAncestralDiscreteScheduler: ancestral steps with eta = churn, default 1.
 * - FlowMatchEulerDiscreteScheduler: its stochastic counterpart, the reverse SDE with eps = churn, default 1; re-noised x0 if
 *   stochastic_sampling. Times are K + 1 shifted numbers from 1 to 0, as the pipelines of diffusers pass them. (By itself the
 *   scheduler stops at 1 / num_train_timesteps before 0, a level far below the noise that a step of the SDE adds.)
 * - EDMEulerScheduler: ancestral steps with eta = churn, default 1, for the network inside Karras' preconditioning.
 *
 * Deterministic classes (Euler, PNDM, DPM-Solver, ..) are read only if a `sampler` is asked for: their betas, with its steps.
 *
 * @throws SpecdiffError("unsupported-schedule") naming the key and value that cannot be read, and what can
 */
export function scheduleFromConfig(config: unknown, options: ConfigOptions): Schedule {
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new SpecdiffError("unsupported-schedule", "a scheduler config is an object, as in scheduler_config.json");
  }
  const name = (config as Config)._class_name;
  if (typeof name === "string" && Object.hasOwn(DETERMINISTIC, name)) {
    if (options.sampler === undefined) {
      throw unsupported(
        "_class_name",
        name,
        'it is deterministic, with no noise to speculate on; on request its stochastic counterpart is taken: sampler "ancestral" ' +
          "(--sampler ancestral) adds noise in each step and keeps the marginals, but needs more steps for the same quality. " +
          supportedClasses,
      );
    }
    const { _class_name, ...own } = config as Config;
    return scheduleFromConfig({ ...(DETERMINISTIC[name] as Config), ...own, clip_sample: false }, options);
  }
  if (typeof name !== "string" || !Object.hasOwn(READERS, name))
    throw unsupported("_class_name", name, supportedClasses);
  if (options.churn !== undefined && !(options.churn > 0)) {
    throw new SpecdiffError(
      "bad-argument",
      `churn is ${options.churn}; without noise there is nothing to accelerate. Give a churn above 0, such as 1`,
    );
  }
  return READERS[name]!(config as Config, options);
}

type Config = Readonly<Record<string, unknown>>;

/** One line for each class of diffusers. */
const READERS: Readonly<Record<string, (config: Config, options: ConfigOptions) => Schedule>> = {
  DDPMScheduler: readDdpm,
  DDIMScheduler: readDdim,
  EulerAncestralDiscreteScheduler: readEulerAncestral,
  FlowMatchEulerDiscreteScheduler: readFlowMatch,
  EDMEulerScheduler: readEdm,
};

/**
 * Deterministic classes, by the class whose keys and levels they share, and their own defaults. None of them clips.
 */
const DETERMINISTIC: Config = {
  EulerDiscreteScheduler: { _class_name: "EulerAncestralDiscreteScheduler" },
  HeunDiscreteScheduler: { _class_name: "EulerAncestralDiscreteScheduler" },
  LMSDiscreteScheduler: { _class_name: "EulerAncestralDiscreteScheduler" },
  PNDMScheduler: { _class_name: "DDIMScheduler", set_alpha_to_one: false },
  DPMSolverMultistepScheduler: { _class_name: "DDIMScheduler", timestep_spacing: "linspace" },
  DPMSolverSinglestepScheduler: { _class_name: "DDIMScheduler", timestep_spacing: "linspace" },
  DEISMultistepScheduler: { _class_name: "DDIMScheduler", timestep_spacing: "linspace" },
  UniPCMultistepScheduler: { _class_name: "DDIMScheduler", timestep_spacing: "linspace" },
};

const supportedClasses = `supported are ${Object.keys(READERS).join(", ")}, and with a sampler ${Object.keys(DETERMINISTIC).join(", ")}`;

// The keys of each class with their defaults. `null` stands for "not given".
const TRAINING = {
  num_train_timesteps: 1000,
  beta_schedule: "linear",
  beta_start: 1e-4,
  beta_end: 0.02,
  trained_betas: null as readonly number[] | null,
  rescale_betas_zero_snr: false,
  timestep_spacing: "leading",
  steps_offset: 0,
  prediction_type: "epsilon",
  variance_type: "fixed_small",
};
const DDPM = { ...TRAINING, clip_sample: true, clip_sample_range: 1 };
const DDIM = { ...DDPM, set_alpha_to_one: true };
const EULER = { ...TRAINING, timestep_spacing: "linspace" };
const FLOW = { num_train_timesteps: 1000, shift: 1, stochastic_sampling: false };
const EDM = {
  sigma_min: 0.002,
  sigma_max: 80,
  sigma_data: 0.5,
  sigma_schedule: "karras",
  num_train_timesteps: 1000, // sets only the grid that diffusers has before it is told the number of steps
  prediction_type: "epsilon",
  rho: 7,
  final_sigmas_type: "zero",
};
/** Features of diffusers that are not supported: accepted where they are off. */
const OFF: Config = {
  thresholding: false,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_flow_sigmas: false,
  use_dynamic_shifting: false,
  invert_sigmas: false,
  shift_terminal: null,
};
/** Without effect: parameters of features that are off, and what configs carry over from other classes of diffusers. */
const INERT = new Set(
  (
    "dynamic_thresholding_ratio sample_max_value clip_sample clip_sample_range set_alpha_to_one skip_prk_steps " +
    "interpolation_type timestep_type sigma_min sigma_max final_sigmas_type solver_order solver_type algorithm_type " +
    "lower_order_final euler_at_final lambda_min_clipped use_lu_lambdas flow_shift base_shift max_shift " +
    "base_image_seq_len max_image_seq_len time_shift_type"
  ).split(" "),
);

function readDdpm(config: Config, options: ConfigOptions): Schedule {
  const read = settings(config, DDPM);
  const levels = discreteVp(trainingOf(read, options));
  const variance: Variance = oneOf("variance_type", read.variance_type, variances);
  return sampled(levels, networkOf(read), options, (network, churn) =>
    churn === undefined ? ddpm(levels, { ...network, variance }) : ancestral(levels, { ...network, eta: churn }),
  );
}

function readDdim(config: Config, options: ConfigOptions): Schedule {
  const read = settings(config, DDIM);
  const levels = discreteVp({ ...trainingOf(read, options), end: read.set_alpha_to_one ? "data" : "first" });
  return sampled(levels, networkOf(read), options, (network, churn) => {
    if (churn !== undefined) return ancestral(levels, { ...network, eta: churn });
    throw unsupported(
      "_class_name",
      "DDIMScheduler",
      "by itself it is deterministic, with nothing to accelerate: pass churn (its eta), such as 1 for as much noise as DDPM",
    );
  });
}

function readEulerAncestral(config: Config, options: ConfigOptions): Schedule {
  const read = settings(config, EULER);
  const levels = discreteVe(trainingOf(read, options));
  const network = { prediction: predictionOf(read.prediction_type), scaleInput: true };
  return sampled(levels, network, options, (_, eta = 1) => ancestral(levels, { ...network, eta }));
}

function readFlowMatch(config: Config, options: ConfigOptions): Schedule {
  if (config.use_dynamic_shifting === true) {
    throw unsupported(
      "use_dynamic_shifting",
      true,
      "the shift would depend on the size of the image; set it to false and shift to exp(mu) of your size",
    );
  }
  const read = settings(config, FLOW);
  requireInteger("num_train_timesteps", read.num_train_timesteps, 1);
  const levels = interpolant(timeGrid({ steps: options.steps, start: 1, shift: read.shift }), {
    time: (t) => read.num_train_timesteps * t,
  });
  return sampled(levels, { prediction: "flow" }, options, (network, churn) => {
    if (!read.stochastic_sampling) return reverseSde(levels, { ...network, churn: churn ?? 1 });
    if (churn === undefined) return renoise(levels, network);
    throw unsupported("stochastic_sampling", true, "its noise is fixed: leave churn out, or set it to false");
  });
}

function readEdm(config: Config, options: ConfigOptions): Schedule {
  const read = settings(config, EDM);
  const { sigma_min: sigmaMin, sigma_max: sigmaMax, rho } = read;
  const schedule = oneOf("sigma_schedule", read.sigma_schedule, ["karras", "exponential"] as const);
  const prediction = oneOf("prediction_type", read.prediction_type, ["epsilon", "v_prediction"] as const);
  oneOf("final_sigmas_type", read.final_sigmas_type, ["zero"]);
  const { steps } = options;
  const sigmas =
    schedule === "karras"
      ? karrasGrid({ steps, sigmaMin, sigmaMax, rho })
      : Float64Array.of(...linspace(Math.log(sigmaMax), Math.log(sigmaMin), steps).map(Math.exp), 0);
  const levels: Levels = {
    ...ve(sigmas, { time: (sigma) => Math.log(sigma) / 4 }),
    initialSigma: Math.hypot(sigmaMax, 1),
  };
  const made = sampled(levels, { prediction: "sample" }, options, (network, eta = 1) =>
    ancestral(levels, { ...network, eta }),
  );
  return { ...made, readout: karrasReadout(levels.noise.subarray(0, steps), read.sigma_data, prediction) };
}

/** Preconditioning of Karras et al. 2022 (arXiv 2206.00364), table 1: x0 = c_skip x + c_out F(c_in x). */
function karrasReadout(sigmas: Float64Array, sigmaData: number, prediction: "epsilon" | "v_prediction"): Readout {
  const sign = prediction === "epsilon" ? 1 : -1;
  return {
    inputScale: sigmas.map((sigma) => 1 / Math.hypot(sigma, sigmaData)),
    p: sigmas.map((sigma) => sigmaData ** 2 / (sigma ** 2 + sigmaData ** 2)),
    q: sigmas.map((sigma) => (sign * sigma * sigmaData) / Math.hypot(sigma, sigmaData)),
  };
}

/** The sampler asked for, or the `usual` one of the class. */
function sampled(
  levels: Levels,
  network: Network,
  { sampler, churn }: ConfigOptions,
  usual: (network: Network, churn: number | undefined) => Schedule,
): Schedule {
  switch (sampler) {
    case undefined:
      return usual(network, churn);
    case "ancestral":
      return ancestral(levels, { ...network, eta: churn ?? 1 });
    case "sde":
      return reverseSde(levels, { ...network, churn: churn ?? 1 });
    default:
      throw new SpecdiffError("bad-argument", `sampler is "${sampler}"; it must be "ancestral" or "sde"`);
  }
}

function trainingOf(read: typeof TRAINING, { steps }: ConfigOptions): Training & Visits {
  if (read.variance_type.startsWith("learned")) {
    throw unsupported(
      "variance_type",
      read.variance_type,
      "the noise of a step must not depend on the network, or draft and target would differ in more than their means. " +
        "Use the half of the network's output that predicts the mean, with fixed_small or fixed_large",
    );
  }
  return {
    trainSteps: read.num_train_timesteps,
    betaSchedule: oneOf<BetaSchedule>("beta_schedule", read.beta_schedule, betaSchedules),
    betaStart: read.beta_start,
    betaEnd: read.beta_end,
    betas: read.trained_betas ?? undefined,
    zeroSnr: read.rescale_betas_zero_snr,
    steps,
    spacing: oneOf<Spacing>("timestep_spacing", read.timestep_spacing, spacings),
    stepsOffset: read.steps_offset,
  };
}

function networkOf(read: typeof DDPM): Network {
  const prediction = predictionOf(read.prediction_type);
  return { prediction, clip: read.clip_sample ? read.clip_sample_range : undefined };
}

function predictionOf(type: string): Prediction {
  return oneOf("prediction_type", type, ["epsilon", "sample", "v_prediction"] as const);
}

/** The config's values for the keys of `defaults`, each of its default's type; every other key must be known to be harmless. */
function settings<T extends Config>(config: Config, defaults: T): T {
  const read: Record<string, unknown> = { ...defaults };
  for (const [key, value] of Object.entries(config)) {
    if (key.startsWith("_")) continue;
    if (Object.hasOwn(defaults, key)) {
      const wanted = defaults[key];
      const fits = wanted === null ? value === null || isNumbers(value) : typeof value === typeof wanted;
      if (!fits) throw unsupported(key, value, wanted === null ? "give numbers or null" : `give a ${typeof wanted}`);
      read[key] = value;
    } else if (Object.hasOwn(OFF, key)) {
      if (value !== OFF[key]) throw unsupported(key, value, `supported is ${JSON.stringify(OFF[key])}`);
    } else if (!INERT.has(key)) {
      throw unsupported(key, value, `supported are ${Object.keys(defaults).join(", ")}; remove it if it has no effect`);
    }
  }
  return read as T;
}

function isNumbers(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "number");
}

function oneOf<T extends string>(key: string, value: string, legal: readonly T[]): T {
  if ((legal as readonly string[]).includes(value)) return value as T;
  throw unsupported(key, value, `supported are ${legal.join(", ")}`);
}

function unsupported(key: string, value: unknown, remedy: string): SpecdiffError {
  return new SpecdiffError("unsupported-schedule", `scheduler config: "${key}": ${JSON.stringify(value)}; ${remedy}`);
}
