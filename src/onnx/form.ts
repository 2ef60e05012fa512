import { SpecdiffError } from "../core/errors.js";
import type { Session, TensorInfo } from "./session.js";

/** The inputs and outputs of a network by their roles. */
export interface Form {
  readonly state: TensorInfo;
  readonly time: TensorInfo;
  /** Whether every row has a time of its own; otherwise there is one for the whole batch. */
  readonly perRowTimes: boolean;
  /** All other inputs. */
  readonly extras: readonly TensorInfo[];
  readonly output: TensorInfo;
  /** Shape of one state. */
  readonly shape: readonly number[];
}

const STATE_NAMES = ["sample", "x", "latent_model_input", "latents", "hidden_states", "noisy_action", "noisy_actions"];
const TIME_NAMES = ["timestep", "timesteps", "t", "time", "sigma", "noise_level"];

/**
 * Reads the roles from names, types and shapes: (state, time, ..) -> output with a dynamic batch axis.
 * @param label what messages call the file
 * @param stateShape shape of one state where the file leaves it open
 * @throws SpecdiffError("bad-model") saying what is missing, what to do, and what the file has
 */
export function formOf(label: string, { inputs, outputs }: Session, stateShape?: readonly number[]): Form {
  const has = `it has inputs ${listOf(inputs)} and outputs ${listOf(outputs)}`;
  const bad = (what: string) => new SpecdiffError("bad-model", `${label}: ${what}; ${has}`);

  const state = inputs.find(({ name }) => STATE_NAMES.includes(name));
  if (!state)
    throw bad(`no input for the state; name it ${STATE_NAMES[0]} (or one of ${STATE_NAMES.slice(1).join(", ")})`);
  const time = inputs.find(({ name }) => TIME_NAMES.includes(name));
  if (!time) throw bad(`no input for the time; name it ${TIME_NAMES[0]} (or one of ${TIME_NAMES.slice(1).join(", ")})`);
  if (!isReal(state)) throw bad(`input ${state.name} is ${state.type}; it must be float32 or float16`);
  if (!isReal(time) && time.type !== "int64" && time.type !== "int32") {
    throw bad(`input ${time.name} is ${time.type}; it must be float32, float16, int64 or int32`);
  }
  const fixed = [state, time].find(({ shape: [batch] }) => isExtent(batch) && !(batch === 1 && state.shape[0] !== 1));
  if (fixed) {
    throw bad(
      `input ${fixed.name} has a fixed batch of ${fixed.shape[0]}; export it with a dynamic batch axis (${axes(state, time)})`,
    );
  }
  const rowless = inputs.find((input) => input !== state && input !== time && input.shape.length === 0);
  if (rowless) {
    throw bad(`input ${rowless.name} has one value for the whole batch; export it with a batch axis, one for each row`);
  }
  const shape = shapeOf(state, stateShape, bad);
  const output = outputs[0];
  if (!output || !isReal(output)) throw bad("the first output must be float32 or float16");
  const outputShape = output.shape.slice(1);
  if (outputShape.length > 0 && outputShape.every(isExtent)) {
    const outputDim = sizeOf(outputShape as number[]);
    if (outputDim === 2 * sizeOf(shape)) throw bad(learnedVariance(output.name));
    if (outputDim !== sizeOf(shape)) {
      throw bad(
        `output ${output.name} has ${outputDim} numbers a row, a state has ${sizeOf(shape)}; they must be equal. Channels that ` +
          "are conditions (as of inpainting networks) must be an input of their own",
      );
    }
  }
  return {
    state,
    time,
    perRowTimes: time.shape.length > 0 && time.shape[0] !== 1,
    extras: inputs.filter((input) => input !== state && input !== time),
    output,
    shape,
  };
}

/** What to change in the export of a network that takes one time for the whole batch. */
export function reexportAdvice({ state, time }: Pick<Form, "state" | "time">): string {
  return (
    `input ${time.name} takes one time for the whole batch, but a window has one per row, so that every drafted step costs a ` +
    `call of its own and speculation cannot save calls. Export it again with a ${time.name} of shape [batch]: ` +
    `torch.onnx.export(..., (torch.randn(2, ..), torch.tensor([900, 100])), ${axes(state, time)}); see training/export_diffusers.py`
  );
}

export function learnedVariance(output: string): string {
  return (
    `output ${output} has twice the numbers of a state: a learned variance. Only fixed variances can be sampled exactly; ` +
    "export the mean part alone if the model was trained for a fixed variance too"
  );
}

function shapeOf(state: TensorInfo, given: readonly number[] | undefined, bad: (what: string) => SpecdiffError) {
  const declared = state.shape.slice(1);
  const shape = given ?? declared;
  if (shape.length !== declared.length || shape.some((size, i) => isExtent(declared[i]) && declared[i] !== size)) {
    throw bad(`the state has shape [${shape.join(", ")}], which does not fit input ${show(state)}`);
  }
  if (!shape.every(isExtent)) {
    throw bad(
      `the file leaves the shape of ${state.name} open; give the shape of one state, such as [3, 32, 32] (--shape 3,32,32)`,
    );
  }
  return shape.map(Number);
}

function axes(state: TensorInfo, time: TensorInfo): string {
  return `dynamic_axes={"${state.name}": {0: "batch"}, "${time.name}": {0: "batch"}, ..}`;
}

function isReal({ type }: TensorInfo): boolean {
  return type === "float32" || type === "float16";
}

/** Whether a dimension is a number; open ones are names, or -1 or 0. */
export function isExtent(size: number | string | undefined): size is number {
  return typeof size === "number" && Number.isInteger(size) && size > 0;
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function listOf(tensors: readonly TensorInfo[]): string {
  return tensors.map(show).join(", ");
}

export function show({ name, type, shape }: TensorInfo): string {
  return `${name} (${type}[${shape.join(", ")}])`;
}
