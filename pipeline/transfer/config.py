"""Options of transfer: what an encoder is worth for other tasks. No torch here."""

from dataclasses import dataclass, field
from typing import Any, Literal

from omegaconf import MISSING

from evaluation import BootstrapOptions
from pipeline.augmentation.config import AugmentationConfig
from pipeline.refusal import refuse_unless

METHODS = {
    "classification": ("linear_probe", "nearest_neighbours", "fine_tune"),
    "segmentation": ("frozen", "fine_tune"),
}
"""How an encoder can be used, by task."""


@dataclass(frozen=True, kw_only=True)
class EncoderSource:
    """Where an encoder's architecture and weights are from."""

    weights: str | None = None
    """Run, checkpoint or weights file; None for random weights."""

    preset: str | None = None
    """Architecture; a run or checkpoint knows its own."""

    base: str | None = None
    """File of frozen base weights, for a run or checkpoint whose base has moved."""

    def __post_init__(self) -> None:
        if self.weights is None and self.preset is None:
            raise ValueError("encoders: an entry needs `weights`, `preset` or both, and has none.")


@dataclass(kw_only=True)
class TransferConfig:
    """Encoders of several origins, put to other tasks on the same shards."""

    output: str = MISSING
    """Folder for the table, the curves and the numbers."""

    train: Any = MISSING
    """Corpus that heads are trained on, or a list of them."""

    test: Any = MISSING
    """Held-out corpus that they are scored on, or a list of them."""

    encoders: Any = MISSING
    """Name -> run or checkpoint, or `{preset: NAME}` for random weights, or
    `{preset: NAME, weights: FILE}` for a published file."""

    reference: str | None = None
    """Encoder that differences are taken against; null takes the first one."""

    task: Literal["classification", "segmentation"] = "classification"
    """`classification` of whole images, or semantic `segmentation` with a light decoder."""

    label: Literal["category", "organ", "source"] = "category"
    """What a classifier tells: the category or organ of an image's objects, or its source. Images
    without objects, or with several labels, are left out and counted."""

    methods: list[str] = field(default_factory=list)
    """Of classification: `linear_probe`, `nearest_neighbours`, `fine_tune`; of segmentation:
    `frozen` (the decoder alone trains), `fine_tune`. Empty takes all."""

    fractions: list[float] = field(default_factory=lambda: [1.0])
    """Shares of the training images that are labelled, such as [0.01, 0.05, 0.1, 1]. Smaller ones
    are parts of the larger, and of each class at least one image stays."""

    num_neighbours: int = 5
    """Neighbours that vote, by cosine similarity; fewer where fewer are labelled."""

    max_steps: int = 200
    """Optimizer steps of a decoder or of fine-tuning."""

    batch_size: int = 8
    """Images a step."""

    peak_learning_rate: float = 1e-3
    """Of heads and decoders."""

    encoder_learning_rate: float = 1e-4
    """Of the encoder, where it is fine-tuned."""

    seed: int = 0
    """Of random weights, labelled images and order."""

    num_workers: int = 1
    """Loader processes; 0 reads in this process."""

    device: str = "auto"
    """`auto` takes a GPU where there is one; else `cpu`, `cuda`, `cuda:1` ..."""

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    intervals: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __post_init__(self) -> None:
        self.train, self.test = (
            [one] if isinstance(one, str) and one != MISSING else one
            for one in (self.train, self.test)
        )
        if self.encoders != MISSING:  # the schema itself is built before any value is known
            self.encoders = _normalise_encoders(self.encoders)
            is_one = self.reference is None or self.reference in self.encoders
            refuse_unless(is_one, "reference", self.reference, f"one of {', '.join(self.encoders)}")
        known = METHODS[self.task]
        for method in self.methods:
            refuse_unless(method in known, "methods", method, f"among {', '.join(known)}")
        are_shares = bool(self.fractions) and all(0 < share <= 1 for share in self.fractions)
        refuse_unless(are_shares, "fractions", self.fractions, "shares above 0, at most 1")
        for name in ("num_neighbours", "max_steps", "batch_size"):
            refuse_unless(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("peak_learning_rate", "encoder_learning_rate"):
            refuse_unless(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        refuse_unless(self.num_workers >= 0, "num_workers", self.num_workers, "0 or more")

    @property
    def sources(self) -> dict[str, EncoderSource]:
        """The encoders by name, however they were written."""
        return self.encoders

    @property
    def reference_encoder(self) -> str:
        """The encoder that differences are taken against."""
        return self.reference or next(iter(self.encoders))

    @property
    def chosen_methods(self) -> tuple[str, ...]:
        """The methods to run."""
        return tuple(self.methods) or METHODS[self.task]


def _normalise_encoders(value: Any) -> dict[str, EncoderSource]:  # noqa: ANN401 -- from YAML
    if not isinstance(value, dict) or not value:
        raise ValueError(
            f"encoders is {value}: expected names, as in "
            "'encoders={samus: runs/samus, random: {preset: samus_tiny}}'."
        )
    return {str(name): _normalise_encoder(str(name), entry) for name, entry in value.items()}


def _normalise_encoder(name: str, entry: Any) -> EncoderSource:  # noqa: ANN401 -- from YAML
    if isinstance(entry, EncoderSource):
        return entry
    if isinstance(entry, str):
        return EncoderSource(weights=entry)
    if not isinstance(entry, dict) or not set(entry) <= {"weights", "preset", "base"}:
        raise ValueError(
            f"encoders.{name} is {entry}: expected a run or checkpoint, or {{preset: NAME}}, or "
            "{preset: NAME, weights: FILE}, or {weights: RUN, base: FILE}."
        )
    return EncoderSource(**entry)
