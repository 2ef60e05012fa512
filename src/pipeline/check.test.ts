import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import { fromPretrained } from "../node/index.js";
import { assertChecked, type Finding, rowTolerance, selfCheck } from "./check.js";

const flow = { _class_name: "FlowMatchEulerDiscreteScheduler", num_train_timesteps: 1000, shift: 1 };
const ddpm = { _class_name: "DDPMScheduler", num_train_timesteps: 1000, beta_schedule: "squaredcos_cap_v2" };
const model = (name: string) => fileURLToPath(new URL(`../../test/fixtures/models/${name}`, import.meta.url));

/** The stand-ins by what they were trained for. */
const STAND_INS: readonly [name: string, prediction: string][] = [
  ["images-epsilon", "epsilon"],
  ["images-sample", "sample"],
  ["images-v-classes", "v_prediction"],
  ["images-flow-half", "flow"],
  ["vectors-epsilon", "epsilon"],
  ["vectors-epsilon-scalar", "epsilon"],
  ["vectors-sample", "sample"],
  ["vectors-v", "v_prediction"],
  ["vectors-flow", "flow"],
];

/** Those with int64 times, which a flow schedule cannot give. */
const WHOLE_TIMES = [
  "images-sample",
  "images-v-classes",
  "vectors-epsilon",
  "vectors-epsilon-scalar",
  "vectors-sample",
];

describe("the self-check", () => {
  const seen: Promise<unknown>[] = [];
  after(() => Promise.all(seen));

  /** The stand-in as it is but for the scheduler's config. */
  async function checked(name: string, prediction?: string): Promise<Finding[]> {
    const changes = prediction === "flow" ? flow : { ...ddpm, prediction_type: prediction, clip_sample: false };
    const file = prediction ? `${model(name)}/unet/model.onnx` : model(name);
    const pipeline = await fromPretrained(file, { worker: false, ...(prediction && { scheduler: changes }) });
    try {
      return await selfCheck(pipeline, prediction && name.includes("classes") ? { classes: [0, 1] } : {});
    } finally {
      seen.push(pipeline.close());
    }
  }

  for (const [name, prediction] of STAND_INS) {
    it(`passes ${name} as it was trained`, async () => {
      const findings = await checked(name);
      assert.deepEqual(
        findings.map(({ ok }) => ok),
        [true, true, true],
        JSON.stringify(findings),
      );
    });
    for (const wrong of ["epsilon", "sample", "v_prediction", "flow"]) {
      if (wrong === prediction) continue;
      it(`catches ${name} read as ${wrong}`, async () => {
        if (wrong === "flow" && WHOLE_TIMES.includes(name)) {
          await assert.rejects(checked(name, wrong), /timestep takes whole numbers/);
          return;
        }
        const last = (await checked(name, wrong)).at(-1)!;
        assert.equal(last.name, "prediction");
        assert.equal(last.ok, false, last.detail);
        if (wrong !== "flow" && prediction !== "flow")
          assert.match(last.detail, new RegExp(`prediction_type=${prediction}`));
      });
    }
  }

  it("catches rows that affect each other, and outputs that are not finite", async () => {
    const pipeline = await fromPretrained(model("vectors-flow"), { worker: false });
    const network = pipeline.networkModel();
    const { dim } = network;
    const spoilt = (spoil: (outputs: Float32Array, count: number) => void) => ({
      ...pipeline,
      networkModel: () => ({
        dim,
        async evaluate(rows: Parameters<typeof network.evaluate>[0]) {
          const outputs = Float32Array.from(await network.evaluate(rows));
          spoil(outputs, rows.count);
          return outputs;
        },
      }),
    });
    const leaky = await selfCheck(
      spoilt((outputs, count) => {
        if (count > 1) for (let i = 0; i < dim; i++) outputs[i]! += 1e-3 * outputs[dim + i]!;
      }),
    );
    assert.deepEqual(
      leaky.map(({ name, ok }) => [name, ok]),
      [
        ["finite", true],
        ["rows", false],
      ],
    );
    assert.throws(
      () => assertChecked("leaky", leaky),
      (error) =>
        error instanceof SpecdiffError && error.code === "bad-model" && /rows of a batch affect/.test(error.message),
    );
    const broken = await selfCheck(
      spoilt((outputs) => {
        outputs[3] = Number.NaN;
      }),
    );
    assert.throws(
      () => assertChecked("broken", broken),
      (error) => error instanceof SpecdiffError && error.code === "bad-output" && /returns NaN/.test(error.message),
    );
    await pipeline.close();
  });

  it("asks for exact rows where the arithmetic is exact", () => {
    assert.equal(rowTolerance(["cpu"], false), 1e-4);
    assert.equal(rowTolerance(["webgpu", "cpu"], false), 5e-3);
    assert.equal(rowTolerance(["cpu"], true), 2e-2);
  });
});
