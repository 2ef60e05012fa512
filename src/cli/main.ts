#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { benchCommand } from "./bench.js";
import { calibrateCommand } from "./calibrate.js";
import { exitCodeOf, explain } from "./exit.js";
import { generateCommand } from "./generate.js";
import { inspectCommand } from "./inspect.js";
import { metricsCommand } from "./metrics.js";
import { policyCommand } from "./policy.js";
import { studyCommand } from "./study.js";
import { versions } from "./versions.js";

const program = new Command("specdiff")
  .description("Exact sampling of diffusion models in a fraction of the sequential network calls.")
  .version(versions().specdiff)
  .addCommand(generateCommand())
  .addCommand(inspectCommand())
  .addCommand(benchCommand())
  .addCommand(calibrateCommand())
  .addCommand(policyCommand())
  .addCommand(studyCommand())
  .addCommand(metricsCommand());

for (const command of [program, ...program.commands, ...program.commands.flatMap(({ commands }) => commands)])
  command.exitOverride().showHelpAfterError("(--help shows all options)");

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitCodeOf(error);
  } else {
    process.stderr.write(`specdiff: ${explain(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
