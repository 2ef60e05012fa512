import { SpecdiffError } from "../core/errors.js";
import type { Model, Rows } from "../core/model.js";
import { openHere, openInWorker, type Session, type SessionOptions, type Tensor, type TensorInfo } from "./session.js";

/** Values of one extra input for a trajectory, in the order of the input's shape without its batch axis. */
export type Condition = (trajectory: number) => ArrayLike<number>;

export interface OnnxOptions extends SessionOptions {
  /** Whether the network computes in a thread of its own. Default true. */
  readonly worker?: boolean;
  /** Shape of one state where the file leaves it open, such as [3, 32, 32]. */
  readonly shape?: readonly number[];
}

/** An opened ONNX file of the form (state, time, ..) -> output. */
export interface OnnxNetwork {
  /** Shape of one state. */
  readonly shape: readonly number[];
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /**
   * The network under the given conditions: every input beside state and time needs one. Models of one network share its
   * session and may be used side by side.
   * @throws SpecdiffError("bad-argument") for missing or unknown conditions
   */
  model(conditions?: Readonly<Record<string, Condition>>): Model;
  close(): Promise<void>;
}

const STATE_NAMES = ["sample", "x", "latent_model_input", "latents", "noisy_action", "noisy_actions"];
const TIME_NAMES = ["timestep", "timesteps", "t", "time", "sigma", "noise_level"];

/**
 * Opens a network with a dynamic batch axis and one time per row: the export of diffusers and Optimum, except that their
 * `timestep` is sometimes a scalar. Its models return raw outputs; wrap them in `denoiser` for a chain.
 *
 * @throws SpecdiffError("bad-model") if the file cannot be loaded or has not this form; the message says what it has
 */
export async function openOnnx(file: string, options: OnnxOptions = {}): Promise<OnnxNetwork> {
  const session = await (options.worker === false ? openHere : openInWorker)(file, options);
  try {
    return connect(file, session, options);
  } catch (error) {
    await session.close();
    throw error;
  }
}

/** The inputs and outputs of a file by their roles. */
interface Form {
  readonly state: TensorInfo;
  readonly time: TensorInfo;
  readonly extras: readonly TensorInfo[];
  readonly output: TensorInfo;
  readonly shape: readonly number[];
}

/** @throws SpecdiffError("bad-model") saying what is missing, what to do, and what the file has */
function formOf(file: string, { inputs, outputs }: Session, options: OnnxOptions): Form {
  const has = `it has inputs ${listOf(inputs)} and outputs ${listOf(outputs)}`;
  const bad = (what: string) => new SpecdiffError("bad-model", `${file}: ${what}; ${has}`);

  const state = inputs.find(({ name }) => STATE_NAMES.includes(name));
  if (!state)
    throw bad(`no input for the state; name it ${STATE_NAMES[0]} (or one of ${STATE_NAMES.slice(1).join(", ")})`);
  const time = inputs.find(({ name }) => TIME_NAMES.includes(name));
  if (!time) throw bad(`no input for the time; name it ${TIME_NAMES[0]} (or one of ${TIME_NAMES.slice(1).join(", ")})`);
  if (state.type !== "float32")
    throw bad(`input ${state.name} is ${state.type}; export the model with float32 inputs and outputs`);
  if (time.type !== "float32" && time.type !== "int64" && time.type !== "int32") {
    throw bad(`input ${time.name} is ${time.type}; it must be float32, int64 or int32`);
  }
  if (time.shape.length !== 1 || time.shape[0] === 1) {
    throw bad(
      `input ${time.name} takes one time for the whole batch, but a window needs one per row; export it again with a ${time.name} of shape [batch] ` +
        `(torch.onnx.export with timestep=torch.zeros(2) and dynamic_axes={"${state.name}": {0: "batch"}, "${time.name}": {0: "batch"}})`,
    );
  }
  if (typeof state.shape[0] === "number" && state.shape[0] >= 0) {
    throw bad(`input ${state.name} has a fixed batch of ${state.shape[0]}; export it with a dynamic batch axis`);
  }
  const shape = options.shape ?? state.shape.slice(1);
  const declared = state.shape.slice(1);
  if (
    shape.length !== declared.length ||
    shape.some((size, i) => typeof declared[i] === "number" && declared[i] > 0 && declared[i] !== size)
  ) {
    throw bad(`the state has shape [${shape.join(", ")}], which does not fit input ${show(state)}`);
  }
  const sizes = shape.map(Number);
  if (sizes.some((size) => !Number.isInteger(size) || size < 1)) {
    throw bad(`the file leaves the shape of ${state.name} open; give the shape of one state, such as [3, 32, 32]`);
  }
  const dim = sizes.reduce((product, size) => product * size, 1);
  const output = outputs[0];
  if (output?.type !== "float32") throw bad("the first output must be float32");
  const outputShape = output.shape.slice(1);
  if (outputShape.length > 0 && outputShape.every((size) => typeof size === "number" && size > 0)) {
    const outputDim = outputShape.reduce<number>((product, size) => product * Number(size), 1);
    if (outputDim === 2 * dim) {
      throw bad(
        `output ${output.name} has twice the numbers of a state: a learned variance. Only fixed variances can be sampled exactly; export the mean part alone if the model allows it`,
      );
    }
    if (outputDim !== dim) throw bad(`output ${output.name} has ${outputDim} numbers per row, a state has ${dim}`);
  }

  return { state, time, extras: inputs.filter((input) => input !== state && input !== time), output, shape: sizes };
}

function connect(file: string, session: Session, options: OnnxOptions): OnnxNetwork {
  const { state, time, extras, output, shape } = formOf(file, session, options);
  const { inputs, outputs } = session;
  const dim = shape.reduce((product, size) => product * size, 1);
  return { shape, inputs, outputs, model, close: () => session.close() };

  function model(conditions: Readonly<Record<string, Condition>> = {}): Model {
    const missing = extras.filter(({ name }) => !Object.hasOwn(conditions, name));
    if (missing.length > 0) {
      throw new SpecdiffError("bad-argument", `${file} also needs ${listOf(missing)}; give them as conditions`);
    }
    const unknown = Object.keys(conditions).filter((name) => !extras.some((extra) => extra.name === name));
    if (unknown.length > 0)
      throw new SpecdiffError("bad-argument", `${file} has no input ${unknown.join(", ")}; it has ${listOf(inputs)}`);
    let networkMs = 0;
    return {
      dim,
      get networkMs() {
        return networkMs;
      },
      async evaluate(rows: Rows) {
        const feeds = feed(rows, conditions);
        const answer = await session.run(feeds, output.name);
        networkMs += answer.ms;
        if (answer.output.length !== rows.count * dim) {
          throw new SpecdiffError(
            "bad-output",
            `${file} returned shape [${answer.dims.join(", ")}] for ${rows.count} rows of [${shape.join(", ")}]; output and state must have the same shape`,
          );
        }
        return answer.output;
      },
    };
  }

  function feed(rows: Rows, conditions: Readonly<Record<string, Condition>>): Record<string, Tensor> {
    const { count } = rows;
    const feeds: Record<string, Tensor> = {
      [state.name]: {
        type: "float32",
        data: new Float32Array(rows.states.subarray(0, count * dim)),
        dims: [count, ...shape],
      },
      [time.name]: tensor(time, rows.time.subarray(0, count), [count]),
    };
    for (const extra of extras) feeds[extra.name] = conditionTensor(file, extra, rows, conditions[extra.name]!);
    return feeds;
  }
}

function conditionTensor(file: string, info: TensorInfo, rows: Rows, condition: Condition): Tensor {
  const first = condition(rows.trajectory[0]!);
  const size = first.length;
  const values = new Float64Array(rows.count * size);
  for (let row = 0; row < rows.count; row++) {
    const value = condition(rows.trajectory[row]!);
    if (value.length !== size) {
      throw new SpecdiffError(
        "bad-argument",
        `condition ${info.name} of ${file} has ${value.length} numbers for trajectory ${rows.trajectory[row]}, ${size} before`,
      );
    }
    values.set(value, row * size);
  }
  const shape = info.shape.slice(1);
  const known = shape.every((extent) => typeof extent === "number" && extent > 0);
  const inner = known ? shape.map(Number) : size === 1 ? shape.map(() => 1) : [size];
  if (inner.reduce((product, extent) => product * extent, 1) !== size) {
    throw new SpecdiffError(
      "bad-argument",
      `condition ${info.name} of ${file} has ${size} numbers per trajectory; the network takes ${show(info)}`,
    );
  }
  return tensor(info, values, [rows.count, ...inner]);
}

function tensor({ name, type }: TensorInfo, values: Float64Array, dims: number[]): Tensor {
  if (type === "float32") return { type, data: new Float32Array(values), dims };
  const fraction = values.find((value) => !Number.isInteger(value));
  if (fraction !== undefined) {
    throw new SpecdiffError(
      "bad-argument",
      `input ${name} takes whole numbers (${type}) but was given ${fraction}; use a schedule whose times are whole, or export it as float32`,
    );
  }
  if (type === "int64")
    return { type, data: BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i]!)), dims };
  if (type === "int32") return { type, data: Int32Array.from(values), dims };
  if (type === "bool") return { type, data: Uint8Array.from(values), dims };
  throw new SpecdiffError("bad-model", `input ${name} has type ${type}; supported are float32, int64, int32 and bool`);
}

function listOf(tensors: readonly TensorInfo[]): string {
  return tensors.map(show).join(", ");
}

function show({ name, type, shape }: TensorInfo): string {
  return `${name} (${type}[${shape.join(", ")}])`;
}
