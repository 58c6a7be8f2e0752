"""A long run's loader keeps nothing of what it has read."""

import collections
import gc
import itertools
import tracemalloc
from pathlib import Path

import pytest

from model import Framing, PromptSimulationConfig
from pipeline.augmentation.config import AugmentationConfig
from pipeline.batches import make_training_loader
from shards import open_corpus
from shards.stream_plan import StreamPlan, StreamSource

BYTES_OF_AN_IMAGE = 48 * 48
"""Of the smallest one that there is."""


@pytest.mark.slow
def test_an_epoch_leaves_nothing_behind(nano_corpora: Path) -> None:
    corpus = open_corpus(str(nano_corpora / "train"))
    source = StreamSource(
        content_hash=corpus.manifest.content_hash,
        weight=1.0,
        samples_per_shard=corpus.samples_per_shard,
    )
    loader = make_training_loader(
        corpora=[corpus],
        plan=StreamPlan([source], seed=0),
        framing=Framing(input_size=32, fit="squash"),
        num_channels=1,
        categories=corpus.manifest.sources[0].categories,
        prompts=PromptSimulationConfig(),
        augmentation=AugmentationConfig(),
        num_error_clicks=1,
        seed=0,
        max_objects_per_image=8,
        global_batch_size=corpus.num_samples,
        micro_batch_size=corpus.num_samples,
    )
    batches = iter(loader)
    next(batches)
    kept: list[int] = []
    tracemalloc.start()
    try:
        for num_epochs in (4, 12):
            collections.deque(itertools.islice(batches, num_epochs), maxlen=0)
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    before, after = kept
    # Python keeps some kilobytes of small objects for reuse; every fourth image would be more.
    assert after - before < num_epochs * corpus.num_samples * BYTES_OF_AN_IMAGE / 4
