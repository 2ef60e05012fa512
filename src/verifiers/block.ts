import type { Verifier, Window } from "../core/verifier.js";
import { type Comparison, compare, sameMeans } from "./compare.js";
import { mills, upperTail } from "./normal.js";

/** Below this the two means are the same for every purpose: their laws differ by less than 4e-9 in total variation. */
const SAME = 1e-8;
const ROOT = Math.sqrt(2 * Math.PI);

/**
 * Block verification (Sun et al. 2024, arXiv 2403.10444, for language models; Soen et al. 2026, arXiv 2606.13426, for
 * diffusions): all levels of a window are weighed together, and a late draft may be kept although an earlier one, taken
 * alone, would have been refused. Never keeps fewer steps on average than deciding level by level.
 *
 * With the density ratios r_i = exp(delta_i (S_i - delta_i / 2)) of the levels and a_i = min(1, a_{i-1} r_i), a_0 = 1,
 * the window is kept up to the last i with eta_i < h_i, which makes P(kept >= i | drafts 1 .. i) = a_i. What follows has
 * density (a q - p)_+ along the difference of the means and keeps the rejected draft's own part across it.
 */
export const block: Verifier = {
  name: "block",
  verify(window, random, verdict) {
    const { drafted } = window;
    const { delta } = verdict;
    const along = new Float64Array(drafted);
    const logA = new Float64Array(drafted + 1);
    const found: Comparison = { delta: 0, along: 0 };
    for (let node = 0; node < drafted; node++) {
      let logRatio: number;
      if (window.sigma[node] === 0) {
        delta[node] = sameMeans(window, node) ? 0 : Number.POSITIVE_INFINITY;
        logRatio = -delta[node]!;
      } else {
        compare(window, node, node + 1, found);
        delta[node] = found.delta;
        along[node] = found.along;
        logRatio = found.delta <= SAME ? 0 : found.delta * (found.along - found.delta / 2);
      }
      logA[node + 1] = Math.min(0, logA[node]! + logRatio);
    }

    let tip = drafted;
    while (tip > 0 && !(random.uniform(tip) < keepProbability(logA[tip]!, delta[tip]))) tip--;
    verdict.tip = tip;
    verdict.corrected = tip < drafted;
    verdict.replaced = verdict.corrected ? tip + 1 : -1;
    if (!verdict.corrected) return;
    const shift =
      window.sigma[tip] === 0 ? undefined : residualAlong(logA[tip]!, delta[tip]!, random.uniform(0)) - along[tip]!;
    writeResidual(window, tip, shift, delta[tip]!, verdict.residual);
  },
};

/** h_i from ln a_i and the delta of the next level, undefined at the last one. */
function keepProbability(logA: number, nextDelta: number | undefined): number {
  if (nextDelta === undefined) return Math.exp(logA);
  if (logA === 0) return 1;
  const residual = residualMass(logA, nextDelta);
  return residual / (residual - Math.expm1(logA));
}

/** Res(a, d): the integral of (a phi(s - d) - phi(s))_+, which begins at s = t = d/2 - ln(a)/d. */
function residualMass(logA: number, d: number): number {
  if (d <= SAME) return 0;
  if (d === Number.POSITIVE_INFINITY) return Math.exp(logA);
  const { start, tail, logUnit } = residualOf(logA, d);
  return Math.exp(logUnit) * tail(start);
}

/** A draw from the density proportional to (a phi(s - d) - phi(s))_+, by bisection of its tail. */
function residualAlong(logA: number, d: number, uniform: number): number {
  const { start, tail } = residualOf(logA, d);
  const target = (1 - uniform) * tail(start);
  let low = start;
  let high = Math.max(start, d) + 12;
  for (let i = 0; i < 64 && high - low > 1e-13 * high; i++) {
    const middle = (low + high) / 2;
    if (tail(middle) > target) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/**
 * Where the residual begins, and the integral of (a phi(u - d) - phi(u)) over u > s for s >= start, in a unit in which it
 * neither overflows nor vanishes: a itself where the bulk of the target lies inside, else phi(start) = a phi(start - d). Of tails
 * the difference is taken between Mills ratios, so that it keeps its digits where both are nearly equal (small d) or tiny.
 */
function residualOf(logA: number, d: number): { start: number; tail: (s: number) => number; logUnit: number } {
  const start = d / 2 - logA / d;
  if (start < d - 1) {
    const tail = (s: number) => upperTail(s - d) - Math.exp(-logA - (s * s) / 2) * (mills(s) / ROOT);
    return { start, tail, logUnit: logA };
  }
  const tail = (s: number) => {
    const beyond = s - start;
    const sum = (start + s) / 2;
    return d < 0.5
      ? Math.exp(-beyond * sum) * (Math.exp(d * beyond) * mills(s - d) - mills(s))
      : Math.exp(beyond * (d - sum)) * mills(s - d) - Math.exp(-beyond * sum) * mills(s);
  };
  return { start, tail, logUnit: (-start * start) / 2 - Math.log(ROOT) };
}

/** The rejected draft moved by `shift` standard deviations along the difference of the means; without one, the target's mean. */
function writeResidual(
  window: Window,
  tip: number,
  shift: number | undefined,
  delta: number,
  residual: Float64Array,
): void {
  const { dim, states, draftMeans, targetMeans } = window;
  const mean = tip * dim;
  const child = mean + dim;
  for (let i = 0; i < dim; i++) {
    const target = targetMeans[mean + i]!;
    residual[i] =
      shift === undefined ? target : states[child + i]! + (shift / delta) * (target - draftMeans[mean + i]!);
  }
}
