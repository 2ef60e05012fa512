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
export { coverageOf, GOAL, KEYPOINTS, PUSHER_RADIUS, RECTANGLES, WORLD } from "./shape.js";
