"""The recipe presets hold the published figures, and each of them trains.

Every figure names where it is from: a file of the released code with its revision, or a paper.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model import PRESETS
from pipeline import PretrainConfig, load_config
from pipeline.config import OptimizerConfig
from pipeline.optimizer import build_optimizer
from pipeline.pretraining import pretrain
from pipeline.schedule import learning_rate_at
from pipeline.segmenter_setup import prepare_segmenter
from tests.support.nano_run import losses_of, nano_config

PRESET_FILES = Path(__file__).resolve().parents[2] / "launchers" / "presets"

SAM_UNET = "Hhankyangg/sam-unet a0b84c5, train_on_multi_gpu.py"
SAM_UNET_BOXES = "Hhankyangg/sam-unet a0b84c5, utils.py:32-83 and dataset.py:181-182"
MEDSA = "KidsWithTokens/Medical-SAM-Adapter 4dcdc63, train.py, function.py and cfg.py"
MEDSA_EPOCHS = "KidsWithTokens/Medical-SAM-Adapter 4dcdc63, conf/global_settings.py:28"
MEDSAM = "bowang-lab/MedSAM d71e8a1, train_multi_gpus.py"
ULTRASAM = "CAMMA-public/UltraSam 458ec79, configs/_base_/models/sam.py"
ULTRASAM_DATA = "CAMMA-public/UltraSam 458ec79, configs/_base_/datasets/sam_dataset.py"
ULTRASAM_LOSS = "CAMMA-public/UltraSam 458ec79, sam_mask_decoder.py"
SAM_MED2D = "OpenGVLab/SAM-Med2D bfd2b93, train.py"
SAMUS = "xianlin7/SAMUS 030ed07, train.py and utils/loss_functions/sam_loss.py:153-167"
SAMUS_DATA = "xianlin7/SAMUS 030ed07, train.py (probabilities) and utils/data_us.py (strengths)"
SAMUS_CLICK = "xianlin7/SAMUS 030ed07, utils/data_us.py, random_click; samus.py leaves boxes out"
SAMUS_EPOCHS = "xianlin7/SAMUS 030ed07, utils/config.py, Config_US30K"

ADAM = {
    "optimizer.weight_decay": 0.0,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.999,
    "optimizer.clip_gradient_norm": None,
    "optimizer.warmup_steps": 0,
}
ONE_CLICK = {"prompts.max_positive_points": 1, "prompts.max_negative_points": 0}
BOXES_ALONE = {"prompts.box_probability": 1.0, "num_error_clicks": 0, "num_mask_refinements": 0}
SAMUS_TRAINING = {
    **ADAM,
    "optimizer.peak_learning_rate": 5e-4,
    "optimizer.schedule": "constant",
    "data.global_batch_size": 8,
    "precision": "float32",
    "objective.kind": "dice_bce",
    "objective.dice_weight": 0.8,
    "objective.bce_weight": 0.2,
    "objective.positive_weight": 2.0,
}
SAMUS_AUGMENTATION = {
    "augmentation.enabled": True,
    "augmentation.gamma_probability": 0.5,
    "inverses of the exponents of gamma": [1.0, 2.4],
    "augmentation.rotation_probability": 0.5,
    "augmentation.max_rotation_degrees": 30.0,
    "augmentation.zoom_probability": 0.5,
    "augmentation.min_zoom": 1.0,
    "augmentation.max_zoom": 1.3,
    "augmentation.contrast_probability": 0.5,
    "augmentation.contrast_range": (0.8, 2.0),
    "augmentation.flip_probability": 0.0,
    "augmentation.gain_probability": 0.0,
    "augmentation.attenuation_probability": 0.0,
    "augmentation.shadow_probability": 0.0,
    "augmentation.speckle_probability": 0.0,
}

PUBLISHED: dict[str, dict[str, dict[str, Any]]] = {
    "samus_vit_b_published": {
        SAMUS: SAMUS_TRAINING,
        SAMUS_DATA: SAMUS_AUGMENTATION,
        SAMUS_CLICK: {
            **ONE_CLICK,
            "prompts.box_probability": 0.0,
            "num_error_clicks": 0,
            "num_mask_refinements": 0,
            "data.max_objects_per_image": 1,
        },
        SAMUS_EPOCHS: {"images": 200 * 30_000},
    },
    "sam_unet_res34_vit_b": {
        SAM_UNET: {
            **ADAM,
            "optimizer.peak_learning_rate": 1e-4,
            "optimizer.schedule": "steps",
            "optimizer.milestone_factor": 0.5,
            "milestones in epochs of 12": [5, 10],
            "data.global_batch_size": 4 * 50,
            "data.max_objects_per_image": 5,
            "precision": "float32",
            "augmentation.enabled": False,
            "objective.kind": "focal_dice_iou",
            "objective.focal_weight": 1.0,
            "objective.focal_dice_weight": 20.0,
            "objective.iou_weight": 0.0,
            "objective.focal_alpha": 0.25,
            "objective.focal_gamma": 2.0,
            "objective.dice_smoothing_pixels": 1.0,
        },
        SAM_UNET_BOXES: {
            **BOXES_ALONE,
            "prompts.box_jitter_fraction": 0.0,
            "prompts.box_shift_pixels": 5.0,
        },
    },
    "medsa_vit_b": {
        MEDSA: {
            **ADAM,
            **ONE_CLICK,
            "prompts.box_probability": 0.0,
            "num_error_clicks": 0,
            "optimizer.peak_learning_rate": 1e-4,
            "optimizer.schedule": "constant",
            "data.global_batch_size": 32,
            "precision": "float32",
            "augmentation.enabled": False,
            "objective.kind": "dice_bce",
            "objective.dice_weight": 0.0,
            "objective.bce_weight": 1.0,
            "objective.positive_weight": 2.0,
        },
        MEDSA_EPOCHS: {"images": 100 * 30_000},
    },
    "medsam": {
        MEDSAM: {
            **BOXES_ALONE,
            "prompts.box_jitter_fraction": 0.0,
            "prompts.box_margin_pixels": 20.0,
            "optimizer.peak_learning_rate": 1e-4,
            "optimizer.schedule": "constant",
            "optimizer.weight_decay": 0.01,
            "data.global_batch_size": 5 * 4 * 8,
            "data.max_objects_per_image": 1,
            "images": 100 * 30_000,
            "precision": "float32",
            "augmentation.enabled": False,
            "objective.kind": "dice_bce",
            "objective.dice_weight": 1.0,
            "objective.bce_weight": 1.0,
            "objective.positive_weight": 1.0,
        },
    },
    "ultrasam_vit_b": {
        ULTRASAM: {
            **ONE_CLICK,
            "prompts.box_probability": 0.5,
            "prompts.box_jitter_fraction": 0.05,
            "num_error_clicks": 0,
            "num_mask_refinements": 1,
            "candidates_in_last_pass": True,
            "optimizer.peak_learning_rate": 1e-4,
            "optimizer.weight_decay": 1e-4,
            "optimizer.clip_gradient_norm": 0.1,
            "optimizer.warmup_steps": 500,
            "optimizer.schedule": "steps",
            "optimizer.milestone_factor": 0.1,
            "milestone steps": [20_000, 28_888],
            "run.max_steps": 30_000,
            "data.global_batch_size": 4 * 8,
            "data.max_objects_per_image": 20,
            "precision": "float32",
            "optimizer.ema_decay": None,
        },
        ULTRASAM_DATA: {
            "augmentation.flip_probability": 0.5,
            "augmentation.rotation_probability": 0.0,
            "augmentation.zoom_probability": 0.0,
            "augmentation.contrast_probability": 0.0,
            "augmentation.gamma_probability": 0.0,
            "augmentation.speckle_probability": 0.0,
        },
        ULTRASAM_LOSS: {
            "objective.kind": "focal_dice_iou",
            "objective.focal_weight": 20.0,
            "objective.focal_dice_weight": 1.0,
            "objective.iou_weight": 1.0,
            "objective.focal_alpha": 0.25,
            "objective.focal_gamma": 2.0,
            "objective.dice_smoothing_pixels": 1.0,
        },
    },
    "sam_med2d_vit_b": {
        SAM_MED2D: {
            **ADAM,
            **ONE_CLICK,
            "prompts.box_probability": 0.5,
            "prompts.box_jitter_fraction": 0.0,
            "prompts.box_shift_pixels": 5.0,
            "num_error_clicks": 8,
            "error_clicks_per_pass": [1, 3, 5, 9],
            "optimizer.peak_learning_rate": 1e-4,
            "optimizer.schedule": "constant",
            "data.global_batch_size": 2,
            "data.max_objects_per_image": 5,
            "images": 15 * 30_000,
            "objective.kind": "focal_dice_iou",
            "objective.focal_weight": 20.0,
            "objective.focal_dice_weight": 1.0,
            "objective.iou_weight": 1.0,
        },
    },
    "autosamus_vit_b": {SAMUS: SAMUS_TRAINING, SAMUS_DATA: SAMUS_AUGMENTATION},
}
"""Recipe, then where its figures are from, then the figures by option."""

SIBLINGS = {"sam_unet_res50_vit_b": "sam_unet_res34_vit_b", "medsa_vit_h": "medsa_vit_b"}
"""Published model without a recipe file of its own to the one that it takes."""


def recipe(name: str, *words: str) -> PretrainConfig:
    return load_config(
        PretrainConfig, [f"preset={name}", "data.train=corpus", *words], presets=PRESET_FILES
    )


def figures(config: PretrainConfig) -> dict[str, Any]:
    """Return every option by its dotted name, and what recipes give in other units."""
    milestones, max_steps = config.optimizer.milestones, config.run.max_steps
    return {
        **_flat(dataclasses.asdict(config)),
        "images": max_steps * config.data.global_batch_size,
        "milestone steps": [round(fraction * max_steps) for fraction in milestones],
        "milestones in epochs of 12": [round(12 * fraction, 3) for fraction in milestones],
        "inverses of the exponents of gamma": [
            round(1 / exponent, 3) for exponent in reversed(config.augmentation.gamma_range)
        ],
    }


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def tiny_relative(preset: str) -> str:
    """Return the `_tiny` preset of the same name, or else of the same type."""
    tiny = [name for name in PRESETS if name.endswith("_tiny")]
    named = [name for name in tiny if f"{preset}_".startswith(name.removesuffix("tiny"))]
    alike = [name for name in tiny if type(PRESETS[name]) is type(PRESETS[preset])]
    return max(named, key=len) if named else alike[0]


def assert_published(config: PretrainConfig, name: str) -> None:
    found = figures(config)
    for source, published in PUBLISHED[name].items():
        assert {option: found[option] for option in published} == published, source


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_published_figures(name: str) -> None:
    assert_published(recipe(name), name)


@pytest.mark.parametrize("preset", SIBLINGS)
def test_a_model_without_a_recipe_takes_its_siblings(preset: str) -> None:
    config = recipe(SIBLINGS[preset], f"model.preset={preset}")
    assert_published(config, SIBLINGS[preset])
    with torch.device("meta"):
        prepared = prepare_segmenter(config, categories=())
    assert prepared.segmenter.architecture == PRESETS[preset]
    assert type(PRESETS[preset]) is type(PRESETS[recipe(SIBLINGS[preset]).model.preset])


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_trains_a_model_of_its_name(name: str) -> None:
    config = recipe(name)
    assert config.run.name == name
    assert config.model.preset in PRESETS


def test_ultrasams_rate_falls_at_the_published_steps() -> None:
    config = recipe("ultrasam_vit_b")

    def rate(step: int) -> float:
        return learning_rate_at(step, config=config.optimizer, max_steps=config.run.max_steps)

    assert rate(499) == rate(19_999) == pytest.approx(1e-4)
    assert rate(20_000) == rate(28_887) == pytest.approx(1e-5)
    assert rate(28_888) == rate(29_999) == pytest.approx(1e-6)


def test_the_optimizer_without_decay_is_adam() -> None:
    ours, theirs = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(peak_learning_rate=0.1, weight_decay=0.0)
    optimizers = (
        (ours, build_optimizer(ours, config=config)),
        (theirs, torch.optim.Adam(theirs.parameters(), lr=0.1)),
    )
    for _ in range(3):
        for module, optimizer in optimizers:
            optimizer.zero_grad()
            module(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


# Med-SA's ViT-H has the tiny relative of its ViT-B.
@pytest.mark.slow
@pytest.mark.parametrize("name", [*PUBLISHED, "sam_unet_res50_vit_b"])
def test_a_recipe_trains_its_tiny_relative_for_three_steps(
    name: str, nano_corpora: Path, tmp_path: Path
) -> None:
    words = _words_of(name)
    result = pretrain(nano_config(nano_corpora, root=tmp_path, words=words))
    losses = losses_of(result.folder.path)
    assert sorted(losses) == [1, 2, 3]
    assert all(norm > 0 for _, norm in losses.values())


def _words_of(name: str) -> tuple[str, ...]:
    """Return what the recipe says, and after it what makes its run a matter of seconds."""
    sibling = SIBLINGS.get(name)
    asked = figures(recipe(sibling, f"model.preset={name}") if sibling else recipe(name))
    sections = ("prompts.", "augmentation.", "objective.", "optimizer.")
    passes = ("num_error_clicks", "error_clicks_per_pass", "num_mask_refinements")
    words = [
        f"{option}={json.dumps(value)}"
        for option, value in asked.items()
        if option.startswith(sections) or option in (*passes, "candidates_in_last_pass")
    ]
    preset = f"model.preset={tiny_relative(asked['model.preset'])}"
    small = ["run.max_steps=3", "optimizer.warmup_steps=0", "data.max_objects_per_image=2"]
    return (preset, *words, *small)
