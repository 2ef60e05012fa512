import { requireInteger, SpecdiffError } from "./errors.js";
import type { RoundRecord } from "./record.js";

/** What a policy may look at: finished rounds only, never unused noise. */
export interface RoundStart {
  readonly trajectory: number;
  /** Rounds finished before this one. */
  readonly round: number;
  readonly step: number;
  /** Steps left to the end of the chain, at least 1. */
  readonly remaining: number;
  /** Whether the target's output at the root is known already, so that its row is free. */
  readonly rootKnown: boolean;
  /** Whether the next window is drafted beside the refused states of this one (carry "window"). */
  readonly keepsRefused: boolean;
  /** Trajectories that share the next call, this one included. */
  readonly inFlight: number;
}

/** What one tick of the loop took. */
export interface TickCost {
  /** Rows and calls of the target. */
  readonly rows: number;
  readonly calls: number;
  readonly targetMs: number;
  /** Drafter and engine. */
  readonly otherMs: number;
}

/**
 * Chooses how many steps to draft. The loop cuts the answer to what remains. 0, where the root is not known: evaluate the root
 * and ask again. A window of one step evaluates no leaf, so that 0 and then 1 is plain sampling, and 1 at once is a guess judged
 * by the same row.
 */
export interface WindowPolicy {
  readonly name: string;
  /** No window is longer than this. */
  readonly longest: number;
  choose(start: RoundStart): number;
  /** Told of every finished round. */
  observe?(round: RoundRecord): void;
  /** Told of every tick's cost. What depends on time changes which samples come out, not their law: log the plan. */
  tick?(cost: TickCost): void;
}

/** The same window every round. */
export function fixedWindow(length: number): WindowPolicy {
  requireInteger("window", length, 1);
  return { name: `fixed:${length}`, longest: length, choose: () => length };
}

/**
 * Repeats a logged plan: `plan[trajectory]` has the choices of all rounds in order, a 0 before that of its round.
 * @throws SpecdiffError("bad-argument") from `choose` where the plan has no entry
 */
export function replayWindows(plan: readonly (readonly number[])[]): WindowPolicy {
  let longest = 1;
  for (const windows of plan) for (const length of windows) longest = Math.max(longest, length);
  const rounds = plan.map((choices) => {
    const own: { length: number; rootFirst: boolean }[] = [];
    choices.forEach((length, i) => {
      if (length > 0) own.push({ length, rootFirst: choices[i - 1] === 0 });
    });
    return own;
  });
  return {
    name: "replay",
    longest,
    choose({ trajectory, round, rootKnown }) {
      const choice = rounds[trajectory]?.[round];
      if (choice === undefined) {
        throw new SpecdiffError(
          "bad-argument",
          `the plan has no window for round ${round} of trajectory ${trajectory}; replay needs the same model, chain, seed and options as the logged run`,
        );
      }
      return choice.rootFirst && !rootKnown ? 0 : choice.length;
    },
  };
}
