export type { PolicyCard } from "./card.js";
export { Controller, type ControllerOptions } from "./controller.js";
export { Deadline, type Plan } from "./deadline.js";
export { loadPolicy, type PolicyOptions } from "./load.js";
export { type DecideOptions, type Decision, Policy, type Sampling } from "./policy.js";
