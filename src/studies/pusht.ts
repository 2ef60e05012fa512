import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Option } from "commander";
import { SpecdiffError } from "../core/errors.js";
import { drafterNames, usesDraftModel } from "../drafters/index.js";
import { type CostPoint, measureCost } from "../pipeline/cost.js";
import { DEFAULTS, FIXED_WINDOW } from "../pipeline/pipeline.js";
import { loadPolicy } from "../policy/load.js";
import type { Policy, Sampling } from "../policy/policy.js";
import { EPISODE_STEPS } from "../pusht/environment.js";
import { historiesOf, rollouts } from "../pusht/rollout.js";
import { chunkLaw } from "../testing/chunks.js";
import type { LawTest } from "../testing/law.js";
import { verifiers } from "../verifiers/index.js";
import type { Size, StudyDefinition } from "./index.js";
import { pushtReport } from "./pusht-report.js";
import { breathe, type Study } from "./study.js";

/** Which of the policies of the study. */
export type Network = "policy" | "unet";

/** How decisions are sampled: plain data, so that it names a cell. "auto" is the window that pays on this machine. */
export interface Method {
  readonly draft: string;
  readonly coupling?: string;
  readonly window?: number | "auto";
  /** Steps of DDIM without noise, instead of the chain that the policy was trained for. */
  readonly ddim?: number;
}

/** Episodes with one method: reward and calls. */
interface ControlConfig {
  readonly kind: "control";
  readonly network: Network;
  readonly method: Method;
  readonly starts: number;
  readonly steps: number;
  readonly seed: number;
}

/** Decisions of one robot at the same observations, the methods in turn: times of one run. */
interface TimingConfig {
  readonly kind: "timing";
  readonly network: Network;
  readonly methods: readonly Method[];
  readonly decisions: number;
  readonly seed: number;
}

/** Chunks at fixed observations, one method against plain sampling. */
interface LawConfig {
  readonly kind: "law";
  readonly network: Network;
  readonly method: Method;
  readonly observations: number;
  readonly chunks: number;
  readonly seed: number;
}

/** One episode for the pictures. */
interface StripConfig {
  readonly kind: "strip";
  readonly network: Network;
  readonly method: Method;
  readonly start: number;
  readonly steps: number;
  readonly seed: number;
}

export type PushtConfig = ControlConfig | TimingConfig | LawConfig | StripConfig;

export interface ControlRow {
  /** Largest reward of each episode. */
  readonly rewards: readonly number[];
  readonly successes: number;
  readonly decisions: number;
  /** Calls of each decision, a mean over the robots that shared it. */
  readonly calls: readonly number[];
  readonly acceptance: number | null;
  readonly rowsPerDecision: number;
}

export interface TimingRow {
  readonly cost: readonly CostPoint[];
  readonly bound: number;
  readonly draftCost?: readonly CostPoint[];
  readonly methods: readonly MethodTimes[];
}

export interface MethodTimes {
  readonly method: Method;
  /** ms of each decision, in the order of the observations. */
  readonly ms: readonly number[];
  readonly calls: number;
  readonly rows: number;
  /** Share of the wall-clock that is neither network nor drafter, and the drafter's. */
  readonly engineShare: number;
  readonly draftShare: number;
}

export interface LawRow {
  readonly tests: readonly LawTest[];
}

export interface StripRow {
  readonly reward: number;
  readonly frames: readonly {
    readonly step: number;
    readonly state: readonly number[];
    readonly planned: readonly number[];
    readonly coverage: number;
    readonly calls: number;
    readonly ms: number;
  }[];
}

export type PushtRow = ControlRow | TimingRow | LawRow | StripRow;

/** First start of the published protocol. */
const FIRST_START = 100_000;
const PLAIN: Method = { draft: "none" };
const FRAMES = 7;

interface PushtSize {
  readonly starts: number;
  readonly steps: number;
  readonly windows: readonly number[];
  /** Whether everything in the registries is run, or only what the lead needs. */
  readonly all: boolean;
  readonly decisions: number;
  readonly observations: number;
  readonly chunks: number;
  readonly strips: number;
}

export const PUSHT_SIZES = {
  /** Plumbing only: its numbers mean nothing. */
  tiny: {
    starts: 2,
    steps: 24,
    windows: [5],
    all: false,
    decisions: 3,
    observations: 1,
    chunks: 30,
    strips: 1,
  },
  quick: {
    starts: 10,
    steps: EPISODE_STEPS,
    windows: [10, 20],
    all: false,
    decisions: 20,
    observations: 2,
    chunks: 200,
    strips: 2,
  },
  full: {
    starts: 50,
    steps: EPISODE_STEPS,
    windows: [5, 10, 20, 40],
    all: true,
    decisions: 100,
    observations: 4,
    chunks: 400,
    strips: 3,
  },
} as const satisfies Record<Size, PushtSize>;

const shipped = (name: string) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));

export const pushtDefinition: StudyDefinition = {
  name: "pusht",
  description: "a robot that pushes a T: reward, calls and time of a decision, speculative against plain and DDIM",
  options: [
    new Option("--model <dir>", "policy folder (default: the shipped one)"),
    new Option("--unet <dir>", "policy folder with the U-Net (default: the shipped one, if there is one)"),
  ],
  async create({ size, seed, flags }) {
    const model = (flags.model as string | undefined) ?? shipped("pusht");
    const unet =
      (flags.unet as string | undefined) ??
      (flags.model === undefined ? await ifThere(shipped("pusht-unet")) : undefined);
    const policies = new Policies({ policy: model, ...(unet && { unet }) });
    const names = Object.keys(policies.folders) as Network[];
    const draft = (await policies.of("policy")).pipeline.folder.draft !== undefined;
    return pushtStudy(PUSHT_SIZES[size], seed, policies, names, draft) as unknown as Study<object, object>;
  },
};

async function ifThere(folder: string): Promise<string | undefined> {
  return stat(join(folder, "policy.json")).then(
    () => folder,
    () => undefined,
  );
}

/** The policies of a study, opened when they are first asked for. */
class Policies {
  readonly folders: Readonly<Partial<Record<Network, string>>>;
  readonly #open = new Map<Network, Promise<Policy>>();

  constructor(folders: Partial<Record<Network, string>>) {
    this.folders = folders;
  }

  of(network: Network): Promise<Policy> {
    const known = this.#open.get(network);
    if (known) return known;
    const folder = this.folders[network];
    if (!folder) throw new SpecdiffError("bad-argument", "this study has rows of a U-Net; give its folder as --unet");
    const opened = loadPolicy(folder);
    this.#open.set(network, opened);
    return opened;
  }

  async close(): Promise<void> {
    for (const policy of this.#open.values()) await policy.then((one) => one.close());
  }
}

/** Control of PushT (section 6.3 of De Bortoli et al. 2025) on the published protocol of Diffusion Policy. */
function pushtStudy(
  size: PushtSize,
  seed: number,
  policies: Policies,
  networks: readonly Network[],
  independent: boolean,
): Study<PushtConfig, PushtRow> {
  return {
    name: "pusht",
    title: "A robot that decides sooner: PushT",
    settings: { ...size, seed, networks, independent },
    cells: cellsOf(size, seed, networks, independent),
    label: labelOf,
    async run(config, signal) {
      const policy = await policies.of(config.network);
      if (config.kind === "control") return control(policy, config, signal);
      if (config.kind === "timing") return timing(policy, config, signal);
      if (config.kind === "law") return law(policy, config, signal);
      return strip(policy, config, signal);
    },
    report: (results) => pushtReport(results, size),
    close: () => policies.close(),
  };
}

/** The drafts that are run with every window: the best that holds a value, and the default, which learns. */
const MAIN = ["frozen:x0", DEFAULTS.draft];

/** Every method, plain sampling first: everything that the registries have at one window, the main drafts at all of them. */
function methodsOf({ windows, all }: PushtSize, independent: boolean): Method[] {
  const window = windowOf(windows);
  const { coupling } = DEFAULTS;
  const kinds = all ? ["drift", "epsilon", "velocity"].map((kind) => `frozen:${kind}`) : [];
  const families = drafterNames.filter(
    (name) => !["none", "frozen", ...MAIN].includes(name) && (independent || !usesDraftModel(name)),
  );
  const others = all ? Object.keys(verifiers).filter((name) => name !== coupling) : [];
  return [
    PLAIN,
    { draft: "none", ddim: 10 },
    ...MAIN.flatMap((draft) => windows.map((window) => ({ draft, coupling, window }))),
    // What these draft is mostly refused far from the anchor.
    ...kinds.map((draft) => ({ draft, coupling, window: windows[0]! })),
    ...families.map((draft) => ({ draft, coupling, window })),
    ...MAIN.flatMap((draft) => others.map((coupling) => ({ draft, coupling, window }))),
  ];
}

/** The window of methods that are run with one. */
function windowOf(windows: readonly number[]): number {
  return windows.includes(FIXED_WINDOW) ? FIXED_WINDOW : windows[0]!;
}

function cellsOf(size: PushtSize, seed: number, networks: readonly Network[], independent: boolean): PushtConfig[] {
  const { starts, steps, windows, decisions, observations, chunks, strips } = size;
  const methods = methodsOf(size, independent);
  const best: Method = {
    draft: MAIN[1]!,
    coupling: DEFAULTS.coupling,
    window: windowOf(windows),
  };
  const frozen: Method = { draft: "frozen:x0", coupling: DEFAULTS.coupling, window: best.window! };
  const auto: Method = { ...best, window: "auto" };
  const robot = { network: "policy", seed } as const;
  // Times come last, when a machine that has just been started on the study has come to rest.
  const cells: PushtConfig[] = [
    ...methods.map((method) => ({ kind: "control", ...robot, method, starts, steps }) as const),
    ...Array.from({ length: strips }, (_, i) => FIRST_START + i).map(
      (start) => ({ kind: "strip", ...robot, method: best, start, steps }) as const,
    ),
    ...[best, frozen].map((method) => ({ kind: "law", ...robot, method, observations, chunks }) as const),
    { kind: "timing", ...robot, methods: [...methods, auto], decisions },
    // Plain sampling is what all are compared with: a few of its episodes fail, which one run may miss.
    ...(size.all ? [1, 2] : []).map(
      (more) => ({ kind: "control", ...robot, seed: seed + more, method: PLAIN, starts, steps }) as const,
    ),
  ];
  if (networks.includes("unet")) {
    const short = [2, 3, 5].map((window) => ({ ...best, window }));
    cells.push({
      kind: "timing",
      network: "unet",
      seed,
      methods: [PLAIN, { draft: "none", ddim: 10 }, ...short, { ...frozen, window: 3 }, best, auto],
      decisions: Math.ceil(decisions / 10),
    });
  }
  return cells;
}

export function methodName({ draft, coupling, window, ddim }: Method): string {
  if (ddim !== undefined) return `DDIM, ${ddim} steps`;
  if (draft === "none") return "plain DDPM, 100 steps";
  return `${draft}, ${coupling}, L ${window}`;
}

function labelOf(config: PushtConfig): string {
  const who = config.network === "unet" ? "U-Net: " : "";
  switch (config.kind) {
    case "control":
      return `${who}${config.starts} episodes, ${methodName(config.method)}`;
    case "timing":
      return `${who}times of ${config.decisions} decisions with ${config.methods.length} methods in turn`;
    case "law":
      return `${who}law of the actions, ${methodName(config.method)}`;
    default:
      return `${who}an episode for the pictures, start ${config.start}`;
  }
}

function samplingOf({ draft, coupling, window, ddim }: Method): Sampling {
  if (ddim !== undefined) return { draft, steps: ddim, sampler: "ancestral", churn: 1e-9 };
  return {
    draft,
    ...(coupling && { coupling }),
    ...(window && { window }),
  };
}

async function control(policy: Policy, config: ControlConfig, signal: AbortSignal): Promise<ControlRow> {
  const calls: number[] = [];
  let decisions = 0;
  let rows = 0;
  let accepted = 0;
  let decided = 0;
  const episodes = await rollouts(policy, {
    starts: Array.from({ length: config.starts }, (_, i) => FIRST_START + i),
    seed: config.seed,
    steps: config.steps,
    sampling: samplingOf(config.method),
    signal,
    onDecision({ record, robots }) {
      calls.push(record.trajectoryCalls / robots);
      decisions += robots;
      rows += record.rows;
      accepted += record.accepted;
      if (record.acceptance !== null) decided += record.accepted / record.acceptance;
    },
  });
  return {
    rewards: episodes.map(({ reward }) => reward),
    successes: episodes.filter(({ success }) => success).length,
    decisions,
    calls,
    acceptance: decided > 0 ? accepted / decided : null,
    rowsPerDecision: rows / decisions,
  };
}

/** Histories of episodes of their own under plain sampling, spread over the episodes. */
async function histories(policy: Policy, count: number, seed: number, signal: AbortSignal): Promise<Float64Array[]> {
  const { count: every } = policy.card.executed;
  const perEpisode = 15;
  const episodes = await rollouts(policy, {
    starts: Array.from({ length: Math.ceil(count / perEpisode) }, (_, i) => FIRST_START + 1000 + i),
    seed: seed + 1,
    steps: perEpisode * every,
    sampling: { draft: "none" },
    trace: true,
    signal,
  });
  const all = historiesOf(policy, episodes);
  return Array.from({ length: count }, (_, i) => all[Math.floor((i * all.length) / count)]!);
}

async function timing(policy: Policy, config: TimingConfig, signal: AbortSignal): Promise<TimingRow> {
  const seen = await histories(policy, config.decisions, config.seed, signal);
  const { chain } = policy.schedule();
  const curve = await measureCost(policy.denoiser(repeated(seen[0]!, 32)), chain, {
    repetitions: 15,
    signal,
  });
  const methods = config.methods.map((method) => ({
    method,
    sampling: samplingOf(method),
    ms: [] as number[],
    calls: 0,
    rows: 0,
    engine: 0,
    draft: 0,
    wall: 0,
  }));
  // One round more than asked for: the first warms up and is not counted.
  for (let i = -1; i < config.decisions; i++) {
    for (const turn of methods.keys()) {
      // who follows whom changes, so that no method always runs in another's wake
      const one = methods[(turn * 7 + Math.max(0, i)) % methods.length]!;
      await breathe();
      const { ms, record } = await policy.decide(seen[Math.max(0, i)]!, {
        ...one.sampling,
        seed: config.seed * 1000 + i + 1,
        signal,
      });
      if (i < 0) continue;
      one.ms.push(ms);
      one.calls += record.calls / config.decisions;
      one.rows += record.rows / config.decisions;
      one.wall += ms;
      one.draft += record.draftMs;
      one.engine += ms - record.modelMs - record.draftMs;
    }
  }
  return {
    cost: curve.points,
    bound: curve.bound,
    methods: methods.map(({ method, ms, calls, rows, wall, engine, draft }) => ({
      method,
      ms,
      calls,
      rows,
      engineShare: engine / wall,
      draftShare: draft / wall,
    })),
  };
}

/** The same history for several robots. */
function repeated(history: Float64Array, robots: number): Float64Array {
  const all = new Float64Array(robots * history.length);
  for (let robot = 0; robot < robots; robot++) all.set(history, robot * history.length);
  return all;
}

async function law(policy: Policy, config: LawConfig, signal: AbortSignal): Promise<LawRow> {
  const seen = await histories(policy, config.observations, config.seed, signal);
  const { horizon } = policy.card;
  const tests: LawTest[] = [];
  for (const [i, history] of seen.entries()) {
    const chunks = async (sampling: Sampling, seed: number) => {
      const { chunks } = await policy.decide(repeated(history, config.chunks), { ...sampling, seed, signal });
      return chunks;
    };
    const seed = config.seed * 1000 + 10 * i;
    const plain = await chunks({ draft: "none" }, seed);
    const own = await chunks(samplingOf(config.method), seed + 1);
    for (const { name, p } of chunkLaw(plain, own, horizon, policy.actionSize))
      tests.push({ name: `observation ${i}: ${name}`, p });
  }
  return { tests };
}

async function strip(policy: Policy, config: StripConfig, signal: AbortSignal): Promise<StripRow> {
  const [episode] = await rollouts(policy, {
    starts: [config.start],
    seed: config.seed,
    steps: config.steps,
    sampling: samplingOf(config.method),
    trace: true,
    signal,
  });
  const trace = episode!.trace!;
  const { count } = policy.card.executed;
  const frames = Array.from({ length: FRAMES }, (_, i) => {
    // frames show decisions, so that the plan is seen
    const step = Math.min(trace.length - 1, count * Math.round((i * (trace.length - 1)) / (FRAMES - 1) / count));
    const { state, coverage } = trace[step]!;
    const last = trace.slice(0, step + 1).findLast(({ decision }) => decision)!;
    return {
      step,
      state: Array.from(state, (value) => Number(value.toFixed(4))),
      planned: Array.from(last.planned!, (value) => Number(value.toFixed(1))),
      coverage,
      calls: last.decision!.record.calls,
      ms: last.decision!.ms,
    };
  });
  return { reward: episode!.reward, frames };
}
