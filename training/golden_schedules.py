"""Golden values of diffusers' schedulers for the tests of src/schedules: writes test/fixtures/schedules/*.json.

    pip install torch diffusers
    python3 training/golden_schedules.py

Each step is run on a few probes (state, raw network output, noise). Since a step is affine in all three (up to clipping of x0),
the results fix its coefficients. diffusers computes in float32, where 1 - alpha_bar loses three digits at small noise; here
its own code runs in float64, by letting `float32` name the wider type, and is first checked against itself as it is.
"""

import contextlib
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.schedulers import (
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_edm_euler,
    scheduling_euler_ancestral_discrete,
    scheduling_flow_match_euler_discrete,
)

OUT = Path(__file__).parent.parent / "test" / "fixtures" / "schedules"
PROBES = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.7, -0.4, 0.3], [0.2, 0.1, -1]]  # [state, raw output, noise]
LONGEST = 16  # of more steps than this, only some are written

STATE, RAW, NOISE = torch.tensor(PROBES, dtype=torch.float64).T[:, None]

MODULES = [
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_edm_euler,
    scheduling_euler_ancestral_discrete,
    scheduling_flow_match_euler_discrete,
]


@contextlib.contextmanager
def double_precision():
    narrow = torch.float32, np.float32
    torch.float32, np.float32 = torch.float64, np.float64
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float32, np.float32 = narrow
        torch.set_default_dtype(torch.float32)


def probe(config, steps, arguments):
    """Time, input scale, initial standard deviation, x0 and next state of every step."""
    config = dict(config)
    scheduler = getattr(diffusers, config.pop("_class_name"))(**config)
    if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))  # as the pipelines do
    else:
        scheduler.set_timesteps(steps)
    assert len(scheduler.timesteps) == steps, "diffusers miscounts some numbers of steps with trailing spacing"
    rows = []
    for t in scheduler.timesteps:
        scale = scheduler.scale_model_input(STATE, t)[0, 0].item() if hasattr(scheduler, "scale_model_input") else 1.0
        following, *x0 = scheduler.step(RAW, t, STATE, return_dict=False, **arguments)
        rows.append(dict(time=float(t), inputScale=scale, x0=x0[0][0].tolist() if x0 else None, next=following[0].tolist()))
    # the flow scheduler does not have init_noise_sigma: its pipelines start from N(0, I)
    return float(getattr(scheduler, "init_noise_sigma", 1.0)), rows


def distance(rows, others):
    flat = lambda rows: np.array([[r["time"], r["inputScale"], *(r["x0"] or []), *r["next"]] for r in rows])
    a, b = flat(rows), flat(others)
    return np.abs(a - b).max() / np.abs(a).max()


def case(config, steps, options=None, **arguments):
    """A config, the options of scheduleFromConfig, and what diffusers does when `step` gets these arguments."""
    rough_sigma, rough = probe(config, steps, arguments)
    with double_precision():
        sigma, rows = probe(config, steps, arguments)
    assert abs(rough_sigma / sigma - 1) < 1e-3 and distance(rough, rows) < 1e-3, (config, distance(rough, rows))
    chosen = np.unique(np.linspace(0, steps - 1, min(steps, LONGEST)).round().astype(int)).tolist()
    return dict(
        config=config,
        options=dict(steps=steps, **(options or {})),
        initialSigma=sigma,
        steps=[dict(k=k, **rows[k]) for k in chosen],
    )


def ddpm():
    base = dict(_class_name="DDPMScheduler", clip_sample=False)
    push_t = dict(_class_name="DDPMScheduler", num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")
    yield case(base, 1000)
    yield case(push_t, 100)
    yield case(dict(push_t, clip_sample_range=0.25), 10)
    yield case(dict(base, num_train_timesteps=1), 1)
    for schedule in ["scaled_linear", "squaredcos_cap_v2", "sigmoid"]:
        yield case(dict(base, beta_schedule=schedule, beta_start=0.00085, beta_end=0.012), 50)
    yield case(dict(base, num_train_timesteps=5, trained_betas=[0.01, 0.3, 0.05, 0.5, 0.8]), 5)
    for spacing in ["leading", "linspace", "trailing"]:
        for steps in [1, 2, 7, 48]:
            yield case(dict(base, timestep_spacing=spacing), steps)
        yield case(dict(base, timestep_spacing=spacing, num_train_timesteps=10), 3)
    yield case(dict(base, steps_offset=1), 30)
    for variance in ["fixed_small_log", "fixed_large"]:
        yield case(dict(base, variance_type=variance), 20)
    yield case(dict(base, variance_type="fixed_large", timestep_spacing="trailing"), 10)
    for prediction in ["sample", "v_prediction"]:
        yield case(dict(base, prediction_type=prediction), 12)
        yield case(dict(base, prediction_type=prediction, rescale_betas_zero_snr=True, timestep_spacing="trailing"), 12)
    yield case(dict(base, rescale_betas_zero_snr=True), 9)


def ddim():
    base = dict(_class_name="DDIMScheduler", clip_sample=False)
    stable = dict(base, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, set_alpha_to_one=False)
    for eta in [0.3, 1.0]:
        yield case(dict(stable, steps_offset=1), 50, dict(churn=eta), eta=eta)
        yield case(stable, 7, dict(churn=eta), eta=eta)
        yield case(dict(base, timestep_spacing="trailing", prediction_type="v_prediction"), 8, dict(churn=eta), eta=eta)
        clipped = dict(_class_name="DDIMScheduler", clip_sample_range=0.3, num_train_timesteps=100)
        yield case(clipped, 16, dict(churn=eta), eta=eta, use_clipped_model_output=True)
        yield case(dict(base, timestep_spacing="linspace"), 1000, dict(churn=eta), eta=eta)
    zero_snr = dict(base, rescale_betas_zero_snr=True, timestep_spacing="trailing")
    for prediction in ["sample", "v_prediction"]:
        yield case(dict(zero_snr, prediction_type=prediction), 10, dict(churn=0.7), eta=0.7)


def euler_ancestral():
    base = dict(_class_name="EulerAncestralDiscreteScheduler", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    for spacing in ["leading", "linspace", "trailing"]:
        for steps in [1, 4, 30]:
            yield case(dict(base, timestep_spacing=spacing), steps)
    yield case(dict(base, timestep_spacing="leading", steps_offset=1, prediction_type="v_prediction"), 20)
    yield case(dict(base, rescale_betas_zero_snr=True), 10)


def flow_match():
    for shift in [1.0, 3.0, 1.15]:
        base = dict(_class_name="FlowMatchEulerDiscreteScheduler", shift=shift)
        yield case(base, 28)
        yield case(dict(base, stochastic_sampling=True), 28)


def edm():
    yield case(dict(_class_name="EDMEulerScheduler"), 18)
    yield case(dict(_class_name="EDMEulerScheduler", prediction_type="v_prediction", sigma_data=1.0, rho=5.0), 6)
    yield case(dict(_class_name="EDMEulerScheduler", sigma_schedule="exponential", sigma_min=0.01, sigma_max=20.0), 6)


def main():
    for module in MODULES:
        module.randn_tensor = lambda shape, dtype=None, **_: NOISE.to(dtype)
    OUT.mkdir(parents=True, exist_ok=True)
    for cases in [ddpm, ddim, euler_ancestral, flow_match, edm]:
        fixture = dict(diffusers=diffusers.__version__, probes=PROBES, cases=list(cases()))
        (OUT / f"{cases.__name__}.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
