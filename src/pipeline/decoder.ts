import { SpecdiffError } from "../core/errors.js";
import { isExtent, listOf } from "../onnx/form.js";
import { toHalf } from "../onnx/half.js";
import type { Session } from "../onnx/session.js";
import type { ModelFolder } from "./folder.js";

/** Images of latents. */
export interface Decoded {
  /** count x shape, values from -1 to 1 */
  readonly images: Float64Array;
  /** [channels, height, width] */
  readonly shape: readonly number[];
}

/**
 * Latents to images through a VAE decoder, one at a time: decoders take far more memory than the network that made the latents.
 * @param latents count x shape
 * @throws SpecdiffError("bad-model") if the decoder does not take latents of this shape
 */
export async function decodeLatents(
  session: Session,
  { file, scale, shift }: NonNullable<ModelFolder["decoder"]>,
  latents: Float64Array,
  shape: readonly number[],
): Promise<Decoded> {
  const input = session.inputs[0];
  const output = session.outputs[0];
  const fits =
    input &&
    input.shape.length === shape.length + 1 &&
    shape.every((n, i) => !isExtent(input.shape[i + 1]) || input.shape[i + 1] === n);
  if (!fits || !output || session.inputs.length > 1 || (input.type !== "float32" && input.type !== "float16")) {
    throw new SpecdiffError(
      "bad-model",
      `${file}: a decoder takes one float input, latents of shape [batch, ${shape.join(", ")}]; it has inputs ${listOf(session.inputs)}`,
    );
  }
  const dim = shape.reduce((product, size) => product * size, 1);
  const count = latents.length / dim;
  let images = new Float64Array(0);
  let imageShape: readonly number[] = [];
  for (let n = 0; n < count; n++) {
    const scaled = new Float32Array(latents.subarray(n * dim, (n + 1) * dim)).map((value) => value / scale + shift);
    const data = input.type === "float16" ? toHalf(scaled) : scaled;
    const answer = await session.run({ [input.name]: { type: input.type, data, dims: [1, ...shape] } }, output.name);
    if (n === 0) {
      imageShape = answer.dims.slice(1);
      images = new Float64Array(count * answer.output.length);
    }
    images.set(answer.output, n * answer.output.length);
  }
  return { images, shape: imageShape };
}
