import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestral, ddpm } from "./ancestral.js";
import { type ConfigOptions, scheduleFromConfig } from "./diffusers.js";
import { timeGrid } from "./grids.js";
import { discreteVp, interpolant } from "./levels.js";
import { reverseSde } from "./reverse-sde.js";

const config = (name: string, keys: Record<string, unknown> = {}) => ({ _class_name: `${name}Scheduler`, ...keys });

test("configs as published", () => {
  const pushT = config("DDPM", {
    _diffusers_version: "0.11.1",
    num_train_timesteps: 100,
    beta_start: 0.0001,
    beta_end: 0.02,
    beta_schedule: "squaredcos_cap_v2",
    variance_type: "fixed_small",
    clip_sample: true,
    prediction_type: "epsilon",
    trained_betas: null,
  });
  const levels = discreteVp({ steps: 100, trainSteps: 100, betaSchedule: "squaredcos_cap_v2" });
  assert.deepEqual(scheduleFromConfig(pushT, { steps: 100 }), ddpm(levels, { prediction: "epsilon", clip: 1 }));

  // what configs of Stable Diffusion carry over from other classes
  const turbo = config("EulerAncestralDiscrete", {
    beta_end: 0.012,
    beta_schedule: "scaled_linear",
    beta_start: 0.00085,
    clip_sample: false,
    interpolation_type: "linear",
    num_train_timesteps: 1000,
    prediction_type: "epsilon",
    sample_max_value: 1,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
    timestep_spacing: "trailing",
    trained_betas: null,
    use_karras_sigmas: false,
  });
  assert.deepEqual([...scheduleFromConfig(turbo, { steps: 4 }).chain.time], [999, 749, 499, 249]);

  const flow = config("FlowMatchEulerDiscrete", {
    base_image_seq_len: 256,
    base_shift: 0.5,
    invert_sigmas: false,
    max_image_seq_len: 4096,
    max_shift: 1.15,
    num_train_timesteps: 1000,
    shift: 3,
    shift_terminal: null,
    time_shift_type: "exponential",
    use_beta_sigmas: false,
    use_dynamic_shifting: false,
    use_exponential_sigmas: false,
    use_karras_sigmas: false,
  });
  const line = interpolant(timeGrid({ steps: 20, start: 1, shift: 3 }), { time: (t) => 1000 * t });
  assert.deepEqual(scheduleFromConfig(flow, { steps: 20 }), reverseSde(line, { prediction: "flow" }));
});

test("churn and sampler", () => {
  const levels = discreteVp({ steps: 10 });
  const network = { prediction: "epsilon", clip: 1 } as const;
  const read = (name: string, options: Omit<ConfigOptions, "steps">, keys = {}) =>
    scheduleFromConfig(config(name, keys), { steps: 10, ...options });
  assert.deepEqual(read("DDPM", { churn: 0.5 }), ancestral(levels, { ...network, eta: 0.5 }));
  assert.deepEqual(read("DDPM", { churn: undefined, sampler: undefined }), ddpm(levels, network));
  assert.deepEqual(read("DDIM", { churn: 1 }), ancestral(levels, { ...network, eta: 1 }));
  assert.deepEqual(read("DDIM", { sampler: "ancestral" }), ancestral(levels, { ...network, eta: 1 }));
  assert.deepEqual(read("DDIM", { sampler: "sde", churn: 0.3 }), reverseSde(levels, { ...network, churn: 0.3 }));
  const line = interpolant(timeGrid({ steps: 10, start: 1 }), { time: (t) => t });
  const unit = { num_train_timesteps: 1 };
  assert.deepEqual(
    read("FlowMatchEulerDiscrete", { churn: 0.5 }, unit),
    reverseSde(line, { prediction: "flow", churn: 0.5 }),
  );
  assert.deepEqual(
    read("FlowMatchEulerDiscrete", { churn: 0.5, sampler: "ancestral" }, unit),
    ancestral(line, { prediction: "flow", eta: 0.5 }),
  );
  assert.equal(read("EulerAncestralDiscrete", {}).name, "ancestral:1");
  assert.equal(read("EDMEuler", { churn: 0.2 }).name, "ancestral:0.2");
  assert.equal(read("EDMEuler", { sampler: "sde" }).name, "reverse-sde:1");
});

test("what cannot be read is refused, naming key, value and what is supported", () => {
  const refused: [unknown, RegExp][] = [
    [null, /a scheduler config is an object/],
    [[], /a scheduler config is an object/],
    [{}, /"_class_name": undefined; supported are DDPMScheduler, DDIMScheduler/],
    [config("ScoreSdeVe"), /"ScoreSdeVeScheduler"; supported are DDPM.*and with a sampler EulerDiscreteScheduler, /],
    [{ _class_name: "toString" }, /"toString"; supported are/],
    [config("DDIM"), /DDIMScheduler.*deterministic.*pass churn/],
    [
      config("DDPM", { variance_type: "learned_range" }),
      /"variance_type": "learned_range"; the noise of a step must not depend/,
    ],
    [config("DDPM", { variance_type: "small" }), /"variance_type": "small"; supported are fixed_small, /],
    [config("DDPM", { thresholding: true }), /"thresholding": true; supported is false/],
    [config("DDPM", { beta_schedule: "laplace" }), /"beta_schedule": "laplace"; supported are linear, scaled_linear/],
    [config("DDPM", { prediction_type: "x0" }), /"prediction_type": "x0"; supported are epsilon, sample, v_prediction/],
    [config("DDPM", { timestep_spacing: "log" }), /"timestep_spacing": "log"; supported are leading/],
    [config("DDPM", { beta_start: "0.1" }), /"beta_start": "0.1"; give a number/],
    [config("DDPM", { trained_betas: [0.1, null] }), /"trained_betas": \[0.1,null\]; give numbers or null/],
    [config("DDPM", { noise: 3 }), /"noise": 3; supported are num_train_timesteps, .*clip_sample_range; remove it/],
    [config("EulerAncestralDiscrete", { use_karras_sigmas: true }), /"use_karras_sigmas": true; supported is false/],
    [config("FlowMatchEulerDiscrete", { use_dynamic_shifting: true }), /"use_dynamic_shifting": true; .*exp\(mu\)/],
    [config("FlowMatchEulerDiscrete", { shift_terminal: 0.1 }), /"shift_terminal": 0.1; supported is null/],
    [config("EDMEuler", { final_sigmas_type: "sigma_min" }), /"final_sigmas_type": "sigma_min"; supported are zero/],
  ];
  for (const [bad, message] of refused) {
    assert.throws(() => scheduleFromConfig(bad, { steps: 10 }), {
      name: "SpecdiffError",
      code: "unsupported-schedule",
      message,
    });
  }
  for (const churn of [0, -1, Number.NaN]) {
    assert.throws(() => scheduleFromConfig(config("DDIM"), { steps: 10, churn }), {
      code: "bad-argument",
      message: /churn is .*nothing to accelerate\. Give a churn above 0/,
    });
  }
  const noised = config("FlowMatchEulerDiscrete", { stochastic_sampling: true });
  assert.throws(() => scheduleFromConfig(noised, { steps: 10, churn: 1 }), /its noise is fixed: leave churn out/);
  assert.throws(() => scheduleFromConfig(config("DDPM"), { steps: 10, sampler: "heun" as never }), /sampler is "heun"/);
});

test("a deterministic class only on request, with its reason", () => {
  const betas = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: "scaled_linear", steps_offset: 1 };
  const pndm = config("PNDM", { ...betas, skip_prk_steps: true, set_alpha_to_one: false, clip_sample: false });
  assert.throws(() => scheduleFromConfig(pndm, { steps: 10 }), /PNDMScheduler.*deterministic.*on request.*ancestral/);
  const same = config("DDIM", { ...betas, set_alpha_to_one: false, clip_sample: false });
  assert.deepEqual(
    scheduleFromConfig(pndm, { steps: 10, sampler: "ancestral" }),
    scheduleFromConfig(same, { steps: 10, churn: 1 }),
  );
  const solver = config("DPMSolverMultistep", { ...betas, solver_order: 2, algorithm_type: "dpmsolver++" });
  assert.deepEqual(
    scheduleFromConfig(solver, { steps: 10, sampler: "ancestral", churn: 0.5 }),
    scheduleFromConfig(config("DDIM", { ...betas, timestep_spacing: "linspace", clip_sample: false }), {
      steps: 10,
      churn: 0.5,
    }),
  );
  const euler = config("EulerDiscrete", { ...betas, interpolation_type: "linear", use_karras_sigmas: false });
  assert.deepEqual(
    scheduleFromConfig(euler, { steps: 10, sampler: "ancestral" }),
    scheduleFromConfig(config("EulerAncestralDiscrete", betas), { steps: 10 }),
  );
  assert.throws(
    () => scheduleFromConfig({ ...euler, use_karras_sigmas: true }, { steps: 10, sampler: "ancestral" }),
    /use_karras_sigmas/,
  );
});
