import { SpecdiffError } from "../core/errors.js";
import type { Model, Outputs, Rows } from "../core/model.js";
import type { Readout } from "./schedule.js";

/**
 * A model that returns E[x0 | x], made from one that returns whatever its network was trained for. One evaluation at a time;
 * what it returns is valid until the next. NaN and, without a clip, infinities pass through, so that the loop sees them.
 *
 * @throws SpecdiffError("bad-output") from `evaluate` if the network returns too few numbers
 * @throws SpecdiffError("bad-argument") from `evaluate` for a step that the readout does not have
 */
export function denoiser(model: Model, readout: Readout): Model {
  const { inputScale, p, q, clip = Number.POSITIVE_INFINITY } = readout;
  const { dim } = model;
  const scales = inputScale.some((scale) => scale !== 1);
  let states = new Float64Array(0);
  let outputs = new Float64Array(0);

  return {
    dim,
    get networkMs() {
      return model.networkMs;
    },
    rowsPerState: model.rowsPerState ?? 1,
    oneTimePerCall: model.oneTimePerCall ?? false,
    async evaluate(rows: Rows, signal?: AbortSignal) {
      if (outputs.length < rows.count * dim) outputs = new Float64Array(2 * rows.count * dim);
      const raw = await model.evaluate(scales ? scaled(rows) : rows, signal);
      read(rows, raw);
      return outputs;
    },
  };

  function scaled({ count, trajectory, step, time, states: from }: Rows): Rows {
    if (states.length < count * dim) states = new Float64Array(2 * count * dim);
    for (let row = 0; row < count; row++) {
      const scale = inputScale[step[row]!]!;
      for (let i = row * dim; i < (row + 1) * dim; i++) states[i] = scale * from[i]!;
    }
    return { count, dim, trajectory, step, time, states };
  }

  function read({ count, step, states: x }: Rows, raw: Outputs): void {
    if (raw.length < count * dim) {
      throw new SpecdiffError(
        "bad-output",
        `the network returned ${raw.length} numbers; ${count} rows of ${dim} need ${count * dim}`,
      );
    }
    for (let row = 0; row < count; row++) {
      const k = step[row]!;
      if (!(k >= 0 && k < p.length)) {
        throw new SpecdiffError(
          "bad-argument",
          `row ${row} is at step ${k}, but the readout has ${p.length} steps; use the chain and readout of one schedule`,
        );
      }
      const ofState = p[k]!;
      const ofRaw = q[k]!;
      for (let i = row * dim; i < (row + 1) * dim; i++) {
        // Math.min and Math.max keep NaN. ofState 0 leaves the state out, whatever it is.
        const x0 = ofState === 0 ? ofRaw * raw[i]! : ofState * x[i]! + ofRaw * raw[i]!;
        outputs[i] = Math.min(clip, Math.max(-clip, x0));
      }
    }
  }
}
