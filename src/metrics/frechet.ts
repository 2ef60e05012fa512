import { CholeskyDecomposition, EigenvalueDecomposition, Matrix } from "ml-matrix";
import { SpecdiffError } from "../core/errors.js";

/** Mean and covariance of features. */
export interface GaussianStatistics {
  readonly mean: Float64Array;
  /** dim x dim, row by row. */
  readonly covariance: Float64Array;
}

/**
 * Mean and covariance (divided by count - 1, as numpy.cov) of points.
 * @param points count x dim
 * @throws SpecdiffError("bad-argument") for fewer than two points
 */
export function gaussianStatistics(points: Float64Array, dim: number): GaussianStatistics {
  const count = points.length / dim;
  if (!(count >= 2)) {
    throw new SpecdiffError("bad-argument", `a covariance needs at least two points; there are ${count}`);
  }
  const mean = new Float64Array(dim);
  for (let n = 0; n < count; n++) for (let i = 0; i < dim; i++) mean[i]! += points[n * dim + i]! / count;
  const covariance = new Float64Array(dim * dim);
  const centred = new Float64Array(dim);
  for (let n = 0; n < count; n++) {
    for (let i = 0; i < dim; i++) centred[i] = points[n * dim + i]! - mean[i]!;
    for (let i = 0; i < dim; i++) {
      const own = centred[i]! / (count - 1);
      for (let j = 0; j <= i; j++) covariance[i * dim + j]! += own * centred[j]!;
    }
  }
  for (let i = 0; i < dim; i++) for (let j = 0; j < i; j++) covariance[j * dim + i] = covariance[i * dim + j]!;
  return { mean, covariance };
}

/**
 * The Fréchet (Wasserstein-2) distance of two Gaussians, squared, as FID is given:
 *
 *     |mean_1 - mean_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1 C_2)^(1/2)
 *
 * With any factor C_2 = L L^T the last trace is the sum of the roots of the eigenvalues of the symmetric L^T C_1 L, which is
 * stable for singular covariances too (fewer images than features).
 *
 * @throws SpecdiffError("bad-argument") if the dimensions differ or an entry is not finite
 */
export function frechetDistance(first: GaussianStatistics, second: GaussianStatistics): number {
  const dim = first.mean.length;
  if (second.mean.length !== dim) {
    throw new SpecdiffError(
      "bad-argument",
      `the features have ${dim} and ${second.mean.length} dimensions; both sides must come from the same network`,
    );
  }
  for (const { mean, covariance } of [first, second]) {
    if (covariance.length !== dim * dim || !mean.every(Number.isFinite) || !covariance.every(Number.isFinite)) {
      throw new SpecdiffError(
        "bad-argument",
        `a mean of ${dim} and a covariance of ${dim} x ${dim} finite numbers are needed`,
      );
    }
  }
  let distance = 0;
  for (let i = 0; i < dim; i++) {
    distance += (first.mean[i]! - second.mean[i]!) ** 2;
    distance += first.covariance[i * dim + i]! + second.covariance[i * dim + i]!;
  }
  const factor = factorOf(second.covariance, dim);
  const product = factor
    .transpose()
    .mmul(Matrix.from1DArray(dim, dim, first.covariance))
    .mmul(factor);
  for (const value of new EigenvalueDecomposition(product, { assumeSymmetric: true }).realEigenvalues) {
    distance -= 2 * Math.sqrt(Math.max(0, value));
  }
  return Math.max(0, distance);
}

/** L with C = L L^T: Cholesky's where C is positive definite, else from its eigenvectors. */
function factorOf(covariance: Float64Array, dim: number): Matrix {
  const matrix = Matrix.from1DArray(dim, dim, covariance);
  const cholesky = new CholeskyDecomposition(matrix);
  if (cholesky.isPositiveDefinite()) return cholesky.lowerTriangularMatrix;
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(matrix, { assumeSymmetric: true });
  return eigenvectorMatrix.mulRowVector(realEigenvalues.map((value) => Math.sqrt(Math.max(0, value))));
}
