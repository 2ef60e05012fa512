import { SpecdiffError } from "../core/errors.js";
import { sample } from "../core/loop.js";
import type { Model } from "../core/model.js";
import type { RunRecord } from "../core/record.js";
import type { Carry } from "../core/slot.js";
import type { WindowPolicy } from "../core/window-policy.js";
import { createDrafter, usesDraftModel } from "../drafters/index.js";
import { listOf, sizeOf } from "../onnx/form.js";
import { DEFAULTS, type Pipeline, type ScheduleOptions } from "../pipeline/pipeline.js";
import { plain } from "../plain.js";
import { denoiser, type Schedule } from "../schedules/index.js";
import { verifierNamed } from "../verifiers/index.js";
import type { PolicyCard } from "./card.js";
import { Controller, type ControllerOptions } from "./controller.js";
import { Deadline } from "./deadline.js";

/**
 * How a decision is sampled. Draft, coupling, window and carry do not change its law. Default of `steps`: as many as the network
 * was trained with, at most those of {@link DEFAULTS}.
 */
export interface Sampling extends ScheduleOptions {
  /** "posterior", "frozen:x0", "independent", "none", .. Default: {@link DEFAULTS}. */
  readonly draft?: string;
  /** Default: {@link DEFAULTS}. */
  readonly coupling?: string;
  /**
   * Steps drafted per round; "auto" for what pays by the time of a call against its rows on this machine, which is measured
   * before the first such decision, or read from the cache; or what makes a window policy for a decision. Default: {@link DEFAULTS}.
   */
  readonly window?: number | "auto" | (() => WindowPolicy);
  /** Default: as of {@link sample}. */
  readonly carry?: Carry;
}

export interface DecideOptions extends Sampling {
  /** Whole number from 0 to 2^53 - 1; the same seed, observations and window give the same actions. */
  readonly seed: number;
  /** Stops between network calls: the decision then rejects, and there is no action. */
  readonly signal?: AbortSignal | undefined;
}

/** One batched decision for one or more robots. */
export interface Decision {
  readonly robots: number;
  /** robots x horizon x coordinates, in the units of the robot. */
  readonly chunks: Float64Array;
  /** Wall-clock, ms. */
  readonly ms: number;
  readonly draft: string;
  /** As asked for; undefined where the caller's own policy chose. */
  readonly window: number | "auto" | undefined;
  readonly record: RunRecord;
  /** ms beyond the deadline, 0 if it was kept, undefined if there is none. The actions are finished in any case. */
  readonly late: number | undefined;
}

/** A diffusion policy that is ready to act; made by `loadPolicy`. */
export class Policy {
  readonly card: PolicyCard;
  readonly pipeline: Pipeline;
  /** Numbers in one observation. */
  readonly observationSize: number;
  /** Coordinates of one action. */
  readonly actionSize: number;
  /** The deadline in force, if one was asked for. */
  readonly deadline: Deadline | undefined;
  readonly #sampling: Sampling;
  readonly #input: string;
  readonly #schedules = new Map<string, Schedule>();

  /**
   * @param sampling what a decision takes where it says nothing else
   * @param budget milliseconds that a decision may take
   * @throws SpecdiffError("bad-model") if card and network do not fit
   */
  constructor(pipeline: Pipeline, card: PolicyCard, sampling: Sampling = {}, budget?: number) {
    const { target, folder } = pipeline;
    const bad = (what: string) => new SpecdiffError("bad-model", `${folder.name}: ${what}`);
    const actionSize = card.action.min.length;
    if (sizeOf(target.shape) !== card.horizon * actionSize) {
      throw bad(
        `the network's state is [${target.shape.join(", ")}], but policy.json has ${card.horizon} actions of ${actionSize} coordinates; correct it`,
      );
    }
    const [input, ...others] = target.extras;
    const shown = sizeOf(input?.shape.slice(1).map(Number) ?? []);
    const size = shown / card.observation.steps;
    if (!input || others.length > 0 || !Number.isInteger(size)) {
      throw bad(
        `beside state and time a policy's network takes one input of ${card.observation.steps} observations of a fixed size; ` +
          `it has ${target.extras.length > 0 ? listOf(target.extras) : "none"}`,
      );
    }
    this.pipeline = pipeline;
    this.card = card;
    this.observationSize = size;
    this.actionSize = actionSize;
    this.#sampling = sampling;
    this.#input = input.name;
    if (budget !== undefined) {
      this.deadline = new Deadline(budget, {
        ...(folder.draft && { independent: true }),
        ...(!target.perRowTimes && { plainOnly: true }),
      });
    }
  }

  get name(): string {
    return this.pipeline.folder.name;
  }

  /** The chain and readout of a sampling. */
  schedule(sampling: Sampling = {}): Schedule {
    const options = this.#scheduleOptions({ ...this.#sampling, ...sampling });
    const key = JSON.stringify(options);
    let schedule = this.#schedules.get(key);
    if (!schedule) {
      schedule = this.pipeline.schedule(options);
      this.#schedules.set(key, schedule);
    }
    return schedule;
  }

  #scheduleOptions({ steps = this.#trainedSteps, churn, sampler }: Sampling): ScheduleOptions {
    return { steps, ...(churn !== undefined && { churn }), ...(sampler && { sampler }) };
  }

  get #trainedSteps(): number {
    const trained = this.pipeline.scheduler.num_train_timesteps;
    return typeof trained === "number" ? Math.min(trained, DEFAULTS.steps) : DEFAULTS.steps;
  }

  /** The network's x0 under these histories, for the chain of `schedule`; trajectory n is robot n. */
  denoiser(histories: Float64Array, sampling: Sampling = {}): Model {
    return denoiser(this.pipeline.networkModel(this.#conditions(histories)), this.schedule(sampling).readout);
  }

  #conditions(histories: Float64Array) {
    const shown = this.card.observation.steps * this.observationSize;
    const robots = this.#robots(histories);
    const of = (n: number) => histories.subarray((n % robots) * shown, ((n % robots) + 1) * shown);
    return { conditions: { [this.#input]: of } };
  }

  /**
   * Chunks of actions for robots whose last observations are given, in one batch.
   * @param histories robots x observation.steps x observationSize, the oldest observation first
   * @throws SpecdiffError("bad-argument") for a wrong number of values or one that is not finite
   * @throws SamplingError when the network fails or the signal aborts
   */
  async decide(histories: Float64Array, options: DecideOptions): Promise<Decision> {
    await this.prepare(histories, options);
    const { deadline } = this;
    const decision = await this.#decide(histories, { ...this.#sampling, ...deadline?.choice, ...options });
    return deadline ? { ...decision, late: deadline.observe(decision) } : decision;
  }

  /**
   * Measures what decisions need to know of this machine: times of calls for windows that pay, times of decisions for a deadline.
   * `decide` does it by itself, once; call it where the first decision must not wait.
   */
  async prepare(histories: Float64Array, options: Omit<DecideOptions, "seed"> = {}): Promise<void> {
    this.#check(histories);
    const { signal } = options;
    const { draft = this.pipeline.defaultDraft } = { ...this.#sampling, ...options };
    // a deadline has windows of its own
    const window = options.window ?? (this.deadline ? undefined : (this.#sampling.window ?? DEFAULTS.window));
    if (window === "auto" && draft !== "none")
      await this.pipeline.cost({ ...this.#conditions(histories), ...(signal && { signal }) });
    await this.deadline?.prepare(this.#robots(histories), (sampling, seed) =>
      this.#decide(histories, { ...this.#sampling, ...sampling, seed, signal }),
    );
  }

  async #decide(histories: Float64Array, sampling: DecideOptions): Promise<Decision> {
    const started = performance.now();
    const { pipeline, actionSize } = this;
    const robots = this.#robots(histories);
    const { chain } = this.schedule(sampling);
    const { window = DEFAULTS.window, coupling = DEFAULTS.coupling, carry, seed, signal } = sampling;
    const draft = sampling.draft ?? pipeline.defaultDraft;
    const shown = { ...this.#conditions(histories), ...this.#scheduleOptions(sampling) };
    const context = usesDraftModel(draft) ? await pipeline.draftContext(shown) : { chain, shape: pipeline.shape };
    const { samples, record } = await sample({
      chain,
      model: this.denoiser(histories, sampling),
      count: robots,
      inFlight: robots,
      seed,
      ...(carry && { carry }),
      ...(signal && { signal }),
      ...(draft === "none"
        ? plain
        : {
            drafter: createDrafter(draft, context),
            verifier: verifierNamed(coupling),
            window: typeof window === "function" ? window() : await pipeline.windowPolicy({ ...shown, draft, window }),
          }),
    });
    const { min, max } = this.card.action;
    for (let i = 0; i < samples.length; i++) {
      const axis = i % actionSize;
      samples[i] = min[axis]! + ((samples[i]! + 1) / 2) * (max[axis]! - min[axis]!);
    }
    return {
      robots,
      chunks: samples,
      ms: performance.now() - started,
      draft,
      window: draft === "none" ? 1 : typeof window === "function" ? undefined : window,
      record,
      late: undefined,
    };
  }

  /** One or more robots with their queues of observations and actions. */
  controller(options: ControllerOptions = {}): Controller {
    return new Controller(this, options);
  }

  close(): Promise<void> {
    return this.pipeline.close();
  }

  #robots(histories: Float64Array): number {
    return histories.length / (this.card.observation.steps * this.observationSize);
  }

  #check(histories: Float64Array): void {
    const { steps, layout } = this.card.observation;
    const robots = this.#robots(histories);
    if (!Number.isInteger(robots) || robots < 1) {
      throw new SpecdiffError(
        "bad-argument",
        `${histories.length} numbers are no histories for ${this.name}: each robot has ${steps} observations ("${layout}") of ${this.observationSize} numbers`,
      );
    }
    const odd = histories.findIndex((value) => !Number.isFinite(value));
    if (odd >= 0) {
      const robot = Math.floor(odd / (steps * this.observationSize));
      throw new SpecdiffError(
        "bad-argument",
        `number ${odd % this.observationSize} of an observation ("${layout}") of robot ${robot} is ${histories[odd]}; it must be finite`,
      );
    }
  }
}
