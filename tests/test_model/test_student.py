"""The student: what it weighs beside SAMUS, and that an image's answer is its own."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model import Prompts, SamArchitecture, build_segmenter
from model.sam import SamSegmenter
from model.student_config import StudentArchitecture


def flops_and_encoder_parameters(name):
    """Count on the meta device, where nothing is computed: one image and one click."""
    with torch.device("meta"):
        segmenter = build_segmenter(name).eval()
        side = segmenter.architecture.input_size
        prompts = Prompts(
            image_index=torch.zeros(1, dtype=torch.long),
            points=torch.zeros(1, 1, 2),
            point_labels=torch.ones(1, 1, dtype=torch.long),
        )
        with FlopCounterMode(display=False) as counter, torch.enable_grad():
            segmenter(torch.zeros(1, 1, side, side), prompts)
    assert isinstance(segmenter, SamSegmenter)
    count = sum(weights.numel() for weights in segmenter.image_encoder.parameters())
    return counter.get_total_flops(), count


@pytest.mark.slow
def test_the_student_is_small_and_ten_times_cheaper_than_samus():
    of_student, parameters = flops_and_encoder_parameters("samus_student")
    of_samus, _ = flops_and_encoder_parameters("samus_vit_b")
    assert 5e6 <= parameters <= 10e6
    assert 10 * of_student <= of_samus
    assert 10 * of_student <= 326e9  # as published for SAMUS ViT-B


def test_the_student_takes_and_gives_what_samus_does():
    with torch.device("meta"):
        student, samus = build_segmenter("samus_student"), build_segmenter("samus_vit_b")
    assert student.framing == samus.framing
    mine, theirs = student.architecture, samus.architecture
    assert isinstance(mine, SamArchitecture)
    assert isinstance(theirs, SamArchitecture)
    assert (mine.embedding_width, mine.grid_size) == (theirs.embedding_width, theirs.grid_size)
    shapes = {name: tensor.shape for name, tensor in student.state_dict().items()}
    shared = ("mask_decoder.", "prompt_encoder.")
    for name, tensor in samus.state_dict().items():
        assert not name.startswith(shared) or shapes[name] == tensor.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branch_depths": (1, 1)}, "four numbers each"),
        ({"patch_stride": 2}, r"expected one of \(4, 8, 16, 32\)"),
        ({"input_size": 80}, "a multiple of 32"),
    ],
)
def test_measures_that_no_convnext_has_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StudentArchitecture(**options)
