"""A job that streams a corpus: prints each batch as a line, then what reading it took.

python -m tests.support.stream_job '{"url": URL, "num_batches": 4, ...}'
"""

import contextlib
import itertools
import json
import sys

from shards import ReadingConfig, open_corpus
from shards.sample_stream import MicroBatchSampler, SampleStream, make_stream_loader
from tests.support.stream_items import describe_sample, keep_items
from tests.test_shards.test_stream_loader import plan_of


def main() -> None:
    """Stream as the first argument says."""
    words = json.loads(sys.argv[1])
    num_batches, num_workers = words.pop("num_batches"), words.pop("num_workers")
    corpus = open_corpus(words.pop("url"), reading=ReadingConfig(**words.pop("reading")))
    loader = make_stream_loader(
        SampleStream([corpus], plan_of([corpus]), transform=describe_sample),
        MicroBatchSampler(global_batch_size=4, micro_batch_size=2, **words),
        num_workers=num_workers,
        collate=keep_items,
    )
    with contextlib.closing(iter(loader)) as batches:
        for batch in itertools.islice(batches, num_batches):
            sys.stdout.write(json.dumps([item[:3] for item in batch]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps(loader.take_report().counts) + "\n")


if __name__ == "__main__":
    main()
