// @ts-check
// Unadjusted Langevin on a density of your own, in one dimension or many: give a chain and a function, nothing else.
// U(x) = (x^2 - 1)^2 + 0.3 x in every coordinate: an asymmetric double well.
import { fixedWindow, frozen, plain, reflection, sample } from "speculative-diffusion";

const dim = 8;
const steps = 400;
const gamma = 0.01;
const column = (/** @type {number} */ value) => new Float64Array(steps).fill(value);

// Y[k+1] = Y[k] - gamma grad U(Y[k]) + sqrt(2 gamma) z
const chain = {
  a: column(1),
  b: column(-gamma),
  sigma: column(Math.sqrt(2 * gamma)),
  time: column(0),
  initialSigma: 1,
  readings: {},
};

/** @type {import("speculative-diffusion").Model} */
const gradient = {
  dim,
  evaluate: ({ count, states }) => states.subarray(0, count * dim).map((x) => 4 * x * (x * x - 1) + 0.3),
};

const options = { chain, model: gradient, count: 200, seed: 1 };
const speculative = await sample({
  ...options,
  drafter: frozen(chain, "output"),
  verifier: reflection,
  window: fixedWindow(8),
});
const sequential = await sample({ ...options, ...plain });

const mean = (/** @type {Float64Array} */ x) => x.reduce((sum, value) => sum + value, 0) / x.length;
console.log(
  `speculative: ${speculative.record.speedup?.toFixed(2)} steps a call, mean ${mean(speculative.samples).toFixed(3)}`,
);
console.log(
  `plain:       ${sequential.record.speedup?.toFixed(2)} steps a call, mean ${mean(sequential.samples).toFixed(3)}`,
);
