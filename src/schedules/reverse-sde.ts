import { SpecdiffError } from "../core/errors.js";
import { type Levels, makeSchedule, type Network, type Schedule, velocityOf } from "./schedule.js";

export interface ReverseSde extends Network {
  /** eps >= 0: 1 (default) is the usual reverse SDE, 0 the deterministic probability flow. */
  readonly churn?: number;
}

/**
 * Reverse SDE with churn eps (De Bortoli et al. 2025, arXiv 2501.05370) by Euler-Maruyama, a step of length h in the path's
 * natural parameter u (see Path; on vp with the clock of the levels, h = duration x speed):
 *
 *     m(x) = x - h dx/du + eps^2/2 h g^2 score(x),    sigma = eps sqrt(h) g
 *     dx/du = alpha' x0 + noise' epsilon,    g^2 = 2 noise (noise' - noise alpha'/alpha)
 *
 * which is m(x) = x + h [-f x + (1 + eps^2)/2 g^2 score] with f = alpha'/alpha. g^2 = 2u/(1 - u) for the interpolant, 2u for ve;
 * on vp h g^2 = beta(t) dt. A step from alpha = 0, where g diverges, and a step to noise = 0 are plain Euler steps without noise.
 *
 * @throws SpecdiffError("bad-argument") if churn is negative, or a step is so long that it overshoots and amplifies its
 *   state (a < -1)
 */
export function reverseSde(levels: Levels, { churn = 1, ...network }: ReverseSde): Schedule {
  if (!(churn >= 0)) throw new SpecdiffError("bad-argument", `churn is ${churn}; it must be at least 0`);
  return makeSchedule(`reverse-sde:${churn}`, levels, network, (k) => {
    const alpha = levels.alpha[k]!;
    const noise = levels.noise[k]!;
    const h = levels.duration[k]! * levels.speed[k]!;
    const { dAlpha, dNoise, reading } = velocityOf(levels.path, alpha, noise);
    const deterministic = alpha === 0 || levels.noise[k + 1] === 0;
    const g2 = deterministic ? 0 : 2 * noise * (dNoise - (noise * dAlpha) / alpha);
    const pull = (churn ** 2 * h * g2) / 2 / noise ** 2; // times noise^2 score = alpha x0 - x
    const a = 1 - h * reading[0] - pull;
    if (a < -1) {
      throw new SpecdiffError(
        "bad-argument",
        `step ${k} of the reverse SDE is too long for churn ${churn}: it multiplies its state by ${a.toPrecision(3)}. ` +
          "Take more steps, less churn, a grid that starts further from pure noise (or exactly at it), or ancestral steps",
      );
    }
    return { a, b: pull * alpha - h * reading[1], sigma: churn * Math.sqrt(h * g2) };
  });
}
