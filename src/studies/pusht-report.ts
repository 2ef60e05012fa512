import { filmstrip } from "../pusht/draw.js";
import { FALSE_ALARM } from "../testing/law.js";
import { chart } from "./plots.js";
import {
  type ControlRow,
  type LawRow,
  type Method,
  type MethodTimes,
  methodName,
  type Network,
  type PushtConfig,
  type PushtRow,
  type StripRow,
  type TimingRow,
} from "./pusht.js";
import type { Figure, Report, Section } from "./report.js";
import { estimate } from "./statistics.js";
import type { Result } from "./study.js";

type Of<Kind extends PushtConfig["kind"]> = Extract<PushtConfig, { kind: Kind }>;

function of<Kind extends PushtConfig["kind"], Row extends PushtRow>(
  results: readonly Result<PushtConfig, PushtRow>[],
  kind: Kind,
  network: Network = "policy",
): Result<Of<Kind>, Row>[] {
  return results.filter(({ config }) => config.kind === kind && config.network === network) as Result<Of<Kind>, Row>[];
}

const isPlain = ({ draft, ddim }: Method) => draft === "none" && ddim === undefined;

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low]! + (at - low) * ((sorted[low + 1] ?? sorted[low]!) - sorted[low]!);
}

/** Series of a plot: no more than there are colours. */
function groupOf({ draft }: Method): string {
  return draft.startsWith("frozen:") && draft !== "frozen:x0" ? "other FROZEN" : draft;
}

/** Runs of one method with several seeds as one. */
function pooled(cells: readonly Result<Of<"control">, ControlRow>[]): Result<Of<"control">, ControlRow>[] {
  const byMethod = new Map<string, Result<Of<"control">, ControlRow>>();
  for (const { config, row } of cells) {
    const key = methodName(config.method);
    const before = byMethod.get(key)?.row;
    byMethod.set(key, {
      config: byMethod.get(key)?.config ?? config,
      row: before
        ? {
            ...row,
            rewards: [...before.rewards, ...row.rewards],
            successes: before.successes + row.successes,
            decisions: before.decisions + row.decisions,
            calls: [...before.calls, ...row.calls],
          }
        : row,
    });
  }
  return [...byMethod.values()];
}

/** What the report says of one method's episodes. */
function controlOf({ config, row }: Result<Of<"control">, ControlRow>) {
  return {
    method: config.method,
    name: methodName(config.method),
    reward: estimate(row.rewards),
    success: row.successes / row.rewards.length,
    calls: estimate(row.calls),
    acceptance: row.acceptance,
    rows: row.rowsPerDecision,
  };
}

/** What the report says of one method's times: quantiles, and the ratio of its median to plain sampling's. */
function timesOf(all: readonly MethodTimes[]) {
  const plain = all.find(({ method }) => isPlain(method))!;
  const base = quantile(plain.ms, 0.5);
  return all.map((one) => ({
    ...one,
    name: methodName(one.method),
    median: quantile(one.ms, 0.5),
    p95: quantile(one.ms, 0.95),
    sooner: base / quantile(one.ms, 0.5),
  }));
}

export async function pushtReport(
  results: readonly Result<PushtConfig, PushtRow>[],
  { starts, steps }: { starts: number; steps: number },
): Promise<Report> {
  const control = pooled(of<"control", ControlRow>(results, "control")).map(controlOf);
  const plain = control.find(({ method }) => isPlain(method))!;
  const others = control.filter(({ method }) => !isPlain(method) && method.ddim === undefined);
  const ddim = control.find(({ method }) => method.ddim !== undefined)!;
  const timing = of<"timing", TimingRow>(results, "timing")[0]!.row;
  const times = timesOf(timing.methods);
  const plainTime = times.find(({ method }) => isPlain(method))!;
  const soonest = times.filter(({ method }) => method.draft !== "none").reduce((a, b) => (b.sooner > a.sooner ? b : a));
  const fewest = others.reduce((a, b) => (b.calls.mean < a.calls.mean ? b : a));
  const ddimTime = times.find(({ method }) => method.ddim !== undefined)!;
  const outside = others.filter(
    ({ reward }) => Math.abs(reward.mean - plain.reward.mean) > 2 * Math.hypot(reward.error, plain.reward.error),
  );
  const average = estimate(others.map(({ reward }) => reward.mean));
  const tests = of<"law", LawRow>(results, "law").flatMap(({ row }) => row.tests);
  const smallest = Math.min(...tests.map(({ p }) => p));
  const threshold = FALSE_ALARM / tests.length;
  const unet = of<"timing", TimingRow>(results, "timing", "unet")[0]?.row;
  const x0 = others
    .filter(({ method }) => method.draft === "frozen:x0")
    .reduce((a, b) => (b.calls.mean < a.calls.mean ? b : a));

  const lead = [
    `Plain DDPM sampling scores ${show(plain.reward.mean)} ± ${show(plain.reward.error)} (mean of the largest reward over ${starts} starts, episodes of at most ${steps} steps, standard error); ` +
      `the ${others.length} speculative settings score ${show(Math.min(...others.map(({ reward }) => reward.mean)))} to ${show(Math.max(...others.map(({ reward }) => reward.mean)))}, on average ${show(average.mean)} ± ${show(average.error)}. ` +
      (outside.length === 0
        ? "Every one of them is within two standard errors of plain sampling."
        : `${outside.length} of ${others.length} differ by more than two standard errors of a difference, where chance alone gives about ${show(0.05 * others.length)}: ${outside.map(({ name }) => name).join("; ")}.`),
    `A decision takes ${show(fewest.calls.mean)} network calls instead of 100 with ${fewest.name}; FROZEN x0 takes ${show(x0.calls.mean)} (window ${x0.method.window}).`,
    `In seconds, one robot, times of one run: ${soonest.name} decides ${show(soonest.sooner)} times sooner than plain sampling (median ${show(soonest.median)} ms against ${show(plainTime.median)} ms; 95th percentile ${show(soonest.p95)} against ${show(plainTime.p95)} ms).`,
    `The competitor that changes the law: DDIM in 10 steps scores ${show(ddim.reward.mean)} ± ${show(ddim.reward.error)} and takes ${show(ddimTime.median)} ms.`,
    `Chunks of actions at fixed observations: ${tests.length} two-sample tests against plain sampling, smallest p ${smallest.toPrecision(2)} (a difference would be claimed below ${threshold.toPrecision(2)}).`,
    ...(unet ? [unetLead(unet)] : []),
  ];

  return {
    lead,
    summary: {
      control: control.map(({ method, name, reward, success, calls, acceptance, rows }) => ({
        method,
        name,
        reward,
        success,
        calls,
        acceptance,
        rows,
      })),
      times: times.map(({ ms, ...one }) => ({ ...one, decisions: ms.length })),
      bound: timing.bound,
      law: { tests: tests.length, smallest, threshold },
      ...(unet && { unet: { times: timesOf(unet.methods).map(({ ms, ...one }) => one), bound: unet.bound } }),
    },
    sections: [
      await stripSection(results),
      await rewardSection(control, times),
      await callsSection(control),
      await timeSection(times, timing),
      ...(unet ? [await unetSection(unet)] : []),
      lawSection(results),
    ],
  };
}

async function stripSection(results: readonly Result<PushtConfig, PushtRow>[]): Promise<Section> {
  const figures: Figure[] = of<"strip", StripRow>(results, "strip").map(({ config, row }) => ({
    name: `strip-${config.start}`,
    caption: `Start ${config.start}, ${methodName(config.method)}: largest reward ${row.reward.toFixed(3)}.`,
    svg: filmstrip(
      row.frames.map(({ step, state, planned, coverage, calls }) => ({
        moment: { state: Float64Array.from(state), planned: Float64Array.from(planned) },
        caption: `${(step / 10).toFixed(1)} s, ${(100 * coverage).toFixed(0)} %, ${calls} calls`,
      })),
    ),
  }));
  return {
    title: "What the robot does",
    text: [
      "The pusher (blue) moves the T (grey) onto the goal (green). Orange: the eight actions of the last decision. Under each picture: time, covered share of the goal, network calls of the last decision for its 100 steps.",
    ],
    figures,
  };
}

async function rewardSection(
  control: readonly ReturnType<typeof controlOf>[],
  times: ReturnType<typeof timesOf>,
): Promise<Section> {
  const data = control.flatMap(({ method, name, reward }) => {
    const time = times.find((one) => one.name === name);
    if (!time) return [];
    const group = isPlain(method) ? "plain DDPM" : method.ddim ? "DDIM, 10 steps" : groupOf(method);
    return [
      {
        ms: time.median,
        reward: reward.mean,
        low: reward.mean - reward.error,
        high: reward.mean + reward.error,
        group,
      },
    ];
  });
  return {
    title: "Reward against time",
    text: [
      "Each point is a way of sampling; those that are not DDIM have the same law, so their rewards differ by chance only.",
    ],
    figures: [
      {
        name: "reward-time",
        caption: "Mean largest reward with its standard error, over the median time of a decision of one robot.",
        svg: await chart({
          data,
          x: { field: "ms", title: "median time of a decision, ms", log: true },
          y: { field: "reward", title: "mean of the largest reward" },
          series: { field: "group", title: "sampling" },
          interval: ["low", "high"],
          joined: false,
          width: 520,
        }),
      },
    ],
    tables: [
      {
        caption:
          "Episodes: reward ± standard error, share of episodes above 0.95 coverage, calls and rows per decision, acceptance",
        columns: ["sampling", "reward", "± s.e.", "success", "calls", "± s.e.", "rows", "acceptance"],
        rows: control.map(({ name, reward, success, calls, rows, acceptance }) => [
          name,
          reward.mean,
          reward.error,
          `${(100 * success).toFixed(0)} %`,
          calls.mean,
          calls.error,
          rows,
          acceptance === null ? null : `${(100 * acceptance).toFixed(1)} %`,
        ]),
      },
    ],
  };
}

async function callsSection(control: readonly ReturnType<typeof controlOf>[]): Promise<Section> {
  const data = control.flatMap(({ method, calls }) =>
    method.draft === "none"
      ? []
      : [
          {
            window: method.window as number,
            calls: calls.mean,
            low: calls.low,
            high: calls.high,
            group: `${groupOf(method)}, ${method.coupling}`,
          },
        ],
  );
  return {
    title: "Calls per decision",
    text: [
      "Network calls that a decision takes part in, for 100 steps; plain sampling takes 100. Mean over decisions with 95 % intervals.",
    ],
    figures: [
      {
        name: "calls",
        caption: "Fewer is better. The window is the number of steps drafted per round.",
        svg: await chart({
          data,
          x: {
            field: "window",
            title: "window, steps",
            log: true,
            ticks: [...new Set(data.map(({ window }) => window))],
          },
          y: { field: "calls", title: "calls per decision", zero: true },
          series: { field: "group", title: "draft, coupling" },
          interval: ["low", "high"],
        }),
      },
    ],
  };
}

async function timeSection(times: ReturnType<typeof timesOf>, { cost }: TimingRow): Promise<Section> {
  const data = times.flatMap(({ method, sooner }) =>
    typeof method.window === "number"
      ? [{ window: method.window, sooner, group: `${groupOf(method)}, ${method.coupling}` }]
      : [],
  );
  const ends = [Math.min(...data.map(({ window }) => window)), Math.max(...data.map(({ window }) => window))];
  return {
    title: "Time per decision",
    text: [
      "All methods decide at the same observations in turn, in one process on one machine; the ratios are what can be compared.",
      `A call with one row takes ${show(cost[0]!.ms)} ms here, one with ${cost.at(-1)!.rows} rows ${show(cost.at(-1)!.ms)} ms. These calls are measured on their own, before the decisions; on a machine with other work to do they scatter.`,
    ],
    figures: [
      {
        name: "sooner",
        caption: "Median time of plain sampling over the median time of each method.",
        svg: await chart({
          data,
          x: {
            field: "window",
            title: "window, steps",
            log: true,
            ticks: [...new Set(data.map(({ window }) => window))],
          },
          y: { field: "sooner", title: "times sooner than plain sampling", zero: true },
          series: { field: "group", title: "draft, coupling" },
          reference: { data: ends.map((window) => ({ window, sooner: 1 })), label: "plain sampling" },
        }),
      },
      { name: "cost", caption: "Time of one call against its rows.", svg: await costChart({ "the policy": cost }) },
    ],
    tables: [timesTable(times)],
  };
}

function timesTable(times: ReturnType<typeof timesOf>) {
  return {
    caption: "Times of a decision of one robot, and the share of them that is neither network nor drafter",
    columns: ["sampling", "median ms", "95 % ms", "times sooner", "calls", "rows", "engine", "drafter"],
    rows: times.map(({ name, median, p95, sooner, calls, rows, engineShare, draftShare }) => [
      name,
      median,
      p95,
      sooner,
      calls,
      rows,
      `${(100 * engineShare).toFixed(1)} %`,
      `${(100 * draftShare).toFixed(1)} %`,
    ]),
  };
}

function costChart(curves: Readonly<Record<string, TimingRow["cost"]>>): Promise<string> {
  return chart({
    data: Object.entries(curves).flatMap(([network, points]) => points.map((point) => ({ ...point, network }))),
    x: { field: "rows", title: "rows of a call", zero: true },
    y: { field: "ms", title: "time of a call, ms", zero: true },
    series: { field: "network", title: "network" },
    interval: ["low", "high"],
  });
}

function unetLead({ methods, bound }: TimingRow): string {
  const times = timesOf(methods);
  const auto = times.find(({ method }) => method.window === "auto");
  return (
    `The U-Net's calls cost almost what their rows cost: at most ${show(bound)} times sooner is possible for any window.` +
    (auto
      ? ` With the window chosen for it, a decision takes ${show(1 / auto.sooner)} of the time of plain sampling.`
      : "")
  );
}

async function unetSection(row: TimingRow): Promise<Section> {
  return {
    title: "The convolutional network",
    text: [
      "The same task with the published kind of network, a conditional 1-D U-Net. Calls fall as for the policy above, seconds do not: that is a property of the network on this machine, not of the sampling.",
    ],
    figures: [
      { name: "cost-unet", caption: "Time of one call against its rows.", svg: await costChart({ "U-Net": row.cost }) },
    ],
    tables: [timesTable(timesOf(row.methods))],
  };
}

function lawSection(results: readonly Result<PushtConfig, PushtRow>[]): Section {
  return {
    title: "The same law",
    text: [
      "Chunks drawn at fixed observations, speculative against plain sampling: Kolmogorov-Smirnov tests of the ends in both coordinates, the way, and the roughness of the path.",
    ],
    tables: of<"law", LawRow>(results, "law").map(({ config, row }) => ({
      caption: `${methodName(config.method)}: ${config.chunks} chunks against ${config.chunks}`,
      columns: ["test", "p"],
      rows: row.tests.map(({ name, p }) => [name, p]),
      folded: true,
    })),
  };
}

function show(value: number): string {
  return String(Number(value.toPrecision(3)));
}
