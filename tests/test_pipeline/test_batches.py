"""Training batches made from corpora on disk, through the real loader."""

import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import Framing, PromptSimulationConfig
from pipeline.augmentation.config import AugmentationConfig
from pipeline.batches import (
    TrainingBatch,
    annotated_categories,
    collate,
    make_training_loader,
)
from pipeline.sample_draws import SampleDraws
from pipeline.training_sample import TrainingSample, TrainingTransform, choose_objects
from shards import (
    Corpus,
    Origin,
    SourceDescription,
    UltrasoundObject,
    UltrasoundSample,
    hash_pixels,
    open_corpus,
    write_corpus,
)
from shards.stream_plan import StreamPlan, StreamSource

CATEGORIES = ("cyst", "lesion", "vessel")
ANNOTATED = {"one": ("cyst", "lesion"), "two": ("lesion",)}
NUM_OBJECTS = {"one": (0, 1, 2, 3, 2, 1), "two": (1, 0, 1, 1)}


def make_sample(
    *, source: str = "one", number: int = 0, categories: tuple[str, ...] = ("cyst",), size: int = 80
) -> UltrasoundSample:
    """Squares of 20 pixels along the diagonal, brighter than the noise around them."""
    image = np.random.default_rng(number).integers(0, 60, (size, size + 10), dtype=np.uint8)
    objects = []
    for place, category in enumerate(categories):
        mask = np.zeros(image.shape, dtype=bool)
        corner = 5 + 24 * place
        mask[corner : corner + 20, corner : corner + 20] = True
        image[mask] = 220
        objects.append(UltrasoundObject.from_mask(mask, category=category, organ="phantom"))
    origin = Origin(
        source=source,
        licence="CC0-1.0",
        subject=f"subject-{number}",
        subject_is_known=True,
        original_size=image.shape,
        pixels_sha256=hash_pixels(image),
    )
    return UltrasoundSample(
        key=f"{source}__{number:03d}", image=image, objects=tuple(objects), origin=origin
    )


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    found = []
    for source, counts in NUM_OBJECTS.items():
        samples = [
            make_sample(
                source=source,
                number=number,
                categories=tuple(itertools.islice(itertools.cycle(ANNOTATED[source]), count)),
            )
            for number, count in enumerate(counts)
        ]
        url = str(tmp_path_factory.mktemp(source) / "train")
        description = SourceDescription(
            name=source,
            version="1",
            licence="CC0-1.0",
            citation="made for a test",
            home_page="",
            categories=ANNOTATED[source],
        )
        write_corpus(samples, url, split="train", sources=[description], max_samples_per_shard=3)
        found.append(open_corpus(url))
    return found


def make_transform(**changes: Any) -> TrainingTransform:
    settings: dict[str, Any] = {
        "framing": Framing(input_size=64, fit="squash"),
        "num_channels": 1,
        "categories": CATEGORIES,
        "annotated_categories": {name: frozenset(names) for name, names in ANNOTATED.items()},
        "prompts": PromptSimulationConfig(),
        "augmentation": AugmentationConfig(),
        "seed": 5,
        "max_objects_per_image": 8,
        "num_error_clicks": 2,
    }
    return TrainingTransform(**{**settings, **changes})


def load_batches(corpora: list[Corpus], *, count: int, **changes: Any) -> list[TrainingBatch]:
    sources = [
        StreamSource(
            content_hash=corpus.manifest.content_hash,
            weight=1.0,
            samples_per_shard=corpus.samples_per_shard,
        )
        for corpus in corpora
    ]
    settings: dict[str, Any] = {
        "framing": Framing(input_size=64, fit="squash"),
        "num_channels": 1,
        "categories": CATEGORIES,
        "prompts": PromptSimulationConfig(),
        "augmentation": AugmentationConfig(),
        "num_error_clicks": 2,
        "seed": 5,
        "max_objects_per_image": 8,
        "global_batch_size": 4,
        "micro_batch_size": 2,
    }
    loader = make_training_loader(
        corpora=corpora, plan=StreamPlan(sources, seed=0), **{**settings, **changes}
    )
    batches: Iterator[TrainingBatch] = iter(loader)
    return list(itertools.islice(batches, count))


def same(one: TrainingBatch, other: TrainingBatch) -> bool:
    tensors = ["images", "masks", "image_index", "error_click_draws", "category_index", "annotated"]
    return (
        one.keys == other.keys
        and one.positions == other.positions
        and all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors)
        and torch.equal(points_of(one), points_of(other))
    )


def points_of(batch: TrainingBatch) -> torch.Tensor:
    assert batch.prompts.points is not None
    return batch.prompts.points


def test_a_batch_holds_what_its_parts_say(corpora):
    for batch in load_batches(corpora, count=5):
        assert batch.images.shape == (2, 1, 64, 64)
        assert batch.images.dtype == torch.float32
        assert batch.images.min() >= 0.0
        assert batch.images.max() <= 1.0
        assert batch.masks.shape == (batch.num_objects, 64, 64)
        assert batch.masks.dtype == torch.bool
        assert torch.equal(batch.image_index, batch.prompts.image_index)
        assert batch.error_click_draws.shape == (batch.num_objects, 2)
        assert batch.annotated.shape == (2, 3)
        assert len(batch.keys) == len(batch.positions) == batch.num_images


def test_every_click_inside_is_on_the_mask_of_its_object(corpora):
    seen = 0
    for batch in load_batches(corpora, count=12):
        assert batch.prompts.point_labels is not None
        for which, slot in (batch.prompts.point_labels == 1).nonzero().tolist():
            column, row = points_of(batch)[which, slot].long().tolist()
            assert batch.masks[which, row, column]
            seen += 1
    assert seen > 12


def test_masks_belong_to_the_image_that_their_index_names(corpora):
    for batch in load_batches(corpora, count=10, augmentation=AugmentationConfig(enabled=False)):
        for mask, place in zip(batch.masks, batch.image_index.tolist(), strict=True):
            assert batch.images[place, 0][mask].mean() > 0.75


@pytest.mark.slow
def test_batches_are_the_same_with_and_without_workers(corpora):
    alone = load_batches(corpora, count=4)
    shared = load_batches(corpora, count=4, num_workers=2)
    assert all(same(one, other) for one, other in zip(alone, shared, strict=True))


def test_two_ranks_together_see_what_one_sees(corpora):
    alone = load_batches(corpora, count=4)
    first, second = (load_batches(corpora, count=2, rank=rank, num_ranks=2) for rank in (0, 1))
    together = [first[0], second[0], first[1], second[1]]
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_resuming_gives_the_batches_that_would_have_come(corpora):
    uninterrupted = load_batches(corpora, count=8)
    resumed = load_batches(corpora, count=4, first_step=2)
    assert all(same(one, other) for one, other in zip(uninterrupted[4:], resumed, strict=True))


def test_a_sample_that_comes_again_is_drawn_differently(corpora):
    batches = load_batches(corpora, count=20, global_batch_size=1, micro_batch_size=1)
    again = [batch for batch in batches if batch.keys == batches[0].keys]
    assert len(again) == 2
    assert not torch.equal(again[0].images, again[1].images)


def test_an_image_without_objects_makes_a_valid_batch():
    sample = make_sample(categories=())
    batch = collate([make_transform()(sample, 0), make_transform()(sample, 1)])
    num_slots = PromptSimulationConfig().num_slots
    assert batch.num_objects == 0
    assert batch.masks.shape == (0, 64, 64)
    assert batch.masks.dtype == torch.bool
    assert batch.image_index.dtype == batch.category_index.dtype == torch.int64
    assert points_of(batch).shape == (0, num_slots, 2)
    assert points_of(batch).dtype == torch.float32
    assert batch.prompts.point_labels is not None
    assert batch.prompts.point_labels.dtype == torch.int64
    assert batch.error_click_draws.shape == (0, 2)
    assert batch.annotated.tolist() == [[True, True, False]] * 2


def test_an_object_of_one_pixel_is_kept_where_the_smallest_is_one_and_counted_where_it_is_not():
    image = np.zeros((64, 64), dtype=np.uint8)
    mask = np.zeros((64, 64), dtype=bool)
    mask[10, 20] = True
    dot = UltrasoundObject.from_mask(mask, category="cyst", organ="phantom")
    sample = make_sample()
    sample = UltrasoundSample(key=sample.key, image=image, objects=(dot,), origin=sample.origin)
    kept = make_transform(augmentation=AugmentationConfig(enabled=False, min_object_pixels=1))(
        sample, 0
    )
    assert kept.masks.sum() == 1
    assert kept.num_vanished_objects == 0
    dropped = make_transform(augmentation=AugmentationConfig(enabled=False))(sample, 0)
    assert len(dropped.masks) == len(dropped.points) == len(dropped.category_index) == 0
    assert dropped.num_vanished_objects == 1
    assert dropped.annotated.tolist() == [False, True, False]


def test_an_object_cut_off_altogether_is_counted_and_its_category_known_to_be_absent():
    sample = make_sample(categories=("cyst",))
    zoom = AugmentationConfig(zoom_probability=1.0, max_zoom=8.0)
    samples = [make_transform(augmentation=zoom)(sample, position) for position in range(60)]
    gone = [one for one in samples if one.num_vanished_objects]
    assert gone
    assert all(len(one.masks) == 0 for one in gone)
    assert any(one.annotated[0] for one in gone)


def test_objects_beyond_the_limit_are_thinned_out_evenly_and_their_category_becomes_unknown():
    sample = make_sample(categories=("cyst", "cyst", "lesion"))
    transform = make_transform(
        max_objects_per_image=1, augmentation=AugmentationConfig(enabled=False)
    )
    samples = [transform(sample, position) for position in range(150)]
    counts = torch.zeros(3)
    for one in samples:
        assert len(one.masks) == 1
        row = int(one.masks[0].any(1).nonzero()[0])
        counts[row // 18] += 1
        cyst, lesion, vessel = one.annotated.tolist()
        assert not cyst
        assert lesion == (one.category_index.item() == 1)
        assert not vessel
    assert counts.min() > 30


def test_chosen_objects_keep_their_order():
    draws = SampleDraws(seed=0, position=3)
    chosen = choose_objects(20, max_objects=5, draws=draws)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 5
    assert choose_objects(3, max_objects=5, draws=draws) == [0, 1, 2]


def test_a_category_outside_of_the_list_is_minus_one():
    one = make_transform()(make_sample(categories=("cyst", "stone")), 0)
    assert one.category_index.tolist() == [0, -1]


def test_only_what_a_source_annotates_counts_as_annotated(corpora):
    for batch in load_batches(corpora, count=10):
        for key, row in zip(batch.keys, batch.annotated.tolist(), strict=True):
            expected = ANNOTATED[key.split("__")[0]]
            assert row == [category in expected for category in CATEGORIES]


def test_two_corpora_of_one_source_agree_on_the_smaller_list(corpora, tmp_path):
    description = SourceDescription(
        name="one", version="2", licence="", citation="", home_page="", categories=("cyst",)
    )
    url = str(tmp_path / "train")
    write_corpus([make_sample()], url, split="train", sources=[description])
    merged = annotated_categories([*corpora, open_corpus(url)])
    assert merged == {"one": frozenset({"cyst"}), "two": frozenset({"lesion"})}


def test_moving_a_batch_moves_every_tensor_and_keeps_the_rest():
    batch = collate([make_transform()(make_sample(), 0)])
    moved = batch.to("meta")
    for tensor in (moved.images, moved.masks, moved.annotated, moved.prompts.image_index):
        assert tensor.device.type == "meta"
    assert points_of(moved).device.type == "meta"
    assert moved.keys == batch.keys


def test_the_transform_travels_to_a_worker():
    transform = make_transform()
    copy: TrainingTransform = pickle.loads(pickle.dumps(transform))
    one, other = transform(make_sample(), 3), copy(make_sample(), 3)
    assert isinstance(other, TrainingSample)
    assert torch.equal(one.image, other.image)


def test_a_limit_of_no_objects_is_refused(corpora):
    with pytest.raises(ValueError, match=r"data\.max_objects_per_image is 0"):
        load_batches(corpora, count=1, max_objects_per_image=0)


def test_the_folder_of_the_corpora_is_not_written_to(corpora):
    before = [
        sorted(path.stat().st_mtime_ns for path in Path(one.url).iterdir()) for one in corpora
    ]
    load_batches(corpora, count=3)
    after = [sorted(path.stat().st_mtime_ns for path in Path(one.url).iterdir()) for one in corpora]
    assert before == after
