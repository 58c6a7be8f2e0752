"""Every published layout is told by its names, and all of it finds its place."""

import json
import logging
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from segment_anything import sam_model_registry
from torch import nn

from model import (
    PRESETS,
    Prompts,
    SamArchitecture,
    Segmenter,
    build_segmenter,
    load_weights,
    write_flattened,
)
from model.published_layouts import recognise_layout
from model.sam_unet_config import SamUnetArchitecture
from model.weights_report import WeightsError
from tests.support.parity_weights import published_without_storage
from tests.support.preset_contract import SAM_AND_RELATIVES
from tests.support.small_sam import small_sam
from tests.support.ultrasam_layout import as_ultrasam

slow = pytest.mark.slow

PUBLISHED = {
    "samus_vit_b": ("samus", "samus_vit_b"),
    "autosamus_vit_b": ("autosamus", "autosamus_vit_b"),
    "sam_unet_res34_vit_b": ("sam_unet", "sam_unet_res34_vit_b"),
    "sam_med2d_vit_b": ("sam_med2d", "sam_med2d_vit_b"),
}
"""Table of shapes to its layout, and the preset that has just these tensors."""

IN_NO_SAM_UNET = (
    "mask_decoder.iou_token.",
    "mask_decoder.mask_tokens.",
    "mask_decoder.output_hypernetworks_mlps.",
    "mask_decoder.iou_prediction_head.",
)


def sam_preset(name: str) -> SamArchitecture:
    architecture = PRESETS[name]
    assert isinstance(architecture, SamArchitecture)
    return architecture


def on_meta(preset: str, **options: Any):
    with torch.device("meta"):
        return build_segmenter(preset, **options)


@pytest.mark.parametrize("table", PUBLISHED)
def test_every_tensor_of_a_published_file_has_its_place(table, shared_folder):
    layout, preset = PUBLISHED[table]
    tensors = published_without_storage(shared_folder / f"parity/{table}.shapes.json")
    segmenter = on_meta(preset)
    report = load_weights(segmenter, tensors)
    assert report.layout == layout
    assert sorted(report.loaded) == sorted(segmenter.state_dict())
    assert len(report.loaded) == len(tensors)
    assert (report.resized, report.new, report.left_out) == ((), (), {})


def test_med_sa_loses_only_the_adapters_of_volumes_and_keeps_relative_positions(shared_folder):
    tensors = published_without_storage(shared_folder / "parity/medsa_vit_b_encoder.shapes.json")
    segmenter = on_meta("medsa_vit_b", input_size=224)
    heads = {
        name: value
        for name, value in segmenter.state_dict().items()
        if not name.startswith("image_encoder.")
    }
    report = load_weights(segmenter, tensors | heads)
    assert report.layout == "medsa"
    assert len(report.left_out) == 12 * 4
    assert all(".Depth_Adapter." in name for name in report.left_out)
    assert "48 left out (adapters along the depth of volumes)" in report.summary()
    assert sum("relative_positions" in name for name in report.loaded) == 24
    assert (report.resized, report.new) == ((), ())


def sam_unet_with_whole_resnet(*, has_bottlenecks: bool = False) -> Segmenter:
    return build_segmenter(
        "sam_unet_tiny",
        depth=4,
        global_blocks=(0, 1, 2, 3),
        branch_blocks=(3, 4, 6, 3),
        branch_channels=(64, 128, 256, 512),
        branch_has_bottlenecks=has_bottlenecks,
    ).eval()


def trained_resnet(name: str) -> nn.Module:
    resnet = getattr(torchvision.models, name)().eval()
    for buffer in resnet.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
    return resnet


@pytest.mark.parametrize(
    ("name", "has_bottlenecks"), [("resnet34", False), pytest.param("resnet50", True, marks=slow)]
)
def test_a_resnet_of_torchvision_starts_the_branch_and_nothing_else(name, has_bottlenecks):
    resnet = trained_resnet(name)
    segmenter = sam_unet_with_whole_resnet(has_bottlenecks=has_bottlenecks)
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    report = load_weights(segmenter, resnet.state_dict())
    assert report.layout == "resnet"
    assert set(report.left_out) == {"fc.weight", "fc.bias"}
    assert len(report.loaded) == len(resnet.state_dict()) - 2
    assert len(report.loaded) + len(report.new) == len(before)
    after = segmenter.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in report.new)
    images = torch.rand(1, 3, 64, 64)
    expected = images
    layers = [name for name, _ in resnet.named_children() if name not in ("avgpool", "fc")]
    with torch.no_grad():
        for layer in layers:
            expected = resnet.get_submodule(layer)(expected)
        *_, found = segmenter.get_submodule("image_encoder.branch")(images)
    assert layers[-1] == "layer4"
    assert torch.equal(found, expected)


@slow
def test_an_early_resnet_file_counts_no_batches_and_is_taken():
    tensors = torchvision.models.resnet34().state_dict()
    early = {key: value for key, value in tensors.items() if "num_batches" not in key}
    report = load_weights(sam_unet_with_whole_resnet(), early)
    assert len(report.loaded) == len(early) - 2


def test_a_resnet_of_another_size_or_for_another_model_is_refused():
    with torch.device("meta"):
        tensors = torchvision.models.resnet34().state_dict()
        other = sam_unet_with_whole_resnet(has_bottlenecks=True)
    with pytest.raises(
        WeightsError, match=r"looks like torchvision's ResNet, but does not fit sam_"
    ):
        load_weights(other, tensors)
    with pytest.raises(
        WeightsError, match=r"ResNet, but does not fit samus .* is not in this model"
    ):
        load_weights(on_meta("samus_tiny"), tensors)


def test_an_encoder_alone_is_refused_where_a_whole_model_is_asked_for(shared_folder):
    tensors = published_without_storage(shared_folder / "parity/medsa_vit_b_encoder.shapes.json")
    with pytest.raises(WeightsError, match=r"looks like Med-SA ViT-B .* 137 tensors of the model"):
        load_weights(on_meta("medsa_vit_b", input_size=224), tensors)


@pytest.mark.parametrize("preset", SAM_AND_RELATIVES)
def test_a_file_of_sam_starts_every_relative_of_it(preset):
    architecture = sam_preset(preset)
    weights = small_sam(architecture).state_dict()
    segmenter = build_segmenter(preset)
    report = load_weights(segmenter, weights)
    assert report.layout == "sam"
    accounted = (*report.loaded, *report.resized, *report.left_out)
    assert len(accounted) == len(weights)
    dropped = IN_NO_SAM_UNET if isinstance(architecture, SamUnetArchitecture) else ()
    assert set(report.left_out) == {name for name in weights if name.startswith(dropped)}
    own = segmenter.state_dict().keys()
    assert {*report.loaded, *report.resized, *report.new} == own
    known = {kind.__name__ for kind in segmenter.added_to_sam}
    assert set(report.new_kinds) <= known
    assert bool(report.new) == bool(known)


@pytest.mark.parametrize(
    ("preset", "num_resized"),
    [
        ("samus_vit_b", 8),
        ("autosamus_vit_b", 8),
        ("sam_unet_res34_vit_b", 9),
        ("sam_med2d_vit_b", 9),
        ("medsa_vit_b", 0),
    ],
)
@pytest.mark.filterwarnings("ignore:for .*num_batches_tracked")  # a real counter, made on meta
def test_the_real_sam_fits_the_real_relatives_after_resizing_positions(preset, num_resized):
    with torch.device("meta"):
        sam = sam_model_registry["vit_b"]().state_dict()
    report = load_weights(on_meta(preset), sam)
    assert len(report.resized) == num_resized
    assert len(report.loaded) + num_resized + len(report.left_out) == len(sam)
    tables = [name for name in report.resized if "relative_positions" not in name]
    assert tables == (["image_encoder.positions.table.weight"] if num_resized == 9 else [])


def test_a_table_of_positions_is_resized_as_published_unless_it_is_adapted():
    weights = small_sam(sam_preset("sam_tiny")).state_dict()
    segmenter = build_segmenter("sam_tiny", position_grid=5)
    report = load_weights(segmenter, weights)
    assert report.resized == ("image_encoder.positions.table.weight",)
    table = weights["image_encoder.pos_embed"].permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(table, (5, 5), mode="bilinear")
    found = segmenter.state_dict()["image_encoder.positions.table.weight"]
    torch.testing.assert_close(found, expected.permute(0, 2, 3, 1), rtol=0, atol=0)
    adapted = build_segmenter("samus_tiny", position_grid=16)
    large = small_sam(sam_preset("samus_tiny")).state_dict()
    with pytest.raises(WeightsError, match=r"positions\.table\.weight is 1 x 32 x 32 x 48, here"):
        load_weights(adapted, large)


def test_ultrasams_file_gives_what_sams_names_give(tmp_path):
    sam = small_sam(sam_preset("ultrasam_tiny")).state_dict()
    released = as_ultrasam(sam)
    assert len(released) < len(sam)
    path = tmp_path / "UltraSam.pth"
    torch.save({"state_dict": released, "meta": {"epoch": 1}, "message_hub": torch.Generator}, path)
    expected, found = build_segmenter("ultrasam_tiny"), build_segmenter("ultrasam_tiny")
    load_weights(expected, sam)
    report = load_weights(found, path)
    assert report.layout == "ultrasam"
    assert len(report.loaded) == len(sam)
    wanted = expected.state_dict()
    for name, value in found.state_dict().items():
        assert value.equal(wanted[name]), name


def test_a_decoder_without_the_doubled_residual_is_warned_of_ultrasams_weights(caplog):
    released = as_ultrasam(small_sam(sam_preset("sam_tiny")).state_dict())
    with caplog.at_level(logging.WARNING):
        load_weights(build_segmenter("ultrasam_tiny"), released)
        assert caplog.text == ""
        load_weights(build_segmenter("sam_tiny"), released)
    assert "was made for doubled_residual=True" in caplog.text


def test_hugging_faces_layout_gives_what_sams_names_give():
    """Names, shapes and answers are those of its SamModel, recorded; the weights are by name."""
    recorded = json.loads(Path(__file__).with_name("hugging_face_sam.json").read_text())
    weights = {name: normal_by_name(name, shape) for name, shape in recorded["tensors"].items()}
    shared = "shared_image_embedding.positional_embedding"
    weights["prompt_encoder.shared_embedding.positional_embedding"] = weights[shared]
    segmenter = build_segmenter("sam_tiny").eval()
    report = load_weights(segmenter, weights)
    assert report.layout == "sam_hugging_face"
    assert sorted(report.loaded) == sorted(segmenter.state_dict())
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    prompts = Prompts(
        image_index=torch.tensor([0]),
        points=torch.tensor([[[20.0, 30.0]]]),
        point_labels=torch.tensor([[1]]),
    )
    with torch.inference_mode():
        found = segmenter(image, prompts)
        embedding = segmenter.encode(image).embedding
    assert embedding[0, :, ::4, ::4].flatten().tolist() == pytest.approx(
        recorded["embedding"], abs=1e-4
    )
    mask = found.low_resolution_logits.squeeze()[::6, ::6]
    assert mask.flatten().tolist() == pytest.approx(recorded["mask"], abs=1e-3)
    assert found.predicted_iou.flatten().tolist() == pytest.approx(recorded["iou"], abs=1e-4)


def normal_by_name(name: str, shape: list[int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return 0.3 * torch.randn(shape, generator=generator)


def test_two_tensors_that_mean_the_same_are_refused():
    weights = small_sam(sam_preset("sam_tiny")).state_dict()
    weights["image_encoder.positions.table.weight"] = weights["image_encoder.pos_embed"]
    with pytest.raises(ValueError, match=r"Two tensors mean image_encoder\.positions\.table"):
        load_weights(build_segmenter("sam_tiny"), weights)


def test_an_own_samus_starts_an_autosamus_and_lacks_its_generator_alone(tmp_path):
    samus = build_segmenter("samus_tiny")
    write_flattened(samus, tmp_path / "whole")
    autosamus = build_segmenter("autosamus_tiny")
    for source in (tmp_path / "whole", samus.state_dict()):
        report = load_weights(autosamus, source)
        assert sorted(report.loaded) == sorted(samus.state_dict())
        assert set(report.new_kinds) <= {k.__name__ for k in autosamus.added_to_parent}
    state = autosamus.state_dict()
    del state["dense_adapter.0.weight"]
    with pytest.raises(WeightsError, match=r"such as dense_adapter\.0\.weight"):
        load_weights(autosamus, state)


def test_an_own_checkpoint_must_hold_all_that_its_kind_has(tmp_path):
    write_flattened(build_segmenter("samus_tiny", has_detail_skip=False), tmp_path / "plain")
    with pytest.raises(WeightsError, match=r"tensors of the model are not in it, such as detail"):
        load_weights(build_segmenter("samus_tiny"), tmp_path / "plain")


def test_a_layout_of_which_parts_are_missing_is_guessed_and_the_parts_are_named(shared_folder):
    tensors = published_without_storage(shared_folder / "parity/sam_unet_res34_vit_b.shapes.json")
    encoder = {
        name: value for name, value in tensors.items() if not name.startswith("adapters_bridge.")
    }
    with pytest.raises(
        ValueError, match=r"the nearest is SAM-UNet, but no name in it has 'adapters_bridge\.'"
    ):
        load_weights(build_segmenter("samus_tiny"), encoder)


def test_sam_2_is_known_by_its_names_alone():
    weights = {"image_encoder.trunk.blocks.0.norm1.weight": torch.ones(2)}
    assert recognise_layout(weights) is not None
    with pytest.raises(ValueError, match="looks like SAM 2, which is known by its names alone"):
        load_weights(build_segmenter("sam_tiny"), weights)


def test_another_models_layout_is_named_with_the_preset_that_takes_it(shared_folder):
    tensors = published_without_storage(shared_folder / "parity/samus_vit_b.shapes.json")
    with pytest.raises(WeightsError, match=r"looks like SAMUS ViT-B .*Build the preset"):
        load_weights(build_segmenter("sam_tiny"), tensors)
