import { SpecdiffError } from "../core/errors.js";
import { type Levels, makeSchedule, type Network, type Schedule } from "./schedule.js";

export interface Ancestral extends Network {
  /** Noise of a step in units of the posterior's; >= 0. Default 1; 0 is deterministic. */
  readonly eta?: number;
}

/**
 * The DDIM family (Song, Meng, Ermon 2021, arXiv 2010.02502, equations 12 and 16) for any levels. From (alpha_t, noise_t) to
 * (alpha_s, noise_s):
 *
 *     x_s = alpha_s x0 + sqrt(noise_s^2 - sigma^2) epsilon + sigma z,    epsilon = (x_t - alpha_t x0) / noise_t
 *     sigma = eta noise_s sqrt(1 - r^2),    r = (alpha_t / noise_t) / (alpha_s / noise_s)
 *
 * Every eta keeps the marginals; eta = 1 is the posterior q(x_s | x_t, x0) of the forward process. On vp levels this is DDIM
 * (eta = 0), DDPM with small variance (eta = 1) and all between; on ve levels Euler-ancestral sampling (k-diffusion,
 * diffusers); on the interpolant the same for flow matching. When x0 is clipped, epsilon is that of the clipped x0:
 * `use_clipped_model_output=True` of diffusers.
 *
 * @throws SpecdiffError("bad-argument") if eta is negative, or so large that sigma would exceed noise_s
 */
export function ancestral(levels: Levels, { eta = 1, ...network }: Ancestral): Schedule {
  if (!(eta >= 0)) throw new SpecdiffError("bad-argument", `eta is ${eta}; it must be at least 0`);
  return makeSchedule(`ancestral:${eta}`, levels, network, (k) => {
    const { alphaT, noiseT, alphaS, noiseS } = step(levels, k);
    const r = (alphaT * noiseS) / (alphaS * noiseT);
    const kept = (1 - eta) * (1 + eta) + (eta * r) ** 2; // (noise_s^2 - sigma^2) / noise_s^2
    if (kept < 0) {
      const most = 1 / Math.sqrt(1 - r * r);
      throw new SpecdiffError(
        "bad-argument",
        `eta ${eta} adds more noise in step ${k} than level ${k + 1} has; it can be at most ${most} there`,
      );
    }
    const a = (noiseS * Math.sqrt(kept)) / noiseT;
    return { a, b: alphaS - a * alphaT, sigma: eta * noiseS * Math.sqrt((1 - r) * (1 + r)) };
  });
}

export const variances = ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"] as const;
export type Variance = (typeof variances)[number];

export interface Ddpm extends Network {
  /** Default "fixed_small". The names ending in "_log" are the same numbers, computed elsewhere through logarithms. */
  readonly variance?: Variance;
}

/**
 * DDPM ancestral sampling (Ho, Jain, Abbeel 2020, arXiv 2006.11239, equation 7): the posterior mean, with sigma^2 either the
 * variance of the posterior ("fixed_small") or of the forward step ("fixed_large", beta_t), which is larger than the
 * marginals have room for. The last step, to x0, is deterministic (their algorithm 2: z = 0 if t = 1). diffusers decides that
 * by the timestep's number instead: with "fixed_large" and a last timestep above 0 (trailing, or stepsOffset) it leaves noise
 * on the sample.
 */
export function ddpm(levels: Levels, { variance = "fixed_small", ...network }: Ddpm): Schedule {
  if (!variances.includes(variance)) {
    throw new SpecdiffError("bad-argument", `variance is "${variance}"; it must be one of: ${variances.join(", ")}`);
  }
  const { chain } = ancestral(levels, network);
  const large = variance.startsWith("fixed_large");
  return makeSchedule(`ddpm:${variance}`, levels, network, (k) => {
    const { alphaT, noiseT, alphaS, noiseS } = step(levels, k);
    const forward = noiseT * Math.sqrt(1 - ((alphaT * noiseS) / (alphaS * noiseT)) ** 2);
    return { a: chain.a[k]!, b: chain.b[k]!, sigma: large && noiseS > 0 ? forward : chain.sigma[k]! };
  });
}

/**
 * Predict x0, then add fresh noise: x_s = alpha_s x0 + noise_s z. The end of the family of {@link ancestral} where sigma is as
 * large as the marginals allow; multistep sampling of consistency models, `stochastic_sampling` of diffusers' flow scheduler.
 */
export function renoise(levels: Levels, network: Network): Schedule {
  return makeSchedule("renoise", levels, network, (k) => {
    const { alphaS, noiseS } = step(levels, k);
    return { a: 0, b: alphaS, sigma: noiseS };
  });
}

/** Step k leads from level t to level s. */
function step({ alpha, noise }: Levels, k: number) {
  return { alphaT: alpha[k]!, noiseT: noise[k]!, alphaS: alpha[k + 1]!, noiseS: noise[k + 1]! };
}
