export { type Assignment, assign } from "./assignment.js";
export { frechetDistance, type GaussianStatistics, gaussianStatistics } from "./frechet.js";
export { inceptionScore } from "./inception-score.js";
export { w2 } from "./w2.js";
