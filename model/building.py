"""From a preset's name or a stored description to a segmenter, and back."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from .autosamus import AutosamusSegmenter, AutosamusStudentSegmenter
from .autosamus_config import AutosamusArchitecture, AutosamusStudentArchitecture
from .config import Architecture, SamArchitecture, SamusArchitecture, UnetArchitecture
from .medsa import MedSaSegmenter
from .medsa_config import MedSaArchitecture
from .presets import PRESETS
from .sam import SamSegmenter
from .sam_med2d import SamMed2dSegmenter
from .sam_med2d_config import SamMed2dArchitecture
from .sam_unet import SamUnetSegmenter
from .sam_unet_config import SamUnetArchitecture
from .samus import SamusSegmenter
from .segmenter import Segmenter
from .student import StudentSegmenter
from .student_config import StudentArchitecture
from .ultrasam import UltrasamSegmenter
from .ultrasam_config import UltrasamArchitecture
from .unet import UnetSegmenter

FORMAT_VERSION = 1
"""Of the description that `architecture_to_dict` writes."""

_SEGMENTERS: dict[type[Any], type[Any]] = {
    SamArchitecture: SamSegmenter,
    SamusArchitecture: SamusSegmenter,
    AutosamusArchitecture: AutosamusSegmenter,
    SamUnetArchitecture: SamUnetSegmenter,
    StudentArchitecture: StudentSegmenter,
    AutosamusStudentArchitecture: AutosamusStudentSegmenter,
    MedSaArchitecture: MedSaSegmenter,
    SamMed2dArchitecture: SamMed2dSegmenter,
    UltrasamArchitecture: UltrasamSegmenter,
    UnetArchitecture: UnetSegmenter,
}
"""Type of an architecture to what is built from it. Adding a family is one line here."""

_ARCHITECTURES = {schema.kind: schema for schema in _SEGMENTERS}

Option = bool | int | float | str | Sequence[int] | Sequence[str]
"""What a field of an architecture can be."""


def build_segmenter(name: str, **overrides: Option) -> Segmenter:
    """Build a preset with fresh random weights.

    Args:
        name: Key of `PRESETS`.
        **overrides: Fields of the preset's architecture that shall differ.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}{_nearest(name, PRESETS)}")
    preset = PRESETS[name]
    known = {item.name for item in fields(preset)}
    for key in overrides:
        if key not in known:
            raise ValueError(f"Preset {name} has no option {key!r}{_nearest(key, known)}")
    values = _with_tuples(overrides)
    for key, value in values.items():
        _check_kind(key, value=value, like=getattr(preset, key))
    return _build(replace(preset, **values))


def architecture_to_dict(segmenter: Segmenter, *, preset: str | None = None) -> dict[str, Any]:
    """Return the JSON-able description that `build_from_architecture` reads."""
    description = {"format_version": FORMAT_VERSION, "kind": segmenter.kind}
    if preset is not None:
        description["preset"] = preset
    return {**description, "config": asdict(segmenter.architecture)}


def build_from_architecture(description: Mapping[str, Any]) -> Segmenter:
    """Build the segmenter that `architecture_to_dict` described, with fresh random weights."""
    return _build(architecture_from_dict(description))


def architecture_from_dict(description: Mapping[str, Any]) -> Architecture:
    """Read a description; newer formats and unknown kinds or options are refused."""
    version, kind = description.get("format_version"), description.get("kind")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(
            f"architecture.json has format_version {version!r}; this version reads up to "
            f"{FORMAT_VERSION}. Update samuspretrain."
        )
    if kind not in _ARCHITECTURES:
        nearest = _nearest(str(kind), _ARCHITECTURES)
        raise ValueError(f"architecture.json is of kind {kind!r}{nearest}")
    schema = _ARCHITECTURES[kind]
    known = {item.name for item in fields(schema)}
    values = description.get("config", {})
    for key in values:
        if key not in known:
            raise ValueError(f"architecture.json has an unknown option {key!r}.")
    return schema(**_with_tuples(values))


def segmenter_of_kind(kind: str) -> type[Segmenter]:
    """Return what is built from architectures of a kind, as `architecture.json` names it."""
    if kind not in _ARCHITECTURES:
        raise ValueError(
            f"There are no architectures of kind {kind!r}{_nearest(kind, _ARCHITECTURES)}"
        )
    return _SEGMENTERS[_ARCHITECTURES[kind]]


def _build(architecture: Architecture) -> Segmenter:
    return _SEGMENTERS[type(architecture)](architecture)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with lists, which is what JSON and YAML make of tuples, turned back."""
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }


def _check_kind(key: str, *, value: object, like: object) -> None:
    """Refuse a value of another type than the preset's, such as a word instead of a number."""
    is_whole_for_real = type(like) is float and type(value) is int
    if type(value) is not type(like) and not is_whole_for_real:
        expected = "a list" if isinstance(like, tuple) else f"a value like {like!r}"
        raise ValueError(f"{key} is {value!r}; expected {expected}.")
    if isinstance(value, tuple) and isinstance(like, tuple):
        for item in value:
            _check_kind(key, value=item, like=like[0])


def _nearest(word: str, choices: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(word, list(choices), n=1)
    hint = f": did you mean {close[0]!r}? " if close else ". "
    return f"{hint}Known are: {', '.join(sorted(choices))}."
