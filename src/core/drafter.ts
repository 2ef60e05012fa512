import { SpecdiffError } from "./errors.js";
import type { Meter, Outputs, Rows } from "./model.js";

/** A point where the target has been evaluated. Views into the loop's storage, valid until the round is observed. */
export interface Evaluation {
  readonly step: number;
  /** dim numbers */
  readonly state: Float64Array;
  /** f(state, time[step]), dim numbers */
  readonly output: Float64Array;
}

/**
 * Guesses the target's output. Exactness asks one thing: a guess at a state may use everything known before that state's
 * outgoing noise is drawn, and nothing after. The interface offers no more than that.
 *
 * `Memory` is what the drafter keeps about one trajectory; the loop holds it and hands it back.
 */
export interface Drafter<Memory = unknown> {
  readonly name: string;
  /** Whether `anchor` must have been called for a window to be drafted. If not, a window can start from nothing. */
  readonly needsAnchor: boolean;
  /** The meter of the drafter's own network, if it has one. */
  readonly meter?: Meter;
  /** Called once when a trajectory starts. */
  open(trajectory: number): Memory;
  /**
   * The evaluated point that guesses start from, until the next: at a window's start that of the carry rule, at or near the root;
   * under carry "window" also, before each level that the last window had reached, its refused state of the same step.
   */
  anchor?(memory: Memory, point: Evaluation): void;
  /** Guesses f for each row; row r belongs to `memories[r]`. Called once per level for the whole batch. */
  guess(rows: Rows, memories: readonly Memory[], signal?: AbortSignal): Outputs | Promise<Outputs>;
  /**
   * The points of a finished round in which it guessed, in the order of the window; discarded drafts are included, under carry
   * "window" only the first.
   */
  observe?(memory: Memory, evaluated: readonly Evaluation[]): void;
}

/** No lookahead: with windows of one step this is plain sequential sampling, through the same loop. */
export const noDraft: Drafter = {
  name: "none",
  needsAnchor: true,
  open: () => undefined,
  guess() {
    throw new SpecdiffError(
      "bad-argument",
      "the drafter 'none' cannot look ahead; use a window of 1, carry none and no leaves",
    );
  },
};
