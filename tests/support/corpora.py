"""Small corpora and raw datasets, made on the spot."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shards import (
    BuildConfig,
    Manifest,
    Origin,
    PhantomConfig,
    SourceDescription,
    UltrasoundObject,
    UltrasoundSample,
    build_corpora,
    hash_pixels,
    make_key,
    write_corpus,
)


def build_phantom(
    output: Path, *, num_subjects: int = 3, frames_per_subject: int = 2, seed: int = 0
) -> Path:
    """Build phantom corpora at `output`/{train,validation,test} and return `output`."""
    phantom = PhantomConfig(
        num_subjects=num_subjects,
        frames_per_subject=frames_per_subject,
        min_size_pixels=64,
        max_size_pixels=80,
        seed=seed,
    )
    build_corpora(BuildConfig(source="phantom", output=str(output), phantom=phantom))
    return output


def describe_source(name: str = "toy", *, licence: str = "CC0-1.0") -> SourceDescription:
    """Return a made-up source that annotates squares."""
    return SourceDescription(
        name=name,
        version="1",
        licence=licence,
        citation="",
        home_page="",
        categories=("square",),
    )


def make_sample(
    number: int, *, source: str = "toy", licence: str = "CC0-1.0", rows: int = 24, columns: int = 32
) -> UltrasoundSample:
    """Return a noisy picture with one square; every number gives another one."""
    generator = np.random.default_rng(number)
    image = generator.integers(0, 256, (rows, columns), dtype=np.uint8)
    mask = np.zeros((rows, columns), dtype=bool)
    top, left = generator.integers(0, rows - 8), generator.integers(0, columns - 8)
    mask[top : top + 8, left : left + 8] = True
    return UltrasoundSample(
        key=make_key(source, name=f"image-{number:05d}"),
        image=image,
        objects=(UltrasoundObject.from_mask(mask, category="square", organ="toy"),),
        origin=Origin(
            source=source,
            licence=licence,
            subject=f"subject-{number // 2}",
            subject_is_known=True,
            original_size=(rows, columns),
            pixels_sha256=hash_pixels(image),
        ),
    )


def write_toy_corpus(url: str, *, num_samples: int = 6, max_samples_per_shard: int = 4) -> Manifest:
    """Write a corpus of squares on noise."""
    return write_corpus(
        (make_sample(number) for number in range(num_samples)),
        url,
        split="train",
        sources=[describe_source()],
        max_samples_per_shard=max_samples_per_shard,
    )


class Us30kTree:
    """A raw dataset in the US30K layout, written file by file."""

    def __init__(self, root: Path, *, classes: dict[str, int]) -> None:
        self.root = root
        self.lists = root / "MainPatient"
        self.lists.mkdir(parents=True)
        (self.lists / "class.json").write_text(json.dumps(classes))
        for name in classes:
            (root / name / "img").mkdir(parents=True)
            (root / name / "label").mkdir()

    def add_image(
        self, dataset: str, name: str, *, labels: np.ndarray | None = None, pixels: object = None
    ) -> None:
        """Write an image and its mask; by default 20 x 30 pixels with class 1 in a square."""
        seed = zlib.crc32(f"{dataset}/{name}".encode())  # no two names give the same picture
        if pixels is None:
            pixels = np.random.default_rng(seed).integers(0, 256, (20, 30), dtype=np.uint8)
        if labels is None:
            labels = square_labels((1,))
        Image.fromarray(np.asarray(pixels)).save(self.root / dataset / "img" / f"{name}.png")
        Image.fromarray(labels).save(self.root / dataset / "label" / f"{name}.png")

    def write_list(self, name: str, lines: list[str]) -> None:
        """Write `MainPatient/NAME.txt`."""
        (self.lists / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def config(self, output: Path, **options: Any) -> BuildConfig:
        """Return the options that build this tree."""
        return BuildConfig(source="us30k", root=str(self.root), output=str(output), **options)


def square_labels(classes: tuple[int, ...], *, rows: int = 20, columns: int = 30) -> np.ndarray:
    """Return a mask (row column) with a square for every class, side by side."""
    labels = np.zeros((rows, columns), dtype=np.uint8)
    for place, class_index in enumerate(classes):
        labels[4:10, 2 + 8 * place : 8 + 8 * place] = class_index
    return labels


def make_us30k(root: Path) -> Us30kTree:
    """Write a whole small US30K: heads of known subjects, and echoes with three classes."""
    tree = Us30kTree(root, classes={"FetalHead-HC18": 2, "Echocardiography-CAMUS": 4})
    for name in ("001_HC", "001_2HC", "002_HC", "003_HC"):
        tree.add_image("FetalHead-HC18", name)
    tree.add_image("Echocardiography-CAMUS", "0055_2CH_000", labels=square_labels((1, 2, 3)))
    tree.add_image("Echocardiography-CAMUS", "0056_2CH_007", labels=square_labels((1, 3)))
    tree.write_list(
        "train",
        [
            "1/FetalHead-HC18/001_HC",
            "1/FetalHead-HC18/001_2HC",
            "1/Echocardiography-CAMUS/0055_2CH_000",
            "2/Echocardiography-CAMUS/0055_2CH_000",
        ],
    )
    tree.write_list("val", ["1/FetalHead-HC18/002_HC"])
    tree.write_list("test", ["FetalHead-HC18/003_HC", "Echocardiography-CAMUS/0056_2CH_007"])
    return tree
