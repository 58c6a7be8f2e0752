"""Options of export; no torch here, so that `--help` is quick."""

from dataclasses import dataclass, field

from omegaconf import MISSING

DEFAULT_TRACKING_URI = "sqlite:///runs/mlflow.db"


@dataclass(kw_only=True)
class GateConfig:
    """What each form of a deployable must reach on the held-out corpus, or it is left out."""

    max_dice_difference: float = 0.001
    """Largest mean absolute difference per object between the float32 graphs' Dice and torch's."""

    max_dice_loss: float = 0.01
    """Most mean Dice that a form may lose against the model in torch, over all objects and in each
    category: the lower bound of the paired interval over subjects must not lie further below 0."""

    min_mean_dice: float = 0.0
    """Smallest mean Dice of the ONNX graphs, from 0 (no demand) to 1."""

    def __post_init__(self) -> None:
        for name in ("max_dice_difference", "max_dice_loss"):
            if getattr(self, name) < 0:
                raise ValueError(f"gate.{name} must be 0 or more, got {getattr(self, name)}.")
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

    forms: list[str] = field(default_factory=lambda: ["float32"])
    """Forms of the graphs: float32, int8 (weights in 8 bits, for CPUs), float16 (for GPUs, exported
    where one is at hand). The first that passes the gate is what a prediction opens by itself."""

    include_weights: bool = True
    """Also write `weights/`, a checkpoint for `initialize_from=`; a prediction never opens it."""

    training_data: list[str] = field(default_factory=list)
    """URLs of the corpora the model was trained on, for the model card; empty asks the run."""

    base: str | None = None
    """File of frozen base weights, where the checkpoint was trained on one and it has moved."""

    protocol: str | None = None
    """How the held-out objects are prompted; launchers/evaluate_checkpoint.py lists protocols. Null
    takes published_click, and automatic for a model without prompts."""

    gate: GateConfig = field(default_factory=GateConfig)

    model_name: str | None = None
    """Name on the model card and in the rows; null takes the name of the run."""

    register_as: str | None = None
    """Name in the MLflow registry; null does not register."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is: sqlite:///FILE or the address of an MLflow server."""
