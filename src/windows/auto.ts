import { SpecdiffError } from "../core/errors.js";
import type { RoundRecord } from "../core/record.js";
import type { RoundStart, TickCost, WindowPolicy } from "../core/window-policy.js";
import { overlap } from "../verifiers/normal.js";

export interface AutoWindowOptions {
  /** Time of one target call with this many rows, in ms: see `measureCost`. Must grow with rows, 1 and above. */
  readonly cost: (rows: number) => number;
  /** No window is longer. Default 30. */
  readonly longest?: number;
}

/** Speculation must promise this much before it is preferred to plain sampling. */
const MARGIN = 1.1;
/**
 * Of plain rounds, one in so many guesses its step to see how good the drafts are, at most; fewer where the drafter's time for it
 * would be more than PROBE_SHARE of plain sampling's.
 */
const PROBE_EVERY = 2;
const PROBE_SHARE = 0.01;
/** delta beside a neighbour of the same step, as a share of that one step from an anchor, before it is known. */
const NEAR_SHARE = 0.5;
/** Weight of a round against all before it. */
const NEWEST = 0.6;

interface Own {
  /** delta where the last window has a state of the same step, and one step from the last anchor. */
  near: number | undefined;
  far: number | undefined;
  /** The last step at which the last window left a refused state, and whether the root is beside one. */
  reached: number;
  rootBeside: boolean;
  plainRounds: number;
  /** Steps that the window in flight was expected to commit. */
  expected: number;
}

/**
 * Windows that pay. Two numbers are kept per trajectory from its finished rounds: delta beside a neighbour of the same step,
 * and c of delta_j = c sqrt(j), how the errors of a draft accumulate at j steps from the last anchor; for trajectories
 * without any, from the latest of the others at this step. A window of L, used again and again, then commits
 * E(L) = sum_{i<=L} p_1 .. p_i + 1 - p_1 .. p_L steps, p = 2 Phi(-delta / 2), where under carry "window" all but the last E of its
 * levels have been drafted before. It takes a call with its rows, and the drafter's and engine's time as measured so far. If the
 * best E(L) / time beats plain sampling by 10 %, every trajectory gets the rows that commit more than they cost at that rate:
 * argmax E(L) - rate x (time of all rows - time of the others'). Else the root is evaluated and its step taken, which is plain
 * sampling, a row and a step per call, except that now and then a guess takes the step to be judged by the same row.
 *
 * A policy remembers the trajectories of its run: make a new one for each.
 * @throws SpecdiffError("bad-argument") if the cost of a row is not a time
 */
export function autoWindow({ cost, longest = 30 }: AutoWindowOptions): WindowPolicy {
  const single = cost(1);
  if (!(single > 0)) throw new SpecdiffError("bad-argument", `the cost of 1 row is ${single}; it must be above 0 ms`);
  const trajectories = new Map<number, Own>();
  const farAt: number[] = [];
  let sharing = 1;
  let rowsPerTick = 0;
  let otherPerRow = 0;
  let trust = 1;
  let keeps = false;
  let probes = 0;
  let probeMs = 0;

  /** Steps that windows of this length commit, one after the other, from a root that is not known. */
  const committed = (length: number, near: number, far: number, keepsRefused: boolean): number => {
    let expected = 1;
    // All but the last levels are beside a refused state; how many, depends on how many were committed.
    for (let sweep = 0; sweep < 4; sweep++) {
      const beside = keepsRefused ? Math.max(1, Math.round(length - expected)) : 1;
      let survival = 1;
      let sum = 0;
      for (let level = 0; level < length; level++) {
        survival *= overlap(level < beside ? near : far * Math.sqrt(level - beside + 1));
        sum += survival;
      }
      expected = sum + 1 - survival;
      if (!keepsRefused) break;
    }
    return expected;
  };
  const rowsOf = (length: number) => length + 1;
  const timeOf = (rows: number) => cost(rows) + rows * otherPerRow;

  /** The window that is soonest if everybody takes it, and its steps per ms. */
  const best = (most: number, inFlight: number, expectedOf: (length: number) => number) => {
    let choice = { length: 1, rate: 0 };
    for (let length = 2; length <= most; length++) {
      const rate = (inFlight * expectedOf(length)) / timeOf(inFlight * rowsOf(length));
      if (rate > choice.rate) choice = { length, rate };
    }
    return choice;
  };

  return {
    name: "auto",
    longest,
    choose({ trajectory, step, remaining, rootKnown, inFlight, keepsRefused }: RoundStart): number {
      let own = trajectories.get(trajectory);
      if (!own) {
        own = { near: undefined, far: undefined, reached: -1, rootBeside: false, plainRounds: 0, expected: 0 };
        trajectories.set(trajectory, own);
      }
      own.expected = 0;
      sharing = inFlight;
      keeps = keepsRefused;
      const most = Math.min(longest, remaining);
      const plainRate = inFlight / cost(inFlight);
      const far = own.far ?? farAt[step];
      if (far !== undefined) {
        const near = own.near ?? NEAR_SHARE * far;
        const expectedOf = (length: number) => trust * committed(length, near, far, keepsRefused);
        const { rate } = best(most, inFlight, expectedOf);
        if (rate > MARGIN * plainRate) {
          own.plainRounds = 0;
          const others = (rowsPerTick * (inFlight - 1)) / inFlight;
          let choice = 2;
          let gain = Number.NEGATIVE_INFINITY;
          for (let length = 2; length <= most; length++) {
            const value =
              expectedOf(length) - rate * (timeOf(others + rowsOf(length)) - (others > 0 ? timeOf(others) : 0));
            if (value > gain) [choice, gain] = [length, value];
          }
          own.expected = expectedOf(choice) / trust;
          return choice;
        }
      }
      if (rootKnown) return 1;
      const hopeful = best(most, inFlight, (length) => length).rate > MARGIN * plainRate;
      const every = Math.max(PROBE_EVERY, Math.ceil(probeMs / (PROBE_SHARE * single)));
      if (!hopeful || own.plainRounds++ % every !== 0) return 0;
      probes++;
      return 1;
    },
    observe({ trajectory, step, window, accepted, corrected, delta }: RoundRecord): void {
      const own = trajectories.get(trajectory);
      if (!own) return;
      let [nearSquares, nears, farSquares, distances] = [0, 0, 0, 0];
      delta.forEach((value, level) => {
        if (!Number.isFinite(value) || (level === 0 && value === 0)) return;
        if (step + level <= own.reached || (level === 0 && own.rootBeside)) {
          nearSquares += value * value;
          nears++;
        } else {
          farSquares += value * value;
          distances +=
            own.reached > step ? step + level - own.reached : level + (own.rootBeside || delta[0] === 0 ? 0 : 1);
        }
      });
      if (nears > 0) own.near = mixed(own.near, Math.sqrt(nearSquares / nears));
      if (distances > 0) {
        own.far = mixed(own.far, Math.sqrt(farSquares / distances));
        farAt[step] = own.far;
      }
      own.rootBeside = corrected && window > 1;
      own.reached = corrected && keeps ? step + window : -1;
      if (own.expected > 0) trust += 0.1 * (Math.min(2, (accepted + (corrected ? 1 : 0)) / own.expected) - trust);
    },
    tick({ rows, otherMs }: TickCost): void {
      if (rows <= sharing && probes > 0) probeMs = Math.max(probeMs, otherMs / probes);
      probes = 0;
      // Calls of plain sampling have nothing to draft and would make drafting look free.
      if (rows <= sharing) return;
      rowsPerTick += (rowsPerTick > 0 ? 0.2 : 1) * (rows - rowsPerTick);
      otherPerRow += (otherPerRow > 0 ? 0.2 : 1) * (otherMs / rows - otherPerRow);
    },
  };
}

function mixed(before: number | undefined, seen: number): number {
  const value = Math.max(1e-6, seen);
  return before === undefined ? value : before ** (1 - NEWEST) * value ** NEWEST;
}
