import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { frozen } from "../drafters/frozen.js";
import { plain } from "../plain.js";
import { foreseeingDrafter } from "../testing/conformance.js";
import { assertLaw, pathLaw, terminalLaw } from "../testing/law.js";
import { testChain, testModel, tiltedDrafter } from "../testing/targets.js";
import { block } from "../verifiers/block.js";
import { reflection } from "../verifiers/reflection.js";
import type { Chain } from "./chain.js";
import type { Drafter } from "./drafter.js";
import { type SampleOptions, SamplingError, sample } from "./loop.js";
import type { Model } from "./model.js";
import type { RoundRecord } from "./record.js";
import type { Verifier } from "./verifier.js";
import { fixedWindow, replayWindows } from "./window-policy.js";

const dim = 3;

/** K stochastic steps and nothing special. */
function simpleChain(steps: number): Chain {
  const column = (value: number) => new Float64Array(steps).fill(value);
  return { a: column(0.9), b: column(0.3), sigma: column(0.5), time: column(1), initialSigma: 1, readings: {} };
}

/** Accepts a given number of drafts in every window: tests the loop without chance. */
function keeps(accepted: number): Verifier {
  return {
    name: `keeps ${accepted}`,
    verify(window, _random, verdict) {
      verdict.tip = Math.min(accepted, window.drafted);
      verdict.corrected = verdict.tip < window.drafted;
      verdict.replaced = verdict.corrected ? verdict.tip + 1 : -1;
      if (verdict.corrected)
        verdict.residual.set(window.targetMeans.subarray(verdict.tip * window.dim, (verdict.tip + 1) * window.dim));
    },
  };
}

const guessNothing: Drafter = {
  name: "zero",
  needsAnchor: false,
  open: () => undefined,
  guess: (rows) => new Float64Array(rows.count * rows.dim),
};

const base = (steps: number): SampleOptions => ({
  chain: simpleChain(steps),
  model: testModel(dim),
  drafter: frozen(simpleChain(steps), "output"),
  verifier: keeps(99),
  window: fixedWindow(5),
  count: 1,
  seed: 1,
});

async function caught(run: Promise<unknown>): Promise<SamplingError> {
  const error = await run.then(
    () => assert.fail("it should have failed"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SamplingError);
  return error;
}

describe("calls and rows, counted by hand", () => {
  const count = async (options: Partial<SampleOptions>, steps = 20) => {
    const { record } = await sample({ ...base(steps), ...options });
    return [record.calls, record.rows, record.rounds];
  };
  it("plain sampling: a call and a row a step", async () => {
    assert.deepEqual(await count(plain), [20, 20, 20]);
  });
  it("all accepted, leaves, carry: one call a window after the warm-up", async () => {
    // warm-up 1 row; windows at 0, 5, 10 evaluate 4 inner states and the leaf; the last has no leaf to evaluate
    assert.deepEqual(await count({}), [5, 1 + 5 + 5 + 5 + 4, 4]);
  });
  it("all accepted, no leaves: the root is evaluated with the window, anchored at the parent", async () => {
    assert.deepEqual(await count({ leaves: false }), [5, 1 + 4 + 5 + 5 + 5, 4]);
  });
  it("all accepted, the paper's accounting: two calls a window", async () => {
    assert.deepEqual(await count({ carry: "none", leaves: false }), [8, 20, 4]);
  });
  it("none accepted with carry: one step a call, after the warm-up step", async () => {
    // the first step after the warm-up starts from a known root, later ones from a carried anchor
    assert.deepEqual(await count({ verifier: keeps(0), carry: "parent", leaves: false }, 6), [
      7,
      1 + 4 + 5 + 4 + 3 + 2 + 1,
      6,
    ]);
  });
  it("a root that is evaluated first, then a window: plain sampling by 0 and 1, a known root for a longer one", async () => {
    const policy = (length: number) => ({
      name: "root first",
      longest: 5,
      choose: ({ rootKnown }: { rootKnown: boolean }) => (rootKnown ? length : 0),
    });
    assert.deepEqual(await count({ window: policy(1) }), [20, 20, 20]);
    const options = { ...base(20), verifier: reflection, drafter: frozen(simpleChain(20), "increment"), count: 3 };
    const { samples, plan } = await sample({ ...options, window: policy(3), plan: true });
    assert.ok(plan!.flat().includes(0));
    const again = await sample({ ...options, window: replayWindows(plan!), inFlight: 1 });
    assert.deepEqual(again.samples, samples);
  });
  it("a window of one with a guess", async () => {
    assert.deepEqual(await count({ drafter: guessNothing, window: fixedWindow(1), leaves: false }), [20, 20, 20]);
  });
  it("the window never passes the end of the chain", async () => {
    assert.deepEqual(await count({ window: fixedWindow(50) }, 7), [2, 7, 1]);
  });
  it("a call has at most maxRows rows and does not split a trajectory without need", async () => {
    const sizes: number[] = [];
    const inner = testModel(dim);
    const model: Model = {
      dim,
      evaluate(rows) {
        sizes.push(rows.count);
        return inner.evaluate(rows);
      },
    };
    const { record } = await sample({ ...base(20), model, count: 7, inFlight: 7, maxRows: 12 });
    assert.ok(Math.max(...sizes) <= 12);
    assert.equal(record.trajectoryCalls, 7 * 5);
  });
});

describe("anchors", () => {
  const anchors = async (options: Partial<SampleOptions>) => {
    const seen: number[] = [];
    const inner = frozen(simpleChain(9), "output") as Drafter;
    const drafter: Drafter = {
      ...inner,
      anchor(memory, point) {
        seen.push(point.step);
        inner.anchor!(memory, point);
      },
    };
    await sample({ ...base(9), drafter, window: fixedWindow(3), ...options });
    return seen;
  };
  it("nearest: the rejected child's own step; parent: one before; none: the root, unless one step is left and needs no guess", async () => {
    assert.deepEqual(await anchors({ verifier: keeps(1) }), [0, 2, 4, 6, 8]);
    assert.deepEqual(await anchors({ verifier: keeps(1), carry: "parent" }), [0, 1, 3, 5, 7]);
    assert.deepEqual(await anchors({ verifier: keeps(1), carry: "none", leaves: false }), [0, 2, 4, 6]);
  });
  it("window: the refused state of each level's own step, as far as the last window went", async () => {
    const verifier = { ...keeps(1), sequential: true };
    const carry = "window" as const;
    // the window at 0 is given up; after that at 2 (drafts of steps 3 to 5, the one of step 4 refused) 4 and 5 have a neighbour
    assert.deepEqual(await anchors({ verifier, carry }), [0, 2, 4, 5, 6, 7, 8]);
  });
  it("a fully accepted window: its leaf, or the parent of it", async () => {
    assert.deepEqual(await anchors({}), [0, 3, 6]);
    assert.deepEqual(await anchors({ leaves: false }), [0, 2, 5]);
  });
});

describe("reproducibility", () => {
  const options = (extra: Partial<SampleOptions>): SampleOptions => {
    const chain = testChain();
    return {
      chain,
      model: testModel(dim),
      drafter: frozen(chain, "increment"),
      verifier: reflection,
      window: fixedWindow(4),
      count: 9,
      seed: 5,
      ...extra,
    };
  };
  it("trajectories are bit-identical for any number in flight and any row limit", async () => {
    const { samples } = await sample(options({ inFlight: 1 }));
    for (const extra of [{ inFlight: 3 }, { inFlight: 16 }, { inFlight: 16, maxRows: 5 }]) {
      assert.deepEqual((await sample(options(extra))).samples, samples);
    }
  });
  it("a logged plan of changing windows can be replayed", async () => {
    const changing = {
      name: "changing",
      longest: 6,
      choose: ({ round, trajectory }: { round: number; trajectory: number }) => 1 + ((round + trajectory) % 6),
    };
    const { samples, plan } = await sample(options({ window: changing, plan: true }));
    const again = await sample(options({ window: replayWindows(plan!), inFlight: 2 }));
    assert.deepEqual(again.samples, samples);
    const short = plan!.map((windows) => windows.slice(0, 1));
    const error = await caught(sample(options({ window: replayWindows(short) })));
    assert.match(error.message, /plan has no window for round 1/);
  });
  it("draft noise is never drawn twice and never used as decision", async () => {
    const states = new Set<number>();
    let drawn = 0;
    const spy: Verifier = {
      name: "spy",
      verify(window, random, verdict) {
        for (let node = 1; node <= window.drafted; node++) {
          drawn++;
          states.add((window.states[node * dim]! - window.draftMeans[(node - 1) * dim]!) / 0.5);
        }
        keeps(1).verify(window, random, verdict);
      },
    };
    await sample({ ...base(12), drafter: guessNothing, verifier: spy, count: 5 });
    assert.ok(drawn > 100);
    assert.equal(new Set(Array.from(states, (z) => z.toFixed(9))).size, drawn);
  });
});

describe("noise behind a refused draft", () => {
  /** Draft noise by step of every round, under a verifier that keeps one draft. */
  async function noises(options: Partial<SampleOptions>): Promise<Map<number, number>[]> {
    const rounds: Map<number, number>[] = [];
    let step = 0;
    const spy: Verifier = {
      name: "spy",
      sequential: true,
      verify(window, random, verdict) {
        const seen = new Map<number, number>();
        for (let node = 1; node <= window.drafted; node++) {
          seen.set(step + node - 1, (window.states[node * dim]! - window.draftMeans[(node - 1) * dim]!) / 0.5);
        }
        rounds.push(seen);
        keeps(1).verify(window, random, verdict);
        step += verdict.tip + (verdict.corrected ? 1 : 0);
      },
    };
    await sample({ ...base(12), drafter: guessNothing, verifier: spy, carry: "window", ...options });
    return rounds;
  }
  const near = (a: number | undefined, b: number | undefined) => Math.abs(a! - b!) < 1e-9;

  it("is used again at its own step under carry window, and nowhere else; that of the first refused window is not", async () => {
    const [first, ...rounds] = await noises({});
    assert.ok(!near(rounds[0]!.get(2), first!.get(2)));
    const all = new Map<number, number>([0, 1].map((step) => [step, first!.get(step)!]));
    for (const round of rounds) {
      for (const [step, noise] of round) {
        if (all.has(step)) assert.ok(near(noise, all.get(step)), `step ${step}`);
        all.set(step, noise);
      }
    }
    assert.equal(new Set(Array.from(all.values(), (noise) => noise.toFixed(9))).size, 12);
  });
  it("is dropped where a shorter window does not reach, and under carry nearest", async () => {
    const lengths = [3, 5, 3, 5, 5, 5, 5, 5, 5];
    const shorter = {
      name: "given",
      longest: 5,
      choose: ({ round }: { round: number }) => lengths[round]!,
    };
    const [, first, second, third] = await noises({ window: shorter });
    assert.ok([4, 5, 6].every((step) => near(first!.get(step), second!.get(step))));
    assert.ok(near(second!.get(6), third!.get(6)));
    const [before, after] = await noises({ carry: "nearest" });
    assert.ok([2, 3, 4].every((step) => !near(before!.get(step), after!.get(step))));
  });
  it("is not told to a drafter by what it is shown: one that foresees by all of that keeps the law", async () => {
    // No deterministic step ends a window: several refused ones have the same noise.
    const inner = testChain(16);
    const chain = { ...inner, sigma: inner.sigma.map((sigma) => sigma || 0.4) };
    const target = testModel(dim);
    const broken = foreseeingDrafter(chain, dim);
    const { anchor: _, ...rest } = broken;
    /** Foresees by the state it was last shown one step ahead, which would tell the noise of its step if that came again. */
    const shown: typeof broken = {
      ...rest,
      needsAnchor: false,
      observe(memory, evaluated) {
        for (const { step, state, output } of evaluated) {
          for (const old of memory) if (old.step === step) memory.delete(old);
          memory.add({ step, state: state.slice(), output });
        }
      },
    };
    const law = async (drafter: Drafter, carry: "window" | "nearest") => {
      const speculation = { drafter, verifier: reflection, carry, window: fixedWindow(10), inFlight: 64 };
      assertLaw(await pathLaw(chain, target, testModel(dim, 0.5), speculation, 3000, 1));
      assertLaw(await terminalLaw(chain, target, speculation, 4000, 1));
    };
    await law(shown as Drafter, "window");
    await law(shown as Drafter, "nearest");
    // The broken twin keeps what it was shown past its window, when the noise behind it comes again.
    await assert.rejects(law(broken as Drafter, "window"), /the law is not that of plain sampling/);
  });
  it("is refused to verifiers that look ahead", async () => {
    await assert.rejects(
      sample({ ...base(4), carry: "window" }),
      /carry "window" reuses the noise behind a refused draft, but the coupling keeps 99 has looked at it/,
    );
  });
});

describe("what is kept on request", () => {
  it("paths start at the first state, end at the sample, and match the log-densities", async () => {
    const chain = testChain();
    const model = testModel(dim);
    const steps = chain.sigma.length;
    const result = await sample({
      chain,
      model,
      drafter: frozen(chain, "output"),
      verifier: reflection,
      window: fixedWindow(4),
      count: 3,
      seed: 2,
      paths: true,
      logDensity: true,
    });
    for (let n = 0; n < 3; n++) {
      const path = result.paths![n]!;
      assert.equal(path.length, (steps + 1) * dim);
      assert.deepEqual(path.subarray(steps * dim), result.samples.subarray(n * dim, (n + 1) * dim));
      for (let k = 0; k < steps; k++) {
        const f = await model.evaluate({
          count: 1,
          dim,
          trajectory: Int32Array.of(n),
          step: Int32Array.of(k),
          time: chain.time.subarray(k, k + 1),
          states: path.subarray(k * dim, (k + 1) * dim),
        });
        const sigma = chain.sigma[k]!;
        let expected = 0;
        for (let i = 0; i < dim; i++) {
          const z = (path[(k + 1) * dim + i]! - chain.a[k]! * path[k * dim + i]! - chain.b[k]! * f[i]!) / sigma;
          expected += -0.5 * z * z - Math.log(sigma) - 0.5 * Math.log(2 * Math.PI);
        }
        const actual = result.logDensity![n]![k]!;
        if (sigma === 0) assert.ok(Number.isNaN(actual));
        else
          assert.ok(Math.abs(actual - expected) < 1e-9 * (1 + Math.abs(expected)), `step ${k}: ${actual}, ${expected}`);
      }
    }
  });
  it("rounds add up to the record", async () => {
    const rounds: RoundRecord[] = [];
    const { record } = await sample({
      ...base(20),
      verifier: reflection,
      count: 4,
      onRound: (round) => rounds.push(round),
    });
    const sum = (value: (round: RoundRecord) => number) => rounds.reduce((total, round) => total + value(round), 0);
    assert.equal(rounds.length, record.rounds);
    assert.equal(
      sum((round) => round.accepted + Number(round.corrected)),
      4 * 20,
    );
    assert.equal(record.speedup, 80 / record.trajectoryCalls);
    assert.ok(record.delta!.p10 <= record.delta!.median && record.delta!.median <= record.delta!.p90);
  });
  it("first states of the caller's choice", async () => {
    const { paths } = await sample({ ...base(4), count: 2, paths: true, initial: (n, out) => out.fill(10 * n) });
    assert.deepEqual(
      paths!.map((path) => Array.from(path!.subarray(0, dim))),
      [
        [0, 0, 0],
        [10, 10, 10],
      ],
    );
  });
});

describe("runs that do not reach their end", () => {
  const failing = (after: number, evaluate: Model["evaluate"]): Model => {
    const inner = testModel(dim);
    let calls = 0;
    return { dim, evaluate: (rows) => (++calls > after ? evaluate(rows) : inner.evaluate(rows)) };
  };
  const run = (model: Model, extra: Partial<SampleOptions> = {}) =>
    sample({ ...base(10), ...plain, model, count: 3, inFlight: 1, ...extra });
  const assertKept = async (error: SamplingError, code: string) => {
    assert.equal(error.code, code);
    assert.deepEqual(error.partial.finished, [true, false, false]);
    const whole = await run(testModel(dim));
    assert.deepEqual(error.partial.samples.subarray(0, dim), whole.samples.subarray(0, dim));
    assert.ok(error.partial.samples.subarray(dim).every(Number.isNaN));
  };

  it("NaN names trajectory, step and time", async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const error = await caught(run(failing(14, (rows) => new Float64Array(rows.count * dim).fill(bad))));
      assert.match(error.message, /trajectory 1 at step 4 \(time 1\).*1 of 3 trajectories/);
      await assertKept(error, "bad-output");
    }
  });
  it("a wrong size is told in numbers", async () => {
    const error = await caught(run(failing(14, () => new Float64Array(2))));
    assert.match(error.message, /returned 2 numbers for 1 rows of 3; it must return 3/);
    await assertKept(error, "bad-output");
  });
  it("a network that throws is the cause", async () => {
    const cause = new Error("the server is gone");
    const error = await caught(run(failing(14, () => Promise.reject(cause))));
    assert.match(error.message, /the server is gone/);
    assert.equal(error.cause, cause);
    await assertKept(error, "network-failed");
  });
  it("an abort signal stops between rounds", async () => {
    const abort = new AbortController();
    const error = await caught(
      run(testModel(dim), { signal: abort.signal, onProgress: ({ finished }) => finished === 1 && abort.abort() }),
    );
    await assertKept(error, "aborted");
  });
  it("a signal that is aborted already stops before the first call", async () => {
    const error = await caught(run(testModel(dim), { signal: AbortSignal.abort("no") }));
    assert.equal(error.cause, "no");
    assert.equal(error.partial.record.calls, 0);
  });
});

describe("outputs that are not finite where only drafts come", () => {
  const lawful = 3;
  const edge = 40;
  const beyond = (states: Float64Array, row: number) =>
    states.subarray(row * lawful, (row + 1) * lawful).some((x) => Math.abs(x) > edge);
  const spoilt = (outputs: Float64Array, rows: { count: number; states: Float64Array }) => {
    for (let row = 0; row < rows.count; row++)
      if (beyond(rows.states, row)) outputs.fill(Number.NaN, row * lawful, (row + 1) * lawful);
    return outputs;
  };
  const inner = testModel(lawful);
  const model: Model = { dim: lawful, evaluate: (rows) => spoilt(inner.evaluate(rows) as Float64Array, rows) };
  const tilted = tiltedDrafter(lawful, 0.3);
  /** Leaps out of bounds from some states; there the target knows nothing, and on request this drafter neither. */
  const leaping = (fragile: boolean): Drafter<undefined> => ({
    ...tilted,
    guess(rows, memories) {
      const out = Float64Array.from(tilted.guess(rows, memories) as Float64Array);
      for (let row = 0; row < rows.count; row++) if (rows.states[row * lawful]! > 0.7) out[row * lawful]! += 1e4;
      return fragile ? spoilt(out, rows) : out;
    },
  });
  for (const [verifier, carry] of [
    [reflection, "nearest"],
    [reflection, "window"],
    [block, "nearest"],
  ] as const) {
    it(`end the window, and the law is the same: ${verifier.name}, carry ${carry}`, async () => {
      const speculation = { drafter: leaping(false), verifier, carry, window: fixedWindow(6), inFlight: 64 };
      assertLaw(await pathLaw(testChain(), model, testModel(lawful, 0.3), speculation, 3000, 1));
      assertLaw(await terminalLaw(testChain(), model, { ...speculation, drafter: leaping(true) }, 4000, 1));
    });
  }
  it("are an error where plain sampling comes there too", async () => {
    const error = await caught(
      sample({ ...base(10), chain: testChain(), model, drafter: leaping(false), initial: (_, out) => out.fill(50) }),
    );
    assert.match(error.message, /the model returned NaN or infinity for trajectory 0 at step 0/);
  });
});

describe("bad arguments are refused before anything runs", () => {
  const cases: [string, Partial<SampleOptions>, RegExp][] = [
    ["count", { count: 0 }, /count is 0; it must be a whole number, at least 1/],
    ["seed", { seed: -1 }, /seed is -1/],
    ["in flight", { inFlight: 0 }, /inFlight is 0/],
    ["rows", { maxRows: 3 }, /a window of 5 takes up to 6 rows in one call, but maxRows is 3/],
    ["chain lengths", { chain: { ...simpleChain(5), b: new Float64Array(4) } }, /chain.b has 4 entries; sigma has 5/],
    ["negative sigma", { chain: { ...simpleChain(2), sigma: Float64Array.of(1, -1) } }, /chain.sigma\[1\] is -1/],
    ["NaN in the chain", { chain: { ...simpleChain(2), a: Float64Array.of(1, Number.NaN) } }, /chain.a\[1\] is NaN/],
    ["empty chain", { chain: simpleChain(0) }, /no steps/],
  ];
  for (const [name, extra, message] of cases) {
    it(name, async () => {
      await assert.rejects(sample({ ...base(10), ...extra }), message);
    });
  }
  it("window", () => {
    assert.throws(() => fixedWindow(0), /window is 0; it must be a whole number, at least 1/);
  });
  it("a frozen quantity the chain does not have", () => {
    assert.throws(() => frozen(simpleChain(3), "epsilon"), /cannot freeze "epsilon"; it can freeze: output, increment/);
  });
});

describe("deterministic steps", () => {
  it("commit the target mean to the last bit, wherever they are", async () => {
    const chain = testChain();
    const model = testModel(dim);
    const { paths } = await sample({
      chain,
      model,
      drafter: frozen(chain, "output"),
      verifier: reflection,
      window: fixedWindow(6),
      count: 20,
      seed: 3,
      paths: true,
    });
    for (const path of paths!) {
      for (const k of [4, 9]) {
        const f = await model.evaluate({
          count: 1,
          dim,
          trajectory: Int32Array.of(0),
          step: Int32Array.of(k),
          time: chain.time.subarray(k, k + 1),
          states: path!.subarray(k * dim, (k + 1) * dim),
        });
        for (let i = 0; i < dim; i++)
          assert.equal(path![(k + 1) * dim + i], chain.a[k]! * path![k * dim + i]! + chain.b[k]! * f[i]!);
      }
    }
  });
  it("nothing is drafted past one that rests on a guess", async () => {
    const chain = { ...simpleChain(10), sigma: Float64Array.from({ length: 10 }, (_, k) => (k === 3 ? 0 : 0.5)) };
    const windows: [number, number][] = [];
    await sample({
      ...base(10),
      chain,
      drafter: guessNothing,
      window: fixedWindow(8),
      onRound: ({ step, window }) => windows.push([step, window]),
    });
    assert.deepEqual(windows, [
      [0, 4],
      [4, 6],
    ]);
  });
});
