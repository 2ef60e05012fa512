"""Exports the denoising network of a diffusers pipeline as ONNX, so that specdiff can run it.

    pip install torch diffusers transformers onnx onnxruntime
    python3 export_diffusers.py google/ddpm-cifar10-32 my-model
    npx specdiff inspect my-model

What matters, and what other exporters often leave out: one time for every row (`timestep` of shape [batch], not a scalar)
and a dynamic batch axis. Written are unet/ or transformer/ (model.onnx, config.json), scheduler/scheduler_config.json,
model_index.json, vae_decoder/ where the pipeline has latents, and text_encoder/ and tokenizer/ where it has one text encoder
of CLIP's kind. Embeddings of any other go in as arrays: save them with numpy.save and pass --condition NAME=FILE.npy.
"""

import argparse
import inspect
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizerFast


class Denoiser(torch.nn.Module):
    """(sample, timestep, further inputs by position) -> output of the same shape."""

    def __init__(self, network, extras, channels):
        super().__init__()
        self.network, self.extras, self.channels = network, extras, channels
        self.state = next(iter(inspect.signature(network.forward).parameters))  # sample or hidden_states

    def forward(self, sample, timestep, *values):
        inputs = {self.state: sample, "timestep": timestep, **dict(zip(self.extras, values))}
        output = self.network(**inputs, return_dict=False)[0]
        # A network that also learned a variance puts it in as many further channels; the mean stands by itself.
        return output[:, : self.channels]


class Decoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latent_sample):
        return self.vae.decode(latent_sample, return_dict=False)[0]


class TextEncoder(torch.nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids):
        return self.encoder(input_ids)[0]


def export(model, inputs, output, path, open_axes=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "batch"} for name in [*inputs, output]}
    for name, axis, label in open_axes:
        axes[name][axis] = label
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=[output],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    if sum(f.stat().st_size for f in path.parent.iterdir()) > 1.5e9:  # a file of protobuf holds 2 GB at most
        whole = onnx.load(path)
        for file in path.parent.iterdir():
            file.unlink()
        onnx.save(whole, path, save_as_external_data=True, location="model.onnx_data")


def compare(model, inputs, path):
    """Largest difference between the file, all rows at once, and PyTorch, row by row; exits if it is not rounding."""
    with torch.no_grad():
        rows = [model(*(value[i : i + 1] for value in inputs.values())) for i in range(len(next(iter(inputs.values()))))]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (together,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    expected = torch.cat(rows).numpy()
    difference = float(np.abs(together - expected).max())
    if not difference < 1e-3 * max(1, np.abs(expected).max()):
        raise SystemExit(f"{path} differs from PyTorch by {difference:.1e}: rows affect each other, or the export is wrong")
    return difference


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", help="a folder or the name of a repository on the Hugging Face Hub")
    parser.add_argument("out", type=Path)
    parser.add_argument("--half", action="store_true", help="float16 weights and states, half the size")
    args = parser.parse_args(arguments)
    torch.manual_seed(0)

    pipeline = DiffusionPipeline.from_pretrained(args.pipeline)
    part = "unet" if getattr(pipeline, "unet", None) is not None else "transformer"
    network = getattr(pipeline, part).eval().requires_grad_(False)
    config = network.config
    channels = config.in_channels
    size = config.sample_size if isinstance(config.sample_size, (list, tuple)) else [config.sample_size] * 2

    rows = 3
    inputs = {"sample": torch.randn(rows, channels, *size), "timestep": torch.tensor([900.0, 500.0, 100.0])}
    open_axes = []
    classes = config.get("num_class_embeds") or config.get("num_embeds_ada_norm")
    if classes:
        inputs["class_labels"] = torch.arange(rows) % classes
    if part == "unet" and config.get("cross_attention_dim"):
        inputs["encoder_hidden_states"] = torch.randn(rows, 77, config.cross_attention_dim)
        open_axes.append(("encoder_hidden_states", 1, "sequence"))
    model = Denoiser(network, [name for name in inputs if name not in ("sample", "timestep")], channels).eval()
    path = args.out / part / "model.onnx"
    export(model, inputs, "out_sample", path, open_axes)
    difference = compare(model, inputs, path)
    print(f"{path}: {sum(p.numel() for p in network.parameters()):,} parameters, differs from PyTorch by {difference:.1e}")
    if config.get("out_channels") == 2 * channels:
        print("The network also returns a learned variance; the file has the mean alone. Use a fixed variance_type.")
    if args.half:
        half = {name: value.half() if value.is_floating_point() else value for name, value in inputs.items()}
        network.half()
        export(model, half, "out_sample", path, open_axes)

    network.save_config(args.out / part)
    pipeline.scheduler.save_pretrained(args.out / "scheduler")
    if config.get("out_channels") == 2 * channels:
        # the channels of the variance are gone, so the scheduler must not look for them
        file = args.out / "scheduler" / "scheduler_config.json"
        scheduler = json.loads(file.read_text())
        if str(scheduler.get("variance_type", "")).startswith("learned"):
            file.write_text(json.dumps({**scheduler, "variance_type": "fixed_small"}, indent=2) + "\n")
    index = DiffusionPipeline.load_config(args.pipeline)
    (args.out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")

    if getattr(pipeline, "vae", None) is not None:
        vae = pipeline.vae.eval().requires_grad_(False)
        latents = {"latent_sample": torch.randn(rows, channels, *size)}
        path = args.out / "vae_decoder" / "model.onnx"
        decoder = Decoder(vae).eval()
        export(decoder, latents, "sample", path, [("latent_sample", 2, "height"), ("latent_sample", 3, "width"), ("sample", 2, "rows"), ("sample", 3, "columns")])
        vae.save_config(args.out / "vae_decoder")
        print(f"{path}: differs from PyTorch by {compare(decoder, latents, path):.1e}")

    encoder = getattr(pipeline, "text_encoder", None)
    if "CLIP" in type(encoder).__name__ and getattr(pipeline, "text_encoder_2", None) is None:
        encoder = encoder.eval().requires_grad_(False)
        length = pipeline.tokenizer.model_max_length
        tokens = {"input_ids": torch.randint(encoder.config.vocab_size, (rows, length))}
        path = args.out / "text_encoder" / "model.onnx"
        text_encoder = TextEncoder(encoder).eval()
        export(text_encoder, tokens, "last_hidden_state", path)
        encoder.config.save_pretrained(path.parent)
        # as a fast tokenizer, which is one file: tokenizer.json
        CLIPTokenizerFast.from_pretrained(args.pipeline, subfolder="tokenizer").save_pretrained(args.out / "tokenizer")
        print(f"{path}: differs from PyTorch by {compare(text_encoder, tokens, path):.1e}")


if __name__ == "__main__":
    main()
