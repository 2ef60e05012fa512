// @ts-check
// A density of your own for `specdiff study langevin --density examples/my-density.mjs`: exp(-U) in three dimensions, a funnel
// whose width depends on its first coordinate. The study checks the gradient against the potential before it runs.

export const dim = 3;
export const stepSize = 0.02;

/** U(x), up to a constant. @param {Float64Array} x */
export function potential([v = 0, x = 0, y = 0]) {
  return (v * v) / 2 + ((x * x + y * y) / 2) * Math.exp(-v) + v;
}

/** @param {Float64Array} x */
export function gradient([v = 0, x = 0, y = 0]) {
  const precision = Math.exp(-v);
  return [v - ((x * x + y * y) / 2) * precision + 1, x * precision, y * precision];
}
