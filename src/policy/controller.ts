import { requireInteger, SpecdiffError } from "../core/errors.js";
import type { Decision, Policy } from "./policy.js";

export interface ControllerOptions {
  /** Robots that are controlled together, each with its own queue. Default 1. */
  readonly robots?: number;
  /** Whole number from 0 to 2^32 - 1: decision n draws from a stream of its own. Default 0. */
  readonly seed?: number;
}

/**
 * A policy with its memory: the last observations of each robot and the actions still to be executed. One call of `act` per
 * control step; a new chunk is decided when a robot has no action left, for all such robots in one batch. After `reset` the
 * first observation counts as often as the policy looks back.
 */
export class Controller {
  readonly robots: number;
  /** The last decision, for its times and calls. */
  last: Decision | undefined;
  /** Decisions made. */
  decisions = 0;
  readonly #policy: Policy;
  readonly #seed: number;
  /** robots x steps x size, oldest first */
  readonly #seen: Float64Array;
  readonly #fresh: boolean[];
  /** Actions left per robot, and their chunks: robots x horizon x coordinates. */
  readonly #left: number[];
  readonly #chunks: Float64Array;

  constructor(policy: Policy, { robots = 1, seed = 0 }: ControllerOptions) {
    requireInteger("robots", robots, 1);
    requireInteger("seed", seed, 0, 2 ** 32 - 1);
    const { card, observationSize, actionSize } = policy;
    this.#policy = policy;
    this.#seed = seed;
    this.robots = robots;
    this.#seen = new Float64Array(robots * card.observation.steps * observationSize);
    this.#chunks = new Float64Array(robots * card.horizon * actionSize);
    this.#fresh = new Array<boolean>(robots).fill(true);
    this.#left = new Array<number>(robots).fill(0);
  }

  /** Forgets what was seen and planned: an episode starts. @param robot default: all of them */
  reset(robot?: number): void {
    const [from, to] = robot === undefined ? [0, this.robots] : [robot, robot + 1];
    this.#fresh.fill(true, from, to);
    this.#left.fill(0, from, to);
  }

  /**
   * The actions of this control step.
   * @param observations robots x observationSize
   * @returns robots x actionSize, in the units of the robot
   * @throws as {@link Policy.decide}; the observation is then not remembered, and the step can be asked for again
   */
  async act(observations: ArrayLike<number>, signal?: AbortSignal): Promise<Float64Array> {
    const { card, observationSize: size, actionSize } = this.#policy;
    if (observations.length !== this.robots * size) {
      throw new SpecdiffError(
        "bad-argument",
        `the observation has ${observations.length} numbers; ${this.#policy.name} takes ${size} ("${card.observation.layout}")` +
          (this.robots > 1 ? ` for each of ${this.robots} robots` : ""),
      );
    }
    const { steps } = card.observation;
    const seen = this.#seen.slice();
    for (let robot = 0; robot < this.robots; robot++) {
      const own = seen.subarray(robot * steps * size, (robot + 1) * steps * size);
      own.copyWithin(0, size);
      for (let step = this.#fresh[robot] ? 0 : steps - 1; step < steps; step++) {
        for (let i = 0; i < size; i++) own[step * size + i] = observations[robot * size + i]!;
      }
    }
    await this.#decide(seen, signal);
    this.#seen.set(seen);
    this.#fresh.fill(false);

    const { from, count } = card.executed;
    const actions = new Float64Array(this.robots * actionSize);
    for (let robot = 0; robot < this.robots; robot++) {
      const at = (robot * card.horizon + from + count - this.#left[robot]!--) * actionSize;
      actions.set(this.#chunks.subarray(at, at + actionSize), robot * actionSize);
    }
    return actions;
  }

  /** New chunks for the robots that have no action left. */
  async #decide(seen: Float64Array, signal: AbortSignal | undefined): Promise<void> {
    const idle = this.#left.flatMap((left, robot) => (left === 0 ? [robot] : []));
    if (idle.length === 0) return;
    const shown = seen.length / this.robots;
    const histories = new Float64Array(idle.length * shown);
    idle.forEach((robot, i) => {
      histories.set(seen.subarray(robot * shown, (robot + 1) * shown), i * shown);
    });
    const seed = this.#seed * 2 ** 21 + (this.decisions % 2 ** 21);
    const decision = await this.#policy.decide(histories, { seed, signal });
    this.decisions++;
    this.last = decision;
    const chunk = decision.chunks.length / idle.length;
    idle.forEach((robot, i) => {
      this.#chunks.set(decision.chunks.subarray(i * chunk, (i + 1) * chunk), robot * chunk);
      this.#left[robot] = this.#policy.card.executed.count;
    });
  }
}
