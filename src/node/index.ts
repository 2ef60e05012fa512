export { type CostCurve, type CostPoint, DEFAULT_ROWS, measureCost, predictedSpeedup, timeOf } from "./cost.js";
export { imageGrid } from "./images.js";
export { type ModelFolder, readModelFolder } from "./model-folder.js";
export { npy } from "./npy.js";
export { fromPretrained, type Pipeline, type RunOptions } from "./pipeline.js";
