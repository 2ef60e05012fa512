import type { Chain } from "../core/chain.js";
import { type SampleOptions, sample } from "../core/loop.js";
import type { Model, Rows } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { plain } from "../plain.js";
import { normalTest, twoSampleTest, zeroMeanTest } from "./statistics.js";

/** One statistical test: the smaller p, the less the law fits. */
export interface LawTest {
  readonly name: string;
  readonly p: number;
}

/** False-alarm probability of a whole list of tests (Bonferroni). */
export const FALSE_ALARM = 1e-4;

/** @throws Error naming the tests that a correct sampler would fail with probability below FALSE_ALARM in all */
export function assertLaw(tests: readonly LawTest[]): void {
  const failed = tests.filter((test) => !(test.p > FALSE_ALARM / tests.length));
  if (failed.length > 0) {
    throw new Error(
      `the law is not that of plain sampling: ${failed.map(({ name, p }) => `${name} (p = ${p.toExponential(1)})`).join(", ")}`,
    );
  }
}

type Speculation = Omit<SampleOptions, "chain" | "model" | "count" | "seed" | "paths">;

/**
 * Whitened innovations (Y[k+1] - m_k(Y[k])) / sigma_k of whole paths are independent N(0, I) for plain sampling, hence must
 * be here. Tested along the difference between the target's and `against`'s output (where a coupling works), across it,
 * and in a fixed random direction: shape, mean, variance, correlation with the step before, and with the state.
 * Deterministic steps must be met to 1e-6, which leaves room for a network in single precision.
 *
 * With n = count x K innovations a shift of the mean of 5/sqrt(n) sigma is seen: 0.03 for 3,000 paths of 10 steps.
 */
export async function pathLaw(
  chain: Chain,
  model: Model,
  against: Model,
  speculation: Speculation,
  count: number,
  seed: number,
): Promise<LawTest[]> {
  const { paths } = await sample({ ...speculation, chain, model, count, seed, paths: true });
  const dim = model.dim;
  const steps = chain.sigma.length;
  const random = new RandomStream(seed + 1);
  const fixed = new Float64Array(dim);
  const across = new Float64Array(dim);
  random.normals(fixed);
  const names = ["difference", "across", "random"];
  const series = names.map(() => ({ values: [] as number[], lag: [] as number[], state: [] as number[] }));
  const innovation = new Float64Array(dim);
  for (const [trajectory, path] of paths!.entries()) {
    const previous: (number | undefined)[] = [undefined, undefined, undefined];
    const { target, draft } = await outputsAlong(chain, model, against, path!, trajectory);
    for (let k = 0; k < steps; k++) {
      const sigma = chain.sigma[k]!;
      let worst = 0;
      for (let i = 0; i < dim; i++) {
        const mean = chain.a[k]! * path![k * dim + i]! + chain.b[k]! * target[k * dim + i]!;
        const gap = path![(k + 1) * dim + i]! - mean;
        innovation[i] = gap / sigma;
        worst = Math.max(worst, Math.abs(gap));
      }
      if (sigma === 0) {
        if (worst > 1e-6) return [{ name: `deterministic step ${k} off by ${worst}`, p: 0 }];
        previous.fill(undefined);
        continue;
      }
      const e = new Float64Array(dim);
      for (let i = 0; i < dim; i++) e[i] = target[k * dim + i]! - draft[k * dim + i]!;
      normalise(e);
      const overlap = dot(fixed, e);
      for (let i = 0; i < dim; i++) across[i] = fixed[i]! - overlap * e[i]!;
      const state = Math.sign(path![k * dim]! - 0.3);
      [e, normalise(across), normalise(Float64Array.from(fixed))].forEach((direction, which) => {
        const value = dot(innovation, direction);
        const { values, lag, state: withState } = series[which]!;
        values.push(value);
        withState.push(value * state);
        if (previous[which] !== undefined) lag.push(value * previous[which]);
        previous[which] = value;
      });
    }
  }
  return series.flatMap(({ values, lag, state }, which) => [
    { name: `${names[which]}: normal`, p: normalTest(values) },
    { name: `${names[which]}: mean`, p: zeroMeanTest(values, 1) },
    {
      name: `${names[which]}: variance`,
      p: zeroMeanTest(
        values.map((v) => v * v - 1),
        2,
      ),
    },
    { name: `${names[which]}: lag one`, p: zeroMeanTest(lag, 1) },
    { name: `${names[which]}: with the state`, p: zeroMeanTest(state, 1) },
  ]);
}

/** Final states against plain sampling with another seed: coordinates, random projections and the norm. */
export async function terminalLaw(
  chain: Chain,
  model: Model,
  speculation: Speculation,
  count: number,
  seed: number,
): Promise<LawTest[]> {
  const speculative = await sample({ ...speculation, chain, model, count, seed });
  const sequential = await sample({ ...plain, chain, model, count, seed: seed + 1 });
  const dim = model.dim;
  const random = new RandomStream(seed + 2);
  const directions = Array.from({ length: 4 }, (_, d) => {
    const direction = new Float64Array(dim);
    random.key(d, 0, 0, 0).normals(direction);
    return normalise(direction);
  });
  const statistics: [string, (state: Float64Array) => number][] = [
    ["first coordinate", (state) => state[0]!],
    ["last coordinate", (state) => state[dim - 1]!],
    ["norm", (state) => Math.sqrt(dot(state, state))],
    ...directions.map((d, i): [string, (s: Float64Array) => number] => [`projection ${i}`, (state) => dot(state, d)]),
  ];
  return statistics.map(([name, statistic]) => {
    const of = (samples: Float64Array) =>
      Array.from({ length: count }, (_, n) => statistic(samples.subarray(n * dim, (n + 1) * dim)));
    return { name: `terminal ${name}`, p: twoSampleTest(of(speculative.samples), of(sequential.samples)) };
  });
}

/** Outputs at every step of a path; of its own trajectory, which decides under what conditions a model works. */
async function outputsAlong(chain: Chain, model: Model, against: Model, path: Float64Array, trajectory: number) {
  const steps = chain.sigma.length;
  const rows: Rows = {
    count: steps,
    dim: model.dim,
    trajectory: new Int32Array(steps).fill(trajectory),
    step: Int32Array.from({ length: steps }, (_, k) => k),
    time: chain.time,
    states: path.subarray(0, steps * model.dim),
  };
  return {
    target: Float64Array.from(await model.evaluate(rows)),
    draft: Float64Array.from(await against.evaluate(rows)),
  };
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

function normalise(x: Float64Array): Float64Array {
  const norm = Math.sqrt(dot(x, x));
  for (let i = 0; i < x.length; i++) x[i]! /= norm;
  return x;
}
