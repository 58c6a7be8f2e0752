"""Plain SAM is `segment_anything`'s as a whole, and MedSAM is SAM with another recipe."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from model import (
    PRESETS,
    Prompts,
    SamArchitecture,
    Segmenter,
    build_segmenter,
    freeze,
    load_weights,
)
from model.encoder_input import as_encoder_input
from model.prompt_encoder import PromptEncoder
from tests.support.parity_weights import tensor_from_name
from tests.support.small_sam import small_sam


def architecture_of(name: str) -> SamArchitecture:
    architecture = PRESETS[name]
    assert isinstance(architecture, SamArchitecture)
    return architecture


def their_sam(name: str, **changes: Any) -> Sam:
    sam = small_sam(replace(architecture_of(name), **changes)).eval()
    for key, tensor in sam.state_dict().items():
        tensor.copy_(torch.from_numpy(tensor_from_name(key, shape=tuple(tensor.shape))))
    return sam


def our_sam(name: str, *, like: Sam, **changes: Any) -> Segmenter:
    segmenter = build_segmenter(name, **changes).eval()
    report = load_weights(segmenter, like.state_dict())
    assert (report.layout, report.resized, report.new) == ("sam", (), ())
    return segmenter


def photographs(*, side: int, count: int) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2))


def questions(kinds: str, *, side: int, patch_size: int) -> list[dict[str, Tensor]]:
    """Two questions about a first image and one about a second, in SAM's own terms."""
    unit = side / 64
    points = unit * torch.tensor([[[10.0, 30], [50, 5]], [[7, 8], [20, 60]], [[33, 2], [1, 1]]])
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    boxes = unit * torch.tensor([[4.0, 6, 40, 60], [0, 0, 63, 63], [30, 30, 50, 34]])
    mask_side = 4 * side // patch_size
    masks = torch.linspace(-3, 3, 3 * mask_side**2).reshape(3, 1, mask_side, mask_side).sin()
    of_image = []
    for rows in (slice(0, 2), slice(2, 3)):
        question: dict[str, Tensor] = {}
        if "points" in kinds:
            question |= {"point_coords": points[rows], "point_labels": labels[rows]}
        if "boxes" in kinds:
            question["boxes"] = boxes[rows]
        if "masks" in kinds:
            question["mask_inputs"] = masks[rows]
        of_image.append(question)
    return of_image


def as_prompts(of_image: list[dict[str, Tensor]]) -> Prompts:
    def joined(name: str) -> Tensor | None:
        return torch.cat([one[name] for one in of_image]) if name in of_image[0] else None

    return Prompts(
        image_index=torch.tensor(
            [place for place, one in enumerate(of_image) for _ in next(iter(one.values()))]
        ),
        points=joined("point_coords"),
        point_labels=joined("point_labels"),
        boxes=joined("boxes"),
        mask_logits=joined("mask_inputs"),
    )


def their_answers(
    sam: Sam, images: Tensor, of_image: list[dict[str, Tensor]], *, multimask: bool
) -> tuple[Tensor, Tensor]:
    size = tuple(images.shape[2:])
    records: list[dict[str, Any]] = [
        {"image": 255.0 * image, "original_size": size, **question}
        for image, question in zip(images, of_image, strict=True)
    ]
    with torch.no_grad():
        answers = sam(records, multimask_output=multimask)
    return (
        torch.cat([answer["low_res_logits"] for answer in answers]),
        torch.cat([answer["iou_predictions"] for answer in answers]),
    )


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 40), (30, 90), (64, 64)])
def test_a_letterboxed_image_reaches_the_encoder_as_in_segment_anything(
    num_channels: int, size: tuple[int, int]
) -> None:
    theirs, ours = their_sam("sam_tiny"), build_segmenter("sam_tiny")
    image = torch.rand(num_channels, *size, generator=torch.Generator().manual_seed(3))
    framed = ours.framing.frame(image)
    rows, columns = ours.framing.content_size(size)
    expected = theirs.preprocess(255.0 * framed[:, :rows, :columns])
    found = as_encoder_input(framed[None], architecture=architecture_of("sam_tiny"))[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


KINDS = ["points", "boxes", "points boxes", "masks", "points masks", "boxes masks"]


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("kinds", KINDS)
def test_images_and_prompts_of_a_batch_equal_segment_anything_one_by_one(
    kinds: str, multimask: bool
) -> None:
    theirs = their_sam("sam_tiny")
    ours = our_sam("sam_tiny", like=theirs)
    images, of_image = photographs(side=64, count=2), questions(kinds, side=64, patch_size=8)
    expected_masks, expected_iou = their_answers(theirs, images, of_image, multimask=multimask)
    with torch.no_grad():
        found = ours(images, as_prompts(of_image), multimask)
    assert found.predicted_iou is not None
    torch.testing.assert_close(found.low_resolution_logits, expected_masks, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.predicted_iou, expected_iou, rtol=1e-5, atol=1e-5)


TWO_BLOCKS: dict[str, Any] = {
    "input_size": 256,
    "position_grid": 16,
    "depth": 2,
    "global_blocks": (1,),
}
"""What differs of a large SAM, so that a test is a matter of seconds: a block of each kind."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"), [("sam_vit_b", {}), ("sam_vit_l", TWO_BLOCKS), ("sam_vit_h", TWO_BLOCKS)]
)
def test_sam_equals_segment_anything_in_its_own_width(name: str, changes: dict[str, Any]) -> None:
    theirs = their_sam(name, **changes)
    ours = our_sam(name, like=theirs, **changes)
    side = ours.architecture.input_size
    image = photographs(side=side, count=1)
    with torch.no_grad():
        embedding = theirs.image_encoder(theirs.preprocess(255.0 * image))
        features = ours.encode(image)
        torch.testing.assert_close(features.embedding, embedding, rtol=1e-5, atol=1e-5)
        for kinds in KINDS:
            of_image = questions(kinds, side=side, patch_size=16)[:1]
            question = of_image[0]
            sparse, dense = theirs.prompt_encoder(
                points=(question["point_coords"], question["point_labels"])
                if "points" in kinds
                else None,
                boxes=question.get("boxes"),
                masks=question.get("mask_inputs"),
            )
            for multimask in (False, True):
                expected, _ = theirs.mask_decoder(
                    embedding, theirs.prompt_encoder.get_dense_pe(), sparse, dense, multimask
                )
                found = ours.decode(features, as_prompts(of_image), multimask)
                torch.testing.assert_close(
                    found.low_resolution_logits, expected, rtol=1e-5, atol=1e-5
                )


def test_weights_of_a_larger_image_load_at_a_smaller_one() -> None:
    segmenter = build_segmenter("sam_tiny", input_size=32).eval()
    report = load_weights(segmenter, their_sam("sam_tiny").state_dict())
    assert {name.split(".")[2] for name in report.resized} == {"1", "2"}
    with torch.no_grad():
        answer = segmenter(photographs(side=32, count=1), a_box(side=32))
    assert answer.low_resolution_logits.shape == (1, 1, 16, 16)
    assert answer.low_resolution_logits.isfinite().all()


def test_images_are_normalised_by_the_mean_and_deviation_of_sam() -> None:
    sam = their_sam("sam_tiny")
    images = photographs(side=64, count=1)
    ours = our_sam("sam_tiny", like=sam).encode(images).embedding
    raw = build_segmenter("sam_tiny", normalises=False).eval()
    load_weights(raw, sam.state_dict())
    torch.testing.assert_close(raw.encode(sam.preprocess(255.0 * images)).embedding, ours)
    assert not torch.allclose(raw.encode(images).embedding, ours)


def a_box(*, side: int) -> Prompts:
    return Prompts(
        image_index=torch.tensor([0]), boxes=torch.tensor([[2.0, 3.0, side / 2, side - 4.0]])
    )


COUNTS = {
    "sam_vit_b": (93_735_472, 93_735_472),
    "sam_vit_l": (312_342_832, 312_342_832),
    "sam_vit_h": (641_090_608, 641_090_608),
    "medsam": (93_735_472, 93_729_252),
    "ultrasam_vit_b": (93_735_472, 93_735_472),
}
"""As published: all parameters, and those that the recipe trains, unused heads among them."""


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("has_base", [True, False])
def test_parameter_and_trainable_counts_are_exact(name: str, has_base: bool) -> None:
    with torch.device("meta"):
        report = freeze(build_segmenter(name), has_base=has_base)
    assert (report.num_parameters, report.num_trainable + report.num_unused) == COUNTS[name]


@pytest.mark.parametrize("has_base", [True, False])
def test_medsam_keeps_the_prompt_encoder_with_and_without_a_base(has_base: bool) -> None:
    segmenter = build_segmenter("medsam_tiny")
    freeze(segmenter, has_base=has_base, uses_predicted_iou=True)
    encoders = [module for module in segmenter.modules() if isinstance(module, PromptEncoder)]
    kept = {id(weight) for encoder in encoders for weight in encoder.parameters()}
    frozen = {name for name, p in segmenter.named_parameters() if not p.requires_grad}
    assert len(kept) > 10
    assert {id(p) for p in segmenter.parameters() if not p.requires_grad} >= kept
    assert all(
        name.startswith(("prompt_encoder.", "mask_decoder.output_hypernetworks_mlps."))
        for name in frozen
    )


def test_medsam_reads_its_released_layout_and_sees_pixels_as_they_are() -> None:
    theirs = their_sam("medsam_tiny")
    ours = our_sam("medsam_tiny", like=theirs)
    image = photographs(side=64, count=1)
    with torch.no_grad():
        embedding = theirs.image_encoder(image)
        features = ours.encode(image)
        prompts = a_box(side=64)
        sparse, dense = theirs.prompt_encoder(points=None, boxes=prompts.boxes, masks=None)
        positions = theirs.prompt_encoder.get_dense_pe()
        expected, _ = theirs.mask_decoder(embedding, positions, sparse, dense, False)
        found = ours.decode(features, prompts).low_resolution_logits
    torch.testing.assert_close(features.embedding, embedding, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
