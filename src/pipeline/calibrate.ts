import { SpecdiffError } from "../core/errors.js";
import { type Progress, sample } from "../core/loop.js";
import type { Model } from "../core/model.js";
import type { RoundRecord } from "../core/record.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter, type DraftContext } from "../drafters/index.js";
import { verifierNamed } from "../verifiers/index.js";
import type { Calibration } from "../windows/calibration.js";
import { DEFAULTS, FIXED_WINDOW } from "./pipeline.js";

export interface CalibrateOptions {
  /** Trajectories to learn from. Default 8. */
  readonly count?: number;
  /** Default 0. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** Noise levels of a calibration. */
const NODES = 24;
/** A draft further off than this is lost anyway. */
const LOST = 3;

/**
 * Samples some trajectories speculatively with the defaults of a run and notes by noise level how far off the guesses were.
 * @param model E[x0 | x], as of `denoiser`
 * @throws SpecdiffError("bad-model") for a chain without levels, whose steps have no noise level
 */
export async function calibrate(
  model: Model,
  context: DraftContext,
  { count = 8, seed = 0, signal, onProgress }: CalibrateOptions = {},
): Promise<Calibration> {
  const { chain } = context;
  const { levels, b } = chain;
  if (!levels) {
    throw new SpecdiffError(
      "bad-model",
      "the steps of this chain have no noise level, so there is nothing to calibrate by",
    );
  }
  /** At step k by so many standard deviations, over |b|. */
  interface Miss {
    readonly k: number;
    readonly size: number;
  }
  const near: Miss[] = [];
  const far: Miss[] = [];
  const note = ({ step, delta, reach }: RoundRecord) => {
    delta.forEach((value, level) => {
      const k = step + level;
      const back = reach[level]!;
      if (Number.isNaN(value) || Number.isNaN(back) || !(b[k] && chain.sigma[k])) return;
      (back === 0 ? near : far).push({ k, size: Math.min(LOST, value) / Math.sqrt(back || 1) / Math.abs(b[k]) });
    });
  };
  const { record } = await sample({
    chain,
    model,
    drafter: createDrafter(DEFAULTS.draft, context),
    verifier: verifierNamed(DEFAULTS.coupling),
    window: fixedWindow(Math.min(FIXED_WINDOW, chain.sigma.length)),
    count,
    seed,
    onRound: note,
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  });

  const usable = Array.from(levels.alpha.keys()).filter((k) => levels.alpha[k]! > 0 && levels.noise[k]! > 0);
  const last = Math.min(NODES, usable.length) - 1;
  const nodes = Array.from(
    { length: last + 1 },
    (_, g) => usable[Math.round((g * (usable.length - 1)) / (last || 1))]!,
  );
  const width = usable.length / nodes.length;
  /** Mean over the misses around a step; where there are none, the nearest decide. */
  const meanNear = (misses: readonly Miss[], at: number) => {
    let [sum, total] = [0, 0];
    for (const { k, size } of misses) {
      const weight = Math.exp(-Math.min(600, ((k - at) / width) ** 2 / 2));
      sum += weight * size;
      total += weight;
    }
    return total > 0 ? rounded(sum / total) : 0;
  };
  return {
    draft: DEFAULTS.draft,
    logSnr: nodes.map((k) => rounded(Math.log(levels.alpha[k]! / levels.noise[k]!))),
    // where no window was refused nothing was beside a refused state
    near: nodes.map((k) => meanNear(near.length > 0 ? near : far, k)),
    far: nodes.map((k) => meanNear(far, k)),
    made: { steps: chain.sigma.length, count, seed, stepsPerCall: rounded(record.speedup ?? 0) },
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
