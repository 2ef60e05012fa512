import { Option } from "commander";
import type { Chain } from "../core/chain.js";
import type { Drafter } from "../core/drafter.js";
import { type SampleOptions, sample } from "../core/loop.js";
import type { Model } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { w2 } from "../metrics/w2.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { plain } from "../plain.js";
import { interpolant, reverseSde, timeGrid } from "../schedules/index.js";
import { twoSampleTest } from "../testing/statistics.js";
import { verifierNamed } from "../verifiers/index.js";
import { gmmReport } from "./gmm-report.js";
import type { StudyDefinition } from "./index.js";
import {
  coarse,
  drawMixture,
  imperfect,
  type Mixture,
  mixtureModel,
  mixtureSampler,
  referenceMixture,
  sampleMixture,
} from "./mixture.js";
import { estimate } from "./statistics.js";
import { breathe, type Study } from "./study.js";
import { type DeltaBin, DeltaBins } from "./theory.js";
import { walk } from "./walk.js";

/** One run: a target, a chain, a way of speculating. Everything that decides the numbers. */
export interface GmmConfig {
  /** "reference" is the published mixture in 512 dimensions with the chain of its publication. */
  readonly target: "asymmetric" | "reference";
  readonly dim: number;
  readonly components: number;
  readonly churn: number;
  readonly steps: number;
  /** A drafter's name; "independent" drafts with a model of the mixture that is wrong by `error` or merged to half the components. */
  readonly draft: string;
  readonly error?: number | "merged";
  readonly coupling: string;
  readonly window: number;
  readonly carry: NonNullable<SampleOptions["carry"]>;
  readonly leaves: boolean;
  /** Points of one Wasserstein distance, and how many distances: points x groups trajectories. */
  readonly points: number;
  readonly groups: number;
  readonly seed: number;
}

export interface GmmRow {
  /** Mean over trajectories. */
  readonly calls: number;
  /** Steps x trajectories / calls, with the standard error of the mean over trajectories. */
  readonly speedup: number;
  readonly speedupError: number;
  readonly acceptance: number | null;
  /** Kept drafts per window. */
  readonly acceptedLength: number;
  readonly rowsPerCall: number;
  readonly draftCallsPerCall: number;
  readonly deltaMedian: number | null;
  /** Mean delta by position in the window, over the positions the verifier looked at. */
  readonly deltaByPosition: readonly number[];
  /** Fate of drafts by their delta, where the coupling decides them one by one. */
  readonly deltaBins: readonly DeltaBin[];
  /** Wasserstein-2 distance of each group to as many samples of the target, and to as many plain trajectories. */
  readonly w2Target: readonly number[];
  readonly w2Plain: readonly number[];
  /** Kolmogorov-Smirnov tests of all samples against plain ones: the first coordinate, a random direction, the length. */
  readonly pValues: readonly number[];
  /** Of the target to itself; only beside plain sampling. */
  readonly w2Floor?: readonly number[];
}

export const PUBLISHED: readonly { window: number; carry: "none" | "parent" | "nearest"; speedup: number }[] = [
  { window: 3, carry: "none", speedup: 1.11 },
  { window: 3, carry: "parent", speedup: 1.28 },
  { window: 3, carry: "nearest", speedup: 1.78 },
  { window: 7, carry: "nearest", speedup: 1.92 },
];

export interface GmmSize {
  readonly dims: readonly number[];
  readonly components: readonly number[];
  readonly churns: readonly number[];
  readonly steps: readonly number[];
  readonly windows: readonly number[];
  readonly errors: readonly (number | "merged")[];
  readonly base: { dim: number; components: number; churn: number; steps: number; window: number; error: number };
  /** Points of a distance where the dimension varies, and in the other sweeps. */
  readonly points: number;
  readonly sweepPoints: number;
  readonly groups: number;
  /** Trajectories on the published mixture. */
  readonly reference: number;
}

const BASE = { dim: 8, components: 4, churn: 1, steps: 100, window: 20, error: 0.1 };

export const GMM_SIZES = {
  /** Plumbing only: its numbers mean nothing. */
  tiny: {
    dims: [2, 4],
    components: [3],
    churns: [1],
    steps: [20],
    windows: [2, 5],
    errors: [0, 0.3, "merged"],
    base: { dim: 4, components: 3, churn: 1, steps: 20, window: 5, error: 0.1 },
    points: 60,
    sweepPoints: 60,
    groups: 2,
    reference: 4,
  },
  quick: {
    dims: [2, 8, 32],
    components: [4],
    churns: [0.25, 0.5, 1, 2],
    steps: [50, 100, 200],
    windows: [1, 2, 5, 10, 20, 50],
    errors: [0, 0.05, 0.1, 0.2, 0.5, "merged"],
    base: BASE,
    points: 500,
    sweepPoints: 500,
    groups: 3,
    reference: 60,
  },
  full: {
    dims: [2, 4, 8, 16, 32],
    components: [4, 12],
    churns: [0.1, 0.25, 0.5, 1, 2],
    steps: [25, 50, 100, 200],
    windows: [2, 5, 10, 20, 50],
    errors: [0, 0.05, 0.1, 0.2, 0.5, 1, "merged"],
    base: BASE,
    points: 2000,
    sweepPoints: 500,
    groups: 4,
    reference: 400,
  },
} as const satisfies Record<string, GmmSize>;

/** The carry of runs that do not say, under the default coupling. */
export const DEFAULT_CARRY: GmmConfig["carry"] = verifierNamed(DEFAULTS.coupling).sequential ? "window" : "nearest";

/** The low-dimensional study of De Bortoli et al. 2025: mixtures of Gaussians, speed-up and exactness. */
export function gmmStudy(size: GmmSize, seed: number, preset?: "reference"): Study<GmmConfig, GmmRow> {
  const context = new Targets();
  return {
    name: "gmm",
    title: preset ? "The reference mixture" : "Speculative sampling of Gaussian mixtures",
    settings: { ...size, seed, ...(preset && { preset }) },
    cells: [...(preset ? [] : sweeps(size, seed)), ...referenceCells(size, seed)],
    label: gmmLabel,
    run: (config, signal) => runCell(config, context, signal),
    report: (results) => gmmReport(results, size),
  };
}

export const gmmDefinition: StudyDefinition = {
  name: "gmm",
  description:
    "mixtures of Gaussians in 2 to 32 dimensions, and the published reference mixture: speed-up and exactness",
  options: [new Option("--preset <name>", "only the published mixture").choices(["reference"])],
  create: ({ size, seed, flags }) => gmmStudy(GMM_SIZES[size], seed, flags.preset as "reference" | undefined),
};

/** Ways of speculating that every chain is sampled with; the first is plain. */
function methods({ base }: GmmSize): Pick<GmmConfig, "draft" | "error" | "coupling" | "carry" | "leaves">[] {
  const none = { carry: "none", leaves: false } as const;
  const carry = { carry: "nearest", leaves: true } as const;
  return [
    { draft: "none", coupling: "reflection", ...none },
    { draft: "frozen:drift", coupling: "reflection", ...none },
    { draft: "frozen:drift", coupling: "reflection", ...carry },
    { draft: "frozen:x0", coupling: "reflection", ...carry },
    { draft: "independent", error: base.error, coupling: "reflection", ...none },
    { draft: "posterior", coupling: "reflection", ...none },
    { draft: "posterior", coupling: "reflection", carry: "window", leaves: true },
  ];
}

function sweeps(size: GmmSize, seed: number): GmmConfig[] {
  const { base, points, sweepPoints, groups } = size;
  const { error: _, ...chain } = base;
  const common = { target: "asymmetric", points: sweepPoints, groups, seed } as const;
  const chains = [
    ...size.components.flatMap((components) => size.dims.map((dim) => ({ ...chain, dim, components, points }))),
    ...size.churns.map((churn) => ({ ...chain, churn })),
    ...size.steps.map((steps) => ({ ...chain, steps })),
  ];
  const named = methods(size);
  // What a run does that names nothing, where cells are small: it may weigh several drafters, at the price of all of them.
  const all = [
    ...named,
    { draft: DEFAULTS.draft, coupling: DEFAULTS.coupling, carry: DEFAULT_CARRY, leaves: true } as const,
  ];
  const withWindow = all.filter(
    ({ draft, carry }) => draft === "independent" || (draft !== "none" && carry !== "none"),
  );
  const independentMethod = all.find(({ draft }) => draft === "independent")!;
  const cells = [
    ...chains.flatMap((one) => ("points" in one ? named : all).map((method) => ({ ...common, ...one, ...method }))),
    ...size.windows.flatMap((window) => withWindow.map((method) => ({ ...common, ...chain, window, ...method }))),
    ...size.errors.map((error) => ({ ...common, ...chain, ...independentMethod, error })),
  ];
  return cells.map(ordered);
}

/** One order of keys, so that the same cell is the same text. */
function ordered(config: GmmConfig): GmmConfig {
  const { target, dim, components, churn, steps, draft, error, coupling, window, carry, leaves, points, groups, seed } =
    config;
  const plainWindow = draft === "none" ? 1 : window;
  return {
    target,
    dim,
    components,
    churn,
    steps,
    draft,
    ...(error !== undefined && { error }),
    coupling,
    window: plainWindow,
    carry,
    leaves,
    points,
    groups,
    seed,
  };
}

function referenceCells({ reference }: GmmSize, seed: number): GmmConfig[] {
  const common = {
    target: "reference",
    dim: 512,
    components: 5,
    churn: 0.06,
    steps: 28,
    points: reference,
    groups: 0,
    seed,
  } as const;
  return [
    ...PUBLISHED.map(({ window, carry }) =>
      ordered({ ...common, draft: "frozen:velocity", coupling: "reflection", window, carry, leaves: false }),
    ),
    ordered({
      ...common,
      draft: "posterior",
      coupling: "reflection",
      window: 15,
      carry: "window",
      leaves: true,
    }),
    ordered({
      ...common,
      draft: DEFAULTS.draft,
      coupling: DEFAULTS.coupling,
      window: 15,
      carry: DEFAULT_CARRY,
      leaves: true,
    }),
  ];
}

export function gmmLabel({ target, dim, components, churn, steps, draft, error, coupling, window, carry }: GmmConfig) {
  const what = target === "reference" ? "reference mixture" : `d ${dim}, ${components} components`;
  return `${what}, eps ${churn}, K ${steps}: ${draft}${error === undefined ? "" : ` error ${error}`}, ${coupling}, L ${window}, carry ${carry}`;
}

interface Target {
  readonly mixture: Mixture;
  readonly chain: Chain;
  readonly model: Model;
  /** Y_0 of the trajectories of a seed; without it N(0, I). */
  readonly initial?: (seed: number) => NonNullable<SampleOptions["initial"]>;
}

/** The target and what its cells share, made once: cells of one chain follow one another. */
class Targets {
  #key = "";
  #target: Target | undefined;
  #plain: Float64Array | undefined;

  of(config: GmmConfig): Target {
    const { target, dim, components, churn, steps, seed, points, groups } = config;
    const key = JSON.stringify([target, dim, components, churn, steps, seed, points, groups]);
    if (key !== this.#key || !this.#target) {
      this.#key = key;
      this.#target = targetOf(config);
      this.#plain = undefined;
    }
    return this.#target;
  }

  /** Plain trajectories of a seed of their own, which the samples of every cell are compared with. */
  async plain(config: GmmConfig, signal: AbortSignal): Promise<Float64Array> {
    const target = this.of(config);
    const seed = config.seed + 1;
    this.#plain ??= await walk({ ...runOf(config, target, seed), signal });
    return this.#plain;
  }
}

function runOf({ points, groups }: GmmConfig, { chain, model, initial }: Target, seed: number) {
  return {
    chain,
    model: breathing(model),
    count: points * Math.max(1, groups),
    inFlight: 64,
    seed,
    ...(initial && { initial: initial(seed) }),
  };
}

function targetOf({ target, dim, components, churn, steps, seed }: GmmConfig): Target {
  if (target === "reference") {
    // T = 30 times from 1000 to 1, in thousandths, without the deterministic first and last step
    const times = Array.from({ length: steps + 1 }, (_, k) => (1000 - ((k + 1) * 999) / (steps + 1)) / 1000);
    const { chain } = reverseSde(interpolant(times), { prediction: "sample", churn });
    const mixture = referenceMixture();
    return { mixture, chain, model: mixtureModel(chain, mixture) };
  }
  // A step of much churn must not overshoot its state near the end, where the noise level is small.
  const end = 0.01 * Math.max(1, churn);
  const { chain } = reverseSde(interpolant(timeGrid({ steps, start: 0.95, end })), {
    prediction: "sample",
    churn,
  });
  const mixture = drawMixture(dim, components, seed);
  const { alpha, noise } = chain.levels!;
  return {
    mixture,
    chain,
    model: mixtureModel(chain, mixture),
    // The law that the chain expects at its start: what is left of a distance to the target is due to its steps.
    initial: (seed) => {
      const draw = mixtureSampler(mixture, seed);
      const random = new RandomStream(seed);
      const xi = new Float64Array(dim);
      return (trajectory, out) => {
        draw(trajectory, out);
        random.key(trajectory, 0, 0, 1).normals(xi);
        for (let i = 0; i < dim; i++) out[i] = alpha[0]! * out[i]! + noise[0]! * xi[i]!;
      };
    },
  };
}

async function runCell(config: GmmConfig, targets: Targets, signal: AbortSignal): Promise<GmmRow> {
  const { dim, steps, points, groups, seed, window, carry, leaves } = config;
  const target = targets.of(config);
  const calls = new Float64Array(points * Math.max(1, groups));
  const bins = new DeltaBins(config.coupling === "reflection");
  const positions = new PositionMeans();
  let windows = 0;
  let kept = 0;
  const { samples, record } = await sample({
    ...runOf(config, target, seed),
    ...(config.draft === "none"
      ? plain
      : {
          drafter: drafterOf(config, target),
          verifier: verifierNamed(config.coupling),
          window: fixedWindow(window),
          carry,
          leaves,
        }),
    signal,
    onRound(round) {
      calls[round.trajectory] = round.calls;
      windows++;
      kept += round.accepted;
      bins.add(round);
      positions.add(round.delta);
    },
  });
  const speedups = estimate(Array.from(calls, (own) => steps / own));
  const distances = { w2Target: [] as number[], w2Plain: [] as number[], w2Floor: [] as number[] };
  for (let group = 0; group < groups; group++) {
    const part = (all: Float64Array) => all.subarray(group * points * dim, (group + 1) * points * dim);
    const own = part(samples);
    const truth = sampleMixture(target.mixture, points, seed + 1000 + group);
    const other = part(await targets.plain(config, signal));
    distances.w2Target.push(w2(own, truth, dim));
    await breathe();
    signal.throwIfAborted();
    distances.w2Plain.push(w2(own, other, dim));
    await breathe();
    signal.throwIfAborted();
    if (config.draft !== "none") continue;
    distances.w2Floor.push(w2(sampleMixture(target.mixture, points, seed + 2000 + group), truth, dim));
  }
  const { w2Floor, ...others } = distances;
  const pValues = groups > 0 ? lawTests(samples, await targets.plain(config, signal), dim) : [];
  return {
    calls: record.trajectoryCalls / calls.length,
    speedup: record.speedup ?? Number.NaN,
    speedupError: speedups.error,
    acceptance: record.acceptance,
    acceptedLength: kept / windows,
    rowsPerCall: record.rows / record.trajectoryCalls,
    draftCallsPerCall: record.draftRows / record.trajectoryCalls,
    deltaMedian: record.delta?.median ?? null,
    deltaByPosition: positions.means(),
    deltaBins: bins.list(),
    ...others,
    pValues,
    ...(w2Floor.length > 0 && { w2Floor }),
  };
}

function drafterOf({ draft, error, seed, dim }: GmmConfig, { chain, mixture }: Target): Drafter {
  if (draft !== "independent") return createDrafter(draft, { chain, shape: [dim] });
  const model =
    error === "merged"
      ? coarse(mixture, Math.ceil(mixture.weights.length / 2))
      : imperfect(mixture, error ?? 0, seed + 3);
  return createDrafter(draft, { chain, shape: [dim], draftModel: mixtureModel(chain, model) });
}

function lawTests(first: Float64Array, second: Float64Array, dim: number): number[] {
  const direction = new Float64Array(dim);
  new RandomStream(7).normals(direction);
  const readings: ((x: Float64Array) => number)[] = [
    (x) => x[0]!,
    (x) => x.reduce((sum, value, i) => sum + value * direction[i]!, 0),
    (x) => Math.hypot(...x),
  ];
  return readings.map((read) => {
    const of = (all: Float64Array) =>
      Float64Array.from({ length: all.length / dim }, (_, n) => read(all.subarray(n * dim, (n + 1) * dim)));
    return twoSampleTest(of(first), of(second));
  });
}

/** Mean delta by position in the window. */
class PositionMeans {
  readonly #sums: number[] = [];
  readonly #counts: number[] = [];

  add(delta: readonly number[]): void {
    for (const [position, value] of delta.entries()) {
      if (!Number.isFinite(value)) continue;
      this.#sums[position] = (this.#sums[position] ?? 0) + value;
      this.#counts[position] = (this.#counts[position] ?? 0) + 1;
    }
  }

  means(): number[] {
    return Array.from(this.#sums, (sum, position) => sum / this.#counts[position]!);
  }
}

/** The model, pausing now and then, so that Ctrl-C and the progress bar get their turn. */
export function breathing(model: Model): Model {
  let last = performance.now();
  return {
    dim: model.dim,
    evaluate(rows) {
      const now = performance.now();
      if (now - last < 100) return model.evaluate(rows);
      last = now;
      return breathe().then(() => model.evaluate(rows));
    },
  };
}
