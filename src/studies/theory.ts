import type { RoundRecord } from "../core/record.js";
import { overlap } from "../verifiers/normal.js";

/** Drafts whose delta lies in one bin: how many were decided, how many kept, and what theory says of them. */
export interface DeltaBin {
  /** Mean delta of the bin's drafts. */
  readonly delta: number;
  readonly decided: number;
  readonly kept: number;
  /** Mean of 2 Phi(-delta / 2). */
  readonly expected: number;
}

/** Eight bins for each factor 10, from 0.001 to 100. */
const PER_DECADE = 8;

/**
 * Counts the fate of single drafts by their delta. Only a coupling that decides level by level has an answer for each:
 * position j is decided if all before it were kept.
 */
export class DeltaBins {
  readonly #bins = new Map<number, { sum: number; decided: number; kept: number; expected: number }>();
  readonly #active: boolean;

  constructor(active: boolean) {
    this.#active = active;
  }

  add({ delta, accepted, corrected }: RoundRecord): void {
    if (!this.#active) return;
    const decided = accepted + (corrected ? 1 : 0);
    for (let j = 0; j < decided; j++) {
      const value = delta[j]!;
      // a delta of 0 is a known output or a perfect guess; a deterministic step has none
      if (!(value > 0 && value < Number.POSITIVE_INFINITY)) continue;
      const key = Math.max(-3 * PER_DECADE, Math.floor(PER_DECADE * Math.log10(value)));
      const bin = this.#bins.get(key) ?? { sum: 0, decided: 0, kept: 0, expected: 0 };
      this.#bins.set(key, bin);
      bin.sum += value;
      bin.decided++;
      if (j < accepted) bin.kept++;
      bin.expected += overlap(value);
    }
  }

  list(): DeltaBin[] {
    return [...this.#bins.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, { sum, decided, kept, expected }]) => ({
        delta: sum / decided,
        decided,
        kept,
        expected: expected / decided,
      }));
  }
}

/** The bins of several runs together. */
export function mergeBins(lists: readonly (readonly DeltaBin[])[]): DeltaBin[] {
  const merged = new Map<number, DeltaBin>();
  for (const bin of lists.flat()) {
    const key = Math.max(-3 * PER_DECADE, Math.floor(PER_DECADE * Math.log10(bin.delta)));
    const old = merged.get(key);
    if (!old) {
      merged.set(key, bin);
      continue;
    }
    const decided = old.decided + bin.decided;
    merged.set(key, {
      delta: (old.delta * old.decided + bin.delta * bin.decided) / decided,
      decided,
      kept: old.kept + bin.kept,
      expected: (old.expected * old.decided + bin.expected * bin.decided) / decided,
    });
  }
  return [...merged.entries()].sort(([a], [b]) => a - b).map(([, bin]) => bin);
}

/** Kept drafts per window of L steps with the same delta, decided level by level: p + p^2 + .. + p^L, p = 2 Phi(-delta / 2). */
export function keptByReflection(delta: number, window: number): number {
  const p = overlap(delta);
  return p === 1 ? window : (p * (1 - p ** window)) / (1 - p);
}

/**
 * The same under block verification: the sum of A_i with A_0 = 1, i A_i = sum over k = 1 .. i of 2 Phi(-delta sqrt(k) / 2)
 * A_{i-k} (Spitzer's identity for the walk of the log-ratio).
 */
export function keptByBlock(delta: number, window: number): number {
  const reach = [1];
  let kept = 0;
  for (let i = 1; i <= window; i++) {
    let sum = 0;
    for (let k = 1; k <= i; k++) sum += overlap(delta * Math.sqrt(k)) * reach[i - k]!;
    reach.push(sum / i);
    kept += reach[i]!;
  }
  return kept;
}

/**
 * Seconds of plain sampling / seconds of speculation where a call of r rows takes 1 + marginal (r - 1) times as long as a
 * call of one: calls x time(rows), drafter and engine left out.
 * @param marginal time of one more row / time of a call of one row; 0 on a machine where rows are free
 */
export function secondsGained(speedup: number, rowsPerCall: number, marginal: number): number {
  return speedup / (1 + marginal * (rowsPerCall - 1));
}
