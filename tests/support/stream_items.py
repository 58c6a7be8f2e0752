"""What stream tests make of samples and batches; importable, since workers unpickle it."""

import os
import time
from typing import NamedTuple

from shards import UltrasoundSample


class StreamItem(NamedTuple):
    """Enough of a sample to tell whether the right one came, and which process read it."""

    position: int
    key: str
    pixel_sum: int
    process_id: int


def describe_sample(sample: UltrasoundSample, position: int) -> StreamItem:
    """Return an item of the sample."""
    return StreamItem(position, sample.key, int(sample.image.sum()), os.getpid())


def refuse_sample(sample: UltrasoundSample, position: int) -> StreamItem:
    """Stand in for a transform with a defect."""
    raise KeyError(position)


def hang(sample: UltrasoundSample, position: int) -> StreamItem:
    """Stand in for a transform that never ends."""
    time.sleep(60)
    return describe_sample(sample, position)


def keep_items(items: list[StreamItem]) -> list[StreamItem]:
    """Collate to a plain list."""
    return items
