import { requireInteger, SpecdiffError } from "../core/errors.js";

/** `count` numbers at equal distances; only `start` if count is 1. */
export function linspace(start: number, end: number, count: number): Float64Array {
  const distance = (end - start) / Math.max(1, count - 1);
  return Float64Array.from({ length: count }, (_, i) => (i === count - 1 && i > 0 ? end : start + i * distance));
}

export interface TimeGrid {
  readonly steps: number;
  /**
   * The first time, at most 1. The default is 0.99, or steps/(steps + 1) if that is less: the grid from 1 to 0 without its
   * first step, so that the reverse SDE of the interpolant, whose noise diverges at 1, stays stable on a coarse grid.
   */
  readonly start?: number;
  /** The last time, at least 0. Default 0. */
  readonly end?: number;
  /** > 0; above 1, more of the steps are spent near the noise (Esser et al. 2024, arXiv 2403.03206, equation 23). Default 1. */
  readonly shift?: number;
}

/** Times from noise to data, steps + 1 of them, at equal distances if shift is 1; `start` and `end` are shifted too. */
export function timeGrid({ steps, start, end = 0, shift = 1 }: TimeGrid): Float64Array {
  requireInteger("steps", steps, 1);
  if (!(shift > 0)) throw new SpecdiffError("bad-argument", `shift is ${shift}; it must be above 0`);
  const times = linspace(start ?? Math.min(0.99, steps / (steps + 1)), end, steps + 1);
  // shift t / (1 + (shift - 1) t), written so that 1 stays exactly 1
  return shift === 1 ? times : times.map((t) => t / (t + (1 - t) / shift));
}

export interface KarrasGrid {
  readonly steps: number;
  /** The last level above 0. Default 0.002. */
  readonly sigmaMin?: number;
  /** The first level. Default 80. */
  readonly sigmaMax?: number;
  /** How much the small levels are favoured. Default 7. */
  readonly rho?: number;
}

/** Noise levels of Karras et al. 2022 (arXiv 2206.00364, equation 5): `steps` of them, then 0. */
export function karrasGrid({ steps, sigmaMin = 0.002, sigmaMax = 80, rho = 7 }: KarrasGrid): Float64Array {
  requireInteger("steps", steps, 1);
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && rho > 0)) {
    throw new SpecdiffError(
      "bad-argument",
      `sigmaMin is ${sigmaMin}, sigmaMax ${sigmaMax}, rho ${rho}; they need 0 < sigmaMin < sigmaMax and rho > 0`,
    );
  }
  const roots = linspace(sigmaMax ** (1 / rho), sigmaMin ** (1 / rho), steps);
  return Float64Array.of(...roots.map((root) => root ** rho), 0);
}
