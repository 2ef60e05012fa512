import type { Window } from "../core/verifier.js";

/** What a coupling needs to know about one drafted transition, in units of its standard deviation. */
export interface Comparison {
  /** |m_target - m_draft| / sigma */
  delta: number;
  /** S: the draft noise along m_target - m_draft, N(0,1) under the draft; 0 if the means are equal. */
  along: number;
}

/** Compares the means out of `parent` and projects the draft at `child` on their difference. For sigma > 0. */
export function compare(window: Window, parent: number, child: number, result: Comparison): void {
  const { dim, states, draftMeans, targetMeans } = window;
  const means = parent * dim;
  const state = child * dim;
  const sigma = window.sigma[parent]!;
  let squares = 0;
  let product = 0;
  for (let i = 0; i < dim; i++) {
    const draftMean = draftMeans[means + i]!;
    const difference = targetMeans[means + i]! - draftMean;
    squares += difference * difference;
    product += difference * (states[state + i]! - draftMean);
  }
  const distance = Math.sqrt(squares);
  result.delta = distance / sigma;
  result.along = distance > 0 ? product / (sigma * distance) : 0;
}

/** Whether the means out of `parent` are the same numbers: what a deterministic step asks of a draft. */
export function sameMeans(window: Window, parent: number): boolean {
  const { dim, draftMeans, targetMeans } = window;
  for (let i = parent * dim; i < (parent + 1) * dim; i++) if (draftMeans[i] !== targetMeans[i]) return false;
  return true;
}
