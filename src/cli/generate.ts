import { readFile } from "node:fs/promises";
import { Command, Option } from "commander";
import { SpecdiffError } from "../core/errors.js";
import { type SampleResult, SamplingError } from "../core/loop.js";
import type { RoundRecord } from "../core/record.js";
import type { Carry } from "../core/slot.js";
import { replayWindows } from "../core/window-policy.js";
import { imageGrid, npy, type Pipeline, type RunOptions } from "../node/index.js";
import { reexportAdvice } from "../onnx/index.js";
import { assertChecked, selfCheck } from "../pipeline/check.js";
import type { KnownCost } from "../pipeline/cost.js";
import { DEFAULTS, FIXED_WINDOW } from "../pipeline/pipeline.js";
import { exitCodeOf, explain } from "./exit.js";
import { assertWritable, writeAll } from "./files.js";
import {
  couplingOption,
  type ModelFlags,
  modelOptions,
  numberFrom,
  openModel,
  runOptionsOf,
  wholeNumber,
} from "./options.js";
import { progressReporter } from "./progress.js";
import { versions } from "./versions.js";

interface Flags extends ModelFlags {
  count: number;
  steps: number;
  churn?: number;
  draft?: string;
  coupling: string;
  window: number | "auto";
  carry: Carry;
  leaves: "on" | "off";
  inFlight: number;
  maxRows?: number;
  seed: number;
  class?: string[];
  out: string;
  json: string;
  samples?: string;
  rounds?: boolean;
  replay?: string;
  compare?: boolean;
  check: boolean;
}

const EXAMPLES = `
Examples:
  specdiff generate                                       16 CIFAR-10 images, out/grid.png and out/record.json
  specdiff generate --count 64 --class cat dog --seed 7   cats and dogs in turn
  specdiff generate --compare                             the same number by plain sampling too, and both costs
  specdiff generate --window 20                           long windows: fewest calls, whatever it costs in seconds
  specdiff generate --draft independent --window 6        draft with the small network
  specdiff generate --model my-model --steps 50 --draft frozen:epsilon --samples x.npy

A record's speedup is steps x count / calls, where calls sums over the images the network calls each took part in
(a call is one batch, however many rows it has). Rows and seconds are recorded beside it.

Exit codes: 0 done, 2 bad option, 3 model or schedule not usable, 4 network failed, 5 file, 130 interrupted.
Ctrl-C stops after the round under way; finished images and the record are still written.`;

export function generateCommand(): Command {
  const command = new Command("generate").description(
    "Generates samples by speculative sampling: the law of plain sampling in fewer sequential network calls.",
  );
  for (const option of modelOptions()) command.addOption(option);
  return command
    .addOption(new Option("--count <n>", "number of samples").argParser(wholeNumber(1)).default(16))
    .addOption(new Option("--steps <k>", "steps of the chain").argParser(wholeNumber(1)).default(DEFAULTS.steps))
    .addOption(
      new Option(
        "--churn <eps>",
        "stochasticity: churn of the reverse SDE, eta of DDIM (default: the scheduler's)",
      ).argParser(numberFrom(0)),
    )
    .addOption(
      new Option(
        "--draft <name>",
        `auto, posterior, frozen, frozen:x0|velocity|epsilon|score|drift|increment, independent, corrected:<name>, or none for plain sampling (default: ${DEFAULTS.draft}; none where no call can be saved)`,
      ),
    )
    .addOption(couplingOption())
    .addOption(
      new Option("--window <l>", "steps drafted per round; auto: what saves seconds on this machine, none if none does")
        .argParser((text) => (text === "auto" ? text : wholeNumber(1)(text)))
        .default(DEFAULTS.window),
    )
    .addOption(
      new Option(
        "--carry <rule>",
        "what the next window starts from (default: window; nearest for a coupling that looks ahead)",
      ).choices(["none", "parent", "nearest", "window"]),
    )
    .addOption(
      new Option("--leaves <switch>", "evaluate the last drafted state too").choices(["on", "off"]).default("on"),
    )
    .addOption(new Option("--in-flight <b>", "trajectories that share a batch").argParser(wholeNumber(1)).default(16))
    .addOption(
      new Option("--max-rows <n>", "most rows in one network call (default: no limit)").argParser(wholeNumber(1)),
    )
    .addOption(new Option("--seed <s>", "same seed and window, same samples").argParser(wholeNumber(0)).default(0))
    .addOption(new Option("--out <png>", "image grid").default("out/grid.png"))
    .addOption(new Option("--json <file>", "record of the run").default("out/record.json"))
    .addOption(new Option("--samples <npy>", "the samples as float32 array, count x shape"))
    .addOption(new Option("--rounds", "list every round in the record"))
    .addOption(new Option("--replay <record>", "sample again what this record of a run describes, to the bit"))
    .addOption(new Option("--no-check", "skip the self-check of the model (a second or so)"))
    .addOption(new Option("--compare", "also run plain sampling and report both"))
    .addHelpText("after", EXAMPLES)
    .action(generate);
}

async function generate(given: Flags): Promise<void> {
  const recorded = given.replay === undefined ? undefined : await readRecord(given.replay);
  // The record says what is sampled; how it is computed, which changes no sample, is still the caller's choice.
  const { inFlight: _, maxRows: __, provider: ___, threads: ____, ...what } = recorded?.config ?? {};
  const asked: Flags = { ...given, ...what };
  const files = [asked.out, asked.json, ...(asked.samples ? [asked.samples] : [])];
  for (const file of files) await assertWritable(file);
  const abort = new AbortController();
  const onInterrupt = () => {
    if (abort.signal.aborted) process.exit(130); // asked twice: leave at once
    process.stderr.write("\nspecdiff: stopping after this round; press Ctrl-C again to leave at once\n");
    abort.abort();
  };
  process.on("SIGINT", onInterrupt);
  const pipeline = await openModel(asked);
  const flags = { ...asked, draft: asked.draft ?? pipeline.defaultDraft };
  try {
    if (recorded && recorded.model !== pipeline.folder.name) {
      throw new SpecdiffError(
        "bad-argument",
        `the record ${flags.replay} is of the model ${recorded.model}, not of ${pipeline.folder.name}; name the same --model`,
      );
    }
    const rounds: RoundRecord[] = [];
    const options: RunOptions = {
      ...(await runOptionsOf(pipeline, flags)),
      count: flags.count,
      seed: flags.seed,
      draft: flags.draft,
      coupling: flags.coupling,
      carry: flags.carry,
      leaves: flags.leaves === "on",
      inFlight: flags.inFlight,
      signal: abort.signal,
      ...(flags.maxRows !== undefined && { maxRows: flags.maxRows }),
    };
    if (!pipeline.target.perRowTimes) {
      const meanwhile = asked.draft === undefined ? ". Until then every step is sampled plainly" : "";
      process.stderr.write(`specdiff: ${pipeline.folder.name}: ${reexportAdvice(pipeline.target)}${meanwhile}\n`);
    }
    if (flags.check) {
      const findings = await selfCheck(pipeline, { ...options, providers: flags.provider });
      assertChecked(pipeline.folder.name, findings);
    }
    const cost =
      recorded?.plan || flags.window !== "auto" || flags.draft === "none" ? undefined : await pipeline.cost(options);
    if (cost) process.stderr.write(`specdiff: ${costLine(cost)}\n`);
    const window = recorded?.plan ? replayWindows(recorded.plan) : flags.window;
    const speculative = await attempt(pipeline, flags.draft === "none" ? "plain" : "speculative", {
      ...options,
      window,
      plan: flags.window === "auto",
      ...(flags.rounds && { onRound: (round: RoundRecord) => rounds.push(round) }),
    });
    const plain =
      flags.compare && !speculative.error ? await attempt(pipeline, "plain", { ...options, draft: "none" }) : undefined;
    const chain = pipeline.schedule(options).name;
    await store({ flags, pipeline, chain, result: speculative.result, plain: plain?.result, rounds, cost });
    const error = speculative.error ?? plain?.error;
    if (error) throw error;
  } finally {
    process.off("SIGINT", onInterrupt);
    await pipeline.close();
  }
}

function costLine({ curve, measuredMs }: KnownCost): string {
  const source = measuredMs > 0 ? `measured in ${(measuredMs / 1000).toFixed(1)} s` : "measured before";
  return (
    `a call of one row takes ${curve.points[0]!.ms.toFixed(1)} ms, a further row ${curve.marginalMs.toFixed(1)} ms (${source}): ` +
    `at most ${Math.max(1, curve.bound).toFixed(2)} times sooner for a single trajectory`
  );
}

interface RecordedRun {
  readonly model: string;
  readonly config: Partial<Flags>;
  readonly plan: number[][] | undefined;
}

/** The settings of an earlier run, and its windows where they were chosen as it ran. */
async function readRecord(path: string): Promise<RecordedRun> {
  let record: Partial<RecordedRun>;
  try {
    record = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new SpecdiffError("file", `cannot read the record ${path}: ${(cause as Error).message}`, { cause });
  }
  if (typeof record?.config !== "object") {
    throw new SpecdiffError("file", `${path} is no record of specdiff generate: it has no "config"`);
  }
  return { model: record.model ?? "", config: record.config, plan: record.plan };
}

/** A run whose finished part survives its error. */
async function attempt(
  pipeline: Pipeline,
  label: string,
  options: RunOptions,
): Promise<{ result: SampleResult; error?: SamplingError }> {
  const progress = progressReporter(label);
  try {
    return { result: await pipeline.run({ ...options, onProgress: progress.update }) };
  } catch (error) {
    if (error instanceof SamplingError) return { result: error.partial, error };
    throw error;
  } finally {
    progress.stop();
  }
}

interface Made {
  readonly flags: Flags;
  readonly pipeline: Pipeline;
  /** What the chain is called. */
  readonly chain: string;
  readonly result: SampleResult;
  /** Of plain sampling, where it was asked for. */
  readonly plain: SampleResult | undefined;
  readonly rounds: readonly RoundRecord[];
  readonly cost: KnownCost | undefined;
}

/** Writes all files of a run and says what it took. */
async function store({ flags, pipeline, chain, result, plain, rounds, cost }: Made): Promise<void> {
  const done = finishedOnly(result);
  const files: [string, Uint8Array | string][] = [];
  if (done.count > 0) {
    const { images, shape } = (await pipeline.decode?.(done.samples)) ?? {
      images: done.samples,
      shape: pipeline.shape,
    };
    if (isImage(shape)) files.push([flags.out, imageGrid(images, shape)]);
    else
      process.stderr.write(
        `specdiff: states of shape [${shape.join(", ")}] are not images, so there is no grid; use --samples\n`,
      );
    if (flags.samples) files.push([flags.samples, npy(done.samples, [done.count, ...pipeline.shape])]);
  }
  const { model, out, json, samples, compare, rounds: listed, replay, check, ...config } = flags;
  const record = {
    ...publicRecord(result),
    ...(plain && {
      plain: publicRecord(plain),
      callRatio: ratio(plain.record.trajectoryCalls, result.record.trajectoryCalls),
      wallRatio: ratio(plain.record.wallMs, result.record.wallMs),
    }),
    seed: flags.seed,
    model: pipeline.folder.name,
    chain,
    config,
    finishedTrajectories: result.finished.flatMap((finished, n) => (finished ? [n] : [])),
    versions: versions(),
    ...(cost && { cost: { ...cost.curve, measuredMs: cost.measuredMs } }),
    ...(listed && { roundList: rounds }),
    ...(result.plan && { plan: result.plan }),
  };
  files.push([flags.json, `${JSON.stringify(record, null, 2)}\n`]);
  const errors = await writeAll(files);
  process.stdout.write(
    summary(
      flags,
      result,
      plain,
      files.map(([path]) => path),
    ),
  );
  for (const error of errors) process.stderr.write(`specdiff: ${explain(error)}\n`);
  if (errors[0]) process.exitCode = exitCodeOf(errors[0]);
}

/** The record with the names a reader of the JSON looks for first. */
function publicRecord({ record }: SampleResult) {
  return { ...record, deltaMedian: record.delta?.median ?? null };
}

function summary(
  flags: Flags,
  { record, plan }: SampleResult,
  plain: SampleResult | undefined,
  files: readonly string[],
): string {
  const line = (name: string, r: SampleResult["record"]) =>
    [
      name.padEnd(13),
      String(r.trajectoryCalls).padStart(8),
      (r.speedup === null ? "-" : r.speedup.toFixed(2)).padStart(10),
      String(r.calls).padStart(9),
      String(r.rows).padStart(8),
      (r.acceptance === null ? "-" : `${(100 * r.acceptance).toFixed(1)} %`).padStart(11),
      (r.delta === null ? "-" : r.delta.median.toPrecision(3)).padStart(13),
      `${(r.wallMs / 1000).toFixed(1)} s`.padStart(9),
      `${((100 * r.engineMs) / r.wallMs).toFixed(1)} %`.padStart(8),
    ].join("");
  const lines = [
    `${record.finished} of ${record.count} samples, ${record.steps} steps each, seed ${flags.seed}`,
    "",
    `${"".padEnd(13)}${"calls".padStart(8)}${"steps/call".padStart(10)}${"batches".padStart(9)}${"rows".padStart(8)}${"acceptance".padStart(11)}${"delta median".padStart(13)}${"wall".padStart(9)}${"engine".padStart(8)}`,
    line(flags.draft === "none" ? "plain" : "speculative", record),
    ...(plain ? [line("plain", plain.record)] : []),
    "",
    "calls: network calls a sample took part in, summed over samples; batches: network calls made.",
  ];
  if (record.draftCalls > 0)
    lines.push(`The draft network made ${record.draftCalls} calls of its own with ${record.draftRows} rows.`);
  if (plan?.every((windows) => windows.every((length) => length <= 1))) {
    lines.push(
      `No window promised to save seconds on this machine, so every step was sampled plainly; --window ${FIXED_WINDOW} saves calls all the same.`,
    );
  } else if (plain) {
    lines.push(verdict(record, plain.record));
  }
  lines.push(`Wrote ${files.join(", ")}`, "");
  return lines.join("\n");
}

/** In seconds, whatever the calls say. */
function verdict(speculative: SampleResult["record"], plain: SampleResult["record"]): string {
  const calls = `${(plain.trajectoryCalls / speculative.trajectoryCalls).toFixed(2)} times fewer calls`;
  const seconds = plain.wallMs / speculative.wallMs;
  if (seconds >= 1) return `Speculation took ${calls} and was ${seconds.toFixed(2)} times sooner than plain sampling.`;
  return (
    `Speculation took ${calls} but ${(1 / seconds).toFixed(2)} times the seconds of plain sampling: on this machine a call costs ` +
    "about as much as its rows. Use --draft none here, or a device on which a batch is cheap; `specdiff bench` says what can pay."
  );
}

function finishedOnly({ samples, finished, dim }: SampleResult): { samples: Float64Array; count: number } {
  const rows = finished.flatMap((done, n) => (done ? [n] : []));
  const kept = new Float64Array(rows.length * dim);
  rows.forEach((n, i) => {
    kept.set(samples.subarray(n * dim, (n + 1) * dim), i * dim);
  });
  return { samples: kept, count: rows.length };
}

function isImage(shape: readonly number[]): boolean {
  return shape.length === 3 && (shape[0] === 1 || shape[0] === 3);
}

function ratio(a: number, b: number): number | null {
  return b > 0 ? a / b : null;
}
