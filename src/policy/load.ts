import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SpecdiffError } from "../core/errors.js";
import { fromPretrained, type PretrainedOptions } from "../node/pipeline.js";
import { parseObject } from "../pipeline/folder.js";
import { readCard } from "./card.js";
import { Policy, type Sampling } from "./policy.js";

export interface PolicyOptions extends PretrainedOptions {
  /** How decisions are sampled unless they say otherwise. */
  readonly sampling?: Sampling;
  /** Milliseconds that a decision may take: draft and window are then chosen for it, see {@link Deadline}. */
  readonly deadline?: number;
}

/**
 * Opens a diffusion policy: a model folder (see `fromPretrained`) with a `policy.json` (see {@link PolicyCard}). Its network takes
 * the state, a time per row, and the observations as the only further input. It computes on this thread, since a call of a
 * small network takes less time than the way to another thread and back; `worker: true` changes that.
 *
 * ```ts
 * const policy = await loadPolicy("models/pusht");
 * const robot = policy.controller({ seed: 1 });
 * for (;;) move(await robot.act(observe(), signal));
 * ```
 * @throws SpecdiffError for a missing file, a network of another form, an unsupported scheduler
 */
export async function loadPolicy(
  folder: string,
  { sampling, deadline, ...options }: PolicyOptions = {},
): Promise<Policy> {
  const file = join(folder, "policy.json");
  const content = await readFile(file, "utf8").catch((cause: Error) => {
    throw new SpecdiffError("file", `cannot read ${file}, which says what a policy sees and does: ${cause.message}`, {
      cause,
    });
  });
  const card = readCard(parseObject(content, file), file);
  const pipeline = await fromPretrained(folder, { worker: false, ...options });
  try {
    return new Policy(pipeline, card, sampling, deadline);
  } catch (error) {
    await pipeline.close();
    throw error;
  }
}
