"""Presets, overrides and stored descriptions."""

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

import model
from model import (
    PRESETS,
    SamusArchitecture,
    architecture_from_dict,
    architecture_to_dict,
    build_from_architecture,
    build_segmenter,
)


def test_reading_the_options_loads_no_torch() -> None:
    code = (
        "import sys, model; model.PRESETS; model.ObjectiveConfig; model.PromptSimulationConfig; "
        "assert 'torch' not in sys.modules and 'monai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_exists() -> None:
    assert sorted(model.__all__) == sorted(set(model.__all__))
    for name in model.__all__:
        assert getattr(model, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        model.Segmentor  # noqa: B018


def test_overrides_change_the_preset_and_survive_json() -> None:
    segmenter = build_segmenter("samus_tiny", input_size=48, global_blocks=[0, 2])
    assert isinstance(segmenter.architecture, SamusArchitecture)
    assert segmenter.architecture.global_blocks == (0, 2)
    description = json.loads(json.dumps(architecture_to_dict(segmenter, preset="samus_tiny")))
    assert build_from_architecture(description).architecture == segmenter.architecture
    assert PRESETS["samus_tiny"].input_size == 64


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    stored = json.loads(json.dumps(asdict(PRESETS[name])))
    found = architecture_from_dict(
        {"format_version": 1, "kind": PRESETS[name].kind, "config": stored}
    )
    assert found == PRESETS[name]


def test_categories_name_the_answers_of_a_unet() -> None:
    segmenter = build_segmenter("unet_tiny", categories=["head", "femur"])
    assert segmenter.categories == ("head", "femur")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("samus_vit_bb", {}, "did you mean 'samus_vit_b'"),
        ("samus_tiny", {"input_sise": 64}, "did you mean 'input_size'"),
        ("samus_tiny", {"input_size": 66}, r"multiple of patch_stride"),
        ("samus_tiny", {"branch_channels": (8,)}, "log2"),
        ("samus_tiny", {"global_blocks": (3,)}, "outside of 0..2"),
        ("samus_tiny", {"num_heads": 5}, r"multiple of num_heads"),
        ("samus_tiny", {"num_heads": 0}, r"num_heads is 0; it must be positive"),
        ("samus_tiny", {"width": "wide"}, r"width is 'wide'; expected a value like 48"),
        ("samus_tiny", {"global_blocks": 2}, r"global_blocks is 2; expected a list"),
        ("samus_tiny", {"embedding_width": 36}, "multiple of 8"),
        ("samus_tiny", {"patch_size": 2}, "would never be seen"),
        ("samus_tiny", {"position_grid": 31}, "must be even"),
        ("unet_tiny", {"categories": ()}, "one or more different names"),
        ("unet_tiny", {"input_size": 40}, "multiple of 16"),
    ],
)
def test_impossible_choices_are_refused_with_the_remedy(
    name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_segmenter(name, **overrides)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"format_version": 2, "kind": "samus", "config": {}}, "Update samuspretrain"),
        ({"kind": "samus", "config": {}}, "format_version None"),
        ({"format_version": 1, "kind": "samos", "config": {}}, "did you mean 'samus'"),
        ({"format_version": 1, "kind": "samus", "config": {"widht": 3}}, "unknown option 'widht'"),
    ],
)
def test_descriptions_that_cannot_be_read_are_refused(
    description: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        architecture_from_dict(description)


def test_published_defaults_are_samus_vit_b() -> None:
    assert PRESETS["samus_vit_b"] == SamusArchitecture()
