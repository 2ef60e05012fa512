import { type GmmConfig, type GmmRow, type GmmSize, PUBLISHED } from "./gmm.js";
import { type Axis, chart, type Datum } from "./plots.js";
import type { Figure, Report, Section, Table } from "./report.js";
import { type Estimate, estimate } from "./statistics.js";
import type { Result } from "./study.js";
import { theorySection } from "./theory-page.js";

type Cell = Result<GmmConfig, GmmRow>;

export async function gmmReport(results: readonly Cell[], size: GmmSize): Promise<Report> {
  const cells = results.filter(({ config }) => config.target === "asymmetric");
  const reference = referenceSection(results.filter(({ config }) => config.target === "reference"));
  if (cells.length === 0) {
    return { lead: [reference.lead], summary: { reference: reference.summary }, sections: [reference.section] };
  }
  const speed = await speedSections(cells, size);
  const law = await lawSection(cells, size);
  const theory = await theorySection(
    cells.map(({ config, row }) => ({ ...config, ...row, name: methodName(config) })),
    size.base.window,
    windowSweep(cells, size).map(({ config, row }) => ({ ...config, ...row, name: methodName(config) })),
  );
  return {
    lead: [speed.lead, law.lead, reference.lead, theory.lead],
    summary: { speedup: speed.summary, law: law.summary, reference: reference.summary, theory: theory.summary },
    sections: [
      settingSection(size),
      ...speed.sections,
      law.section,
      reference.section,
      theory.section,
      { title: "All cells", tables: [allCells(results)] },
    ],
  };
}

/** What a curve is called. */
export function methodName({ draft, error, carry, coupling }: GmmConfig): string {
  if (draft === "none") return "plain";
  const how = carry === "none" ? "no carry" : carry === "window" ? "carry window" : "carry";
  if (draft === "independent") return error === "merged" ? "INDEPENDENT, merged" : `INDEPENDENT, error ${error}`;
  if (draft.startsWith("frozen:")) return `FROZEN ${draft.slice(7)}, ${how}`;
  return `${draft}, ${coupling}, ${how}`;
}

function settingSection({ base, points, sweepPoints, groups }: GmmSize): Section {
  return {
    title: "What is sampled",
    text: [
      `Mixtures of isotropic Gaussians with weights 1, 3/4, 9/16, .., means 2 N(0, I) and standard deviations between .2 and .5, with their exact denoiser. The chain is the reverse SDE of the linear interpolant from t = .95 to .01 (.01 eps where eps is above 1) by Euler-Maruyama with churn eps and K steps, started from its exact law. Where nothing else is said: ${base.dim} dimensions, ${base.components} components, eps ${base.churn}, K ${base.steps}, windows of L = ${base.window}.`,
      "Speed-up is steps / calls; a call is one batched evaluation that a trajectory takes part in. FROZEN holds the last output constant; INDEPENDENT drafts with a model of the mixture whose means, widths and weights are wrong by the given error. Without carry a window costs two calls, as in the paper; with carry the nearest known output starts the next window.",
      `Where the dimension varies a cell is ${points * groups} trajectories, elsewhere ${sweepPoints * groups}.`,
    ],
  };
}

/** Whether a cell is the base but for what varies. */
const isBase = (config: GmmConfig, { base, points, sweepPoints }: GmmSize, but: readonly (keyof GmmConfig)[]) =>
  config.points === (but.includes("dim") ? points : sweepPoints) &&
  (["dim", "components", "churn", "steps"] as const).every((key) => but.includes(key) || config[key] === base[key]) &&
  (but.includes("window") || config.draft === "none" || config.window === base.window) &&
  (but.includes("error") || config.error === undefined || config.error === base.error);

function windowSweep(cells: readonly Cell[], size: GmmSize): Cell[] {
  return cells
    .filter(({ config }) => config.draft !== "none" && isBase(config, size, ["window"]))
    .filter(({ config }) => config.draft === "independent" || config.carry !== "none")
    .sort((a, b) => a.config.window - b.config.window);
}

async function speedSections(cells: readonly Cell[], size: GmmSize) {
  const speculative = cells.filter(({ config }) => config.draft !== "none");
  const datum = ({ config, row }: Cell): Datum => ({
    dim: config.dim,
    components: `${config.components} components`,
    churn: config.churn,
    steps: config.steps,
    window: config.window,
    error: typeof config.error === "number" ? config.error : null,
    method: methodName(config),
    speedup: row.speedup,
    acceptance: row.acceptance,
    low: row.speedup - 2 * row.speedupError,
    high: row.speedup + 2 * row.speedupError,
  });
  const speedup: Axis = { field: "speedup", title: "speed-up, steps per call", zero: true };
  const sweep = async (
    name: string,
    x: Axis,
    chosen: readonly Cell[],
    caption: string,
    panels?: { field: string; title: string },
  ): Promise<Figure> => ({
    name,
    caption,
    svg: await chart({
      data: chosen.map(datum),
      x,
      y: speedup,
      series: { field: "method", title: "draft" },
      interval: ["low", "high"],
      ...(panels && { panels, width: 300 }),
    }),
  });
  const over = (...but: (keyof GmmConfig)[]) => speculative.filter(({ config }) => isBase(config, size, but));
  const dims = over("dim", "components");
  const errors = over("error").filter(({ config }) => config.draft === "independent");
  const known = errors.filter(({ config }) => typeof config.error === "number");
  const merged = errors.find(({ config }) => config.error === "merged");
  const positions = over("window").filter(
    ({ config }) => config.window === size.base.window && config.carry !== "none",
  );
  const bars = "Bars: two standard errors over trajectories.";

  const figures: Figure[] = [
    await sweep(
      "speedup-dimension",
      { field: "dim", title: "dimension", log: true, ticks: size.dims },
      dims,
      `Speed-up against dimension. ${bars}`,
      { field: "components", title: "" },
    ),
    await sweep(
      "speedup-churn",
      { field: "churn", title: "churn eps (1: the reverse SDE)", log: true, ticks: size.churns },
      over("churn"),
      `Speed-up against churn: the less noise a step adds, the more exact a guess must be. ${bars}`,
    ),
    await sweep(
      "speedup-steps",
      { field: "steps", title: "steps K of the chain", log: true, ticks: size.steps },
      over("steps"),
      `Speed-up against the number of steps: finer chains change less from step to step. ${bars}`,
    ),
    await sweep(
      "speedup-window",
      { field: "window", title: "window L, steps drafted per round", log: true, ticks: size.windows },
      windowSweep(cells, size),
      `Speed-up against the window. Rows per call grow with it, calls stop falling. ${bars}`,
    ),
  ];
  const errorFigures: Figure[] = [
    {
      name: "independent-error",
      caption: `INDEPENDENT: speed-up and acceptance against the error of its model, in standard deviations of a component.${merged ? ` Merging to half the components instead gives speed-up ${merged.row.speedup.toFixed(2)} and acceptance ${percent(merged.row.acceptance)}.` : ""}`,
      svg: await chart({
        data: known.flatMap(({ config, row }) => [
          { error: config.error as number, panel: "speed-up, steps per call", value: row.speedup },
          { error: config.error as number, panel: "acceptance", value: row.acceptance },
        ]),
        x: { field: "error", title: "error of the draft's model, standard deviations", zero: true },
        y: { field: "value", title: "", zero: true },
        panels: { field: "panel", title: "" },
        ownY: true,
        width: 300,
      }),
    },
    {
      name: "delta-position",
      caption: `Mean delta, the distance of the draft's mean from the target's in standard deviations of the step, by position in windows of ${size.base.window}. Under reflection only positions that are reached count.`,
      svg: await chart({
        data: positions.flatMap(({ config, row }) =>
          row.deltaByPosition
            .map((delta, position) => ({ position: position + 1, delta, method: methodName(config) }))
            .filter(({ delta }) => delta > 0),
        ),
        x: { field: "position", title: "position in the window", zero: true },
        y: { field: "delta", title: "mean delta, standard deviations", zero: true },
        series: { field: "method", title: "draft" },
      }),
    },
  ];
  const range = (chosen: readonly Cell[]) => {
    const values = chosen.map(({ row }) => row.speedup);
    return `${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
  };
  const baseDims = over("dim");
  const names = [...new Set(baseDims.map(({ config }) => methodName(config)))];
  const ranges = names.map((name) => ({
    name,
    range: range(baseDims.filter(({ config }) => methodName(config) === name)),
  }));
  return {
    lead: `Speed-up in dimensions ${size.dims.join(", ")} at eps ${size.base.churn}, K ${size.base.steps}, L ${size.base.window}: ${ranges.map(({ name, range }) => `${range} (${name})`).join("; ")}.`,
    summary: ranges,
    sections: [
      { title: "Calls saved", figures },
      { title: "How good the drafts are", figures: errorFigures },
    ] as Section[],
  };
}

/** Whether speculation samples the law of plain sampling. */
async function lawSection(cells: readonly Cell[], size: GmmSize) {
  const chainOf = ({ config }: Cell) =>
    `${config.dim} ${config.components} ${config.churn} ${config.steps} ${config.points}`;
  const plainOf = new Map(cells.filter(({ config }) => config.draft === "none").map((cell) => [chainOf(cell), cell]));
  const compared = cells
    .filter(({ config }) => config.draft !== "none")
    .flatMap((cell) => {
      const plain = plainOf.get(chainOf(cell));
      if (!plain) return [];
      const floor = estimate(plain.row.w2Plain);
      return [
        {
          cell,
          plain,
          floor,
          toPlain: differences(cell.row.w2Plain, plain.row.w2Plain),
          toTarget: differences(cell.row.w2Target, plain.row.w2Target),
        },
      ];
    });
  const contains = (one: Estimate) => one.low <= 0 && one.high >= 0;
  const inside = (read: (one: (typeof compared)[number]) => Estimate) =>
    compared.filter((one) => contains(read(one))).length;
  // Cells of a chain share the samples they are compared with: a chain's mean is one value.
  const chains = [...plainOf.keys()].map((key) => {
    const own = compared.filter(({ cell }) => chainOf(cell) === key);
    return own.reduce((sum, { toPlain, floor }) => sum + toPlain.mean / floor.mean, 0) / own.length;
  });
  const relative = estimate(chains.filter(Number.isFinite));
  const reach = compared.reduce((sum, { toPlain, floor }) => sum + (toPlain.high - toPlain.mean) / floor.mean, 0);
  const typical = reach / compared.length;
  const pValues = compared.flatMap(({ cell }) => cell.row.pValues).sort((a, b) => a - b);
  const smallest = pValues[0] ?? 1;
  const below = pValues.filter((p) => p < 0.05).length;
  const samples = size.points * size.groups;
  const visible = 1.36 * Math.sqrt(2 / samples);

  const overDims = compared.filter(({ cell }) => isBase(cell.config, size, ["dim"]));
  const distances = await chart({
    data: overDims.map(({ cell, toPlain, floor }) => ({
      // side by side, so that intervals do not cover one another
      dim:
        cell.config.dim * 1.06 ** (methodOrder(overDims.map((one) => one.cell)).indexOf(methodName(cell.config)) - 2.5),
      method: methodName(cell.config),
      difference: (100 * toPlain.mean) / floor.mean,
      low: (100 * toPlain.low) / floor.mean,
      high: (100 * toPlain.high) / floor.mean,
    })),
    x: { field: "dim", title: "dimension", log: true, ticks: size.dims },
    y: { field: "difference", title: "W2 above the noise floor, % of the floor" },
    series: { field: "method", title: "draft" },
    interval: ["low", "high"],
    joined: false,
    reference: {
      data: [
        { dim: Math.min(...size.dims) / 1.3, difference: 0 },
        { dim: Math.max(...size.dims) * 1.3, difference: 0 },
      ],
      label: "same law",
    },
  });
  const table: Table = {
    caption: `Wasserstein-2 distances, mean of ${size.groups}: the noise floor (plain against plain), plain against target, target against target, and ${methodName(compared.at(-1)!.cell.config)}.`,
    columns: [
      "points",
      "d",
      "components",
      "eps",
      "K",
      "plain - plain",
      "plain - target",
      "target - target",
      "draft - plain",
      "draft - target",
    ],
    rows: [...plainOf.entries()].map(([key, plain]) => {
      const drafted = compared.find(
        ({ cell }) => chainOf(cell) === key && methodName(cell.config) === methodName(compared.at(-1)!.cell.config),
      );
      const { points, dim, components, churn, steps } = plain.config;
      const mean = (values: readonly number[] | undefined) => (values ? estimate(values).mean : null);
      return [
        points,
        dim,
        components,
        churn,
        steps,
        mean(plain.row.w2Plain),
        mean(plain.row.w2Target),
        mean(plain.row.w2Floor),
        mean(drafted?.cell.row.w2Plain),
        mean(drafted?.cell.row.w2Target),
      ];
    }),
  };
  return {
    lead:
      `Same law: the Wasserstein-2 distance between speculative and plain samples is ${signed(100 * relative.mean)} % of the noise floor above it ` +
      `(95 % interval ${signed(100 * relative.low)} to ${signed(100 * relative.high)} %, over ${chains.length} chains); ${inside((one) => one.toPlain)} of ${compared.length} cells have an interval around 0 ` +
      `(to the target: ${inside((one) => one.toTarget)}). Of ${pValues.length} Kolmogorov-Smirnov tests, not independent within a chain, ${percent(below / pValues.length)} are below .05; ` +
      `the smallest is ${smallest.toPrecision(2)}, ${smallest * pValues.length > 0.05 ? "as chance would have it" : "less than chance would have it"} in so many.`,
    summary: {
      relativeToFloor: relative,
      cells: compared.length,
      intervalsAroundZeroToPlain: inside((one) => one.toPlain),
      intervalsAroundZeroToTarget: inside((one) => one.toTarget),
      tests: pValues.length,
      below05: below,
      smallestP: smallest,
    },
    section: {
      title: "The same samples in law",
      text: [
        `Exact optimal transport between ${size.points} speculative and as many plain samples (${size.sweepPoints} where the dimension does not vary), ${size.groups} times with fresh samples, against the same between plain and plain: the noise floor, which is not 0 because finite sets differ. Intervals are Student's over the ${size.groups} paired differences; one in twenty misses 0 by chance, and cells of one chain share the plain samples, so that they miss it together. Chains of one mixture share their starting points: the interval over chains is if anything too narrow.`,
        `A single cell could have shown a difference of ${percent(typical)} of the floor. The tests of the first coordinate, a random direction and the length of ${samples} against ${samples} samples see a difference of ${percent(visible)} in a distribution function; those of one chain share the plain samples, too.`,
      ],
      figures: [
        {
          name: "w2-dimension",
          caption:
            "Wasserstein-2 distance of speculative to plain samples, less that of plain to plain, by dimension. Bars: 95 % intervals.",
          svg: distances,
        },
      ],
      tables: [table],
    } as Section,
  };
}

function referenceSection(results: readonly Cell[]) {
  const published = results.flatMap(({ config, row }) => {
    const found = PUBLISHED.find(
      ({ window, carry }) =>
        config.draft === "frozen:velocity" && window === config.window && carry === config.carry && !config.leaves,
    );
    return found ? [{ config, row, published: found.speedup }] : [];
  });
  const worst = Math.max(...published.map(({ row, published }) => Math.abs(row.speedup - published)));
  const own = results.find(({ config }) => config.draft !== "frozen:velocity");
  return {
    lead:
      `The published speed-ups of the reference mixture are met within ${worst.toFixed(3)}` +
      (own ? `; ${own.config.draft} with carry ${own.config.carry} reaches ${own.row.speedup.toFixed(2)} there.` : "."),
    summary: published.map(({ config, row, published }) => ({
      window: config.window,
      carry: config.carry,
      measured: row.speedup,
      error: row.speedupError,
      published,
    })),
    section: {
      title: "The published mixture",
      text: [
        "512 dimensions, 5 components, eps .06, 28 steps (arXiv 2609.17691): reflection, frozen velocity, leaves not evaluated. Published values from its code, two decimals.",
      ],
      tables: [
        {
          caption: `Speed-up = 28 / calls over ${results[0]?.config.points ?? 0} trajectories`,
          columns: ["draft", "coupling", "window", "carry", "measured", "standard error", "published"],
          rows: results.map(({ config, row }) => [
            config.draft,
            config.coupling,
            config.window,
            config.carry,
            row.speedup,
            row.speedupError,
            published.find((one) => one.config === config)?.published ?? null,
          ]),
        },
      ],
    } as Section,
  };
}

function allCells(results: readonly Cell[]): Table {
  return {
    caption: "Every cell; distances and tests are in rows.csv",
    folded: true,
    columns:
      "target,d,components,eps,K,draft,coupling,L,carry,leaves,calls,speed-up,error,acceptance,kept / window,rows / call,median delta".split(
        ",",
      ),
    rows: results.map(({ config, row }) => [
      config.target,
      config.dim,
      config.components,
      config.churn,
      config.steps,
      config.error === undefined ? config.draft : `${config.draft} ${config.error}`,
      config.coupling,
      config.window,
      config.carry,
      config.leaves ? "on" : "off",
      row.calls,
      row.speedup,
      row.speedupError,
      row.acceptance,
      row.acceptedLength,
      row.rowsPerCall,
      row.deltaMedian,
    ]),
  };
}

function methodOrder(cells: readonly Cell[]): string[] {
  return [...new Set(cells.map(({ config }) => methodName(config)))];
}

function differences(first: readonly number[], second: readonly number[]): Estimate {
  return estimate(first.map((value, i) => value - second[i]!));
}

function percent(share: number | null): string {
  return share === null ? "-" : `${(100 * share).toFixed(1)} %`;
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(1)}`;
}
