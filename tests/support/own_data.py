"""Small folders of own data, made on the spot."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (24, 32)


def noise(seed: int, *, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a grey picture (row column); no two seeds give the same."""
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def square(left: int = 4, *, value: int = 255, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a mask picture with a square of 6 x 6 pixels."""
    mask = np.zeros(size, dtype=np.uint8)
    mask[5:11, left : left + 6] = value
    return mask


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """Write a picture; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def save_pairs(root: Path, *names: str, mask_value: int = 255) -> None:
    """Write `images/NAME.png` and `masks/NAME.png`, with one square each."""
    for number, name in enumerate(names):
        save(root / f"images/{name}.png", noise(number))
        save(root / f"masks/{name}.png", square(value=mask_value))
