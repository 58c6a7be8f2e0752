"""The account of what a file of weights gave a segmenter."""

from dataclasses import dataclass, field

from .checkpoint_folder import BaseFile


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """Every tensor of the file and of the segmenter, under the segmenter's names."""

    origin: str
    """The file or folder that was read."""

    layout: str
    """`sam`, `samus`, or `own` for what this package wrote."""

    title: str
    """The same for people, with the size of the encoder."""

    loaded: tuple[str, ...]
    """Taken as they are."""

    resized: tuple[str, ...]
    """Interpolated to this model's grid."""

    new: tuple[str, ...]
    """In the model and not in the file, because this variant adds them; they keep their values."""

    new_kinds: tuple[str, ...] = ()
    """Types of the modules that own the new ones."""

    refused: dict[str, str] = field(default_factory=dict)
    """What did not fit, with the reason. Empty unless the report hangs on an error."""

    base: BaseFile | None = None
    """The file that a checkpoint may refer to for its frozen tensors, instead of holding them."""

    from_base: frozenset[str] = frozenset()
    """Names whose values are exactly what `base` alone gives."""

    def summary(self) -> str:
        """Return one paragraph for the log."""
        parts = [f"{len(self.loaded)} tensors as they are"]
        if self.resized:
            parts.append(f"{len(self.resized)} relative positions resized to this grid")
        if self.new:
            parts.append(f"{len(self.new)} new ({', '.join(self.new_kinds)})")
        return f"Weights of {self.title} from {self.origin}: {', '.join(parts)}; none refused."


class WeightsError(ValueError):
    """A file whose tensors are not all explained; the segmenter was left as it was."""

    def __init__(self, message: str, *, report: WeightsReport) -> None:
        super().__init__(message)
        self.report = report
