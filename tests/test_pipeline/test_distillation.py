"""A student that learns from a teacher, in the training step and as a run."""

from pathlib import Path

import pytest
import torch

from model import ObjectiveConfig, build_segmenter, write_flattened
from model.autosamus import AutosamusSegmenter
from pipeline import PretrainConfig, load_config
from pipeline.distillation import (
    Teacher,
    open_teacher,
    refuse_unfit_teacher,
    start_from_teacher,
)
from pipeline.distillation_config import DistillationConfig
from pipeline.train_step import TAUGHT_FEATURES, TAUGHT_MASKS, TrainingStep
from tests.support.training_batches import SIDE, make_batch

PRESET_FILES = Path(__file__).resolve().parents[2] / "launchers" / "presets"


def built(name, *, input_size=SIDE, **overrides):
    torch.manual_seed(0)
    return build_segmenter(name, input_size=input_size, **overrides)


def step_of(segmenter, teacher=None):
    return TrainingStep(
        segmenter,
        objective=ObjectiveConfig(),
        global_batch_size=2,
        num_ranks=1,
        teacher=teacher,
    ).train()


def sums_of(step):
    return {name: value.item() for name, value in step(make_batch([1, 2])).sums.items()}


def frozen(segmenter, **options):
    config = DistillationConfig(teacher="there", **options)
    return Teacher(segmenter=segmenter.eval().requires_grad_(False), config=config)


def test_a_student_like_its_teacher_has_nothing_to_learn_of_its_features():
    student = built("samus_tiny")
    terms = sums_of(step_of(student, frozen(built("samus_tiny"))))
    assert terms[TAUGHT_FEATURES] == pytest.approx(0.0, abs=1e-9)
    plain = sums_of(step_of(student))
    assert terms["total"] == pytest.approx(plain["total"] + terms[TAUGHT_MASKS], rel=1e-5)


def test_weights_of_the_terms_are_theirs_and_zero_leaves_them_out():
    student, teacher = built("samus_student_tiny"), built("samus_tiny")
    once = sums_of(step_of(student, frozen(teacher)))
    more = sums_of(step_of(student, frozen(teacher, feature_weight=3.0, mask_weight=0.0)))
    assert more[TAUGHT_FEATURES] == pytest.approx(3 * once[TAUGHT_FEATURES], rel=1e-5)
    assert TAUGHT_MASKS not in more
    assert once[TAUGHT_MASKS] > 0


@pytest.mark.slow
def test_a_few_steps_bring_the_students_features_nearer_and_leave_the_teacher_as_it_was():
    student, teacher = built("samus_student_tiny"), built("samus_tiny")
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    step = step_of(student, frozen(teacher, mask_weight=0.0, feature_weight=100.0))
    assert not [name for name, _ in step.named_parameters() if "teacher" in name]
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    batch, distances = make_batch([1, 1]), []
    for _ in range(8):
        terms = step(batch)
        distances.append(terms.sums[TAUGHT_FEATURES].item())
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
    assert distances[-1] < 0.8 * distances[0]
    assert all(torch.equal(teacher.state_dict()[name], before[name]) for name in before)


def test_masks_by_category_are_learnt_without_features():
    categories = ("first", "second")
    student, teacher = (
        built(name, categories=categories) for name in ("unet_tiny", "autosamus_tiny")
    )
    step = step_of(student, frozen(teacher, feature_weight=0.0))
    terms = sums_of(step)
    assert terms[TAUGHT_MASKS] > 0
    assert TAUGHT_FEATURES not in terms


def test_an_automatic_student_learns_features_masks_and_presence_of_an_autosamus():
    categories = ("first", "second")
    student, teacher = (
        built(name, categories=categories) for name in ("autosamus_student_tiny", "autosamus_tiny")
    )
    taught = frozen(teacher)
    start_from_teacher(student, taught)
    for name, expected in teacher.state_dict().items():
        if not name.startswith(("image_encoder.", "detail_skip.")):
            assert torch.equal(student.state_dict()[name], expected), name
    terms = sums_of(step_of(student, taught))
    assert terms[TAUGHT_FEATURES] > 0
    assert terms[TAUGHT_MASKS] > 0


def test_what_a_teacher_calls_absent_teaches_presence_and_no_mask():
    """Its mask of such a category is empty, whatever it would have drawn."""
    categories = ("first", "second")
    student, teacher = (
        built(name, categories=categories) for name in ("autosamus_student_tiny", "autosamus_tiny")
    )
    features = teacher.eval().encode(make_batch([1, 2]).images)
    assert isinstance(teacher, AutosamusSegmenter)
    assert teacher.presence_head is not None
    with torch.no_grad():
        teacher.presence_head.readout.bias.copy_(torch.tensor([1000.0, -1000.0]))
    answer = student.decode(student.encode(make_batch([1, 2]).images))
    assert answer.presence_logits is not None
    loss = frozen(teacher).mask_loss(answer, None, taught=features)
    judgement, mask = torch.autograd.grad(
        [loss.sum()], (answer.presence_logits, answer.low_resolution_logits)
    )
    sees = torch.tensor([1.0, 0.0, 1.0, 0.0])
    torch.testing.assert_close(judgement, answer.presence_logits.sigmoid() - sees)
    assert (mask.abs().amax(dim=(1, 2, 3)) > 0).tolist() == [True, False, True, False]


def test_a_student_starts_from_the_prompts_and_masks_of_its_teacher():
    student, teacher = built("samus_student_tiny"), built("samus_tiny")
    with torch.no_grad():
        for weights in teacher.parameters():
            weights.add_(0.5)
    start_from_teacher(student, frozen(teacher))
    mine, theirs = student.state_dict(), teacher.state_dict()
    shared = [name for name in mine if name.startswith(("mask_decoder.", "prompt_encoder."))]
    assert shared
    assert all(torch.equal(mine[name], theirs[name]) for name in shared)


@pytest.mark.parametrize(
    ("student", "overrides", "options", "message"),
    [
        ("samus_student_tiny", {"input_size": 64}, {}, "one takes images as"),
        ("unet_tiny", {}, {}, "they are not asked alike"),
        ("unet_tiny", {}, {"mask_weight": 0.0}, r"are \(32, 8\) and None"),
        ("samus_student_tiny", {"embedding_width": 64}, {}, r"are \(32, 8\) and \(64, 8\)"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, student, overrides, options, message):
    write_flattened(built("samus_tiny"), tmp_path / "teacher")
    config = DistillationConfig(teacher=str(tmp_path / "teacher"), **options)
    with pytest.raises(ValueError, match=message):
        open_teacher(config, student=built(student, **overrides))


@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        ("samus_student", "samus_vit_b"),
        ("autosamus_student", "autosamus_vit_b"),
        ("us30k_mini_student", "us30k_mini_small"),
        ("phantom_student", "phantom_tiny"),
        ("phantom_autosamus_student", "phantom_autosamus"),
    ],
)
def test_a_preset_for_a_student_fits_the_teacher_that_it_names(student, teacher):
    first_lines = (PRESET_FILES / f"{student}.yaml").read_text().splitlines()[:2]
    assert teacher in " ".join(first_lines)
    refuse_unfit_teacher(
        of_recipe(teacher), student=of_recipe(student), config=DistillationConfig(teacher="there")
    )


def of_recipe(name):
    """Return the model of a preset, without memory for its weights."""
    words = [f"preset={name}", "run.name=none", "data.train=none"]
    model = load_config(PretrainConfig, words, presets=PRESET_FILES).model
    with torch.device("meta"):
        return build_segmenter(model.preset, **model.overrides)


def test_a_teacher_of_whom_nothing_is_learnt_is_refused():
    with pytest.raises(ValueError, match="nothing is learnt from it"):
        DistillationConfig(teacher="there", feature_weight=0.0, mask_weight=0.0)
    with pytest.raises(ValueError, match=r"distillation\.mask_weight"):
        DistillationConfig(mask_weight=-1.0)
