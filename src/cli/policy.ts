import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError, Option } from "commander";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { type Decision, loadPolicy, type Policy } from "../policy/index.js";
import { rolloutGif } from "../pusht/gif.js";
import { EPISODE_STEPS, type Episode, rollouts } from "../pusht/index.js";
import { playerHtml } from "../pusht/player.js";
import { assertWritable, writeAll } from "./files.js";
import { couplingOption, numberFrom, wholeNumber } from "./options.js";

/** The policy that ships with the package. */
export const SHIPPED_POLICY = fileURLToPath(new URL("../../models/pusht", import.meta.url));

interface Flags {
  model: string;
  seed: number;
  start?: number;
  steps: number;
  draft?: string;
  coupling: string;
  window?: number | "auto";
  deadline?: number;
  threads?: number;
  out: string;
}

const EXAMPLES = `
Examples:
  specdiff policy run                             the shipped policy pushes the T: out/rollout.html
  specdiff policy run --seed 3 --out rollout.gif  another start, as an animated picture
  specdiff policy run --draft none                plain sampling, for comparison
  specdiff policy run --deadline 10               draft and window chosen to decide within 10 ms

Exit codes as of specdiff generate. Ctrl-C stops between network calls.`;

export function policyCommand(): Command {
  const command = new Command("policy").description("Diffusion policies for robots, sampled speculatively.");
  command.addCommand(runCommand());
  return command;
}

function runCommand(): Command {
  return new Command("run")
    .description("Runs an episode of PushT, shows calls and time of each decision, and draws it.")
    .addOption(
      new Option("--model <dir>", "policy folder, with a policy.json").default(
        SHIPPED_POLICY,
        "the PushT policy that ships with specdiff",
      ),
    )
    .addOption(new Option("--seed <s>", "seed of the policy's noise").argParser(wholeNumber(0)).default(0))
    .addOption(
      new Option("--start <s>", "seed of the start (default: 100000 + seed, as in the benchmark)").argParser(
        wholeNumber(0),
      ),
    )
    .addOption(
      new Option("--steps <n>", "control steps at most, ten a second").argParser(wholeNumber(1)).default(EPISODE_STEPS),
    )
    .addOption(new Option("--draft <name>", `as of specdiff generate (default: ${DEFAULTS.draft})`))
    .addOption(couplingOption())
    .addOption(
      new Option(
        "--window <l>",
        `steps drafted per round, or auto: what pays on this machine (default: ${DEFAULTS.window})`,
      ).argParser((text) => (text === "auto" ? text : wholeNumber(1)(text))),
    )
    .addOption(
      new Option("--deadline <ms>", "milliseconds for a decision: chooses draft and window")
        .argParser(numberFrom(0))
        .conflicts(["draft", "window"]),
    )
    .addOption(new Option("--threads <n>", "threads of the network (default: one per core)").argParser(wholeNumber(1)))
    .addOption(new Option("--out <file>", "picture, .html or .gif").argParser(picture).default("out/rollout.html"))
    .addHelpText("after", EXAMPLES)
    .action(run);
}

function picture(text: string): string {
  if (/\.(html|gif)$/i.test(text)) return text;
  throw new InvalidArgumentError("Give a file that ends in .html or .gif.");
}

async function run(flags: Flags): Promise<void> {
  await assertWritable(flags.out);
  const abort = new AbortController();
  const onInterrupt = () => abort.abort();
  process.once("SIGINT", onInterrupt);
  const { draft, coupling, window, deadline, threads } = flags;
  const policy = await loadPolicy(flags.model, {
    sampling: { coupling, ...(draft && { draft }), ...(window && { window }) },
    ...(deadline !== undefined && { deadline }),
    ...(threads && { threads }),
  });
  try {
    await warmUp(policy);
    const start = flags.start ?? 100_000 + flags.seed;
    const decisions: Decision[] = [];
    const [episode] = await rollouts(policy, {
      starts: [start],
      seed: flags.seed,
      steps: flags.steps,
      trace: true,
      signal: abort.signal,
      onDecision(decision, { steps }) {
        decisions.push(decision);
        process.stderr.write(`step ${String(steps).padStart(3)}: ${decisionLine(decision)}\n`);
      },
    });
    const caption = { title: `${policy.name}, start ${start}`, method: methodOf(decisions, coupling) };
    const content =
      extname(flags.out).toLowerCase() === ".gif"
        ? await rolloutGif(episode!.trace!, caption)
        : playerHtml(episode!.trace!, caption);
    const [error] = await writeAll([[flags.out, content]]);
    if (error) throw error;
    process.stdout.write(summary(policy, episode!, decisions, flags.out));
  } finally {
    process.off("SIGINT", onInterrupt);
    await policy.close();
  }
}

/** The first decisions of a process are slow for reasons of their own: one is made before the clock counts. */
async function warmUp(policy: Policy): Promise<void> {
  const histories = new Float64Array(policy.card.observation.steps * policy.observationSize).fill(256);
  for (let seed = 0; seed < 3; seed++) await policy.decide(histories, { seed });
}

function decisionLine({ record, ms, draft, window, late }: Decision): string {
  const how = draft === "none" ? "plain" : `${draft}${window === undefined ? "" : `, window ${window}`}`;
  const lateness = late ? `, late by ${late.toFixed(1)} ms` : "";
  return `${record.calls} calls for ${record.steps} steps, ${ms.toFixed(1)} ms (${how})${lateness}`;
}

function methodOf(decisions: readonly Decision[], coupling: string): string {
  const { draft, window } = decisions.at(-1)!;
  if (draft === "none") return "plain sampling";
  return `${draft}, ${coupling}${window === undefined ? "" : `, window ${window}`}`;
}

function summary(
  policy: Policy,
  { reward, success, steps }: Episode,
  decisions: readonly Decision[],
  out: string,
): string {
  const times = decisions.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number) => times[Math.round(share * (times.length - 1))]!;
  const calls = decisions.reduce((sum, { record }) => sum + record.calls, 0) / decisions.length;
  const lines = [
    `${success ? "Reached" : "Did not reach"} the goal: largest reward ${reward.toFixed(3)} in ${steps} steps (coverage above 0.95 is success).`,
    `${decisions.length} decisions: ${calls.toFixed(1)} calls each for ${decisions[0]!.record.steps} steps, ${at(0.5).toFixed(1)} ms median, ${at(0.95).toFixed(1)} ms 95th percentile.`,
  ];
  if (policy.deadline) {
    const { budget, plan } = policy.deadline;
    const late = decisions.filter((decision) => decision.late! > 0).length;
    lines.push(
      late === 0
        ? `The deadline of ${budget} ms was kept by every decision.`
        : `The deadline of ${budget} ms was missed by ${late} of ${decisions.length} decisions, by up to ${Math.max(...decisions.map((one) => one.late!)).toFixed(1)} ms` +
            (plan!.over > 0 ? `; no way of sampling that was tried keeps it on this machine.` : "."),
    );
  }
  return `${[...lines, `Wrote ${out}`].join("\n")}\n`;
}
