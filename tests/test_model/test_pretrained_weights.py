"""Which weights load, which are refused, and that each refusal says what to do."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from torch.nn import functional

from model import PRESETS, Prompts, build_segmenter, freeze, load_weights, tensors_to_store
from model.checkpoint_folder import sha256_of_file
from model.published_layouts import OFFICIAL_FILES
from model.published_names import SAMUS_NAMES, translate_name
from model.tensor_matching import resize_relative_positions
from model.weights_report import WeightsError
from tests.support.small_sam import SAMUS_TINY, small_sam, small_samus_published


@pytest.fixture(scope="module")
def sam_weights() -> dict[str, torch.Tensor]:
    return small_sam(SAMUS_TINY).state_dict()


@pytest.fixture
def sam_file(tmp_path, sam_weights) -> Path:
    path = tmp_path / "sam_tiny.pth"
    torch.save(sam_weights, path)
    return path


def state_of(segmenter):
    return {name: value.clone() for name, value in segmenter.state_dict().items()}


def assert_untouched(segmenter, before):
    assert all(value.equal(before[name]) for name, value in segmenter.state_dict().items())


def test_a_sam_file_gives_every_one_of_its_tensors_and_samus_adds_the_rest(sam_file, sam_weights):
    segmenter = build_segmenter("samus_tiny")
    report = load_weights(segmenter, sam_file)
    published = sam_weights
    assert report.layout == "sam"
    assert len(report.loaded) + len(report.resized) == len(published)
    assert len(report.loaded) + len(report.resized) + len(report.new) == len(segmenter.state_dict())
    assert set(report.new_kinds) == {
        "Adapter",
        "CnnBranch",
        "ConvolutionStage",
        "CrossBranchAttention",
        "DetailSkip",
    }
    assert report.refused == {}
    found = segmenter.state_dict()
    for name in report.loaded:
        source = next(
            value
            for key, value in published.items()
            if translate_name(key, names=SAMUS_NAMES) == name
        )
        assert found[name].equal(source)


def test_only_relative_positions_of_global_blocks_are_resized_and_as_published(
    sam_file, sam_weights
):
    segmenter = build_segmenter("samus_tiny")
    report = load_weights(segmenter, sam_file)
    published = sam_weights
    assert sorted(report.resized) == [
        f"image_encoder.blocks.{block}.attn.relative_positions.{axis}"
        for block in SAMUS_TINY.global_blocks
        for axis in ("columns", "rows")
    ]
    table = published["image_encoder.blocks.1.attn.rel_pos_h"]
    assert table.shape[0] == 63
    expected = functional.interpolate(table[None, None], (31, 16), mode="bilinear")[0, 0]
    rows = segmenter.state_dict()["image_encoder.blocks.1.attn.relative_positions.rows"]
    torch.testing.assert_close(rows, expected, rtol=0, atol=0)


def test_positions_of_the_same_grid_come_back_unchanged():
    table = torch.randn(63, 16)
    assert resize_relative_positions(table, num_distances=63).equal(table)


def test_global_blocks_are_found_by_their_kind_where_digits_would_mislead(tmp_path):
    # Blocks 0 and 2 are global, 1 is windowed: a rule on the digits of ViT-B would miss block 0.
    segmenter = build_segmenter("samus_tiny", global_blocks=(0, 2))
    sam = small_sam(SAMUS_TINY, global_attn_indexes=(0, 2))
    report = load_weights(segmenter, sam.state_dict())
    assert {name.split(".")[2] for name in report.resized} == {"0", "2"}


def test_window_blocks_are_never_resized(sam_weights):
    segmenter = build_segmenter("samus_tiny", window_size=5)
    with pytest.raises(WeightsError, match=r"blocks\.0\.attn.*is 13 x 16, here 9 x 16"):
        load_weights(segmenter, sam_weights)


def test_the_published_samus_layout_loads_completely(shared_folder):
    segmenter, weights = small_samus_published(shared_folder)
    report = load_weights(segmenter, weights)
    assert report.layout == "samus"
    assert len(report.loaded) == len(weights) == 393
    assert (report.resized, report.new, report.refused) == ((), (), {})
    found = segmenter.state_dict()
    assert all(
        found[translate_name(name, names=SAMUS_NAMES)].equal(value)
        for name, value in weights.items()
    )


def test_published_samus_weights_leave_only_our_own_addition_new(shared_folder):
    _, weights = small_samus_published(shared_folder)
    segmenter = small_samus_published(shared_folder)[0]
    widened = build_segmenter(
        "samus_vit_b", **{**vars(segmenter.architecture), "has_detail_skip": True}
    )
    report = load_weights(widened, weights)
    assert report.new_kinds == ("DetailSkip",)


def test_a_larger_encoder_is_refused_with_the_preset_that_fits(tmp_path):
    segmenter = build_segmenter("samus_tiny")
    before = state_of(segmenter)
    path = tmp_path / "sam_vit_l.pth"
    large = {
        "embed_dim": 1024,
        "depth": 24,
        "num_heads": 16,
        "global_attn_indexes": (5, 11, 17, 23),
    }
    with torch.device("meta"):
        shapes = {name: v.shape for name, v in small_sam(SAMUS_TINY, **large).state_dict().items()}
    torch.save({name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}, path)
    with pytest.raises(
        WeightsError,
        match=r"looks like SAM ViT-L \(1024 wide, 24 blocks\), but this model is samus .*"
        r"\(48 wide, 3 blocks\)\. Build the preset samus_vit_l",
    ):
        load_weights(segmenter, path)
    assert_untouched(segmenter, before)


def test_a_model_of_another_family_is_told_what_the_file_is(sam_file):
    with pytest.raises(WeightsError, match=r"looks like SAM .* but this model is unet"):
        load_weights(build_segmenter("unet_tiny"), sam_file)


@pytest.mark.parametrize("change", ["misspelt", "missing", "misshaped", "quantised", "extra"])
def test_one_unexplained_tensor_refuses_the_file_and_touches_nothing(change, sam_weights):
    tensors = dict(sam_weights)
    name = "mask_decoder.iou_token.weight"
    if change in ("misspelt", "missing"):
        value = tensors.pop(name)
        if change == "misspelt":
            tensors["mask_decoder.iou_tokens.weight"] = value
    elif change == "misshaped":
        tensors[name] = torch.ones(1, 31)
    elif change == "quantised":
        tensors[name] = torch.ones(1, 32, dtype=torch.int8)
    else:
        tensors["mask_decoder.presence_token.weight"] = torch.ones(1)
    segmenter = build_segmenter("samus_tiny")
    before = state_of(segmenter)
    expected = {
        "misspelt": r"iou_tokens.weight is not in this model \(nearest: mask_decoder.iou_token",
        "missing": r"1 tensors of the model are not in it, such as mask_decoder.iou_token.weight",
        "misshaped": r"mask_decoder.iou_token.weight is 1 x 31, here 1 x 32",
        "quantised": r"mask_decoder.iou_token.weight holds torch.int8, here torch.float32",
        "extra": r"mask_decoder.presence_token.weight is not in this model",
    }[change]
    with pytest.raises(WeightsError, match=expected) as caught:
        load_weights(segmenter, tensors)
    assert len(caught.value.report.refused) == (0 if change == "missing" else 1)
    assert_untouched(segmenter, before)


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [(None, "module."), ("model", ""), ("state_dict", "model."), ("model_state_dict", "module.")],
)
def test_wrappers_and_prefixes_are_taken_off(wrapper, prefix, tmp_path, sam_weights):
    tensors = sam_weights
    content: dict = {prefix + name: value for name, value in tensors.items()}
    if wrapper is not None:
        content = {wrapper: content, "optimizer": {"lr": 1e-4}, "epoch": 3}
    path = tmp_path / "wrapped.pth"
    torch.save(content, path)
    plain, wrapped = build_segmenter("samus_tiny"), build_segmenter("samus_tiny")
    load_weights(plain, tensors)
    report = load_weights(wrapped, path)
    found, expected = wrapped.state_dict(), plain.state_dict()
    for name in (*report.loaded, *report.resized):
        assert found[name].equal(expected[name])


def test_a_file_in_the_old_format_of_torch_loads_too(tmp_path, sam_weights):
    path = tmp_path / "old.pth"
    tensors = sam_weights
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    assert load_weights(build_segmenter("samus_tiny"), path).layout == "sam"


def test_safetensors_are_told_by_their_content_whatever_the_file_is_called(tmp_path, sam_weights):
    path = tmp_path / "renamed.pth"
    save_file(sam_weights, path)
    assert load_weights(build_segmenter("samus_tiny"), path).layout == "sam"


def test_half_precision_weights_become_the_models_own_precision(tmp_path, sam_weights):
    path = tmp_path / "half.safetensors"
    save_file({k: v.half() for k, v in sam_weights.items()}, path)
    segmenter = build_segmenter("samus_tiny")
    load_weights(segmenter, path)
    assert {value.dtype for value in segmenter.state_dict().values()} == {torch.float32}


def test_loading_is_seen_by_a_model_that_has_already_answered(sam_file):
    segmenter = build_segmenter("samus_tiny").eval()
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = segmenter.encode(image).embedding
        load_weights(segmenter, sam_file)
        after = segmenter.encode(image).embedding
    fresh = build_segmenter("samus_tiny").eval()
    fresh.load_state_dict(segmenter.state_dict())
    with torch.inference_mode():
        expected = fresh.encode(image).embedding
    assert not after.equal(before)
    torch.testing.assert_close(after, expected, rtol=0, atol=0)


def test_the_official_files_are_told_by_their_sha256(sam_file, monkeypatch):
    assert {len(digest) for digest in OFFICIAL_FILES} == {64}
    report = load_weights(build_segmenter("samus_tiny"), sam_file)
    assert report.title.startswith("SAM a vision")
    monkeypatch.setitem(OFFICIAL_FILES, sha256_of_file(sam_file), "the official SAM")
    report = load_weights(build_segmenter("samus_tiny"), sam_file)
    assert report.summary().startswith("Weights of the official SAM from ")


def test_the_report_names_the_base_file_and_what_may_be_left_to_it(sam_file):
    segmenter = build_segmenter("samus_tiny")
    report = load_weights(segmenter, sam_file)
    assert report.base is not None
    assert report.base.sha256 == sha256_of_file(sam_file)
    assert (report.base.file_name, report.base.path) == ("sam_tiny.pth", sam_file)
    freeze(segmenter, has_base=True)
    stored = tensors_to_store(segmenter, from_base=report.from_base)
    frozen = {n for n, weight in segmenter.named_parameters() if not weight.requires_grad}
    assert set(stored) == set(segmenter.state_dict()) - frozen
    assert set(report.new) <= set(stored)
    assert set(tensors_to_store(segmenter)) == set(segmenter.state_dict())


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_the_names_and_shapes_of_the_real_sam_fit_the_real_samus(size):
    with torch.device("meta"):
        sam = sam_model_registry[f"vit_{size}"]()
        segmenter = build_segmenter(f"samus_vit_{size}")
    report = load_weights(segmenter, sam.state_dict())
    assert len(report.resized) == 8
    assert len(report.loaded) + len(report.resized) == len(sam.state_dict())
    assert report.title.startswith(f"SAM ViT-{size.upper()} ")


def test_every_preset_takes_back_what_it_gave(tmp_path):
    for name in ("samus_tiny", "unet_tiny"):
        assert name in PRESETS
        first, second = build_segmenter(name), build_segmenter(name)
        path = tmp_path / f"{name}.safetensors"
        save_file(first.state_dict(), path)
        report = load_weights(second, path)
        assert (report.layout, len(report.loaded)) == ("own", len(first.state_dict()))
        assert_untouched(second, first.state_dict())


def test_a_sam_without_plugs_is_what_the_prompted_decoder_computes(sam_file):
    # The prompt encoder and the decoder are SAM's own: the same weights give the same mask.
    segmenter = build_segmenter("samus_tiny", has_detail_skip=False).eval()
    load_weights(segmenter, sam_file)
    sam = small_sam(SAMUS_TINY).eval()
    grid = SAMUS_TINY.grid_size
    sam.prompt_encoder.image_embedding_size = (grid, grid)
    sam.prompt_encoder.input_image_size = (64, 64)
    embedding = torch.randn(1, 32, grid, grid, generator=torch.Generator().manual_seed(3))
    points, labels = torch.tensor([[[20.0, 31.0]]]), torch.tensor([[1]])
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        expected, _ = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        features = segmenter.encode(torch.zeros(1, 1, 64, 64))
        found = segmenter.decode(
            type(features)(embedding=embedding, side={}),
            Prompts(image_index=torch.tensor([0]), points=points, point_labels=labels),
        )
    torch.testing.assert_close(found.low_resolution_logits, expected, rtol=1e-4, atol=1e-4)
