import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Option } from "commander";
import { SpecdiffError } from "../core/errors.js";
import type { GaussianStatistics } from "../metrics/index.js";
import { type FeatureNetwork, openFeatures, statisticsFrom } from "../node/features.js";
import { fromPretrained, npy, type Pipeline, readNpy } from "../node/index.js";
import { SHIPPED_FEATURES, SHIPPED_MODEL } from "../node/shipped.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { imagesReport } from "./images-report.js";
import type { Size, StudyDefinition } from "./index.js";
import type { Study } from "./study.js";

/** One group of images of one seed. */
export interface ImagesConfig {
  readonly churn: number;
  readonly steps: number;
  readonly draft: string;
  readonly coupling: string;
  readonly window: number;
  readonly count: number;
  readonly seed: number;
}

export interface ImagesRow {
  /** Mean over images. */
  readonly calls: number;
  readonly speedup: number;
  readonly acceptance: number | null;
  readonly deltaMedian: number | null;
  readonly rowsPerCall: number;
  /** Of the group, and of it in the network. */
  readonly wallMs: number;
  readonly networkMs: number;
  /** Where the images are, beside the rows. */
  readonly file: string;
}

export interface ImagesSize {
  readonly churns: readonly number[];
  readonly windows: readonly number[];
  readonly steps: number;
  /** Images of a group. */
  readonly count: number;
  /** Groups of each way of sampling. */
  readonly seeds: number;
}

const SIZES: Readonly<Record<Size, ImagesSize>> = {
  tiny: { churns: [1], windows: [3], steps: 5, count: 4, seeds: 2 },
  quick: { churns: [0.5, 1], windows: [10], steps: 30, count: 8, seeds: 2 },
  full: { churns: [0.25, 0.5, 1], windows: [5, 10, 20], steps: 100, count: 500, seeds: 10 },
};

/** Trajectories that share a call. */
const IN_FLIGHT = 8;

/** What the report needs beside the rows. */
export interface ImagesContext {
  readonly size: ImagesSize;
  readonly model: string;
  readonly shape: readonly number[];
  readonly features: FeatureNetwork;
  readonly reference: GaussianStatistics;
  /** Images of a cell, count x shape. */
  images(row: ImagesRow): Promise<Float64Array>;
}

const whole = (name: string, what: string) => new Option(`--${name} <n>`, what).argParser(Number);

export const imagesDefinition: StudyDefinition = {
  name: "images",
  description: "FID and Inception Score of plain and speculative sampling beside what each costs",
  options: [
    new Option("--model <path>", "image model").default(SHIPPED_MODEL, "the shipped CIFAR-10 model"),
    new Option("--features <path>", "feature network: an ONNX file, or a folder with model.onnx and stats.npz").default(
      SHIPPED_FEATURES,
      "the shipped CIFAR-10 classifier",
    ),
    new Option("--range <low,high>", "pixel range that the feature network expects")
      .choices(["-1,1", "0,1"])
      .default("-1,1"),
    new Option("--reference <npz>", "mu and sigma of the features of real images (default: those beside the network)"),
    whole("images", "images of a group, instead of the size's"),
    whole("groups", "groups of each way of sampling, with seeds of their own"),
    whole("steps", "steps of the chain"),
    new Option("--draft <name>", "how it is drafted").default(DEFAULTS.draft),
    new Option("--churns <list>", "churns, such as 0.5,1"),
    new Option("--windows <list>", "windows, such as 5,10"),
  ],
  async create({ size, seed, flags, out }) {
    const numbers = (name: string) => (flags[name] as string | undefined)?.split(",").map(Number);
    const base = SIZES[size];
    const chosen: ImagesSize = {
      churns: numbers("churns") ?? base.churns,
      windows: numbers("windows") ?? base.windows,
      steps: (flags.steps as number | undefined) ?? base.steps,
      count: (flags.images as number | undefined) ?? base.count,
      seeds: (flags.groups as number | undefined) ?? base.seeds,
    };
    for (const [name, value] of Object.entries(chosen)) {
      if (![value].flat().every((one) => Number.isFinite(one) && one > 0))
        throw new SpecdiffError("bad-argument", `${name} of the image study is ${value}; give numbers above 0`);
    }
    const pipeline = await fromPretrained(flags.model as string);
    const [low, high] = (flags.range as string).split(",").map(Number);
    const features = await openFeatures(flags.features as string, { range: [low!, high!] });
    const file = flags.reference as string | undefined;
    const reference = file === undefined ? features.reference : statisticsFrom(await readFile(file), file);
    if (!reference) {
      throw new SpecdiffError(
        "bad-argument",
        `${flags.features} comes without statistics of real images; give a .npz with mu and sigma as --reference`,
      );
    }
    return imagesStudy(pipeline, features, reference, { ...chosen, draft: flags.draft as string }, seed, out);
  },
};

export function imagesStudy(
  pipeline: Pipeline,
  features: FeatureNetwork,
  reference: GaussianStatistics,
  size: ImagesSize & { readonly draft: string },
  seed: number,
  out: string,
): Study<ImagesConfig, ImagesRow> {
  const ways = [
    { draft: "none", coupling: "reflection", window: 1 },
    ...size.windows.map((window) => ({ draft: size.draft, coupling: DEFAULTS.coupling, window })),
  ];
  // Group by group, so that what is there of a stopped run has all ways of sampling in it. Every group has noise of its own.
  const cells = Array.from({ length: size.seeds }, (_, group) =>
    size.churns.flatMap((churn, i) =>
      ways.map((way, j) => ({
        churn,
        steps: size.steps,
        ...way,
        count: size.count,
        seed: 10_000 * seed + 100 * group + 10 * i + j,
      })),
    ),
  ).flat();
  const images = async ({ file }: ImagesRow) => readNpy(await readFile(join(out, file)), file).values;
  return {
    name: "images",
    title: `Speculative sampling of images: ${pipeline.folder.name}`,
    settings: { ...size, seed, model: pipeline.folder.name },
    cells,
    label: ({ churn, steps, draft, coupling, window, seed }) =>
      `churn ${churn}, K ${steps}: ${draft}, ${coupling}, L ${window}, seed ${seed}`,
    async run({ churn, steps, draft, coupling, window, count, seed }, signal) {
      const { samples, record } = await pipeline.run({
        churn,
        steps,
        draft,
        coupling,
        window,
        count,
        seed,
        inFlight: IN_FLIGHT,
        signal,
      });
      const pixels = (await pipeline.decode?.(samples)) ?? { images: samples, shape: pipeline.shape };
      const file = join("samples", `churn-${churn}-${draft.replaceAll(":", "-")}-${window}-${seed}.npy`);
      await mkdir(join(out, "samples"), { recursive: true });
      await writeFile(join(out, file), npy(pixels.images, [count, ...pixels.shape]));
      return {
        calls: record.trajectoryCalls / count,
        speedup: record.speedup ?? Number.NaN,
        acceptance: record.acceptance,
        deltaMedian: record.delta?.median ?? null,
        rowsPerCall: record.rows / record.trajectoryCalls,
        wallMs: record.wallMs,
        networkMs: record.modelMs,
        file,
      };
    },
    report: (results) =>
      imagesReport(results, { size, model: pipeline.folder.name, shape: pipeline.shape, features, reference, images }),
    async close() {
      await pipeline.close();
      await features.close();
    },
  };
}
