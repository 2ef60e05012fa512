import { SpecdiffError } from "../core/errors.js";
import type { Model, Rows } from "../core/model.js";
import { type Form, formOf, isExtent, learnedVariance, listOf, show, sizeOf } from "./form.js";
import { toHalf } from "./half.js";
import type { Session, Tensor, TensorInfo } from "./session.js";

/** Values of one extra input for a trajectory, in the order of the input's shape without its batch axis. */
export type Condition = (trajectory: number) => ArrayLike<number>;
export type Conditions = Readonly<Record<string, Condition>>;

/**
 * Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): u + scale (c - u), of the outputs c under the conditions
 * and u under `unconditional` in place of the conditions it names. Every state takes two rows of one call.
 */
export interface Guidance {
  /** 1 is no guidance; diffusers' `guidance_scale`. */
  readonly scale: number;
  readonly unconditional: Conditions;
}

/** An opened ONNX file of the form (state, time, ..) -> output. */
export interface OnnxNetwork extends Form {
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /**
   * The network under the given conditions: every input beside state and time needs one. Models of one network share its
   * session and may be used side by side. Where the file takes one time for the whole batch (`perRowTimes` is false), an
   * evaluation makes one call for every distinct time, and they are counted.
   * @throws SpecdiffError("bad-argument") for missing or unknown conditions
   */
  model(conditions?: Conditions, guidance?: Guidance): Model;
  close(): Promise<void>;
}

/**
 * A network from an opened session.
 * @param label what messages call the file
 * @param shape of one state where the file leaves it open
 * @throws SpecdiffError("bad-model") if the file has another form
 */
export async function connect(label: string, session: Session, shape?: readonly number[]): Promise<OnnxNetwork> {
  try {
    const form = formOf(label, session, shape);
    const { inputs, outputs } = session;
    return {
      ...form,
      inputs,
      outputs,
      model: (conditions = {}, guidance) => modelOf(label, session, form, conditions, guidance),
      close: () => session.close(),
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

function modelOf(
  label: string,
  session: Session,
  form: Form,
  conditions: Conditions,
  guidance: Guidance | undefined,
): Model {
  const { state, time, extras, output, shape, perRowTimes } = form;
  const dim = sizeOf(shape);
  const passes = guidance ? [conditions, { ...conditions, ...guidance.unconditional }] : [conditions];
  const missing = extras.filter(({ name }) => !Object.hasOwn(conditions, name));
  if (missing.length > 0) {
    throw new SpecdiffError(
      "bad-argument",
      `${label} also needs ${listOf(missing)}; give them as conditions (--condition NAME=FILE.npy)`,
    );
  }
  const unknown = Object.keys(passes.at(-1)!).filter((name) => !extras.some((extra) => extra.name === name));
  if (unknown.length > 0) {
    const inputs = listOf([state, time, ...extras]);
    throw new SpecdiffError("bad-argument", `${label} has no input ${unknown.join(", ")}; it has ${inputs}`);
  }
  if (guidance && (!Number.isFinite(guidance.scale) || Object.keys(guidance.unconditional).length === 0)) {
    throw new SpecdiffError(
      "bad-argument",
      `guidance of scale ${guidance.scale} needs a finite scale and the unconditional values of at least one input of ${label}`,
    );
  }

  let networkMs = 0;
  return {
    dim,
    rowsPerState: passes.length,
    oneTimePerCall: !perRowTimes,
    get networkMs() {
      return networkMs;
    },
    async evaluate(rows: Rows) {
      if (perRowTimes) return call(rows);
      const outputs = new Float32Array(rows.count * dim);
      for (const own of rowsByTime(rows)) {
        const answer = await call(select(rows, own));
        own.forEach((row, i) => {
          outputs.set(answer.subarray(i * dim, (i + 1) * dim), row * dim);
        });
      }
      return outputs;
    },
  };

  async function call(rows: Rows): Promise<Float32Array> {
    const answer = await session.run(feed(rows), output.name);
    networkMs += answer.ms;
    const wanted = rows.count * passes.length * dim;
    if (answer.output.length === 2 * wanted)
      throw new SpecdiffError("bad-output", `${label}: ${learnedVariance(output.name)}`);
    if (answer.output.length !== wanted) {
      throw new SpecdiffError(
        "bad-output",
        `${label} returned shape [${answer.dims.join(", ")}] for ${rows.count * passes.length} rows of [${shape.join(", ")}]; output and state must have the same shape`,
      );
    }
    return guidance ? guided(answer.output, guidance.scale) : answer.output;
  }

  /** All rows of a pass, then all of the next. */
  function feed({ count, states, time: times, trajectory }: Rows): Record<string, Tensor> {
    const total = count * passes.length;
    const x = new Float32Array(total * dim);
    for (let pass = 0; pass < passes.length; pass++) x.set(states.subarray(0, count * dim), pass * count * dim);
    const t = perRowTimes
      ? Float64Array.from({ length: total }, (_, row) => times[row % count]!)
      : times.subarray(0, 1);
    const timeShape = perRowTimes ? [total, ...time.shape.slice(1).map(() => 1)] : time.shape.map(() => 1);
    const feeds: Record<string, Tensor> = {
      [state.name]: tensor(state, x, [total, ...shape]),
      [time.name]: tensor(time, t, timeShape),
    };
    for (const extra of extras) {
      const values = Array.from({ length: total }, (_, row) => {
        const trajectoryOf = trajectory[row % count]!;
        return passes[Math.floor(row / count)]![extra.name]!(trajectoryOf);
      });
      feeds[extra.name] = conditionTensor(label, extra, values);
    }
    return feeds;
  }
}

/** u + scale (c - u) from the rows of c, then those of u. */
function guided(both: Float32Array, scale: number): Float32Array {
  const half = both.length / 2;
  const out = both.slice(0, half);
  for (let i = 0; i < half; i++) out[i] = both[half + i]! + scale * (both[i]! - both[half + i]!);
  return out;
}

function rowsByTime({ count, time }: Rows): number[][] {
  const groups = new Map<number, number[]>();
  for (let row = 0; row < count; row++) {
    const group = groups.get(time[row]!);
    if (group) group.push(row);
    else groups.set(time[row]!, [row]);
  }
  return [...groups.values()];
}

function select({ dim, trajectory, step, time, states }: Rows, rows: readonly number[]): Rows {
  const chosen = new Float64Array(rows.length * dim);
  rows.forEach((row, i) => {
    chosen.set(states.subarray(row * dim, (row + 1) * dim), i * dim);
  });
  return {
    count: rows.length,
    dim,
    trajectory: Int32Array.from(rows, (row) => trajectory[row]!),
    step: Int32Array.from(rows, (row) => step[row]!),
    time: Float64Array.from(rows, (row) => time[row]!),
    states: chosen,
  };
}

function conditionTensor(label: string, info: TensorInfo, rows: readonly ArrayLike<number>[]): Tensor {
  const size = rows[0]!.length;
  const odd = rows.find((row) => row.length !== size);
  if (odd) {
    throw new SpecdiffError(
      "bad-argument",
      `condition ${info.name} of ${label} has ${odd.length} numbers for one trajectory and ${size} for another; all need the same`,
    );
  }
  const declared = info.shape.slice(1);
  const open = declared.filter((extent) => !isExtent(extent)).length;
  const rest = size / sizeOf(declared.filter(isExtent));
  // One open axis takes what the others leave, as the length of a text does.
  const inner = open <= 1 ? declared.map((extent) => (isExtent(extent) ? extent : rest)) : [];
  if (!inner.every(isExtent) || sizeOf(inner) !== size) {
    throw new SpecdiffError(
      "bad-argument",
      `condition ${info.name} of ${label} has ${size} numbers per trajectory, which do not fill ${show(info)}` +
        (open > 1 ? "; export it with at most one open axis beside the batch" : ""),
    );
  }
  const values = new Float64Array(rows.length * size);
  rows.forEach((row, i) => {
    values.set(row, i * size);
  });
  return tensor(info, values, [rows.length, ...inner]);
}

function tensor({ name, type }: TensorInfo, values: Float64Array | Float32Array, dims: number[]): Tensor {
  if (type === "float32") return { type, data: new Float32Array(values), dims };
  if (type === "float16") return { type, data: toHalf(values), dims };
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
  throw new SpecdiffError(
    "bad-model",
    `input ${name} has type ${type}; supported are float32, float16, int64, int32 and bool`,
  );
}
