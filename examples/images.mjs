// @ts-check
// The shipped CIFAR-10 model from a program: load a folder, call it, stop it when you like.
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fromPretrained, imageGrid } from "speculative-diffusion/node";

const pipeline = await fromPretrained(fileURLToPath(new URL("../models/cifar10", import.meta.url)));
const { samples, record } = await pipeline.run({
  count: 4,
  steps: 50,
  seed: 7,
  classes: ["horse", "ship"],
  window: 20, // fewest calls; without it the windows that are soonest on this machine, plain sampling if none is
  signal: AbortSignal.timeout(300_000),
  onProgress: ({ committed, totalSteps }) => process.stderr.write(`\r${committed} of ${totalSteps} steps`),
});
await pipeline.close();

mkdirSync("out", { recursive: true });
writeFileSync("out/horses-and-ships.png", imageGrid(samples, pipeline.shape));
console.log(
  `\n${record.speedup?.toFixed(2)} steps a call, acceptance ${record.acceptance?.toFixed(2)}: out/horses-and-ships.png`,
);
