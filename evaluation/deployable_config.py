"""Options of export and prediction; no torch here, so that `--help` is quick."""

from dataclasses import dataclass, field

from omegaconf import MISSING

DEFAULT_TRACKING_URI = "sqlite:///runs/mlflow.db"


@dataclass(kw_only=True)
class GateConfig:
    """What a deployable must reach on the held-out corpus; else nothing is written."""

    max_dice_difference: float = 0.001
    """Largest mean absolute difference per object between the ONNX graphs' Dice and torch's."""

    min_mean_dice: float = 0.0
    """Smallest mean Dice of the ONNX graphs, from 0 (no demand) to 1."""

    def __post_init__(self) -> None:
        if self.max_dice_difference < 0:
            raise ValueError(
                f"gate.max_dice_difference must be 0 or more, got {self.max_dice_difference}."
            )
        if not 0 <= self.min_mean_dice <= 1:
            raise ValueError(
                f"gate.min_mean_dice must lie between 0 and 1, got {self.min_mean_dice}."
            )


@dataclass(kw_only=True)
class ExportConfig:
    """Export a checkpoint as a deployable folder, and register it."""

    checkpoint: str = MISSING
    """Run folder (its best checkpoint, else the latest) or checkpoint folder."""

    data: str = MISSING
    """URL of the held-out corpus that the gate measures on, such as OUT/test."""

    output: str = MISSING
    """Deployable folder to write."""

    overwrite: bool = False
    """Replace a deployable that is there already."""

    include_weights: bool = True
    """Also write `weights/`, a checkpoint for `initialize_from=`; a prediction never opens it."""

    training_data: list[str] = field(default_factory=list)
    """URLs of the corpora the model was trained on, for the model card; empty asks the run."""

    base: str | None = None
    """File of frozen base weights, where the checkpoint was trained on one and it has moved."""

    protocol: str = "published_click"
    """How the held-out objects are prompted; launchers/evaluate_checkpoint.py lists protocols."""

    gate: GateConfig = field(default_factory=GateConfig)

    model_name: str | None = None
    """Name on the model card and in the rows; null takes the name of the run."""

    register_as: str | None = None
    """Name in the MLflow registry; null does not register."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is: sqlite:///FILE or the address of an MLflow server."""


@dataclass(kw_only=True)
class PredictConfig:
    """Segment one object of an image, from clicks or a box."""

    model: str = MISSING
    """Run, checkpoint or deployable folder, or models:/NAME@champion."""

    image: str = MISSING
    """Image file: PNG, JPEG or TIFF."""

    points: list[list[float]] = field(default_factory=list)
    """Clicks [[x, y], ...] in pixels of the image; the first pixel's centre is (0, 0)."""

    labels: list[int] | None = None
    """One per click: 1 inside the object, 0 outside of it; null: all inside."""

    box: list[float] | None = None
    """[x0, y0, x1, y1] around the object, in pixels of the image."""

    output: str = "predictions"
    """Folder that takes IMAGE_mask.png (0 and 255) and IMAGE_overlay.png."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is, for models:/ names."""

    base: str | None = None
    """File of frozen base weights, where a checkpoint was trained on one and it has moved."""
