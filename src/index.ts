export { type Chain, type Reading, stepsOf, validateChain } from "./core/chain.js";
export { type Drafter, type Evaluation, noDraft } from "./core/drafter.js";
export { type ErrorCode, SpecdiffError } from "./core/errors.js";
export {
  type Progress,
  type SampleOptions,
  type SampleResult,
  SamplingError,
  sample,
} from "./core/loop.js";
export { Meter, type Model, type Outputs, type Rows } from "./core/model.js";
export { Purpose, RandomStream } from "./core/random.js";
export type { RoundRecord, RunRecord } from "./core/record.js";
export type { Carry } from "./core/slot.js";
export type { Verdict, Verifier, VerifierRandom, Window } from "./core/verifier.js";
export { fixedWindow, type RoundStart, replayWindows, type TickCost, type WindowPolicy } from "./core/window-policy.js";
export {
  corrected,
  createDrafter,
  type DraftContext,
  frozen,
  independent,
  posterior,
  selector,
} from "./drafters/index.js";
export { plain } from "./plain.js";
export { block, reflection, verifierNamed, verifiers } from "./verifiers/index.js";
export { type AutoWindowOptions, autoWindow } from "./windows/auto.js";
export { type Calibration, type ExpectedDelta, expectedDelta } from "./windows/calibration.js";
export { type RunningCost, runningCost } from "./windows/running-cost.js";
