/** The time of a call against its rows, corrected by what calls take as a run goes on. */
export interface RunningCost {
  /** ms */
  of(rows: number): number;
  /** A call of so many rows took so long. */
  observe(rows: number, ms: number): void;
}

/** Weight of a call against all before it of about as many rows. */
const NEWEST = 0.1;
/** Row counts that differ by less than this factor share a correction. */
const WIDTH = Math.SQRT2;
/** One call can be off by any stall of the machine; it counts as at most this far off. */
const STALL = 3;

/** @param curve time of a call in ms, as measured before: see `measureCost` */
export function runningCost(curve: (rows: number) => number): RunningCost {
  /** ln of the time taken over that of the curve, by the size of a call; empty where nothing was seen. */
  const off: number[] = [];
  const sizeOf = (rows: number) => Math.round(Math.log(rows) / Math.log(WIDTH));
  /** The nearest size that was seen, the smaller of two. */
  const nearest = (size: number): number => {
    for (let distance = 0; distance < off.length + size; distance++) {
      const found = off[size - distance] ?? off[size + distance];
      if (found !== undefined) return found;
    }
    return 0;
  };
  return {
    of: (rows) => curve(rows) * Math.exp(nearest(sizeOf(rows))),
    observe(rows, ms) {
      const size = sizeOf(rows);
      const seen = Math.log(ms / curve(rows));
      if (!Number.isFinite(seen)) return;
      const before = off[size] ?? nearest(size);
      off[size] = before + NEWEST * Math.max(-Math.log(STALL), Math.min(Math.log(STALL), seen - before));
    },
  };
}
