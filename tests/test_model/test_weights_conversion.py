"""Any layout becomes ours, and SAM and SAMUS come back as they were."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from segment_anything import sam_model_registry

from model import (
    ConversionConfig,
    build_segmenter,
    convert_weights,
    load_feature_extractor,
    load_segmenter,
    load_weights,
    write_flattened,
)
from model.published_names import SAMUS_NAMES, SAMUS_PAIRS, published_name, translate_name
from model.weights_conversion import fitting_preset, write_published
from tests.support.parity_weights import published_without_storage
from tests.support.small_sam import SAMUS_TINY, small_sam
from tests.support.ultrasam_layout import as_ultrasam


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    same = first.keys() == second.keys()
    return same and all(value.equal(second[name]) for name, value in first.items())


AS_PUBLISHED: dict[str, Any] = {"has_detail_skip": False, "branch_normalisation": "layer"}


def sam_weights(preset: str = "sam_tiny") -> dict[str, torch.Tensor]:
    return small_sam(build_segmenter(preset).architecture).state_dict()  # pyright: ignore[reportArgumentType]


def samus_weights() -> dict[str, torch.Tensor]:
    segmenter = build_segmenter("samus_tiny", **AS_PUBLISHED)
    state = segmenter.state_dict()
    return {published_name(name, pairs=SAMUS_PAIRS): value for name, value in state.items()}


def convert(source, output, **options):
    return convert_weights(ConversionConfig(source=str(source), output=str(output), **options))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_sam_becomes_ours_and_comes_back_as_it_was(suffix, tmp_path):
    weights = sam_weights()
    torch.save(weights, tmp_path / "sam.pth")
    there = convert(tmp_path / "sam.pth", tmp_path / "own")
    assert (there.model, there.report.layout) == ("sam_tiny", "sam")
    segmenter = load_segmenter(tmp_path / "own")
    assert len(segmenter.state_dict()) == len(weights) == there.num_tensors
    back = tmp_path / f"back{suffix}"
    convert(tmp_path / "own", back, target="sam")
    found = load_file(back) if suffix == ".safetensors" else torch.load(back, weights_only=True)
    assert equal(found, weights)
    small_sam(segmenter.architecture).load_state_dict(found)  # pyright: ignore[reportArgumentType]


def test_samus_becomes_ours_and_comes_back_as_it_was(tmp_path):
    # No preset of this size lacks our detail skip: the architecture is the checkpoint's.
    weights = samus_weights()
    segmenter = build_segmenter("samus_tiny", **AS_PUBLISHED)
    assert load_weights(segmenter, weights).layout == "samus"
    write_flattened(segmenter, tmp_path / "own")
    convert(tmp_path / "own", tmp_path / "back.pth", target="samus")
    assert equal(torch.load(tmp_path / "back.pth", weights_only=True), weights)


def test_a_branch_that_is_normalised_otherwise_is_not_written_as_samus(tmp_path):
    segmenter = build_segmenter("samus_tiny", has_detail_skip=False)
    with pytest.raises(ValueError, match="normalises its branch by instance"):
        write_published(segmenter, tmp_path / "samus.pth", layout="samus")


def test_the_published_names_of_samus_come_back_letter_by_letter(shared_folder):
    published = json.loads((shared_folder / "parity/samus_vit_b.shapes.json").read_text())
    for name in published:
        own = translate_name(name, names=SAMUS_NAMES)
        assert published_name(own, pairs=SAMUS_PAIRS) == name


def test_ultrasams_file_becomes_ours_and_sams_with_a_warning(tmp_path, caplog):
    weights = sam_weights("ultrasam_tiny")
    torch.save({"state_dict": as_ultrasam(weights)}, tmp_path / "UltraSam.pth")
    done = convert(tmp_path / "UltraSam.pth", tmp_path / "own")
    assert (done.model, done.report.layout) == ("ultrasam_tiny", "ultrasam")
    assert load_segmenter(tmp_path / "own").architecture.kind == "ultrasam"
    assert "residual" not in caplog.text
    convert(tmp_path / "own", tmp_path / "sam.pth", target="sam")
    assert equal(torch.load(tmp_path / "sam.pth", weights_only=True), weights)
    assert "doubles a residual" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "preset",
    ["medsa_tiny", "sam_med2d_tiny", "sam_unet_tiny", "sam_unet_res50_tiny", "unet_tiny"],
)
def test_tensors_of_our_own_find_their_preset(preset, tmp_path):
    segmenter = build_segmenter(preset)
    torch.save(segmenter.state_dict(), tmp_path / "weights.pth")
    assert convert(tmp_path / "weights.pth", tmp_path / "own").model == preset
    assert equal(load_segmenter(tmp_path / "own").state_dict(), dict(segmenter.state_dict()))


@pytest.mark.parametrize(
    "table", ["samus_vit_b", "autosamus_vit_b", "sam_unet_res34_vit_b", "sam_med2d_vit_b"]
)
def test_a_published_file_finds_its_preset(table, shared_folder):
    tensors = published_without_storage(shared_folder / f"parity/{table}.shapes.json")
    assert fitting_preset(tensors, origin=table) == table


def test_med_sas_published_file_finds_its_preset(shared_folder):
    """The table is of its encoder for images of 224 pixels: the rest is SAM's at 1024."""
    sam = sam_without_storage()
    tensors = published_without_storage(shared_folder / "parity/medsa_vit_b_encoder.shapes.json")
    for name, value in sam.items():
        if not name.startswith("image_encoder.") or ".rel_pos_" in name:
            tensors[re.sub(r"\.rel_pos_([hw])$", r".rel_\1", name)] = value
    assert fitting_preset(tensors, origin="medsa") == "medsa_vit_b"


def test_hugging_faces_and_ultrasams_files_find_their_presets():
    recorded = json.loads(Path(__file__).with_name("hugging_face_sam.json").read_text())
    tensors = {
        name: torch.empty(shape, device="meta") for name, shape in recorded["tensors"].items()
    }
    assert fitting_preset(tensors, origin="hugging face") == "sam_tiny"
    assert fitting_preset(as_ultrasam(sam_without_storage()), origin="ultrasam") == "ultrasam_vit_b"


def sam_without_storage() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return sam_model_registry["vit_b"]().state_dict()


def test_presets_that_no_tensor_tells_apart_are_all_named(caplog, shared_folder):
    assert fitting_preset(sam_without_storage(), origin="medsam_vit_b.pth") == "sam_vit_b"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "medsam_vit_b.pth: taken for sam_vit_b; also fits medsam,"
    )
    assert "give preset=medsam if" in record.getMessage()
    caplog.clear()
    samus = published_without_storage(shared_folder / "parity/samus_vit_b.shapes.json")
    fitting_preset(samus, origin="samus.pth")
    assert caplog.records == []


def test_an_encoder_alone_is_what_load_feature_extractor_reads(tmp_path):
    torch.save(sam_weights(), tmp_path / "sam.pth")
    convert(tmp_path / "sam.pth", tmp_path / "encoder", target="encoder")
    convert(tmp_path / "sam.pth", tmp_path / "own")
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        features = load_feature_extractor(tmp_path / "encoder")(image)[-1]
        assert features.equal(load_segmenter(tmp_path / "own").encode(image).embedding)


def test_random_numbers_are_not_written_for_what_the_file_lacks(tmp_path):
    torch.save(small_sam(SAMUS_TINY).state_dict(), tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"tensors of samus_tiny are not in it .* Train them"):
        convert(tmp_path / "sam.pth", tmp_path / "own", preset="samus_tiny")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize(
    ("preset", "target", "message"),
    [
        ("medsa_tiny", "sam", "A medsa cannot be written in the layout sam"),
        ("sam_tiny", "samus", "A sam cannot be written in the layout samus"),
        ("autosamus_tiny", "samus", "A autosamus cannot be written"),
        ("unet_tiny", "sam", "A unet cannot be written"),
        ("samus_tiny", "samus", r"no place for \d+ tensors, such as detail_skip"),
    ],
)
def test_a_model_that_a_layout_has_no_room_for_is_refused(preset, target, message, tmp_path):
    write_flattened(build_segmenter(preset), tmp_path / "own")
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "own", tmp_path / "out.pth", target=target)
    assert not (tmp_path / "out.pth").exists()


def test_a_file_that_fits_no_preset_says_what_it_looks_like(tmp_path):
    weights = sam_weights()
    del weights["mask_decoder.iou_token.weight"]
    torch.save(weights, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match=r"looks like SAM .* no preset has exactly its tensors"):
        convert(tmp_path / "sam.pth", tmp_path / "own")
    with pytest.raises(ValueError, match=r"such as mask_decoder\.iou_token\.weight"):
        convert(tmp_path / "sam.pth", tmp_path / "own", preset="sam_tiny")
    torch.save({"conv1.weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="looks like no layout that is known here"):
        convert(tmp_path / "other.pth", tmp_path / "own")


def test_an_output_of_an_unknown_kind_or_that_is_there_is_refused(tmp_path):
    write_flattened(build_segmenter("sam_tiny"), tmp_path / "own")
    with pytest.raises(ValueError, match=r"expected a name that ends in \.pth or \.safetensors"):
        convert(tmp_path / "own", tmp_path / "sam.onnx", target="sam")
    with pytest.raises(FileExistsError, match="is there already"):
        convert(tmp_path / "own", tmp_path / "own")
