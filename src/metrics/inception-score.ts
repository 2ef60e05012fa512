import { SpecdiffError } from "../core/errors.js";

/**
 * Inception Score (Salimans et al. 2016): exp of the mean Kullback-Leibler divergence of p(class | image) from their mean.
 * From 1 (all images the same to the classifier) to the number of classes.
 * @param logits count x classes, before the softmax
 */
export function inceptionScore(logits: Float64Array, classes: number): number {
  const count = logits.length / classes;
  if (!Number.isInteger(count) || count === 0) {
    throw new SpecdiffError(
      "bad-argument",
      `${logits.length} logits are no whole number of images with ${classes} classes`,
    );
  }
  const logP = new Float64Array(logits.length);
  const mean = new Float64Array(classes);
  for (let n = 0; n < count; n++) {
    const own = logits.subarray(n * classes, (n + 1) * classes);
    const top = own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const logTotal = top + Math.log(own.reduce((sum, value) => sum + Math.exp(value - top), 0));
    for (let c = 0; c < classes; c++) {
      logP[n * classes + c] = own[c]! - logTotal;
      mean[c]! += Math.exp(own[c]! - logTotal) / count;
    }
  }
  let divergence = 0;
  for (let i = 0; i < logP.length; i++) {
    const p = Math.exp(logP[i]!);
    if (p > 0) divergence += (p * (logP[i]! - Math.log(mean[i % classes]!))) / count;
  }
  return Math.exp(divergence);
}
