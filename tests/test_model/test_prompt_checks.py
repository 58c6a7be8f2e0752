"""What cannot be asked is refused, with what was expected."""

import re
from typing import Any

import jaxtyping
import pytest
import torch

from model import Prompts, Segmenter, build_segmenter
from model.prompt_checks import PromptLimits, refuse_unfit_prompts

INDEX = torch.tensor([0, 0])
POINTS = torch.tensor([[[5.0, 9.0]], [[20.0, 3.0]]])
LABELS = torch.tensor([[1], [0]])
BOXES = torch.tensor([[2.0, 3.0, 20.0, 30.0], [0.0, 0.0, 63.0, 63.0]])


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter("sam_tiny").eval()


def ask(segmenter: Segmenter, prompts: Prompts | None, *, multimask: bool | None = None) -> None:
    with torch.no_grad():
        segmenter.decode(segmenter.encode(torch.rand(1, 3, 64, 64)), prompts, multimask)


def clicks(points: torch.Tensor = POINTS, labels: torch.Tensor = LABELS) -> Prompts:
    return Prompts(image_index=INDEX, points=points, point_labels=labels)


WRONG_SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "a point without its prompt's axis": (
        {"points": POINTS[:, 0], "point_labels": LABELS},
        r"points has shape \(2, 2\); expected 2 \(prompts\) x any \(point\) x 2 \(x y\)",
    ),
    "three coordinates": (
        {"points": torch.zeros(2, 1, 3), "point_labels": LABELS},
        r"points has shape \(2, 1, 3\); expected .* x 2 \(x y\)",
    ),
    "points of fewer prompts": (
        {"points": POINTS[:1], "point_labels": LABELS[:1]},
        r"points has shape \(1, 1, 2\); expected 2 \(prompts\)",
    ),
    "more labels than points": (
        {"points": POINTS, "point_labels": torch.ones(2, 2, dtype=torch.long)},
        r"point_labels has shape \(2, 2\); expected 2 \(prompts\) x 1 \(point\)",
    ),
    "points without labels": ({"points": POINTS}, "points only; points and point_labels go"),
    "corners as rows": (
        {"boxes": BOXES.reshape(2, 2, 2)},
        r"boxes has shape \(2, 2, 2\); expected 2 \(prompts\) x 4 \(x0 y0 x1 y1\)",
    ),
    "a mask without a channel": (
        {"mask_logits": torch.zeros(2, 32, 32)},
        r"mask_logits has shape \(2, 32, 32\); expected 2 \(prompts\) x 1 \(channel\)",
    ),
    "whole numbers as coordinates": (
        {"points": POINTS.long(), "point_labels": LABELS},
        r"points holds torch\.int64; expected real numbers",
    ),
    "real numbers as labels": (
        {"points": POINTS, "point_labels": LABELS.float()},
        r"point_labels holds torch\.float32; expected whole numbers",
    ),
}


@pytest.fixture
def _as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the hook that checks shapes in tests alone, and would fire first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("_as_users_run_it")
@pytest.mark.parametrize("case", WRONG_SHAPES)
def test_tensors_of_another_shape_are_refused_where_prompts_are_made(case: str) -> None:
    fields, said = WRONG_SHAPES[case]
    with pytest.raises(ValueError, match=said):
        Prompts(image_index=INDEX, **fields)


@pytest.mark.usefixtures("_as_users_run_it")
def test_an_image_index_that_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one number per prompt"):
        Prompts(image_index=torch.tensor(0), boxes=BOXES[:1])


WRONG_VALUES: dict[str, tuple[Prompts, str]] = {
    "a click to the right of the image": (
        clicks(POINTS + torch.tensor([50.0, 0.0])),
        r"points holds \(70, 3\), .* of 64 x 64 pixels: expected \(x, y\) from -1 to 64\.",
    ),
    "a click that is no number": (clicks(POINTS * torch.nan), r"holds \(nan, nan\), .* outside"),
    "a box beyond the image": (
        Prompts(image_index=INDEX, boxes=BOXES - 10.0),
        r"boxes holds \(-8, -7\), .* segmenter\.framing first",
    ),
    "a box from right to left": (
        Prompts(image_index=INDEX, boxes=BOXES[:, [2, 1, 0, 3]]),
        r"boxes holds \[20\.0, 3\.0, 2\.0, 30\.0\]; expected .* x0 < x1 and y0 < y1",
    ),
    "an unknown label": (clicks(labels=LABELS + 3), r"point_labels holds 4; expected 1 inside"),
    "a label below -1": (clicks(labels=LABELS - 2), r"point_labels holds -2; expected 1 inside"),
    "an image that is not there": (
        Prompts(image_index=INDEX + 1, boxes=BOXES),
        "image_index holds 1, but there are 1 images: expected 0 to 0",
    ),
    "a mask of another grid": (
        Prompts(image_index=INDEX, mask_logits=torch.zeros(2, 1, 64, 64)),
        "mask_logits is 64 x 64; sam takes its own low-resolution logits, 32 x 32",
    ),
    "a category": (
        Prompts(image_index=INDEX, boxes=BOXES, category=INDEX),
        r"sam knows no categories: leave Prompts\.category out",
    ),
    "nothing": (Prompts(image_index=INDEX), "that ask nothing: give points, boxes or masks"),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_questions_that_make_no_sense_are_refused(segmenter: Segmenter, case: str) -> None:
    prompts, said = WRONG_VALUES[case]
    with pytest.raises(ValueError, match=said):
        ask(segmenter, prompts)


def test_the_edges_of_the_image_and_empty_slots_are_no_mistake(segmenter: Segmenter) -> None:
    edges = torch.tensor([[[-0.5, 63.5]], [[63.5, -0.5]]])
    ask(segmenter, clicks(edges))
    ask(segmenter, clicks(torch.full_like(POINTS, 1e6), torch.full_like(LABELS, -1)))


@pytest.mark.parametrize("side", [64, 1024])
def test_a_refusal_names_the_limits_that_are_refused_beyond(side: int) -> None:
    limits = PromptLimits(
        model="sam",
        kinds=frozenset({"points"}),
        num_categories=0,
        num_images=1,
        input_size=side,
        mask_size=side // 4,
    )
    with pytest.raises(ValueError, match="outside of the framed image") as refused:
        refuse_unfit_prompts(clicks(POINTS + 2 * side), limits=limits)
    named = re.search(r"from (-[\d.]+) to ([\d.]+)\.", str(refused.value))
    assert named is not None
    lowest, highest = (float(number) for number in named.groups())
    assert (lowest, highest) == (-0.01 * side, 1.01 * side - 1) if side > 100 else (-1.0, 64.0)
    inside = torch.tensor([[[lowest, highest]], [[highest, lowest]]])
    refuse_unfit_prompts(clicks(inside), limits=limits)
    for beyond in (inside - 0.1, inside + 0.1):
        with pytest.raises(ValueError, match="outside of the framed image"):
            refuse_unfit_prompts(clicks(beyond), limits=limits)


def test_no_prompt_is_refused(segmenter: Segmenter) -> None:
    with pytest.raises(ValueError, match="sam answers prompts, and got none: give points, boxes"):
        ask(segmenter, None)


@pytest.mark.parametrize(
    ("kinds", "prompts", "said"),
    [
        (("points",), Prompts(image_index=INDEX, boxes=BOXES), "takes points .* got boxes"),
        (("points",), clicks(labels=LABELS + 2), "takes points .* got boxes"),
        (("boxes", "masks"), clicks(), "takes boxes and masks .* got points"),
        (
            ("points", "boxes"),
            Prompts(image_index=INDEX, boxes=BOXES, mask_logits=torch.zeros(2, 1, 32, 32)),
            "takes points and boxes .* got masks",
        ),
    ],
)
def test_a_kind_of_prompt_that_the_model_does_not_take_is_refused(
    kinds: tuple[str, ...], prompts: Prompts, said: str
) -> None:
    segmenter = build_segmenter("sam_tiny", prompt_kinds=kinds).eval()
    with pytest.raises(ValueError, match=said):
        ask(segmenter, prompts)


def test_corners_among_the_points_are_boxes(segmenter: Segmenter) -> None:
    del segmenter
    boxed = build_segmenter("sam_tiny", prompt_kinds=("boxes",)).eval()
    ask(
        boxed,
        Prompts(
            image_index=INDEX,
            points=BOXES.unflatten(1, (2, 2)),
            point_labels=torch.tensor([[2, 3], [2, 3]]),
        ),
    )


def test_training_may_click_beside_an_object_that_vanished() -> None:
    boxed = build_segmenter("sam_tiny", prompt_kinds=("boxes",)).train()
    ask(boxed, clicks(labels=torch.tensor([[0], [-1]])))


def test_an_unknown_kind_of_prompt_is_refused_in_the_architecture() -> None:
    with pytest.raises(ValueError, match="expected one or more of boxes, masks, points"):
        build_segmenter("sam_tiny", prompt_kinds=("scribbles",))


def test_prompts_for_an_automatic_model_are_refused() -> None:
    automatic = build_segmenter("autosamus_tiny").eval()
    for prompts, multimask in ((clicks(), None), (None, True)):
        with pytest.raises(ValueError, match="every category by itself: give neither prompts nor"):
            ask(automatic, prompts, multimask=multimask)


def test_nothing_on_a_gpu_is_waited_for() -> None:
    # No value of a tensor on this device can be looked at: a look would raise another error.
    on_device = clicks(POINTS + 1e6).to("meta")
    limits = PromptLimits(
        model="sam",
        kinds=frozenset({"points"}),
        num_categories=0,
        num_images=1,
        input_size=64,
        mask_size=32,
    )
    assert refuse_unfit_prompts(on_device, limits=limits) is on_device
