import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import { RandomStream } from "../core/random.js";
import { drawMixture } from "./mixture.js";

/** An unnormalised density exp(-U), known by the gradient of U. */
export interface Density {
  readonly dim: number;
  /** Writes grad U(x) of the state at x[from .. from + dim - 1] to the same place of `out`. */
  gradient(x: Float64Array, from: number, out: Float64Array): void;
  potential(x: Float64Array): number;
}

/** A family of densities in any dimension, with a step size at which unadjusted Langevin is stable and not lazy. */
export interface DensityFamily {
  readonly name: string;
  readonly stepSize: number;
  make(dim: number, seed: number): Density;
}

/** U = sum_i (x_i^2 - 1)^2 + 0.3 x_i: two wells of unequal depth in every coordinate. */
const doubleWell: DensityFamily = {
  name: "double well",
  stepSize: 0.01,
  make: (dim) => ({
    dim,
    potential: (x) => x.reduce((sum, value) => sum + (value * value - 1) ** 2 + 0.3 * value, 0),
    gradient(x, from, out) {
      for (let i = from; i < from + dim; i++) out[i] = 4 * x[i]! * (x[i]! * x[i]! - 1) + 0.3;
    },
  }),
};

/** U = x_0^2 / 8 + (x_1 + 0.4 (x_0^2 - 4))^2 / 2 + x_2^2 / 2 + .. : a bent ridge. */
const banana: DensityFamily = {
  name: "banana",
  stepSize: 0.02,
  make: (dim) => ({
    dim,
    potential: (x) =>
      x[0]! ** 2 / 8 + (x[1]! + 0.4 * (x[0]! ** 2 - 4)) ** 2 / 2 + x.slice(2).reduce((sum, v) => sum + v * v, 0) / 2,
    gradient(x, from, out) {
      const bent = x[from + 1]! + 0.4 * (x[from]! ** 2 - 4);
      for (let i = from + 2; i < from + dim; i++) out[i] = x[i]!;
      out[from] = x[from]! / 4 + 0.8 * x[from]! * bent;
      out[from + 1] = bent;
    },
  }),
};

/** The asymmetric mixture of the study of mixtures, half as wide. */
const mixture: DensityFamily = {
  name: "mixture",
  stepSize: 0.01,
  make(dim, seed) {
    const { weights, means, sds } = drawMixture(dim, 4, seed);
    const centres = means.map((m) => m / 2);
    const logs = new Float64Array(weights.length);
    const logDensities = (x: Float64Array, from: number) => {
      for (let c = 0; c < weights.length; c++) {
        let squares = 0;
        for (let i = 0; i < dim; i++) squares += (x[from + i]! - centres[c * dim + i]!) ** 2;
        logs[c] = Math.log(weights[c]!) - dim * Math.log(sds[c]!) - squares / (2 * sds[c]! ** 2);
      }
      return Math.max(...logs);
    };
    return {
      dim,
      potential(x) {
        const top = logDensities(x, 0);
        return -top - Math.log(logs.reduce((sum, log) => sum + Math.exp(log - top), 0));
      },
      gradient(x, from, out) {
        const top = logDensities(x, from);
        const total = logs.reduce((sum, log) => sum + Math.exp(log - top), 0);
        out.fill(0, from, from + dim);
        for (let c = 0; c < weights.length; c++) {
          const share = Math.exp(logs[c]! - top) / total / sds[c]! ** 2;
          for (let i = 0; i < dim; i++) out[from + i]! += share * (x[from + i]! - centres[c * dim + i]!);
        }
      },
    };
  },
};

/** The posterior of a logistic regression under N(0, I): 100 generated rows of correlated features. */
const logistic: DensityFamily = {
  name: "logistic regression",
  stepSize: 0.01,
  make(dim, seed) {
    const rows = 100;
    const random = new RandomStream(seed);
    const features = new Float64Array(rows * dim);
    random.key(0, dim, 2, 0).normals(features);
    for (let n = 0; n < rows; n++) {
      for (let i = 1; i < dim; i++)
        features[n * dim + i] = 0.5 * features[n * dim + i - 1]! + 0.8 * features[n * dim + i]!;
    }
    const truth = new Float64Array(dim);
    random.key(1, dim, 2, 0).normals(truth);
    const logit = (x: Float64Array, from: number, n: number) => {
      let sum = 0;
      for (let i = 0; i < dim; i++) sum += features[n * dim + i]! * x[from + i]!;
      return sum;
    };
    random.key(2, dim, 2, 0);
    const labels = Float64Array.from({ length: rows }, (_, n) =>
      random.uniform() < 1 / (1 + Math.exp(-logit(truth, 0, n))) ? 1 : 0,
    );
    return {
      dim,
      potential(x) {
        let sum = x.reduce((squares, value) => squares + value * value, 0) / 2;
        for (let n = 0; n < rows; n++) {
          const z = logit(x, 0, n);
          sum += Math.log1p(Math.exp(-Math.abs(z))) + Math.max(z, 0) - labels[n]! * z;
        }
        return sum;
      },
      gradient(x, from, out) {
        for (let i = from; i < from + dim; i++) out[i] = x[i]!;
        for (let n = 0; n < rows; n++) {
          const residual = 1 / (1 + Math.exp(-logit(x, from, n))) - labels[n]!;
          for (let i = 0; i < dim; i++) out[from + i]! += residual * features[n * dim + i]!;
        }
      },
    };
  },
};

export const densities: readonly DensityFamily[] = [doubleWell, banana, mixture, logistic];

/**
 * A density of the user's own: a module that exports `dim`, `potential(x)`, `gradient(x)` and, if it likes, `stepSize`
 * (default 0.01). The gradient is compared with the potential at a few points.
 * @throws SpecdiffError("file") or ("bad-argument") saying what is missing or wrong
 */
export async function loadDensity(file: string): Promise<DensityFamily> {
  let module: Record<string, unknown>;
  try {
    module = await import(pathToFileURL(resolve(file)).href);
  } catch (cause) {
    throw new SpecdiffError("file", `cannot load the density ${file}: ${(cause as Error).message}`, { cause });
  }
  const { dim, potential, gradient, stepSize = 0.01 } = module;
  if (
    !(Number.isSafeInteger(dim) && (dim as number) > 0) ||
    typeof potential !== "function" ||
    typeof gradient !== "function" ||
    typeof stepSize !== "number" ||
    !(stepSize > 0)
  ) {
    throw new SpecdiffError(
      "bad-argument",
      `${file} must export dim (a whole number), potential(x) (a number: -ln density, up to a constant), gradient(x) (dim numbers) and may export stepSize (a number above 0)`,
    );
  }
  const size = dim as number;
  const density: Density = {
    dim: size,
    potential: (x) => Number(potential(x)),
    gradient(x, from, out) {
      out.set(gradient(x.subarray(from, from + size)) as ArrayLike<number>, from);
    },
  };
  checkGradient(density, file);
  return { name: file, stepSize, make: () => density };
}

/** @throws SpecdiffError("bad-argument") naming the first coordinate whose derivative is not that of the potential */
export function checkGradient(density: Density, name: string): void {
  const { dim } = density;
  const x = new Float64Array(dim);
  const out = new Float64Array(dim);
  for (let trial = 0; trial < 3; trial++) {
    new RandomStream(trial).normals(x);
    density.gradient(x, 0, out);
    for (let i = 0; i < dim; i++) {
      const h = 1e-5;
      const at = (shift: number) => density.potential(x.map((value, j) => (j === i ? value + shift : value)));
      const slope = (at(h) - at(-h)) / (2 * h);
      if (!(Math.abs(out[i]! - slope) <= 1e-4 * (1 + Math.abs(slope)))) {
        throw new SpecdiffError(
          "bad-argument",
          `${name}: gradient[${i}] is ${out[i]} where the potential rises by ${slope.toPrecision(6)}; gradient must be that of the potential`,
        );
      }
    }
  }
}
