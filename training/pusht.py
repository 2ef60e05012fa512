"""Trains a PushT diffusion policy on the 206 human demonstrations; resumable, seeded, logs to LOSS.jsonl.

    python3 training/pusht.py train --data DIR --out runs/mlp --size mlp --hours 1.3
    python3 training/pusht.py train --data DIR --out runs/draft --size draft --hours 0.15 --teacher runs/mlp
    python3 training/pusht.py export --run runs/mlp --out models/pusht/policy/model.onnx

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

import torch

from optimizer import Both
from pusht_data import load, mirror, normalise, observe, windows
from pusht_network import SIZES, STEPS, Policy, signal

PEAK_RATE = 2e-3
WARM_UP_STEPS = 200
EMA_SHARE = 0.04  # half-life of the averaged weights, in steps so far
HELD_OUT = range(200, 206)  # episodes


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    train_args = commands.add_parser("train")
    train_args.add_argument("--data", required=True)
    train_args.add_argument("--out", required=True)
    train_args.add_argument("--size", choices=sorted(SIZES), default="mlp")
    train_args.add_argument("--hours", type=float, default=1.3)
    train_args.add_argument("--stop-after", type=float, default=math.inf, help="seconds of training, before the rate has fallen to zero")
    train_args.add_argument("--batch", type=int, default=1024)
    train_args.add_argument("--rate", type=float, default=PEAK_RATE)
    train_args.add_argument("--decay", type=float, default=0.1, help="weight decay, times the learning rate")
    train_args.add_argument("--dropout", type=float, default=0.1)
    train_args.add_argument("--teacher", help="run whose output is learnt instead of the noise: for drafts")
    train_args.add_argument("--seed", type=int, default=0)
    train_args.add_argument("--threads", type=int, default=1)
    train_args.add_argument("--save-every", type=float, default=5, help="minutes")
    export_args = commands.add_parser("export")
    export_args.add_argument("--run", required=True)
    export_args.add_argument("--out", required=True)
    return parser.parse_args()


def open_run(run):
    """The averaged weights of a run, and its checkpoint."""
    saved = torch.load(Path(run) / "checkpoint.pt", weights_only=True, map_location="cpu")
    policy = Policy(SIZES[saved["size"]]())
    policy.load_state_dict(saved["ema"])
    return policy.eval().requires_grad_(False), saved


class Windows:
    """Batches of (actions normalised, observations px); half of the training windows are mirrored, and observations shaken."""

    def __init__(self, folder, episodes):
        self.state, self.action, ends = load(folder)
        self.rows = windows(ends, episodes)

    def at(self, chosen, generator=None):
        rows = self.rows[chosen]
        state, action = self.state[rows[:, :2]].clone(), self.action[rows]
        if generator is not None:
            flip = torch.rand(len(rows), generator=generator) < 0.5
            other_state, other_action = mirror(state, action)
            state = torch.where(flip[:, None, None], other_state, state)
            action = torch.where(flip[:, None, None], other_action, action)
            # one shift for both observations, so that their difference stays a velocity
            shake = torch.randn(len(rows), 1, 5, generator=generator)
            state += shake * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.01])
        return normalise(action), observe(state)


@torch.no_grad()
def held_out_loss(policy, data):
    """Mean losses (F, epsilon) over held-out windows, each at 10 steps spread over the schedule."""
    policy.eval()
    generator = torch.Generator().manual_seed(0)
    sums, count = torch.zeros(2), 0
    for chosen in torch.arange(len(data.rows)).split(512):
        actions, observation = data.at(chosen)
        for first in range(10):
            timestep = ((chosen * 7 + first * 10) % STEPS).float()
            noise = torch.randn(actions.shape, generator=generator)
            a, s = signal(timestep)
            losses = policy.loss(a * actions + s * noise, timestep, observation, noise)
            sums += torch.stack([loss.sum() for loss in losses])
            count += len(chosen)
    return (sums / count).tolist()


def train(args):
    torch.set_num_threads(args.threads)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    data = Windows(args.data, [e for e in range(206) if e not in HELD_OUT])
    held_out = Windows(args.data, HELD_OUT)
    torch.manual_seed(args.seed)
    policy = Policy(SIZES[args.size](args.dropout))
    ema = copy.deepcopy(policy).requires_grad_(False)
    teacher = open_run(args.teacher)[0] if args.teacher else None
    optimizer = Both(policy, args.rate)
    step, seconds = 0, 0.0
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        policy.load_state_dict(saved["model"])
        ema.load_state_dict(saved["ema"])
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
        print(f"resumed at step {step}, {seconds:.0f} s", flush=True)
    print(f"{sum(p.numel() for p in policy.parameters()):,} parameters, {len(data.rows):,} windows", flush=True)

    def save():
        state = dict(model=policy.state_dict(), ema=ema.state_dict(), optimizer=optimizer.state_dict(), step=step, seconds=seconds, size=args.size)
        torch.save(state, out / "checkpoint.tmp")
        os.replace(out / "checkpoint.tmp", checkpoint)

    log = open(out / "LOSS.jsonl", "a")
    started, first_seconds, recent = time.time(), seconds, []
    next_report, next_save = 60.0 * (1 + seconds // 60), seconds + 60 * args.save_every
    while seconds < min(3600 * args.hours, args.stop_after):
        # keyed by step, so that a resumed run draws what an uninterrupted one would have
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        actions, observation = data.at(torch.randint(len(data.rows), (args.batch,), generator=generator), generator)
        noise = torch.randn(actions.shape, generator=generator)
        # one step from each of `batch` equal parts of the schedule: less noise in the loss than independent draws
        spread = (torch.arange(args.batch) + torch.rand(args.batch, generator=generator)) / args.batch
        timestep = (STEPS * spread).floor().clamp(max=STEPS - 1)
        policy.train()
        a, s = signal(timestep)
        sample, target = a * actions + s * noise, noise
        if teacher:
            with torch.no_grad():
                target = teacher(sample, timestep, observation)
        with torch.autocast("cpu", torch.bfloat16):
            losses = policy.loss(sample, timestep, observation, target)
        loss = losses[0].mean()
        loss.backward()
        rate = args.rate * min(1, (step + 1) / WARM_UP_STEPS) * max(0.0, 1 - seconds / (3600 * args.hours))
        optimizer.step(rate)
        step += 1
        with torch.no_grad():
            for p in optimizer.parts[0].param_groups[0]["params"]:
                p.mul_(1 - rate * args.decay)
            share = 1 - 0.5 ** (1 / (EMA_SHARE * step + 1))
            for a, b in zip(ema.parameters(), policy.parameters()):
                a.lerp_(b, share)
        recent.append([part.mean().item() for part in losses])
        seconds = first_seconds + time.time() - started
        if seconds >= next_report:
            next_report += 60
            f, epsilon = torch.tensor(recent).mean(0).tolist()
            held = held_out_loss(ema, held_out)
            row = dict(step=step, seconds=round(seconds), loss=round(f, 5), epsilon=round(epsilon, 5), heldOut=round(held[0], 5), heldOutEpsilon=round(held[1], 5))
            recent = []
            print(json.dumps(row), flush=True)
            log.write(json.dumps(row) + "\n")
            log.flush()
        if seconds >= next_save:
            next_save += 60 * args.save_every
            save()
    save()
    print(json.dumps(dict(step=step, seconds=round(seconds), heldOut=held_out_loss(ema, held_out))), flush=True)


def export(args):
    policy, saved = open_run(args.run)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    actions, observation = torch.randn(2, 16, 2), 100 + 300 * torch.rand(2, 40)
    timestep = torch.tensor([90.0, 10.0])
    names = ["sample", "timestep", "observation"]
    temporary = out.with_suffix(".tmp")
    torch.onnx.export(
        policy,
        (actions, timestep, observation),
        str(temporary),
        input_names=names,
        output_names=["out_sample"],
        dynamic_axes={name: {0: "batch"} for name in [*names, "out_sample"]},
        opset_version=17,
        dynamo=False,
    )
    os.replace(temporary, out)
    parameters = sum(p.numel() for p in policy.parameters())
    print(f"{out}: {parameters:,} parameters, {out.stat().st_size / 1e6:.1f} MB, step {saved['step']}, {saved['seconds']:.0f} s of training")
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {"sample": actions.numpy(), "timestep": timestep.numpy(), "observation": observation.numpy()})
    print(f"largest difference to PyTorch: {abs(actual - policy(actions, timestep, observation).numpy()).max():.2e}")


if __name__ == "__main__":
    arguments = parse()
    {"train": train, "export": export}[arguments.command](arguments)
