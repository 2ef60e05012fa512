import { SpecdiffError } from "../core/errors.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import type { Decision, Sampling } from "./policy.js";

/** What is known of one way to sample. */
interface Candidate {
  readonly draft: string;
  readonly window: number | "auto";
  /** Latest times of a decision, ms. */
  readonly times: number[];
  rows: number;
}

/** What a deadline comes to on this machine. */
export interface Plan {
  readonly draft: string;
  readonly window: number | "auto";
  /** Times of a decision so far: median, and the longest of the last {@link REMEMBERED}. */
  readonly medianMs: number;
  readonly longestMs: number;
  /** ms by which a decision is expected to miss the deadline, 0 if it is kept. */
  readonly over: number;
}

const WINDOWS = [2, 5, 10, 20, 40];
/** Trial decisions per candidate: all have the first, those within reach of the soonest the others. */
const TRIALS = 5;
const REACH = 1.5;
/** Decisions of a candidate that count. */
const REMEMBERED = 20;

/**
 * A latency budget per decision. Ways to sample are tried on the robot's own observation; of those that have kept the budget
 * the one that evaluates the fewest rows is taken, so that the machine stays free for other work, and else the soonest. All have
 * the same law, and the real decisions go on being measured. A decision is never cut short: a late one says by how much.
 */
export class Deadline {
  /** ms */
  readonly budget: number;
  readonly #candidates: Candidate[];
  #robots = 0;
  /** Time that the trials took, ms. */
  preparedMs = 0;

  constructor(budget: number, { independent = false, plainOnly = false } = {}) {
    if (!(budget > 0 && Number.isFinite(budget)))
      throw new SpecdiffError("bad-argument", `the deadline is ${budget}; give milliseconds above 0`);
    this.budget = budget;
    const drafts = plainOnly
      ? []
      : [...new Set([DEFAULTS.draft, "frozen:x0", ...(independent ? ["independent"] : [])])];
    this.#candidates = [
      { draft: "none", window: 1, times: [], rows: 0 },
      ...drafts.flatMap((draft) => WINDOWS.map((window) => ({ draft, window, times: [], rows: 0 }))),
    ];
  }

  /** Tries the candidates for this number of robots, unless that was done. */
  async prepare(robots: number, decide: (sampling: Sampling, seed: number) => Promise<Decision>): Promise<void> {
    if (robots === this.#robots) return;
    const started = performance.now();
    for (const candidate of this.#candidates) candidate.times.length = 0;
    await decide(this.#candidates[0]!, 0); // warms up and does not count
    let inReach = this.#candidates;
    for (let trial = 0; trial < TRIALS; trial++) {
      for (const candidate of inReach) {
        const { ms, record } = await decide({ draft: candidate.draft, window: candidate.window }, trial);
        candidate.times.push(ms);
        candidate.rows += (record.rows + record.draftRows - candidate.rows) / (trial + 1);
      }
      const limit = Math.max(this.budget, REACH * median(this.#soonest.times));
      inReach = this.#candidates.filter(({ times }) => median(times) <= limit);
    }
    this.#robots = robots;
    this.preparedMs = performance.now() - started;
  }

  get #soonest(): Candidate {
    return this.#candidates.reduce((a, b) => (median(b.times) < median(a.times) ? b : a));
  }

  get #chosen(): Candidate {
    const kept = this.#candidates.filter(({ times }) => times.length >= TRIALS && Math.max(...times) <= this.budget);
    return kept.length > 0 ? kept.reduce((a, b) => (b.rows < a.rows ? b : a)) : this.#soonest;
  }

  /** The way to sample now. */
  get choice(): Pick<Sampling, "draft" | "window"> {
    const { draft, window } = this.#chosen;
    return { draft, window };
  }

  /** Undefined before the trials. */
  get plan(): Plan | undefined {
    if (this.#robots === 0) return undefined;
    const { draft, window, times } = this.#chosen;
    const longestMs = Math.max(...times);
    return { draft, window, medianMs: median(times), longestMs, over: Math.max(0, longestMs - this.budget) };
  }

  /** Takes note of what a decision took. @returns ms beyond the budget */
  observe({ draft, window, ms }: Decision): number {
    const times = this.#candidates.find((one) => one.draft === draft && one.window === window)?.times;
    times?.push(ms);
    if (times && times.length > REMEMBERED) times.shift();
    return Math.max(0, ms - this.budget);
  }
}

function median(values: readonly number[]): number {
  if (values.length === 0) return Number.POSITIVE_INFINITY;
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
