import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sample } from "../core/loop.js";
import { calibrate } from "../pipeline/calibrate.js";
import { measureCost } from "../pipeline/cost.js";
import { plain } from "../plain.js";
import { interpolant, reverseSde, timeGrid } from "../schedules/index.js";
import { assertLaw, pathLaw } from "../testing/law.js";
import { testModel, tiltedDrafter } from "../testing/targets.js";
import { reflection } from "../verifiers/index.js";
import { autoWindow } from "./auto.js";
import { expectedDelta, readCalibration } from "./calibration.js";
import { runningCost } from "./running-cost.js";

const dim = 6;
const chainOf = (steps: number) =>
  reverseSde(interpolant(timeGrid({ steps, start: 0.99, end: 0.01 })), { prediction: "sample", churn: 1 }).chain;

describe("calibration", () => {
  it("foretells how far off guesses are, also of a chain of another length", async () => {
    const model = testModel(dim);
    const made = await calibrate(model, { chain: chainOf(80), shape: [dim] }, { count: 12, seed: 1 });
    const calibration = readCalibration(JSON.parse(JSON.stringify(made)), "calibration.json");
    for (const steps of [80, 160]) {
      const again = await calibrate(model, { chain: chainOf(steps), shape: [dim] }, { count: 12, seed: 2 });
      const [foretold, seen] = [calibration, again].map((one) => expectedDelta(one, chainOf(steps))!);
      for (let k = Math.round(0.1 * steps); k < 0.9 * steps; k += Math.round(steps / 10)) {
        for (const kind of ["near", "far"] as const) {
          const [a, b] = [foretold!(k)[kind], seen!(k)[kind]];
          assert.ok(a < 3 * b + 0.02 && b < 3 * a + 0.02, `${kind} at step ${k} of ${steps}: ${a}, then ${b}`);
        }
      }
    }
  });
  it("says what is wrong with a file", () => {
    const good = { draft: "auto", logSnr: [-1, 0, 1], near: [1, 1, 1], far: [2, 2, 2] };
    const cases: [object, RegExp][] = [
      [{ ...good, draft: 3 }, /c\.json: draft must be the name of a drafter; run specdiff calibrate again/],
      [{ ...good, logSnr: [0, 0, 1] }, /logSnr must be a list of ascending numbers/],
      [{ ...good, near: [1, 1] }, /near must be 3 numbers, at least 0/],
      [{ ...good, far: [1, -1, 1] }, /far must be 3 numbers, at least 0/],
    ];
    for (const [value, message] of cases) assert.throws(() => readCalibration({ ...value }, "c.json"), message);
  });
  it("is not for chains without noise levels", async () => {
    const { levels: _, ...chain } = chainOf(80);
    await assert.rejects(calibrate(testModel(dim), { chain, shape: [dim] }), /no noise level/);
  });
});

describe("automatic windows that know what to expect", () => {
  const options = {
    chain: chainOf(60),
    model: testModel(dim),
    drafter: tiltedDrafter(dim, 0.05),
    verifier: reflection,
    count: 4,
    inFlight: 1,
    seed: 2,
    plan: true,
  };
  const timeless = (delta: number | ((step: number) => number), cost: (rows: number) => number) => {
    const of = typeof delta === "number" ? () => delta : delta;
    const expected = (step: number) => ({ near: of(step), far: of(step) });
    const { tick: _, ...policy } = autoWindow({ cost, expected });
    return policy;
  };
  it("begin with a long one where guesses are good, and sample plainly without a guess where they are hopeless", async () => {
    const cost = (rows: number) => 1 + 0.3 * rows;
    const good = await sample({ ...options, window: timeless(0.01, cost) });
    assert.ok(good.plan!.every(([first]) => first! > 5));
    const hopeless = await sample({ ...options, window: timeless(20, cost) });
    const sequential = await sample({ ...options, ...plain });
    assert.equal(hopeless.record.rows, sequential.record.rows);
    assert.equal(hopeless.record.proposed, 0);
  });
  it("do not begin for a few steps: what a whole chain would save must be worth a drafter's warming up", async () => {
    const cost = (rows: number) => 1 + 0.3 * rows;
    const goodUpTo = (last: number) => timeless((step) => (step < last ? 0.01 : 20), cost);
    const few = await sample({ ...options, window: goodUpTo(6) });
    assert.equal(few.record.guesses, 0);
    const half = await sample({ ...options, window: goodUpTo(30) });
    assert.ok(half.plan!.every(([first]) => first! > 5));
  });
  it("keep the law, whatever they were told", async () => {
    for (const near of [0.01, 2]) {
      const speculation = { ...options, window: timeless(near, (rows) => 4 + rows), inFlight: 64 };
      const { chain, model, count: _, seed: __, plan: ___, ...rest } = speculation;
      assertLaw(await pathLaw(chain, model, testModel(dim, 0.3), rest, 400, 3));
    }
  });
});

it("stops measuring for a signal", async () => {
  const measured = measureCost(testModel(dim), chainOf(80), { signal: AbortSignal.abort() });
  await assert.rejects(measured, { code: "aborted", message: /was stopped/ });
});

it("a running cost follows the machine: calls of one size tell about all, and what is particular to a size is learnt", () => {
  const cost = runningCost((rows) => 10 + rows);
  assert.equal(cost.of(8), 18);
  for (let call = 0; call < 60; call++) cost.observe(8, 36);
  assert.ok(Math.abs(cost.of(8) - 36) < 0.5);
  assert.ok(cost.of(16) > 1.7 * 26, "no call of 16 rows was seen");
  for (let call = 0; call < 400; call++) {
    cost.observe(1, 11);
    cost.observe(8, 36);
  }
  assert.ok(Math.abs(cost.of(1) / 11 - 1) < 0.05);
  assert.ok(Math.abs(cost.of(8) / 36 - 1) < 0.05);
  cost.observe(8, 36_000);
  assert.ok(cost.of(8) < 1.2 * 36, "one stall is not the rule");
});
