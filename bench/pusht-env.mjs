// @ts-check
// Control steps of the PushT environment per second, on one core: a pusher that circles the block's start and touches it
// often, reward and a keypoint observation in every step.
//   node bench/pusht-env.mjs [--json FILE]
import { PushT } from "speculative-diffusion/pusht";
import { report, spread } from "./table.mjs";

const STEPS = 30_000;
const env = new PushT();
const observation = new Float64Array(20);
const rates = [];
let touched = 0;
for (let repetition = 0; repetition < 8; repetition++) {
  const started = performance.now();
  for (let step = 0; step < STEPS; step++) {
    if (step % 300 === 0) env.reset(step / 300);
    const reach = 30 + 60 * Math.sin(step / 40) ** 2;
    env.step(env.blockX + reach * Math.cos(step / 9), env.blockY + 45 + reach * Math.sin(step / 9));
    env.observe("keypoints", observation);
    if (env.contacts > 0) touched++;
  }
  if (repetition > 0) rates.push((1000 * STEPS) / (performance.now() - started));
}
report("Control steps per second (median, 10th and 90th percentile of 7 runs)", { steps: STEPS }, [
  { ...spread(rates), "share with contact": touched / (8 * STEPS) },
]);
