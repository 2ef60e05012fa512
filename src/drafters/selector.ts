import type { Drafter, Evaluation } from "../core/drafter.js";
import type { Outputs, Rows } from "../core/model.js";

/** Weight of one point against all before it. */
const NEWEST = 0.2;

interface Choice {
  readonly memories: unknown[];
  /** Mean logarithm of the squared error of each candidate's guesses, the recent ones counting most. */
  readonly error: Float64Array;
  seen: number;
  chosen: number;
  /** What each candidate guessed in this window, by step. */
  readonly guesses: Map<number, Float64Array[]>;
}

/**
 * The best of several drafters, by trajectory and window: all of them guess, the one whose recent guesses came nearest to the
 * target's outputs drafts. Ties and the first window go to the first. For drafters without a network, whose guesses are free.
 */
export function selector(candidates: readonly Drafter[]): Drafter<Choice> {
  let out = new Float64Array(0);

  return {
    name: "auto",
    needsAnchor: candidates.some(({ needsAnchor }) => needsAnchor),
    open: (trajectory) => ({
      memories: candidates.map((candidate) => candidate.open(trajectory)),
      error: new Float64Array(candidates.length),
      seen: 0,
      chosen: 0,
      guesses: new Map(),
    }),
    anchor(memory, point) {
      candidates.forEach((candidate, c) => {
        candidate.anchor?.(memory.memories[c], point);
      });
    },
    guess(rows, memories, signal) {
      const answers = candidates.map((candidate, c) =>
        candidate.guess(
          rows,
          memories.map((memory) => memory.memories[c]),
          signal,
        ),
      );
      return answers.some((answer) => answer instanceof Promise)
        ? Promise.all(answers).then((all) => choose(all, rows, memories))
        : choose(answers as Outputs[], rows, memories);
    },
    observe(memory, evaluated) {
      for (const point of evaluated) judge(memory, point);
      memory.guesses.clear();
      memory.chosen = memory.error.reduce((best, error, c) => (error < memory.error[best]! ? c : best), 0);
      candidates.forEach((candidate, c) => {
        candidate.observe?.(memory.memories[c], evaluated);
      });
    },
  };

  function choose(answers: readonly Outputs[], rows: Rows, memories: readonly Choice[]): Float64Array {
    const { dim } = rows;
    if (out.length < rows.count * dim) out = new Float64Array(rows.count * dim);
    for (let row = 0; row < rows.count; row++) {
      const from = row * dim;
      const own = answers.map((answer) => Float64Array.from(answer.subarray(from, from + dim)));
      const { guesses, chosen } = memories[row]!;
      guesses.set(rows.step[row]!, own);
      out.set(own[chosen]!, from);
    }
    return out;
  }

  function judge(memory: Choice, { step, output }: Evaluation): void {
    const guesses = memory.guesses.get(step);
    if (!guesses) return;
    memory.seen++;
    const weight = Math.max(NEWEST, 1 / memory.seen);
    guesses.forEach((guess, c) => {
      let squares = 0;
      for (let i = 0; i < output.length; i++) squares += (output[i]! - guess[i]!) ** 2;
      memory.error[c]! += weight * (Math.log(squares + 1e-300) - memory.error[c]!);
    });
  }
}
