"""A checkpoint folder gives back the segmenter that was trained, or says why it cannot."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model import (
    BaseFile,
    Prompts,
    architecture_to_dict,
    build_segmenter,
    find_checkpoint,
    freeze,
    load_segmenter,
    load_weights,
    tensors_to_store,
    verify_complete,
    write_base_record,
    write_complete_marker,
    write_flattened,
)
from tests.support.small_sam import SAMUS_TINY, small_sam


def write_checkpoint(folder, segmenter, *, from_base=frozenset(), base=None, average=None):
    folder.mkdir(parents=True)
    description = architecture_to_dict(segmenter, preset="samus_tiny")
    (folder / "architecture.json").write_text(json.dumps(description))
    save_file(tensors_to_store(segmenter, from_base=from_base), folder / "weights.safetensors")
    save_file({"step": torch.ones(1)}, folder / "optimizer.safetensors")
    if base is not None:
        write_base_record(folder, base=base)
    if average is not None:
        save_file(average, folder / "ema.safetensors")
    write_complete_marker(folder)
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    """A run with two complete checkpoints; the older one is the best."""
    for step in (3, 12):
        torch.manual_seed(step)
        segmenter = build_segmenter("samus_tiny")
        write_checkpoint(tmp_path / f"run/checkpoints/step-{step:08d}", segmenter)
    (tmp_path / "run/checkpoints/BEST").write_text("step-00000003\n")
    return tmp_path / "run"


@pytest.fixture
def finetuned(tmp_path):
    """A checkpoint of a model whose frozen part is in a SAM file, and that model."""
    base_path = tmp_path / "weights/sam_tiny.pth"
    base_path.parent.mkdir()
    torch.save(small_sam(SAMUS_TINY).state_dict(), base_path)
    segmenter = build_segmenter("samus_tiny")
    report = load_weights(segmenter, base_path)
    freeze(segmenter, has_base=True)
    with torch.no_grad():
        for weight in segmenter.parameters():
            if weight.requires_grad:
                weight.add_(0.01)
    folder = tmp_path / "run/checkpoints/step-00000001"
    write_checkpoint(folder, segmenter, from_base=report.from_base, base=report.base)
    return folder, segmenter, base_path


def assert_same_weights(first, second):
    one, other = first.state_dict(), second.state_dict()
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.equal(other[name]), name


def test_a_checkpoint_gives_back_the_same_answers(run):
    torch.manual_seed(12)
    trained = build_segmenter("samus_tiny").eval()
    loaded = load_segmenter(run / "checkpoints/step-00000012")
    assert not loaded.training
    assert_same_weights(loaded, trained)
    image = torch.rand(1, 1, 64, 64)
    prompts = Prompts(
        image_index=torch.tensor([0]),
        points=torch.tensor([[[30.0, 20.0]]]),
        point_labels=torch.tensor([[1]]),
    )
    with torch.inference_mode():
        found, expected = loaded(image, prompts), trained(image, prompts)
    assert found.low_resolution_logits.equal(expected.low_resolution_logits)


def test_a_run_means_its_best_checkpoint_and_else_its_latest(run):
    assert find_checkpoint(run).name == "step-00000003"
    (run / "checkpoints/BEST").unlink()
    assert find_checkpoint(run).name == "step-00000012"
    assert find_checkpoint(run / "checkpoints").name == "step-00000012"


def test_interrupted_checkpoints_are_passed_over_with_a_word(run, caplog):
    checkpoints = run / "checkpoints"
    (checkpoints / "BEST").unlink()
    (checkpoints / "step-00000012/COMPLETE").unlink()
    shutil.copytree(checkpoints / "step-00000003", checkpoints / "step-00000020.partial")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(run).name == "step-00000003"
    assert "step-00000012: passed over" in caplog.text
    (checkpoints / "step-00000003/COMPLETE").unlink()
    with pytest.raises(ValueError, match=r"no complete checkpoint among 2 step-\* folders"):
        find_checkpoint(run)


def test_a_best_checkpoint_that_is_gone_is_said_before_the_latest_is_taken(run, caplog):
    shutil.rmtree(run / "checkpoints/step-00000003")
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint(run).name == "step-00000012"
    assert "step-00000003 is no complete checkpoint" in caplog.text


def test_a_folder_named_outright_must_be_complete(run):
    folder = run / "checkpoints/step-00000012"
    (folder / "COMPLETE").unlink()
    with pytest.raises(ValueError, match="no COMPLETE marker, so writing this checkpoint was"):
        load_segmenter(folder)


@pytest.mark.parametrize("name", ["architecture.json", "weights.safetensors"])
def test_a_changed_file_is_found_by_its_sha256(run, name):
    path = run / "checkpoints/step-00000003" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: not the file that was written"):
        load_segmenter(run)


def test_only_what_is_read_is_hashed_but_all_must_be_there(run):
    folder = run / "checkpoints/step-00000003"
    (folder / "optimizer.safetensors").write_bytes(b"changed")
    load_segmenter(folder)
    with pytest.raises(ValueError, match=r"optimizer\.safetensors: not the file"):
        verify_complete(folder)
    (folder / "optimizer.safetensors").unlink()
    with pytest.raises(ValueError, match=r"optimizer\.safetensors: missing, though COMPLETE"):
        load_segmenter(folder)


@pytest.mark.parametrize("name", ["ema.safetensors", "base.json", "run_state.json"])
def test_a_part_that_came_after_the_checkpoint_was_written_is_refused(run, name):
    folder = run / "checkpoints/step-00000003"
    shutil.copy(folder / "weights.safetensors", folder / name)
    with pytest.raises(ValueError, match=rf"{name}: not a file of this checkpoint"):
        verify_complete(folder)
    with pytest.raises(ValueError, match=r"COMPLETE does not list it.*Move it away"):
        load_segmenter(run)


def test_notes_and_a_base_file_may_lie_beside_the_parts_of_a_checkpoint(run):
    folder = run / "checkpoints/step-00000003"
    (folder / "notes.json").write_text("{}")
    shutil.copy(folder / "weights.safetensors", folder / "samus_base.safetensors")
    verify_complete(folder)


def test_a_marker_of_a_newer_format_or_a_damaged_one_is_refused(run):
    marker = run / "checkpoints/step-00000003/COMPLETE"
    marker.write_text('{"format_version": 2, "files": {}}')
    with pytest.raises(ValueError, match="format version 2, this program reads up to 1"):
        load_segmenter(run)
    marker.write_text("{")
    with pytest.raises(ValueError, match="COMPLETE: not JSON"):
        load_segmenter(run)
    marker.write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object, found list"):
        load_segmenter(run)


def test_an_architecture_of_a_newer_format_is_refused(run):
    folder = run / "checkpoints/step-00000003"
    description = json.loads((folder / "architecture.json").read_text())
    (folder / "architecture.json").write_text(json.dumps({**description, "format_version": 99}))
    write_complete_marker(folder)
    with pytest.raises(ValueError, match="format_version 99"):
        load_segmenter(folder)


def test_a_path_that_is_no_run_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_segmenter(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="neither a checkpoint"):
        load_segmenter(tmp_path)


def test_frozen_tensors_come_from_the_base_file_and_the_rest_from_the_checkpoint(finetuned):
    folder, trained, base_path = finetuned
    stored = (folder / "weights.safetensors").stat().st_size
    assert stored < sum(value.nbytes for value in trained.state_dict().values())
    assert_same_weights(load_segmenter(folder), trained)
    assert json.loads((folder / "base.json").read_text())["hint"] == str(base_path)


@pytest.mark.parametrize("place", ["step-00000001", ".", ".."])
def test_a_base_that_moved_beside_the_checkpoint_is_found(finetuned, place):
    folder, trained, base_path = finetuned
    target = folder if place == "step-00000001" else folder.parent / place
    shutil.move(base_path, target / base_path.name)
    assert_same_weights(load_segmenter(folder), trained)


def test_a_base_that_is_gone_is_asked_for_by_name_sha256_and_option(finetuned, tmp_path):
    folder, trained, base_path = finetuned
    moved = tmp_path / "renamed.pth"
    shutil.move(base_path, moved)
    sha256 = json.loads((folder / "base.json").read_text())["sha256"]
    with pytest.raises(FileNotFoundError, match=rf"'sam_tiny\.pth' \(sha256 {sha256}\).*`base=`"):
        load_segmenter(folder)
    assert_same_weights(load_segmenter(folder, base=moved), trained)
    with pytest.raises(FileNotFoundError, match=r"elsewhere\.pth: no such file, given as `base=`"):
        load_segmenter(folder, base=tmp_path / "elsewhere.pth")


def test_another_file_of_the_same_name_is_not_taken_for_the_base(finetuned):
    folder, _, base_path = finetuned
    torch.save(small_sam(SAMUS_TINY, qkv_bias=True).state_dict(), base_path)
    base_path.write_bytes(base_path.read_bytes() + b"\0")
    with pytest.raises(FileNotFoundError, match=r"sam_tiny\.pth \(another sha256\)"):
        load_segmenter(folder)
    with pytest.raises(ValueError, match="Give that file as `base=`"):
        load_segmenter(folder, base=base_path)


def test_a_part_of_a_checkpoint_points_to_its_folder(finetuned):
    folder, _, _ = finetuned
    with pytest.raises(ValueError, match=r"a part of a checkpoint.*Give the folder"):
        load_weights(build_segmenter("samus_tiny"), folder / "weights.safetensors")


def test_a_checkpoint_that_lacks_a_tensor_is_refused(run):
    folder = run / "checkpoints/step-00000003"
    stored = tensors_to_store(build_segmenter("samus_tiny"))
    del stored["mask_decoder.iou_token.weight"]
    save_file(stored, folder / "weights.safetensors")
    write_complete_marker(folder)
    with pytest.raises(ValueError, match=r"not in it, such as mask_decoder\.iou_token\.weight"):
        load_segmenter(folder)


def test_averaged_weights_are_taken_unless_asked_otherwise(tmp_path):
    segmenter = build_segmenter("samus_tiny")
    average = {name: weight.detach() + 1 for name, weight in segmenter.named_parameters()}
    folder = write_checkpoint(tmp_path / "step-00000001", segmenter, average=average)
    averaged = load_segmenter(folder)
    for name, weight in averaged.named_parameters():
        assert weight.equal(average[name])
    for name, buffer in averaged.named_buffers():
        assert buffer.equal(segmenter.get_buffer(name))
    assert_same_weights(load_segmenter(folder, use_ema=False), segmenter)


def test_fine_tuning_from_a_checkpoint_keeps_what_the_first_run_trained(finetuned, tmp_path):
    folder, first, base_path = finetuned
    second = build_segmenter("samus_tiny")
    report = load_weights(second, folder)
    assert report.base is not None
    assert report.base.path == base_path
    second.requires_grad_(requires_grad=False)
    stored = tensors_to_store(second, from_base=report.from_base)
    trained_before = {name for name, weight in first.named_parameters() if weight.requires_grad}
    assert trained_before <= set(stored)
    copy = tmp_path / "second/step-00000001"
    write_checkpoint(copy, second, from_base=report.from_base, base=report.base)
    assert_same_weights(load_segmenter(copy), first)


def test_a_full_checkpoint_may_be_the_base_of_another(tmp_path):
    first = build_segmenter("samus_tiny")
    folder = write_checkpoint(tmp_path / "first/step-00000001", first)
    second = build_segmenter("samus_tiny")
    report = load_weights(second, folder / "weights.safetensors")
    assert isinstance(report.base, BaseFile)
    freeze(second, has_base=True)
    copy = tmp_path / "second/step-00000001"
    write_checkpoint(copy, second, from_base=report.from_base, base=report.base)
    assert_same_weights(load_segmenter(copy), first)


def test_a_checkpoint_of_another_model_says_which_one_it_is(run):
    with pytest.raises(ValueError, match="looks like samus_tiny, a checkpoint, but this model is"):
        load_weights(build_segmenter("unet_tiny"), run)


def test_a_flattened_checkpoint_needs_no_other_file(finetuned, tmp_path):
    folder, trained, base_path = finetuned
    write_flattened(load_segmenter(folder), tmp_path / "whole", preset="samus_tiny")
    base_path.unlink()
    assert_same_weights(load_segmenter(tmp_path / "whole"), trained)
    report = load_weights(build_segmenter("samus_tiny"), tmp_path / "whole")
    assert (report.base, report.from_base) == (None, frozenset())
    with pytest.raises(FileExistsError, match="is there already"):
        write_flattened(trained, tmp_path / "whole")
