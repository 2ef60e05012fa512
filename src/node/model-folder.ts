import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { SpecdiffError } from "../core/errors.js";

/** What a model folder says about itself. */
export interface ModelFolder {
  readonly folder: string;
  readonly name: string;
  /** Path of the target network. */
  readonly target: string;
  /** Path of the draft network, if the folder has one. */
  readonly draft?: string;
  /** The parsed scheduler_config.json. */
  readonly scheduler: unknown;
  /** Names of the classes that `class_labels` counts, if the model is class-conditional. */
  readonly classes?: readonly string[];
}

/**
 * Reads a model folder: `unet/model.onnx` and `scheduler/scheduler_config.json` as diffusers and Optimum lay them out. An
 * optional `model.json` names other places, the draft network and the classes:
 * `{ "name", "target", "draft", "scheduler", "classes" }`, paths relative to the folder.
 *
 * @throws SpecdiffError("file") naming what is missing or cannot be read
 */
export async function readModelFolder(path: string): Promise<ModelFolder> {
  const folder = resolve(path);
  if (!(await exists(folder))) throw new SpecdiffError("file", `there is no folder ${path}`);
  const card = (await exists(join(folder, "model.json"))) ? await readJson(join(folder, "model.json")) : {};
  const known = ["name", "target", "draft", "scheduler", "classes"];
  const unknown = Object.keys(card).filter((key) => !known.includes(key));
  if (unknown.length > 0)
    throw new SpecdiffError(
      "file",
      `${join(path, "model.json")} has unknown keys ${unknown.join(", ")}; known are ${known.join(", ")}`,
    );
  const text = (key: string, fallback: string): string => {
    const value = card[key] ?? fallback;
    if (typeof value !== "string")
      throw new SpecdiffError("file", `${join(path, "model.json")}: ${key} must be a text`);
    return value;
  };
  const target = join(folder, text("target", "unet/model.onnx"));
  if (!(await exists(target))) {
    throw new SpecdiffError(
      "file",
      `${path} has no network: ${target} does not exist. Export the model to unet/model.onnx, or name the file as "target" in model.json`,
    );
  }
  const draft = card.draft === undefined ? undefined : join(folder, text("draft", ""));
  if (draft !== undefined && !(await exists(draft)))
    throw new SpecdiffError("file", `${join(path, "model.json")} names a draft network that does not exist: ${draft}`);
  const classes = card.classes;
  if (
    classes !== undefined &&
    !(Array.isArray(classes) && classes.length > 0 && classes.every((name) => typeof name === "string"))
  ) {
    throw new SpecdiffError("file", `${join(path, "model.json")}: classes must be a list of names`);
  }
  return {
    folder,
    name: text("name", folder.split(/[\\/]/).at(-1)!),
    target,
    scheduler: await readJson(join(folder, text("scheduler", "scheduler/scheduler_config.json"))),
    ...(draft !== undefined && { draft }),
    ...(classes !== undefined && { classes: classes as string[] }),
  };
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (cause) {
    throw new SpecdiffError("file", `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new SpecdiffError("file", `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  throw new SpecdiffError("file", `${path} is not a JSON object`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
