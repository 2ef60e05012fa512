/** The time of a call against its rows, corrected by what calls take as a run goes on. */
export interface RunningCost {
  /** ms */
  of(rows: number): number;
  /** A call of so many rows took so long. */
  observe(rows: number, ms: number): void;
}

/** Weight of a call against all before it: in how fast the machine is, and in what is particular to calls of about its size. */
const NEWEST = 0.1;
const NEWEST_OF_SIZE = 0.02;
/** Row counts that differ by less than this factor are of one size. */
const WIDTH = Math.SQRT2;
const STALL = 3;

/** Time taken over time expected. One measurement can be off by any stall of the machine; it counts as at most 3 times off. */
export function unstalled(ratio: number): number {
  return Math.max(1 / STALL, Math.min(STALL, ratio));
}

/**
 * A machine gets faster or slower for calls of all sizes: what one call takes corrects all of them, so that windows are weighed
 * rightly also after a long plain stretch.
 *
 * @param curve time of a call in ms, as measured before: see `measureCost`
 */
export function runningCost(curve: (rows: number) => number): RunningCost {
  /** Time taken over that of the curve: of all calls, and beyond that by their size. */
  let pace = 1;
  const particular: number[] = [];
  const sizeOf = (rows: number) => Math.round(Math.log(rows) / Math.log(WIDTH));
  const of = (rows: number) => curve(rows) * pace * (particular[sizeOf(rows)] ?? 1);
  return {
    of,
    observe(rows, ms) {
      const ratio = ms / of(rows);
      if (!(ratio > 0 && ratio < Number.POSITIVE_INFINITY)) return;
      const size = sizeOf(rows);
      pace *= unstalled(ratio) ** NEWEST;
      particular[size] = (particular[size] ?? 1) * unstalled(ratio) ** NEWEST_OF_SIZE;
    },
  };
}
