import { SpecdiffError } from "../core/errors.js";
import type { RoundRecord } from "../core/record.js";
import type { RoundStart, TickCost, WindowPolicy } from "../core/window-policy.js";
import { overlap } from "../verifiers/normal.js";

export interface AutoWindowOptions {
  /** Time of one target call with this many rows, in ms: see `measureCost`. Must grow with rows, 1 and above. */
  readonly cost: (rows: number) => number;
  /** No window is longer. Default 24. */
  readonly longest?: number;
}

/** Speculation must promise this much before it is preferred to plain sampling. */
const MARGIN = 1.1;
/** Plain rounds of a trajectory before a window of two asks again how good the drafts are. */
const PROBE_AFTER = 30;
/** delta one step from the anchor, before anything is known. */
const FIRST_DELTA = 1;
/** delta at a root beside its anchor, as a share of that one step from it. */
const ROOT_SHARE = 0.4;
/** Weight of a round against all before it. */
const NEWEST = 0.5;

/**
 * Windows that pay. The errors of a draft accumulate like a random walk, delta_j = c sqrt(j) at j steps from the anchor; c is
 * kept per trajectory from its finished rounds, and for trajectories without any from the latest of the others at this
 * step. A window of L then commits E(L) = sum_{i<=L} p_1 .. p_i + 1 - p_1 .. p_L steps, p_j = 2 Phi(-delta_j / 2), and takes
 * a call with its rows, and the drafter's and engine's time as measured so far. The best E(L) / time is taken if it beats
 * plain sampling by 10 %, else the window is 1: with leaves evaluated that is plain sampling, a row and a step per call.
 *
 * A policy remembers the trajectories of its run: make a new one for each.
 * @throws SpecdiffError("bad-argument") if the cost of a row is not a time
 */
export function autoWindow({ cost, longest = 24 }: AutoWindowOptions): WindowPolicy {
  const single = cost(1);
  if (!(single > 0)) throw new SpecdiffError("bad-argument", `the cost of 1 row is ${single}; it must be above 0 ms`);
  const trajectories = new Map<number, { delta: number; plainRounds: number }>();
  const latestAt: number[] = [];
  let sharing = 1;
  let otherPerRow = 0;

  /** Best window for this delta, and its steps per ms. */
  const best = (
    delta: number,
    rootKnown: boolean,
    most: number,
    inFlight: number,
  ): { length: number; rate: number } => {
    let survival = 1;
    let expected = 0;
    let choice = { length: 1, rate: 0 };
    for (let length = 1; length <= most; length++) {
      const distance = length - 1;
      const own = distance > 0 ? delta * Math.sqrt(distance) : rootKnown ? 0 : ROOT_SHARE * delta;
      survival *= overlap(own);
      expected += survival;
      // A rejection leaves a root that is not known yet, which takes a row of the next call.
      const rows = inFlight * (length + (rootKnown ? 0 : 1) + (1 - survival));
      const rate = (expected + 1 - survival) / (cost(rows) + rows * otherPerRow);
      if (rate > choice.rate) choice = { length, rate };
    }
    return choice;
  };

  return {
    name: "auto",
    longest,
    choose({ trajectory, step, remaining, rootKnown, inFlight }: RoundStart): number {
      let own = trajectories.get(trajectory);
      if (!own) {
        own = { delta: latestAt[step] ?? FIRST_DELTA, plainRounds: 0 };
        trajectories.set(trajectory, own);
      }
      const most = Math.min(longest, remaining);
      sharing = inFlight;
      const plainRate = 1 / cost(inFlight);
      const choice = best(own.delta, rootKnown, most, inFlight);
      if (choice.rate > MARGIN * plainRate) {
        own.plainRounds = 0;
        return choice.length;
      }
      own.plainRounds++;
      const hopeful = best(0, true, most, inFlight).rate > MARGIN * plainRate;
      if (!hopeful || own.plainRounds % PROBE_AFTER !== 0) return 1;
      return Math.min(2, most);
    },
    observe({ trajectory, step, delta }: RoundRecord): void {
      let squares = 0;
      let distances = 0;
      delta.forEach((value, distance) => {
        if (distance === 0 || !Number.isFinite(value)) return;
        squares += value * value;
        distances += distance;
      });
      const own = trajectories.get(trajectory);
      if (distances === 0 || !own) return;
      const seen = Math.max(1e-6, Math.sqrt(squares / distances));
      own.delta = own.delta ** (1 - NEWEST) * seen ** NEWEST;
      latestAt[step] = seen;
    },
    tick({ rows, otherMs }: TickCost): void {
      // Calls of plain sampling have nothing to draft and would make drafting look free.
      if (rows > sharing) otherPerRow += (otherPerRow > 0 ? 0.2 : 1) * (otherMs / rows - otherPerRow);
    },
  };
}
