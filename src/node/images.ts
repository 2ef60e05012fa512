import { encode } from "fast-png";
import { SpecdiffError } from "../core/errors.js";

/**
 * PNG of images side by side, in reading order, as square as it gets.
 * @param images count x (channels x height x width), values from -1 to 1; others are cut to that range
 * @param shape [channels, height, width] with 1 or 3 channels
 * @param options.scale each pixel becomes scale x scale; default: small images are enlarged to about 64
 */
export function imageGrid(
  images: Float64Array,
  shape: readonly number[],
  options: { columns?: number; scale?: number } = {},
): Uint8Array {
  const [channels, height, width] = shape;
  if (shape.length !== 3 || !channels || !height || !width || (channels !== 1 && channels !== 3)) {
    throw new SpecdiffError(
      "bad-argument",
      `states of shape [${shape.join(", ")}] are not images; a grid needs [1 or 3, height, width]. Use --samples for the numbers`,
    );
  }
  const dim = channels * height * width;
  const count = images.length / dim;
  const columns = options.columns ?? Math.ceil(Math.sqrt(count));
  const scale = options.scale ?? Math.max(1, Math.round(64 / width));
  const gap = 2;
  const cellWidth = width * scale + gap;
  const cellHeight = height * scale + gap;
  const totalWidth = columns * cellWidth + gap;
  const totalHeight = Math.ceil(count / columns) * cellHeight + gap;
  const data = new Uint8Array(totalWidth * totalHeight * 3).fill(255);
  for (let n = 0; n < count; n++) {
    const left = gap + (n % columns) * cellWidth;
    const top = gap + Math.floor(n / columns) * cellHeight;
    for (let y = 0; y < height * scale; y++) {
      for (let x = 0; x < width * scale; x++) {
        const pixel = Math.floor(y / scale) * width + Math.floor(x / scale);
        for (let c = 0; c < 3; c++) {
          const value = images[n * dim + Math.min(c, channels - 1) * height * width + pixel]!;
          data[((top + y) * totalWidth + left + x) * 3 + c] = Math.round(
            Math.min(255, Math.max(0, (value + 1) * 127.5)),
          );
        }
      }
    }
  }
  return encode({ width: totalWidth, height: totalHeight, data, channels: 3 });
}
