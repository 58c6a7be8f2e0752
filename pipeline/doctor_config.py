"""Options of the doctor. No torch here."""

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class DoctorConfig:
    """What the doctor looks at; without options, at the machine and the smallest model."""

    preset: str = "samus_tiny"
    """Architecture whose memory is estimated and whose dry step is run, such as samus_vit_b."""

    micro_batch_size: int = 4
    """Images that one process holds at once, as `data.micro_batch_size`."""

    objects_per_image: int = 2
    """Objects asked about per image."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the forward pass, as `precision` of a run."""

    has_base: bool = True
    """Whether the run starts from a pretrained SAM file (its parts are frozen) or trains all."""

    dry_step: bool = True
    """Also run and time one training step on random images; the memory is estimated in any case."""

    data: str | None = None
    """Corpus to open, a path or URL (`s3://bucket/us30k/train`); null looks at none."""

    tracking_uri: str | None = None
    """MLflow server or database to reach; null looks at none."""

    folder: str = "."
    """Where runs would be written; its free space is reported."""

    def __post_init__(self) -> None:
        for name in ("micro_batch_size", "objects_per_image"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least 1.")
