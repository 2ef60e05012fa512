import type { Chain } from "../core/chain.js";
import type { Drafter } from "../core/drafter.js";
import type { Model, Rows } from "../core/model.js";

/**
 * A chain that hides nothing: uneven steps, noise that grows and shrinks, one deterministic step in the middle and one at
 * the end, as DDPM has.
 */
export function testChain(steps = 10): Chain {
  const column = (value: (k: number) => number) => Float64Array.from({ length: steps }, (_, k) => value(k));
  const a = column((k) => 0.7 + 0.03 * k);
  const b = column((k) => 0.5 - 0.02 * k);
  return {
    a,
    b,
    sigma: column((k) => (k === 4 || k === steps - 1 ? 0 : 0.5 + 0.3 * Math.sin(k))),
    time: column((k) => 1 - k / steps),
    initialSigma: 1.3,
    // Numbers a drafter may use; they are not this chain's marginals, and the law must not care.
    levels: {
      alpha: Float64Array.from({ length: steps + 1 }, (_, k) => 0.1 + (0.8 * k) / steps),
      noise: Float64Array.from({ length: steps + 1 }, (_, k) => 1 - (0.9 * k) / steps),
    },
    readings: { drift: { p: a.map((value) => (value - 1) / 0.1), q: b.map((value) => value / 0.1) } },
  };
}

/** An asymmetric, nonlinear function that couples neighbouring coordinates; symmetric targets hide sign errors. */
export function testModel(dim: number, tilt = 0): Model {
  const outputs = new Map<number, Float64Array>();
  return {
    dim,
    evaluate(rows: Rows) {
      let out = outputs.get(rows.count);
      if (!out) {
        out = new Float64Array(rows.count * dim);
        outputs.set(rows.count, out);
      }
      for (let row = 0; row < rows.count; row++) {
        const t = rows.time[row]!;
        for (let i = 0; i < dim; i++) {
          const x = rows.states[row * dim + i]!;
          const next = rows.states[row * dim + ((i + 1) % dim)]!;
          out[row * dim + i] =
            (1 + t) * Math.tanh(x + 0.6) + 0.5 * Math.sin(next) + tilt * (0.4 + (i % 3)) * (1 + 0.2 * x);
        }
      }
      return out;
    },
  };
}

/** A drafter that is wrong in a way that depends on state, coordinate and time. */
export function tiltedDrafter(dim: number, tilt: number): Drafter<undefined> {
  const model = testModel(dim, tilt);
  return {
    name: `tilted:${tilt}`,
    needsAnchor: false,
    open: () => undefined,
    guess: (rows) => model.evaluate(rows),
  };
}
