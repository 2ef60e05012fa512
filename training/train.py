"""Trains a velocity network on CIFAR-10 by flow matching; resumable, seeded, logs to LOSS.jsonl.

    python3 training/train.py --data DIR --out runs/target --size target --hours 2
    python3 training/train.py --data DIR --out runs/draft --size draft --hours 0.25

The budget is training time: the learning rate falls to zero at --hours, counted over all resumed runs.
Started again with the same --out, it goes on from the last checkpoint.
"""

import argparse
import copy
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch

from data import load
from network import NULL_CLASS, SIZES, UNet, precondition
from optimizer import Both

BATCH = 64
PEAK_RATE = 1e-3
WARM_UP_STEPS = 300
EMA_IMAGES = 60_000  # half-life, shorter at the start
NULL_RATE = 0.1  # share of images trained without their class


def times(n, generator):
    """Half logit-normal around the levels that shape an image (EDM), half uniform over the whole range."""
    normal = torch.sigmoid(-0.8 + 1.2 * torch.randn(n, generator=generator))
    uniform = torch.rand(n, generator=generator)
    return torch.where(torch.rand(n, generator=generator) < 0.5, normal, uniform).clamp(0.002, 0.998)


def to_float(images):
    return torch.from_numpy(images).float() / 127.5 - 1


def loss_of(model, x0, labels, t, noise):
    """Squared error of F against its unit-variance target, one number per image."""
    s = t.view(-1, 1, 1, 1)
    x = (1 - s) * x0 + s * noise
    skip, out, scale = precondition(t)
    target = (noise - x0 - skip * x) / out
    x = (scale * x).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model.residual(x, t, labels)
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))


@torch.no_grad()
def held_out_loss(model, images, labels):
    generator = torch.Generator().manual_seed(0)
    losses = []
    for i in range(0, len(images), 256):
        x0 = to_float(images[i : i + 256])
        t = torch.linspace(0.01, 0.99, len(x0))[torch.randperm(len(x0), generator=generator)]
        noise = torch.randn(x0.shape, generator=generator)
        losses.append(loss_of(model, x0, torch.from_numpy(labels[i : i + 256]), t, noise))
    return torch.cat(losses).mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--size", choices=sorted(SIZES), default="target")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--stop-after", type=float, default=math.inf, help="seconds, then checkpoint and leave")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    images, labels = load(args.data, "train")
    test_images, test_labels = (part[:1024] for part in load(args.data, "test"))
    torch.manual_seed(args.seed)
    model = UNet(**SIZES[args.size]).to(memory_format=torch.channels_last)
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
        print(f"resumed at step {step}, {seconds:.0f} s", flush=True)

    def save():
        state = dict(model=model.state_dict(), ema=ema.state_dict(), optimizer=optimizer.state_dict(), step=step, seconds=seconds, size=args.size)
        torch.save(state, out / "checkpoint.tmp")
        os.replace(out / "checkpoint.tmp", checkpoint)

    log = open(out / "LOSS.jsonl", "a")
    started, recent, next_report = time.time(), [], 60.0 * (1 + seconds // 60)
    first_seconds = seconds
    while seconds < 3600 * args.hours and seconds - first_seconds < args.stop_after:
        # keyed by step, so that a resumed run draws what an uninterrupted one would have
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        epoch, position = divmod(step, len(images) // BATCH)
        order = np.random.default_rng([args.seed, epoch]).permutation(len(images))
        chosen = order[position * BATCH : (position + 1) * BATCH]
        x0 = to_float(images[chosen])
        flip = torch.rand(BATCH, generator=generator) < 0.5
        x0 = torch.where(flip[:, None, None, None], x0.flip(3), x0)
        classes = torch.from_numpy(labels[chosen])
        classes = torch.where(torch.rand(BATCH, generator=generator) < NULL_RATE, NULL_CLASS, classes)
        loss = loss_of(model, x0, classes, times(BATCH, generator), torch.randn(x0.shape, generator=generator)).mean()
        loss.backward()
        progress = seconds / (3600 * args.hours)
        optimizer.step(PEAK_RATE * min(1, (step + 1) / WARM_UP_STEPS) * (1 - progress))
        step += 1
        decay = 0.5 ** (BATCH / min(EMA_IMAGES, 0.1 * step * BATCH + 1))
        with torch.no_grad():
            for a, b in zip(ema.parameters(), model.parameters()):
                a.lerp_(b, 1 - decay)
        recent.append(loss.item())
        seconds = first_seconds + time.time() - started
        if seconds >= next_report:
            next_report += 60
            minutes = round(seconds / 60)
            row = dict(step=step, seconds=round(seconds), images=step * BATCH, loss=round(float(np.mean(recent)), 5))
            if minutes % 5 == 0:
                row["heldOut"] = round(held_out_loss(ema, test_images, test_labels), 5)
                save()
            recent = []
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")
            log.flush()
    save()
    print(json.dumps(dict(step=step, seconds=round(seconds), heldOut=held_out_loss(ema, test_images, test_labels))), flush=True)


if __name__ == "__main__":
    main()
