import type { Verdict, Verifier, VerifierRandom, Window } from "../core/verifier.js";
import { type Comparison, compare, sameMeans } from "./compare.js";

/**
 * Level by level, the reflection maximal coupling of N(m_draft, sigma^2 I) and N(m_target, sigma^2 I) (De Bortoli et al.
 * 2025, Algorithm 4): a draft is kept with probability 2 Phi(-delta/2), the most any coupling can; the first one that is
 * not kept is reflected at the plane between the means, which leaves its part across their difference untouched.
 */
export const reflection: Verifier = {
  name: "reflection",
  sequential: true,
  verify(window, random, verdict) {
    const found: Comparison = { delta: 0, along: 0 };
    verdict.corrected = false;
    verdict.replaced = -1;
    for (let node = 0; node < window.drafted; node++) {
      verdict.tip = node;
      if (!keep(window, node, random, found, verdict)) {
        verdict.corrected = true;
        verdict.replaced = node + 1;
        return;
      }
    }
    verdict.tip = window.drafted;
  },
};

/** Keeps the draft after `node`, or writes what is committed in its place. */
function keep(window: Window, node: number, random: VerifierRandom, found: Comparison, verdict: Verdict): boolean {
  const { dim, states, draftMeans, targetMeans } = window;
  const { residual } = verdict;
  const mean = node * dim;
  if (window.sigma[node] === 0) {
    const same = sameMeans(window, node);
    verdict.delta[node] = same ? 0 : Number.POSITIVE_INFINITY;
    if (!same) residual.set(targetMeans.subarray(mean, mean + dim));
    return same;
  }
  compare(window, node, node + 1, found);
  const { delta, along } = found;
  verdict.delta[node] = delta;
  if (Math.log(1 - random.uniform(node + 1)) <= delta * (along - delta / 2)) return true;
  // Reflected: the coordinate S along the difference becomes delta - S, seen from the draft mean.
  const shift = (delta - 2 * along) / delta;
  const child = mean + dim;
  for (let i = 0; i < dim; i++) {
    residual[i] = states[child + i]! + shift * (targetMeans[mean + i]! - draftMeans[mean + i]!);
  }
  return false;
}
