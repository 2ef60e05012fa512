"""CIFAR-10 from the JPEG archive described in its README (`train.jpegs.bin`, `train.index.npy`, `train.labels.npy`)."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def load(folder, split):
    """(N, 3, 32, 32) uint8 images and (N,) int64 labels."""
    folder = Path(folder)
    data = (folder / f"{split}.jpegs.bin").read_bytes()
    index = np.load(folder / f"{split}.index.npy")
    labels = np.load(folder / f"{split}.labels.npy").astype(np.int64)
    images = np.empty((len(labels), 32, 32, 3), np.uint8)
    for i in range(len(labels)):
        images[i] = np.asarray(Image.open(io.BytesIO(data[index[i] : index[i + 1]])).convert("RGB"))
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels
