import { SpecdiffError } from "../core/errors.js";
import { type SampleOptions, type SampleResult, sample } from "../core/loop.js";
import type { Model } from "../core/model.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { type Condition, type OnnxNetwork, type OnnxOptions, openOnnx } from "../onnx/index.js";
import { plain } from "../plain.js";
import { denoiser, type Schedule, scheduleFromConfig } from "../schedules/index.js";
import { verifierNamed } from "../verifiers/index.js";
import { type ModelFolder, readModelFolder } from "./model-folder.js";

/** Everything `run` can be told; all but `count` have defaults. */
export interface RunOptions
  extends Pick<
    SampleOptions,
    | "carry"
    | "leaves"
    | "inFlight"
    | "maxRows"
    | "paths"
    | "logDensity"
    | "plan"
    | "signal"
    | "onProgress"
    | "onRound"
    | "onFinish"
    | "initial"
  > {
  /** Number of samples. */
  readonly count: number;
  /** Default 0. */
  readonly seed?: number;
  /** Transitions K of the chain. Default 100. */
  readonly steps?: number;
  /** Stochasticity: churn of the reverse SDE, eta of DDIM. Default: the scheduler's own. */
  readonly churn?: number;
  /** "frozen:x0", "independent", "none", .. Default "frozen". */
  readonly draft?: string;
  /** How a window is verified. Default "reflection". */
  readonly coupling?: string;
  /** Steps drafted per round. Default 10. */
  readonly window?: number;
  /** Further inputs of the network by name. */
  readonly conditions?: Readonly<Record<string, Condition>>;
  /** Class of each trajectory, repeated as needed: names or numbers. Default: all classes in turn. */
  readonly classes?: readonly (string | number)[];
}

export interface Pipeline {
  readonly folder: ModelFolder;
  /** Shape of one sample, such as [3, 32, 32]. */
  readonly shape: readonly number[];
  readonly target: OnnxNetwork;
  run(options: RunOptions): Promise<SampleResult>;
  /** The target's raw output, for measuring its cost. */
  networkModel(): Model;
  /** The chain and readout that `run` would use. */
  schedule(options: Pick<RunOptions, "steps" | "churn">): Schedule;
  close(): Promise<void>;
}

/**
 * Opens a model folder for exact speculative sampling.
 *
 * ```ts
 * const pipeline = await fromPretrained("models/cifar10");
 * const { samples, record } = await pipeline.run({ count: 16, steps: 100, seed: 1 });
 * ```
 * @throws SpecdiffError for a missing file, a network of another form, an unsupported scheduler
 */
export async function fromPretrained(path: string, options: OnnxOptions = {}): Promise<Pipeline> {
  const folder = await readModelFolder(path);
  const target = await openOnnx(folder.target, options);
  let draft: Promise<OnnxNetwork> | undefined;

  const schedule = ({ steps = 100, churn }: Pick<RunOptions, "steps" | "churn">) =>
    scheduleFromConfig(folder.scheduler, { steps, ...(churn !== undefined && { churn }) });

  const conditionsOf = (classes: RunOptions["classes"], others: RunOptions["conditions"]) => {
    const labels = labelsOf(folder, classes);
    return { ...others, ...(labels && { class_labels: (n: number) => [labels[n % labels.length]!] }) };
  };

  return {
    folder,
    shape: target.shape,
    target,
    schedule,
    networkModel: () => target.model(conditionsOf(undefined, undefined)),
    async run({
      count,
      seed = 0,
      steps,
      churn,
      draft: name = "frozen",
      coupling = "reflection",
      window = 10,
      classes,
      conditions,
      ...rest
    }) {
      const { chain, readout } = schedule({
        ...(steps !== undefined && { steps }),
        ...(churn !== undefined && { churn }),
      });
      const given = conditionsOf(classes, conditions);
      const model = denoiser(target.model(given), readout);
      if (name === "none") return sample({ ...rest, ...plain, chain, model, count, seed });
      let draftModel: Model | undefined;
      if (name === "independent" && folder.draft) {
        draft ??= openOnnx(folder.draft, options);
        draftModel = denoiser((await draft).model(given), readout);
      }
      const drafter = createDrafter(name, { chain, ...(draftModel && { draftModel }) });
      return sample({
        ...rest,
        drafter,
        verifier: verifierNamed(coupling),
        window: fixedWindow(window),
        chain,
        model,
        count,
        seed,
      });
    },
    async close() {
      await Promise.all([target.close(), draft?.then((network) => network.close())]);
    },
  };
}

function labelsOf(
  { classes: names, name: model }: ModelFolder,
  wanted: readonly (string | number)[] | undefined,
): readonly number[] | undefined {
  if (!names) {
    if (wanted) throw new SpecdiffError("bad-argument", `${model} has no classes`);
    return undefined;
  }
  if (!wanted || wanted.length === 0) return names.map((_, label) => label);
  return wanted.map((one) => {
    const label = typeof one === "number" ? one : names.includes(one) ? names.indexOf(one) : Number(one);
    if (!Number.isInteger(label) || label < 0 || label >= names.length) {
      throw new SpecdiffError(
        "bad-argument",
        `unknown class "${one}" of ${model}; known are ${names.map((n, i) => `${i} ${n}`).join(", ")}`,
      );
    }
    return label;
  });
}
