"""From any layout to any other: ours, the published ones of SAM and SAMUS, an encoder alone."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .building import build_from_architecture, build_segmenter
from .checkpoint_folder import ARCHITECTURE, find_checkpoint, read_json
from .config import Architecture, SamArchitecture, SamusArchitecture
from .conversion_config import ConversionConfig
from .encoder_export import write_encoder
from .flattened_checkpoint import write_flattened
from .presets import PRESETS
from .pretrained_weights import load_weights
from .published_layouts import (
    NO_TRANSFORMER,
    OWN_LAYOUT,
    describe_encoder,
    guess_layout,
    recognise_layout,
)
from .published_names import SAM_PAIRS, SAMUS_PAIRS, Pairs, published_name
from .sam import SamSegmenter
from .samus import SamusSegmenter
from .segmenter import Segmenter
from .tensor_file import read_tensors
from .tensor_matching import is_added, match_tensors
from .weights_report import WeightsReport
from .whole_files import written_aside

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of the weights."""

    model: str
    """The preset, or the kind where a checkpoint names none."""

    report: WeightsReport
    num_tensors: int
    """In what was written."""


def convert_weights(config: ConversionConfig) -> Conversion:
    """Read weights of any layout and write them in another; what is not whole is refused."""
    output = Path(config.output)
    if output.exists():
        raise FileExistsError(f"{output}: is there already. Remove it or choose another name.")
    segmenter, preset = _build_for(config)
    base = None if config.base is None else Path(config.base)
    report = load_weights(segmenter, config.source, base=base, use_ema=config.use_ema)
    if report.new:
        raise ValueError(
            f"{config.source}: {len(report.new)} tensors of {preset or segmenter.kind} are not in "
            f"it ({', '.join(report.new_kinds)}), so that random numbers would be written. Train "
            "them first (model.base=), or leave preset out."
        )
    if config.target == "own":
        write_flattened(segmenter, output, preset=preset)
    elif config.target == "encoder":
        write_encoder(segmenter, output, preset=preset)
    else:
        write_published(segmenter, output, layout=config.target)
    return Conversion(
        model=preset or segmenter.kind, report=report, num_tensors=len(segmenter.state_dict())
    )


def fitting_preset(tensors: dict[str, Tensor], *, origin: str) -> str:
    """Return the first preset that has exactly the tensors of a file, name by name and shape.

    What else has them is logged: no name and no shape tells MedSAM from SAM.
    """
    recognised = recognise_layout(tensors)
    layout = recognised or OWN_LAYOUT
    named, _ = layout.translate(tensors)
    size = describe_encoder(named)
    fitting = [
        name
        for name, architecture in PRESETS.items()
        if layout.kind in (None, architecture.kind)
        and _is_of_size(architecture, size=size)
        and _fits_exactly(name, named)
    ]
    if len(fitting) > 1:
        _logger.warning(
            "%s: taken for %s; also fits %s, which has the same tensors and uses them otherwise: "
            "give preset=%s if the file is of that.",
            origin,
            fitting[0],
            " and ".join(fitting[1:]),
            " or preset=".join(fitting[1:]),
        )
    if fitting:
        return fitting[0]
    is_readable = layout.kind is not None or recognised is OWN_LAYOUT
    guess = f"{layout.title} {size}" if is_readable else guess_layout(tensors)
    raise ValueError(
        f"{origin}: looks like {guess}; no preset has exactly its tensors. Give preset=NAME for "
        "the one that it is nearest to, and the message will say what differs."
    )


def write_published(segmenter: Segmenter, path: Path, *, layout: str) -> None:
    """Write the state dict that the published program of a layout loads.

    Args:
        segmenter: Must have all parts of the published model and no more.
        path: A `.pth` or `.safetensors` file.
        layout: `sam` or `samus`.

    Raises:
        OSError: The disk is full or not writable. What was written is removed.
        ValueError: The layout has no place for this model, or the name has another ending.
    """
    if path.suffix not in (".pth", ".safetensors"):
        raise ValueError(f"{path}: expected a name that ends in .pth or .safetensors.")
    pairs = _pairs_for(segmenter, layout=layout)
    tensors = {
        published_name(name, pairs=pairs): value.detach().cpu().contiguous()
        for name, value in segmenter.state_dict().items()
    }
    with written_aside(path) as aside:
        if path.suffix == ".pth":
            with aside.open("wb") as stream:
                torch.save(tensors, stream)
        else:
            save_file(tensors, aside)


def _build_for(config: ConversionConfig) -> tuple[Segmenter, str | None]:
    """Build what the weights are for; return it with its preset's name, if it has one."""
    source = Path(config.source)
    if config.preset is not None:
        return build_segmenter(config.preset), config.preset
    if source.is_dir():
        described = read_json(find_checkpoint(source) / ARCHITECTURE)
        preset = described.get("preset")
        return build_from_architecture(described), str(preset) if preset else None
    name = fitting_preset(read_tensors(source), origin=str(source))
    _logger.info("%s: fits the preset %s.", source, name)
    return build_segmenter(name), name


def _is_of_size(architecture: Architecture, *, size: str) -> bool:
    """Say whether an architecture's image encoder is of the size that `describe_encoder` found."""
    if not isinstance(architecture, SamArchitecture):
        return size == NO_TRANSFORMER
    return f"({architecture.width} wide, {architecture.depth} blocks)" in size


def _fits_exactly(preset: str, tensors: Mapping[str, Tensor]) -> bool:
    with torch.device("meta"):
        segmenter = build_segmenter(preset)
    matching = match_tensors(segmenter, tensors)
    return not (matching.refused or matching.missing or matching.resized)


def _pairs_for(segmenter: Segmenter, *, layout: str) -> Pairs:
    """Return the pairs of names; refuse a model that the published program would not be."""
    if layout == "samus" and type(segmenter) is SamusSegmenter:
        known = set(segmenter.added_to_sam) - set(segmenter.unpublished)
        more = [
            name for name in segmenter.state_dict() if is_added(segmenter, name=name, known=known)
        ]
        if more:
            raise ValueError(
                f"The published SAMUS has no place for {len(more)} tensors, such as {more[0]}. "
                "Only a model without a detail skip can be written in its layout."
            )
        architecture = segmenter.architecture
        assert isinstance(architecture, SamusArchitecture)
        norm = architecture.branch_normalisation
        if norm != "layer":
            raise ValueError(
                f"This SAMUS normalises its branch by {norm}, the published program by layer: it "
                "would load these weights and answer otherwise. Choose target=own."
            )
        return SAMUS_PAIRS
    if layout == "sam" and isinstance(segmenter, SamSegmenter) and not segmenter.added_to_sam:
        if segmenter.architecture.doubled_residual:
            _logger.warning(
                "The decoder of this %s doubles a residual, which SAM's program does not: it will "
                "answer otherwise unless it is changed so.",
                segmenter.kind,
            )
        return SAM_PAIRS
    raise ValueError(
        f"A {segmenter.kind} cannot be written in the layout {layout}: sam takes SAM, MedSAM and "
        "UltraSam, samus takes SAMUS. Choose target=own, which takes everything."
    )
