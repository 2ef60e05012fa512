import { frechetDistance, gaussianStatistics, inceptionScore } from "../metrics/index.js";
import { imageSet } from "../node/image-set.js";
import { imageGrid } from "../node/index.js";
import type { ImagesConfig, ImagesContext, ImagesRow } from "./images.js";
import { chart } from "./plots.js";
import type { Figure, Report, Section } from "./report.js";
import { type Estimate, estimate, studentQuantile } from "./statistics.js";
import type { Result } from "./study.js";

type Cell = Result<ImagesConfig, ImagesRow>;

/** All groups of one way of sampling. */
interface Way {
  readonly config: ImagesConfig;
  readonly name: string;
  readonly cells: readonly Cell[];
  /** Of all groups together, and group by group. */
  readonly fid: number;
  readonly fids: readonly number[];
  readonly score: number | undefined;
  readonly scores: readonly number[];
  readonly firstImages: Float64Array;
}

/** Below so many images a distance of features says nothing but that the plumbing works. */
const FEW_IMAGES = 500;
const SHOWN = 8;

export async function imagesReport(results: readonly Cell[], context: ImagesContext): Promise<Report> {
  const { size, features } = context;
  const ways = await measureWays(results, context);
  const total = size.count * size.seeds;
  const few = total < FEW_IMAGES;
  const compared = ways
    .filter(({ config }) => config.draft !== "none")
    .map((way) => {
      const plain = ways.find((one) => one.config.draft === "none" && one.config.churn === way.config.churn)!;
      return { way, plain, fid: welch(way.fids, plain.fids), score: welch(way.scores, plain.scores) };
    });
  const inside = compared.filter(({ fid }) => fid.low <= 0 && fid.high >= 0).length;
  const scored = compared.filter(({ score }) => !Number.isNaN(score.mean));
  const scoreInside = scored.filter(({ score }) => score.low <= 0 && score.high >= 0).length;
  const detectable = compared.map(({ fid }) => fid.error * (studentQuantile(Math.max(1, 2 * size.seeds - 2)) + 0.84));
  const of = `features of ${shortName(features.name)}`;
  const number = (value: number) => value.toPrecision(3);
  const lead = [
    ...(few
      ? [
          `Only ${total} images for each way of sampling: the distances show that the plumbing works and mean nothing beyond that.`,
        ]
      : []),
    `Calls saved at K ${size.steps}: ${ways
      .filter(({ config }) => config.draft !== "none")
      .map(
        (way) =>
          `${mean(way.cells, ({ row }) => row.speedup).toFixed(2)} (churn ${way.config.churn}, L ${way.config.window})`,
      )
      .join(", ")} steps per call, with ${draftOf(ways)}.`,
    `Fréchet distance (${of}): the difference of speculative and plain sampling has a 95 % interval around 0 in ${inside} of ${compared.length} comparisons` +
      (scored.length > 0 ? `, the Inception Score in ${scoreInside} of ${scored.length}` : "") +
      `. Groups of ${size.count} images, ${size.seeds} of each: a difference of ${number(Math.min(...detectable))} to ${number(Math.max(...detectable))} in the distance would have been seen with probability 80 %, on values about ${number(average(ways.map(({ fids }) => estimate(fids).mean)))}.`,
  ];
  return {
    lead,
    summary: {
      images: total,
      features: of,
      ways: ways.map((way) => ({
        churn: way.config.churn,
        way: way.name,
        window: way.config.window,
        speedup: mean(way.cells, ({ row }) => row.speedup),
        fid: way.fid,
        fidOfGroups: estimate(way.fids),
        inceptionScore: way.score,
      })),
      differences: compared.map(({ way, fid, score }) => ({
        churn: way.config.churn,
        window: way.config.window,
        fid,
        inceptionScore: score,
      })),
      detectable,
    },
    sections: [
      await quality(ways, context, of),
      await cost(ways, size.steps),
      sideBySide(ways, context),
      {
        title: "All groups",
        tables: [
          {
            caption: "Every cell",
            folded: true,
            columns: "churn,K,draft,coupling,L,seed,images,calls,speed-up,acceptance,rows / call,seconds".split(","),
            rows: results.map(({ config, row }) => [
              config.churn,
              config.steps,
              config.draft,
              config.coupling,
              config.window,
              config.seed,
              config.count,
              row.calls,
              row.speedup,
              row.acceptance,
              row.rowsPerCall,
              row.wallMs / 1000,
            ]),
          },
        ],
      },
    ],
  };
}

function draftOf(ways: readonly Way[]): string {
  const one = ways.find(({ config }) => config.draft !== "none");
  return one ? `${one.config.draft} and ${one.config.coupling}` : "plain sampling";
}

async function measureWays(
  results: readonly Cell[],
  { features, reference, images, shape }: ImagesContext,
): Promise<Way[]> {
  const groups = new Map<string, Cell[]>();
  for (const cell of results) {
    const { churn, draft, window } = cell.config;
    const key = `${churn} ${draft} ${window}`;
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  const ways: Way[] = [];
  for (const cells of groups.values()) {
    const { config } = cells[0]!;
    const sets: { features: Float64Array; logits: Float64Array | undefined }[] = [];
    let dim = 0;
    let classes = 0;
    let firstImages = new Float64Array(0);
    for (const { row } of cells) {
      const pixels = await images(row);
      const set = imageSet(pixels, shape);
      const found = await features.features(set);
      const logits = await features.logits(set).catch(() => undefined);
      dim = found.dim;
      classes = logits?.dim ?? 0;
      sets.push({ features: found.values, logits: logits?.values });
      if (firstImages.length === 0) firstImages = pixels.slice(0, SHOWN * (pixels.length / config.count));
    }
    const distance = (values: Float64Array) =>
      values.length / dim >= 2 ? frechetDistance(gaussianStatistics(values, dim), reference) : Number.NaN;
    const scores = sets.flatMap(({ logits }) => (logits ? [inceptionScore(logits, classes)] : []));
    ways.push({
      config,
      name: config.draft === "none" ? "plain" : `${config.draft}, ${config.coupling}, L ${config.window}`,
      cells,
      fid: distance(joined(sets.map((set) => set.features))),
      fids: sets.map((set) => distance(set.features)),
      score: scores.length > 0 ? inceptionScore(joined(sets.map(({ logits }) => logits!)), classes) : undefined,
      scores,
      firstImages,
    });
  }
  return ways.sort((a, b) => a.config.churn - b.config.churn || a.config.window - b.config.window);
}

async function quality(ways: readonly Way[], { size }: ImagesContext, of: string): Promise<Section> {
  const churns = [...new Set(ways.map(({ config }) => config.churn))];
  const names = [...new Set(ways.map(({ name }) => name))];
  const data = ways.flatMap(({ config, name, fids, scores }) =>
    (
      [
        [`Fréchet distance to the training images`, fids],
        ["Inception Score", scores],
      ] as const
    )
      .filter(([, values]) => values.length > 1)
      .map(([panel, values]) => {
        const { mean, low, high } = estimate(values);
        // side by side, so that intervals do not cover one another
        const churn = config.churn * 1.04 ** (names.indexOf(name) - (names.length - 1) / 2);
        return { churn, panel, name, mean, low, high };
      }),
  );
  return {
    title: "The same images in law",
    text: [
      `Distances and scores with the ${of}: not Inception's, hence not comparable with published FIDs. The distance of a small group is biased upwards, alike for all ways of sampling: what counts is the difference.`,
    ],
    figures:
      data.length === 0
        ? []
        : [
            {
              name: "quality",
              caption: `Mean of ${size.seeds} groups of ${size.count} images with 95 % intervals (Student's t).`,
              svg: await chart({
                data,
                x: { field: "churn", title: "churn eps", log: true, ticks: churns },
                y: { field: "mean", title: "" },
                series: { field: "name", title: "sampling", order: names },
                interval: ["low", "high"],
                panels: { field: "panel", title: "" },
                ownY: true,
                joined: false,
                width: 300,
              }),
            },
          ],
    tables: [
      {
        caption: `Distance and score of groups of ${size.count} images with standard errors over ${size.seeds} groups, and of all ${size.count * size.seeds} together`,
        columns: [
          "churn",
          "sampling",
          "steps / call",
          "acceptance",
          "distance",
          "+-",
          "of all",
          "Inception Score",
          "+-",
          "of all",
        ],
        rows: ways.map((way) => [
          way.config.churn,
          way.name,
          mean(way.cells, ({ row }) => row.speedup),
          way.config.draft === "none" ? null : mean(way.cells, ({ row }) => row.acceptance ?? Number.NaN),
          estimate(way.fids).mean,
          estimate(way.fids).error,
          way.fid,
          way.scores.length > 0 ? estimate(way.scores).mean : null,
          way.scores.length > 0 ? estimate(way.scores).error : null,
          way.score ?? null,
        ]),
      },
    ],
  };
}

async function cost(ways: readonly Way[], steps: number): Promise<Section> {
  const names = [...new Set(ways.map(({ name }) => name))];
  const churns = [...new Set(ways.map(({ config }) => config.churn))];
  const figures: Figure[] = [
    {
      name: "calls",
      caption: `Network calls of an image, of K = ${steps} steps. Bars: 95 % intervals over groups.`,
      svg: await chart({
        data: ways.map(({ config, name, cells }) => {
          const { mean, low, high } = estimate(cells.map(({ row }) => row.calls));
          return { churn: config.churn, name, mean, low, high };
        }),
        x: { field: "churn", title: "churn eps", log: true, ticks: churns },
        y: { field: "mean", title: "calls per image", zero: true },
        series: { field: "name", title: "sampling", order: names },
        interval: ["low", "high"],
      }),
    },
  ];
  return {
    title: "What it costs",
    text: [
      "A call is one batched evaluation of the network that an image takes part in. Seconds follow calls only where a batch of several rows costs little more than one row; the table has both, measured in one run on one machine, which other programs may have shared: read its seconds as ratios.",
    ],
    figures,
    tables: [
      {
        caption: "Per image, means over groups",
        columns: ["churn", "sampling", "calls", "rows", "rows / call", "acceptance", "seconds", "seconds / plain"],
        rows: ways.map((way) => {
          const plain = ways.find((one) => one.config.draft === "none" && one.config.churn === way.config.churn)!;
          const seconds = (one: Way) => mean(one.cells, ({ config, row }) => row.wallMs / 1000 / config.count);
          return [
            way.config.churn,
            way.name,
            mean(way.cells, ({ row }) => row.calls),
            mean(way.cells, ({ row }) => row.calls * row.rowsPerCall),
            mean(way.cells, ({ row }) => row.rowsPerCall),
            way.config.draft === "none" ? null : mean(way.cells, ({ row }) => row.acceptance ?? Number.NaN),
            seconds(way),
            seconds(way) / seconds(plain),
          ];
        }),
      },
    ],
  };
}

function sideBySide(ways: readonly Way[], { shape }: ImagesContext): Section {
  const churns = [...new Set(ways.map(({ config }) => config.churn))];
  return {
    title: "Side by side",
    figures: churns.map((churn) => {
      const own = ways.filter(({ config }) => config.churn === churn);
      const shown = Math.min(SHOWN, own[0]!.config.count);
      const images = joined(own.map(({ firstImages }) => firstImages));
      return {
        name: `images-churn-${churn}`,
        caption: `Churn ${churn}, from the top: ${own.map(({ name }) => name).join("; ")}. The first images of each, not chosen; classes in turn.`,
        bytes: imageGrid(images, shape, { columns: shown, scale: 2 }),
        type: "png" as const,
      };
    }),
  };
}

/** Difference of two means with Welch's standard error and an interval. */
function welch(first: readonly number[], second: readonly number[]): Estimate {
  const [a, b] = [estimate(first), estimate(second)];
  const error = Math.hypot(a.error, b.error);
  const freedom = error ** 4 / (a.error ** 4 / (first.length - 1) + b.error ** 4 / (second.length - 1));
  const reach = studentQuantile(Math.max(1, Math.floor(freedom || 1))) * error;
  return { mean: a.mean - b.mean, error, low: a.mean - b.mean - reach, high: a.mean - b.mean + reach };
}

function mean(cells: readonly Cell[], read: (cell: Cell) => number): number {
  return average(cells.map(read));
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The last two parts of a path: the same text on every machine. */
function shortName(path: string): string {
  return path.split(/[\\/]/).slice(-2).join("/");
}
