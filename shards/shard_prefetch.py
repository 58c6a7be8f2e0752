"""Shards fetched into a cache before the stream comes to them."""

import copy
import logging
import queue
import threading
from collections.abc import Sequence

from .shard_reader import Corpus
from .stream_plan import StreamPlan

_logger = logging.getLogger(__name__)


class ShardPrefetch:
    """Fetches the shards of the block that is read and of the one behind it, in a thread.

    Every reading process has one. On a folder that they share they divide the work: a shard that
    another process is fetching is passed over.
    """

    def __init__(self, corpora: Sequence[Corpus], plan: StreamPlan) -> None:
        """Start the thread; it ends with its process, or by `close`.

        Args:
            corpora: In the order of the plan's sources, with a cache.
            plan: Used by the reader's thread alone.
        """
        # Of its own: what is opened and counted in one thread is not touched by the other.
        self.corpora = tuple(copy.copy(corpus) for corpus in corpora)
        self._plan = plan
        self._block = range(0)
        self._wanted: queue.SimpleQueue[list[tuple[int, int]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="shard prefetch", daemon=True).start()

    def reach(self, position: int) -> None:
        """Say which position of the sequence is being read."""
        if position not in self._block:
            self._block, shards = self._plan.block_at(position)
            _, shards_behind = self._plan.block_at(self._block.stop)
            self._wanted.put([*shards, *shards_behind])

    def close(self) -> None:
        """End the thread after the shard that it is fetching."""
        self._wanted.put(None)

    def _run(self) -> None:
        for wanted in iter(self._wanted.get, None):
            for source, shard in wanted:
                if not self._wanted.empty():  # the reader has gone on to another block
                    break
                self.corpora[source].fetch(shard)
