"""Loads weights into a segmenter, with an account of every tensor, or refuses the whole file.

A tensor is loaded as it is; or resized, which only positions are; or new: in the model but not in
the file, because this variant adds it; or left out: in the file, and on purpose not in the model;
or refused: an error. What applies is decided by the type of the module that owns the tensor, and by
shapes.
"""

import difflib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn

from .building import segmenter_of_kind
from .checkpoint_folder import (
    ARCHITECTURE,
    AVERAGED_WEIGHTS,
    BASE,
    WEIGHTS,
    BaseFile,
    find_base,
    find_checkpoint,
    read_base_record,
    read_json,
    sha256_of_file,
    verify_complete,
)
from .config import SamArchitecture
from .presets import PRESETS
from .published_layouts import (
    OFFICIAL_FILES,
    OWN_LAYOUT,
    Layout,
    describe_encoder,
    guess_layout,
    recognise_layout,
)
from .segmenter import Segmenter
from .tensor_file import read_tensors, unwrap_tensors
from .tensor_matching import (
    NOT_IN_MODEL,
    is_added,
    kind_of_owner,
    match_tensors,
)
from .weights_report import WeightsError, WeightsReport

_logger = logging.getLogger(__name__)

_NUM_NAMED = 5
"""How many tensors an error message names before it only counts."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Tensors under this package's names, and where they are from."""

    origin: str
    layout: Layout
    title: str
    tensors: dict[str, Tensor]
    left_out: dict[str, str] = field(default_factory=dict)
    known: frozenset[type[nn.Module]]
    """Types that the file's model has added to SAM."""

    base: BaseFile | None = None
    from_base: frozenset[str] = frozenset()


def load_weights(
    segmenter: Segmenter,
    source: str | Path | Mapping[str, object],
    *,
    base: Path | None = None,
    use_ema: bool = True,
) -> WeightsReport:
    """Load published weights, a checkpoint or a state dict; all of it, or nothing.

    Args:
        segmenter: Gets the weights, in its own number format.
        source: A file (`.pth` of a published layout, `.safetensors`), a checkpoint or run folder,
            or a state dict. A wrapping dict and a `module.` prefix are taken off.
        base: Where the base file of a checkpoint folder lies, if not where it was.
        use_ema: Take a checkpoint's averaged weights where it has them.

    Raises:
        WeightsError: Some tensor of the file or of the segmenter is unexplained.
    """
    found = _read_source(segmenter, source, base=base, use_ema=use_ema)
    matching = match_tensors(segmenter, found.tensors)
    resized, refused = set(matching.resized), matching.refused
    new = tuple(name for name in matching.missing if _may_lack(segmenter, name=name, found=found))
    report = WeightsReport(
        origin=found.origin,
        layout=found.layout.name,
        title=found.title,
        loaded=tuple(name for name in matching.values if name not in resized),
        resized=matching.resized,
        new=new,
        new_kinds=("the rest of the model, kept",)
        if found.layout.part
        else tuple(sorted({kind_of_owner(segmenter, name=name) for name in new})),
        left_out=found.left_out,
        refused=refused,
        base=found.base,
        from_base=found.from_base,
    )
    lacking = [name for name in matching.missing if name not in set(new)]
    if refused or lacking:
        raise WeightsError(
            _explain_misfit(segmenter, found=found, refused=refused, lacking=lacking),
            report=replace(report, loaded=(), resized=(), new=()),
        )
    segmenter.load_state_dict(matching.values, strict=False)
    _warn_of_another_function(segmenter, found)
    _logger.info("%s", report.summary())
    return report


def tensors_to_store(
    segmenter: Segmenter, *, from_base: frozenset[str] = frozenset()
) -> dict[str, Tensor]:
    """Return what `weights.safetensors` must hold: all but what the base file gives unchanged.

    Args:
        segmenter: Unwrapped, with its weights whole on this rank.
        from_base: `WeightsReport.from_base`. A frozen tensor that is not in it (an unused head of
            a model without a base, an adapter that another run trained) is stored as well.
    """
    frozen = {name for name, weight in segmenter.named_parameters() if not weight.requires_grad}
    left_out = frozen & from_base
    return {name: value for name, value in segmenter.state_dict().items() if name not in left_out}


def _read_source(
    segmenter: Segmenter,
    source: str | Path | Mapping[str, object],
    *,
    base: Path | None,
    use_ema: bool,
) -> _Source:
    if isinstance(source, Mapping):
        tensors = unwrap_tensors(source, origin="the state dict")
        return _interpret(segmenter, tensors, origin="the state dict")
    path = Path(source)
    if path.is_dir():
        return _read_checkpoint(segmenter, find_checkpoint(path), base=base, use_ema=use_ema)
    return _read_file(segmenter, path)


def _read_file(segmenter: Segmenter, path: Path, *, sha256: str | None = None) -> _Source:
    if path.name in (WEIGHTS, AVERAGED_WEIGHTS) and (path.parent / BASE).is_file():
        raise ValueError(
            f"{path}: a part of a checkpoint whose frozen tensors are in another file. Give the "
            f"folder {path.parent} instead."
        )
    found = _interpret(segmenter, read_tensors(path), origin=str(path))
    if found.layout.part:
        return found
    sha256 = sha256 or sha256_of_file(path)
    record = BaseFile(sha256=sha256, file_name=path.name, layout=found.layout.name, path=path)
    return replace(
        found,
        title=OFFICIAL_FILES.get(sha256, found.title),
        base=record,
        from_base=frozenset(found.tensors),
    )


def _read_checkpoint(
    segmenter: Segmenter, folder: Path, *, base: Path | None, use_ema: bool
) -> _Source:
    """Merge a checkpoint's base file, its weights and, if asked for, their moving average."""
    averaged = use_ema and (folder / AVERAGED_WEIGHTS).is_file()
    parts = [WEIGHTS, AVERAGED_WEIGHTS] if averaged else [WEIGHTS]
    verify_complete(folder, names={ARCHITECTURE, BASE, *parts})
    own: dict[str, Tensor] = {}
    for part in parts:
        own |= read_tensors(folder / part)
    record = read_base_record(folder)
    tensors, base_file = own, None
    if record is not None:
        path = find_base(folder, record=record, explicit=base)
        below = _read_file(segmenter, path, sha256=record.sha256)
        tensors, base_file = {**below.tensors, **own}, below.base
    described = read_json(folder / ARCHITECTURE)
    kind = str(described.get("kind"))
    model = described.get("preset") or kind
    tensors, left_out = _without_removed(segmenter, tensors)
    return _Source(
        origin=str(folder),
        layout=OWN_LAYOUT,
        title=f"{model}, {'the moving average of ' if averaged else ''}a checkpoint",
        tensors=tensors,
        left_out=left_out,
        known=frozenset(segmenter_of_kind(kind).added_to_sam),
        base=base_file,
        from_base=frozenset(tensors.keys() - own.keys()),
    )


def _interpret(segmenter: Segmenter, tensors: dict[str, Tensor], *, origin: str) -> _Source:
    """Find out of which layout a state dict is, and give its tensors the names they have here."""
    layout = recognise_layout(tensors)
    if layout is OWN_LAYOUT or tensors.keys() <= segmenter.state_dict().keys():
        return _Source(
            origin=origin,
            layout=OWN_LAYOUT,
            title=OWN_LAYOUT.title,
            tensors=tensors,
            known=_added_in_own_file(segmenter, tensors),
        )
    if layout is None or layout.kind is None:
        raise ValueError(
            f"{origin}: looks like {guess_layout(tensors)}; its names are like {min(tensors)!r}. "
            f"{_describe(segmenter)} takes the published layouts of docs/weights.md, or what this "
            "package wrote. Nothing was loaded."
        )
    named, left_out = layout.translate(tensors)
    named, removed = _without_removed(segmenter, named)
    published = segmenter_of_kind(layout.kind)
    return _Source(
        origin=origin,
        layout=layout,
        title=layout.title if layout.part else f"{layout.title} {describe_encoder(named)}",
        tensors=named,
        left_out=left_out | removed,
        known=frozenset(published.added_to_sam) - frozenset(published.unpublished),
    )


def _may_lack(segmenter: Segmenter, *, name: str, found: _Source) -> bool:
    """Say whether a file may be without a tensor of the segmenter."""
    if found.layout.part:
        # Batch norms of early files count no batches; nothing depends on how many there were.
        return not name.startswith(found.layout.part) or name.endswith(".num_batches_tracked")
    return is_added(segmenter, name=name, known=found.known)


def _added_in_own_file(
    segmenter: Segmenter, tensors: Mapping[str, Tensor]
) -> frozenset[type[nn.Module]]:
    """Return what a file of ours must hold: with nothing of the last stage, it is of its parent."""
    of_parent = frozenset(segmenter.added_to_sam) - frozenset(segmenter.added_to_parent)
    targets = segmenter.state_dict().keys()
    is_of_parent = not any(
        is_added(segmenter, name=name, known=of_parent) for name in tensors if name in targets
    )
    return of_parent if is_of_parent else frozenset(segmenter.added_to_sam)


def _without_removed(
    segmenter: Segmenter, tensors: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors without those of SAM's parts that this variant has removed."""
    removed = {
        name: f"parts of SAM that {segmenter.kind} does without"
        for name in tensors
        if name.startswith(segmenter.removed_from_sam)
    }
    return {name: value for name, value in tensors.items() if name not in removed}, removed


def _warn_of_another_function(segmenter: Segmenter, found: _Source) -> None:
    """Warn where the same weights compute something else than the model that was published."""
    for option, needed in found.layout.needs.items():
        if getattr(segmenter.architecture, option, None) != needed:
            _logger.warning(
                "%s: %s was made for %s=%s, which this model is not built with: it will answer "
                "otherwise than the published one.",
                found.origin,
                found.layout.title,
                option,
                needed,
            )


def _explain_misfit(
    segmenter: Segmenter, *, found: _Source, refused: Mapping[str, str], lacking: Sequence[str]
) -> str:
    theirs, ours = (
        describe_encoder(tensors) for tensors in (found.tensors, segmenter.state_dict())
    )
    if theirs != ours and not found.layout.part:
        return (
            f"{found.origin}: looks like {found.title}, but this model is {_describe(segmenter)}. "
            f"{_remedy(segmenter, found.tensors)} Nothing was loaded."
        )
    known = segmenter.state_dict()
    problems = [
        f"{name} {reason}{_nearest(name, known) if reason == NOT_IN_MODEL else ''}"
        for name, reason in list(refused.items())[:_NUM_NAMED]
    ]
    if len(refused) > _NUM_NAMED:
        problems.append(f"and {len(refused) - _NUM_NAMED} more that do not fit")
    if lacking:
        problems.append(
            f"{len(lacking)} tensors of the model are not in it, such as "
            f"{', '.join(lacking[:_NUM_NAMED])}"
        )
    return (
        f"{found.origin}: looks like {found.title}, but does not fit {_describe(segmenter)}: "
        f"{'; '.join(problems)}. Every tensor has to be explained: take the file that belongs to "
        "this model, or the model that the file was made with. Nothing was loaded."
    )


def _describe(segmenter: Segmenter) -> str:
    return f"{segmenter.kind} {describe_encoder(segmenter.state_dict())}"


def _remedy(segmenter: Segmenter, tensors: Mapping[str, Tensor]) -> str:
    """Name the presets that a file's encoder fits, those of the same kind first."""
    theirs = describe_encoder(tensors)
    fitting = {
        name: architecture
        for name, architecture in PRESETS.items()
        if isinstance(architecture, SamArchitecture)
        and f"({architecture.width} wide, {architecture.depth} blocks)" in theirs
    }
    alike = [name for name in fitting if type(fitting[name]) is type(segmenter.architecture)]
    choices = alike or list(fitting)
    build = f"Build the preset {' or '.join(choices)}, or give" if choices else "Give"
    return f"{build} a file that was made for this model."


def _nearest(name: str, known: Mapping[str, Tensor]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (nearest: {close[0]})" if close else ""
