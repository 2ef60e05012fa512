export {
  EPISODE_STEPS,
  type Observation,
  type ObservationKind,
  observations,
  type Pose,
  PushT,
  type PushTOptions,
  type Start,
  SUCCESS,
  startOf,
} from "./environment.js";
export { type Episode, historiesOf, type Moment, observationOf, type RolloutOptions, rollouts } from "./rollout.js";
export { coverageOf, GOAL, KEYPOINTS, PUSHER_RADIUS, RECTANGLES, WORLD } from "./shape.js";
