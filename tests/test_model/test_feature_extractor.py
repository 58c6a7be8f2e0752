"""An encoder alone: what it returns, what it says about it, and that it is a copy."""

import pytest
import torch

from model import (
    PRESETS,
    build_segmenter,
    feature_extractor,
    load_feature_extractor,
    write_encoder,
    write_flattened,
)

TINY = [
    name for name, preset in PRESETS.items() if name.endswith("_tiny") and preset.kind != "unet"
]


def image(side: int = 64) -> torch.Tensor:
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("preset", TINY)
def test_the_maps_are_what_the_description_says_and_the_last_is_the_embedding(preset):
    segmenter = build_segmenter(preset).eval()
    extractor = feature_extractor(segmenter).eval()
    with torch.inference_mode():
        maps = extractor(image())
        embedding = segmenter.encode(image()).embedding
    info = extractor.feature_info
    assert [features.shape[1] for features in maps] == info.channels()
    assert [64 // features.shape[-1] for features in maps] == info.reduction()
    assert info.module_name()[-1] == "embedding"
    assert maps[-1].equal(embedding)


def test_a_samus_gives_its_branch_from_full_resolution_down_and_its_global_blocks():
    extractor = feature_extractor(build_segmenter("samus_tiny"))
    names = ["branch.0", "branch.1", "branch.2", "blocks.1", "blocks.2", "embedding"]
    assert extractor.feature_info.module_name() == names
    assert extractor.feature_info.channels() == [16, 24, 48, 48, 48, 32]
    assert extractor.feature_info.reduction() == [1, 2, 4, 4, 4, 4]


def test_chosen_stages_come_alone_and_in_the_chosen_order():
    segmenter = build_segmenter("samus_tiny").eval()
    whole, some = feature_extractor(segmenter), feature_extractor(segmenter, out_indices=(5, 1))
    with torch.inference_mode():
        everything, chosen = whole.eval()(image()), some.eval()(image())
    assert chosen[0].equal(everything[5])
    assert chosen[1].equal(everything[1])
    assert some.feature_info.channels() == [32, 24]
    with pytest.raises(ValueError, match=r"out_indices is \(6,\); the stages are 0 branch\.0, 1"):
        feature_extractor(segmenter, out_indices=(6,))


def test_tokens_are_those_after_their_block():
    segmenter = build_segmenter("sam_tiny").eval()
    extractor = feature_extractor(segmenter).eval()
    seen: list[torch.Tensor] = []
    block = segmenter.get_submodule("image_encoder.blocks.1")
    handle = block.register_forward_hook(lambda *call: seen.append(call[2][0]))
    with torch.inference_mode():
        segmenter.encode(image())
        maps = extractor(image())
    handle.remove()
    assert maps[0].equal(seen[0].permute(0, 3, 1, 2))


def test_training_a_head_on_it_leaves_the_segmenter_as_it_was():
    segmenter = build_segmenter("sam_unet_tiny")
    taps = segmenter.get_submodule("image_encoder").tapped_blocks
    extractor = feature_extractor(segmenter)
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    torch.stack([features.sum() for features in extractor(image())]).sum().backward()
    assert all(weight.grad is not None for weight in extractor.parameters())
    assert all(weight.grad is None for weight in segmenter.parameters())
    assert all(value.equal(before[name]) for name, value in segmenter.state_dict().items())
    assert segmenter.get_submodule("image_encoder").tapped_blocks == taps


def test_an_encoder_comes_back_from_disk_and_a_checkpoint_serves_as_well(tmp_path):
    segmenter = build_segmenter("samus_tiny").eval()
    write_encoder(segmenter, tmp_path / "encoder", preset="samus_tiny")
    write_flattened(segmenter, tmp_path / "checkpoint")
    expected = feature_extractor(segmenter).eval()
    with torch.inference_mode():
        for folder in ("encoder", "checkpoint"):
            found = load_feature_extractor(tmp_path / folder)
            pairs = zip(found(image()), expected(image()), strict=True)
            assert all(ours.equal(theirs) for ours, theirs in pairs)
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == [
        "encoder.json",
        "encoder.safetensors",
    ]
    with pytest.raises(FileExistsError, match="is there already"):
        write_encoder(segmenter, tmp_path / "encoder")


def test_a_model_without_sams_encoder_is_refused():
    with pytest.raises(ValueError, match="A unet has no image encoder of SAM's kind"):
        feature_extractor(build_segmenter("unet_tiny"))
