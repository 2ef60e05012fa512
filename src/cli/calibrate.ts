import { join } from "node:path";
import { Command, Option } from "commander";
import type { DraftContext } from "../drafters/index.js";
import { calibrate } from "../pipeline/calibrate.js";
import { CALIBRATION_FILE } from "../pipeline/folder.js";
import { DEFAULTS, type Pipeline } from "../pipeline/pipeline.js";
import { denoiser } from "../schedules/index.js";
import type { Calibration } from "../windows/calibration.js";
import { assertWritable, writeAll } from "./files.js";
import { ownObservations } from "./observations.js";
import { type ModelFlags, modelOptions, numberFrom, openModel, runOptionsOf, wholeNumber } from "./options.js";
import { progressReporter } from "./progress.js";

interface Flags extends ModelFlags {
  steps: number;
  churn?: number;
  count: number;
  seed: number;
  out?: string;
}

const EXAMPLES = `
Examples:
  specdiff calibrate --model my-export              writes my-export/calibration.json
  specdiff calibrate --model my-policy --condition observation=seen.npy
  specdiff calibrate --model models/pusht           a PushT policy looks for observations itself

With the file there, --window auto knows from the first round how far off guesses will be. It changes windows, never the law of
the samples. Calibrate again when the network changes; any number of steps and churn is served by one file.`;

export function calibrateCommand(): Command {
  const command = new Command("calibrate").description(
    "Measures once how far off drafts of a model are, for windows that pay from the first round on.",
  );
  for (const option of modelOptions()) command.addOption(option);
  return command
    .addOption(new Option("--steps <k>", "steps of the chain").argParser(wholeNumber(1)).default(DEFAULTS.steps))
    .addOption(new Option("--churn <eps>", "stochasticity (default: the scheduler's)").argParser(numberFrom(0)))
    .addOption(new Option("--count <n>", "trajectories to learn from").argParser(wholeNumber(1)).default(16))
    .addOption(new Option("--seed <s>", "seed of the noise").argParser(wholeNumber(0)).default(0))
    .addOption(new Option("--out <file>", `default: ${CALIBRATION_FILE} in the model folder`))
    .addHelpText("after", EXAMPLES)
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const out = flags.out ?? join(flags.model, CALIBRATION_FILE);
  await assertWritable(out);
  const abort = new AbortController();
  const onInterrupt = () => abort.abort();
  process.once("SIGINT", onInterrupt);
  const progress = progressReporter("calibration");
  let pipeline: Pipeline | undefined;
  try {
    const seen = await ownObservations(flags, flags.count, { seed: flags.seed, signal: abort.signal });
    pipeline = await openModel(flags);
    const options = await runOptionsOf(pipeline, flags, seen);
    const { chain, readout } = pipeline.schedule(options);
    const model = denoiser(pipeline.networkModel(options), readout);
    const context = { chain, shape: pipeline.shape };
    const calibration = await calibrate(model, context, {
      count: flags.count,
      seed: flags.seed,
      signal: abort.signal,
      onProgress: progress.update,
    });
    progress.stop();
    const [error] = await writeAll([[out, `${JSON.stringify(calibration)}\n`]]);
    if (error) throw error;
    process.stdout.write(`${table(calibration, context)}\nWrote ${out}\n`);
  } finally {
    progress.stop();
    process.off("SIGINT", onInterrupt);
    await pipeline?.close();
  }
}

function table({ logSnr, near, far, made }: Calibration, { chain }: DraftContext): string {
  const { alpha, noise } = chain.levels!;
  const snr = Array.from(alpha, (a, k) => Math.log(a / noise[k]!));
  const lines = logSnr.flatMap((x, g) => {
    if (g % 4 !== 0 && g !== logSnr.length - 1) return [];
    const k = snr.reduce((best, value, k) => (Math.abs(value - x) < Math.abs(snr[best]! - x) ? k : best), 0);
    const weight = Math.abs(chain.b[k]!);
    const cells = [(near[g]! * weight).toPrecision(2), (far[g]! * weight).toPrecision(2)];
    return [`${String(k).padStart(6)}${x.toFixed(2).padStart(20)}${cells.map((cell) => cell.padStart(26)).join("")}`];
  });
  return [
    `${made?.stepsPerCall} steps per call on the way`,
    "",
    "  step   ln(signal / noise)   delta beside a refused state   one step from the anchor",
    ...lines,
  ].join("\n");
}
