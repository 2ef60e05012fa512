import { join } from "node:path";
import { Presets, SingleBar } from "cli-progress";
import { Command, Option } from "commander";
import { type Size, type StudyDefinition, studies } from "../studies/index.js";
import { runStudy, type StudyOptions } from "../studies/study.js";
import { wholeNumber } from "./options.js";
import { versions } from "./versions.js";

interface Flags {
  quick?: boolean;
  full?: boolean;
  tiny?: boolean;
  out?: string;
  seed: number;
  [name: string]: unknown;
}

export function studyCommand(): Command {
  const command = new Command("study").description(
    "Reruns an experiment: raw rows, plots and a report in one folder. Stop it and give the same command again to go on.",
  );
  for (const study of studies) command.addCommand(oneStudy(study));
  return command;
}

function oneStudy(definition: StudyDefinition): Command {
  const command = new Command(definition.name)
    .description(definition.description)
    .addOption(new Option("--quick", "about two minutes on two cores (default)").conflicts(["full", "tiny"]))
    .addOption(new Option("--full", "the size that a report is made from, up to hours").conflicts(["tiny"]))
    .addOption(new Option("--tiny", "seconds: proves the plumbing, its numbers mean nothing"))
    .addOption(new Option("--out <dir>", "folder of the results (default: out/study-NAME-SIZE)"))
    .addOption(new Option("--seed <s>", "same seed, same cells").argParser(wholeNumber(0)).default(1));
  for (const option of definition.options ?? []) command.addOption(option);
  return command.action((flags: Flags) => run(definition, flags));
}

async function run(definition: StudyDefinition, flags: Flags): Promise<void> {
  const size: Size = flags.full ? "full" : flags.tiny ? "tiny" : "quick";
  const out = flags.out ?? join("out", `study-${definition.name}-${size}`);
  const abort = new AbortController();
  const onInterrupt = () => {
    if (abort.signal.aborted) process.exit(130); // asked twice: leave at once
    process.stderr.write("\nspecdiff: stopping; finished cells are kept. Press Ctrl-C again to leave at once\n");
    abort.abort();
  };
  process.on("SIGINT", onInterrupt);
  const study = await definition.create({ size, seed: flags.seed, out, flags });
  const progress = cellProgress(definition.name);
  try {
    const report = await runStudy(study, {
      out,
      versions: versions(),
      command: commandOf(process.argv.slice(2)),
      signal: abort.signal,
      onProgress: progress.update,
    });
    progress.stop();
    const lines = report.lead.map((line) => line.replaceAll("`", ""));
    process.stdout.write(`${[study.title, "", ...lines, "", `Wrote ${join(out, "report.html")}`].join("\n")}\n`);
  } finally {
    progress.stop();
    process.off("SIGINT", onInterrupt);
    await study.close?.();
  }
}

/** The command as another machine would give it: without the folder that this one wrote to. */
function commandOf(words: readonly string[]): string {
  const named = words.filter((word, i) => word !== "--out" && words[i - 1] !== "--out" && !word.startsWith("--out="));
  return ["specdiff", ...named].join(" ");
}

/** A bar on a terminal, a line for each cell elsewhere; both on standard error. */
function cellProgress(name: string): { update: NonNullable<StudyOptions["onProgress"]>; stop(): void } {
  if (!process.stderr.isTTY) {
    return {
      update: ({ done, total, label }) =>
        process.stderr.write(
          label === "" ? `${name}: ${done} of ${total} cells\n` : `${name} ${done + 1}/${total}: ${label}\n`,
        ),
      stop() {},
    };
  }
  const bar = new SingleBar(
    { format: `${name} {bar} {value}/{total} cells | {eta_formatted} left | {label}`, hideCursor: true, etaBuffer: 20 },
    Presets.shades_classic,
  );
  let started = false;
  return {
    update({ done, total, label }) {
      if (!started) bar.start(total, done, { label });
      else bar.update(done, { label });
      started = true;
    },
    stop: () => bar.stop(),
  };
}
