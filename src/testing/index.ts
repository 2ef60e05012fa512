export { chunkLaw } from "./chunks.js";
export {
  brokenVerifiers,
  type ConformanceCase,
  drafterConformance,
  modelConformance,
  peekingDrafter,
  verifierConformance,
} from "./conformance.js";
export { assertLaw, FALSE_ALARM, type LawTest, pathLaw, terminalLaw } from "./law.js";
export { erfc, normalCdf, normalTest, overlap, twoSampleTest, zeroMeanTest } from "./statistics.js";
export { testChain, testModel, tiltedDrafter } from "./targets.js";
