"""What holds for every preset. Adding a preset adds no code here."""

import dataclasses

import pytest
import torch

from model import (
    PRESETS,
    Prompts,
    SamArchitecture,
    architecture_to_dict,
    build_from_architecture,
    build_segmenter,
    freeze,
)
from model.prompt_encoder import PromptEncoder
from model.sam import SamSegmenter
from tests.support.preset_contract import (
    AUTOMATIC,
    FULL_SIZE,
    PROMPTED,
    SAM_AND_RELATIVES,
    TINY,
    batches_for,
    built,
    images_for,
    only_row,
    prompts_for,
    usual_prompts,
)

KINDS_OF_BATCHES = [
    (name, kind) for name in PROMPTED for kind in batches_for(name) if kind != "no object"
]


def test_every_family_has_a_preset_for_tests() -> None:
    families = {type(PRESETS[name]) for name in FULL_SIZE}
    assert families == {type(PRESETS[name]) for name in TINY}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("num_channels", [1, 3])
def test_output_is_finite_and_of_the_declared_shape(name: str, num_channels: int) -> None:
    segmenter = built(name).eval()
    images = images_for(segmenter, num_images=2).expand(-1, num_channels, -1, -1)
    prompts = usual_prompts(name, segmenter)
    with torch.no_grad():
        answer = segmenter(images, prompts)
    num_rows = 2 * len(segmenter.categories) if prompts is None else prompts.num_prompts
    assert answer.low_resolution_logits.shape[:2] == (num_rows, 1)
    assert answer.low_resolution_logits.isfinite().all()
    for scores in (answer.predicted_iou, answer.presence_logits):
        assert scores is None or (scores.shape[0] == num_rows and scores.isfinite().all())


@pytest.mark.parametrize(("name", "kind"), KINDS_OF_BATCHES)
def test_a_prompt_gives_the_same_mask_alone_and_in_a_batch(name: str, kind: str) -> None:
    # In 64 bits, where what differs is not the rounding of another order of sums.
    segmenter = built(name).eval().double()
    images = images_for(segmenter, num_images=2).double()
    prompts = in_64_bits(prompts_for(segmenter, kind=kind))
    with torch.no_grad():
        together = segmenter(images, prompts).low_resolution_logits
        for row in range(prompts.num_prompts):
            alone = segmenter(images[prompts.image_index[row]][None], only_row(prompts, row))
            torch.testing.assert_close(
                alone.low_resolution_logits[0], together[row], rtol=1e-9, atol=1e-10
            )


def in_64_bits(prompts: Prompts | None) -> Prompts:
    assert prompts is not None
    reals = {
        item.name: value.double()
        for item in dataclasses.fields(prompts)
        if (value := getattr(prompts, item.name)) is not None and value.is_floating_point()
    }
    return dataclasses.replace(prompts, **reals)


@pytest.mark.parametrize("name", AUTOMATIC)
def test_an_image_gives_the_same_answers_alone_and_in_a_batch(name: str) -> None:
    segmenter = built(name).eval().double()
    images = images_for(segmenter, num_images=3).double()
    with torch.no_grad():
        together = segmenter(images).low_resolution_logits.unflatten(0, (3, -1))
        for place in range(3):
            alone = segmenter(images[place][None]).low_resolution_logits
            torch.testing.assert_close(alone, together[place], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", TINY)
def test_weights_survive_a_round_trip_through_description_and_state(name: str) -> None:
    segmenter = built(name).eval()
    copy = build_from_architecture(architecture_to_dict(segmenter, preset=name)).eval()
    copy.load_state_dict(segmenter.state_dict())
    images = images_for(segmenter, num_images=2)
    prompts = usual_prompts(name, segmenter)
    with torch.no_grad():
        first, second = segmenter(images, prompts), copy(images, prompts)
    assert copy.architecture == segmenter.architecture
    torch.testing.assert_close(
        first.low_resolution_logits, second.low_resolution_logits, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", PROMPTED)
def test_a_prompt_is_read_as_x_then_y_in_framed_pixels(name: str) -> None:
    segmenter = built(name)
    architecture = segmenter.architecture
    assert isinstance(architecture, SamArchitecture)
    (encoder,) = (part for part in segmenter.modules() if isinstance(part, PromptEncoder))
    cells = torch.tensor([[3, 1], [2, 0], [5, 4]])  # (column, row): a click, corners of a box
    centres = (cells + 0.5) * architecture.patch_stride - 0.5
    index = torch.tensor([0])
    click = Prompts(image_index=index, points=centres[None, :1], point_labels=torch.tensor([[1]]))
    box = Prompts(image_index=index, boxes=centres[1:].reshape(1, 4))
    with torch.no_grad():
        inside, *corners = (encoder.point_embeddings[kind](index)[0] for kind in (1, 2, 3))
        grid = encoder.grid_positions()[0].unflatten(0, (architecture.grid_size, -1))
        found = torch.stack([encoder(click).tokens[0, 0], *encoder(box).tokens[0, -2:]])
    expected = grid[cells[:, 1], cells[:, 0]] + torch.stack([inside, *corners])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", SAM_AND_RELATIVES)
def test_with_plugs_of_zeros_the_encoder_is_sams(name: str) -> None:
    variant = built(name).eval()
    assert isinstance(variant, SamSegmenter)
    sam = plain_sam_of(variant)
    ours, theirs = variant.image_encoder, sam.image_encoder
    names_of_sam = set(dict(theirs.named_parameters()))
    # A plug for the positions replaces SAM's table and adds nothing to it: both get the same.
    theirs.positions = ours.positions
    with torch.no_grad():
        for path, weight in ours.named_parameters():
            if path not in names_of_sam and not path.startswith("positions."):
                weight.zero_()
        theirs.load_state_dict(ours.state_dict(), strict=False)
        images = images_for(variant, num_images=2)
        torch.testing.assert_close(variant.encode(images).embedding, sam.encode(images).embedding)


def plain_sam_of(variant: SamSegmenter) -> SamSegmenter:
    """Return SAM with what a variant's architecture has of SAM's."""
    names = [field.name for field in dataclasses.fields(SamArchitecture)]
    values = {name: getattr(variant.architecture, name) for name in names}
    return SamSegmenter(SamArchitecture(**values)).eval()


@pytest.mark.parametrize("name", TINY)
def test_images_that_were_not_framed_are_refused(name: str) -> None:
    segmenter = built(name)
    side = segmenter.architecture.input_size
    with pytest.raises(ValueError, match="Divide 8-bit images by 255"):
        segmenter._as_three_channels(torch.zeros(1, 1, side, side, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"segmenter\.framing\.frame"):
        segmenter.encode(torch.zeros(1, 1, side + 1, side))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        segmenter.encode(torch.zeros(1, 2, side, side))


@pytest.mark.parametrize("name", PROMPTED)
def test_a_prompted_model_says_what_it_wants_to_be_asked(name: str) -> None:
    segmenter = built(name).eval()
    with pytest.raises(ValueError, match="answers prompts, and got none: give"):
        segmenter(images_for(segmenter, num_images=1))


@pytest.mark.parametrize("name", PROMPTED)
def test_a_prompt_outside_of_the_image_is_refused(name: str) -> None:
    segmenter = built(name).eval()
    side = float(segmenter.architecture.input_size)
    box = Prompts(image_index=torch.tensor([0]), boxes=torch.tensor([[2.0, 3.0, 2 * side, 30.0]]))
    with pytest.raises(ValueError, match="outside of the framed image"):
        segmenter(images_for(segmenter, num_images=1), box)


@pytest.mark.parametrize("name", [name for name in PROMPTED if "mixed" not in batches_for(name)])
def test_a_kind_of_prompt_that_a_model_does_not_take_is_refused(name: str) -> None:
    segmenter = built(name).eval()
    kind = "clicks" if "points" not in segmenter.prompt_kinds else "boxes"
    with pytest.raises(ValueError, match="as prompts, and got"):
        segmenter(images_for(segmenter, num_images=2), prompts_for(segmenter, kind=kind))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in PROMPTED if "masks" in getattr(PRESETS[name], "prompt_kinds", ())]
)
def test_prompts_with_and_without_an_earlier_mask_are_answered_together_as_alone(name: str) -> None:
    segmenter = built(name).eval()
    images, prompts = images_for(segmenter, num_images=2), usual_prompts(name, segmenter)
    assert prompts is not None
    size = (prompts.num_prompts, 1, segmenter.mask_size, segmenter.mask_size)
    masks = torch.randn(size, generator=torch.Generator().manual_seed(2))
    has_mask = torch.arange(prompts.num_prompts) % 2 == 0
    masked = dataclasses.replace(prompts, mask_logits=masks)
    mixed = dataclasses.replace(masked, has_mask=has_mask)
    with torch.no_grad():
        found, with_masks, without = (
            segmenter(images, one).low_resolution_logits for one in (mixed, masked, prompts)
        )
    expected = torch.where(has_mask[:, None, None, None], with_masks, without)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (with_masks - without).abs().amax() > 1e-3  # the mask is heard


@pytest.mark.parametrize("name", AUTOMATIC)
def test_an_automatic_model_refuses_prompts(name: str) -> None:
    segmenter = built(name).eval()
    prompt = Prompts(image_index=torch.tensor([0]), boxes=torch.tensor([[2.0, 3.0, 20.0, 30.0]]))
    with pytest.raises(ValueError, match="by itself"):
        segmenter(images_for(segmenter, num_images=1), prompt)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL_SIZE)
def test_larger_presets_answer_in_the_declared_shape_without_memory(name: str) -> None:
    with torch.device("meta"):
        segmenter = build_segmenter(name).eval()
    report = freeze(segmenter, has_base=True)
    assert 0 < report.num_trainable <= report.num_parameters
    architecture = segmenter.architecture
    side = architecture.input_size
    with torch.device("meta"):
        prompts = None if segmenter.is_automatic else one_box()
        answer = segmenter(torch.zeros(1, 1, side, side), prompts)
    cells = 4 * architecture.grid_size if isinstance(architecture, SamArchitecture) else side
    assert answer.low_resolution_logits.shape == (1, 1, cells, cells)


def one_box() -> Prompts:
    return Prompts(image_index=torch.zeros(1, dtype=torch.long), boxes=torch.zeros(1, 4))
