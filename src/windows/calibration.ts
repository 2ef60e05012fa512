import type { Chain } from "../core/chain.js";
import { SpecdiffError } from "../core/errors.js";

/**
 * How far off the guesses of a model's drafts are, over the log of its signal-to-noise ratio, ln(alpha / noise), so that it
 * serves chains of any length and churn. Automatic windows begin with it instead of trying; no law depends on it.
 */
export interface Calibration {
  /** The drafter whose guesses were measured. */
  readonly draft: string;
  /** Ascending; entry g of `near` and `far` belongs to logSnr[g]. */
  readonly logSnr: readonly number[];
  /**
   * Mean delta of a guess beside a refused state of the same step, and one step from its anchor, over |b| of the step: both
   * a guess's error and sigma grow with a step's noise, so that the ratio hardly depends on how many steps there are.
   */
  readonly near: readonly number[];
  readonly far: readonly number[];
  /** How it was made, for people. */
  readonly made?: Readonly<Record<string, unknown>>;
}

/** delta to expect at a step: beside a refused state of the same step, and one step from the anchor. */
export type ExpectedDelta = (step: number) => { readonly near: number; readonly far: number };

/** Undefined for a chain without levels. */
export function expectedDelta({ logSnr, near, far }: Calibration, chain: Chain): ExpectedDelta | undefined {
  const { levels, b } = chain;
  if (!levels) return undefined;
  const steps = Array.from(levels.alpha, (alpha, k) => {
    const at = placeOf(Math.log(alpha / levels.noise[k]!), logSnr);
    return { near: Math.abs(b[k]!) * at(near), far: Math.abs(b[k]!) * at(far) };
  });
  return (step) => steps[step]!;
}

/** Reads lists over an ascending grid at x, on straight lines; beyond its ends they are constant. */
function placeOf(x: number, grid: readonly number[]): (list: readonly number[]) => number {
  const upper = grid.findIndex((node) => node >= x);
  if (upper <= 0) return (list) => list.at(upper)!; // 0: before the first; -1: after the last
  const share = (x - grid[upper - 1]!) / (grid[upper]! - grid[upper - 1]!);
  return (list) => (1 - share) * list[upper - 1]! + share * list[upper]!;
}

/** @throws SpecdiffError("file") naming what is wrong with a parsed calibration.json */
export function readCalibration(value: Readonly<Record<string, unknown>>, path: string): Calibration {
  const bad = (what: string) =>
    new SpecdiffError("file", `${path}: ${what}; run specdiff calibrate again, or delete the file`);
  const { draft, logSnr, near, far, made } = value;
  if (typeof draft !== "string") throw bad("draft must be the name of a drafter");
  if (!numbers(logSnr) || logSnr.length === 0 || logSnr.some((x, g) => g > 0 && x <= logSnr[g - 1]!))
    throw bad("logSnr must be a list of ascending numbers");
  const lists = { near, far };
  for (const [name, list] of Object.entries(lists))
    if (!numbers(list) || list.length !== logSnr.length || list.some((x) => x < 0))
      throw bad(`${name} must be ${logSnr.length} numbers, at least 0, as many as logSnr has`);
  return {
    draft,
    logSnr,
    ...(lists as { near: number[]; far: number[] }),
    ...(made !== undefined && { made: made as Record<string, unknown> }),
  };
}

function numbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((x) => typeof x === "number" && Number.isFinite(x));
}
