"""Writes the averaged weights of a training run as ONNX: dynamic batch, one time per row, diffusers' input names.

    python3 training/export.py --run runs/target --out models/cifar10/unet/model.onnx

`timestep` is 1000 t, as flow-matching networks of diffusers expect it; the output is the velocity xi - x0.
"""

import argparse
from pathlib import Path

import torch

from network import SIZES, UNet


class Exported(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, sample, timestep, class_labels):
        return self.network(sample, timestep / 1000, class_labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    saved = torch.load(Path(args.run) / "checkpoint.pt", weights_only=True, map_location="cpu")
    network = UNet(**SIZES[saved["size"]])
    network.load_state_dict(saved["ema"])
    model = Exported(network.eval().requires_grad_(False))
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    sample = torch.randn(2, 3, 32, 32)
    timestep = torch.tensor([900.0, 100.0])
    labels = torch.tensor([3, 7])
    names = ["sample", "timestep", "class_labels"]
    torch.onnx.export(
        model,
        (sample, timestep, labels),
        str(out),
        input_names=names,
        output_names=["out_sample"],
        dynamic_axes={name: {0: "batch"} for name in [*names, "out_sample"]},
        opset_version=17,
        dynamo=False,
    )
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{out}: {parameters:,} parameters, {out.stat().st_size / 1e6:.1f} MB, step {saved['step']}, {saved['seconds']:.0f} s of training")
    try:
        import numpy as np
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(sample, timestep, labels).numpy()
    (actual,) = session.run(None, {"sample": sample.numpy(), "timestep": timestep.numpy(), "class_labels": labels.numpy()})
    print(f"largest difference to PyTorch: {np.abs(actual - expected).max():.2e}")


if __name__ == "__main__":
    main()
