import { SpecdiffError } from "../core/errors.js";
import { type SampleOptions, type SampleResult, sample } from "../core/loop.js";
import type { Model } from "../core/model.js";
import { fixedWindow, type WindowPolicy } from "../core/window-policy.js";
import { createDrafter, type DraftContext, usesDraftModel } from "../drafters/index.js";
import type { Conditions, Guidance, OnnxNetwork } from "../onnx/network.js";
import type { Session } from "../onnx/session.js";
import { plain } from "../plain.js";
import { type ConfigOptions, denoiser, type Schedule, scheduleFromConfig } from "../schedules/index.js";
import { verifierNamed } from "../verifiers/index.js";
import { autoWindow } from "../windows/auto.js";
import { type ExpectedDelta, expectedDelta } from "../windows/calibration.js";
import { type RunningCost, runningCost } from "../windows/running-cost.js";
import { type CostCurve, type KnownCost, measureCost, timeOf } from "./cost.js";
import { type Decoded, decodeLatents } from "./decoder.js";
import type { JsonObject, ModelFolder } from "./folder.js";
import {
  assertTakesPrompts,
  embedPrompts,
  openTokenizer,
  type PromptOptions,
  TEXT_INPUT,
  type Tokenizer,
  takesText,
} from "./prompts.js";

/** What a run is where its options do not say. */
export const DEFAULTS = { steps: 100, draft: "auto", coupling: "reflection", window: "auto" } as const;
/** A window that serves well where calls matter more than rows: for what must not depend on the machine. */
export const FIXED_WINDOW = 20;

/** What the chain is: the scheduler of the folder, walked in `steps` steps. */
export interface ScheduleOptions {
  /** Transitions K of the chain. Default: {@link DEFAULTS}. */
  readonly steps?: number;
  /** Stochasticity: churn of the reverse SDE, eta of DDIM. Default: the scheduler's own. */
  readonly churn?: number;
  /** "ancestral" or "sde" instead of what the scheduler's class stands for; needed for deterministic ones. */
  readonly sampler?: ConfigOptions["sampler"];
}

/** What the network is told beside state and time. */
export interface ConditionOptions {
  /** Further inputs of the network by name. */
  readonly conditions?: Conditions;
  /** Class of each trajectory, repeated as needed: names or numbers. Default: all classes in turn. */
  readonly classes?: readonly (string | number)[];
  /** Scale of classifier-free guidance; two rows for every state. Default: none. */
  readonly guidance?: number;
  /** What guidance leads away from, by input. Default: the folder's nullClass as class_labels. */
  readonly unconditional?: Conditions;
}

/** Everything `run` can be told; all but `count` have defaults. */
export interface RunOptions
  extends ScheduleOptions,
    ConditionOptions,
    PromptOptions,
    Pick<
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
  /** "posterior", "frozen:x0", "independent", "none", .. Default: the pipeline's `defaultDraft`. */
  readonly draft?: string;
  /** How a window is verified. Default: {@link DEFAULTS}. */
  readonly coupling?: string;
  /**
   * Steps drafted per round; "auto" for what pays by the time of a call against its rows on this machine (see `cost`): which
   * samples come out depends on it, their law does not, and the result has the plan to replay; or what chooses. Default:
   * {@link DEFAULTS}.
   */
  readonly window?: number | "auto" | WindowPolicy;
}

export interface Pipeline {
  readonly folder: ModelFolder;
  /** Shape of one sample, such as [3, 32, 32]. */
  readonly shape: readonly number[];
  readonly target: OnnxNetwork;
  /** The drafter of a run that names none; "none" where the network takes one time per call, so that no call can be saved. */
  readonly defaultDraft: string;
  run(options: RunOptions): Promise<SampleResult>;
  /**
   * The conditions with those that prompts stand for; without prompts nothing changes. `run` does it by itself, what else
   * takes conditions is given the result.
   * @throws SpecdiffError("bad-argument") for a network that takes no text; "file" or "bad-model" if the folder has no
   *   tokenizer or text encoder that can be used
   */
  embed(options: ConditionOptions & PromptOptions): Promise<ConditionOptions>;
  /** The target's raw output under the conditions: for measuring and checking. */
  networkModel(conditions?: ConditionOptions): Model;
  /** What `createDrafter` builds from, for the chain that `run` would use. */
  draftContext(options: ScheduleOptions & ConditionOptions): Promise<DraftContext>;
  /** The scheduler config in use. */
  readonly scheduler: JsonObject;
  /** The chain and readout that `run` would use. */
  schedule(options: ScheduleOptions): Schedule;
  /** The time of a call against its rows on this machine, measured when first asked for. */
  cost(options?: CostOptions): Promise<KnownCost>;
  /** How far off the guesses of such a run will be, if the folder has a calibration of its drafter: for automatic windows. */
  expectedDelta(options: ScheduleOptions & Pick<RunOptions, "draft">): ExpectedDelta | undefined;
  /** What chooses the windows of one such run. Automatic ones keep from run to run how fast the machine is. */
  windowPolicy(options: WindowOptions): Promise<WindowPolicy>;
  /** Images of samples, where the folder has a decoder of latents. */
  decode?(samples: Float64Array): Promise<Decoded>;
  close(): Promise<void>;
}

/** How this environment opens ONNX files. */
export interface Opener {
  network(file: string, shape: readonly number[] | undefined): Promise<OnnxNetwork>;
  session(file: string): Promise<Session>;
  /** Where times of calls are kept from run to run, if anywhere. */
  cost?(target: string, guided: boolean, measure: () => Promise<KnownCost>): Promise<KnownCost>;
}

export type WindowOptions = CostOptions & Pick<RunOptions, "draft" | "window" | "maxRows">;

/** What the time of a call depends on beside its rows. */
export type CostOptions = ScheduleOptions & ConditionOptions & Pick<SampleOptions, "signal">;

/**
 * A pipeline from a folder and a way of opening its files: the same in Node and in a browser.
 * @param changes keys of the scheduler config instead of the folder's; with a `_class_name`, instead of the whole config
 * @throws SpecdiffError for a network of another form, no scheduler, an unsupported one
 */
export async function openPipeline(folder: ModelFolder, opener: Opener, changes: JsonObject = {}): Promise<Pipeline> {
  // A class has keys of its own: naming one starts afresh, other changes are to the folder's.
  const config = "_class_name" in changes ? changes : { ...folder.scheduler, ...changes };
  if (!("_class_name" in config)) {
    throw new SpecdiffError(
      "file",
      `${folder.folder} has no scheduler/scheduler_config.json, which says what noise the network was trained on; ` +
        "copy it from the original model, or name the class and its settings " +
        "(--scheduler DDPMScheduler beta_schedule=squaredcos_cap_v2 prediction_type=epsilon)",
    );
  }
  const target = await opener.network(folder.target, folder.shape);
  const takesLabels = target.extras.some(({ name }) => name === "class_labels");
  let draft: Promise<OnnxNetwork> | undefined;
  let decoder: Promise<Session> | undefined;
  let tokenizer: Promise<Tokenizer> | undefined;
  let textEncoder: Promise<Session> | undefined;
  const costs = new Map<boolean, Promise<KnownCost>>();
  const paces = new Map<CostCurve, RunningCost>();
  const expected = new Map<string, ExpectedDelta | undefined>();
  const defaultDraft = target.perRowTimes ? DEFAULTS.draft : "none";

  const schedule = ({ steps = DEFAULTS.steps, churn, sampler }: ScheduleOptions) =>
    scheduleFromConfig(config, { steps, churn, sampler });

  const modelOf = (network: OnnxNetwork, { conditions, classes, guidance, unconditional }: ConditionOptions) => {
    if (folder.text && takesText(network) && !(conditions && TEXT_INPUT in conditions))
      throw new SpecdiffError("bad-argument", `${folder.name} makes images of words; give a prompt (--prompt "a cat")`);
    const labels = conditions && "class_labels" in conditions ? undefined : labelsOf(folder, takesLabels, classes);
    const given = { ...conditions, ...(labels && { class_labels: (n: number) => [labels[n % labels.length]!] }) };
    return network.model(given, guidanceOf(folder, takesLabels, guidance, unconditional));
  };

  const draftContext = async (options: ScheduleOptions & ConditionOptions): Promise<DraftContext> => {
    const { chain, readout } = schedule(options);
    if (!folder.draft) return { chain, shape: target.shape };
    draft ??= opener.network(folder.draft, target.shape);
    return { chain, shape: target.shape, draftModel: denoiser(modelOf(await draft, options), readout) };
  };

  async function embed(options: ConditionOptions & PromptOptions): Promise<ConditionOptions> {
    const { prompts = [], negativePrompt, onWarning, ...conditions } = options;
    if (prompts.length === 0 && negativePrompt === undefined) return conditions;
    assertTakesPrompts(folder, target, options);
    const { encoder } = folder.text!;
    tokenizer ??= openTokenizer(folder);
    textEncoder ??= opener.session(encoder);
    const [tokensOf, session] = [await tokenizer, await textEncoder];
    const embedded = (texts: readonly string[]) => embedPrompts(session, encoder, tokensOf, texts, onWarning);
    return {
      ...conditions,
      conditions: { ...options.conditions, [TEXT_INPUT]: await embedded(prompts) },
      ...((options.guidance !== undefined || negativePrompt !== undefined) && {
        unconditional: { ...options.unconditional, [TEXT_INPUT]: await embedded([negativePrompt ?? ""]) },
      }),
    };
  }

  const pipeline: Pipeline = {
    folder,
    shape: target.shape,
    target,
    defaultDraft,
    embed,
    scheduler: config,
    schedule,
    draftContext,
    networkModel: (options = {}) => modelOf(target, options),
    async run(given) {
      const options = { ...given, ...(await embed(given)) };
      const {
        count,
        seed = 0,
        draft: name = defaultDraft,
        coupling = DEFAULTS.coupling,
        window = DEFAULTS.window,
        maxRows,
        steps: _steps,
        churn: _churn,
        sampler: _sampler,
        classes: _classes,
        conditions: _conditions,
        guidance: _guidance,
        unconditional: _unconditional,
        prompts: _prompts,
        negativePrompt: _negativePrompt,
        onWarning: _onWarning,
        ...rest
      } = options;
      const { chain, readout } = schedule(options);
      const model = denoiser(modelOf(target, options), readout);
      const common = {
        ...rest,
        chain,
        model,
        count,
        seed,
        // the loop counts states, the limit is about rows of the network
        ...(maxRows !== undefined && { maxRows: Math.floor(maxRows / (model.rowsPerState ?? 1)) }),
      };
      if (name === "none") return sample({ ...common, ...plain });
      // the draft network is opened only for a drafter that uses it
      const context = usesDraftModel(name) ? await draftContext(options) : { chain, shape: target.shape };
      return sample({
        ...common,
        drafter: createDrafter(name, context),
        verifier: verifierNamed(coupling),
        window: await pipeline.windowPolicy(options),
        plan: options.plan ?? window === "auto",
      });
    },
    cost(options = {}) {
      const guided = options.guidance !== undefined; // two rows for every state
      let cost = costs.get(guided);
      if (!cost) {
        const measure = () => measured(pipeline, options);
        cost = opener.cost?.(folder.target, guided, measure) ?? measure();
        costs.set(guided, cost);
        cost.catch(() => costs.delete(guided));
      }
      return cost;
    },
    expectedDelta({ draft = defaultDraft, ...options }) {
      const { calibration } = folder;
      if (calibration?.draft !== draft) return undefined;
      const key = JSON.stringify([options.steps, options.churn, options.sampler]);
      if (!expected.has(key)) expected.set(key, expectedDelta(calibration, schedule(options).chain));
      return expected.get(key);
    },
    async windowPolicy(options) {
      const { window = DEFAULTS.window, maxRows = Number.POSITIVE_INFINITY } = options;
      if (typeof window === "number") return fixedWindow(window);
      if (window !== "auto") return window;
      const { curve } = await pipeline.cost(options);
      const cost = paces.get(curve) ?? runningCost((rows) => timeOf(curve, rows));
      paces.set(curve, cost);
      const states = Math.floor(maxRows / (options.guidance === undefined ? 1 : 2));
      const longest = Math.max(1, Math.min(LONGEST, states - 1));
      return autoWindow({ cost, expected: pipeline.expectedDelta(options), longest });
    },
    ...(folder.decoder && {
      async decode(samples: Float64Array) {
        decoder ??= opener.session(folder.decoder!.file);
        return decodeLatents(await decoder, folder.decoder!, samples, target.shape);
      },
    }),
    async close() {
      const others = await Promise.allSettled([draft, decoder, textEncoder]);
      await Promise.all(
        [target, ...others.map((one) => (one.status === "fulfilled" ? one.value : undefined))].map((one) =>
          one?.close(),
        ),
      );
    },
  };
  return pipeline;
}

/** Most steps of an automatic window. */
const LONGEST = 30;

async function measured(pipeline: Pipeline, options: CostOptions): Promise<KnownCost> {
  const started = performance.now();
  const { chain } = pipeline.schedule(options);
  const curve = await measureCost(pipeline.networkModel(options), chain, {
    repetitions: 5,
    ...(options.signal && { signal: options.signal }),
  });
  return { curve, measuredMs: performance.now() - started };
}

function labelsOf(
  { classes: names, name: model }: ModelFolder,
  takesLabels: boolean,
  wanted: readonly (string | number)[] | undefined,
): readonly number[] | undefined {
  const given = wanted && wanted.length > 0;
  if (!takesLabels) {
    if (given) throw new SpecdiffError("bad-argument", `${model} has no classes`);
    return undefined;
  }
  if (!given) {
    if (names) return names.map((_, label) => label);
    throw new SpecdiffError(
      "bad-argument",
      `${model} takes class labels: say which (--class 0 1), or list their names as "classes" in model.json`,
    );
  }
  return wanted.map((one) => {
    const label = typeof one === "string" && names?.includes(one) ? names.indexOf(one) : Number(one);
    if (!Number.isInteger(label) || label < 0 || (names && label >= names.length)) {
      const known = names
        ? `known are ${names.map((n, i) => (n === String(i) ? n : `${i} ${n}`)).join(", ")}`
        : "give numbers";
      throw new SpecdiffError("bad-argument", `unknown class "${one}" of ${model}; ${known}`);
    }
    return label;
  });
}

function guidanceOf(
  { nullClass, name }: ModelFolder,
  takesLabels: boolean,
  scale: number | undefined,
  unconditional: Conditions | undefined,
): Guidance | undefined {
  if (scale === undefined) {
    if (unconditional)
      throw new SpecdiffError("bad-argument", "unconditional values do nothing without a guidance scale; give one");
    return undefined;
  }
  if (unconditional) return { scale, unconditional };
  if (takesLabels && nullClass !== undefined) return { scale, unconditional: { class_labels: () => [nullClass] } };
  throw new SpecdiffError(
    "bad-argument",
    `guidance leads away from an unconditional output, and ${name} does not say which: give the unconditional inputs ` +
      '(--unconditional encoder_hidden_states=empty.npy), or "nullClass" in model.json for a model with classes',
  );
}
