"""Options of building, looking at and checking corpora."""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from .own_data_config import (
    OWN_DATA_SECTIONS,
    CocoConfig,
    DicomConfig,
    FolderConfig,
    NiftiConfig,
)

MIN_TRAINING_PIXELS = 32
"""A longer side below this is no picture to learn from."""


@dataclass(kw_only=True)
class Us30kConfig:
    """The US30K layout: `DATASET/img`, `DATASET/label`, lists and `class.json`."""

    train_lists: list[str] = field(default_factory=lambda: ["train"])
    """Lists of `MainPatient/`, without `.txt`, whose lines make the training corpus."""

    validation_lists: list[str] = field(default_factory=lambda: ["val"])
    """Lists that make the validation corpus; empty for none."""

    test_lists: list[str] = field(default_factory=lambda: ["test"])
    """Lists that make the test corpus; empty for none."""

    @property
    def lists(self) -> dict[str, list[str]]:
        """Split -> its lists."""
        return {
            "train": self.train_lists,
            "validation": self.validation_lists,
            "test": self.test_lists,
        }


@dataclass(kw_only=True)
class PhantomConfig:
    """Simulated ultrasound: nothing to download, different for every seed."""

    num_subjects: int = 24
    """At least 3, so that every split has one."""

    frames_per_subject: int = 8
    """Length of each subject's series of images."""

    min_size_pixels: int = 128
    """Shortest side of an image."""

    max_size_pixels: int = 192
    """Longest side of an image."""

    seed: int = 0
    """Another seed gives other subjects."""

    def __post_init__(self) -> None:
        if self.num_subjects < 3:
            raise ValueError(f"phantom.num_subjects must be at least 3, got {self.num_subjects}.")
        if self.frames_per_subject < 1:
            raise ValueError(
                f"phantom.frames_per_subject must be at least 1, got {self.frames_per_subject}."
            )
        if not 32 <= self.min_size_pixels <= self.max_size_pixels:
            raise ValueError(
                "phantom.min_size_pixels must be between 32 and phantom.max_size_pixels, got "
                f"{self.min_size_pixels} and {self.max_size_pixels}."
            )


@dataclass(kw_only=True)
class BuildConfig:
    """Turn a raw dataset into corpora of tar shards."""

    source: str = MISSING
    """A published dataset (`docs/corpora.md` lists them), `us30k`, `phantom` for simulated images,
    or own data as `folder`, `coco`, `nifti` or `dicom`."""

    root: str | None = None
    """Folder or archive of the raw data; `phantom` needs none."""

    output: str = MISSING
    """Folder or URL that gets `train/`, `validation/`, `test/` and `corpus.json`."""

    overwrite: bool = False
    """Replace what lies at `output`."""

    splits: Literal["official", "official_test", "subject"] = "official"
    """`official` follows the source's own lists; `subject` draws by a hash of the subject;
    `official_test` keeps the source's own test list and draws validation from the rest."""

    held_out_sources: list[str] = field(default_factory=list)
    """Sources of which every image is for the test, whatever lists say."""

    excluded: str | None = None
    """List that `launchers/audit_corpora.py` wrote, of images to leave out of their split."""

    split_seed: int = 0
    """Another seed draws other subjects, where subjects are drawn."""

    validation_fraction: float = 0.1
    """Share of the subjects for validation, where subjects are drawn."""

    test_fraction: float = 0.2
    """Share of the subjects for the test, where subjects are drawn."""

    leaks: Literal["refuse", "report"] = "refuse"
    """What to do when the source's own lists put a known subject into two splits."""

    max_skipped_samples: int = 0
    """Broken samples to leave out; one more and the build is refused."""

    max_samples_per_shard: int = 1_000
    """Images in a shard, at most."""

    max_shard_megabytes: int = 256
    """Size of a shard, at most (one sample may exceed it)."""

    max_side_pixels: int | None = None
    """Longer images are shrunk to it, with their masks and spacing; null keeps all as published."""

    num_workers: int = 0
    """Processes that read, decode and pack; 0 does it in the one that writes."""

    slice: str | None = None
    """For several machines: `3/16` builds the fourth of 16 slices (0 to 15), `merge/16` makes them
    one build when all are there; null builds everything."""

    us30k: Us30kConfig = field(default_factory=Us30kConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    folder: FolderConfig = field(default_factory=FolderConfig)
    coco: CocoConfig = field(default_factory=CocoConfig)
    nifti: NiftiConfig = field(default_factory=NiftiConfig)
    dicom: DicomConfig = field(default_factory=DicomConfig)

    def __post_init__(self) -> None:
        if self.max_skipped_samples < 0:
            raise ValueError(
                f"max_skipped_samples must be 0 or more, got {self.max_skipped_samples}."
            )
        for name in ("max_samples_per_shard", "max_shard_megabytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.max_side_pixels is not None and self.max_side_pixels < MIN_TRAINING_PIXELS:
            raise ValueError(
                f"max_side_pixels must be at least {MIN_TRAINING_PIXELS}, or null, got "
                f"{self.max_side_pixels}."
            )
        if self.num_workers < 0:
            raise ValueError(f"num_workers must be 0 or more, got {self.num_workers}.")
        self._check_slice()
        held_out = (self.validation_fraction, self.test_fraction)
        if min(held_out) < 0 or sum(held_out) >= 1:
            raise ValueError(
                "validation_fraction and test_fraction must be 0 or more and leave something to "
                f"train on, got {self.validation_fraction} and {self.test_fraction}."
            )

    def _check_slice(self) -> None:
        found = re.fullmatch(r"(merge|\d+)/([1-9]\d*)", self.slice or "0/1")
        if found is None or (found[1] != "merge" and int(found[1]) >= int(found[2])):
            raise ValueError(
                f"slice={self.slice}: expected NUMBER/COUNT with a number from 0 to COUNT - 1, as "
                "3/16, or merge/COUNT."
            )

    @property
    def is_merge(self) -> bool:
        """Whether this call makes slices one build, and builds no shard itself."""
        return self.slice is not None and self.slice.startswith("merge/")

    @property
    def slice_number(self) -> int | None:
        """Slice that this call builds; None where it builds or merges all."""
        return None if self.slice is None or self.is_merge else int(self.slice.partition("/")[0])

    @property
    def num_slices(self) -> int:
        """Slices that the build is cut into."""
        return 1 if self.slice is None else int(self.slice.partition("/")[2])

    def content_options(self) -> dict[str, object]:
        """Return the options that change what is built, not where it comes from, goes, or how."""
        options = dataclasses.asdict(self)
        for name in ("root", "output", "overwrite", "excluded", "num_workers", "slice"):
            del options[name]
        unused = {"us30k", "phantom", *OWN_DATA_SECTIONS} - {self.source}
        for section in OWN_DATA_SECTIONS:
            del options[section]["salt_file"]  # a place; what it changes are the subjects
        return {name: value for name, value in options.items() if name not in unused}


@dataclass(kw_only=True)
class InspectConfig:
    """Show what a corpus holds: a table, and a sheet of pictures."""

    url: str = MISSING
    """Folder or URL of a corpus, or of a build with `corpus.json`."""

    sheet: str | None = None
    """PNG file to draw a contact sheet into; null draws none."""

    num_pictures: int = 40
    """Samples on the contact sheet, drawn evenly over sources and corpus."""

    num_columns: int = 8
    """Pictures in a row of the sheet."""

    tile_pixels: int = 192
    """Side of a picture on the sheet."""

    max_scanned_samples: int = 5_000
    """Samples whose annotations are read for sizes and categories, evenly over the corpus."""

    def __post_init__(self) -> None:
        if self.max_scanned_samples < 1:
            raise ValueError(
                f"max_scanned_samples must be at least 1, got {self.max_scanned_samples}."
            )
        _check_sheet(self)


@dataclass(kw_only=True)
class ValidateSourceConfig(BuildConfig):
    """Look at a raw folder before anything is built; it takes the options of the build as well."""

    source: str = "guess"
    """As for a build; `guess` finds out."""

    output: str = "OUTPUT"
    """Only for the command that is proposed; nothing is written there."""

    sheet: str | None = None
    """PNG file to draw a contact sheet into; null draws none."""

    num_pictures: int = 24
    """Samples to read, evenly over all, and to draw."""

    num_columns: int = 6
    """Pictures in a row of the sheet."""

    tile_pixels: int = 192
    """Side of a picture on the sheet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_sheet(self)


def _check_sheet(options: InspectConfig | ValidateSourceConfig) -> None:
    for name in ("num_pictures", "num_columns", "tile_pixels"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(options, name)}.")
    if options.sheet is not None and not options.sheet.lower().endswith(".png"):
        raise ValueError(f"sheet={options.sheet}: expected the name of a PNG file.")


@dataclass(kw_only=True)
class ValidateConfig:
    """Decode every member of a corpus and check every checksum and count."""

    url: str = MISSING
    """Folder or URL of a corpus, or of a build with `corpus.json`."""

    max_findings: int = 50
    """Findings to list, at most; all are counted."""
