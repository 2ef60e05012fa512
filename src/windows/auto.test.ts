import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type SampleOptions, sample } from "../core/loop.js";
import { fixedWindow, replayWindows } from "../core/window-policy.js";
import { posterior } from "../drafters/index.js";
import { plain } from "../plain.js";
import { interpolant, reverseSde, timeGrid } from "../schedules/index.js";
import { assertLaw, pathLaw, terminalLaw } from "../testing/law.js";
import { testChain, testModel, tiltedDrafter } from "../testing/targets.js";
import { reflection } from "../verifiers/index.js";
import { autoWindow } from "./auto.js";

const dim = 6;
const steps = 80;
const { chain } = reverseSde(interpolant(timeGrid({ steps, start: 0.99, end: 0.01 })), {
  prediction: "sample",
  churn: 1,
});
const options = (extra: Partial<SampleOptions>): SampleOptions => ({
  chain,
  model: testModel(dim),
  drafter: posterior(chain, [dim]),
  verifier: reflection,
  window: fixedWindow(10),
  count: 6,
  seed: 2,
  ...extra,
});
/** A policy that is not told the time: its choices follow from the cost alone. */
const timeless = (cost: (rows: number) => number) => {
  const { tick: _, ...policy } = autoWindow({ cost });
  return policy;
};

describe("automatic windows", () => {
  it("give rows to trajectories whose drafts are good before those whose drafts are not", async () => {
    // Rows are free up to 60, then cost what they cost: not enough for four long windows.
    const policy = timeless((rows) => 10 + Math.max(0, rows - 60) * 2);
    const lengths: number[][] = [[], [], [], []];
    const model = testModel(dim);
    await sample(
      options({
        window: policy,
        count: 4,
        drafter: {
          name: "good for even trajectories",
          needsAnchor: false,
          open: (trajectory) => trajectory,
          guess(rows) {
            const out = Float64Array.from(model.evaluate(rows) as Float64Array);
            for (let row = 0; row < rows.count; row++) {
              const error = rows.trajectory[row]! % 2 ? 0.4 : 0.01;
              for (let i = row * dim; i < (row + 1) * dim; i++) out[i]! += error;
            }
            return out;
          },
        },
        onRound: ({ trajectory, window }) => lengths[trajectory]!.push(window),
      }),
    );
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const good = mean([...lengths[0]!, ...lengths[2]!]);
    const bad = mean([...lengths[1]!, ...lengths[3]!]);
    assert.ok(good > 1.2 * bad, `${good} and ${bad}`);
  });
  it("are long where rows are free, and save more calls than a short fixed window", async () => {
    const auto = await sample(options({ window: timeless(() => 1), plan: true }));
    const fixed = await sample(options({ window: fixedWindow(3) }));
    assert.ok(auto.record.speedup! > fixed.record.speedup!, `${auto.record.speedup} against ${fixed.record.speedup}`);
    assert.ok(Math.max(...auto.plan!.flat()) > 6);
  });
  it("cost what plain sampling costs where a call costs its rows: the same calls and rows but for the probes", async () => {
    const auto = await sample(options({ window: timeless((rows) => rows) }));
    const sequential = await sample(options(plain));
    assert.equal(auto.record.trajectoryCalls, sequential.record.trajectoryCalls);
    assert.equal(auto.record.rows, sequential.record.rows);
  });
  it("take less of the machine's time than plain sampling on a curve between the two", async () => {
    const cost = (rows: number) => 1 + 0.15 * rows;
    const time = async (extra: Partial<SampleOptions>) => {
      let spent = 0;
      const inner = testModel(dim);
      const model = {
        dim,
        evaluate: (rows: Parameters<typeof inner.evaluate>[0]) => {
          spent += cost(rows.count);
          return inner.evaluate(rows);
        },
      };
      await sample(options({ model, inFlight: 1, ...extra }));
      return spent;
    };
    const sequential = await time(plain);
    const auto = await time({ window: timeless(cost) });
    assert.ok(auto < 0.8 * sequential, `${auto} against ${sequential}`);
  });
  it("count the rows of everybody in flight", async () => {
    // Sixteen in flight fill the machine: beyond 16 rows a call costs its rows.
    const cost = (rows: number) => Math.max(16, rows);
    const crowded = await sample(options({ window: timeless(cost), plan: true, count: 16, inFlight: 16 }));
    const alone = await sample(options({ window: timeless(cost), plan: true, inFlight: 1 }));
    const longest = (plan: readonly (readonly number[])[]) => Math.max(...plan.flat());
    assert.ok(longest(crowded.plan!) <= 2);
    assert.ok(longest(alone.plan!) > 4);
  });
  it("keep the law: they look at finished rounds only", async () => {
    const law = testChain();
    const speculation = () => ({
      drafter: tiltedDrafter(5, 0.3),
      verifier: reflection,
      window: timeless((rows) => 4 + rows),
      inFlight: 64,
    });
    assertLaw(await pathLaw(law, testModel(5), testModel(5, 0.3), speculation(), 3000, 1));
    assertLaw(await terminalLaw(law, testModel(5), speculation(), 4000, 1));
  });
  it("can be replayed to the bit, measured time or not", async () => {
    const auto = await sample(options({ window: autoWindow({ cost: () => 1 }), plan: true }));
    const again = await sample(options({ window: replayWindows(auto.plan!), inFlight: 2 }));
    assert.deepEqual(again.samples, auto.samples);
  });
  it("refuse a cost that is not a time", () => {
    assert.throws(() => autoWindow({ cost: () => Number.NaN }), /the cost of 1 row is NaN/);
  });
});
