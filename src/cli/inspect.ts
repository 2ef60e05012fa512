import { Argument, Command, Option } from "commander";
import { SHIPPED_MODEL } from "../node/shipped.js";
import { listOf } from "../onnx/form.js";
import { reexportAdvice } from "../onnx/index.js";
import { assertChecked, type Finding, selfCheck } from "../pipeline/check.js";
import { type Expectation, expectation } from "../pipeline/expectation.js";
import { DEFAULTS, type Pipeline } from "../pipeline/pipeline.js";
import { costLines } from "./cost-table.js";
import { assertWritable, writeAll } from "./files.js";
import { ownObservations } from "./observations.js";
import {
  couplingOption,
  type ModelFlags,
  modelOptions,
  numberFrom,
  openModel,
  runOptionsOf,
  wholeNumber,
} from "./options.js";
import { versions } from "./versions.js";

interface Flags extends Omit<ModelFlags, "model"> {
  steps: number;
  churn?: number;
  count: number;
  inFlight: number;
  coupling: string;
  json?: string;
}

/** Moments at which a PushT policy is looked at. */
const OBSERVATIONS = 16;

const EXAMPLES = `
Examples:
  specdiff inspect my-export                                        a diffusers or Optimum export
  specdiff inspect policy.onnx --scheduler DDPMScheduler num_train_timesteps=100 beta_schedule=squaredcos_cap_v2
  specdiff inspect models/pusht                                     a PushT policy looks for observations itself
  specdiff inspect my-export --steps 1000 --in-flight 8 --json expectation.json

Exit codes as for generate: 3 the model is not usable or fails its self-check, 4 the network failed, 5 file.`;

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .description("Looks at a model: what it takes, whether it works, and what speculation will bring on this machine.")
    .addArgument(
      new Argument("[model]", "model folder or ONNX file").default(SHIPPED_MODEL, "the shipped CIFAR-10 model"),
    );
  for (const option of modelOptions()) if (option.long !== "--model") command.addOption(option);
  return command
    .addOption(new Option("--steps <k>", "steps of the chain").argParser(wholeNumber(1)).default(DEFAULTS.steps))
    .addOption(new Option("--churn <eps>", "stochasticity (default: the scheduler's)").argParser(numberFrom(0)))
    .addOption(new Option("--count <n>", "plain trajectories to learn from").argParser(wholeNumber(1)).default(2))
    .addOption(new Option("--in-flight <b>", "trajectories that share a batch").argParser(wholeNumber(1)).default(1))
    .addOption(couplingOption())
    .addOption(new Option("--json <file>", "write the figures"))
    .addHelpText("after", EXAMPLES)
    .action(inspect);
}

async function inspect(model: string, given: Flags): Promise<void> {
  const flags = { ...given, model };
  if (flags.json) await assertWritable(flags.json);
  const print = (lines: readonly string[]) => process.stdout.write(`${lines.join("\n")}\n`);
  const pipeline = await openModel(flags);
  try {
    const options = await runOptionsOf(pipeline, flags, await ownObservations(flags, OBSERVATIONS));
    print(describe(pipeline, pipeline.schedule(options).name, flags));
    const findings = await selfCheck(pipeline, { ...options, providers: flags.provider });
    print(["", "Self-check", ...findings.map(lineOf)]);
    assertChecked(pipeline.folder.name, findings);
    const expected = await expectation(pipeline, {
      ...options,
      count: flags.count,
      inFlight: flags.inFlight,
      coupling: flags.coupling,
      onProgress: (what) => process.stderr.write(`specdiff: ${what}\n`),
    });
    print(tables(expected));
    if (flags.json) {
      const content = { model: pipeline.folder.name, findings, ...expected, versions: versions() };
      const [error] = await writeAll([[flags.json, `${JSON.stringify(content, null, 2)}\n`]]);
      if (error) throw error;
    }
  } finally {
    await pipeline.close();
  }
}

function describe({ folder, target, scheduler, shape }: Pipeline, chain: string, flags: Flags): string[] {
  const { classes, nullClass, decoder, draft } = folder;
  return [
    folder.name,
    `  network    ${folder.target}`,
    `  inputs     ${listOf(target.inputs)}`,
    `  outputs    ${listOf(target.outputs)}`,
    `  state      ${shape.join(" x ")}`,
    `  times      ${target.perRowTimes ? "one for every row" : reexportAdvice(target)}`,
    `  scheduler  ${scheduler._class_name}, ${flags.steps} steps as ${chain}`,
    ...(classes ? [`  classes    ${classes.length}${nullClass === undefined ? "" : `, ${nullClass} means none`}`] : []),
    ...(draft ? [`  draft      ${draft}`] : []),
    ...(folder.text
      ? [`  text       ${folder.text.encoder}${folder.text.tokenizer ? "" : ", without a tokenizer"}`]
      : []),
    ...(decoder ? [`  decoder    ${decoder.file}, latents / ${decoder.scale} + ${decoder.shift}`] : []),
    `  provider   ${flags.provider.join(", ")}`,
  ];
}

function lineOf({ name, ok, detail }: Finding): string {
  return `  ${ok ? "ok    " : "NOT OK"} ${name.padEnd(11)} ${detail}`;
}

function tables({ steps, count, inFlight, cost, drafters, measured, verdict }: Expectation): string[] {
  const positions = [1, 2, 4, 7, 14].filter((j) => j < Math.max(...drafters.map(({ delta }) => delta.length)));
  return [
    "",
    "Time of one call",
    ...costLines(cost),
    `A further row costs ${cost.marginalMs.toPrecision(3)} ms: nothing can be more than ${cost.bound.toFixed(2)} times sooner than plain sampling of one trajectory.`,
    "",
    `Expected from ${count} plain trajectories of ${steps} steps, ${inFlight} in flight (time outside the network left out)`,
    `  ${"".padEnd(18)}median delta, steps after the anchor${"".padEnd(5)}soonest`,
    `  ${"drafter".padEnd(18)}${positions.map((j) => String(j).padStart(7)).join("")}    window  steps/call  times sooner`,
    ...drafters.map(
      ({ drafter, delta, window, calls, seconds }) =>
        `  ${drafter.padEnd(18)}${positions.map((j) => cell(delta[j])).join("")}${String(window).padStart(10)}${calls.toFixed(2).padStart(12)}${seconds.toFixed(2).padStart(14)}`,
    ),
    "",
    `Measured, ${count} trajectories each, all time included`,
    `  ${"drafter".padEnd(18)}${"window".padStart(6)}   expected  steps/call  times sooner`,
    ...measured.map(
      ({ draft, window, expected, calls, seconds }) =>
        `  ${draft.padEnd(18)}${String(window).padStart(6)}${(expected?.toFixed(2) ?? "").padStart(11)}${calls.toFixed(2).padStart(12)}${seconds.toFixed(2).padStart(14)}`,
    ),
    "",
    verdict,
  ];
}

function cell(delta: number | undefined): string {
  return (delta === undefined || Number.isNaN(delta) ? "-" : delta.toPrecision(2)).padStart(7);
}
