// @ts-check

/**
 * E[x0 | x] of a mixture of isotropic Gaussians, in closed form.
 * @param {import("speculative-diffusion").Chain} chain with levels
 * @param {readonly { weight: number, mean: ArrayLike<number>, sd: number }[]} components
 * @returns {import("speculative-diffusion").Model}
 */
export function mixtureModel(chain, components) {
  const levels = chain.levels;
  if (!levels) throw new Error("the chain has no levels");
  const dim = components[0]?.mean.length ?? 0;
  let out = new Float64Array(0);
  return {
    dim,
    evaluate(rows) {
      if (out.length < rows.count * dim) out = new Float64Array(rows.count * dim);
      out.fill(0, 0, rows.count * dim);
      for (let row = 0; row < rows.count; row++) {
        const alpha = levels.alpha[rows.step[row] ?? 0] ?? 0;
        const noise = levels.noise[rows.step[row] ?? 0] ?? 0;
        const x = rows.states.subarray(row * dim, (row + 1) * dim);
        const mine = out.subarray(row * dim, (row + 1) * dim);
        const logs = components.map(({ weight, mean, sd }) => {
          const variance = (alpha * sd) ** 2 + noise * noise;
          let squares = 0;
          for (let i = 0; i < dim; i++) squares += ((x[i] ?? 0) - alpha * (mean[i] ?? 0)) ** 2;
          return Math.log(weight) - squares / (2 * variance) - (dim / 2) * Math.log(variance);
        });
        const top = Math.max(...logs);
        const shares = logs.map((log) => Math.exp(log - top));
        const total = shares.reduce((sum, share) => sum + share, 0);
        components.forEach(({ mean, sd }, c) => {
          const gain = (alpha * sd * sd) / ((alpha * sd) ** 2 + noise * noise);
          const share = (shares[c] ?? 0) / total;
          for (let i = 0; i < dim; i++) {
            const m = mean[i] ?? 0;
            mine[i] = (mine[i] ?? 0) + share * (m + gain * ((x[i] ?? 0) - alpha * m));
          }
        });
      }
      return out;
    },
  };
}
