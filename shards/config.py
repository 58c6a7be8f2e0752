"""Options of building, looking at and checking corpora."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING


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
    """A published dataset (`docs/corpora.md` lists them), `us30k`, or `phantom` for simulated
    images."""

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

    us30k: Us30kConfig = field(default_factory=Us30kConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)

    def __post_init__(self) -> None:
        if self.max_skipped_samples < 0:
            raise ValueError(
                f"max_skipped_samples must be 0 or more, got {self.max_skipped_samples}."
            )
        for name in ("max_samples_per_shard", "max_shard_megabytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        held_out = (self.validation_fraction, self.test_fraction)
        if min(held_out) < 0 or sum(held_out) >= 1:
            raise ValueError(
                "validation_fraction and test_fraction must be 0 or more and leave something to "
                f"train on, got {self.validation_fraction} and {self.test_fraction}."
            )

    def content_options(self) -> dict[str, object]:
        """Return the options that change what is built, not where it comes from or goes."""
        options = dataclasses.asdict(self)
        for name in ("root", "output", "overwrite", "excluded"):
            del options[name]
        unused = {"us30k", "phantom"} - {self.source}
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
        for name in ("num_pictures", "num_columns", "tile_pixels", "max_scanned_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.sheet is not None and not self.sheet.lower().endswith(".png"):
            raise ValueError(f"sheet={self.sheet}: expected the name of a PNG file.")


@dataclass(kw_only=True)
class ValidateConfig:
    """Decode every member of a corpus and check every checksum and count."""

    url: str = MISSING
    """Folder or URL of a corpus, or of a build with `corpus.json`."""

    max_findings: int = 50
    """Findings to list, at most; all are counted."""
