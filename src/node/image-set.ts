import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { convertIndexedToRgb, decode } from "fast-png";
import { SpecdiffError } from "../core/errors.js";
import { readNpy } from "./npy.js";

/** Images of one size, values from -1 to 1. */
export interface ImageSet {
  readonly shape: readonly [channels: 3, height: number, width: number];
  readonly count: number;
  /** count x 3 x height x width */
  readonly images: Float64Array;
}

/**
 * Reads all PNG files of a folder, in the order of their names. Grey becomes colour, transparency is dropped.
 * @throws SpecdiffError("file") if there are none, one cannot be read, or sizes differ
 */
export async function readPngFolder(folder: string): Promise<ImageSet> {
  const names = (await readdir(folder)).filter((name) => /\.png$/i.test(name)).sort();
  if (names.length === 0) throw new SpecdiffError("file", `${folder} holds no PNG files`);
  let set: { shape: [3, number, number]; images: Float64Array } | undefined;
  for (const [n, name] of names.entries()) {
    const path = join(folder, name);
    let png: ReturnType<typeof decode>;
    try {
      png = decode(await readFile(path));
    } catch (cause) {
      throw new SpecdiffError("file", `cannot read ${path} as PNG: ${(cause as Error).message}`, { cause });
    }
    const { width, height } = png;
    set ??= { shape: [3, height, width], images: new Float64Array(names.length * 3 * height * width) };
    if (set.shape[1] !== height || set.shape[2] !== width) {
      throw new SpecdiffError(
        "file",
        `${path} is ${width} x ${height}, the images before it ${set.shape[2]} x ${set.shape[1]}; all must have one size`,
      );
    }
    const data = png.palette ? convertIndexedToRgb(png) : png.data;
    const channels = data.length / (width * height);
    const largest = png.palette || png.depth !== 16 ? 2 ** Math.min(8, png.depth) - 1 : 65535;
    const plane = width * height;
    for (let c = 0; c < 3; c++) {
      const from = channels < 3 ? 0 : c;
      for (let i = 0; i < plane; i++) {
        set.images[(n * 3 + c) * plane + i] = (2 * data[i * channels + from]!) / (png.palette ? 255 : largest) - 1;
      }
    }
  }
  return { ...set!, count: names.length };
}

/**
 * Images from a folder of PNGs or from a .npy array of shape (count, 3, height, width): numbers from -1 to 1, as `specdiff
 * generate --samples` writes them, or whole numbers from 0 to 255.
 */
export async function readImages(path: string): Promise<ImageSet> {
  if ((await stat(path).catch(() => undefined))?.isDirectory()) return readPngFolder(path);
  const bytesOfFile = await readFile(path).catch((cause: Error) => {
    throw new SpecdiffError("file", `cannot read ${path}: ${cause.message}`, { cause });
  });
  const { shape, values } = readNpy(bytesOfFile, path);
  const [count, channels, height, width] = shape;
  if (shape.length !== 4 || channels !== 3 || !count || !height || !width) {
    throw new SpecdiffError("file", `${path} has shape (${shape.join(", ")}); images are (count, 3, height, width)`);
  }
  const bytes =
    values.every((value) => Number.isInteger(value) && value >= 0 && value <= 255) && values.some((v) => v > 1);
  return { shape: [3, height, width], count, images: bytes ? values.map((value) => (2 * value) / 255 - 1) : values };
}

/**
 * Images as a set, grey ones in three equal channels.
 * @param images count x (channels x height x width), values from -1 to 1
 * @throws SpecdiffError("bad-argument") if the shape is not that of an image
 */
export function imageSet(images: Float64Array, shape: readonly number[]): ImageSet {
  const [channels, height, width] = shape;
  if (shape.length !== 3 || (channels !== 1 && channels !== 3) || !height || !width) {
    throw new SpecdiffError("bad-argument", `states of shape [${shape.join(", ")}] are no images of 1 or 3 channels`);
  }
  const plane = height * width;
  const count = images.length / (channels * plane);
  if (channels === 3) return { shape: [3, height, width], count, images };
  const coloured = new Float64Array(3 * images.length);
  for (let n = 0; n < count; n++) {
    const grey = images.subarray(n * plane, (n + 1) * plane);
    for (let c = 0; c < 3; c++) coloured.set(grey, (3 * n + c) * plane);
  }
  return { shape: [3, height, width], count, images: coloured };
}

/** Bilinear, pixel centres at half numbers (align_corners=False), as pytorch-fid resizes. */
export function resize({ shape, count, images }: ImageSet, height: number, width: number): ImageSet {
  const [, oldHeight, oldWidth] = shape;
  if (oldHeight === height && oldWidth === width) return { shape, count, images };
  const out = new Float64Array(count * 3 * height * width);
  const source = (i: number, size: number, old: number) => {
    const at = Math.max(0, ((i + 0.5) * old) / size - 0.5);
    const low = Math.min(Math.floor(at), old - 1);
    return { low, high: Math.min(low + 1, old - 1), share: at - low };
  };
  const xs = Array.from({ length: width }, (_, x) => source(x, width, oldWidth));
  for (let y = 0; y < height; y++) {
    const row = source(y, height, oldHeight);
    for (let plane = 0; plane < 3 * count; plane++) {
      const upper = (plane * oldHeight + row.low) * oldWidth;
      const lower = (plane * oldHeight + row.high) * oldWidth;
      const to = (plane * height + y) * width;
      for (let x = 0; x < width; x++) {
        const { low, high, share } = xs[x]!;
        const above = images[upper + low]! * (1 - share) + images[upper + high]! * share;
        const below = images[lower + low]! * (1 - share) + images[lower + high]! * share;
        out[to + x] = above * (1 - row.share) + below * row.share;
      }
    }
  }
  return { shape: [3, height, width], count, images: out };
}
