import { type Chain, stepsOf, validateChain } from "./chain.js";
import { copy } from "./copy.js";
import type { Drafter, Evaluation } from "./drafter.js";
import { type ErrorCode, requireInteger, SpecdiffError } from "./errors.js";
import { Meter, type Model, type Outputs, RowBuffer } from "./model.js";
import { RandomStream } from "./random.js";
import { LogHistogram, type RoundRecord, type RunRecord } from "./record.js";
import { type Carry, Slot } from "./slot.js";
import type { Verifier } from "./verifier.js";
import type { WindowPolicy } from "./window-policy.js";

export interface SampleOptions {
  readonly chain: Chain;
  /** The target: its law is what comes out. */
  readonly model: Model;
  /** `noDraft` for plain sequential sampling. */
  readonly drafter: Drafter;
  readonly verifier: Verifier;
  readonly window: WindowPolicy;
  /** Number of trajectories. */
  readonly count: number;
  /** Whole number from 0 to 2^53 - 1. Same seed, chain and windows: same samples, whatever `inFlight` and `maxRows`. */
  readonly seed: number;
  /**
   * Default "window" if the verifier is sequential and the chain has levels, else "nearest": E[x0 | x] is bounded by the data, but
   * a gradient may grow from one refused state to the next without end.
   */
  readonly carry?: Carry;
  /** Whether the last drafted state of a window longer than one is evaluated too (one more row). Default true. */
  readonly leaves?: boolean;
  /** Trajectories that share a batch; as one finishes the next takes its place. Default 16. */
  readonly inFlight?: number;
  /** Most rows in one call of the target. Default: no limit. */
  readonly maxRows?: number;
  /** Writes Y_0 of a trajectory. Default: N(0, chain.initialSigma^2 I). */
  readonly initial?: (trajectory: number, out: Float64Array) => void;
  /** Keep all states of each trajectory. Default false. */
  readonly paths?: boolean;
  /** Keep the target's log-density of each committed transition. Default false. */
  readonly logDensity?: boolean;
  /** Keep the window of every round, for `replayWindows`. Default false. */
  readonly plan?: boolean;
  /** Stops between rounds; finished trajectories are returned with the error. */
  readonly signal?: AbortSignal;
  /** After every tick: one batched call and what was decided from it. */
  readonly onProgress?: (progress: Progress) => void;
  readonly onRound?: (round: RoundRecord) => void;
  /** The final state of a trajectory; a view, copy to keep. */
  readonly onFinish?: (trajectory: number, state: Float64Array) => void;
}

export interface Progress {
  /** Transitions committed so far, of `totalSteps`. */
  readonly committed: number;
  readonly totalSteps: number;
  readonly finished: number;
  readonly calls: number;
  readonly trajectoryCalls: number;
  readonly acceptance: number | null;
}

export interface SampleResult {
  readonly dim: number;
  /** count x dim; rows of unfinished trajectories are NaN. */
  readonly samples: Float64Array;
  /** Whether each trajectory reached the end of the chain. */
  readonly finished: readonly boolean[];
  readonly record: RunRecord;
  /** Per trajectory (K + 1) x dim, where asked for and finished. */
  readonly paths?: readonly (Float64Array | undefined)[];
  /** Per trajectory K numbers, NaN for deterministic steps, where asked for and finished. */
  readonly logDensity?: readonly (Float64Array | undefined)[];
  /** plan[trajectory]: drafted steps of each round, after a 0 where the root was evaluated first. */
  readonly plan?: readonly (readonly number[])[];
}

/** A run that did not reach its end, with everything that did. */
export class SamplingError extends SpecdiffError {
  readonly partial: SampleResult;

  constructor(code: ErrorCode, message: string, partial: SampleResult, cause: unknown) {
    super(code, message, { cause });
    this.name = "SamplingError";
    this.partial = partial;
  }
}

/**
 * Speculative sampling (De Bortoli et al. 2025, Algorithm 3) for a ragged batch: every trajectory is at its own step, and
 * one tick evaluates all their windows in one call of the target. The final states have the law of the plain chain.
 *
 * @throws SpecdiffError("bad-argument") before anything runs
 * @throws SamplingError when a network fails, returns something unusable, or the signal aborts; `partial` has the rest
 */
export async function sample(options: SampleOptions): Promise<SampleResult> {
  return new Run(options).finish();
}

class Run {
  readonly #options: SampleOptions;
  readonly #chain: Chain;
  readonly #steps: number;
  readonly #dim: number;
  readonly #carry: Carry;
  readonly #leaves: boolean;
  readonly #maxRows: number;
  readonly #drafter: Drafter;
  readonly #target: Meter;
  readonly #random: RandomStream;
  readonly #targetRows: RowBuffer;
  readonly #draftRows: RowBuffer;
  readonly #draftOwners: Slot[] = [];
  readonly #draftMemories: unknown[] = [];
  readonly #callOwners: Slot[] = [];
  readonly #callNodes: number[] = [];
  readonly #active: Slot[] = [];
  readonly #idle: Slot[] = [];

  readonly #samples: Float64Array;
  readonly #finished: boolean[];
  readonly #paths: (Float64Array | undefined)[] | undefined;
  readonly #logDensity: (Float64Array | undefined)[] | undefined;
  readonly #plan: number[][] | undefined;

  readonly #delta = new LogHistogram();
  readonly #draftMeterStart: { calls: number; rows: number };
  readonly #started = performance.now();
  #next = 0;
  #finishedCount = 0;
  #trajectoryCalls = 0;
  #rounds = 0;
  #committed = 0;
  #proposed = 0;
  #accepted = 0;
  #rejected = 0;
  #draftMs = 0;
  #guesses = 0;

  constructor(options: SampleOptions) {
    const { chain, model, count, drafter, window } = options;
    validateChain(chain);
    requireInteger("count", count, 1);
    requireInteger("inFlight", options.inFlight ?? 16, 1);
    requireInteger("model.dim", model.dim, 1);
    if (options.maxRows !== undefined) requireInteger("maxRows", options.maxRows, 1);
    this.#options = options;
    this.#chain = chain;
    this.#steps = stepsOf(chain);
    this.#dim = model.dim;
    this.#carry = options.carry ?? (options.verifier.sequential && chain.levels ? "window" : "nearest");
    if (this.#carry === "window" && !options.verifier.sequential) {
      throw new SpecdiffError(
        "bad-argument",
        `carry "window" reuses the noise behind a refused draft, but the coupling ${options.verifier.name} has looked at it; use carry "nearest", or the coupling reflection`,
      );
    }
    this.#leaves = options.leaves ?? true;
    this.#maxRows = options.maxRows ?? Number.POSITIVE_INFINITY;
    this.#drafter = drafter;
    const longest = Math.min(window.longest, this.#steps);
    const needed = longest + (this.#leaves ? 1 : 0);
    if (needed > this.#maxRows) {
      throw new SpecdiffError(
        "bad-argument",
        `a window of ${longest} takes up to ${needed} rows in one call, but maxRows is ${this.#maxRows}; shorten the window or raise maxRows`,
      );
    }
    this.#target = new Meter(model);
    this.#random = new RandomStream(options.seed);
    this.#targetRows = new RowBuffer(this.#dim);
    this.#draftRows = new RowBuffer(this.#dim);
    this.#draftMeterStart = { calls: drafter.meter?.calls ?? 0, rows: drafter.meter?.rows ?? 0 };
    this.#samples = new Float64Array(count * this.#dim).fill(Number.NaN);
    this.#finished = new Array<boolean>(count).fill(false);
    if (options.paths) this.#paths = new Array(count).fill(undefined);
    if (options.logDensity) this.#logDensity = new Array(count).fill(undefined);
    if (options.plan) this.#plan = Array.from({ length: count }, () => []);
    const keep = { paths: options.paths === true, logDensity: options.logDensity === true };
    for (let i = Math.min(options.inFlight ?? 16, count); i > 0; i--) {
      this.#idle.push(new Slot(chain, this.#dim, this.#random, keep));
    }
  }

  async finish(): Promise<SampleResult> {
    try {
      while (this.#finishedCount < this.#options.count) {
        this.#options.signal?.throwIfAborted();
        await this.#tick();
        this.#options.onProgress?.(this.#progress());
      }
    } catch (error) {
      throw this.#failure(error);
    }
    return this.#result();
  }

  /** One batched target call in which every trajectory in flight takes part, and the decisions that follow from it. */
  async #tick(): Promise<void> {
    const before = this.#times();
    do {
      this.#admit();
      await this.#draft();
      // Windows that need no further row (plain steps, the end of the chain) are decided without a call.
    } while (this.#settle() > 0 && this.#finishedCount < this.#options.count);
    await this.#evaluate();
    this.#settle();
    const after = this.#times();
    this.#options.window.tick?.({
      rows: after.rows - before.rows,
      calls: after.calls - before.calls,
      targetMs: after.targetMs - before.targetMs,
      otherMs: after.wallMs - before.wallMs - (after.targetMs - before.targetMs),
    });
  }

  #times() {
    return { rows: this.#target.rows, calls: this.#target.calls, targetMs: this.#target.ms, wallMs: performance.now() };
  }

  /** Waiting trajectories take the free slots. */
  #admit(): void {
    while (this.#idle.length > 0 && this.#next < this.#options.count) {
      const slot = this.#idle.pop()!;
      const trajectory = this.#next++;
      slot.start(trajectory, this.#drafter.open(trajectory), this.#options.initial);
      this.#active.push(slot);
    }
  }

  /** Drafts a window for each trajectory that has what it takes to start one, level by level for all of them together. */
  async #draft(): Promise<void> {
    const fresh: Slot[] = [];
    const { longest } = this.#options.window;
    for (const slot of this.#active) {
      if (slot.drafting) continue;
      if (slot.known[0]) {
        slot.anchorAt(0);
        slot.rootFirst = false;
      }
      if (slot.rootFirst) continue;
      if (this.#drafter.needsAnchor && !slot.hasAnchor) continue; // its root is evaluated in the next call
      const remaining = this.#steps - slot.step;
      const chosen = this.#options.window.choose({
        trajectory: slot.trajectory,
        round: slot.round,
        step: slot.step,
        remaining,
        rootKnown: slot.known[0] === 1,
        keepsRefused: this.#carry === "window",
        inFlight: this.#active.length,
      });
      const least = slot.known[0] ? 1 : 0;
      if (!(chosen >= least && chosen <= longest && Number.isInteger(chosen))) {
        requireInteger(`window chosen by ${this.#options.window.name}`, chosen, least, longest);
      }
      if (chosen === 0) {
        slot.rootFirst = true;
        this.#plan?.[slot.trajectory]?.push(0);
        continue;
      }
      slot.window.drafted = Math.min(chosen, remaining);
      slot.reserve(slot.window.drafted);
      slot.drafting = true;
      slot.leafLost = false;
      slot.anchoredAt = slot.hasAnchor ? slot.anchor.step : Number.NaN;
      // A single step from a known root needs no guess, hence no drafter.
      if (slot.hasAnchor && !(slot.known[0] && slot.window.drafted === 1)) {
        this.#timed(() => this.#drafter.anchor?.(slot.memory, slot.anchor));
      }
      fresh.push(slot);
    }
    for (let level = 0; fresh.length > 0; level++) {
      const rows = this.#draftRows;
      rows.clear();
      this.#draftOwners.length = 0;
      this.#draftMemories.length = 0;
      for (let i = fresh.length - 1; i >= 0; i--) {
        const slot = fresh[i]!;
        if (level >= slot.window.drafted) {
          fresh.splice(i, 1);
          this.#plan?.[slot.trajectory]?.push(slot.window.drafted);
        } else if (slot.known[level]) {
          slot.extend(level, slot.outputs, level * this.#dim, false);
        } else {
          const refused = level > 0 ? slot.refused(level) : undefined;
          if (refused) {
            this.#timed(() => this.#drafter.anchor?.(slot.memory, refused));
            slot.anchoredAt = refused.step;
          }
          slot.reach[level] = slot.step + level - slot.anchoredAt;
          rows.push(slot.trajectory, slot.step + level, this.#chain, slot.window.states, level * this.#dim);
          this.#draftOwners.push(slot);
          this.#draftMemories.push(slot.memory);
        }
      }
      if (rows.count > 0) await this.#guess(level);
    }
  }

  async #guess(level: number): Promise<void> {
    const rows = this.#draftRows;
    this.#guesses += rows.count;
    const started = performance.now();
    const answer = this.#drafter.guess(rows, this.#draftMemories, this.#options.signal);
    const guesses = answer instanceof Promise ? await answer : answer;
    this.#draftMs += performance.now() - started;
    const who = `drafter ${this.#drafter.name}`;
    this.#checkLength(guesses, rows, who);
    for (let row = 0; row < rows.count; row++) {
      const slot = this.#draftOwners[row]!;
      if (!finite(guesses, row, this.#dim)) {
        if (level === 0) throw notFinite(rows, row, who);
        slot.cut(level, false);
        continue;
      }
      slot.extend(level, guesses, row * this.#dim, true);
      // Past a deterministic step every draft would be discarded: a guess is never exactly the target's mean.
      if (slot.window.sigma[level] === 0) slot.window.drafted = level + 1;
    }
  }

  /** Counts the drafter's own computing as its time. */
  #timed(work: () => void): void {
    const started = performance.now();
    work();
    this.#draftMs += performance.now() - started;
  }

  /** Evaluates every missing row: roots that wait for an anchor, inner nodes of windows, and leaves. */
  async #evaluate(): Promise<void> {
    const rows = this.#targetRows;
    rows.clear();
    this.#callOwners.length = 0;
    this.#callNodes.length = 0;
    for (const slot of this.#active) {
      const mine = this.#missing(slot);
      if (rows.count > 0 && rows.count + mine > this.#maxRows) await this.#call();
      for (let node = 0; node <= slot.window.drafted; node++) {
        if (!this.#isMissing(slot, node)) continue;
        rows.push(slot.trajectory, slot.step + node, this.#chain, slot.window.states, node * this.#dim);
        this.#callOwners.push(slot);
        this.#callNodes.push(node);
      }
      if (mine > 0) {
        // The steps of one trajectory have different times, so that a network of one time takes a call for each.
        const calls = this.#options.model.oneTimePerCall ? mine : 1;
        slot.calls += calls;
        this.#trajectoryCalls += calls;
      }
    }
    if (rows.count > 0) await this.#call();
  }

  #isMissing(slot: Slot, node: number): boolean {
    if (slot.known[node]) return false;
    if (!slot.drafting) return node === 0;
    if (node < slot.window.drafted) return true;
    // A window of one commits one step whatever its leaf says: the row would only bring the next root forward.
    return this.#leaves && !slot.leafLost && node > 1 && slot.step + node < this.#steps;
  }

  #missing(slot: Slot): number {
    let missing = 0;
    for (let node = 0; node <= slot.window.drafted; node++) if (this.#isMissing(slot, node)) missing++;
    return missing;
  }

  /** One call of the target: the only place that evaluates it. */
  async #call(): Promise<void> {
    const rows = this.#targetRows;
    const dim = this.#dim;
    const outputs = await this.#target.evaluate(rows, this.#options.signal);
    this.#checkLength(outputs, rows, "model");
    for (let row = 0; row < rows.count; row++) {
      const slot = this.#callOwners[row]!;
      const node = this.#callNodes[row]!;
      if (!finite(outputs, row, dim)) {
        if (node === 0) throw notFinite(rows, row, "model");
        slot.cut(node, true);
        continue;
      }
      copy(outputs, row * dim, slot.outputs, node * dim, dim);
      slot.known[node] = 1;
    }
    rows.clear();
    this.#callOwners.length = 0;
    this.#callNodes.length = 0;
  }

  #checkLength(outputs: Outputs, rows: RowBuffer, who: string): void {
    const dim = this.#dim;
    if (outputs.length < rows.count * dim) {
      throw new SpecdiffError(
        "bad-output",
        `the ${who} returned ${outputs.length} numbers for ${rows.count} rows of ${dim}; it must return ${rows.count * dim}`,
      );
    }
  }

  /** Verifies every window whose rows are all there, commits, retires what is done. Returns how many were decided. */
  #settle(): number {
    let decided = 0;
    for (let i = this.#active.length - 1; i >= 0; i--) {
      const slot = this.#active[i]!;
      if (!slot.drafting || this.#missing(slot) > 0) continue;
      decided++;
      this.#verify(slot);
      if (slot.step === this.#steps) {
        this.#retire(slot);
        this.#active.splice(i, 1);
        this.#idle.push(slot);
      }
    }
    return decided;
  }

  #verify(slot: Slot): void {
    const { window, verdict } = slot;
    slot.targetMeans();
    verdict.delta.fill(Number.NaN);
    const drafted = slot.guessed.subarray(0, window.drafted).includes(1);
    if (drafted) {
      this.#options.verifier.verify(window, slot.random, verdict);
    } else {
      // Steps from known outputs are the target's own: every coupling keeps them.
      verdict.delta.fill(0, 0, window.drafted);
      verdict.tip = window.drafted;
      verdict.corrected = false;
      verdict.replaced = -1;
    }
    for (let node = 0; node < window.drafted; node++) {
      if (!slot.guessed[node]) continue;
      if (window.sigma[node] === 0) continue;
      this.#proposed++;
      if (node < verdict.tip) this.#accepted++;
      else if (node === verdict.tip) this.#rejected++;
      if (!Number.isNaN(verdict.delta[node])) this.#delta.add(verdict.delta[node]!);
    }
    this.#rounds++;
    this.#committed += verdict.tip + (verdict.corrected ? 1 : 0);
    if (this.#options.window.observe || this.#options.onRound) {
      const round: RoundRecord = {
        trajectory: slot.trajectory,
        round: slot.round,
        step: slot.step,
        window: window.drafted,
        accepted: verdict.tip,
        corrected: verdict.corrected,
        calls: slot.calls,
        delta: Array.from(verdict.delta.subarray(0, window.drafted)),
        reach: Array.from(slot.reach.subarray(0, window.drafted), (reach, node) =>
          slot.guessed[node] ? reach : Number.NaN,
        ),
      };
      this.#options.window.observe?.(round);
      this.#options.onRound?.(round);
    }
    const carry = this.#carryOf(slot);
    if (this.#drafter.observe && drafted) {
      const evaluated: Evaluation[] = [];
      // What lies behind a refused draft depends on noise that the next window will use again.
      const seen = carry === "window" && verdict.corrected ? verdict.tip + 1 : window.drafted;
      for (let node = 0; node <= seen; node++) if (slot.known[node]) evaluated.push(slot.evaluation(node));
      this.#timed(() => this.#drafter.observe?.(slot.memory, evaluated));
    }
    slot.commit(carry);
  }

  /**
   * Under carry "window" the first refused window of a trajectory is given up all the same: what lies behind its refused draft
   * is then the drafter's to learn from, which has seen nothing yet. A rule of what is committed, so that it keeps the law.
   */
  #carryOf(slot: Slot): Carry {
    if (this.#carry !== "window" || !slot.verdict.corrected) return this.#carry;
    if (slot.taught || slot.window.drafted === slot.verdict.tip + 1) return "window";
    slot.taught = true;
    return "nearest";
  }

  #retire(slot: Slot): void {
    const { trajectory } = slot;
    const state = slot.window.states.subarray(0, this.#dim);
    this.#samples.set(state, trajectory * this.#dim);
    this.#finished[trajectory] = true;
    this.#finishedCount++;
    if (this.#paths) this.#paths[trajectory] = slot.path?.slice();
    if (this.#logDensity) this.#logDensity[trajectory] = slot.logDensity?.slice();
    this.#options.onFinish?.(trajectory, state);
  }

  get #acceptance(): number | null {
    const decided = this.#accepted + this.#rejected;
    return decided > 0 ? this.#accepted / decided : null;
  }

  #progress(): Progress {
    return {
      committed: this.#committed,
      totalSteps: this.#steps * this.#options.count,
      finished: this.#finishedCount,
      calls: this.#target.calls,
      trajectoryCalls: this.#trajectoryCalls,
      acceptance: this.#acceptance,
    };
  }

  #result(): SampleResult {
    const wallMs = performance.now() - this.#started;
    const { meter } = this.#drafter;
    const delta = this.#delta;
    const record: RunRecord = {
      steps: this.#steps,
      count: this.#options.count,
      finished: this.#finishedCount,
      calls: this.#target.calls,
      rows: this.#target.rows,
      draftCalls: (meter?.calls ?? 0) - this.#draftMeterStart.calls,
      draftRows: (meter?.rows ?? 0) - this.#draftMeterStart.rows,
      guesses: this.#guesses,
      trajectoryCalls: this.#trajectoryCalls,
      rounds: this.#rounds,
      committed: this.#committed,
      proposed: this.#proposed,
      accepted: this.#accepted,
      acceptance: this.#acceptance,
      speedup: this.#trajectoryCalls > 0 ? this.#committed / this.#trajectoryCalls : null,
      delta:
        delta.count > 0 ? { p10: delta.quantile(0.1), median: delta.quantile(0.5), p90: delta.quantile(0.9) } : null,
      wallMs,
      modelMs: this.#target.ms,
      draftMs: this.#draftMs,
      engineMs: Math.max(0, wallMs - this.#target.ms - this.#draftMs),
    };
    return {
      dim: this.#dim,
      samples: this.#samples,
      finished: this.#finished,
      record,
      ...(this.#paths && { paths: this.#paths }),
      ...(this.#logDensity && { logDensity: this.#logDensity }),
      ...(this.#plan && { plan: this.#plan }),
    };
  }

  #failure(error: unknown): SamplingError {
    const partial = this.#result();
    const kept = `${partial.record.finished} of ${partial.record.count} trajectories had finished and are kept`;
    if (this.#options.signal?.aborted) {
      return new SamplingError("aborted", `sampling was stopped; ${kept}`, partial, this.#options.signal.reason);
    }
    const code = error instanceof SpecdiffError ? error.code : "network-failed";
    const message = error instanceof Error ? error.message : String(error);
    return new SamplingError(code, `${message} (${kept})`, partial, error);
  }
}

function finite(outputs: Outputs, row: number, dim: number): boolean {
  let poison = 0;
  for (let i = row * dim; i < (row + 1) * dim; i++) poison += outputs[i]! * 0; // NaN as soon as one is not finite
  return poison === 0;
}

function notFinite({ trajectory, step, time }: RowBuffer, row: number, who: string): SpecdiffError {
  return new SpecdiffError(
    "bad-output",
    `the ${who} returned NaN or infinity for trajectory ${trajectory[row]} at step ${step[row]} (time ${time[row]}); check its weights, its precision and that the schedule is the one it was trained with`,
  );
}
