import { SpecdiffError } from "../core/errors.js";
import type { Decision, Policy, Sampling } from "../policy/policy.js";
import { EPISODE_STEPS, type ObservationKind, observations, type Pose, PushT } from "./environment.js";

export interface RolloutOptions {
  /** Seed of each episode's start. */
  readonly starts: readonly number[];
  /** Seed of the policy's noise, whole number from 0 to 2^32 - 1. Default 0. */
  readonly seed?: number;
  /** Control steps of an episode at most. Default {@link EPISODE_STEPS}. */
  readonly steps?: number;
  /** How decisions are sampled; default: as the policy says. */
  readonly sampling?: Sampling;
  /** Whether each episode keeps its states. Default false. */
  readonly trace?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** After every batched decision. `running` episodes took part in it, after `steps` control steps. */
  readonly onDecision?: (decision: Decision, progress: { steps: number; running: number }) => void;
}

export interface Episode {
  readonly start: number;
  /** Largest reward of its steps: the score of the published protocol. */
  readonly reward: number;
  /** Whether the coverage exceeded 0.95, which ends the episode. */
  readonly success: boolean;
  readonly steps: number;
  readonly decisions: number;
  /** What was before each step and at the end, where asked for. */
  readonly trace?: readonly Moment[];
}

/** A moment of an episode. */
export interface Moment {
  /** Pusher x, y, block x, y, angle. */
  readonly state: Float64Array;
  readonly coverage: number;
  /** Actions that were decided at this moment, x, y in turn; the executed ones. */
  readonly planned?: Float64Array;
  readonly decision?: Decision;
}

/** The kind of observation that a policy takes. @throws SpecdiffError("bad-argument") if PushT does not have it */
export function observationOf({ card, observationSize, name }: Policy): ObservationKind {
  const { layout } = card.observation;
  if (Object.hasOwn(observations, layout) && observations[layout as ObservationKind].size === observationSize)
    return layout as ObservationKind;
  const known = Object.entries(observations).map(([kind, { size }]) => `"${kind}" (${size} numbers)`);
  throw new SpecdiffError(
    "bad-argument",
    `${name} takes observations "${layout}" of ${observationSize} numbers; PushT has ${known.join(", ")}`,
  );
}

/**
 * Episodes of PushT under a policy, all of them together: one batched decision for those that still run. Starts are legacy
 * resets; an episode ends when it has succeeded or after `steps`.
 * @throws SpecdiffError("bad-argument") if the policy's observations or actions are not of PushT
 */
export async function rollouts(policy: Policy, options: RolloutOptions): Promise<Episode[]> {
  const { starts, seed = 0, steps = EPISODE_STEPS, sampling = {}, trace = false, signal } = options;
  const kind = observationOf(policy);
  if (policy.actionSize !== 2)
    throw new SpecdiffError("bad-argument", `${policy.name} acts in ${policy.actionSize} coordinates; PushT has 2`);
  const { horizon, executed, observation } = policy.card;
  const size = policy.observationSize;
  const shown = observation.steps * size;
  const episodes = starts.map((start) => {
    const env = new PushT();
    env.reset(start);
    const seen = new Float64Array(shown);
    for (let i = 0; i < observation.steps; i++) env.observe(kind, seen, i * size);
    return { env, seen, start, reward: env.reward, decisions: 0, moments: [] as Moment[] };
  });
  const running = episodes.filter(({ env }) => !env.success);
  for (let round = 0; running.length > 0 && round * executed.count < steps; round++) {
    const histories = new Float64Array(running.length * shown);
    running.forEach(({ seen }, i) => {
      histories.set(seen, i * shown);
    });
    const decision = await policy.decide(histories, { ...sampling, seed: seed * 2 ** 21 + round, signal });
    options.onDecision?.(decision, { steps: round * executed.count, running: running.length });
    running.forEach((episode, i) => {
      const { env, seen } = episode;
      const from = 2 * (i * horizon + executed.from);
      const planned = decision.chunks.subarray(from, from + 2 * executed.count);
      episode.decisions++;
      for (let step = 0; step < executed.count && env.steps < steps && !env.success; step++) {
        if (trace) episode.moments.push({ ...momentOf(env), ...(step === 0 && { planned, decision }) });
        episode.reward = Math.max(episode.reward, env.step(planned[2 * step]!, planned[2 * step + 1]!));
        seen.copyWithin(0, size);
        env.observe(kind, seen, shown - size);
      }
    });
    for (let i = running.length - 1; i >= 0; i--) if (running[i]!.env.success) running.splice(i, 1);
  }
  return episodes.map(({ env, start, reward, decisions, moments }) => ({
    start,
    reward,
    success: env.success,
    steps: env.steps,
    decisions,
    ...(trace && { trace: [...moments, momentOf(env)] }),
  }));
}

/** What a policy was shown at each decision of traced episodes: histories for `Policy.decide`, one after another. */
export function historiesOf(policy: Policy, episodes: readonly Episode[]): Float64Array[] {
  const { write, size } = observations[observationOf(policy)];
  const { steps } = policy.card.observation;
  return episodes.flatMap(({ trace = [] }) =>
    trace.flatMap(({ decision }, at) => {
      if (!decision) return [];
      const history = new Float64Array(steps * size);
      for (let i = 0; i < steps; i++) {
        const [pusherX, pusherY, blockX, blockY, blockAngle] = trace[Math.max(0, at - steps + 1 + i)]!.state;
        write({ pusherX, pusherY, blockX, blockY, blockAngle } as Pose, history, i * size);
      }
      return [history];
    }),
  );
}

function momentOf(env: PushT): Moment {
  return { state: env.observe("state"), coverage: env.coverage };
}
