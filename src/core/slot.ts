import type { Chain } from "./chain.js";
import { copy } from "./copy.js";
import type { Evaluation } from "./drafter.js";
import { Purpose, type RandomStream } from "./random.js";
import type { Verdict, VerifierRandom, Window } from "./verifier.js";

/**
 * What the next window starts from. none: only the root's own output, evaluated on purpose if it is not known (the paper's two
 * calls per window); parent: the last verified parent's; nearest: the rejected child's where it was evaluated; window: the
 * whole rest of the refused window, its noise and its outputs, for verifiers that are {@link Verifier.sequential}.
 *
 * Under "window" the next draft reuses the noise of the refused steps, which no decision has looked at, so that it runs beside
 * the refused states, step by step, and each guess is anchored at the refused state of its own step. A refused state depends
 * only on noise before its step: the guess remains blind to the noise it must be blind to. The first refused window of a
 * trajectory is given up all the same, so that the drafter, which has seen nothing yet, learns from all of it.
 */
export type Carry = "none" | "parent" | "nearest" | "window";

/**
 * One trajectory in flight: its committed state (node 0), the window drafted from it, and the last anchor. Everything is
 * allocated once, grows with the longest window there was, and is used again for the next trajectory.
 */
export class Slot {
  readonly #chain: Chain;
  readonly #random: RandomStream;
  readonly dim: number;

  trajectory = 0;
  /** Index of the committed state: node 0 is Y_step. */
  step = 0;
  round = 0;
  /** Target calls this trajectory took part in. */
  calls = 0;
  memory: unknown = undefined;
  /** Whether a window has been drafted and waits for its verification. */
  drafting = false;

  /** Whether the drafter has been shown all of a refused window, under carry "window". */
  taught = false;
  /** Whether the target has no usable output at the window's leaf. */
  leafLost = false;
  /** Whether the root is to be evaluated before a window is drafted. */
  rootFirst = false;

  readonly window: { -readonly [key in keyof Window]: Window[key] };
  readonly verdict: { -readonly [key in keyof Verdict]: Verdict[key] };
  readonly random: VerifierRandom;
  /** f at the nodes; row i holds a value if known[i]. */
  outputs = new Float64Array(0);
  known = new Uint8Array(0);
  /** Whether the transition out of a node was drafted from a guess rather than from its known output. */
  guessed = new Uint8Array(0);
  readonly anchor: Evaluation & { step: number };
  /** The step of the point that the last guess of the window started from, NaN if from none; and for each node, how far before. */
  anchoredAt = Number.NaN;
  reach = new Float64Array(0);
  hasAnchor = false;
  /** Draft noise out of each inner node, in standard deviations; that of the first `keptNoise` nodes is of a window before. */
  #noise = new Float64Array(0);
  #keptNoise = 0;
  /** The refused nodes of the window before, by node of this one, and whether f is known there. */
  #refused: readonly (Evaluation & { step: number })[] = [];
  #refusedKnown = new Uint8Array(0);
  #nodes: readonly (Evaluation & { step: number })[] = [];
  readonly path: Float64Array | undefined;
  readonly logDensity: Float64Array | undefined;

  constructor(chain: Chain, dim: number, random: RandomStream, keep: { paths: boolean; logDensity: boolean }) {
    this.#chain = chain;
    this.#random = random;
    this.dim = dim;
    const steps = chain.sigma.length;
    this.window = {
      dim,
      drafted: 0,
      parent: new Int32Array(0),
      states: new Float64Array(0),
      draftMeans: new Float64Array(0),
      targetMeans: new Float64Array(0),
      sigma: new Float64Array(0),
    };
    this.verdict = {
      tip: 0,
      corrected: false,
      replaced: -1,
      residual: new Float64Array(dim),
      delta: new Float64Array(0),
    };
    this.random = {
      uniform: (node) => this.#key(node, Purpose.accept).uniform(),
      normals: (node, out) => this.#key(node, Purpose.residual).normals(out),
    };
    this.anchor = { step: 0, state: new Float64Array(dim), output: new Float64Array(dim) };
    this.path = keep.paths ? new Float64Array((steps + 1) * dim) : undefined;
    this.logDensity = keep.logDensity ? new Float64Array(steps) : undefined;
    this.reserve(1);
  }

  /** Makes room for a window of this length; what is kept from the one before stays. Views from before are no longer of this slot. */
  reserve(length: number): void {
    const { window, verdict, dim } = this;
    if (length <= window.sigma.length) return;
    const room = Math.max(length, 2 * window.sigma.length);
    const grown = <T extends Float64Array | Uint8Array>(old: T, size: number): T => {
      const array = new (old.constructor as new (size: number) => T)(size);
      array.set(old);
      return array;
    };
    window.parent = Int32Array.from({ length: room + 1 }, (_, node) => node - 1);
    window.states = grown(window.states, (room + 1) * dim);
    window.draftMeans = grown(window.draftMeans, room * dim);
    window.targetMeans = grown(window.targetMeans, room * dim);
    window.sigma = grown(window.sigma, room);
    verdict.delta = grown(verdict.delta, room);
    this.outputs = grown(this.outputs, (room + 1) * dim);
    this.known = grown(this.known, room + 1);
    this.guessed = grown(this.guessed, room);
    this.reach = grown(this.reach, room);
    this.#noise = grown(this.#noise, room * dim);
    this.#nodes = evaluations(window.states, this.outputs, dim);
    const refused = evaluations(new Float64Array((room + 1) * dim), new Float64Array((room + 1) * dim), dim);
    this.#refused.forEach(({ step, state, output }, node) => {
      refused[node]!.step = step;
      refused[node]!.state.set(state);
      refused[node]!.output.set(output);
    });
    this.#refused = refused;
    this.#refusedKnown = grown(this.#refusedKnown, room + 1);
  }

  /** Puts a trajectory at its first state. */
  start(
    trajectory: number,
    memory: unknown,
    initial: ((trajectory: number, out: Float64Array) => void) | undefined,
  ): void {
    this.trajectory = trajectory;
    this.step = 0;
    this.round = 0;
    this.calls = 0;
    this.memory = memory;
    this.drafting = false;
    this.hasAnchor = false;
    this.rootFirst = false;
    this.taught = false;
    this.known.fill(0);
    this.#keptNoise = 0;
    this.#refusedKnown.fill(0);
    const root = this.window.states.subarray(0, this.dim);
    if (initial) {
      initial(trajectory, root);
    } else {
      this.#key(0, Purpose.initial).normals(root);
      for (let i = 0; i < root.length; i++) root[i]! *= this.#chain.initialSigma;
    }
    this.path?.set(root, 0);
  }

  /** Draws child node + 1 from the guess (or the known output) at `node`: mean, then noise. */
  extend(node: number, output: Float64Array | Float32Array, from: number, isGuess: boolean): void {
    const { window, dim } = this;
    const k = this.step + node;
    const a = this.#chain.a[k]!;
    const b = this.#chain.b[k]!;
    const sigma = this.#chain.sigma[k]!;
    const { states, draftMeans } = window;
    const at = node * dim;
    const child = at + dim;
    window.sigma[node] = sigma;
    this.guessed[node] = isGuess ? 1 : 0;
    this.known[node + 1] = 0;
    for (let i = 0; i < dim; i++) draftMeans[at + i] = a * states[at + i]! + b * output[from + i]!;
    if (sigma === 0) {
      for (let i = 0; i < dim; i++) states[child + i] = draftMeans[at + i]!;
    } else {
      const noise = this.#noise;
      if (node >= this.#keptNoise) this.#key(node, Purpose.draft).normals(noise, at, dim);
      for (let i = 0; i < dim; i++) states[child + i] = draftMeans[at + i]! + sigma * noise[at + i]!;
    }
  }

  /**
   * Ends the window at `node`, where an output (of the target, or else the drafter) is not finite: plain sampling may never come
   * there. If it does, the node is the next root, and the error is real. Exact, as the cut depends on the states up to the node only.
   */
  cut(node: number, ofTarget: boolean): void {
    if (node > this.window.drafted) return;
    this.window.drafted = node;
    this.leafLost = ofTarget;
  }

  /** Means of the target out of every inner node; a known output that was used as it is gives the draft mean again. */
  targetMeans(): void {
    const { window, outputs, dim } = this;
    const { states, draftMeans, targetMeans } = window;
    for (let node = 0; node < window.drafted; node++) {
      const a = this.#chain.a[this.step + node]!;
      const b = this.#chain.b[this.step + node]!;
      const at = node * dim;
      if (this.guessed[node]) {
        for (let i = at; i < at + dim; i++) targetMeans[i] = a * states[i]! + b * outputs[i]!;
      } else {
        copy(draftMeans, at, targetMeans, at, dim);
      }
    }
  }

  /** A node of this window with its output; a view, overwritten by the next commit. */
  evaluation(node: number): Evaluation {
    const evaluation = this.#nodes[node]!;
    evaluation.step = this.step + node;
    return evaluation;
  }

  /** The refused node of the window before at the step of `node`, if its output is known; a view until the next commit. */
  refused(node: number): Evaluation | undefined {
    return this.#refusedKnown[node] ? this.#refused[node] : undefined;
  }

  anchorAt(node: number): void {
    const { step, state, output } = this.evaluation(node);
    this.anchor.step = step;
    this.anchor.state.set(state);
    this.anchor.output.set(output);
    this.hasAnchor = true;
  }

  /** Commits what the verdict says and carries over to the next window what the rule allows. */
  commit(carry: Carry): void {
    const { window, verdict, outputs, known, dim } = this;
    const { tip, corrected, replaced, residual } = verdict;
    const steps = tip + (corrected ? 1 : 0);
    for (let i = 1; i <= steps && (this.path || this.logDensity); i++) {
      const state = i <= tip ? window.states.subarray(i * dim, (i + 1) * dim) : residual;
      this.path?.set(state, (this.step + i) * dim);
      if (this.logDensity) this.logDensity[this.step + i - 1] = this.#logDensityOf(i - 1, state);
    }
    const rootKnown = !corrected && known[tip] === 1;
    this.hasAnchor = carry !== "none" && !rootKnown;
    if (this.hasAnchor) {
      if (corrected && carry !== "parent" && replaced >= 0 && known[replaced]) this.anchorAt(replaced);
      else this.anchorAt(corrected ? tip : tip - 1);
    }
    this.#keptNoise = 0;
    this.#refusedKnown.fill(0);
    if (carry === "window" && corrected) this.#keepFrom(steps);
    if (corrected) copy(residual, 0, window.states, 0, dim);
    else copy(window.states, tip * dim, window.states, 0, dim);
    if (rootKnown) copy(outputs, tip * dim, outputs, 0, dim);
    known[0] = rootKnown ? 1 : 0;
    this.step += steps;
    this.round++;
    this.drafting = false;
  }

  /** Keeps the refused nodes from `first` on, and the noise out of them, for the window that starts there. */
  #keepFrom(first: number): void {
    const { drafted } = this.window;
    this.#keptNoise = drafted - first;
    this.#noise.copyWithin(0, first * this.dim, drafted * this.dim);
    for (let node = first; node <= drafted; node++) {
      const { step, state, output } = this.evaluation(node);
      const kept = this.#refused[node - first]!;
      kept.step = step;
      kept.state.set(state);
      kept.output.set(output);
      this.#refusedKnown[node - first] = this.known[node]!;
    }
  }

  /** ln N(state; targetMean, sigma^2 I) out of `node`; NaN where sigma = 0 and there is no density. */
  #logDensityOf(node: number, state: Float64Array): number {
    const sigma = this.window.sigma[node]!;
    if (sigma === 0) return Number.NaN;
    let squares = 0;
    for (let i = 0; i < this.dim; i++) squares += (state[i]! - this.window.targetMeans[node * this.dim + i]!) ** 2;
    return -squares / (2 * sigma * sigma) - this.dim * Math.log(sigma * Math.sqrt(2 * Math.PI));
  }

  #key(node: number, purpose: number): RandomStream {
    return this.#random.key(this.trajectory, this.round, this.step + node, purpose);
  }
}

function evaluations(states: Float64Array, outputs: Float64Array, dim: number) {
  return Array.from({ length: states.length / dim }, (_, node) => ({
    step: 0,
    state: states.subarray(node * dim, (node + 1) * dim),
    output: outputs.subarray(node * dim, (node + 1) * dim),
  }));
}
