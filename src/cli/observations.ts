import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Conditions } from "../onnx/index.js";
import { FIXED_WINDOW } from "../pipeline/pipeline.js";
import { loadPolicy, type Policy } from "../policy/index.js";
import { historiesOf, observationOf, rollouts } from "../pusht/index.js";
import type { ModelFlags } from "./options.js";

/** Starts that no score of the project uses. */
const FIRST_START = 300_000;

/**
 * What a PushT policy sees at `count` moments of episodes of its own, as conditions of its network: a policy cannot be looked at
 * without. Undefined where the flags give conditions, or name no such policy.
 */
export async function ownObservations(
  flags: ModelFlags,
  count: number,
  { seed = 0, signal }: { seed?: number; signal?: AbortSignal } = {},
): Promise<Conditions | undefined> {
  if (flags.condition || !(await exists(join(flags.model, "policy.json")))) return undefined;
  const policy = await loadPolicy(flags.model, { ...(flags.threads && { threads: flags.threads }) });
  try {
    if (!actsInPushT(policy)) return undefined;
    const episodes = await rollouts(policy, {
      starts: Array.from({ length: Math.min(4, count) }, (_, i) => FIRST_START + i),
      seed,
      steps: 120,
      trace: true,
      signal,
      sampling: { window: FIXED_WINDOW },
    });
    const seen = historiesOf(policy, episodes);
    const chosen = Array.from({ length: count }, (_, n) => seen[Math.floor(((n + 0.5) * seen.length) / count)]!);
    return { [policy.pipeline.target.extras[0]!.name]: (trajectory) => chosen[trajectory % count]! };
  } finally {
    await policy.close();
  }
}

function actsInPushT(policy: Policy): boolean {
  try {
    observationOf(policy);
    return policy.actionSize === 2;
  } catch {
    return false;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
