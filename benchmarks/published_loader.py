"""The baseline of the loader benchmark: a map-style PNG dataset with SAMUS's published transforms.

One item is one mask, and every item reads its image again, as the published training does. The
transforms are those of the published recipe, each the Pillow call that torchvision makes for it:
gamma of 1 to 2.4, rotation by up to 30 degrees, zoom by up to 1.3 with a random crop, contrast of
0.8 to 2, each with probability one half; then the resize to the model's input and one click.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import Dataset

from shards import Corpus, encode_png

INPUT_PIXELS = 256
_INPUT_SIZE = (INPUT_PIXELS, INPUT_PIXELS)
_BILINEAR, _NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


def write_png_folder(corpus: Corpus, folder: Path) -> list[tuple[Path, Path]]:
    """Write a corpus as PNG files and return, for every object, its image's and its mask's path."""
    pairs = []
    for index in range(corpus.num_samples):
        sample = corpus.read_flat(index)
        image_path = folder / f"{sample.key}.png"
        image_path.write_bytes(encode_png(sample.image).content)
        for place, target in enumerate(sample.objects):
            mask_path = folder / f"{sample.key}.{place}.png"
            mask_path.write_bytes(encode_png(target.mask().astype(np.uint8) * 255).content)
            pairs.append((image_path, mask_path))
    return pairs


class PublishedDataset(Dataset[dict[str, torch.Tensor]]):
    """One (image, mask, click) a mask, read from PNG files and transformed with Pillow."""

    def __init__(self, pairs: list[tuple[Path, Path]], *, seed: int) -> None:
        self._pairs = pairs
        self._generator = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        image_path, mask_path = self._pairs[index]
        image = Image.open(image_path).convert("L")
        mask = Image.open(mask_path).convert("L")
        image, mask = self._change(image, mask)
        pixels = np.asarray(image.resize(_INPUT_SIZE, _BILINEAR), dtype=np.float32)
        inside = np.asarray(mask.resize(_INPUT_SIZE, _NEAREST)) > 0
        return {
            "image": torch.from_numpy(pixels)[None] / 255.0,
            "mask": torch.from_numpy(inside),
            "point": torch.from_numpy(self._click(inside)),
        }

    def _change(self, image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
        chance = self._generator
        if chance.random() < 0.5:
            exponent = 1.0 / chance.uniform(1.0, 2.4)
            bright = np.power(np.asarray(image) / 255.0, exponent) * 255.0
            image = Image.fromarray(bright.astype(np.uint8))
        if chance.random() < 0.5:
            degrees = chance.uniform(-30.0, 30.0)
            image, mask = image.rotate(degrees), mask.rotate(degrees)
        if chance.random() < 0.5:
            image, mask = self._zoom(image, mask)
        if chance.random() < 0.5:
            image = ImageEnhance.Contrast(image).enhance(chance.uniform(0.8, 2.0))
        return image, mask

    def _zoom(self, image: Image.Image, mask: Image.Image) -> tuple[Image.Image, Image.Image]:
        scale = self._generator.uniform(1.0, 1.3)
        rows, columns = image.height, image.width
        size = (int(columns * scale), int(rows * scale))
        left = int(self._generator.integers(0, size[0] - columns + 1))
        top = int(self._generator.integers(0, size[1] - rows + 1))
        window = (left, top, left + columns, top + rows)
        return image.resize(size, _BILINEAR).crop(window), mask.resize(size, _NEAREST).crop(window)

    def _click(self, inside: np.ndarray) -> np.ndarray:
        places = np.argwhere(inside)
        if len(places) == 0:
            return np.zeros(2)
        return places[self._generator.integers(len(places))][::-1].astype(np.float64)
