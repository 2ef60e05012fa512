import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import { SamplingError } from "../core/loop.js";
import type { RunRecord } from "../core/record.js";
import { fixedWindow } from "../core/window-policy.js";
import { createDrafter } from "../drafters/index.js";
import { DEFAULTS } from "../pipeline/pipeline.js";
import { PushT } from "../pusht/environment.js";
import { chunkLaw } from "../testing/chunks.js";
import { brokenVerifiers } from "../testing/conformance.js";
import { assertLaw, pathLaw } from "../testing/law.js";
import { verifiers } from "../verifiers/index.js";
import { readCard } from "./card.js";
import { Controller } from "./controller.js";
import { Deadline } from "./deadline.js";
import { loadPolicy } from "./load.js";
import type { DecideOptions, Decision, Policy } from "./policy.js";

/** The exact denoiser of a known law of actions, see training/stand_ins.py. */
const STAND_IN = fileURLToPath(new URL("../../test/fixtures/models/pusher", import.meta.url));

const CARD = {
  observation: { layout: "keypoints", steps: 2 },
  horizon: 16,
  executed: { from: 1, count: 8 },
  action: { min: [12, 25], max: [511, 511] },
};

/** Two observations of an episode, the second `steps` after the first. */
function history(seed: number, steps = 1): Float64Array {
  const env = new PushT();
  env.reset(seed);
  const first = env.observe("keypoints");
  for (let i = 0; i < steps; i++) env.step(env.blockX, env.blockY);
  return Float64Array.of(...first, ...env.observe("keypoints"));
}

describe("a policy", () => {
  let policy: Policy;
  before(async () => {
    policy = await loadPolicy(STAND_IN, { threads: 1, sampling: { window: 20 } });
  });
  after(() => policy.close());

  it("reads its folder and decides in the units of the robot", async () => {
    assert.equal(policy.observationSize, 20);
    assert.equal(policy.actionSize, 2);
    const { chunks, robots, record, late } = await policy.decide(history(3), { seed: 1, window: 20 });
    assert.equal(robots, 1);
    assert.equal(chunks.length, 32);
    assert.equal(late, undefined);
    assert.ok(chunks.every((value, i) => value >= (i % 2 ? 25 : 12) - 1e-3 && value <= 511 + 1e-3));
    assert.equal(record.steps, 100);
    assert.ok(record.calls < 50, `${record.calls} calls`);
  });

  it("decides for robots together as for each alone, up to the seed", async () => {
    const histories = Float64Array.of(...history(3), ...history(8));
    const together = await policy.decide(histories, { seed: 5, window: 20 });
    const alone = await policy.decide(history(3), { seed: 5, window: 20 });
    assert.equal(together.robots, 2);
    for (let i = 0; i < 32; i++) assert.ok(Math.abs(together.chunks[i]! - alone.chunks[i]!) < 1e-2);
  });

  it("keeps the law of plain sampling on every step, and a broken verifier does not", async () => {
    const histories = Float64Array.of(...history(3), ...history(8, 3), ...history(11, 5));
    const { chain } = policy.schedule();
    // Each trajectory is a robot: the observations in turn.
    const many = new Float64Array(60 * 40);
    for (let robot = 0; robot < 60; robot++)
      many.set(histories.subarray((robot % 3) * 40, (robot % 3) * 40 + 40), robot * 40);
    const model = policy.denoiser(many);
    const nothing = { dim: 32, evaluate: (rows: { count: number }) => new Float64Array(rows.count * 32) };
    const window = fixedWindow(10);
    const of = (draft: string) => createDrafter(draft, { chain, shape: policy.pipeline.shape });
    for (const [draft, coupling] of [
      [DEFAULTS.draft, DEFAULTS.coupling],
      ["frozen:x0", "reflection"],
    ] as const) {
      const speculation = { drafter: of(draft), verifier: verifiers[coupling]!, window };
      assertLaw(await pathLaw(chain, model, nothing, speculation, 60, 7));
    }
    const verifier = brokenVerifiers.find(({ name }) => name === "keeps every draft")!;
    const broken = { drafter: of("frozen:velocity"), verifier, window };
    const tests = await pathLaw(chain, model, nothing, broken, 60, 7);
    assert.throws(() => assertLaw(tests));
  });

  it("gives chunks of the law of plain sampling at fixed observations, and five steps of DDIM do not", async () => {
    for (const seed of [3, 8]) {
      const robots = 300;
      const histories = new Float64Array(robots * 40);
      for (let robot = 0; robot < robots; robot++) histories.set(history(seed), robot * 40);
      const chunks = async (options: DecideOptions) => (await policy.decide(histories, options)).chunks;
      const plain = await chunks({ seed: 1, draft: "none" });
      assertLaw(chunkLaw(plain, await chunks({ seed: 2, window: 20 }), 16, 2));
      const ddim = await chunks({ seed: 3, draft: "none", steps: 5, sampler: "ancestral", churn: 1e-9 });
      assert.throws(() => assertLaw(chunkLaw(plain, ddim, 16, 2)));
    }
  });

  it("drafts with FROZEN x0 in at least five times fewer calls", async () => {
    let calls = 0;
    for (let seed = 0; seed < 8; seed++) {
      calls += (await policy.decide(history(seed), { seed, draft: "frozen:x0", window: 20 })).record.calls;
    }
    assert.ok(calls <= (8 * 100) / 5, `${calls / 8} calls a decision`);
  });

  it("takes the window that pays, or the caller's own policy", async () => {
    const auto = await policy.decide(history(3), { seed: 1, window: "auto" });
    assert.equal(auto.window, "auto");
    const own = await policy.decide(history(3), { seed: 1, window: () => fixedWindow(7) });
    const seven = await policy.decide(history(3), { seed: 1, window: 7 });
    assert.deepEqual(own.chunks, seven.chunks);
    assert.equal(own.window, undefined);
  });

  it("refuses observations of another size or with NaN, and says what it takes", async () => {
    const robot = policy.controller();
    await assert.rejects(robot.act(new Float64Array(18)), /has 18 numbers; pusher takes 20 \("keypoints"\)/);
    const poisoned = history(3).subarray(20).slice();
    poisoned[7] = Number.NaN;
    await assert.rejects(robot.act(poisoned), /number 7 of an observation \("keypoints"\) of robot 0 is NaN/);
    await assert.rejects(policy.decide(new Float64Array(41), { seed: 0 }), /41 numbers are no histories/);
  });

  it("stops for a signal without an action, and can be asked again", async () => {
    const robot = policy.controller({ seed: 4 });
    const observation = history(3).subarray(20);
    const stopped = await robot.act(observation, AbortSignal.abort()).then(
      () => assert.fail("it should have been stopped"),
      (error: unknown) => error,
    );
    assert.ok(stopped instanceof SamplingError && stopped.code === "aborted");
    assert.equal(robot.decisions, 0);
    const again = await robot.act(observation);
    assert.deepEqual(again, await policy.controller({ seed: 4 }).act(observation));
  });

  it("finishes a late action and says by how much it is late", async () => {
    const hopeless = await loadPolicy(STAND_IN, { threads: 1, deadline: 1e-3 });
    const decision = await hopeless.decide(history(3), { seed: 1 });
    await hopeless.close();
    assert.ok(decision.chunks.every(Number.isFinite));
    assert.ok(Math.abs(decision.late! - (decision.ms - 1e-3)) < 1e-9);
    assert.ok(hopeless.deadline!.plan!.over > 0);
    const easy = await loadPolicy(STAND_IN, { threads: 1, deadline: 60_000 });
    assert.equal((await easy.decide(history(3), { seed: 1 })).late, 0);
    await easy.close();
  });
});

describe("the queues of a controller", () => {
  /** Chunks that count up, and a note of what was shown. */
  function counting(): { policy: Policy; shown: number[][] } {
    const shown: number[][] = [];
    const decide = async (histories: Float64Array): Promise<Decision> => {
      shown.push(Array.from(histories));
      const robots = histories.length / 2;
      const chunks = Float64Array.from({ length: robots * 16 }, (_, i) => 100 * shown.length + (i % 16));
      return { robots, chunks, ms: 0, draft: "none", window: 1, record: {} as RunRecord, late: undefined };
    };
    return { policy: { name: "counting", card: CARD, observationSize: 1, actionSize: 1, decide } as never, shown };
  }

  it("repeats the first observation, executes its share of a chunk, then looks back", async () => {
    const { policy, shown } = counting();
    const robot = new Controller(policy, {});
    const actions: number[] = [];
    for (let step = 0; step < 17; step++) actions.push((await robot.act([step]))[0]!);
    assert.deepEqual(actions.slice(0, 9), [101, 102, 103, 104, 105, 106, 107, 108, 201]);
    assert.deepEqual(shown, [
      [0, 0],
      [7, 8],
      [15, 16],
    ]);
    robot.reset();
    assert.equal((await robot.act([50]))[0], 401);
    assert.deepEqual(shown.at(-1), [50, 50]);
  });

  it("keeps robots apart and decides for those that need it in one batch", async () => {
    const { policy, shown } = counting();
    const robots = new Controller(policy, { robots: 2 });
    for (let step = 0; step < 4; step++) await robots.act([step, 100 + step]);
    robots.reset(1);
    const actions = await robots.act([4, 104]);
    assert.deepEqual(shown, [
      [0, 0, 100, 100],
      [104, 104],
    ]);
    assert.deepEqual(Array.from(actions), [105, 201]);
  });
});

describe("a deadline", () => {
  /** Decisions that take what the table says. */
  const taking =
    (ms: (draft: string, window: number) => number, rows: (draft: string, window: number) => number) =>
    async ({ draft, window }: { draft?: string; window?: unknown }): Promise<Decision> =>
      ({
        ms: ms(draft!, window as number),
        draft,
        window,
        record: { rows: rows(draft!, window as number), draftRows: 0 },
      }) as never;
  const rows = (draft: string, window: number) => (draft === "none" ? 100 : 100 + 10 * window);
  const ms = (draft: string, window: number) => (draft === "none" ? 40 : draft === "frozen:x0" ? 30 : 10 + 50 / window);

  it("takes the fewest rows that keep it, and the soonest if none does", async () => {
    for (const [budget, expected] of [
      [100, { draft: "none", window: 1 }],
      [34, { draft: "frozen:x0", window: 2 }],
      [16, { draft: DEFAULTS.draft, window: 10 }],
      [1, { draft: DEFAULTS.draft, window: 40 }],
    ] as const) {
      const deadline = new Deadline(budget);
      await deadline.prepare(1, taking(ms, rows));
      assert.deepEqual(deadline.choice, expected);
      assert.ok(Math.abs(deadline.plan!.over - Math.max(0, ms(expected.draft, expected.window) - budget)) < 1e-9);
    }
  });

  it("goes over to a sooner way when real decisions are late", async () => {
    const deadline = new Deadline(50);
    await deadline.prepare(1, taking(ms, rows));
    assert.equal(deadline.choice.draft, "none");
    assert.equal(deadline.observe({ draft: "none", window: 1, ms: 60 } as Decision), 10);
    assert.notEqual(deadline.choice.draft, "none");
  });

  it("drafts nothing where the network takes one time per call, and refuses a budget that is none", async () => {
    const deadline = new Deadline(1, { plainOnly: true });
    await deadline.prepare(1, taking(ms, rows));
    assert.equal(deadline.choice.draft, "none");
    for (const budget of [0, -1, Number.NaN]) assert.throws(() => new Deadline(budget), /the deadline is/);
  });
});

describe("policy.json", () => {
  it("is read, and what is wrong in it is named", () => {
    assert.deepEqual(readCard(CARD, "policy.json"), CARD);
    for (const [change, message] of [
      [{ horizon: 0 }, /"horizon" is 0; it must be a whole number, at least 1/],
      [{ executed: { from: 9, count: 8 } }, /it leads past the 16 actions/],
      [{ action: { min: [1, 2], max: [1, 3] } }, /every min be below its max/],
      [{ action: { min: [] } }, /"action.min" is \[\]; it must be a list of numbers/],
      [{ observation: { steps: 2 } }, /"observation.layout" is undefined/],
    ] as const) {
      assert.throws(() => readCard({ ...CARD, ...change }, "policy.json"), message);
    }
  });

  it("must be there and fit the network", async () => {
    const cifar = fileURLToPath(new URL("../../test/fixtures/models/vectors-epsilon", import.meta.url));
    await assert.rejects(
      loadPolicy(cifar),
      (error) => error instanceof SpecdiffError && /policy\.json/.test(error.message),
    );
  });
});
