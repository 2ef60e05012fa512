"""NumPy's side of gmm-throughput.mjs: the same chains, vectorised over trajectories. Reads one JSON object a line, answers one.

Request: {"speculate": bool, "seed": int, "count": int, "window": int, "chain": {...}, "mixture": {...}}
Answer: {"seconds": float, "mean": [...], "calls": float}  (calls per trajectory)
"""

import json
import sys
import time

import numpy as np


def denoiser(chain, mixture):
    alpha, noise = np.array(chain["alpha"]), np.array(chain["noise"])
    weights, sds = np.array(mixture["weights"]), np.array(mixture["sds"])
    means = np.array(mixture["means"]).reshape(len(weights), -1)
    dim = means.shape[1]

    def evaluate(x, k):
        """E[x0 | x] for rows x at steps k."""
        a, n = alpha[k][:, None], noise[k][:, None]
        variance = (a * sds) ** 2 + n**2
        difference = x[:, None, :] - a[:, :, None] * means
        logs = np.log(weights) - dim / 2 * np.log(variance) - (difference**2).sum(2) / (2 * variance)
        share = np.exp(logs - logs.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        gain = a * sds**2 / variance
        return (share[:, :, None] * (means + gain[:, :, None] * difference)).sum(1)

    return evaluate, dim


def plain(chain, evaluate, x, random):
    a, b, sigma = chain["a"], chain["b"], chain["sigma"]
    for k in range(len(sigma)):
        f = evaluate(x, np.full(len(x), k))
        x = a[k] * x + b[k] * f + sigma[k] * random.standard_normal(x.shape)
    return x, len(sigma)


def speculate(chain, evaluate, x, random, window):
    """Algorithm 3: frozen x0, reflection, no carry: a call for the anchors, one for the windows."""
    a, b, sigma = (np.array(chain[name]) for name in ("a", "b", "sigma"))
    steps = len(sigma)
    at = np.zeros(len(x), int)
    calls = np.zeros(len(x))
    while True:
        active = np.flatnonzero(at < steps)
        if len(active) == 0:
            return x, calls.mean()
        start, count = at[active], len(active)
        anchor = evaluate(x[active], start)
        states = np.empty((window + 1, *x[active].shape))
        states[0] = x[active]
        draft = np.empty_like(states[:-1])
        level_step = np.minimum(start + np.arange(window)[:, None], steps - 1)
        for level in range(window):
            k = level_step[level]
            draft[level] = a[k, None] * states[level] + b[k, None] * anchor
            states[level + 1] = draft[level] + sigma[k, None] * random.standard_normal(draft[level].shape)
        rows = states[1:-1].reshape(-1, x.shape[1])
        outputs = np.concatenate([anchor[None], evaluate(rows, level_step[1:].ravel()).reshape(window - 1, count, -1)])
        calls[active] += 2
        target = a[level_step][..., None] * states[:-1] + b[level_step][..., None] * outputs
        difference = (target - draft) / sigma[level_step][..., None]
        delta = np.sqrt((difference**2).sum(2))
        scaled = (states[1:] - draft) / sigma[level_step][..., None]
        along = (scaled * difference).sum(2) / np.maximum(delta, 1e-300)
        keep = np.log1p(-random.random(delta.shape)) <= delta * (along - delta / 2)
        inside = start + np.arange(window)[:, None] < steps
        kept = np.cumprod(keep & inside, 0).sum(0)
        ends = np.minimum(window, steps - start)
        rejected = kept < ends
        own = np.arange(count)
        level = np.minimum(kept, window - 1)
        shift = ((delta - 2 * along) / np.maximum(delta, 1e-300))[level, own]
        corrected = states[level + 1, own] + shift[:, None] * (target - draft)[level, own]
        x[active] = np.where(rejected[:, None], corrected, states[kept, own])
        at[active] = start + kept + rejected


for line in sys.stdin:
    request = json.loads(line)
    chain = request["chain"]
    evaluate, dim = denoiser(chain, request["mixture"])
    random = np.random.default_rng(request["seed"])
    started = time.perf_counter()
    x = random.standard_normal((request["count"], dim))
    if request["speculate"]:
        x, calls = speculate(chain, evaluate, x, random, request["window"])
    else:
        x, calls = plain(chain, evaluate, x, random)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "mean": x.mean(0).tolist(), "calls": calls, "numpy": np.__version__}), flush=True)
