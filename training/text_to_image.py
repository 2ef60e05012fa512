"""Makes the untrained text-to-image stand-in of the tests, test/fixtures/models/text-to-image: a latent diffusion pipeline of
the shape of Stable Diffusion (CLIP tokenizer and text model, UNet2DConditionModel, AutoencoderKL) with tiny widths and random
weights, exported by export_diffusers.py; and prompts.json, what Python makes of some prompts. Needs the packages of
export_diffusers.py; downloads nothing.

    python3 training/text_to_image.py
"""

import json
import shutil
import tempfile
from pathlib import Path

import onnx
import onnxruntime
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

import export_diffusers

OUT = Path(__file__).parent.parent / "test" / "fixtures" / "models" / "text-to-image"
LENGTH = 32  # tokens of a prompt, 77 in CLIP
WIDTH = 16

CORPUS = """a photograph of an astronaut riding a horse on the moon, a cat and a dog on the table, the cat in the hat, a painting
of a house in the style of van gogh, highly detailed, blurry, low quality, the dogs and the cats of the house"""

PROMPTS = [
    "",
    "a cat",
    "A Photograph  of an\tASTRONAUT, riding a horse!",
    "it's the dog's 42 hats; don't",
    "café au lait — naïve Ünïcode",
    "猫と犬 🐈🐕",
    "<|startoftext|> a cat <|endoftext|>",
    "the cat and the dog and the horse and the cat and the dog and the horse and the cat and the dog on the table in the house of the cat",
]


def tokenizer():
    """CLIP's, with the bytes and the merges of the corpus as vocabulary, in the order of CLIP's own."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    bpe.train_from_iterator([CORPUS], trainers.BpeTrainer(vocab_size=400, end_of_word_suffix="</w>", show_progress=False))
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def pipeline():
    torch.manual_seed(0)
    clip = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(clip), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=LENGTH, bos_token_id=clip.bos_token_id, eos_token_id=clip.eos_token_id, pad_token_id=clip.pad_token_id,
    )
    encoder = CLIPTextModel(text)
    for weights in encoder.parameters():
        torch.nn.init.normal_(weights, std=0.5)  # as first drawn, all prompts would be nearly the same
    return StableDiffusionPipeline(
        unet=UNet2DConditionModel(
            sample_size=8, in_channels=4, out_channels=4, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D",), up_block_types=("CrossAttnUpBlock2D",), mid_block_type=None,
            cross_attention_dim=WIDTH, attention_head_dim=4,
        ),
        vae=AutoencoderKL(block_out_channels=(4, 4), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, latent_channels=4),
        text_encoder=encoder,
        tokenizer=clip,
        scheduler=EulerAncestralDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def shrink(path):
    """Folds constants and shortens names, which are most of so small a file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    graph = model.graph
    names = {value.name: value.name for value in [*graph.input, *graph.output]} | {"": ""}
    short = lambda name: names.setdefault(name, f"v{len(names)}")
    for node in graph.node:
        node.name = ""
        node.input[:] = map(short, node.input)
        node.output[:] = map(short, node.output)
    for weights in graph.initializer:
        weights.name = short(weights.name)
    del graph.value_info[:], model.opset_import[1:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def prompts(folder):
    clip = CLIPTokenizerFast.from_pretrained(folder / "tokenizer")
    session = onnxruntime.InferenceSession(str(folder / "text_encoder" / "model.onnx"), providers=["CPUExecutionProvider"])
    for prompt in PROMPTS:
        ids = clip([prompt], padding="max_length", max_length=LENGTH, truncation=True, return_tensors="np").input_ids
        (embedding,) = session.run(["last_hidden_state"], {"input_ids": ids.astype("int64")})
        yield {"prompt": prompt, "ids": ids[0].tolist(), "embedding": [round(float(value), 6) for value in embedding.flatten()]}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        pipeline().save_pretrained(folder)
        export_diffusers.main([folder, str(OUT)])
    for path in OUT.glob("*/model.onnx"):
        shrink(path)
    for path in OUT.glob("*/config.json"):  # where the pipeline was for a moment
        config = {key: value for key, value in json.loads(path.read_text()).items() if key != "_name_or_path"}
        path.write_text(json.dumps(config, indent=2) + "\n")
    lines = ",\n".join(json.dumps(one) for one in prompts(OUT))
    (OUT / "prompts.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
