/**
 * One drafted window of a trajectory, with the target evaluated at every inner node. Node 0 is the committed root; node
 * j >= 1 was drawn from N(draftMean[parent[j]], sigma[parent[j]]^2 I). A chain of drafts has parent[j] = j - 1. Vectors of
 * node i lie at [i*dim .. (i+1)*dim - 1]. Children of one node are independent draws, in drafting order.
 */
export interface Window {
  readonly dim: number;
  /** Drafted nodes; nodes are 0 .. drafted. */
  readonly drafted: number;
  readonly parent: Int32Array;
  readonly states: Float64Array;
  /** Means of the transition out of each inner node, under draft and target. */
  readonly draftMeans: Float64Array;
  readonly targetMeans: Float64Array;
  /** Standard deviation of the transition out of each inner node. */
  readonly sigma: Float64Array;
}

/** The decision's own randomness: independent of the draft noise and of each other for different nodes. */
export interface VerifierRandom {
  /** Uniform in [0, 1), one number per node; that of node 0, which is never in doubt, serves the residual. */
  uniform(node: number): number;
  /** Fills `out` with N(0, 1): for the transition out of `node`. */
  normals(node: number, out: Float64Array): void;
}

/** Filled by the verifier: what to commit, and what it measured on the way. */
export interface Verdict {
  /** The last accepted node; the path root .. tip is committed. 0 if none was accepted. */
  tip: number;
  /** Whether one more state, in `residual`, is committed after the tip. False only if the tip is a leaf. */
  corrected: boolean;
  /** The drafted child of the tip that the residual replaces (it is near it), or -1. */
  replaced: number;
  readonly residual: Float64Array;
  /** delta = |targetMean - draftMean| / sigma out of each node the verifier looked at, NaN elsewhere; Infinity or 0 if sigma = 0. */
  readonly delta: Float64Array;
}

/**
 * Decides over one window so that every committed state, and the residual after them, is an exact draw from the target
 * chain: whatever the draft means, the committed path has the law of plain sampling.
 */
export interface Verifier {
  readonly name: string;
  /**
   * Whether levels are decided one after the other, so that a refusal has looked at nothing behind the refused draft: the noise
   * there is as good as new. Carry "window" asks for it. Default false.
   */
  readonly sequential?: boolean;
  verify(window: Window, random: VerifierRandom, verdict: Verdict): void;
}
