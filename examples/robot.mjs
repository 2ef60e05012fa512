// @ts-check
// A robot loop: observe, ask the policy, move. The shipped policy pushes a T onto its goal. The signal stops a decision that
// the robot cannot wait for: `act` then rejects, and there is no action.
import { loadPolicy } from "speculative-diffusion/policy";
import { EPISODE_STEPS, PushT } from "speculative-diffusion/pusht";

const policy = await loadPolicy(new URL("../models/pusht", import.meta.url).pathname);
const robot = policy.controller({ seed: 7 });
const world = new PushT();
world.reset(100_003);

let best = 0;
let calls = 0;
for (let step = 0; step < EPISODE_STEPS && !world.success; step++) {
  const before = robot.decisions;
  const [x, y] = await robot.act(world.observe("keypoints"), AbortSignal.timeout(5000));
  if (robot.decisions > before) calls += robot.last?.record.calls ?? 0;
  best = Math.max(best, world.step(x ?? world.pusherX, y ?? world.pusherY));
}
await policy.close();

console.log(
  `largest reward ${best.toFixed(3)} after ${world.steps} steps; ${robot.decisions} decisions, ` +
    `${(calls / robot.decisions).toFixed(1)} network calls each for ${robot.last?.record.steps} denoising steps`,
);
