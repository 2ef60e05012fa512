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
/** One call can be off by any stall of the machine; it counts as at most this far off. */
const STALL = 3;

/**
 * A machine gets faster or slower for calls of all sizes: what one call takes corrects all of them, so that windows are weighed
 * rightly also after a long plain stretch.
 *
 * @param curve time of a call in ms, as measured before: see `measureCost`
 */
export function runningCost(curve: (rows: number) => number): RunningCost {
  /** ln of the time taken over that of the curve: of all calls, and beyond that by their size. */
  let drift = 0;
  const particular: number[] = [];
  const sizeOf = (rows: number) => Math.round(Math.log(rows) / Math.log(WIDTH));
  return {
    of: (rows) => curve(rows) * Math.exp(drift + (particular[sizeOf(rows)] ?? 0)),
    observe(rows, ms) {
      const size = sizeOf(rows);
      const before = particular[size] ?? 0;
      const off = Math.log(ms / curve(rows)) - drift - before;
      if (!Number.isFinite(off)) return;
      const counted = Math.max(-Math.log(STALL), Math.min(Math.log(STALL), off));
      drift += NEWEST * counted;
      particular[size] = before + NEWEST_OF_SIZE * counted;
    },
  };
}
