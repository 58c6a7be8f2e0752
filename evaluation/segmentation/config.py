"""Options of prediction and of the demo; no torch here, so that `--help` is quick."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from evaluation.deployable.config import DEFAULT_TRACKING_URI

OutputKind = Literal["png", "overlay", "coco", "nifti", "dicom_seg", "measurements"]


@dataclass(kw_only=True)
class PredictConfig:
    """Segment images, DICOM files and videos, from clicks or a box, or without."""

    model: str = MISSING
    """Run, checkpoint or deployable folder, or models:/NAME@champion."""

    image: str = MISSING
    """PNG, JPEG or TIFF file, DICOM file or video; or a folder, with all such files below it."""

    points: list[list[float]] = field(default_factory=list)
    """Clicks [[x, y], ...] in pixels of the image; the first pixel's centre is (0, 0)."""

    labels: list[int] | None = None
    """One per click: 1 inside the object, 0 outside of it; null: all inside."""

    box: list[float] | None = None
    """[x0, y0, x1, y1] around the object, in pixels of the image."""

    prompts: str | None = None
    """CSV or JSON file with the clicks and the box of each file, instead of the same for all."""

    output: str = "predictions"
    """Folder that takes what is written."""

    outputs: list[OutputKind] = field(default_factory=lambda: ["png", "overlay"])
    """What to write: png (masks of 0 and 255), overlay, coco, nifti, dicom_seg, measurements."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is, for models:/ names."""

    base: str | None = None
    """File of frozen base weights, where a checkpoint was trained on one and it has moved."""

    form: str | None = None
    """Form of a deployable: float32, int8 or float16 (on a GPU); null takes its first."""

    threads: int | None = None
    """Threads of a prediction; null leaves it to torch or onnxruntime."""

    device: str = "auto"
    """Of a run or checkpoint: `auto` takes a GPU where there is one; else `cpu`, `cuda:1` ..."""

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("outputs is empty, so nothing would be written. Name at least one.")
        if self.prompts is not None and (self.points or self.labels or self.box):
            raise ValueError(
                f"prompts={self.prompts} says what is asked of each file: leave out points, labels "
                "and box."
            )


@dataclass(kw_only=True)
class DemoConfig:
    """Try a deployable in the browser."""

    model: str = MISSING
    """Deployable folder, or models:/NAME@champion."""

    port: int = 8765
    """Where the page is served, on this machine alone; 0 takes any free port."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is, for models:/ names."""

    form: str | None = None
    """float32, int8 or float16 (on a GPU); null takes the deployable's first."""

    threads: int | None = None
    """Threads of a prediction; null takes all cores."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port must lie between 0 and 65535, got {self.port}.")
