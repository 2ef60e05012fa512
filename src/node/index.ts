export { type CalibrateOptions, calibrate } from "../pipeline/calibrate.js";
export { assertChecked, type CheckOptions, type Finding, rowTolerance, selfCheck } from "../pipeline/check.js";
export {
  type CostCurve,
  type CostPoint,
  DEFAULT_ROWS,
  type KnownCost,
  measureCost,
  predictedSpeedup,
  timeOf,
} from "../pipeline/cost.js";
export type { Decoded } from "../pipeline/decoder.js";
export {
  type DrafterExpectation,
  type Expectation,
  type ExpectationOptions,
  expectation,
} from "../pipeline/expectation.js";
export type { ModelFolder } from "../pipeline/folder.js";
export type { ConditionOptions, Pipeline, RunOptions, ScheduleOptions } from "../pipeline/pipeline.js";
export type { PromptOptions } from "../pipeline/prompts.js";
export { imageGrid } from "./images.js";
export { readModelFolder } from "./model-folder.js";
export { npy, readNpy } from "./npy.js";
export { fromPretrained, type PretrainedOptions } from "./pipeline.js";
