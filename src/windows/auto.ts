import { SpecdiffError } from "../core/errors.js";
import type { RoundRecord } from "../core/record.js";
import type { RoundStart, TickCost, WindowPolicy } from "../core/window-policy.js";
import { overlap } from "../verifiers/normal.js";
import type { ExpectedDelta } from "./calibration.js";
import { type RunningCost, runningCost, unstalled } from "./running-cost.js";

export interface AutoWindowOptions {
  /**
   * Time of one target call with this many rows, in ms, 1 and above: see `measureCost`. It is corrected as calls go by; a
   * {@link RunningCost} keeps that from run to run.
   */
  readonly cost: ((rows: number) => number) | RunningCost;
  /** How far off guesses are, from a calibration. Without it the first rounds find out. */
  readonly expected?: ExpectedDelta | undefined;
  /** No window is longer. Default 30. */
  readonly longest?: number;
}

/** Speculation must promise this much before it is preferred to plain sampling. */
const MARGIN = 1.05;
/** With a calibration it must promise to save this share of a chain's time before the first window of a run: a drafter has to warm up. */
const LEAST_SAVED = 0.1;
/** The promise is reckoned at so many places of the chain, and again after so many choices for each trajectory in flight. */
const PLACES = 16;
const RECKON_EVERY = 64;
/**
 * Of plain rounds, one in so many guesses its step to see how good the drafts are, at most; fewer where the drafter's time for it
 * would be more than PROBE_SHARE of plain sampling's.
 */
const PROBE_EVERY = 2;
const PROBE_SHARE = 0.01;
/** Guesses may turn out to be so much better than a calibration says: where that would not pay either, none is made. */
const SURPRISE = 0.5;
/** delta beside a neighbour of the same step, as a share of that one step from an anchor, before it is known. */
const NEAR_SHARE = 0.5;
/** Weight of the delta of one level against all before it, and of one round in how far predictions are trusted. */
const NEWEST = 0.2;
const TRUST_NEWEST = 0.03;
/** Time of the drafter and the engine per row, as a share of a call of one row, before it is known. */
const OTHER_SHARE = 0.05;
/** A draft further off than this is lost anyway. */
const LOST = 3;

/** How far off guesses are: beside a neighbour of the same step, and one step from an anchor, in units of what is expected. */
interface Seen {
  near?: number;
  far?: number;
}

interface Own extends Seen {
  plainRounds: number;
  /** Steps that the window in flight was expected to commit. */
  expected: number;
}

/**
 * Windows that pay. Two numbers are kept per trajectory from its finished rounds: delta beside a neighbour of the same step,
 * and c of delta_j = c sqrt(j), how the errors of a draft accumulate at j steps from the last anchor; for trajectories
 * without any, from the latest of the others at this step, or the calibration. A window of L, used again and again, then commits
 * E(L) = sum_{i<=L} p_1 .. p_i + 1 - p_1 .. p_L steps, p = 2 Phi(-delta / 2), where under carry "window" all but the last E of its
 * levels have been drafted before. It takes a call with its rows, and the drafter's and engine's time as measured so far. If the
 * best E(L) / time beats plain sampling by 5 %, every trajectory gets the rows that commit more than they cost at that rate:
 * argmax E(L) - rate x (time of all rows - time of the others'). Else the root is evaluated and its step taken, which is plain
 * sampling, a row and a step per call, except that now and then a guess takes the step to be judged by the same row. With a
 * calibration the whole chain is foreseen: where all its windows together would save less than a tenth of its time, a run stays
 * plain and guesses nothing.
 *
 * A policy remembers the trajectories of its run: make a new one for each.
 * @throws SpecdiffError("bad-argument") if the cost of a row is not a time
 */
export function autoWindow({ cost, expected, longest = 30 }: AutoWindowOptions): WindowPolicy {
  const running = typeof cost === "function" ? runningCost(cost) : cost;
  const single = running.of(1);
  if (!(single > 0)) throw new SpecdiffError("bad-argument", `the cost of 1 row is ${single}; it must be above 0 ms`);
  const trajectories = new Map<number, Own>();
  const latest: Seen[] = [];
  let sharing = 1;
  let rowsPerTick = 0;
  let otherPerRow = OTHER_SHARE * single;
  let trust = 1;
  let begun = expected === undefined;
  let waited = 0;
  const unit = { near: 1, far: 1 };
  const usual: ExpectedDelta = expected ?? (() => unit);

  /** Steps that windows of this length commit, one after the other, from a root that is not known. */
  const committed = (length: number, step: number, { near, far }: Required<Seen>, keepsRefused: boolean): number => {
    let total = 1;
    // All but the last levels are beside a refused state; how many, depends on how many were committed.
    for (let sweep = 0; sweep < 3; sweep++) {
      const beside = keepsRefused ? Math.max(1, Math.round(length - total)) : 1;
      let survival = 1;
      let sum = 0;
      for (let level = 0; level < length && survival > 1e-3; level++) {
        const by = usual(step + level);
        survival *= kept(level < beside ? near * by.near : far * by.far * Math.sqrt(level - beside + 1));
        sum += survival;
      }
      total = sum + 1 - survival;
      if (!keepsRefused) break;
    }
    return total;
  };
  const rowsOf = (length: number) => length + 1;
  const timeOf = (rows: number) => running.of(rows) + rows * otherPerRow;

  /** E by the lengths that are worth weighing, from 2 to `most`. */
  const outlook = (start: RoundStart, seen: Required<Seen>): [length: number, expected: number][] =>
    lengthsTo(Math.min(longest, start.remaining)).map((length) => [
      length,
      trust * committed(length, start.step, seen, start.keepsRefused),
    ]);
  /** Steps per ms if everybody takes the window that is soonest. */
  const rateOf = (lengths: readonly [number, number][], inFlight: number): number =>
    Math.max(0, ...lengths.map(([length, steps]) => (inFlight * steps) / timeOf(inFlight * rowsOf(length))));

  /** The share of a whole chain's time that windows would save, by the calibration. */
  const saved = (start: RoundStart): number => {
    const { inFlight } = start;
    const steps = start.step + start.remaining;
    const plainRate = inFlight / running.of(inFlight);
    let total = 0;
    for (let place = 0; place < PLACES; place++) {
      const step = Math.floor(((place + 0.5) / PLACES) * steps);
      const rate = rateOf(outlook({ ...start, step, remaining: steps - step }, unit), inFlight);
      if (rate > MARGIN * plainRate) total += 1 - plainRate / rate;
    }
    return total / PLACES;
  };

  return {
    name: "auto",
    longest,
    choose(start: RoundStart): number {
      const { trajectory, step, rootKnown, inFlight } = start;
      let own = trajectories.get(trajectory);
      if (!own) {
        own = { plainRounds: 0, expected: 0 };
        trajectories.set(trajectory, own);
      }
      own.expected = 0;
      sharing = inFlight;
      const enough = (MARGIN * inFlight) / running.of(inFlight);
      if (!begun && waited++ % (RECKON_EVERY * inFlight) === 0) begun = saved(start) >= LEAST_SAVED;
      if (!begun) return rootKnown ? 1 : 0;
      const far = own.far ?? latest[step]?.far ?? (expected ? 1 : undefined);
      const near = own.near ?? latest[step]?.near ?? (expected ? 1 : far === undefined ? undefined : NEAR_SHARE * far);
      if (far !== undefined && near !== undefined) {
        const lengths = outlook(start, { near, far });
        const rate = rateOf(lengths, inFlight);
        if (rate > enough) {
          own.plainRounds = 0;
          const others = (rowsPerTick * (inFlight - 1)) / inFlight;
          const value = ([length, steps]: [number, number]) =>
            steps - rate * (timeOf(others + rowsOf(length)) - (others > 0 ? timeOf(others) : 0));
          const [choice, steps] = lengths.reduce((a, b) => (value(b) > value(a) ? b : a));
          own.expected = steps / trust;
          return choice;
        }
      }
      if (rootKnown) return 1;
      const every = Math.max(PROBE_EVERY, Math.ceil(otherPerRow / (PROBE_SHARE * running.of(1))));
      if (own.plainRounds++ % every !== 0) return 0;
      // Would anything be gained if guesses were as good as can be hoped?
      const hope = expected ? { near: SURPRISE * (near ?? 1), far: SURPRISE * (far ?? 1) } : { near: 0, far: 0 };
      return rateOf(outlook(start, hope), inFlight) > enough ? 1 : 0;
    },
    observe({ trajectory, step, accepted, corrected, delta, reach }: RoundRecord): void {
      const own = trajectories.get(trajectory);
      if (!own) return;
      const sums = { near: 0, far: 0 };
      const counts = { near: 0, far: 0 };
      delta.forEach((value, level) => {
        const back = reach[level]!;
        if (Number.isNaN(value) || Number.isNaN(back)) return;
        const kind = back === 0 ? "near" : "far";
        const by = usual(step + level)[kind];
        if (!(by > 0)) return;
        sums[kind] += Math.min(LOST, value) / Math.sqrt(back || 1) / by;
        counts[kind]++;
      });
      for (const kind of ["near", "far"] as const) {
        if (counts[kind] === 0) continue;
        own[kind] = mixed(own[kind], sums[kind] / counts[kind], counts[kind]);
        latest[step] = { ...latest[step], [kind]: own[kind] };
      }
      if (own.expected > 0)
        trust += TRUST_NEWEST * (Math.min(2, (accepted + (corrected ? 1 : 0)) / own.expected) - trust);
    },
    tick({ rows, calls, targetMs, otherMs }: TickCost): void {
      if (calls === 1) running.observe(rows, targetMs);
      // Calls of plain sampling have nothing to draft and would make drafting look free.
      if (rows <= sharing) return;
      rowsPerTick += (rowsPerTick > 0 ? 0.2 : 1) * (rows - rowsPerTick);
      // A drafter's first guess takes a hundred times as long as later ones.
      otherPerRow *= unstalled(otherMs / rows / otherPerRow) ** 0.2;
    },
  };
}

/** 2 Phi(-delta / 2) to three digits: a choice asks for hundreds. */
function kept(delta: number): number {
  return OVERLAPS[Math.round(Math.min(delta, 10) * PER_UNIT)]!;
}

const PER_UNIT = 200;
const OVERLAPS = Float64Array.from({ length: 10 * PER_UNIT + 1 }, (_, i) => overlap(i / PER_UNIT));

/** Lengths from 2 on, the longer the coarser, and `most` itself. */
function lengthsTo(most: number): number[] {
  const lengths = [];
  for (let length = 2; length < most; length += Math.max(1, Math.floor(length / 5))) lengths.push(length);
  if (most >= 2) lengths.push(most);
  return lengths;
}

/** A mean of `count` new values, weighed against what was known before. */
function mixed(before: number | undefined, seen: number, count: number): number {
  const value = Math.max(1e-6, seen);
  const old = (1 - NEWEST) ** count;
  return before === undefined ? value : before ** old * value ** (1 - old);
}
