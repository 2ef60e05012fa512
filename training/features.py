"""Trains a small CIFAR-10 classifier whose pooled features stand in for Inception's in FID and Inception Score; exports it.

    python3 training/features.py train --data DATA --out runs/features --hours 0.4
    python3 training/features.py export --data DATA --run runs/features --out models/cifar-features

The budget is training time, as in train.py; a run started again with the same --out goes on from its checkpoint. The export
writes model.onnx (`image` -> `features`, `logits`) and stats.npz, mean and covariance of the features over the 50,000
training images under pytorch-fid's names `mu` and `sigma`.
"""

import argparse
import copy
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from data import load
from optimizer import Both

BATCH = 256
PEAK_RATE = 4e-3
WARM_UP_STEPS = 100
SMOOTHING = 0.1


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if stride == 1 else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return F.relu(self.skip(x) + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class Classifier(nn.Module):
    """image (N, 3, 32, 32) in [-1, 1] -> (features (N, 256), logits (N, 10))."""

    def __init__(self, widths=(64, 128, 256)):
        super().__init__()
        inner = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(3, inner, 5, 2, 2, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        self.layers = nn.Sequential(*(Residual(max(inner, w // 2), w, 1 if w == inner else 2) for w in widths))
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, image):
        features = self.layers(self.stem(image)).mean(dim=(2, 3))
        return features, self.head(features)


def to_float(images):
    return (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def augment(images, generator):
    """Random mirror image and shift by up to 4 pixels, the edge reflected."""
    n = len(images)
    padded = F.pad(images, (4, 4, 4, 4), mode="reflect")
    dy, dx = torch.randint(9, (2, n), generator=generator)
    span = torch.arange(32)
    rows, columns = dy[:, None] + span, dx[:, None] + span
    flip = torch.rand(n, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def features_of(model, images):
    parts = [model(to_float(part)) for part in torch.from_numpy(images).split(500)]
    return tuple(torch.cat(part) for part in zip(*parts))


def accuracy(model, images, labels):
    return (features_of(model.eval(), images)[1].argmax(1) == torch.from_numpy(labels)).float().mean().item()


def train(args):
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (images, labels), (test_images, test_labels) = load(args.data, "train"), load(args.data, "test")
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    torch.manual_seed(args.seed)
    model = Classifier().to(memory_format=torch.channels_last)
    ema = copy.deepcopy(model).requires_grad_(False)
    optimizer = Both(model, PEAK_RATE)
    step, seconds = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]

    def save():
        state = dict(model=model.state_dict(), ema=ema.state_dict(), optimizer=optimizer.state_dict(), step=step, seconds=seconds)
        torch.save(state, out / "checkpoint.tmp")
        os.replace(out / "checkpoint.tmp", checkpoint)

    log = open(out / "LOSS.jsonl", "a")
    started, first_seconds, recent = time.time(), seconds, []
    next_report = seconds + 120
    while seconds < 3600 * args.hours:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        epoch, position = divmod(step, len(images) // BATCH)
        order = np.random.default_rng([args.seed, epoch]).permutation(len(images))
        chosen = torch.from_numpy(order[position * BATCH : (position + 1) * BATCH])
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(to_float(augment(images[chosen], generator)))[1]
        loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=SMOOTHING)
        loss.backward()
        rate = PEAK_RATE * min(1, (step + 1) / WARM_UP_STEPS) * max(0.0, 1 - seconds / (3600 * args.hours))
        optimizer.step(rate)
        step += 1
        with torch.no_grad():
            share = 1 - 0.5 ** (1 / (0.02 * step + 1))
            for a, b in zip(ema.state_dict().values(), model.state_dict().values()):
                a.lerp_(b, share) if a.is_floating_point() else a.copy_(b)
        recent.append(loss.item())
        seconds = first_seconds + time.time() - started
        if seconds >= next_report:
            next_report += 120
            row = dict(step=step, seconds=round(seconds), loss=round(float(np.mean(recent)), 4), test=accuracy(ema, test_images[:2000], test_labels[:2000]))
            recent = []
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")
            log.flush()
            save()
    save()
    print(json.dumps(dict(step=step, seconds=round(seconds), testAll=accuracy(ema, test_images, test_labels))), flush=True)


def export(args):
    saved = torch.load(Path(args.run) / "checkpoint.pt", weights_only=True)
    model = Classifier()
    model.load_state_dict(saved["ema"])
    model.eval().requires_grad_(False)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    names = ["image", "features", "logits"]
    torch.onnx.export(
        model,
        (torch.randn(2, 3, 32, 32),),
        str(out / "model.tmp"),
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes={name: {0: "batch"} for name in names},
        opset_version=17,
        dynamo=False,
    )
    features = features_of(model, load(args.data, "train")[0])[0].double().numpy()
    with open(out / "stats.tmp", "wb") as file:
        np.savez(file, mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    os.replace(out / "model.tmp", out / "model.onnx")
    os.replace(out / "stats.tmp", out / "stats.npz")
    test_images, test_labels = load(args.data, "test")
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, step {saved['step']}, {saved['seconds']:.0f} s of training, test accuracy {accuracy(model, test_images, test_labels):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("train", "export"):
        command = commands.add_parser(name)
        command.add_argument("--data", required=True)
        command.add_argument("--out", required=True)
        if name == "export":
            command.add_argument("--run", required=True)
            continue
        command.add_argument("--hours", type=float, default=0.4)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    {"train": train, "export": export}[args.command](args)


if __name__ == "__main__":
    main()
