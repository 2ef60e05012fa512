import type { Chain } from "./chain.js";
import { copy } from "./copy.js";

/** A ragged batch: row r is the state `states[r*dim .. (r+1)*dim - 1]` of `trajectory[r]`, at `step[r]` of its chain. */
export interface Rows {
  readonly count: number;
  readonly dim: number;
  readonly trajectory: Int32Array;
  readonly step: Int32Array;
  /** chain.time[step[r]] */
  readonly time: Float64Array;
  readonly states: Float64Array;
}

/** What a model returns: at least count x dim numbers, row by row, valid until the next call. */
export type Outputs = Float64Array | Float32Array;

/**
 * The function f of a chain. One `evaluate` is one batched network call. A trajectory comes out the same in any batch if
 * each output row depends on its own input row only.
 */
export interface Model {
  readonly dim: number;
  /** Time in the network alone so far, in milliseconds, where the model can tell it from conversions and messages. */
  readonly networkMs?: number | undefined;
  /** Rows of the network that one state takes: 2 under classifier-free guidance. Default 1. */
  readonly rowsPerState?: number;
  /** The network takes one time for its whole batch: an evaluation makes one call for every distinct time in it. */
  readonly oneTimePerCall?: boolean;
  /** The arrays of `rows` may be longer than `count`; they are reused after the promise settles. */
  evaluate(rows: Rows, signal?: AbortSignal): Promise<Outputs> | Outputs;
}

/** Where calls are counted: every network evaluation of a run goes through one meter per network. */
export class Meter implements Model {
  readonly dim: number;
  readonly #model: Model;
  calls = 0;
  rows = 0;
  /** Time in the network: what the model says, else the wall-clock of its calls. Milliseconds. */
  ms = 0;

  constructor(model: Model) {
    this.#model = model;
    this.dim = model.dim;
  }

  async evaluate(rows: Rows, signal?: AbortSignal): Promise<Outputs> {
    this.calls += this.#model.oneTimePerCall ? new Set(rows.time.subarray(0, rows.count)).size : 1;
    this.rows += rows.count * (this.#model.rowsPerState ?? 1);
    const clock = () => this.#model.networkMs ?? performance.now();
    const started = clock();
    try {
      return await this.#model.evaluate(rows, signal);
    } finally {
      this.ms += clock() - started;
    }
  }
}

/** Growable storage behind {@link Rows}, so that a tick of the loop allocates nothing once it is warm. */
export class RowBuffer implements Rows {
  readonly dim: number;
  count = 0;
  trajectory = new Int32Array(0);
  step = new Int32Array(0);
  time = new Float64Array(0);
  states = new Float64Array(0);

  constructor(dim: number) {
    this.dim = dim;
  }

  clear(): void {
    this.count = 0;
  }

  push(trajectory: number, step: number, chain: Chain, states: Float64Array, from: number): void {
    const row = this.count++;
    if (row >= this.step.length) this.#grow(Math.max(4, 2 * row));
    this.trajectory[row] = trajectory;
    this.step[row] = step;
    this.time[row] = chain.time[step]!;
    copy(states, from, this.states, row * this.dim, this.dim);
  }

  #grow(capacity: number): void {
    const grown = <T extends Int32Array | Float64Array>(into: T, old: T): T => {
      into.set(old);
      return into;
    };
    this.trajectory = grown(new Int32Array(capacity), this.trajectory);
    this.step = grown(new Int32Array(capacity), this.step);
    this.time = grown(new Float64Array(capacity), this.time);
    this.states = grown(new Float64Array(capacity * this.dim), this.states);
  }
}
