import { SpecdiffError } from "../core/errors.js";
import { type Calibration, readCalibration } from "../windows/calibration.js";

/** The file beside a model that holds its calibration. */
export const CALIBRATION_FILE = "calibration.json";

/** How a model folder is read: from disk or over HTTP. Paths are relative to the folder, with "/". */
export interface FolderReader {
  /** What messages call the folder; its last part is the model's name if it gives itself none. */
  readonly folder: string;
  /** The text of a file, or undefined if there is none. */
  text(path: string): Promise<string | undefined>;
  has(path: string): Promise<boolean>;
  /** The full path or address of a file. */
  at(path: string): string;
}

/** What a model folder says about itself. */
export interface ModelFolder {
  readonly folder: string;
  readonly name: string;
  /** Path of the target network. */
  readonly target: string;
  /** Path of the draft network, if the folder has one. */
  readonly draft?: string;
  /** The parsed scheduler_config.json, if there is one. */
  readonly scheduler?: JsonObject;
  /** Names of the classes that `class_labels` counts, if the model is class-conditional. */
  readonly classes?: readonly string[];
  /** The label that stands for "no class", for classifier-free guidance. */
  readonly nullClass?: number;
  /** Shape of one state, where the folder tells. */
  readonly shape?: readonly number[];
  /** What `specdiff calibrate` has learnt of the model: calibration.json. */
  readonly calibration?: Calibration;
  /** The decoder from latents to images: images = decoder(latents / scale + shift). */
  readonly decoder?: { readonly file: string; readonly scale: number; readonly shift: number };
  /** How prompts become an input of the network: the path of the text encoder, and tokenizer.json with its config. */
  readonly text?: {
    readonly encoder: string;
    readonly tokenizer?: { readonly definition: JsonObject; readonly config: JsonObject };
  };
}

export type JsonObject = Readonly<Record<string, unknown>>;

const CARD_KEYS = ["name", "target", "draft", "scheduler", "classes", "nullClass", "shape"];
const NETWORKS = ["unet/model.onnx", "transformer/model.onnx"];

/**
 * Reads a model folder as diffusers and Optimum lay it out: `unet/model.onnx` or `transformer/model.onnx`,
 * `scheduler/scheduler_config.json`; `config.json` beside the network tells the shape of a state that the ONNX file leaves
 * open and the number of classes, `model_index.json` their names, `vae_decoder/` how latents become images, `tokenizer/` and
 * `text_encoder/` how prompts become a condition. An optional `model.json` comes first: `{ "name", "target", "draft",
 * "scheduler", "classes", "nullClass", "shape" }`, paths relative to the folder.
 *
 * @throws SpecdiffError("file") naming what is missing or cannot be read
 */
export async function readFolder(reader: FolderReader): Promise<ModelFolder> {
  const cardPath = reader.at("model.json");
  const card = (await json(reader, "model.json")) ?? {};
  const bad = (what: string) => new SpecdiffError("file", `${cardPath}: ${what}`);
  const unknown = Object.keys(card).filter((key) => !CARD_KEYS.includes(key));
  if (unknown.length > 0) throw bad(`unknown keys ${unknown.join(", ")}; known are ${CARD_KEYS.join(", ")}`);
  const text = (key: string): string | undefined => {
    const value = card[key];
    if (value !== undefined && typeof value !== "string") throw bad(`${key} must be a text`);
    return value;
  };

  const target = text("target") ?? (await firstOf(reader, NETWORKS));
  if (!target || !(await reader.has(target))) {
    throw new SpecdiffError(
      "file",
      `${reader.folder} has no network: ${reader.at(target ?? NETWORKS[0]!)} does not exist. Export the model to ${NETWORKS.join(" or ")}, or name the file as "target" in model.json`,
    );
  }
  const draft = text("draft");
  if (draft !== undefined && !(await reader.has(draft)))
    throw bad(`it names a draft network that does not exist: ${reader.at(draft)}`);
  const scheduler = await json(reader, text("scheduler") ?? "scheduler/scheduler_config.json");
  if (!scheduler && card.scheduler !== undefined) throw bad(`it names a scheduler that does not exist`);

  const network = (await json(reader, target.replace(/[^/]*$/, "config.json"))) ?? {};
  const index = (await json(reader, "model_index.json")) ?? {};
  const classes = card.classes ?? classesOf(index, network);
  if (classes !== undefined && !(isTexts(classes) && classes.length > 0)) throw bad("classes must be a list of names");
  // diffusers' DiT counts its classes in num_embeds_ada_norm and keeps the label after the last one for "no class"
  const nullClass = card.nullClass ?? network.num_embeds_ada_norm ?? undefined;
  if (nullClass !== undefined && !(Number.isInteger(nullClass) && (nullClass as number) >= 0))
    throw bad("nullClass must be a label, a whole number at least 0");
  const shape = card.shape ?? shapeOf(network);
  if (shape !== undefined && !(isNumbers(shape) && shape.length > 0))
    throw bad("shape must be a list of whole numbers, such as [3, 32, 32]");
  const decoder = await decoderOf(reader);
  const encoder = await textOf(reader);
  const calibration = await json(reader, CALIBRATION_FILE);
  return {
    folder: reader.folder,
    name: text("name") ?? reader.folder.split(/[\\/]/).filter(Boolean).at(-1)!,
    target: reader.at(target),
    ...(scheduler && { scheduler }),
    ...(draft !== undefined && { draft: reader.at(draft) }),
    ...(classes && { classes }),
    ...(nullClass !== undefined && { nullClass: nullClass as number }),
    ...(shape && { shape }),
    ...(decoder && { decoder }),
    ...(encoder && { text: encoder }),
    ...(calibration && { calibration: readCalibration(calibration, reader.at(CALIBRATION_FILE)) }),
  };
}

/** Names of `id2label` (DiT), else numbers as names. */
function classesOf(index: JsonObject, network: JsonObject): readonly string[] | undefined {
  const names = index.id2label;
  if (typeof names === "object" && names !== null) return Object.values(names).map(String);
  const count = network.num_class_embeds ?? network.num_embeds_ada_norm;
  return typeof count === "number" && count > 0 ? Array.from({ length: count }, (_, n) => String(n)) : undefined;
}

/** Channels and size as the configs of UNet2DModel, UNet2DConditionModel and the transformers give them. */
function shapeOf({ _class_name, in_channels: channels, sample_size: size }: JsonObject): readonly number[] | undefined {
  if (typeof channels !== "number") return undefined;
  if (typeof size === "number") return /1D/.test(String(_class_name)) ? [channels, size] : [channels, size, size];
  return isNumbers(size) ? [channels, ...size] : undefined;
}

async function decoderOf(reader: FolderReader): Promise<ModelFolder["decoder"]> {
  if (!(await reader.has("vae_decoder/model.onnx"))) return undefined;
  const config = (await json(reader, "vae_decoder/config.json")) ?? {};
  const number = (value: unknown, fallback: number) => (typeof value === "number" ? value : fallback);
  return {
    file: reader.at("vae_decoder/model.onnx"),
    scale: number(config.scaling_factor, 0.18215), // diffusers' default, of Stable Diffusion 1 and 2
    shift: number(config.shift_factor, 0),
  };
}

async function textOf(reader: FolderReader): Promise<ModelFolder["text"]> {
  if (!(await reader.has("text_encoder/model.onnx"))) return undefined;
  const definition = await json(reader, "tokenizer/tokenizer.json");
  const config = (await json(reader, "tokenizer/tokenizer_config.json")) ?? {};
  return { encoder: reader.at("text_encoder/model.onnx"), ...(definition && { tokenizer: { definition, config } }) };
}

async function firstOf(reader: FolderReader, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await reader.has(path)) return path;
  return undefined;
}

async function json(reader: FolderReader, path: string): Promise<JsonObject | undefined> {
  const content = await reader.text(path);
  return content === undefined ? undefined : parseObject(content, reader.at(path));
}

/** @throws SpecdiffError("file") if the text is not a JSON object; `label` is what the message calls it */
export function parseObject(content: string, label: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw new SpecdiffError("file", `${label} is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new SpecdiffError("file", `${label} is not a JSON object`);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isNumbers(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((one) => typeof one === "number");
}
