"""What is converted into which layout. No torch here: launchers read this for `--help`."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import MISSING

Target = Literal["own", "sam", "samus", "encoder"]


@dataclass(kw_only=True)
class ConversionConfig:
    """Which weights become what."""

    source: str = MISSING
    """A file of any layout that docs/weights.md lists (.pth, .safetensors), or a checkpoint or run
    folder."""

    output: str = MISSING
    """For `own` and `encoder` a folder, else a .pth or .safetensors file. Must not exist yet."""

    target: Target = "own"
    """own: this package's folder. sam, samus: names of the published programs. encoder: the image
    encoder alone, for `load_feature_extractor`."""

    preset: str | None = None
    """Model to build for the weights; by default the one that they fit exactly."""

    base: str | None = None
    """Pretrained file of a checkpoint, where it no longer lies where it was."""

    use_ema: bool = True
    """Take the averaged weights where the checkpoint has them."""
