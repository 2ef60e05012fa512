"""Trains the stand-ins of the tests: networks of seconds in every shape that people export. test/fixtures/models/NAME
holds the folder as diffusers lays it out. Needs the Python packages torch, onnx and numpy.

    python3 training/stand_ins.py

Data: images, 1 x 8 x 8, are sine waves across (class 0) or down (class 1) of random phase; vectors, of 8 numbers, are a
mixture of four narrow Gaussians. Each network is trained on the path and for the prediction of its name. The policy is not
trained: it is the exact denoiser of a law of actions, to stay about where the pusher is or to move through the block.
"""

import json
import shutil
from pathlib import Path

import onnx
import torch
from torch import nn

OUT = Path(__file__).parent.parent / "test" / "fixtures" / "models"
DDPM = {"_class_name": "DDPMScheduler", "num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2", "clip_sample_range": 1.0}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}
NO_CLASS = 2


def waves(count):
    """Images and their classes."""
    phase = torch.rand(count, 1, 1) * 2 * torch.pi
    place = torch.arange(8) * 2 * torch.pi / 8
    across = 0.8 * torch.sin(place + phase).expand(-1, 8, -1)
    classes = torch.randint(2, (count,))
    return torch.where(classes.view(-1, 1, 1) == 0, across, across.transpose(1, 2))[:, None], classes


CENTRES = torch.tensor([[1.0, 1, -1, -1, 0.5, 0, -0.5, 1], [-1, 0.5, 1, -1, -1, 1, 0, 0], [0, -1, 0.5, 1, 1, -1, 1, -1], [0.5, -0.5, -1, 0, -1, 0, 1, 1]])


def clusters(count):
    classes = torch.randint(4, (count,))
    return CENTRES[classes] + 0.15 * torch.randn(count, 8), classes


def embed(timestep):
    """Sines and cosines of a time from 0 to 1000, (batch, 12)."""
    angles = timestep.float()[:, None] * (torch.pi / 1000) * 2.0 ** torch.arange(-1, 5)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Images(nn.Module):
    def __init__(self, width=20):
        super().__init__()
        self.classes = nn.Embedding(3, 16)
        self.time = nn.Sequential(nn.Linear(12, 32), nn.SiLU(), nn.Linear(32, 16))
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d, padding_mode="circular") for d in (1, 2))
        self.mixes = nn.ModuleList(nn.Linear(16, 2 * width) for _ in (1, 2))
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, sample, timestep, class_labels):
        e = nn.functional.silu(self.time(embed(timestep).to(sample.dtype)) + self.classes(class_labels))
        h = self.stem(sample)
        for block, mix in zip(self.blocks, self.mixes):
            scale, shift = mix(e)[:, :, None, None].chunk(2, 1)
            h = h + block(nn.functional.silu(h * (1 + scale) + shift))
        return self.head(nn.functional.silu(h))


class Vectors(nn.Module):
    def __init__(self, width=56):
        super().__init__()
        self.stem = nn.Linear(8 + 12, width)
        self.middle = nn.Linear(width, width)
        self.head = nn.Linear(width, 8)

    def forward(self, sample, timestep, class_labels):
        h = nn.functional.silu(self.stem(torch.cat([sample, embed(timestep).to(sample.dtype)], 1)))
        h = h + nn.functional.silu(self.middle(h))
        return self.head(h)


def levels(prediction, u):
    """alpha and noise at times u in (0, 1) of the path, and what diffusers calls the time."""
    if prediction == "flow":
        return 1 - u, u, 1000 * u
    step = torch.round(u * 999)
    bar = lambda t: torch.cos((t / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
    squared = bar(step + 1) / bar(torch.zeros(1))
    return squared.sqrt(), (1 - squared).sqrt(), step


def train(network, data, prediction, steps):
    torch.manual_seed(0)
    for p in network.parameters():
        if p.dim() > 1:
            nn.init.xavier_normal_(p)
    optimiser = torch.optim.Adam(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps)
    for step in range(steps):
        x0, classes = data(256)
        classes = torch.where(torch.rand(len(x0)) < 0.2, NO_CLASS, classes.clamp(max=1))
        alpha, noise, time = levels(prediction, torch.rand(len(x0)))
        alpha, noise = (c.view(-1, *[1] * (x0.dim() - 1)) for c in (alpha, noise))
        eps = torch.randn_like(x0)
        x = alpha * x0 + noise * eps
        wanted = {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - noise * x0, "flow": eps - x0}[prediction]
        loss = ((network(x, time, classes) - wanted) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    print(f"{prediction} {type(network).__name__}: loss {loss.item():.3f}", flush=True)
    return network.eval().requires_grad_(False)


class Exported(nn.Module):
    """The network as it is called: with labels or without, one time for each row or for all."""

    def __init__(self, network, labels, scalar):
        super().__init__()
        self.network, self.labels, self.scalar = network, labels, scalar

    def forward(self, sample, timestep, class_labels=None):
        rows = torch.ones_like(sample.flatten(1)[:, 0])
        if self.scalar:
            timestep = timestep * rows
        labels = class_labels if self.labels else (NO_CLASS * rows).long()
        return self.network(sample, timestep, labels)


def export(name, network, scheduler, *, time=torch.float32, labels=False, scalar=False, half=False, external=False):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "unet").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=1) + "\n")
    unet = "UNet2DModel" if isinstance(network, Images) else "Mlp"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline", "unet": ["diffusers", unet], "scheduler": ["diffusers", scheduler["_class_name"]]}, indent=1) + "\n")
    if labels:
        (folder / "model.json").write_text(json.dumps({"classes": ["across", "down"], "nullClass": NO_CLASS}) + "\n")
    real = torch.float16 if half else torch.float32
    sample = torch.randn(2, *((1, 8, 8) if isinstance(network, Images) else (8,)), dtype=real)
    timestep = torch.tensor(900 if scalar else [900, 100], dtype=time if time == torch.int64 else real)
    inputs = {"sample": sample, "timestep": timestep, **({"class_labels": torch.tensor([0, 1])} if labels else {})}
    model = Exported(network.to(real), labels, scalar)
    out = folder / "unet" / "model.onnx"
    batched = [n for n in [*inputs, "out_sample"] if not (scalar and n == "timestep")]
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        str(out),
        input_names=list(inputs),
        output_names=["out_sample"],
        dynamic_axes={n: {0: "batch"} for n in batched},
        opset_version=17,
        dynamo=False,
    )
    network.float()
    if external:
        onnx.save(onnx.load(out), out, save_as_external_data=True, location="model.onnx_data", size_threshold=256)


class Pusher(nn.Module):
    """16 actions of PushT given two observations of 20 numbers: with probability 0.3 N(stay, 0.05^2), else N(through, 0.15^2)."""

    def __init__(self):
        super().__init__()
        squared = torch.cos((torch.arange(101) / 100 + 0.008) / 1.008 * torch.pi / 2) ** 2
        squared = torch.cumprod(1 - (1 - squared[1:] / squared[:-1]).clamp(max=0.999), 0)
        self.register_buffer("alpha", squared.sqrt())
        self.register_buffer("noise", (1 - squared).sqrt())
        self.register_buffer("low", torch.tensor([12.0, 25.0]))
        self.register_buffer("span", torch.tensor([499.0, 486.0]))
        self.register_buffer("reach", torch.linspace(0, 2, 16)[None, :, None])

    def forward(self, sample, timestep, observation):
        places = 2 * (observation[:, 20:].reshape(-1, 10, 2) - self.low) / self.span - 1
        agent, block = places[:, 9:], places[:, :9].mean(1, keepdim=True)
        step = timestep.long()
        alpha, noise = self.alpha[step][:, None, None], self.noise[step][:, None, None]
        means = torch.stack([agent + 0 * self.reach, agent + self.reach * (block - agent)])
        width = torch.tensor([0.05, 0.15]).view(2, 1, 1, 1)
        total = alpha**2 * width**2 + noise**2
        errors = sample - alpha * means
        logs = (-0.5 * errors**2 / total - 0.5 * total.log()).sum((2, 3)) + torch.tensor([0.3, 0.7]).log()[:, None]
        weights = logs.softmax(0)[:, :, None, None]
        x0 = (weights * (means + alpha * width**2 / total * errors)).sum(0)
        return (sample - alpha * x0) / noise


def export_policy(name, network):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "policy").mkdir(parents=True)
    (folder / "scheduler").mkdir()
    write = lambda file, content: (folder / file).write_text(json.dumps(content, indent=1) + "\n")
    write("scheduler/scheduler_config.json", {**DDPM, "num_train_timesteps": 100, "prediction_type": "epsilon", "clip_sample": True})
    write("model.json", {"target": "policy/model.onnx"})
    write(
        "policy.json",
        {
            "observation": {"layout": "keypoints", "steps": 2},
            "horizon": 16,
            "executed": {"from": 1, "count": 8},
            "action": {"min": [12, 25], "max": [511, 511]},
        },
    )
    inputs = {"sample": torch.randn(2, 16, 2), "timestep": torch.tensor([90.0, 10.0]), "observation": 512 * torch.rand(2, 40)}
    torch.onnx.export(
        network.eval(),
        tuple(inputs.values()),
        str(folder / "policy" / "model.onnx"),
        input_names=list(inputs),
        output_names=["out_sample"],
        dynamic_axes={n: {0: "batch"} for n in [*inputs, "out_sample"]},
        opset_version=17,
        dynamo=False,
    )


def main():
    torch.set_num_threads(1)
    export_policy("pusher", Pusher())
    predictions = ["epsilon", "sample", "v_prediction", "flow"]
    images = {p: train(Images(), waves, p, 1500) for p in predictions}
    vectors = {p: train(Vectors(), clusters, p, 3000) for p in predictions}
    of = lambda p, clip: FLOW if p == "flow" else {**DDPM, "prediction_type": p, "clip_sample": clip}
    export("images-epsilon", images["epsilon"], of("epsilon", True))
    export("images-sample", images["sample"], of("sample", True), time=torch.int64)
    export("images-v-classes", images["v_prediction"], of("v_prediction", True), time=torch.int64, labels=True, external=True)
    export("images-flow-half", images["flow"], FLOW, half=True)
    export("vectors-epsilon", vectors["epsilon"], of("epsilon", False), time=torch.int64)
    export("vectors-epsilon-scalar", vectors["epsilon"], of("epsilon", False), time=torch.int64, scalar=True)
    export("vectors-sample", vectors["sample"], of("sample", False), time=torch.int64)
    export("vectors-v", vectors["v_prediction"], of("v_prediction", False))
    export("vectors-flow", vectors["flow"], FLOW)


if __name__ == "__main__":
    main()
