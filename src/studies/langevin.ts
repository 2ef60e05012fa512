import { Option } from "commander";
import type { Chain } from "../core/chain.js";
import { type SampleOptions, sample } from "../core/loop.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { plain } from "../plain.js";
import { verifierNamed } from "../verifiers/index.js";
import { erfc } from "../verifiers/normal.js";
import { type DensityFamily, densities, loadDensity } from "./densities.js";
import { breathing } from "./gmm.js";
import type { Size, StudyDefinition } from "./index.js";
import { chart } from "./plots.js";
import type { Figure, Report } from "./report.js";
import { estimate } from "./statistics.js";
import type { Result, Study } from "./study.js";

/** One run of unadjusted Langevin dynamics Y[k+1] = Y[k] - gamma grad U(Y[k]) + sqrt(2 gamma) z. */
export interface LangevinConfig {
  readonly density: string;
  readonly dim: number;
  /** gamma */
  readonly stepSize: number;
  readonly steps: number;
  readonly draft: string;
  readonly coupling: string;
  readonly window: number;
  readonly carry: NonNullable<SampleOptions["carry"]>;
  readonly leaves: boolean;
  readonly count: number;
  readonly seed: number;
}

export interface LangevinRow {
  readonly calls: number;
  readonly speedup: number;
  readonly speedupError: number;
  readonly acceptance: number | null;
  readonly deltaMedian: number | null;
  readonly rowsPerCall: number;
  /** Means over the final states with their standard errors, in the order of {@link MOMENTS}. */
  readonly moments: readonly number[];
  readonly momentErrors: readonly number[];
}

const MOMENTS: readonly [string, (x: Float64Array) => number][] = [
  ["first coordinate", (x) => x[0]!],
  ["its square", (x) => x[0]! ** 2],
  ["last coordinate", (x) => x.at(-1)!],
  ["product of first and last", (x) => x[0]! * x.at(-1)!],
  ["squared length", (x) => x.reduce((sum, value) => sum + value * value, 0)],
];

interface LangevinSize {
  /** The drafter beside FROZEN. */
  readonly draft: string;
  readonly dims: readonly number[];
  readonly baseDim: number;
  /** Multiples of the density's own step size. */
  readonly scales: readonly number[];
  readonly steps: number;
  readonly window: number;
  readonly count: number;
}

const SIZES: Readonly<Record<Size, Omit<LangevinSize, "draft">>> = {
  tiny: { dims: [2, 4], baseDim: 4, scales: [0.5, 1], steps: 30, window: 5, count: 20 },
  quick: { dims: [2, 8, 32], baseDim: 8, scales: [0.25, 0.5, 1, 2], steps: 200, window: 10, count: 200 },
  full: { dims: [2, 4, 8, 16, 32], baseDim: 8, scales: [0.125, 0.25, 0.5, 1, 2], steps: 400, window: 10, count: 2000 },
};

export const langevinDefinition: StudyDefinition = {
  name: "langevin",
  description: "unadjusted Langevin dynamics on unnormalised densities (Appendix K of the paper), or on your own",
  options: [
    new Option("--draft <name>", "how it is drafted, beside FROZEN").default(DEFAULTS.draft),
    new Option("--density <module>", "your own: exports dim, potential(x), gradient(x) and, optionally, stepSize"),
  ],
  async create({ size, seed, flags }) {
    const own = flags.density === undefined ? undefined : await loadDensity(flags.density as string);
    return langevinStudy({ ...SIZES[size], draft: flags.draft as string }, seed, own);
  },
};

/** Speed-up against step size and dimension, and moments against plain chains. */
export function langevinStudy(
  size: LangevinSize,
  seed: number,
  own?: DensityFamily,
): Study<LangevinConfig, LangevinRow> {
  const families = own ? [own] : densities;
  const dims = own ? [own.make(1, seed).dim] : size.dims;
  const baseDim = own ? dims[0]! : size.baseDim;
  const none = { carry: "none", leaves: false } as const;
  const carry = { carry: "nearest", leaves: true } as const;
  const methods: Pick<LangevinConfig, "draft" | "coupling" | "carry" | "leaves">[] = [
    { draft: "none", coupling: "reflection", ...none },
    { draft: "frozen:output", coupling: "reflection", ...none },
    { draft: "frozen:output", coupling: "reflection", ...carry },
    // a gradient is not bounded: what the loop takes by itself for chains without levels
    { draft: size.draft, coupling: DEFAULTS.coupling, ...carry },
  ];
  const { steps, window, count } = size;
  const scaled = [
    ...dims.map((dim) => ({ dim, scale: 1 })),
    ...size.scales.filter((scale) => scale !== 1).map((scale) => ({ dim: baseDim, scale })),
  ];
  const cells = families
    .flatMap(({ name, stepSize }) =>
      scaled.flatMap(({ dim, scale }) =>
        methods.map((method) => ({
          density: name,
          dim,
          stepSize: scale * stepSize,
          steps,
          ...method,
          window: method.draft === "none" ? 1 : window,
          count,
        })),
      ),
    )
    // A seed for each cell: short chains remember where they began, and would all be off together.
    .map((cell, i) => ({ ...cell, seed: 1000 * seed + i }));
  return {
    name: "langevin",
    title: "Speculative Langevin dynamics",
    settings: { ...size, seed, ...(own && { density: own.name }) },
    cells,
    label: ({ density, dim, stepSize, draft, coupling, carry }) =>
      `${density}, d ${dim}, step ${stepSize}: ${draft}, ${coupling}, carry ${carry}`,
    run: (config, signal) => runCell(config, families.find(({ name }) => name === config.density)!, signal),
    report: (results) => langevinReport(results, size, baseDim, families),
  };
}

/** f = grad U, so that a = 1, b = -gamma, sigma = sqrt(2 gamma). */
function langevinChain(stepSize: number, steps: number): Chain {
  const column = (value: number) => new Float64Array(steps).fill(value);
  return {
    a: column(1),
    b: column(-stepSize),
    sigma: column(Math.sqrt(2 * stepSize)),
    time: column(0),
    initialSigma: 0.5,
    readings: {},
  };
}

async function runCell(config: LangevinConfig, family: DensityFamily, signal: AbortSignal): Promise<LangevinRow> {
  const { dim, stepSize, steps, draft, coupling, window, carry, leaves, count, seed } = config;
  const density = family.make(dim, Math.floor(seed / 1000));
  const chain = langevinChain(stepSize, steps);
  let out = new Float64Array(0);
  const calls = new Float64Array(count);
  const { samples, record } = await sample({
    chain,
    model: breathing({
      dim,
      evaluate(rows) {
        if (out.length < rows.count * dim) out = new Float64Array(rows.count * dim);
        for (let row = 0; row < rows.count; row++) density.gradient(rows.states, row * dim, out);
        return out;
      },
    }),
    ...(draft === "none"
      ? plain
      : {
          drafter: createDrafter(draft, { chain, shape: [dim] }),
          verifier: verifierNamed(coupling),
          window: fixedWindow(window),
          carry,
          leaves,
        }),
    count,
    seed,
    inFlight: 64,
    signal,
    onRound: (round) => {
      calls[round.trajectory] = round.calls;
    },
  });
  const states = Array.from({ length: count }, (_, n) => samples.subarray(n * dim, (n + 1) * dim));
  const moments = MOMENTS.map(([, read]) => estimate(states.map(read)));
  return {
    calls: record.trajectoryCalls / count,
    speedup: record.speedup ?? Number.NaN,
    speedupError: estimate(Array.from(calls, (own) => steps / own)).error,
    acceptance: record.acceptance,
    deltaMedian: record.delta?.median ?? null,
    rowsPerCall: record.rows / record.trajectoryCalls,
    moments: moments.map(({ mean }) => mean),
    momentErrors: moments.map(({ error }) => error),
  };
}

function methodName({ draft, coupling, carry }: LangevinConfig): string {
  if (draft === "none") return "plain";
  const name = draft === "frozen:output" ? "FROZEN gradient" : `${draft}, ${coupling}`;
  return `${name}, ${carry === "none" ? "no carry" : carry === "window" ? "carry window" : "carry"}`;
}

async function langevinReport(
  results: readonly Result<LangevinConfig, LangevinRow>[],
  size: LangevinSize,
  baseDim: number,
  families: readonly DensityFamily[],
): Promise<Report> {
  const speculative = results.filter(({ config }) => config.draft !== "none");
  const baseStep = new Map(families.map(({ name, stepSize }) => [name, stepSize]));
  const data = speculative.map(({ config, row }) => ({
    ...config,
    method: methodName(config),
    speedup: row.speedup,
    low: row.speedup - 2 * row.speedupError,
    high: row.speedup + 2 * row.speedupError,
  }));
  const common = {
    y: { field: "speedup", title: "speed-up, steps per call", zero: true },
    series: { field: "method", title: "draft" },
    interval: ["low", "high"] as const,
    panels: { field: "density", title: "" },
    width: 280,
    height: 220,
  };
  const figures: Figure[] = [
    {
      name: "speedup-step",
      caption: `Speed-up against the step size gamma in ${baseDim} dimensions. Bars: two standard errors over chains.`,
      svg: await chart({
        ...common,
        data: data.filter(({ dim }) => dim === baseDim),
        x: { field: "stepSize", title: "step size gamma", log: true },
      }),
    },
  ];
  const dims = [...new Set(results.map(({ config }) => config.dim))];
  if (dims.length > 1) {
    figures.push({
      name: "speedup-dimension",
      caption: "Speed-up against dimension, at each density's middle step size.",
      svg: await chart({
        ...common,
        data: data.filter(({ density, stepSize }) => stepSize === baseStep.get(density)),
        x: { field: "dim", title: "dimension", log: true, ticks: dims },
      }),
    });
  }
  const compared = speculative.flatMap(({ config, row }) => {
    const other = results.find(
      ({ config: one }) =>
        one.draft === "none" &&
        one.density === config.density &&
        one.dim === config.dim &&
        one.stepSize === config.stepSize,
    )!.row;
    return MOMENTS.map(([name], i) => ({
      config,
      name,
      own: row.moments[i]!,
      plain: other.moments[i]!,
      z: (row.moments[i]! - other.moments[i]!) / Math.hypot(row.momentErrors[i]!, other.momentErrors[i]!),
    }));
  });
  const largest = Math.max(...compared.map(({ z }) => Math.abs(z)));
  const outside = compared.filter(({ z }) => Math.abs(z) > 1.96).length;
  const limit = normalQuantile(0.05 / compared.length);
  const best = [...new Set(data.map(({ method }) => method))].map((method) => {
    const own = data.filter((one) => one.method === method).map(({ speedup }) => speedup);
    return `${Math.min(...own).toFixed(2)} to ${Math.max(...own).toFixed(2)} (${method})`;
  });
  return {
    lead: [
      `Steps per call over all densities, step sizes and dimensions, windows of ${size.window}: ${best.join("; ")}.`,
      `Moments: of ${compared.length} compared with plain chains, ${outside} differ by more than 1.96 standard errors (5 % would by chance: ${(0.05 * compared.length).toFixed(0)}); the largest difference is ${largest.toFixed(2)}, ${largest < limit ? "as chance would have it" : "more than chance would have it"} in so many (limit ${limit.toFixed(2)}).`,
    ],
    summary: { speedups: best, moments: compared.length, outside, largest, limit },
    sections: [
      {
        title: "Calls saved",
        text: [
          `Unadjusted Langevin dynamics Y[k+1] = Y[k] - gamma grad U(Y[k]) + sqrt(2 gamma) z, ${size.steps} steps, ${size.count} chains a cell. A small step moves little, so that the gradient hardly changes over a window; the noise of a step, sqrt(2 gamma), shrinks more slowly than the error of the guess, gamma times the change of the gradient.`,
          "FROZEN reuses the last gradient; the posterior draft learns the slope of the gradient as it goes.",
        ],
        figures,
      },
      {
        title: "The same chains in law",
        text: [
          "Means over the final states against those of plain chains with noise of their own; the drafts of one chain are compared with the same plain chains. Not the moments of the density: unadjusted Langevin has a bias of its own, which exact speculation keeps.",
        ],
        tables: [
          {
            caption: "Largest differences, in standard errors",
            columns: ["density", "d", "gamma", "draft", "moment", "speculative", "plain", "difference"],
            rows: [...compared]
              .sort((a, b) => Math.abs(b.z) - Math.abs(a.z))
              .slice(0, 12)
              .map(({ config, name, own, plain, z }) => [
                config.density,
                config.dim,
                config.stepSize,
                methodName(config),
                name,
                own,
                plain,
                z,
              ]),
          },
        ],
      },
      {
        title: "All cells",
        tables: [
          {
            caption: "Every cell; moments are in rows.csv",
            folded: true,
            columns: "density,d,gamma,draft,calls,speed-up,error,acceptance,rows / call,median delta".split(","),
            rows: results.map(({ config, row }) => [
              config.density,
              config.dim,
              config.stepSize,
              methodName(config),
              row.calls,
              row.speedup,
              row.speedupError,
              row.acceptance,
              row.rowsPerCall,
              row.deltaMedian,
            ]),
          },
        ],
      },
    ],
  };
}

/** z with P(|N(0, 1)| > z) = p, by bisection. */
function normalQuantile(p: number): number {
  let [low, high] = [0, 10];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (erfc(middle / Math.SQRT2) > p) low = middle;
    else high = middle;
  }
  return low;
}
