import { type ErrorCode, SpecdiffError } from "../core/errors.js";
import { sample } from "../core/loop.js";
import { type Model, RowBuffer } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { plain } from "../plain.js";
import { denoiser, type Schedule, scheduleFromConfig } from "../schedules/index.js";
import type { JsonObject } from "./folder.js";
import type { ConditionOptions, Pipeline } from "./pipeline.js";

/** One thing that was looked at. */
export interface Finding {
  readonly name: "finite" | "rows" | "prediction";
  readonly ok: boolean;
  /** What was measured, and if it is not ok, what to do. */
  readonly detail: string;
}

export interface CheckOptions extends ConditionOptions {
  /** Execution providers in use; they decide how exactly rows must agree. Default ["cpu"]. */
  readonly providers?: readonly string[];
}

const STEPS = 16;
const SEED = 20_261_123;

/**
 * How much a row in a batch may differ from the same row alone, as a share of the outputs' root mean square. On "cpu" and
 * "wasm" only the order of sums may differ; GPUs also choose other kernels, some in TF32 or half precision.
 */
export function rowTolerance(providers: readonly string[], halfPrecision: boolean): number {
  if (halfPrecision) return 2e-2;
  return providers.every((name) => name === "cpu" || name === "wasm") ? 1e-4 : 5e-3;
}

/**
 * Tries a model before long work, in about 50 rows of the network: finite at both ends of the schedule; rows in a batch equal
 * rows alone, hence also each at its own time; and the prediction type is the one the network was trained for
 * ({@link fitOf}). That the variance is fixed, and what the inputs are, was read when the file was opened.
 */
export async function selfCheck(pipeline: Pipeline, options: CheckOptions = {}): Promise<Finding[]> {
  const { guidance: _, unconditional: __, ...conditions } = options; // guided outputs are no expectations
  const network = pipeline.networkModel(conditions);
  const schedule = short(pipeline.scheduler);
  const half = pipeline.target.state.type === "float16" || pipeline.target.output.type === "float16";
  const tolerance = rowTolerance(options.providers ?? ["cpu"], half);
  const first = await checkRows(network, schedule, tolerance);
  if (first.some(({ ok }) => !ok)) return first;
  return [...first, await checkPrediction(network, pipeline.scheduler)];
}

/** @throws SpecdiffError for the first finding that is not ok: "bad-output" if not finite, else "bad-model" */
export function assertChecked(name: string, findings: readonly Finding[]): void {
  const bad = findings.find(({ ok }) => !ok);
  if (!bad) return;
  const code: ErrorCode = bad.name === "finite" ? "bad-output" : "bad-model";
  throw new SpecdiffError(code, `${name}: ${bad.detail}`);
}

/** A short chain through the same levels; ancestral steps exist for every scheduler and any number of steps. */
function short(config: JsonObject): Schedule {
  const most = typeof config.num_train_timesteps === "number" ? config.num_train_timesteps : STEPS;
  return scheduleFromConfig(config, { steps: Math.min(STEPS, most), sampler: "ancestral", churn: 1 });
}

async function checkRows(network: Model, schedule: Schedule, tolerance: number): Promise<Finding[]> {
  const { dim } = network;
  const model = denoiser(network, { ...schedule.readout, p: zeros(schedule), q: zeros(schedule).fill(1) }); // raw outputs
  const random = new RandomStream(SEED);
  const last = schedule.chain.sigma.length - 1;
  const buffers = [new RowBuffer(dim)];
  const state = new Float64Array(dim);
  for (const [row, step] of [0, last, last >> 1, 0].entries()) {
    random.key(row, 0, step, 0).normals(state);
    const size = Math.hypot(0.5 * schedule.alpha[step]!, schedule.noise[step]!);
    for (let i = 0; i < dim; i++) state[i]! *= size;
    const alone = new RowBuffer(dim);
    for (const rows of [buffers[0]!, alone]) rows.push(row, step, schedule.chain, state, 0);
    buffers.push(alone);
  }
  const [together, ...alone] = await inTurn(buffers, async (rows) =>
    Float64Array.from((await model.evaluate(rows)).subarray(0, rows.count * dim)),
  );
  const unfinite = together!.findIndex((value) => !Number.isFinite(value));
  if (unfinite >= 0) {
    const end = ["the noise end", "the data end", "the middle", "the noise end"][Math.floor(unfinite / dim)];
    return [
      {
        name: "finite",
        ok: false,
        detail: `the network returns ${together![unfinite]} at ${end} of the schedule; its weights are damaged or overflow in this precision`,
      },
    ];
  }
  const rms = Math.sqrt(together!.reduce((sum, value) => sum + value * value, 0) / together!.length) || 1;
  const gaps = alone.map((values, row) =>
    values.reduce((most, value, i) => Math.max(most, Math.abs(value - together![row * dim + i]!)), 0),
  );
  const gap = Math.max(...gaps) / rms;
  const measured = `a row in a batch differs from the same row alone by ${gap.toExponential(1)} of the outputs' size`;
  return [
    { name: "finite", ok: true, detail: "finite at both ends of the schedule" },
    {
      name: "rows",
      ok: gap <= tolerance,
      detail:
        gap <= tolerance
          ? `${measured}; allowed ${tolerance}`
          : `${measured}, more than ${tolerance}: the rows of a batch affect each other, or take the time of the first. ` +
            "Export in evaluation mode (model.eval()) with a time for every row, or use another provider",
    },
  ];
}

/** How well a network fits a schedule with its prediction type; from {@link fitOf}. */
interface Fit {
  /** Mean logarithm of the error, in units of a linear estimate's, at middle levels; below 0 is better than linear. */
  readonly score: number;
  readonly ok: boolean;
  readonly worst: string;
}

/** Levels looked at, as the angle of noise against signal, alpha sqrt(v): nearly noise, to mostly signal. */
const ANGLES = [84, 67, 45, 22];

/**
 * Samples some plain trajectories, adds known noise to the results and asks the network to take it off again. For a
 * network trained to be E[x0 | x], two things hold whatever the data are, and a wrong reading of its output breaks them:
 *
 * - its error at x = alpha y + noise eps is not above that of the best linear estimate, v noise^2 / (alpha^2 v + noise^2) per
 *   coordinate, v = mean y^2; allowed is 1.5 times that, and 3 times nearly at noise, where errors of epsilon count most;
 * - the estimate of eps is orthogonal to its own error, <eps - h, h> = 0; allowed is <eps, h> / <h, h> from 0.8 to 1.25 at
 *   half signal and above in noise.
 */
async function fitOf(network: Model, schedule: Schedule): Promise<Fit> {
  const { dim } = network;
  const { chain, readout, alpha, noise } = schedule;
  const count = Math.min(32, Math.max(2, Math.ceil(256 / dim)));
  const model = denoiser(network, readout);
  const { samples } = await sample({ ...plain, chain, model, count, seed: SEED, inFlight: count });
  const v = samples.reduce((sum, y) => sum + y * y, 0) / samples.length;

  const { clip: _, ...unclipped } = readout; // clipping would hide how wrong an estimate is
  const levels = ANGLES.map((angle) => nearestLevel(schedule, angle, Math.sqrt(v)));
  const random = new RandomStream(SEED + 1);
  const rows = new RowBuffer(dim);
  const eps = new Float64Array(levels.length * count * dim);
  const state = new Float64Array(dim);
  levels.forEach((k, level) => {
    for (let n = 0; n < count; n++) {
      const at = rows.count * dim;
      random.key(n, level, k, 0).normals(eps, at, dim);
      for (let i = 0; i < dim; i++) state[i] = alpha[k]! * samples[n * dim + i]! + noise[k]! * eps[at + i]!;
      rows.push(n, k, chain, state, 0);
    }
  });
  const outputs = await denoiser(network, unclipped).evaluate(rows);

  let score = 0;
  let worst = { excess: 0, text: "" };
  levels.forEach((k, level) => {
    let error = 0;
    let product = 0;
    let square = 0;
    for (let i = level * count * dim; i < (level + 1) * count * dim; i++) {
      const x0 = outputs[i]!;
      const h = (rows.states[i]! - alpha[k]! * x0) / noise[k]!;
      error += (x0 - samples[i % (count * dim)]!) ** 2;
      product += h * eps[i]!;
      square += h * h;
    }
    const linear = (v * noise[k]! ** 2) / (alpha[k]! ** 2 * v + noise[k]! ** 2);
    const ratio = error / (count * dim) / linear;
    const slope = product / square;
    if (level > 0) score += Math.log(ratio) / (levels.length - 1);
    const excess = Math.max(
      Math.log(ratio) / Math.log(level === 0 ? 3 : 1.5),
      level < 3 ? Math.abs(Math.log(Math.max(slope, 1e-9))) / Math.log(1.25) : 0,
    );
    if (!(excess <= worst.excess)) {
      const where = `at alpha ${alpha[k]!.toPrecision(2)}, noise ${noise[k]!.toPrecision(2)}`;
      worst = {
        excess,
        text: `${where} its error is ${ratio.toPrecision(2)} times a linear estimate's and <eps, h>/<h, h> is ${slope.toPrecision(2)} instead of 1`,
      };
    }
  });
  return { score, ok: worst.excess <= 1, worst: worst.text };
}

/**
 * The declared prediction type must fit by itself. Where it fits, but not well, others are tried, and none may be clearly
 * better: a factor e^0.5 in squared error on average.
 */
async function checkPrediction(network: Model, config: JsonObject): Promise<Finding> {
  const declared = await fit(network, config);
  const clear = declared.ok && declared.score < -1.5;
  const others = clear
    ? []
    : await inTurn(alternatives(config), async (other) => ({ ...(await fit(network, other.config)), ...other }));
  const best = others.filter(({ ok }) => ok).sort((a, b) => a.score - b.score)[0];
  const name = nameOf(config);
  if (declared.ok && !(best && best.score < declared.score - 0.5)) {
    return {
      name: "prediction",
      ok: true,
      detail: `the network fits ${name}: noise added to samples is taken off with ${Math.exp(declared.score).toPrecision(2)} times the error of a linear estimate`,
    };
  }
  const found = declared.ok ? "fits much worse than another reading" : declared.worst;
  const remedy = best
    ? `It fits ${nameOf(best.config)}: say ${best.flag}, or correct scheduler_config.json`
    : "No other prediction type fits either: the schedule, the scale of the data or the conditions may be wrong, or the network is hardly trained";
  return {
    name: "prediction",
    ok: false,
    detail: `the network does not fit ${name}: ${found}. ${remedy} (--no-check samples anyway)`,
  };
}

async function fit(network: Model, config: JsonObject): Promise<Fit> {
  try {
    return await fitOf(network, short(config));
  } catch (error) {
    // A reading that this schedule or network cannot have (epsilon at zero SNR, fractions as whole times, overflow): no fit.
    return {
      score: Number.POSITIVE_INFINITY,
      ok: false,
      worst: error instanceof Error ? error.message : String(error),
    };
  }
}

/** Other things the network may have been trained for, as scheduler configs, and how to say them. */
function alternatives(config: JsonObject): { config: JsonObject; flag: string }[] {
  const flow = {
    _class_name: "FlowMatchEulerDiscreteScheduler",
    num_train_timesteps: config.num_train_timesteps ?? 1000,
  };
  const typed = (base: JsonObject, prefix: string, types: readonly string[]) =>
    types.map((type) => ({
      config: { ...base, prediction_type: type },
      flag: `--scheduler ${prefix}prediction_type=${type}`,
    }));
  const all = ["epsilon", "sample", "v_prediction"];
  const own = predictionOf(config);
  switch (config._class_name) {
    case flow._class_name:
      return ["linear", "squaredcos_cap_v2"].flatMap((beta_schedule) =>
        typed(
          {
            _class_name: "DDPMScheduler",
            num_train_timesteps: flow.num_train_timesteps,
            beta_schedule,
            clip_sample: false,
          },
          `DDPMScheduler beta_schedule=${beta_schedule} `,
          all,
        ),
      );
    case "EDMEulerScheduler":
      return typed(
        config,
        "",
        all.filter((type) => type !== own && type !== "sample"),
      );
    default:
      return [
        ...typed(
          config,
          "",
          all.filter((type) => type !== own),
        ),
        { config: flow, flag: "--scheduler FlowMatchEulerDiscreteScheduler" },
      ];
  }
}

function predictionOf(config: JsonObject): string {
  if (config._class_name === "FlowMatchEulerDiscreteScheduler") return "flow";
  return typeof config.prediction_type === "string" ? config.prediction_type : "epsilon";
}

function nameOf(config: JsonObject): string {
  return `prediction "${predictionOf(config)}" of ${config._class_name}`;
}

function nearestLevel({ alpha, noise, chain }: Schedule, degrees: number, size: number): number {
  const angle = (k: number) => (Math.atan2(noise[k]!, size * alpha[k]!) * 180) / Math.PI;
  return chain.time.reduce(
    (best, _, k) => (Math.abs(angle(k) - degrees) < Math.abs(angle(best) - degrees) ? k : best),
    0,
  );
}

function zeros({ chain }: Schedule): Float64Array {
  return new Float64Array(chain.time.length);
}

/** One after the other: a network answers one call at a time. */
async function inTurn<In, Out>(inputs: readonly In[], ask: (input: In) => Promise<Out>): Promise<Out[]> {
  const outputs: Out[] = [];
  for (const input of inputs) outputs.push(await ask(input));
  return outputs;
}
