"""Networks of the PushT policy: epsilon(noisy actions, step, observation), with everything a caller must not care about inside.

Actions are predicted relative to the pusher: x - a pusher has a spread known from the data at every place of the horizon, so
that the network proper, F, gets inputs and regression targets of unit variance at every step of the noise schedule (as in
Karras et al. 2022). The observation's keypoints are turned back into the block's pose, and from it into features; noisy actions
enter, and predictions leave, both in the frame of the world and in that of the block, where pushing is the same at every angle.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from pusht_data import ACTION_MAX, ACTION_MIN, GOAL, HORIZON, KEYPOINTS

STEPS = 100
# Root mean square of (action - pusher) in normalised units, by place in the horizon.
SPREAD = (0.051, 0.084, 0.115, 0.144, 0.171, 0.197, 0.22, 0.241, 0.26, 0.278, 0.294, 0.308, 0.321, 0.333, 0.344, 0.353)


def signal(timestep):
    """Signal and noise factors (a, s) of squaredcos_cap_v2 after `timestep` + 1 of 100 steps, (N, 1, 1)."""
    level = lambda u: torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    least = 0.001 * math.cos((1 - 1 / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 / start  # the last beta is capped at 0.999
    power = (level((timestep + 1) / STEPS) / start).clamp(least, 1).view(-1, 1, 1)
    return power.sqrt(), (1 - power).sqrt()


class Features(nn.Module):
    """What the observation (N, 40) says, as numbers of order one: (features, pusher normalised (N, 1, 2), block axes (N, 2, 2))."""

    def __init__(self):
        super().__init__()
        u, v = torch.tensor(KEYPOINTS).unbind(1)
        one, zero = torch.ones_like(u), torch.zeros_like(u)
        # keypoints = design @ (x, y, cos, sin): its pseudo-inverse reads the pose off exactly
        x, y = torch.stack([one, zero, u, -v], dim=1), torch.stack([zero, one, v, u], dim=1)
        design = torch.stack([x, y], dim=1).flatten(0, 1)
        self.constant("to_pose", torch.linalg.pinv(design).T)
        low, high = torch.tensor(ACTION_MIN), torch.tensor(ACTION_MAX)
        self.constant("gain", 2 / (high - low))
        self.constant("offset", -2 * low / (high - low) - 1)
        gx, gy, angle = GOAL
        self.constant("corners", torch.tensor([[-60, 0], [60, 0], [0, 120], [0, 45]]))
        c, s = math.cos(angle), math.sin(angle)
        self.constant("goal_axes", torch.tensor([[c, s], [-s, c]]))
        self.constant("goal_corners", self.corners @ self.goal_axes + torch.tensor([gx, gy]))

    def constant(self, name, value):
        self.register_buffer(name, value.float(), persistent=False)

    def forward(self, observation):
        rows = observation.view(-1, 2, 20)
        pose = rows[:, :, :18] @ self.to_pose
        pusher, centre, direction = rows[:, :, 18:], pose[:, :, :2], pose[:, :, 2:]
        c, s = direction[:, 1, 0:1], direction[:, 1, 1:2]
        axes = torch.stack([torch.cat([c, s], dim=1), torch.cat([-s, c], dim=1)], dim=1)  # rows: the block's u and v in the world
        points = self.corners @ axes + centre[:, 1:2]
        error = points - self.goal_corners
        middle = points[:, 3:]
        local = (pusher - middle) @ axes.transpose(1, 2) / 64  # both pushers in the present frame of the block
        turn = self.goal_axes @ axes.transpose(1, 2)  # of the block from its target: cosine and sine
        waves = math.pi * local[:, 1:]
        parts = [
            pusher[:, 1:] / 128 - 2, (pusher[:, 1:] - pusher[:, :1]) / 16, (pusher[:, 1:] - middle) / 128,
            middle / 128 - 2, (centre[:, 1:] - centre[:, :1]) / 8, direction[:, 1:], (direction[:, 1:] - direction[:, :1]) * 16,
            local[:, 1:], (local[:, 1:] - local[:, :1]) * 4, torch.sin(waves), torch.cos(waves), torch.sin(2 * waves), torch.cos(2 * waves),
            error / 64, torch.tanh(error / 16), error[:, 3:] @ axes.transpose(1, 2) / 64, turn, torch.tanh(4 * turn[:, :1]),
        ]  # fmt: skip
        features = torch.cat([part.flatten(1) for part in parts], dim=1)
        return features, pusher[:, 1:] * self.gain + self.offset, axes


FEATURES = 50


class Policy(nn.Module):
    """epsilon(sample (N, 16, 2), timestep (N,), observation (N, 40) px) around a network F(world, local, features, time)."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.features = Features()
        self.register_buffer("spread", torch.tensor(SPREAD).view(1, HORIZON, 1), persistent=False)
        self.register_buffer("frequencies", torch.exp(torch.linspace(math.log(0.5), math.log(60.0), 32)), persistent=False)

    def scales(self, timestep):
        a, s = signal(timestep)
        return a, s, (a * self.spread).square() + s.square()

    def residual(self, sample, timestep, observation):
        """F and what it is measured against: epsilon = s x / v + a spread / sqrt(v) F, with x relative to the pusher."""
        features, pusher, axes = self.features(observation)
        a, s, variance = self.scales(timestep)
        x = sample - a * pusher
        scaled = x / variance.sqrt()
        angles = (timestep / STEPS)[:, None] * self.frequencies
        time = torch.cat([angles.cos(), angles.sin()], dim=1)
        world, local = self.body(scaled, scaled @ axes.transpose(1, 2), features, time)
        return x, world + local @ axes

    def forward(self, sample, timestep, observation):
        a, s, variance = self.scales(timestep)
        x, f = self.residual(sample, timestep, observation)
        return s * x / variance + a * self.spread / variance.sqrt() * f

    def loss(self, sample, timestep, observation, epsilon):
        """Squared error of F against its unit-variance target, and of epsilon: (N,), (N,)."""
        a, s, variance = self.scales(timestep)
        x, f = self.residual(sample, timestep, observation)
        weight = a * self.spread / variance.sqrt()
        error = (f - (epsilon - s * x / variance) / weight).square()
        return error.mean(dim=(1, 2)), (error * weight.square()).mean(dim=(1, 2))


class Block(nn.Module):
    def __init__(self, width, hidden, condition, dropout):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.affine = nn.Linear(condition, 2 * width)
        self.enter = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(hidden, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x, condition):
        scale, shift = self.affine(condition).chunk(2, dim=1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.leave(self.dropout(F.silu(self.enter(h))))


class Mlp(nn.Module):
    """Residual MLP over the flattened actions; time and observation scale and shift every block."""

    def __init__(self, width, hidden, blocks, condition, dropout=0.0):
        super().__init__()
        self.stem = nn.Linear(4 * HORIZON + FEATURES, width)
        self.embed_features = nn.Linear(FEATURES, condition)
        self.embed_time = nn.Linear(64, condition)
        self.mix = nn.Linear(condition, condition)
        self.blocks = nn.ModuleList(Block(width, hidden, condition, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 4 * HORIZON)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, world, local, features, time):
        with torch.autocast("cpu", enabled=False):  # positions to a pixel need more than bfloat16
            x = self.stem(torch.cat([world.flatten(1), local.flatten(1), features], dim=1))
            condition = F.silu(self.embed_features(features) + self.embed_time(time))
        condition = F.silu(self.mix(condition))
        for block in self.blocks:
            x = block(x, condition)
        out = self.head(self.norm(x)).float()
        return out[:, : 2 * HORIZON].view(-1, HORIZON, 2), out[:, 2 * HORIZON :].view(-1, HORIZON, 2)


class Conv(nn.Module):
    """Two convolutions along the horizon, the first scaled and shifted by the condition."""

    def __init__(self, inputs, outputs, condition, dropout):
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 5, padding=2)
        self.norm1 = nn.GroupNorm(8, outputs)
        self.affine = nn.Linear(condition, 2 * outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv1d(outputs, outputs, 5, padding=2)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x, condition):
        scale, shift = self.affine(condition)[:, :, None].chunk(2, dim=1)
        h = F.silu(self.norm1(self.conv1(x))) * (1 + scale) + shift
        return self.skip(x) + F.silu(self.norm2(self.conv2(self.dropout(h))))


class UNet(nn.Module):
    """The conditional 1-D U-Net of Diffusion Policy (Chi et al. 2023), narrower and with SiLU for Mish: three levels, kernel 5, FiLM."""

    def __init__(self, widths, condition, dropout=0.0):
        super().__init__()
        self.embed_features = nn.Linear(FEATURES, condition)
        self.embed_time = nn.Linear(64, condition)
        self.mix = nn.Linear(condition, condition)
        conv = lambda inputs, outputs: Conv(inputs, outputs, condition, dropout)
        low, middle, high = widths
        self.stem = nn.Conv1d(4, low, 5, padding=2)
        self.down = nn.ModuleList([conv(low, low), conv(low, low), conv(low, middle), conv(middle, middle), conv(middle, high), conv(high, high)])
        self.middle = nn.ModuleList([conv(high, high)])
        self.up = nn.ModuleList([conv(high + high, middle), conv(middle, middle), conv(middle + middle, low), conv(low, low)])
        self.shrink = nn.ModuleList([nn.Conv1d(low, low, 3, stride=2, padding=1), nn.Conv1d(middle, middle, 3, stride=2, padding=1)])
        self.grow = nn.ModuleList([nn.ConvTranspose1d(middle, middle, 4, stride=2, padding=1), nn.ConvTranspose1d(low, low, 4, stride=2, padding=1)])
        self.last = nn.Conv1d(low, low, 5, padding=2)
        self.norm = nn.GroupNorm(8, low)
        self.head = nn.Conv1d(low, 4, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, world, local, features, time):
        with torch.autocast("cpu", enabled=False):
            condition = F.silu(self.embed_features(features) + self.embed_time(time))
            x = self.stem(torch.cat([world, local], dim=2).transpose(1, 2))
        condition = F.silu(self.mix(condition))
        skips = []
        for level in range(3):
            x = self.down[2 * level](x, condition)
            x = self.down[2 * level + 1](x, condition)
            skips.append(x)
            if level < 2:
                x = self.shrink[level](x)
        for block in self.middle:
            x = block(x, condition)
        for level in range(2):
            x = self.up[2 * level](torch.cat([x, skips.pop()], dim=1), condition)
            x = self.grow[level](self.up[2 * level + 1](x, condition))
        out = self.head(F.silu(self.norm(self.last(x)))).float().transpose(1, 2)
        return out[:, :, :2], out[:, :, 2:]


SIZES = {
    "mlp": lambda dropout=0.1: Mlp(width=256, hidden=1024, blocks=7, condition=256, dropout=dropout),
    "unet": lambda dropout=0.1: UNet(widths=(64, 128, 256), condition=128, dropout=dropout),
    "draft": lambda dropout=0.0: Mlp(width=128, hidden=384, blocks=3, condition=96, dropout=dropout),
}
