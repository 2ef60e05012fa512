export { type Ancestral, ancestral, type Ddpm, ddpm, renoise, type Variance } from "./ancestral.js";
export type { BetaSchedule, Spacing, Training, Visits } from "./betas.js";
export { denoiser } from "./denoiser.js";
export { type ConfigOptions, scheduleFromConfig } from "./diffusers.js";
export { type KarrasGrid, karrasGrid, type TimeGrid, timeGrid } from "./grids.js";
export {
  type ContinuousVp,
  continuousVp,
  type DiscreteVp,
  discreteVe,
  discreteVp,
  interpolant,
  type NetworkTime,
  ve,
} from "./levels.js";
export { type ReverseSde, reverseSde } from "./reverse-sde.js";
export {
  type Levels,
  makeSchedule,
  type Network,
  type Path,
  type Prediction,
  type Readout,
  type Schedule,
  type Transition,
} from "./schedule.js";
