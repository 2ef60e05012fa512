import { readFile } from "node:fs/promises";
import { InvalidArgumentError, Option } from "commander";
import { SpecdiffError } from "../core/errors.js";
import { type ConditionOptions, fromPretrained, type Pipeline, readNpy, type ScheduleOptions } from "../node/index.js";
import { SHIPPED_MODEL } from "../node/shipped.js";
import type { Condition, Conditions } from "../onnx/index.js";
import { type JsonObject, parseObject } from "../pipeline/folder.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { verifiers } from "../verifiers/index.js";

export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Give a whole number, at least ${least}.`);
    return value;
  };
}

export function numberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < least)
      throw new InvalidArgumentError(`Give a number, at least ${least}.`);
    return value;
  };
}

/** Options of every command that opens a model. */
export function modelOptions(): Option[] {
  return [
    new Option("--model <path>", "model folder (diffusers, Optimum or with a model.json) or a bare ONNX file").default(
      SHIPPED_MODEL,
      "the CIFAR-10 model that ships with specdiff",
    ),
    new Option(
      "--scheduler <what...>",
      "a scheduler_config.json, a class such as DDPMScheduler, KEY=VALUE settings such as prediction_type=v_prediction: these replace keys of the folder's config, a class or file all of it",
    ),
    new Option(
      "--sampler <kind>",
      "steps instead of those of the scheduler's class; needed for a deterministic one",
    ).choices(["ancestral", "sde"]),
    new Option("--shape <sizes>", "shape of one state where the file leaves it open, such as 3,32,32").argParser(sizes),
    new Option("--class <names...>", "classes in turn, names or numbers (default: all)"),
    new Option("--prompt <texts...>", "what to make, in words, in turn; for text-to-image models"),
    new Option("--negative-prompt <text>", "what guidance leads away from (default: the empty prompt)"),
    new Option("--guidance <scale>", "classifier-free guidance; every state takes two rows").argParser(numberFrom(0)),
    new Option(
      "--condition <name=npy...>",
      "further inputs: arrays whose first axis is the trajectory, repeated as needed",
    ),
    new Option("--unconditional <name=npy...>", "what guidance leads away from (default: the model's null class)"),
    new Option(
      "--provider <names...>",
      "ONNX Runtime execution providers in order of preference: cpu, webgpu, cuda, coreml, dml",
    ).default(["cpu"]),
    new Option("--threads <n>", "threads of the network (default: one per core)").argParser(wholeNumber(1)),
  ];
}

export function couplingOption(): Option {
  return new Option("--coupling <name>", "how a window is verified")
    .choices(Object.keys(verifiers))
    .default(DEFAULTS.coupling);
}

export interface ModelFlags {
  model: string;
  scheduler?: string[];
  sampler?: "ancestral" | "sde";
  shape?: number[];
  class?: string[];
  prompt?: string[];
  negativePrompt?: string;
  guidance?: number;
  condition?: string[];
  unconditional?: string[];
  provider: string[];
  threads?: number;
}

/** Opens what the flags name. */
export async function openModel(flags: ModelFlags): Promise<Pipeline> {
  return fromPretrained(flags.model, {
    providers: flags.provider,
    ...(flags.threads && { threads: flags.threads }),
    ...(flags.shape && { shape: flags.shape }),
    ...(flags.scheduler && { scheduler: await schedulerOf(flags.scheduler) }),
  });
}

/**
 * The flags that say what is sampled, as options of a run; prompts are embedded, with warnings on standard error.
 * @param otherwise conditions where the flags give none
 */
export async function runOptionsOf(
  pipeline: Pipeline,
  flags: ModelFlags & { steps?: number; churn?: number },
  otherwise?: Conditions,
): Promise<ScheduleOptions & ConditionOptions> {
  const conditions = {
    ...(flags.class && { classes: flags.class }),
    ...(flags.prompt && { prompts: flags.prompt }),
    ...(flags.negativePrompt !== undefined && { negativePrompt: flags.negativePrompt }),
    ...(flags.guidance !== undefined && { guidance: flags.guidance }),
    ...(otherwise && { conditions: otherwise }),
    ...(flags.condition && { conditions: await arrays("--condition", flags.condition) }),
    ...(flags.unconditional && { unconditional: await arrays("--unconditional", flags.unconditional) }),
    onWarning: (message: string) => process.stderr.write(`specdiff: ${message}\n`),
  };
  return {
    ...(await pipeline.embed(conditions)),
    ...(flags.steps !== undefined && { steps: flags.steps }),
    ...(flags.churn !== undefined && { churn: flags.churn }),
    ...(flags.sampler && { sampler: flags.sampler }),
  };
}

/** One object from files, class names and settings, later ones over earlier ones. */
async function schedulerOf(parts: readonly string[]): Promise<JsonObject> {
  const config: Record<string, unknown> = {};
  for (const part of parts) {
    const [key, value] = split(part);
    if (value !== undefined) config[key] = settingOf(value);
    else if (part.endsWith(".json")) Object.assign(config, parseObject(await text(part), part));
    else config._class_name = part;
  }
  return config;
}

/** JSON where it is JSON, else the text itself: 0.5, true, [1, 2], epsilon. */
function settingOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function arrays(option: string, parts: readonly string[]): Promise<Conditions> {
  const conditions: Record<string, Condition> = {};
  for (const part of parts) {
    const [name, file] = split(part);
    if (!file) throw new SpecdiffError("bad-argument", `${option} ${part}: write the input's name, =, and a .npy file`);
    const { shape, values } = readNpy(await bytes(file), file);
    const count = shape[0] ?? 0;
    if (count === 0) {
      throw new SpecdiffError(
        "bad-argument",
        `${option} ${part}: the array has shape (${shape.join(", ")}); its first axis must be the trajectory`,
      );
    }
    const size = values.length / count;
    conditions[name] = (trajectory) => values.subarray((trajectory % count) * size, ((trajectory % count) + 1) * size);
  }
  return conditions;
}

function split(part: string): [key: string, value: string | undefined] {
  const at = part.indexOf("=");
  return at < 0 ? [part, undefined] : [part.slice(0, at), part.slice(at + 1)];
}

async function bytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new SpecdiffError("file", `cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function text(file: string): Promise<string> {
  return new TextDecoder().decode(await bytes(file));
}

function sizes(text: string): number[] {
  return text.split(",").map(wholeNumber(1));
}
