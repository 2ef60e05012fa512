"""U-Net velocity network for the linear interpolant x_t = (1 - t) x0 + t xi, t in (0, 1).

The network is preconditioned as in Karras et al. 2022 (EDM), rewritten for the interpolant: with data of
standard deviation `DATA_STD`, v = skip(t) x + out(t) F(scale(t) x, t), so that F has inputs and regression
targets of unit variance at every t. Everything is inside the exported graph: callers see v(x, t) only.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

DATA_STD = 0.5
NULL_CLASS = 10  # label of "no class"


def precondition(t):
    """Coefficients (skip, out, scale) at times t, broadcastable to images."""
    t = t.view(-1, 1, 1, 1)
    variance = ((1 - t) * DATA_STD) ** 2 + t**2
    skip = (t - (1 - t) * DATA_STD**2) / variance
    return skip, DATA_STD / variance.sqrt(), 1 / variance.sqrt()


def groups(channels):
    return math.gcd(channels, 16)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding, attention_heads=0):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups(inputs), inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.affine = nn.Linear(embedding, 2 * outputs)
        self.norm2 = nn.GroupNorm(groups(outputs), outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.heads = attention_heads
        if attention_heads:
            self.norm3 = nn.GroupNorm(groups(outputs), outputs)
            self.qkv = nn.Conv2d(outputs, 3 * outputs, 1)
            self.proj = nn.Conv2d(outputs, outputs, 1)
            nn.init.zeros_(self.proj.weight)
            nn.init.zeros_(self.proj.bias)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, embedding):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        x = self.skip(x) + h
        if self.heads:
            n, c, height, width = x.shape
            q, k, v = self.qkv(self.norm3(x)).view(n, 3 * self.heads, c // self.heads, -1).chunk(3, dim=1)
            weight = torch.softmax(q.transpose(2, 3) @ k * (c // self.heads) ** -0.5, dim=-1)
            x = x + self.proj((v @ weight.transpose(2, 3)).reshape(n, c, height, width))
        return x


class UNet(nn.Module):
    """v(x, t, class): (N, 3, 32, 32), (N,), (N,) int64 -> (N, 3, 32, 32)."""

    def __init__(self, widths=(128, 256), blocks=2, embedding=512, attention_heads=4):
        super().__init__()
        self.settings = dict(widths=widths, blocks=blocks, embedding=embedding, attention_heads=attention_heads)
        inner = widths[0]
        self.frequencies = nn.Parameter(torch.exp(torch.linspace(math.log(0.5), math.log(200.0), 32)), requires_grad=False)
        self.embed = nn.Sequential(nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.classes = nn.Embedding(NULL_CLASS + 1, embedding)
        nn.init.normal_(self.classes.weight, std=0.3)
        self.stem = nn.Conv2d(12, inner, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, width = [inner], inner
        for level, w in enumerate(widths):
            heads = attention_heads if level else 0
            for _ in range(blocks):
                self.down.append(ResBlock(width, w, embedding, heads))
                width = w
                skips.append(width)
            if level + 1 < len(widths):
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.middle = ResBlock(width, width, embedding, attention_heads)
        for level, w in reversed(list(enumerate(widths))):
            heads = attention_heads if level else 0
            for _ in range(blocks + 1):
                self.up.append(ResBlock(width + skips.pop(), w, embedding, heads))
                width = w
            if level:
                self.up.append(nn.Conv2d(width, 4 * widths[level - 1], 1))  # to twice the size by pixel shuffle
                width = widths[level - 1]
        self.norm = nn.GroupNorm(groups(width), width)
        self.head = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def residual(self, x, t, labels):
        """F(x, t, class) for inputs already scaled to unit variance."""
        t = t.clamp(0.001, 0.999)  # the ends have no finite level; training stays inside
        noise_level = 0.25 * torch.log(t / (1 - t))
        angles = noise_level[:, None] * self.frequencies
        e = self.embed(torch.cat([angles.cos(), angles.sin()], dim=1)) + self.classes(labels)
        e = F.silu(e)
        h = self.stem(F.pixel_unshuffle(x, 2))
        skips = [h]
        for layer in self.down:
            h = layer(h, e) if isinstance(layer, ResBlock) else layer(h)
            skips.append(h)
        h = self.middle(h, e)
        for layer in self.up:
            if isinstance(layer, ResBlock):
                h = layer(torch.cat([h, skips.pop()], dim=1), e)
            else:
                h = F.pixel_shuffle(layer(h), 2)
        return F.pixel_shuffle(self.head(F.silu(self.norm(h))), 2)

    def forward(self, sample, timestep, class_labels):
        skip, out, scale = precondition(timestep)
        return skip * sample + out * self.residual(scale * sample, timestep, class_labels)


SIZES = {
    "target": dict(widths=(80, 160), blocks=2, embedding=256, attention_heads=4),
    "draft": dict(widths=(32, 48), blocks=1, embedding=128, attention_heads=4),
}
