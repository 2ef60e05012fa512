import { readFile, stat } from "node:fs/promises";
import { Command, Option } from "commander";
import { SpecdiffError } from "../core/errors.js";
import { frechetDistance, type GaussianStatistics, gaussianStatistics, inceptionScore, w2 } from "../metrics/index.js";
import { type FeatureNetwork, openFeatures, statisticsFrom } from "../node/features.js";
import { readImages } from "../node/image-set.js";
import { readNpy } from "../node/npy.js";
import { SHIPPED_FEATURES } from "../node/shipped.js";
import { wholeNumber } from "./options.js";

interface Flags {
  features: string;
  range: string;
  provider: string[];
  threads?: number;
  splits: number;
}

export function featureOptions(): Option[] {
  return [
    new Option("--features <path>", "feature network: an ONNX file, or a folder with model.onnx and stats.npz").default(
      SHIPPED_FEATURES,
      "the CIFAR-10 classifier that ships with specdiff",
    ),
    new Option("--range <low,high>", "pixel range that the network expects").choices(["-1,1", "0,1"]).default("-1,1"),
    new Option("--provider <names...>", "ONNX Runtime execution providers in order of preference").default(["cpu"]),
    new Option("--threads <n>", "threads of the network (default: one per core)").argParser(wholeNumber(1)),
  ];
}

export function metricsCommand(): Command {
  const fid = new Command("fid")
    .description("Fréchet distance of two sets in the features of a network (FID, if the network is Inception).")
    .argument("<a>", "folder of PNGs, .npy of images (N,3,H,W) or features (N,D), or .npz with mu and sigma")
    .argument("[b]", "the same (default: the reference statistics of the network)")
    .addHelpText(
      "after",
      "\nExamples:\n  specdiff metrics fid out/images\n  specdiff metrics fid a.npy cifar10.npz --features inception.onnx --range 0,1",
    )
    .action(fidOf);
  const is = new Command("is")
    .description("Inception Score of images under a classifier.")
    .argument("<images>", "folder of PNGs, .npy of images (N,3,H,W) or of logits (N,classes)")
    .addOption(
      new Option("--splits <n>", "parts of which mean and spread are given").argParser(wholeNumber(1)).default(10),
    )
    .action(isOf);
  for (const option of featureOptions()) {
    fid.addOption(option);
    is.addOption(option);
  }
  const distance = new Command("w2")
    .description("Wasserstein-2 distance of two point sets of the same size: exact optimal transport.")
    .argument("<a>", ".npy, one point for each index of the first axis")
    .argument("<b>", ".npy of the same shape")
    .action(w2Of);
  return new Command("metrics")
    .description("Distances between samples: FID, Inception Score, Wasserstein-2.")
    .addCommand(fid)
    .addCommand(is)
    .addCommand(distance);
}

async function fidOf(a: string, b: string | undefined, flags: Flags): Promise<void> {
  const network = lazily(flags);
  try {
    const first = await statisticsOf(a, network);
    const second = b === undefined ? (await network.open()).reference : await statisticsOf(b, network);
    if (!second) {
      throw new SpecdiffError(
        "bad-argument",
        `${flags.features} comes without reference statistics; name what to compare with, such as a .npz with mu and sigma`,
      );
    }
    const dim = first.statistics.mean.length;
    const other = "statistics" in second ? second : { statistics: second, count: undefined };
    const counts = [first.count, other.count].filter((count) => count !== undefined);
    const distance = frechetDistance(first.statistics, other.statistics);
    process.stdout.write(`${distance.toFixed(4)}  Fréchet distance, ${dim} features of ${network.name}\n`);
    if (counts.some((count) => count <= dim)) {
      process.stderr.write(
        `specdiff: with ${Math.min(...counts)} points for ${dim} features the distance is biased upwards; compare only sets of the same size\n`,
      );
    }
  } finally {
    await network.close();
  }
}

async function isOf(path: string, flags: Flags): Promise<void> {
  const network = lazily(flags);
  try {
    const array = path.endsWith(".npy") ? readNpy(await read(path), path) : undefined;
    const logits =
      array?.shape.length === 2
        ? { values: array.values, dim: array.shape[1]! }
        : await (await network.open()).logits(await readImages(path));
    const count = logits.values.length / logits.dim;
    const splits = Math.min(flags.splits, count);
    const scores = Array.from({ length: splits }, (_, s) =>
      inceptionScore(
        logits.values.subarray(
          Math.floor((s * count) / splits) * logits.dim,
          Math.floor(((s + 1) * count) / splits) * logits.dim,
        ),
        logits.dim,
      ),
    );
    const mean = scores.reduce((sum, score) => sum + score, 0) / splits;
    const spread = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / splits);
    process.stdout.write(
      `${mean.toFixed(4)} +- ${spread.toFixed(4)}  Inception Score over ${splits} parts, ${count} images, classes of ${network.name}\n`,
    );
  } finally {
    await network.close();
  }
}

async function w2Of(a: string, b: string): Promise<void> {
  const [first, second] = [readNpy(await read(a), a), readNpy(await read(b), b)];
  const dim = first.values.length / (first.shape[0] ?? 1);
  if (second.values.length / (second.shape[0] ?? 1) !== dim) {
    throw new SpecdiffError(
      "bad-argument",
      `points of ${a} and ${b} differ in dimension: (${first.shape}) and (${second.shape})`,
    );
  }
  process.stdout.write(
    `${w2(first.values, second.values, dim).toPrecision(8)}  Wasserstein-2 distance of ${first.shape[0]} points\n`,
  );
}

/** Statistics of a .npz, of features in a .npy, or of the features of images. */
async function statisticsOf(
  path: string,
  network: ReturnType<typeof lazily>,
): Promise<{ statistics: GaussianStatistics; count?: number }> {
  if (path.endsWith(".npz")) return { statistics: statisticsFrom(await read(path), path) };
  const info = await stat(path).catch(() => undefined);
  const array = info && !info.isDirectory() ? readNpy(await read(path), path) : undefined;
  const { values, dim } =
    array?.shape.length === 2
      ? { values: array.values, dim: array.shape[1]! }
      : await (await network.open()).features(await readImages(path));
  return { statistics: gaussianStatistics(values, dim), count: values.length / dim };
}

/** The feature network, opened only if something has to go through it. */
function lazily(flags: Flags) {
  let opened: Promise<FeatureNetwork> | undefined;
  const [low, high] = flags.range.split(",").map(Number);
  return {
    get name() {
      return opened ? flags.features : "the files";
    },
    open() {
      opened ??= openFeatures(flags.features, {
        providers: flags.provider,
        ...(flags.threads && { threads: flags.threads }),
        range: [low!, high!],
      });
      return opened;
    },
    close: async () => (await opened?.catch(() => undefined))?.close(),
  };
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new SpecdiffError("file", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
