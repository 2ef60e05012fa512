"""The PushT demonstrations as training windows: pose and action arrays, normalisation, mirror image."""

import math
from pathlib import Path

import numpy as np
import torch

HORIZON, OBSERVATIONS, EXECUTED = 16, 2, 8
ACTION_MIN, ACTION_MAX = (12.0, 25.0), (511.0, 511.0)  # of all demonstrations: normalised actions are in [-1, 1]
# Points fixed on the block, local (u, v) in px, in the order of the data set's observations.
KEYPOINTS = np.array(
    [
        [9.26979, 90.04097], [-60.98347, -1.18673], [60.91276, -1.39336], [-0.27050, 25.54363], [-14.06493, 122.81585],
        [39.00274, 32.85740], [-39.96641, 32.72966], [-16.82434, 62.86318], [23.54146, -1.70029],
    ]
)  # fmt: skip
GOAL = (256.0, 256.0, math.pi / 4)


def load(folder):
    """States (rows, 5), actions (rows, 2) in px and exclusive episode ends."""
    folder = Path(folder)
    return (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("state", "action", "episode_ends"))


def windows(ends, episodes):
    """Row numbers (windows, 16): every 16 steps of an episode, its edges repeated by 1 row before and 7 after."""
    found = []
    for e in episodes:
        first, end = (0 if e == 0 else int(ends[e - 1])), int(ends[e])
        starts = torch.arange(first - (OBSERVATIONS - 1), end - HORIZON + EXECUTED)
        found.append((starts[:, None] + torch.arange(HORIZON)).clamp(first, end - 1))
    return torch.cat(found)


def observe(state):
    """The 20 numbers of each state (.., 5): 9 keypoints of the block, then the pusher, px."""
    u, v = torch.from_numpy(KEYPOINTS).to(state.dtype).unbind(1)
    x, y, angle = (state[..., i : i + 1] for i in (2, 3, 4))
    c, s = angle.cos(), angle.sin()
    points = torch.stack([x + u * c - v * s, y + u * s + v * c], dim=-1).flatten(-2)
    return torch.cat([points, state[..., :2]], dim=-1)


def mirror(state, action):
    """The task's one symmetry, (x, y) -> (512 - y, 512 - x): it maps block, target and physics to themselves (the walls to a pixel)."""
    swapped = [512 - state[..., i] for i in (1, 0, 3, 2)]
    return torch.stack([*swapped, math.pi / 2 - state[..., 4]], dim=-1), 512 - action.flip(-1)


def normalise(action):
    low, high = torch.tensor(ACTION_MIN), torch.tensor(ACTION_MAX)
    return 2 * (action - low) / (high - low) - 1
