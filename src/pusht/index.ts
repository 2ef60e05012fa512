export {
  EPISODE_STEPS,
  type Observation,
  type ObservationKind,
  observations,
  PushT,
  type PushTOptions,
  type Start,
  SUCCESS,
  startOf,
} from "./environment.js";
export { type Episode, type Moment, observationOf, type RolloutOptions, rollouts } from "./rollout.js";
export { coverageOf, GOAL, KEYPOINTS, PUSHER_RADIUS, RECTANGLES, WORLD } from "./shape.js";
