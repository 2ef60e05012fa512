import { SpecdiffError } from "../core/errors.js";
import type { JsonObject } from "../pipeline/folder.js";

/** What a controller must know beside the network: `policy.json` in the model's folder. */
export interface PolicyCard {
  /** How many observations the network is shown, the newest last, and what one of them holds. */
  readonly observation: { readonly layout: string; readonly steps: number };
  /** Actions in one chunk. */
  readonly horizon: number;
  /** Which of them are executed before the next decision: `count` from index `from`. */
  readonly executed: { readonly from: number; readonly count: number };
  /** Units of the robot: the network's -1 is `min`, its 1 is `max`, for each coordinate of an action. */
  readonly action: { readonly min: readonly number[]; readonly max: readonly number[] };
}

/**
 * Reads a policy card.
 * @param label what messages call the file
 * @throws SpecdiffError("file") naming the key that is missing or wrong
 */
export function readCard(content: JsonObject, label: string): PolicyCard {
  const bad = (key: string, remedy: string) =>
    new SpecdiffError("file", `${label}: "${key}" is ${JSON.stringify(at(content, key))}; ${remedy}`);
  const whole = (key: string, least: number): number => {
    const value = at(content, key);
    if (!Number.isSafeInteger(value) || (value as number) < least)
      throw bad(key, `it must be a whole number, at least ${least}`);
    return value as number;
  };
  const numbers = (key: string): readonly number[] => {
    const value = at(content, key);
    if (!Array.isArray(value) || value.length === 0 || !value.every(Number.isFinite))
      throw bad(key, "it must be a list of numbers, one for each coordinate of an action");
    return value as number[];
  };
  const layout = at(content, "observation.layout");
  if (typeof layout !== "string") throw bad("observation.layout", 'it must be a text, such as "keypoints"');
  const card: PolicyCard = {
    observation: { layout, steps: whole("observation.steps", 1) },
    horizon: whole("horizon", 1),
    executed: { from: whole("executed.from", 0), count: whole("executed.count", 1) },
    action: { min: numbers("action.min"), max: numbers("action.max") },
  };
  const { from, count } = card.executed;
  if (from + count > card.horizon)
    throw bad("executed", `it leads past the ${card.horizon} actions of the horizon; lower from or count`);
  const { min, max } = card.action;
  if (min.length !== max.length || min.some((low, i) => !(low < max[i]!)))
    throw bad("action", "min and max must have the same length, and every min be below its max");
  return card;
}

/** The value at a dotted path, or undefined. */
function at(content: unknown, path: string): unknown {
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) => (typeof value === "object" && value !== null ? (value as JsonObject)[key] : undefined),
      content,
    );
}
