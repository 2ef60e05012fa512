import type { Chain } from "../core/chain.js";
import { SpecdiffError } from "../core/errors.js";
import { type Model, RowBuffer } from "../core/model.js";
import { RandomStream } from "../core/random.js";

/** Time of one batched call against its rows, on this machine. */
export interface CostCurve {
  readonly points: readonly CostPoint[];
  /** Slope of a straight line through the points, each weighted by 1/ms^2: the time of one more row, ms. */
  readonly marginalMs: number;
  /** No window can make sampling sooner than this factor: time(1) / marginal row time. */
  readonly bound: number;
}

/** A cost curve, and whether it was measured just now. */
export interface KnownCost {
  readonly curve: CostCurve;
  /** Milliseconds the measurement took; 0 if it was known from before. */
  readonly measuredMs: number;
}

export interface CostPoint {
  readonly rows: number;
  /** Median over the repetitions, and the 10th and 90th percentile, in ms. */
  readonly ms: number;
  readonly low: number;
  readonly high: number;
}

/** A measurement of one size ends after so much time, or so many calls. */
const BURST_MS = 12;
const BURST_CALLS = 16;

/** Row counts that show where a call stops being flat. */
export const DEFAULT_ROWS: readonly number[] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/**
 * Measures a model's calls, repetitions of all sizes in turn so that a disturbance meets all of them.
 * @param rowCounts ascending, the first must be 1
 * @throws SpecdiffError("aborted") if the signal stops it
 */
export async function measureCost(
  model: Model,
  chain: Chain,
  options: {
    rowCounts?: readonly number[];
    repetitions?: number;
    signal?: AbortSignal;
    onProgress?: (share: number) => void;
  } = {},
): Promise<CostCurve> {
  const { rowCounts = DEFAULT_ROWS, repetitions = 9 } = options;
  const random = new RandomStream(0);
  const state = new Float64Array(model.dim);
  const batches = rowCounts.map((count) => {
    const rows = new RowBuffer(model.dim);
    for (let row = 0; row < count; row++) {
      random.key(row, 0, 0, 0).normals(state);
      rows.push(row, (row * 7) % chain.time.length, chain, state, 0);
    }
    return rows;
  });
  const times: number[][] = batches.map(() => []);
  /** Calls of one size, one after the other as in a run: a small network takes twice as long after a large batch. */
  const burst = async (rows: RowBuffer) => {
    const taken: number[] = [];
    for (let total = 0; total < BURST_MS && taken.length < BURST_CALLS; total += taken.at(-1)!) {
      if (options.signal?.aborted) {
        const { reason } = options.signal;
        throw new SpecdiffError("aborted", "measuring the time of calls was stopped", { cause: reason });
      }
      const started = performance.now();
      await model.evaluate(rows);
      taken.push(performance.now() - started);
    }
    return taken.sort((a, b) => a - b)[taken.length >> 1]!;
  };
  // One round more than asked for: the first warms up caches and is not counted.
  for (let repetition = 0; repetition <= repetitions; repetition++) {
    for (const [i, rows] of batches.entries()) {
      const ms = await burst(rows);
      if (repetition > 0) times[i]!.push(ms);
      options.onProgress?.((repetition * batches.length + i + 1) / ((repetitions + 1) * batches.length));
    }
  }
  const points = rowCounts.map((rows, i) => {
    const sorted = times[i]!.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
    return { rows, ms: at(0.5), low: at(0.1), high: at(0.9) };
  });
  // Disturbances can tilt a flat line down; less than a thousandth of a call cannot be told from nothing.
  const marginalMs = Math.max(slope(points), points[0]!.ms / 1000);
  return { points, marginalMs, bound: points[0]!.ms / marginalMs };
}

/** Time of a call with this many rows: between the points on straight lines, beyond them along the marginal row time. */
export function timeOf(curve: CostCurve, rows: number): number {
  const { points, marginalMs } = curve;
  const after = points.findIndex((point) => point.rows >= rows);
  if (after === 0) return points[0]!.ms;
  if (after < 0) return points.at(-1)!.ms + (rows - points.at(-1)!.rows) * marginalMs;
  const [left, right] = [points[after - 1]!, points[after]!];
  return left.ms + ((rows - left.rows) / (right.rows - left.rows)) * (right.ms - left.ms);
}

/**
 * Predicted speed-up in seconds over plain sampling, engine time left out: a round of `window` drafts and a root commits
 * (1 - p^L) / (1 - p) steps on average when each draft is kept with probability p.
 */
export function predictedSpeedup(curve: CostCurve, window: number, acceptance: number, inFlight: number): number {
  const committed = acceptance === 1 ? window : (1 - acceptance ** window) / (1 - acceptance);
  return (committed * timeOf(curve, inFlight)) / timeOf(curve, inFlight * (window + 1));
}

function slope(points: readonly CostPoint[]): number {
  let weight = 0;
  let rows = 0;
  let ms = 0;
  for (const point of points) {
    const w = 1 / point.ms ** 2;
    weight += w;
    rows += w * point.rows;
    ms += w * point.ms;
  }
  let covariance = 0;
  let variance = 0;
  for (const point of points) {
    const w = 1 / point.ms ** 2;
    covariance += w * (point.rows - rows / weight) * (point.ms - ms / weight);
    variance += w * (point.rows - rows / weight) ** 2;
  }
  return covariance / variance;
}
