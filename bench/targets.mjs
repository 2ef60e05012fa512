// @ts-check
// The targets of the benchmarks, each pinned: grid, parameterisation, end points.
import { readFileSync } from "node:fs";
import { RandomStream } from "speculative-diffusion";
import { interpolant, reverseSde, timeGrid } from "speculative-diffusion/schedules";
import { mixtureModel } from "./mixture-model.mjs";

/**
 * The Gaussian mixture of arXiv 2609.17691's code, at its published setting: d = 512, 28 steps, eps = 0.06. Chain: T = 30,
 * t = linspace(1000, 1, 30) / 1000, then 0; linear interpolant, Euler-Maruyama with churn; the deterministic first and last step
 * are left out, so 28 remain and Y_0 ~ N(0, I). Means (5 x 512) and standard deviations (5) of numpy's default_rng(20260714),
 * means uniform in (-2, 2) drawn first.
 */
export function referenceMixture() {
  const times = Array.from({ length: 29 }, (_, k) => (1000 + ((k + 1) * (1 - 1000)) / 29) / 1000);
  const { chain } = reverseSde(interpolant(times), { prediction: "sample", churn: 0.06 });
  /** @type {{ means: number[][], sds: number[] }} */
  const { means, sds } = JSON.parse(readFileSync(new URL("mixture.json", import.meta.url), "utf8"));
  const components = means.map((mean, c) => ({ weight: 1 / 5, mean, sd: sds[c] ?? Number.NaN }));
  return { chain, model: mixtureModel(chain, components), dim: 512, steps: 28 };
}

/**
 * Chain: linear interpolant, t = linspace(0.99, 0.01, 101), Euler-Maruyama, churn 1, Y_0 ~ N(0, I). Four isotropic components
 * with weights .4 .3 .2 .1, means 2 N(0, I) and standard deviations uniform in (.2, .5), drawn once per dimension.
 * @param {number} dim
 */
export function smallMixture(dim) {
  const random = new RandomStream(5);
  const components = [0.4, 0.3, 0.2, 0.1].map((weight, c) => {
    const mean = new Float64Array(dim);
    random.key(c, dim, 0, 0).normals(mean);
    return { weight, mean: mean.map((x) => 2 * x), sd: 0.2 + 0.3 * random.uniform() };
  });
  const { chain } = reverseSde(interpolant(timeGrid({ steps: 100, start: 0.99, end: 0.01 })), {
    prediction: "sample",
    churn: 1,
  });
  return { chain, model: mixtureModel(chain, components), dim, steps: 100 };
}
