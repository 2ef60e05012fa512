import type { Chain } from "../core/chain.js";
import type { Drafter, Evaluation } from "../core/drafter.js";
import { sample } from "../core/loop.js";
import type { Model, Rows } from "../core/model.js";
import { RandomStream } from "../core/random.js";
import { createDrafter } from "../drafters/index.js";
import { plain } from "../plain.js";
import { denoiser } from "../schedules/index.js";
import { verifierNamed } from "../verifiers/index.js";
import { type CostCurve, measureCost, timeOf } from "./cost.js";
import { type ConditionOptions, DEFAULTS, FIXED_WINDOW, type Pipeline, type ScheduleOptions } from "./pipeline.js";

export interface ExpectationOptions extends ScheduleOptions, ConditionOptions {
  /** Plain trajectories to learn from. Default 2. */
  readonly count?: number;
  /** Trajectories that will share a batch. Default 1. */
  readonly inFlight?: number;
  /** Default: those without training, and "independent" where the folder has a draft network. */
  readonly drafters?: readonly string[];
  /** How a window is verified. Default: that of a run. */
  readonly coupling?: string;
  /** Calls per row count of the cost curve. Default 5. */
  readonly repetitions?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string) => void;
}

/** What one drafter can bring. */
export interface DrafterExpectation {
  readonly drafter: string;
  /** Median delta by position in a long window: entry j is that of the j-th step after the anchor's own. */
  readonly delta: readonly number[];
  /** The window that is soonest, and what it brings: steps per call, and seconds against plain sampling. */
  readonly window: number;
  readonly calls: number;
  readonly seconds: number;
  /** The window with the fewest calls, for a machine on which rows are free. */
  readonly longWindow: number;
  readonly longCalls: number;
}

/** What one way to sample really took. */
export interface Measured {
  readonly draft: string;
  readonly window: number | "auto";
  /** Steps per call, as expected where there was a replay, and as it was. */
  readonly expected?: number;
  readonly calls: number;
  /** Plain sampling's time over its own, all time included. */
  readonly seconds: number;
}

export interface Expectation {
  readonly steps: number;
  readonly count: number;
  readonly inFlight: number;
  readonly cost: CostCurve;
  /** Soonest first. */
  readonly drafters: readonly DrafterExpectation[];
  /** Runs of as many trajectories: with the best of them, with the defaults, and with the defaults at a long window. */
  readonly measured: readonly Measured[];
  readonly verdict: string;
}

const WINDOWS = [1, 2, 3, 4, 6, 8, 10, 15, 20, 30];
/** Less than this times sooner is nothing to speculate for, and nothing to leave the defaults for. */
const SOONER = 1.05;
const WORTH_A_FLAG = 1.1;
/** Fewer steps a call than this are plain sampling. */
const SPECULATES = 1.05;
/** Plain trajectories that take less are quick; what is quick is measured in so many turns. */
const QUICK_MS = 1000;
const TURNS = 5;
const SEED = 20_261_123;

/**
 * Predicts what speculation will bring for this model, chain and machine. Some plain trajectories are sampled; every drafter
 * is then replayed along them without a further call of the target: at each round it sees what it would see, delta follows
 * from the known outputs, and how many drafts are kept is drawn from its law given the path, of the coupling of a run. What a
 * run commits has the law of plain paths, so the replay differs from a run in one thing: after a rejection the anchor is
 * taken at the committed state itself, where a run has a neighbour, which is hopeful: by 0 to 40 percent of the steps per call
 * on the stand-ins of the tests; and refused states are not known to it (carry "window"), which is the opposite. So the best
 * drafter is run once for real, and so are the defaults.
 */
export async function expectation(pipeline: Pipeline, options: ExpectationOptions = {}): Promise<Expectation> {
  const { count = 2, inFlight = 1, repetitions = 5, coupling = DEFAULTS.coupling, signal, onProgress } = options;
  const left = KEPT[verifierNamed(coupling).name]!;
  const { chain, readout } = pipeline.schedule(options);
  const steps = chain.sigma.length;
  const recorder = recording(denoiser(pipeline.networkModel(options), readout), steps);
  const context = await pipeline.draftContext(options);
  const names = options.drafters ?? [
    ...["posterior", "frozen:x0", "frozen:velocity", "frozen:epsilon", "frozen:increment"],
    ...(context.draftModel ? ["independent"] : []),
  ];

  onProgress?.(`${count} plain trajectories of ${steps} steps`);
  const abort = signal && { signal };
  const baseline = await sample({ ...plain, chain, model: recorder.model, count, seed: SEED, inFlight, ...abort });
  for (const { trajectory, states } of recorder.paths) {
    const dim = states.length / (steps + 1);
    states.set(baseline.samples.subarray(trajectory * dim, (trajectory + 1) * dim), steps * dim);
  }

  onProgress?.("the time of a call against its rows");
  const cost = await measureCost(pipeline.networkModel(options), chain, { repetitions, ...abort });

  const drafters: DrafterExpectation[] = [];
  for (const name of names) {
    signal?.throwIfAborted();
    onProgress?.(`replay of ${name}`);
    const drafter = createDrafter(name, context);
    const replays = [];
    for (const window of WINDOWS.filter((length) => length <= steps)) {
      replays.push({ window, ...(await replay(chain, drafter, left, recorder.paths, window, cost, inFlight)) });
    }
    const soonest = replays.reduce((a, b) => (b.seconds > a.seconds ? b : a));
    const fewest = replays.reduce((a, b) => (b.calls > a.calls ? b : a));
    drafters.push({
      drafter: name,
      delta: replays.at(-1)!.delta,
      window: soonest.window,
      calls: soonest.calls,
      seconds: soonest.seconds,
      longWindow: fewest.window,
      longCalls: fewest.calls,
    });
  }
  drafters.sort((a, b) => b.seconds - a.seconds);

  const soonest = drafters[0]!;
  const fewest = drafters.reduce((a, b) => (b.longCalls > a.longCalls ? b : a));
  // Where nothing is sooner, what can be tried is whether calls are saved.
  const tried =
    soonest.seconds >= SOONER
      ? { draft: soonest.drafter, window: soonest.window, expected: soonest.calls }
      : { draft: fewest.drafter, window: fewest.longWindow, expected: fewest.longCalls };
  const { count: _, inFlight: __, drafters: ___, repetitions: ____, onProgress: _____, ...run } = options;
  const ways = [tried, ...defaultsOf(pipeline, steps)];
  const times: number[][] = ways.map(() => []);
  const calls: number[] = [];
  const plainTimes = [baseline.record.wallMs];
  // What is quick is run again and again, all ways in turn: the first time of anything is slow.
  const turns = baseline.record.wallMs < QUICK_MS ? TURNS : 1;
  for (let turn = 0; turn < turns; turn++) {
    if (turn > 0) {
      const again = await pipeline.run({ ...run, count, inFlight, seed: SEED, draft: "none" });
      plainTimes.push(again.record.wallMs);
    }
    for (const [i, { draft, window }] of ways.entries()) {
      if (turn === 0) onProgress?.(`${count} speculative trajectories with ${draft}, window ${window}`);
      const policy = await pipeline.windowPolicy({ ...run, draft, window }); // which may measure costs, on its own time
      const { record } = await pipeline.run({ ...run, count, inFlight, seed: SEED + 1, draft, window: policy });
      times[i]!.push(record.wallMs);
      calls[i] = record.speedup!;
    }
  }
  const measured = ways.map((way, i) => ({
    ...way,
    calls: calls[i]!,
    seconds: median(plainTimes) / median(times[i]!),
  }));
  return {
    steps,
    count,
    inFlight,
    cost,
    drafters,
    measured,
    verdict: verdictOf(pipeline, steps, cost, drafters, measured),
  };
}

/** What a run does that is told nothing, and what saves the most calls. Without a time per row neither drafts. */
function defaultsOf({ target, defaultDraft: draft }: Pipeline, steps: number): Pick<Measured, "draft" | "window">[] {
  const windows = [DEFAULTS.window, Math.min(FIXED_WINDOW, steps)];
  return target.perRowTimes ? windows.map((window) => ({ draft, window })) : [];
}

/** Everything that the target was asked along one plain trajectory. */
interface Path {
  readonly trajectory: number;
  /** (K + 1) x dim: the sample comes last. */
  readonly states: Float64Array;
  /** K x dim */
  readonly outputs: Float64Array;
}

function recording(model: Model, steps: number): { model: Model; paths: Path[] } {
  const paths: Path[] = [];
  const { dim } = model;
  return {
    paths,
    model: {
      ...model,
      async evaluate(rows, signal) {
        const outputs = await model.evaluate(rows, signal);
        for (let row = 0; row < rows.count; row++) {
          const trajectory = rows.trajectory[row]!;
          const [states, kept] = [new Float64Array((steps + 1) * dim), new Float64Array(steps * dim)];
          paths[trajectory] ??= { trajectory, states, outputs: kept };
          const at = rows.step[row]! * dim;
          paths[trajectory].states.set(rows.states.subarray(row * dim, (row + 1) * dim), at);
          paths[trajectory].outputs.set(outputs.subarray(row * dim, (row + 1) * dim), at);
        }
        return outputs;
      },
    },
  };
}

/**
 * By coupling, ln P(kept >= i | a path of the target), from the same one level before and R_i, the ratio of the target's
 * density of the first i transitions to the draft's: `level` is ln(R_i / R_{i-1}), `all` is ln R_i. By Bayes, since
 * P(kept >= i, path) = a_i times the draft's density, it is a_i / R_i, where reflection has a_i = product of min(1, r_j), and
 * block a_i = min(1, a_{i-1} r_i).
 * @internal exported for its test
 */
export const KEPT: Readonly<Record<string, (before: number, level: number, all: number) => number>> = {
  reflection: (before, level) => before - Math.max(0, level),
  block: (before, _, all) => Math.min(before, -all),
};

/** Rounds of one drafter and window along known paths. */
async function replay(
  chain: Chain,
  drafter: Drafter,
  left: (typeof KEPT)[string],
  paths: readonly Path[],
  window: number,
  cost: CostCurve,
  inFlight: number,
): Promise<{ calls: number; seconds: number; delta: number[] }> {
  const steps = chain.sigma.length;
  const dim = paths[0]!.outputs.length / steps;
  const random = new RandomStream(SEED + 2);
  const deltas: number[][] = Array.from({ length: window }, () => []);
  let calls = 0;
  let ms = 0;
  for (const { trajectory, states, outputs } of paths) {
    const point = (step: number): Evaluation => ({
      step,
      state: states.subarray(step * dim, (step + 1) * dim),
      output: outputs.subarray(step * dim, (step + 1) * dim),
    });
    const memory = drafter.open(trajectory);
    const call = (rows: number) => {
      calls++;
      ms += timeOf(cost, inFlight * rows);
    };
    let known = drafter.needsAnchor; // the root's own output; a drafter that needs an anchor begins with a call for it
    if (known) call(1);
    for (let n = 0, round = 0; n < steps; round++) {
      const drafted = Math.min(window, steps - n);
      drafter.anchor?.(memory, point(n));
      random.key(trajectory, round, n, 0);
      const start = drafter.meter?.ms ?? 0;
      const chance = Math.log(1 - random.uniform());
      let kept = known ? 1 : 0; // the draft from a known output is the target's own
      for (let j = kept, before = 0, all = 0; j < drafted; j++) {
        const { delta, level } = await compareAt(point(n + j), states, trajectory, memory);
        if (Number.isFinite(delta)) deltas[j]!.push(delta);
        all += level;
        before = left(before, level, all);
        if (chance <= before) kept++; // it only falls
      }
      ms += (drafter.meter?.ms ?? 0) - start;
      const leaf = drafted > 1 && n + drafted < steps ? 1 : 0;
      const rows = drafted + leaf - (known ? 1 : 0);
      if (rows > 0) call(rows);
      const committed = Math.min(kept + 1, drafted);
      const seen = Math.min(n + committed, steps - 1);
      drafter.observe?.(
        memory,
        Array.from({ length: seen - n + 1 }, (_, j) => point(n + j)),
      );
      known = kept === drafted && leaf === 1;
      n += committed;
    }
  }
  const total = steps * paths.length;
  return {
    calls: total / calls,
    seconds: (total * timeOf(cost, inFlight)) / ms,
    delta: deltas.map(median),
  };

  /** delta of the draft out of a point, and ln(target / draft) of the densities of the step that the path takes there. */
  async function compareAt(
    { step, state, output }: Evaluation,
    states: Float64Array,
    trajectory: number,
    memory: unknown,
  ): Promise<{ delta: number; level: number }> {
    const rows: Rows = {
      count: 1,
      dim,
      trajectory: Int32Array.of(trajectory),
      step: Int32Array.of(step),
      time: chain.time.subarray(step, step + 1),
      states: state,
    };
    const guess = await drafter.guess(rows, [memory]);
    const [a, b, sigma] = [chain.a[step]!, chain.b[step]!, chain.sigma[step]!];
    let squares = 0;
    let product = 0;
    for (let i = 0; i < dim; i++) {
      const gap = b * (output[i]! - guess[i]!);
      squares += gap * gap;
      product += gap * (states[(step + 1) * dim + i]! - a * state[i]! - b * output[i]!);
    }
    if (squares === 0) return { delta: 0, level: 0 };
    // a deterministic step keeps equal means only
    if (sigma === 0) return { delta: Number.POSITIVE_INFINITY, level: Number.POSITIVE_INFINITY };
    return { delta: Math.sqrt(squares) / sigma, level: (squares / 2 + product) / sigma ** 2 };
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

function verdictOf(
  pipeline: Pipeline,
  steps: number,
  { points, marginalMs, bound }: CostCurve,
  drafters: readonly DrafterExpectation[],
  measured: readonly Measured[],
): string {
  if (!pipeline.target.perRowTimes) {
    return "Nothing to gain before the network is exported again with one time for every row: now each drafted step is a call of its own.";
  }
  const fewest = measured.reduce((a, b) => (b.calls > a.calls ? b : a));
  const usual = measured.find(({ window }) => window === DEFAULTS.window)!;
  const took = `${fewest.draft}, window ${fewest.window}: ${fewest.calls.toFixed(1)} steps a call`;
  if (fewest.calls < 1.3) {
    return (
      `Speculation saves next to no calls here (${took}): with ${steps} steps and states of ${pipeline.shape.join(" x ")} a guess is ` +
      `${(drafters[0]!.delta[1] ?? Number.NaN).toPrecision(2)} standard deviations off one step after its anchor. Large latents in few steps are like ` +
      "that; published gains there are 1.0 to 1.2. Use --draft none, or more steps or churn."
    );
  }
  const soonest = measured
    .filter(({ calls }) => calls >= SPECULATES)
    .reduce<Measured | undefined>((a, b) => (a && a.seconds >= b.seconds ? a : b), undefined);
  if (!soonest || soonest.seconds < SOONER) {
    const byDefault =
      usual.calls < SPECULATES ? "sampled plainly" : `took ${(1 / usual.seconds).toFixed(2)} of plain sampling's time`;
    return (
      `Speculation saves calls (${took}), but no seconds on this machine: a further row costs ${marginalMs.toPrecision(2)} ms where a call of ` +
      `one costs ${points[0]!.ms.toPrecision(2)} ms, so nothing can be more than ${bound.toFixed(2)} times sooner. The default, --window auto, ` +
      `${byDefault}. Use a device on which a batch is cheap.`
    );
  }
  if (usual.seconds > soonest.seconds / WORTH_A_FLAG) {
    return (
      `Use the defaults: --draft ${usual.draft} --window auto took ${usual.calls.toFixed(1)} steps a call and was ` +
      `${usual.seconds.toFixed(2)} times sooner than plain sampling.`
    );
  }
  return (
    `Use --draft ${soonest.draft} --window ${soonest.window}: ${soonest.calls.toFixed(1)} steps a call, ` +
    `${soonest.seconds.toFixed(2)} times sooner than plain sampling; the defaults were ${usual.seconds.toFixed(2)} times sooner.`
  );
}
