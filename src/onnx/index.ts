export { type Condition, type OnnxNetwork, type OnnxOptions, openOnnx } from "./model.js";
export type { SessionOptions, TensorInfo } from "./runtime.js";
