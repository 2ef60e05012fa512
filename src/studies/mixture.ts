import type { Chain } from "../core/chain.js";
import { SpecdiffError } from "../core/errors.js";
import type { Model } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { numpyRandom } from "./numpy-random.js";

/** A mixture of isotropic Gaussians. */
export interface Mixture {
  readonly dim: number;
  /** Sum to 1. */
  readonly weights: Float64Array;
  /** components x dim */
  readonly means: Float64Array;
  readonly sds: Float64Array;
}

/** Asymmetric: weights fall like 1, 3/4, 9/16, .., means are 2 N(0, I), standard deviations uniform in (.2, .5). */
export function drawMixture(dim: number, components: number, seed: number): Mixture {
  const random = new RandomStream(seed);
  const weights = Float64Array.from({ length: components }, (_, c) => 0.75 ** c);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const means = new Float64Array(components * dim);
  const sds = new Float64Array(components);
  for (let c = 0; c < components; c++) {
    random.key(c, dim, 0, 0).normals(means, c * dim, dim);
    sds[c] = 0.2 + 0.3 * random.uniform();
  }
  return { dim, weights: weights.map((weight) => weight / total), means: means.map((x) => 2 * x), sds };
}

/**
 * The mixture of arXiv 2609.17691's code: 512 dimensions, 5 components of equal weight, means uniform in (-2, 2) and
 * standard deviations in (.10, .25), by numpy's default_rng(20260714), means first.
 */
export function referenceMixture(): Mixture {
  const random = numpyRandom(20260714);
  const means = Float64Array.from({ length: 5 * 512 }, () => -2 + 4 * random());
  const sds = Float64Array.from({ length: 5 }, () => 0.1 + 0.15 * random());
  return { dim: 512, weights: new Float64Array(5).fill(0.2), means, sds };
}

/**
 * A model of the mixture that is wrong by a knob: each mean is moved by error x sd in a random direction, standard deviations
 * are scaled by exp(error N(0, 1)), log-weights moved by error N(0, 1). Error 0 is the mixture itself.
 */
export function imperfect(mixture: Mixture, error: number, seed: number): Mixture {
  const { dim, weights, means, sds } = mixture;
  const random = new RandomStream(seed);
  const direction = new Float64Array(dim);
  const two = new Float64Array(2);
  const moved = means.slice();
  const scaled = sds.slice();
  const tilted = weights.slice();
  for (let c = 0; c < sds.length; c++) {
    random.key(c, dim, 1, 0).normals(direction);
    const length = Math.hypot(...direction);
    for (let i = 0; i < dim; i++) moved[c * dim + i]! += (error * sds[c]! * direction[i]!) / length;
    random.normals(two);
    scaled[c]! *= Math.exp(error * two[0]!);
    tilted[c]! *= Math.exp(error * two[1]!);
  }
  const total = tilted.reduce((sum, weight) => sum + weight, 0);
  return { dim, means: moved, sds: scaled, weights: tilted.map((weight) => weight / total) };
}

/** A cheaper model: the two components nearest to each other are merged, moments kept, until so many are left. */
export function coarse(mixture: Mixture, components: number): Mixture {
  const { dim } = mixture;
  let parts = Array.from(mixture.weights, (weight, c) => ({
    weight,
    mean: mixture.means.slice(c * dim, (c + 1) * dim),
    variance: mixture.sds[c]! ** 2,
  }));
  while (parts.length > components) {
    let best: { i: number; j: number; squares: number } = { i: 0, j: 1, squares: Number.POSITIVE_INFINITY };
    for (let i = 0; i < parts.length; i++) {
      for (let j = i + 1; j < parts.length; j++) {
        const other = parts[j]!.mean;
        const squares = parts[i]!.mean.reduce((sum, x, k) => sum + (x - other[k]!) ** 2, 0);
        if (squares < best.squares) best = { i, j, squares };
      }
    }
    const { i, j, squares } = best;
    const [a, b] = [parts[i]!, parts[j]!];
    const weight = a.weight + b.weight;
    const share = a.weight / weight;
    const merged = {
      weight,
      mean: a.mean.map((x, k) => share * x + (1 - share) * b.mean[k]!),
      variance: share * a.variance + (1 - share) * b.variance + (share * (1 - share) * squares) / dim,
    };
    parts = [...parts.filter((_, c) => c !== i && c !== j), merged];
  }
  return {
    dim,
    weights: Float64Array.from(parts, ({ weight }) => weight),
    means: Float64Array.from(parts.flatMap(({ mean }) => [...mean])),
    sds: Float64Array.from(parts, ({ variance }) => Math.sqrt(variance)),
  };
}

/** Writes draw n of the mixture; the same n gives the same draw. */
export function mixtureSampler(
  { dim, weights, means, sds }: Mixture,
  seed: number,
): (n: number, out: Float64Array, from?: number) => void {
  const random = new RandomStream(seed);
  return (n, out, from = 0) => {
    let left = random.key(n, 0, 0, 0).uniform();
    let c = 0;
    while (c < weights.length - 1 && left >= weights[c]!) left -= weights[c++]!;
    random.normals(out, from, dim);
    for (let i = 0; i < dim; i++) out[from + i] = means[c * dim + i]! + sds[c]! * out[from + i]!;
  };
}

/** count x dim independent draws. */
export function sampleMixture(mixture: Mixture, count: number, seed: number): Float64Array {
  const out = new Float64Array(count * mixture.dim);
  const draw = mixtureSampler(mixture, seed);
  for (let n = 0; n < count; n++) draw(n, out, n * mixture.dim);
  return out;
}

/**
 * E[x0 | x] of the mixture in closed form: sum_c share_c [m_c + gain_c (x - alpha m_c)], gain_c = alpha sd_c^2 / (alpha^2
 * sd_c^2 + noise^2), where share_c is the posterior weight of component c.
 * @param chain with levels
 */
export function mixtureModel(chain: Chain, { dim, weights, means, sds }: Mixture): Model {
  const { levels } = chain;
  if (!levels) throw new SpecdiffError("bad-argument", "a mixture's denoiser needs the levels of the chain");
  const components = weights.length;
  const steps = chain.sigma.length;
  // By step and component: the constant of the log-density, half the precision, and the gain.
  const constant = new Float64Array(steps * components);
  const half = new Float64Array(steps * components);
  const gain = new Float64Array(steps * components);
  for (let k = 0; k < steps; k++) {
    for (let c = 0; c < components; c++) {
      const variance = (levels.alpha[k]! * sds[c]!) ** 2 + levels.noise[k]! ** 2;
      constant[k * components + c] = Math.log(weights[c]!) - (dim / 2) * Math.log(variance);
      half[k * components + c] = 1 / (2 * variance);
      gain[k * components + c] = (levels.alpha[k]! * sds[c]! ** 2) / variance;
    }
  }
  const share = new Float64Array(components);
  let out = new Float64Array(0);
  return {
    dim,
    evaluate({ count, step, states }) {
      if (out.length < count * dim) out = new Float64Array(count * dim);
      for (let row = 0; row < count; row++) {
        const from = row * dim;
        const at = step[row]! * components;
        const alpha = levels.alpha[step[row]!]!;
        let top = Number.NEGATIVE_INFINITY;
        for (let c = 0; c < components; c++) {
          // Four sums side by side: in one, each addition waits for the last.
          let s0 = 0;
          let s1 = 0;
          let s2 = 0;
          let s3 = 0;
          let i = from;
          let m = c * dim;
          for (; i < from + dim - 3; i += 4, m += 4) {
            const d0 = states[i]! - alpha * means[m]!;
            const d1 = states[i + 1]! - alpha * means[m + 1]!;
            const d2 = states[i + 2]! - alpha * means[m + 2]!;
            const d3 = states[i + 3]! - alpha * means[m + 3]!;
            s0 += d0 * d0;
            s1 += d1 * d1;
            s2 += d2 * d2;
            s3 += d3 * d3;
          }
          for (; i < from + dim; i++, m++) {
            const d0 = states[i]! - alpha * means[m]!;
            s0 += d0 * d0;
          }
          const log = constant[at + c]! - half[at + c]! * (s0 + s1 + s2 + s3);
          share[c] = log;
          if (log > top) top = log;
        }
        let total = 0;
        for (let c = 0; c < components; c++) {
          share[c] = Math.exp(share[c]! - top);
          total += share[c]!;
        }
        let ofState = 0;
        for (let c = 0; c < components; c++) ofState += (share[c]! / total) * gain[at + c]!;
        for (let i = 0; i < dim; i++) out[from + i] = ofState * states[from + i]!;
        for (let c = 0; c < components; c++) {
          const ofMean = (share[c]! / total) * (1 - gain[at + c]! * alpha);
          if (ofMean < 1e-20) continue;
          for (let i = 0, m = c * dim; i < dim; i++, m++) out[from + i]! += ofMean * means[m]!;
        }
      }
      return out;
    },
  };
}
