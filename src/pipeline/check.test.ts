import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SpecdiffError } from "../core/errors.js";
import type { Rows } from "../core/model.js";
import { fromPretrained } from "../node/index.js";
import { scheduleFromConfig } from "../schedules/index.js";
import { assertChecked, type Finding, rowTolerance, selfCheck } from "./check.js";
import type { Pipeline } from "./pipeline.js";

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

  describe("with exact denoisers of a mixture, whatever the schedule", () => {
    const centres = [
      [1, 1, -1, 0.5, -1, 0, 1, 1],
      [-1, 0.5, 1, -1, 0, 1, -1, 1],
      [0, -1, 1, 1, 1, -1, 0.5, -1],
    ];
    /** E[x0 | x = alpha x0 + noise eps] for equal parts N(centre, 0.2^2 I); `alpha` carries the scale of the data. */
    function posteriorMean(x: Float64Array, alpha: number, noise: number): number[] {
      const v = alpha ** 2 * 0.04 + noise ** 2;
      const logs = centres.map((c) => -c.reduce((sum, m, i) => sum + (x[i]! - alpha * m) ** 2, 0) / (2 * v));
      const weights = logs.map((log) => Math.exp(log - Math.max(...logs)));
      const total = weights.reduce((a, b) => a + b);
      return Array.from(x, (value, i) =>
        centres.reduce((sum, c, j) => {
          const own = c[i]! + ((alpha * 0.04) / v) * (value - alpha * c[i]!);
          return sum + (weights[j]! / total) * own;
        }, 0),
      );
    }
    /** What a perfect network for `trained` returns, asked through the schedule of `read`. */
    function perfect(trained: Record<string, unknown>, read: Record<string, unknown>, scale = 1): Pipeline {
      const { alpha, noise, readout } = scheduleFromConfig(trained, { steps: 16, sampler: "ancestral", churn: 1 });
      const network = {
        dim: 8,
        evaluate({ count, step, states }: Rows) {
          const out = new Float64Array(8 * count);
          for (let row = 0; row < count; row++) {
            const k = step[row]!;
            const x = states.slice(8 * row, 8 * row + 8).map((value) => value / readout.inputScale[k]!);
            const x0 = posteriorMean(x, scale * alpha[k]!, noise[k]!);
            for (let i = 0; i < 8; i++) out[8 * row + i] = (scale * x0[i]! - readout.p[k]! * x[i]!) / readout.q[k]!;
          }
          return out;
        },
      };
      const tensor = { name: "sample", type: "float32", shape: ["batch", 8] };
      return {
        scheduler: read,
        networkModel: () => network,
        target: { state: tensor, output: tensor },
      } as unknown as Pipeline;
    }
    const cases: [trained: Record<string, unknown>, wrong: string[]][] = [
      [{ _class_name: "DDPMScheduler", prediction_type: "epsilon", clip_sample: false }, ["sample", "v_prediction"]],
      [
        {
          _class_name: "DDIMScheduler",
          prediction_type: "sample",
          beta_schedule: "scaled_linear",
          clip_sample_range: 2,
        },
        ["epsilon", "v_prediction"],
      ],
      [
        {
          _class_name: "DDPMScheduler",
          prediction_type: "v_prediction",
          rescale_betas_zero_snr: true,
          timestep_spacing: "trailing",
          clip_sample: false,
        },
        ["sample"], // epsilon is refused by the schedule itself: it starts from pure noise
      ],
      [{ _class_name: "EulerAncestralDiscreteScheduler", prediction_type: "epsilon" }, ["sample", "v_prediction"]],
      [{ _class_name: "EDMEulerScheduler", prediction_type: "epsilon" }, ["v_prediction"]],
      [{ ...flow, shift: 3 }, []],
    ];
    for (const [trained, wrongs] of cases) {
      it(`${trained._class_name} ${trained.prediction_type ?? ""}`, async () => {
        const right = await selfCheck(perfect(trained, trained));
        assert.ok(right.at(-1)!.ok, right.at(-1)!.detail);
        if (!trained.clip_sample_range) {
          for (const scale of [0.1, 4]) {
            const scaled = await selfCheck(perfect(trained, trained, scale));
            assert.ok(scaled.at(-1)!.ok, `data ${scale} times as large: ${scaled.at(-1)!.detail}`);
          }
        }
        for (const wrong of wrongs) {
          const findings = await selfCheck(perfect(trained, { ...trained, prediction_type: wrong }));
          assert.ok(!findings.at(-1)!.ok, `${wrong}: ${findings.at(-1)!.detail}`);
        }
      });
    }
  });

  it("asks for exact rows where the arithmetic is exact", () => {
    assert.equal(rowTolerance(["cpu"], false), 1e-4);
    assert.equal(rowTolerance(["webgpu", "cpu"], false), 5e-3);
    assert.equal(rowTolerance(["cpu"], true), 2e-2);
  });
});
