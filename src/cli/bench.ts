import { Command, Option } from "commander";
import { type CostCurve, measureCost, predictedSpeedup } from "../node/index.js";
import { costLines } from "./cost-table.js";
import { assertWritable, writeAll } from "./files.js";
import { ownObservations } from "./observations.js";
import { type ModelFlags, modelOptions, openModel, runOptionsOf, wholeNumber } from "./options.js";
import { versions } from "./versions.js";

interface Flags extends ModelFlags {
  inFlight: number;
  repetitions: number;
  json?: string;
}

const ACCEPTANCES = [0.5, 0.7, 0.8, 0.9, 0.95];
const WINDOWS = [1, 2, 3, 4, 6, 8, 10, 15, 20, 30];

export function benchCommand(): Command {
  const command = new Command("bench").description(
    "Measures the time of a network call against its rows, and what window can pay on this machine.",
  );
  for (const option of modelOptions()) command.addOption(option);
  return command
    .addOption(new Option("--in-flight <b>", "trajectories that share a batch").argParser(wholeNumber(1)).default(1))
    .addOption(new Option("--repetitions <n>", "calls per row count").argParser(wholeNumber(3)).default(9))
    .addOption(new Option("--json <file>", "write the figures"))
    .addHelpText(
      "after",
      "\nExamples:\n  specdiff bench\n  specdiff bench --model my-model --in-flight 8 --json cost.json",
    )
    .action(bench);
}

async function bench(flags: Flags): Promise<void> {
  if (flags.json) await assertWritable(flags.json);
  const pipeline = await openModel(flags);
  try {
    const options = await runOptionsOf(pipeline, flags, await ownObservations(flags, 1));
    const { chain } = pipeline.schedule(options);
    const curve = await measureCost(pipeline.networkModel(options), chain, { repetitions: flags.repetitions });
    process.stdout.write(table(pipeline.folder.name, curve, flags.inFlight));
    if (flags.json) {
      const predicted = ACCEPTANCES.map((acceptance) => ({ acceptance, ...best(curve, acceptance, flags.inFlight) }));
      const content = {
        model: pipeline.folder.name,
        provider: flags.provider,
        inFlight: flags.inFlight,
        ...curve,
        predicted,
        versions: versions(),
      };
      const [error] = await writeAll([[flags.json, `${JSON.stringify(content, null, 2)}\n`]]);
      if (error) throw error;
    }
  } finally {
    await pipeline.close();
  }
}

function best(curve: CostCurve, acceptance: number, inFlight: number): { window: number; speedup: number } {
  return WINDOWS.map((window) => ({ window, speedup: predictedSpeedup(curve, window, acceptance, inFlight) })).reduce(
    (a, b) => (b.speedup > a.speedup ? b : a),
  );
}

function table(name: string, curve: CostCurve, inFlight: number): string {
  const lines = [
    `${name}: time of one call`,
    "",
    ...costLines(curve),
    "",
    `A further row costs ${curve.marginalMs.toFixed(2)} ms, so no window can be more than ${curve.bound.toFixed(2)} times sooner than plain sampling`,
    "of a single trajectory here: time(1) / marginal row time.",
    "",
    `Best window by the share of drafted steps that is kept, ${inFlight} in flight (engine time left out):`,
    "",
    "  kept   window   seconds against plain",
  ];
  for (const acceptance of ACCEPTANCES) {
    const { window, speedup } = best(curve, acceptance, inFlight);
    const row = `${acceptance.toFixed(2).padStart(6)}${String(window).padStart(9)}`;
    lines.push(
      speedup > 1.03
        ? `${row}   ${speedup.toFixed(2)} times sooner`
        : `${row}   nothing to gain: plain sampling is as good`,
    );
  }
  return `${lines.join("\n")}\n`;
}
