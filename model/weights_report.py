"""The account of what a file of weights gave a segmenter."""

from dataclasses import dataclass, field

from .checkpoint_folder import BaseFile


@dataclass(frozen=True, kw_only=True)
class WeightsReport:
    """Every tensor of the file and of the segmenter, under the segmenter's names."""

    origin: str
    """The file or folder that was read."""

    layout: str
    """Name of the published layout, such as `sam`; `own` for what this package wrote."""

    title: str
    """The same for people, with the size of the encoder."""

    loaded: tuple[str, ...]
    """Taken as they are."""

    resized: tuple[str, ...]
    """Positions that were interpolated to this model's grid."""

    new: tuple[str, ...]
    """In the model and not in the file, because this variant adds them, or the file is of another
    part; they keep their values."""

    new_kinds: tuple[str, ...] = ()
    """Types of the modules that own the new ones."""

    left_out: dict[str, str] = field(default_factory=dict)
    """What of the file has no place in this model on purpose, with the reason; by the file's names
    where they mean nothing here."""

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
            parts.append(f"{len(self.resized)} tables of positions resized to this grid")
        if self.new:
            parts.append(f"{len(self.new)} new ({', '.join(self.new_kinds)})")
        if self.left_out:
            reasons = ", ".join(sorted(set(self.left_out.values())))
            parts.append(f"{len(self.left_out)} left out ({reasons})")
        return f"Weights of {self.title} from {self.origin}: {', '.join(parts)}; none refused."


class WeightsError(ValueError):
    """A file whose tensors are not all explained; the segmenter was left as it was."""

    def __init__(self, message: str, *, report: WeightsReport) -> None:
        super().__init__(message)
        self.report = report
