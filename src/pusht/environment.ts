import { SpecdiffError } from "../core/errors.js";
import { LegacyRandom } from "./mt19937.js";
import { CENTRE_V, CORNERS, coverageOf, KEYPOINTS } from "./shape.js";
import { PHYSICS_STEP, World } from "./world.js";

/** Steps of the physics per action: control at 10 Hz. */
const SUBSTEPS = 10;
/** The pusher follows its target as a critically damped spring, s^-2 and s^-1. */
const STIFFNESS = 100;
const DAMPING = 20;
/** Coverage above this is success, and all of the reward. */
export const SUCCESS = 0.95;
/** Control steps of an episode in the published protocol. */
export const EPISODE_STEPS = 300;

/** Where everything is, px and rad; an environment has it. */
export interface Pose {
  readonly pusherX: number;
  readonly pusherY: number;
  readonly blockX: number;
  readonly blockY: number;
  readonly blockAngle: number;
}

/** What a policy is shown. */
export interface Observation {
  readonly size: number;
  /** Writes `size` numbers. */
  write(pose: Pose, out: Float64Array, at: number): void;
}

/**
 * Kinds of observations, px and rad: "state" is pusher x, y, block x, y, angle in [0, 2 pi); "keypoints" nine points of the
 * block, then the pusher (Diffusion Policy); "corners" the eight corners of its rectangles, then the pusher (gym-pusht).
 */
export const observations = {
  state: {
    size: 5,
    write({ pusherX, pusherY, blockX, blockY, blockAngle }, out, at) {
      out[at] = pusherX;
      out[at + 1] = pusherY;
      out[at + 2] = blockX;
      out[at + 3] = blockY;
      out[at + 4] = blockAngle;
    },
  },
  keypoints: pointsAndPusher(KEYPOINTS),
  corners: pointsAndPusher(CORNERS),
} satisfies Readonly<Record<string, Observation>>;

export type ObservationKind = keyof typeof observations;

function pointsAndPusher(points: readonly (readonly [number, number])[]): Observation {
  return {
    size: 2 * points.length + 2,
    write({ pusherX, pusherY, blockX, blockY, blockAngle }, out, at) {
      const cos = Math.cos(blockAngle);
      const sin = Math.sin(blockAngle);
      let next = at;
      for (let i = 0; i < points.length; i++) {
        const [u, v] = points[i]!;
        out[next++] = blockX + u * cos - v * sin;
        out[next++] = blockY + u * sin + v * cos;
      }
      out[next++] = pusherX;
      out[next] = pusherY;
    },
  };
}

export interface PushTOptions {
  /**
   * How a start is set. True (default): position, then angle about the centre of mass, so that the block's origin lands
   * elsewhere than asked; so do the demonstrations, gym-pusht and the published protocol. False: exactly as asked.
   */
  readonly legacy?: boolean;
}

/** A start as it is drawn or asked for: pusher x, y, block x, y, angle; px and rad. */
export type Start = readonly [pusherX: number, pusherY: number, blockX: number, blockY: number, angle: number];

/** The start of a seed, drawn as numpy's `RandomState(seed)` draws it. @param seed from 0 to 2^32 - 1 */
export function startOf(seed: number): Start {
  const random = new LegacyRandom(seed);
  const pusherX = random.integer(50, 450);
  const pusherY = random.integer(50, 450);
  const blockX = random.integer(100, 400);
  const blockY = random.integer(100, 400);
  return [pusherX, pusherY, blockX, blockY, random.normal() * 2 * Math.PI - Math.PI];
}

/**
 * The PushT task (Chi et al. 2023, after Florence et al. 2021): push a T onto its goal. The world is 512 px square with y
 * down; an action is where the pusher shall go, held for 0.1 s; the goal pose is (256, 256, pi/4). Deterministic.
 *
 * ```ts
 * const env = new PushT();
 * env.reset(100000);
 * const reward = env.step(250, 300);
 * ```
 */
export class PushT implements Pose {
  readonly #world = new World();
  readonly #legacy: boolean;
  /** Control steps since the reset. */
  steps = 0;
  /** Share of the goal that is covered, in [0, 1]. */
  coverage = 0;
  /** Contact points per step of the physics during the last action, rounded up. */
  contacts = 0;

  constructor({ legacy = true }: PushTOptions = {}) {
    this.#legacy = legacy;
    this.reset(0);
  }

  get pusherX(): number {
    return this.#world.pusherX;
  }

  get pusherY(): number {
    return this.#world.pusherY;
  }

  /** px/s */
  get pusherVelocity(): readonly [number, number] {
    return [this.#world.pusherVx, this.#world.pusherVy];
  }

  /** The middle of the outer long edge of the T's bar. */
  get blockX(): number {
    return this.#world.blockX;
  }

  get blockY(): number {
    return this.#world.blockY;
  }

  /** In [0, 2 pi). */
  get blockAngle(): number {
    const turn = 2 * Math.PI;
    const angle = this.#world.angle % turn;
    return angle < 0 ? angle + turn : angle;
  }

  /** clip(coverage / 0.95, 0, 1) */
  get reward(): number {
    return Math.min(1, this.coverage / SUCCESS);
  }

  get success(): boolean {
    return this.coverage > SUCCESS;
  }

  /** Starts the episode of a seed. */
  reset(seed: number): void {
    this.resetTo(startOf(seed));
  }

  /** Starts from a given start, at rest; one step of the physics is run, as in the reference. */
  resetTo(start: Start): void {
    if (start.length !== 5 || !start.every(Number.isFinite)) {
      throw new SpecdiffError(
        "bad-argument",
        `a start is five finite numbers (pusher x, y, block x, y, angle); given was [${start.join(", ")}]`,
      );
    }
    const [pusherX, pusherY, blockX, blockY, angle] = start;
    const shiftX = this.#legacy ? CENTRE_V * Math.sin(angle) : 0;
    const shiftY = this.#legacy ? CENTRE_V * (1 - Math.cos(angle)) : 0;
    this.#world.place(pusherX, pusherY, blockX + shiftX, blockY + shiftY, angle);
    this.#world.step();
    this.steps = 0;
    this.contacts = 0;
    this.#cover();
  }

  /**
   * Moves the pusher towards (x, y) for 0.1 s.
   * @returns the reward
   * @throws SpecdiffError("bad-argument") if x or y is not finite; what lies outside the world is taken as it is
   */
  step(x: number, y: number): number {
    if (!(Number.isFinite(x) && Number.isFinite(y)))
      throw new SpecdiffError("bad-argument", `the action is (${x}, ${y}); give finite positions in px`);
    const world = this.#world;
    let contacts = 0;
    for (let i = 0; i < SUBSTEPS; i++) {
      world.pusherVx += PHYSICS_STEP * (STIFFNESS * (x - world.pusherX) - DAMPING * world.pusherVx);
      world.pusherVy += PHYSICS_STEP * (STIFFNESS * (y - world.pusherY) - DAMPING * world.pusherVy);
      world.step();
      contacts += world.contacts;
    }
    this.steps++;
    this.contacts = Math.ceil(contacts / SUBSTEPS);
    this.#cover();
    return this.reward;
  }

  /** The observation of a kind, into `out` from index `at` if given. */
  observe(kind: ObservationKind, out = new Float64Array(observations[kind].size), at = 0): Float64Array {
    observations[kind].write(this, out, at);
    return out;
  }

  #cover(): void {
    this.coverage = coverageOf(this.blockX, this.blockY, this.#world.angle);
  }
}
