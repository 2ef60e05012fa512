import assert from "node:assert/strict";
import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import { sample } from "../core/loop.js";
import { Meter, RowBuffer } from "../core/model.js";
import { fixedWindow } from "../core/window-policy.js";
import { frozen } from "../drafters/index.js";
import { modelConformance } from "../testing/conformance.js";
import { testChain } from "../testing/targets.js";
import { reflection } from "../verifiers/index.js";
import { type OnnxNetwork, type OnnxOptions, openOnnx, reexportAdvice } from "./index.js";

const fixture = (name: string) => fileURLToPath(new URL(`../../test/fixtures/onnx/${name}.onnx`, import.meta.url));
const chain = testChain();
const dim = 3 * 8 * 8;

/** Two rows of known numbers, at the first and the last time of the chain. */
function twoRows(): RowBuffer {
  const rows = new RowBuffer(dim);
  rows.push(4, 0, chain, new Float64Array(dim).fill(0.5), 0);
  rows.push(5, 9, chain, new Float64Array(dim).fill(-1), 0);
  return rows;
}

for (const worker of [true, false]) {
  describe(`an ONNX network ${worker ? "in a thread of its own" : "on this thread"}`, () => {
    let network: OnnxNetwork;
    before(async () => {
      network = await openOnnx(fixture("plain"), { worker });
    });
    after(() => network.close());

    it("computes what the graph says, in its own precision", async () => {
      const out = await network.model().evaluate(twoRows());
      assert.equal(out.length, 2 * dim);
      assert.ok(Math.abs(out[0]! - (Math.tanh(0.5) + chain.time[0]! / 1000)) < 1e-6);
      assert.ok(Math.abs(out[dim]! - (Math.tanh(-1) + chain.time[9]! / 1000)) < 1e-6);
    });
    it("measures the network's own time", async () => {
      const model = network.model();
      await model.evaluate(twoRows());
      assert.ok(model.networkMs! > 0);
    });
    it("conforms", async () => {
      for (const { run } of modelConformance(network.model(), chain, 1e-5)) await run();
    });
  });
}

it("does not keep this thread from working during a call", async () => {
  const network = await openOnnx(fixture("plain"));
  let turns = 0;
  const count = setInterval(() => turns++, 0);
  const rows = new RowBuffer(dim);
  for (let row = 0; row < 4000; row++) rows.push(row, 0, chain, new Float64Array(dim), 0);
  const pending = network.model().evaluate(rows);
  await new Promise((resolve) => setImmediate(resolve));
  await pending;
  clearInterval(count);
  await network.close();
  assert.ok(turns > 0);
});

it("passes each trajectory its own condition, and whole-number times as such", async () => {
  const classes = await openOnnx(fixture("classes"));
  const out = await classes.model({ class_labels: (trajectory) => [trajectory] }).evaluate(twoRows());
  assert.ok(Math.abs(out[0]! - (Math.tanh(0.5) + chain.time[0]! / 1000 + 0.4)) < 1e-6);
  assert.ok(Math.abs(out[dim]! - (Math.tanh(-1) + chain.time[9]! / 1000 + 0.5)) < 1e-6);
  await classes.close();
  const integer = await openOnnx(fixture("integer-time"));
  await assert.rejects(
    async () => integer.model().evaluate(twoRows()),
    /timestep takes whole numbers \(int64\) but was given 0.0999/,
  );
  await integer.close();
});

it("makes one call for every distinct time of a graph that takes one time, and counts them", async () => {
  const network = await openOnnx(fixture("scalar-time"));
  const reference = await openOnnx(fixture("plain"));
  assert.equal(network.perRowTimes, false);
  assert.match(reexportAdvice(network), /timestep of shape \[batch\]: torch.onnx.export\(.*dynamic_axes=/);
  const rows = twoRows();
  rows.push(6, 0, chain, new Float64Array(dim).fill(0.25), 0);
  const meter = new Meter(network.model());
  assert.deepEqual(await meter.evaluate(rows), await reference.model().evaluate(rows));
  assert.deepEqual([meter.calls, meter.rows], [2, 3]);
  const { record } = await sample({
    chain,
    model: network.model(),
    drafter: frozen(chain, "output"),
    verifier: reflection,
    window: fixedWindow(3),
    count: 1,
    seed: 0,
  });
  assert.ok(record.speedup! <= 1, `a trajectory cannot gain calls here, but has ${record.speedup}`);
  await network.close();
  await reference.close();
});

it("guides with two rows for every state, and counts them", async () => {
  const network = await openOnnx(fixture("classes"));
  const label = (value: number) => ({ class_labels: () => [value] });
  const at = async (value: number) => Float32Array.from(await network.model(label(value)).evaluate(twoRows()));
  const [conditional, unconditional] = [await at(3), await at(7)];
  const meter = new Meter(network.model(label(3), { scale: 2.5, unconditional: label(7) }));
  const guided = await meter.evaluate(twoRows());
  for (let i = 0; i < 2 * dim; i++) {
    assert.ok(Math.abs(guided[i]! - (unconditional[i]! + 2.5 * (conditional[i]! - unconditional[i]!))) < 1e-5);
  }
  assert.deepEqual([meter.calls, meter.rows], [1, 4]);
  assert.throws(
    () => network.model(label(3), { scale: 2, unconditional: {} }),
    /needs a finite scale and the unconditional values/,
  );
  await network.close();
});

it("reports a closed network instead of waiting for it", async () => {
  const network = await openOnnx(fixture("plain"));
  await network.close();
  await assert.rejects(async () => network.model().evaluate(twoRows()), /has been closed/);
});

describe("files of another form are refused with a reason and a remedy", () => {
  const truncated = join(tmpdir(), `specdiff-truncated-${process.pid}.onnx`);
  before(async () => {
    const whole = await readFile(fixture("plain"));
    await writeFile(truncated, whole.subarray(0, whole.length / 2));
  });
  after(() => rm(truncated));

  const cases: [string, () => string, OnnxOptions, RegExp][] = [
    ["missing file", () => fixture("no-such-file"), {}, /cannot load .*no-such-file/],
    ["truncated file", () => truncated, {}, /ONNX Runtime cannot load .*truncated/],
    [
      "other names",
      () => fixture("other-names"),
      {},
      /no input for the state; name it sample.*it has inputs input \(float32\[batch, 3, 8, 8\]\), when/,
    ],
    [
      "fixed batch",
      () => fixture("fixed-batch"),
      {},
      /sample has a fixed batch of 1; export it with a dynamic batch axis/,
    ],
    ["learned variance", () => fixture("learned-variance"), {}, /twice the numbers of a state: a learned variance/],
    ["another shape", () => fixture("plain"), { shape: [3, 4, 4] }, /\[3, 4, 4\], which does not fit/],
  ];
  for (const [name, file, options, message] of cases) {
    it(name, async () => {
      await assert.rejects(
        openOnnx(file(), options),
        (error) => error instanceof SpecdiffError && error.code === "bad-model" && message.test(error.message),
      );
    });
  }
  it("missing and unknown conditions", async () => {
    const network = await openOnnx(fixture("classes"));
    assert.throws(() => network.model(), /also needs class_labels \(int64\[batch\]\)/);
    assert.throws(() => network.model({ class_labels: () => [1], text: () => [1] }), /has no input text/);
    await network.close();
  });
  it("an output of another shape, seen when it runs", async () => {
    const network = await openOnnx(fixture("undeclared-output"));
    await assert.rejects(
      async () => network.model().evaluate(twoRows()),
      /returned shape \[2, 3, 8, 4\] for 2 rows of \[3, 8, 8\]/,
    );
    await network.close();
  });
});
