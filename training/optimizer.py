"""Muon for weight matrices and convolution kernels, Adam for everything else.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by its nearest semi-orthogonal matrix, found by
Newton-Schulz iterations; the update is scaled to the root mean square of an Adam update (Liu et al. 2025),
so that both parts share one learning rate.
"""

import torch


def orthogonalise(matrix, steps=5):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    transposed = x.shape[0] > x.shape[1]
    if transposed:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if transposed else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    def __init__(self, parameters, lr, momentum=0.95):
        super().__init__(parameters, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                direction = p.grad.lerp(buffer, group["momentum"]).reshape(p.shape[0], -1)
                update = orthogonalise(direction).view(p.shape)
                p.add_(update, alpha=-group["lr"] * 0.2 * max(direction.shape) ** 0.5)


class Both:
    """The two optimizers behind one interface."""

    def __init__(self, model, lr):
        hidden = [p for name, p in model.named_parameters() if p.requires_grad and is_hidden(name, p)]
        chosen = {id(p) for p in hidden}
        other = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
        self.parts = [Muon(hidden, lr), torch.optim.Adam(other, lr, betas=(0.9, 0.99))]

    def step(self, lr):
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
            part.zero_grad()

    def state_dict(self):
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states):
        for part, state in zip(self.parts, states):
            part.load_state_dict(state)


def is_hidden(name, p):
    return p.ndim >= 2 and not name.startswith(("stem", "head", "classes", "embed"))
